"""Terms that look like names."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.lexicon import terms, vetoed


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
