"""Judgement: history and what the cloud said of itself in, verdict out. Pure: no network, nothing written.

One question per file under `audit/`; `targets`, `recovery` and `saturation` read the load; `verdict` puts it together.
"""

from typing import Any

from harness.rundir import RunDirectory


def judge(run: RunDirectory) -> dict[str, Any]:
    """The verdict document of a run, from its run directory alone (schema: `harness.checkers.verdict.Verdict`)."""
    # Imported on use: `squall heal` must not wait for pandas, nor die of a broken one.
    from harness.checkers.verdict import judge as judge_run

    return judge_run(run)
