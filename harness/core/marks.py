"""The run's mark: every resource of a run has a name that begins with it, or carries it beside its name.

`squall-ab1` marks `squall-ab1` and `squall-ab1-burst-0-7`, and not `squall-ab12-burst-0-7`, which is another run's. A
mark that ends in a hyphen, `squall-`, marks all runs.
"""

from collections.abc import Collection

PREFIX = "squall-"


class MarkRefused(ValueError):
    """A mark that could match what is not ours. Nothing was looked for."""


def check(marks: Collection[str]) -> None:
    """Raises MarkRefused unless every mark begins with `squall-`."""
    for mark in marks:
        if not mark.startswith(PREFIX):
            raise MarkRefused(f"mark {mark!r}: wanted one that begins with {PREFIX!r}, as every run's does")


def bears(text: object, mark: str) -> bool:
    """Whether a name, description, tag or metadata value carries the mark."""
    if not isinstance(text, str) or not text.startswith(mark):
        return False
    return mark.endswith("-") or len(text) == len(mark) or text[len(mark)] == "-"


def bears_any(text: object, marks: Collection[str]) -> bool:
    return any(bears(text, mark) for mark in marks)
