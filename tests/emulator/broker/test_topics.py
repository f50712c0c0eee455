"""Topic patterns against an oracle."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.broker.vhost import topic_matches

words = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=6)
patterns = st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=6)


@given(patterns, words)
def test_topic_patterns_match_like_the_regular_expression_they_stand_for(pattern: list[str], key: list[str]) -> None:
    """Each word is written with a dot behind it, so `#` is any number of such words."""
    parts = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    expression = "".join(parts.get(part, re.escape(part) + r"\.") for part in pattern)
    assert topic_matches(pattern, key) == bool(re.fullmatch(expression, "".join(f"{word}." for word in key)))


def test_a_long_pattern_of_hashes_is_no_trap() -> None:
    assert not topic_matches(["#", "a"] * 60, ["b"] * 200)
