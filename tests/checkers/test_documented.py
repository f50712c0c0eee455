"""The checker of docs/checkers.md, installed as the page says, judges."""

from pathlib import Path

from harness.checkers.registry import ask_all
from harness.checkers.verdict import DAMAGE, verdict_of
from tests.checkers.worlds import World
from tests.outside import documented, importable, install


def test_the_checker_of_the_page_passes_a_healthy_run_and_finds_what_it_is_for(tmp_path: Path) -> None:
    code, entries = documented("checkers.md")
    files = {"my_package/__init__.py": "", "my_package/names.py": code}
    with importable(install(tmp_path, files, entries)):
        (answer,) = [each for each in ask_all(World().history()) if each.checker == "names"]
        assert (answer.verdict, answer.checked, answer.reason) == ("pass", 3, "3 checked")
        world = World()
        world.after["servers"][1]["name"] = ""
        (found,) = [each for each in ask_all(world.history()) if each.checker == "names"]
        assert (found.verdict, found.reason) == ("fail", "nameless_server: 1 server: without a name")
        assert found.findings[0].objects[0].age_s is not None
        assert verdict_of(world.history()).true_exit_code == DAMAGE
        unread = World().history()
        unread.after.document = None
        (unknown,) = [each for each in ask_all(unread) if each.checker == "names"]
        assert (unknown.verdict, unknown.reason) == ("unknown", "there is no snapshot from after the run")
