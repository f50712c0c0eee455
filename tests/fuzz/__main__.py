"""`python -m tests.fuzz [--minutes N] [--seed N]`: hostile traffic for one embedded cloud, until the time is over.

Exit code 0: nothing was found; 1: something was, and the last lines say what and how to send it again; 2: usage.
The same seed gives the same arrivals and the same kinds of requests; the ids in them depend on the cloud's answers, so
the bytes of a request that failed are saved: `python -m tests.fuzz --replay FILE` sends them to a fresh cloud.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings
from tests.fuzz import connection
from tests.fuzz.drive import WITHIN_S, Drive, Result, save


@contextlib.contextmanager
def cloud() -> Iterator[EmbeddedCloud]:
    """All five services and a few hypervisors, with little patience for slow clients."""
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=5), head_timeout_s=5, body_timeout_s=5)
    settings.database.fsync = False
    with tempfile.TemporaryDirectory(prefix="squall-fuzz-") as state, EmbeddedCloud(settings, Path(state)) as running:
        yield running


def fuzz(seed: int, for_s: float, *, rate_per_s: float, connections: int, saved: Path, goes_on: bool = False) -> Result:
    """One run with its own cloud; writes the bytes of a finding, and the logs of its cloud, to `saved`."""
    with cloud() as running:
        result = asyncio.run(_drive(running, seed, for_s, rate_per_s, connections, goes_on))
        for number, finding in enumerate(result.findings):
            for path in save(finding, saved, f"{seed}-{number}"):
                print(f"fuzz: saved {path}")
        if result.findings:
            for log in running.state.glob("logs/*.log"):
                (saved / f"seed-{seed}-{log.name}").write_bytes(log.read_bytes())
    return result


async def _drive(
    running: EmbeddedCloud, seed: int, for_s: float, rate_per_s: float, connections: int, goes_on: bool
) -> Result:
    return await Drive(running, seed, rate_per_s=rate_per_s, connections=connections, goes_on=goes_on).run(for_s)


def replay(path: Path) -> None:
    """Send a saved request to a fresh cloud, and show what comes back."""

    data, service = path.read_bytes(), path.stem.rpartition("-")[2]

    async def send(running: EmbeddedCloud) -> None:
        drive = Drive(running, 0, rate_per_s=1, connections=1)
        await drive.log_in()
        parts = (drive.with_token(data),)
        port = running.settings.ports[service]
        print(await connection.send(running.settings.host, port, parts, WITHIN_S, is_silent=False))
        await asyncio.sleep(1)
        print(drive.logs.traceback() or "no traceback in any log")

    with cloud() as running:
        asyncio.run(send(running))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="hostile traffic for an embedded cloud")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--rate", type=float, default=60.0, help="arrivals a second (open loop)")
    parser.add_argument("--connections", type=int, default=16, help="at the same time, at most")
    parser.add_argument("--save", type=Path, default=Path("fuzz-findings"), help="where findings go")
    parser.add_argument("--keep-going", action="store_true", help="look for more after the first finding")
    parser.add_argument("--replay", type=Path, help="send a saved request to a fresh cloud instead")
    options = parser.parse_args()
    if options.replay:
        replay(options.replay)
        return 0
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"fuzz: seed {seed}, {options.minutes:g} min, {options.rate:g} arrivals/s open loop", flush=True)
    result = fuzz(
        seed,
        options.minutes * 60,
        rate_per_s=options.rate,
        connections=options.connections,
        saved=options.save,
        goes_on=options.keep_going,
    )
    print("fuzz: sent", dict(result.sent), "answers", dict(sorted(result.statuses.items())))
    print(f"fuzz: the latest arrival left {result.late_s_max:.1f} s after its time")
    for growth in result.growth:
        print(f"fuzz: memory of {growth}")
    if not result.findings:
        print("fuzz: nothing found")
        return 0
    for finding in result.findings:
        name = f"{finding.request.service} {finding.request.name}: " if finding.request else ""
        print(f"fuzz: FOUND {name}{finding.what}")
    print(f"fuzz: again: python -m tests.fuzz --seed {seed} --minutes {options.minutes:g} --rate {options.rate:g}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
