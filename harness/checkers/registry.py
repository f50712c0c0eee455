"""Finds checkers: every file under `audit/`, and the entry points `squall.checkers` of other people's packages.

A new checker is a new file with a module-level `CHECKER`; nothing else has to be edited. One that cannot be loaded
stays in the list under its name, and its answer is unknown: what it would have found is not known.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from harness import extensions
from harness.checkers import audit
from harness.checkers.finding import FOREIGN_RESIDUE, Answer, Code, Evidence, answer
from harness.checkers.history import History
from harness.checkers.snapshot import Missing


@dataclass(frozen=True)
class Checker:
    """One question about a run.

    Attributes: name: unique, as reports show it. question: for readers, answered with yes when all is well.
    invariants: ids of the table in docs/checkers.md, "-" for none. codes: finding codes that it may report. check:
    pure; raises Missing when the history lacks what it needs. unusable: why it cannot be asked; "" when it can.
    """

    name: str
    question: str
    invariants: tuple[str, ...]
    codes: tuple[Code, ...]
    check: Callable[[History], Evidence]
    unusable: str = ""


def checkers() -> list[Checker]:
    """All checkers, by name; those that cannot be loaded, or claim what another has, are there and unusable."""
    found: dict[str, Checker] = {}
    owners: dict[str, str] = {}
    for name, candidate, unloaded in _candidates():
        problem = unloaded or _misfit(candidate, found, owners)
        if problem:
            checker = _unusable(_free(name, found), problem)
        else:
            checker = candidate
            owners.update({code.name: checker.name for code in checker.codes})
        found[checker.name] = checker
    return [found[name] for name in sorted(found)]


def codes() -> set[str]:
    """Names of all findings that may be reported."""
    return {code.name for checker in checkers() for code in (*checker.codes, FOREIGN_RESIDUE)}


def unusable() -> list[str]:
    """A line for each checker that cannot be asked."""
    return [f"checker '{each.name}' {each.unusable}" for each in checkers() if each.unusable]


def _candidates() -> Iterator[tuple[str, Any, str]]:
    """What there is: a name to call it by, the object, and why there is none. Our own come first, and keep their name.

    A module that has no CHECKER is a checker's helper when it is ours, and a mistake when an entry point names it.
    """
    for module in sorted(pkgutil.iter_modules(audit.__path__), key=lambda each: each.name):
        try:
            loaded = importlib.import_module(f"{audit.__name__}.{module.name}")
        except Exception as error:
            yield module.name, None, f"cannot be loaded: {extensions.why(error)}"
            continue
        if hasattr(loaded, "CHECKER"):
            yield module.name, loaded.CHECKER, ""
    for point in extensions.installed(extensions.CHECKERS):
        found, problem = extensions.load(point)
        if isinstance(found, ModuleType):
            problem = "" if hasattr(found, "CHECKER") else f"module {found.__name__} has no CHECKER"
            found = getattr(found, "CHECKER", None)
        where = extensions.in_words(point)
        yield point.name, found, f"cannot be loaded ({where}): {problem}" if problem else ""


def _misfit(candidate: Any, found: dict[str, Checker], owners: dict[str, str]) -> str:
    """Why this object cannot be a checker beside those; "" when it can."""
    if not isinstance(candidate, Checker):
        return f"cannot be used: wanted a harness.checkers.registry.Checker, got {type(candidate).__name__}"
    if candidate.name in found:
        return f"cannot be used: another checker is called {candidate.name!r}; rename one of them"
    if not all(isinstance(code, Code) for code in candidate.codes):
        return "cannot be used: its codes are not all of harness.checkers.finding.Code"
    for code in candidate.codes:
        if code.name in owners:
            return f"cannot be used: its finding code {code.name!r} is declared by {owners[code.name]!r} too"
    return ""


def _free(name: str, taken: dict[str, Checker]) -> str:
    number, free = 1, name
    while free in taken:
        number, free = number + 1, f"{name} ({number + 1})"
    return free


def _unusable(name: str, reason: str) -> Checker:
    def check(history: History) -> Evidence:
        del history
        raise Missing(f"the checker {reason}")

    return Checker(name, "(a checker that cannot be asked)", (), (), check, reason)


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
