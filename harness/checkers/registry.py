"""Finds checkers: every file under `audit/`, and the entry points `squall.checkers` of other people's packages.

A new checker is a new file with a module-level `CHECKER`; nothing else has to be edited.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from harness.checkers import audit
from harness.checkers.finding import FOREIGN_RESIDUE, Answer, Code, Evidence, answer
from harness.checkers.history import History
from harness.checkers.snapshot import Missing


@dataclass(frozen=True)
class Checker:
    """One question about a run.

    Attributes: name: unique, as reports show it. question: for readers, answered with yes when all is well.
    invariants: ids of the catalogue in the docs. codes: finding codes that it may report. check: pure; raises Missing
    when the history lacks what it needs.
    """

    name: str
    question: str
    invariants: tuple[str, ...]
    codes: tuple[Code, ...]
    check: Callable[[History], Evidence]


def checkers() -> list[Checker]:
    """All checkers, by name.  Raises ValueError on two of one name, or on two that declare one finding code."""
    found: dict[str, Checker] = {}
    owners: dict[str, str] = {}
    modules = [f"{audit.__name__}.{module.name}" for module in pkgutil.iter_modules(audit.__path__)]
    candidates = [getattr(importlib.import_module(name), "CHECKER", None) for name in sorted(modules)]
    candidates += [point.load() for point in entry_points(group="squall.checkers")]
    for checker in candidates:
        if checker is None:
            continue
        if checker.name in found:
            raise ValueError(f"two checkers are called {checker.name!r}; rename one of them")
        for code in checker.codes:
            if owners.setdefault(code.name, checker.name) != checker.name:
                raise ValueError(
                    f"finding code {code.name!r} is declared by {owners[code.name]!r} and {checker.name!r}"
                )
        found[checker.name] = checker
    return [found[name] for name in sorted(found)]


def codes() -> set[str]:
    """Names of all findings that may be reported."""
    return {code.name for checker in checkers() for code in (*checker.codes, FOREIGN_RESIDUE)}


def ask(checker: Checker, history: History) -> Answer:
    """One checker's answer. A checker that lacks data or crashes is unknown, with the reason; it never passes."""
    try:
        evidence = checker.check(history)
        strangers = {each.code for each in evidence.findings} - {
            code.name for code in (*checker.codes, FOREIGN_RESIDUE)
        }
        assert not strangers, f"{checker.name} reports codes that it does not declare: {strangers}"
    except Missing as reason:
        evidence = Evidence(doubts=[str(reason)])
    except Exception as error:
        evidence = Evidence(doubts=[f"the checker crashed: {type(error).__name__}: {error}"])
    return answer(checker.name, checker.question, checker.invariants, evidence)


def ask_all(history: History) -> list[Answer]:
    """Every checker's answer, by name."""
    return [ask(checker, history) for checker in checkers()]
