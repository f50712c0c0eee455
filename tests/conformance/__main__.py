"""Plays the scripts against the bundled cloud, compares with what the real services answered; `--real` asks those anew.

    python -m tests.conformance                        # the bundled cloud against the recorded answers
    python -m tests.conformance --real admin           # record the cloud `admin` of clouds.yaml anew first
    python -m tests.conformance --only nova.keypairs

The real cloud's entry must be an administrator's; two projects and three users named `conformance*` are made there and
removed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import openstack

from harness.emulator.cloud import EmbeddedCloud
from tests.conformance import accepted, scripts
from tests.conformance.cloud import access, settings
from tests.conformance.compare import Difference, differences
from tests.conformance.play import Access, Play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--real", metavar="CLOUD", help="record this entry of clouds.yaml anew")
    parser.add_argument("--only", action="append", default=[], help="scripts whose names begin so")
    parser.add_argument("--write-open", action="store_true", help="write what is left as what is still to be done")
    parser.add_argument("--no-ours", action="store_true", help="record, and leave the bundled cloud alone")
    chosen = parser.parse_args()
    wanted = {
        name: script
        for name, script in scripts.every().items()
        if not chosen.only or any(name.startswith(only) for only in chosen.only)
    }
    if chosen.real:
        with Play(_real(chosen.real)) as play:
            for name, script in wanted.items():
                began = time.monotonic()
                recording = scripts.run(play, script)
                scripts.save(name, recording)
                print(f"recorded {name}: {len(recording.answers)} calls, {time.monotonic() - began:.1f} s "
                      f"{recording.broke_off}", flush=True)  # fmt: skip
    if chosen.no_ours:
        return 0
    with tempfile.TemporaryDirectory(prefix="squall-conformance-") as state:
        cloud = EmbeddedCloud(settings(), Path(state))
        with cloud, Play(access(cloud)) as play:
            return _compare(play, wanted, write_open=chosen.write_open)


def _compare(play: Play, wanted: dict[str, scripts.Script], *, write_open: bool) -> int:
    calls, left, excused = 0, 0, 0
    lines: set[str] = set()
    for name, script in wanted.items():
        try:
            real = scripts.load(name)
        except FileNotFoundError:
            print(f"{name}: never recorded")
            continue
        ours = scripts.run(play, script)
        found = differences(name, real, ours.answers)
        open_ones = [one for one in found if accepted.reason(one) is None]
        calls, left, excused = calls + len(real), left + len(open_ones), excused + len(found) - len(open_ones)
        lines.update(accepted.key(one) for one in open_ones)
        _show(name, len(real), open_ones, ours.broke_off)
    if write_open:
        accepted.OPEN.write_text("".join(f"{line}\n" for line in sorted(lines)))
    print(f"{calls} calls compared, {left} differences, {excused} accepted")
    return 1 if left else 0


def _show(name: str, calls: int, found: list[Difference], broke_off: str) -> None:
    print(f"== {name}: {calls} calls, {len(found)} differences {broke_off}")
    alike: dict[tuple[str, ...], list[Difference]] = {}
    for one in found:
        alike.setdefault((one.where, str(one.real), str(one.ours)), []).append(one)
    for group in alike.values():
        print(f"  {group[0]}")
        if len(group) > 1:
            print(f"      and {len(group) - 1} more alike, the last: {group[-1].call}")


def _real(name: str) -> Access:
    region = openstack.config.OpenStackConfig().get_one(name)
    auth = region.config["auth"]
    return Access(auth["auth_url"], auth["password"], auth["username"], auth["project_name"])


if __name__ == "__main__":
    sys.exit(main())
