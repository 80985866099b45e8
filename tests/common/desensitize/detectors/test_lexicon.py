"""Terms that look like names."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.lexicon import is_no_name, terms, vetoed


@pytest.mark.parametrize(
    "term",
    ["何首乌", "徐长卿", "黄斑", "张力", "白塞", "马凡", "库欣", "帕金森", "白细胞", "夏普比率", "余额", "金银花"],
)
def test_a_term_is_no_name(term: str) -> None:
    assert vetoed(term + "治疗", 0, len(term))


@pytest.mark.parametrize(("text", "start", "end"), [("黄斑变性", 0, 2), ("查白细胞高", 1, 3), ("何首乌藤", 0, 2)])
def test_a_part_of_a_term_is_no_name(text: str, start: int, end: int) -> None:
    assert vetoed(text, start, end)


@pytest.mark.parametrize(
    ("text", "start", "end"), [("白云飞", 0, 3), ("张力强", 0, 3), ("王芳服用", 0, 2), ("威尔逊说", 0, 3)]
)
def test_a_name_is_no_term(text: str, start: int, end: int) -> None:
    assert not vetoed(text, start, end)


def test_a_common_foreign_name_is_a_term_before_a_disease() -> None:
    assert vetoed("威尔逊病", 0, 3)
    assert vetoed("史密斯骨折", 0, 3)


def test_beside_a_cue_only_a_longer_term_counts() -> None:
    assert not vetoed("张力，男", 0, 2, cued=True)
    assert vetoed("谷丙转氨酶", 0, 2, cued=True)


def test_terms_are_simplified_words_of_two_to_eight_characters() -> None:
    assert len(terms()) > 1500
    assert all(2 <= len(term) <= 8 for term in terms())


@pytest.mark.parametrize(
    ("text", "name"),
    [("上周央行宣布", "周央"), ("周中有雨", "周中"), ("张力性头痛", "张力性"), ("车牌桂A·D19456", "车牌桂A")],
)
def test_weeks_kinds_of_terms_and_plates_are_no_names(text: str, name: str) -> None:
    start = text.index(name)
    assert is_no_name(text, start, start + len(name))


@pytest.mark.parametrize(("text", "name"), [("昨天周央到会", "周央"), ("歌手周杰伦", "周杰伦")])
def test_a_surname_that_is_also_a_week_stays_one(text: str, name: str) -> None:
    start = text.index(name)
    assert not is_no_name(text, start, start + len(name))
