"""The second pass: an accepted value is found again in every spelling, and nothing else is."""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.repeats import literals_of, repeats
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.terms import _holding as holding
from fedward.common.desensitize.terms import all_terms

T = EntityType


def again(type_: EntityType, value: str, text: str) -> list[str]:
    """What of ``text`` repeats ``value``, which another line held."""
    first = Document.of(value)
    literals = literals_of(first, [Span(0, len(value), type_, 3, "x")])
    return [text[s.start : s.end] for s in repeats(Document.of(text), literals)]


SPELLINGS = [
    (T.PHONE, "(702) 557-0530", "again 702 557 0530.", "702 557 0530"),
    (T.PHONE, "13800138000", "回拨138-0013-8000", "138-0013-8000"),
    (T.PHONE, "138 0013 8000", "回拨+86 13800138000。", "+86 13800138000"),
    (T.PHONE, "+8613800138000", "回拨１３８００１３８０００。", "１３８００１３８０００"),
    (T.PHONE, "010-62345678转801", "拨01062345678问", "01062345678"),
    (T.ID_CN, "11010519491231002X", "证号110105 19491231 002x。", "110105 19491231 002x"),
    (T.CARD, "4111-1111-1111-1111", "卡4111111111111111。", "4111111111111111"),
    (T.PLATE, "京A12345", "车京A·12345已到", "京A·12345"),
    (T.EMAIL, "Wang.Fang@Example.com", "write wang.fang@example.com", "wang.fang@example.com"),
    (T.MRN, "ZY1234567", "见zy-1234567。", "zy-1234567"),
    (T.PERSON, "耿　涛", "随后耿涛来电", "耿涛"),
    (T.PERSON, "张丽", "張麗出院", "張麗"),
    (T.PERSON, "边", "上次是边医生看的", "边"),
    (T.PERSON, "柯女士", "柯老师来电", "柯"),
    (T.PERSON, "John Smith", "SMITH, JOHN was seen", "SMITH, JOHN"),
    (T.PERSON, "Mary Kowalski", "early Kowalski is", "Kowalski"),
    (T.ORG, "康宁精神卫生中心", "轉入康寧精神衛生中心", "康寧精神衛生中心"),
    (T.ADDRESS, "北京市海淀区建设路12号", "送到海淀区建设路 12号", "建设路 12号"),
]


@pytest.mark.parametrize(("type_", "value", "text", "found"), SPELLINGS)
def test_a_value_is_found_in_another_spelling(type_: EntityType, value: str, text: str, found: str) -> None:
    assert found in again(type_, value, text)


OTHERS = [
    (T.MRN, "20240506", "于2024-05-06复诊"),
    (T.MRN, "123456", "共12,3456元"),
    (T.PHONE, "13800138000", "流水1380013800012"),
    (T.PERSON, "边", "走到路边，边走边说"),
    (T.PERSON, "张伟", "一张\n伟大的图"),
    (T.PERSON, "老李", "李子树"),
    (T.ORG, "我校", "我校的"),
    (T.ADDRESS, "三楼", "在三楼"),
    (T.DATE, "2024-01-05", "2024-01-05"),
    (T.SECRET, "123456", "123456"),
]


@pytest.mark.parametrize(("type_", "value", "text"), OTHERS)
def test_what_only_looks_like_the_value_stays(type_: EntityType, value: str, text: str) -> None:
    assert again(type_, value, text) == []


def test_a_name_inside_a_term_of_the_caller_does_not_count() -> None:
    literals = literals_of(Document.of("白云飞"), [Span(0, 3, T.PERSON, 3, "x")])
    document = Document.of("白云飞度景区")
    assert repeats(document, literals, lambda text, start, end: True) == []


def test_a_repeat_has_the_highest_level_of_its_value() -> None:
    document = Document.of("张伟、张伟")
    literals = literals_of(document, [Span(0, 2, T.PERSON, 2, "x"), Span(3, 5, T.PERSON, 3, "x")])
    assert literals == {"张伟": (T.PERSON, 3)}


@given(st.lists(st.integers(13000000000, 13999999999), min_size=1, max_size=80, unique=True))
def test_many_values_and_few_give_the_same_places(numbers: list[int]) -> None:
    text = Document.of("，".join(map(str, numbers)))
    literals = {str(number): (T.PHONE, 2) for number in numbers}
    one_by_one = [span for value, kind in literals.items() for span in repeats(text, {value: kind})]
    assert sorted(repeats(text, literals)) == sorted(one_by_one)


def test_unseen_characters_travel_with_the_repeat() -> None:
    source = "回拨138\u200b00138000。"
    spans = repeats(Document.of(source), {"13800138000": (T.PHONE, 2)})
    assert [source[s.start : s.end] for s in spans] == ["138\u200b00138000"]


@pytest.mark.parametrize("name", ["张力", "头痛", "力", "a", "张力性头痛", "\n", "力\n张", "无此词"])
def test_terms_that_hold_a_name_are_those_of_the_list(name: str) -> None:
    expected = tuple((term, term.find(name)) for term in all_terms() if name in term and term != name)
    assert holding(name) == expected


def test_no_term_has_the_mark_that_parts_them() -> None:
    assert not any("\n" in term or not term for term in all_terms())
