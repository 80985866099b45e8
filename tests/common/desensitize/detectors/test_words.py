"""The word list as a table, and what it says of each place."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.characters import codes_of
from fedward.common.desensitize.detectors.features import words_here
from fedward.common.desensitize.detectors.words import Kind, Words, shipped_words
from fedward.common.desensitize.tables import simplified
from fedward.common.errors import ConfigError


def test_words_are_found_where_they_lie() -> None:
    words = Words.of({"高血压": Kind.PLAIN, "王芳": Kind.PERSON, "血压": Kind.PLAIN})
    here = words_here(codes_of("王芳有高血压"), words)
    assert [code // 16 + 1 if code else 0 for code in here.begin.tolist()] == [2, 0, 0, 3, 2, 0]
    assert [code % 16 for code in here.end.tolist()] == [0, Kind.PERSON, 0, 0, 0, Kind.PLAIN]


def test_traditional_text_finds_simplified_words() -> None:
    here = words_here(codes_of("黃曉明"), Words.of({"黄晓明": Kind.PERSON}))
    assert here.begin[0] % 16 == Kind.PERSON


def test_simplifying_keeps_the_length() -> None:
    text = "張醫師與歐陽教授𠀀"
    assert simplified(text) == "张医师与欧阳教授𠀀"
    assert len(simplified(text)) == len(text)


def test_a_word_list_survives_its_file() -> None:
    words = Words.of({"北京": Kind.PLACE})
    again = Words.from_bytes(words.to_bytes(), "w")
    assert words_here(codes_of("在北京"), again).begin[1] % 16 == Kind.PLACE


def test_another_file_is_no_word_list() -> None:
    with pytest.raises(ConfigError):
        Words.from_bytes(Words.of({"北京": Kind.PLACE}).to_bytes().replace(b"words-1", b"words-2"), "w")


@pytest.mark.parametrize("word", ["高血压", "汇款", "医院", "方案", "明天", "国际"])
def test_the_shipped_list_knows_ordinary_words(word: str) -> None:
    here = words_here(codes_of(word), shipped_words())
    assert here.begin[0] // 16 + 1 == len(word)


@pytest.mark.parametrize("text", ["", "一", "ab", "\ud800", "𠀀𠀀𠀀"])
def test_short_and_odd_texts_are_read(text: str) -> None:
    assert len(words_here(codes_of(text), shipped_words()).begin) == len(text)
