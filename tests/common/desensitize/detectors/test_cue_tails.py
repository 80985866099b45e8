"""A cheap look at three letters never hides a cue."""

# ruff: noqa: RUF001 - look-alikes without case

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.cue_tails import Tails, before_blanks
from fedward.common.desensitize.detectors.names_en_grammar import BEFORE, ROLE, SPEAKS_BEFORE

BLANKS = r"[,:]?\s{1,3}$"
PHRASES = [
    "dear",
    "Hi",
    "I'm",
    "your name?",
    "speak to",
    "co-signer",
    "fiancée",
    "his wife",
    "regards",
    "Met",
    "x",
    "?",
]
texts = st.lists(
    st.sampled_from([*PHRASES, " ", ",", ":", "\n", "  ", "change it to", "loan officer", "told", "ſaw", "thanK you"])
).map("".join)


@pytest.mark.parametrize("pattern", [BEFORE, SPEAKS_BEFORE])
@given(text=texts)
def test_what_a_pattern_matches_may_end_so(pattern: re.Pattern[str], text: str) -> None:
    if pattern.search(text):
        word = before_blanks(text)
        assert word is not None
        assert Tails(pattern, BLANKS).may_end(word)


@given(st.lists(st.sampled_from(["patient", "CC", "signed by", "attending physician", " ", "x", "to", "ſpouſe"])))
def test_a_role_may_end_so(parts: list[str]) -> None:
    text = "".join(parts)
    if ROLE.search(text):
        assert Tails(ROLE, "$").may_end(text)


def test_other_words_end_otherwise() -> None:
    tails = Tails(SPEAKS_BEFORE, BLANKS)
    assert [tails.may_end(word) for word in ("He was", "and then", "his wife", "Hi", "an")] == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "source", [r"(?i:\b(?:a+))$", r"(?i:\b(?:[ab]))$", r"(?i:\b(?:a|b)$", "a$", r"(?i:\b(?:a.b))$"]
)
def test_a_pattern_that_is_no_list_of_words_is_refused(source: str) -> None:
    with pytest.raises((ValueError, re.error)):
        Tails(re.compile(source), "$")


def test_too_many_phrases_are_refused() -> None:
    with pytest.raises(ValueError, match="words"):
        Tails(re.compile(r"(?i:\b(?:" + "a?" * 13 + r"))$"), "$")


@pytest.mark.parametrize(
    ("text", "word"), [("Dear ", "Dear"), ("Dear, ", "Dear"), ("Dear:,\n", "Dear:"), ("Dear", None), ("Dear    ", None)]
)
def test_blanks_and_one_mark_are_cut_off(text: str, word: str | None) -> None:
    assert before_blanks(text) == word
