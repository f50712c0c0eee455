"""A nemesis that is killed with -9 right after one of its own events: `python -m tests.faults.killed PLAN EVENT WATCH`.

WATCH: `watched` with its watchdog, `alone` without, so that only `squall heal` is left.
"""

import json
import os
import signal
import sys
from pathlib import Path

from faults import nemesis, watchdog
from faults.journal import Journal


def main() -> None:
    plan, event, watch = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
    if watch == "alone":
        watchdog.start = lambda journal, ready_within_s=0: 0  # type: ignore[assignment]
    run = nemesis.Nemesis(plan, None)
    say = run.events.say

    def say_and_die(id: str, said: str, detail: str) -> None:
        say(id, said, detail)
        if said == event:
            os.kill(os.getpid(), signal.SIGKILL)

    def open_and_die(self: Journal, *arguments: object) -> None:
        opened(self, *arguments)  # type: ignore[arg-type]
        if event == "opened":
            os.kill(os.getpid(), signal.SIGKILL)

    opened = Journal.open
    Journal.open = open_and_die  # type: ignore[assignment,method-assign]
    run.events.say = say_and_die  # type: ignore[method-assign]
    sys.exit(run.run())


if __name__ == "__main__":
    main()
