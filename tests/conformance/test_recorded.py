"""The bundled cloud answers as the real services did.

Every script is played against a fresh bundled cloud, and each answer compared with the recorded one. Differences must
be accepted with a reason, or stand in `open.txt`: what is still to be done, which may only become less.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.conformance import accepted, scripts
from tests.conformance.cloud import access, settings
from tests.conformance.compare import differences
from tests.conformance.play import Play

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    with (
        tempfile.TemporaryDirectory(prefix="squall-test-") as state,
        EmbeddedCloud(settings(), Path(state)) as cloud,
        Play(access(cloud)) as play,
    ):
        yield play


@pytest.mark.parametrize("name", scripts.every())
def test_answers_are_those_of_the_real_services(play: Play, name: str) -> None:
    ours = scripts.run(play, scripts.every()[name])
    found = differences(name, scripts.load(name), ours.answers)
    still_open = accepted.still_open()
    new = [one for one in found if accepted.reason(one) is None and accepted.key(one) not in still_open]
    assert not new, "\n".join([ours.broke_off, *map(str, new)])


def test_every_accepted_difference_has_a_reason() -> None:
    assert all(len(one.reason) > 10 for one in accepted.ACCEPTED)
