from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import known as module
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.known import KnownValueDetector
from fedward.common.desensitize.detectors.literals import AhoCorasick, Literals, squeeze
from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.detectors.found import found, wide

P = EntityType.PERSON

SPELLINGS = [
    (P, "王小明", "今日王小明复诊", ["王小明"]),
    (P, "王小明", "王 小 明复诊", ["王 小 明"]),
    (P, "王小明", "王医生您好，王先生来电", ["王", "王"]),
    (P, "王小明", "老王昨天出院，小王陪同，王某某签字", ["王", "王", "王某某"]),
    (P, "王小明", "王**的卡", ["王**"]),
    (P, "欧阳娜娜", "欧阳主任查房", ["欧阳"]),
    (P, "欧阳娜娜", "歐陽娜娜", ["歐陽娜娜"]),
    (P, "张丽", "張麗入院", ["張麗"]),
    (P, "买买提·艾力", "买买提艾力；艾力；买买提・艾力", ["买买提艾力", "艾力", "买买提・艾力"]),
    (
        P,
        "John Smith",
        "JOHN SMITH, Smith, John; j. smith; Smith J.",
        ["JOHN SMITH", "Smith, John", "j. smith", "Smith J"],
    ),
    (P, "Smith, John", "John Smith called", ["John Smith"]),
    (P, "John Smith", "Mr. Smith and John's wife", ["Smith", "John"]),
    (P, "Dr. José Núñez", "Jose Nunez", ["Jose Nunez"]),
    (P, "Wei Li", "Li Wei, Wei Li; Mr. Li", ["Li Wei", "Wei Li", "Li"]),
    (EntityType.PHONE, "13800138000", "138-0013-8000 或 +86 138 0013 8000", ["138-0013-8000", "+86 138 0013 8000"]),
    (EntityType.PHONE, "+86 138-0013-8000", wide("電話13800138000"), [wide("13800138000")]),
    (EntityType.PHONE, "010-62345678", "(010)62345678", ["(010)62345678"[1:]]),
    (EntityType.ID_CN, "11010119900101123X", "110101 19900101 123x", ["110101 19900101 123x"]),
    (EntityType.MRN, "ZY0012345", "zy-0012345", ["zy-0012345"]),
    (EntityType.CARD, "6222021234567890128", "6222 0212 3456 7890 128", ["6222 0212 3456 7890 128"]),
    (EntityType.DATE, "1985-03-12", "生于1985年3月12日 (Mar 12, 1985)", ["1985年3月12日", "Mar 12, 1985"]),
    (EntityType.ADDRESS, "北京市海淀区中关村大街27号", "住中关村大街27号", ["中关村大街27号"]),
    (EntityType.EMAIL, "wang.fang@example.com", "邮箱WANG.FANG@EXAMPLE.COM", ["WANG.FANG@EXAMPLE.COM"]),
]
CONDITIONS = [
    (P, "张力", "患者张力诉张力性头痛", ["张力"]),
    (P, "张力", "张力，男，54岁，肌张力高", ["张力"]),
    (P, "张", "患者张，张口受限", ["张"]),
    (P, "Anne Parkinson", "Parkinson's disease; Parkinson denies pain", ["Parkinson"]),
    (P, "Bo Li", "Mr. Li is lively.", ["Li"]),
    (P, "Mark Young", "a young patient, mark the site", []),
    (P, "John Smith", "Johnson Smithfield", []),
    (EntityType.PHONE, "13800138000", "批号91380013800012", []),
    (EntityType.MRN, "12", "床号12，共12次", ["12"]),
    (EntityType.AGE, "92", "年龄：92，血压92", ["92"]),
]


@pytest.mark.parametrize(("type_", "value", "text", "expected"), SPELLINGS, ids=lambda v: str(v)[:24])
def test_a_known_value_is_found_in_every_spelling(
    type_: EntityType, value: str, text: str, expected: list[str]
) -> None:
    assert found(KnownValueDetector({type_: (value,)}), text, level=5) == expected


@pytest.mark.parametrize(("type_", "value", "text", "expected"), CONDITIONS, ids=lambda v: str(v)[:24])
def test_short_values_and_terms_count_only_beside_a_cue(
    type_: EntityType, value: str, text: str, expected: list[str]
) -> None:
    assert found(KnownValueDetector({type_: (value,)}), text) == expected


VALUES = st.lists(st.text(st.sampled_from("张伟明王ab12 -·.X"), min_size=1, max_size=6), min_size=1, max_size=8)
TEXTS = st.text(st.sampled_from("张伟明王医生患者aAb1\uff12 -·.，\nX\u200b"), max_size=60)


@given(VALUES, TEXTS)
def test_one_pass_and_one_find_a_value_find_the_same(values: list[str], text: str) -> None:
    known = {P: tuple(values), EntityType.MRN: tuple(values)}
    document = Document.of(text)
    one, many = (KnownValueDetector(known, one_pass=flag).detect(document) for flag in (True, False))
    assert one == many


@given(VALUES, TEXTS)
def test_our_automaton_finds_what_find_finds(values: list[str], text: str) -> None:
    text = squeeze(text)
    wanted = sorted({squeeze(value) for value in values} - {""})
    hits = sorted((last + 1 - len(v), last + 1, v) for last, found_ in AhoCorasick(wanted).iter(text) for v in found_)
    assert hits == sorted(Literals(wanted, one_pass=False).occurrences(text))


@given(st.text(max_size=12), st.text(max_size=60), st.sampled_from(list(EntityType)))
def test_any_value_in_any_text_gives_spans_inside_it(value: str, text: str, type_: EntityType) -> None:
    for span in KnownValueDetector({type_: (value,)}).detect(Document.of(text + value + text)):
        assert 0 <= span.start < span.end <= 2 * len(text) + len(value)


@given(st.text(st.characters(categories=["Lo", "Nd"], max_codepoint=0x9FFF), min_size=4, max_size=10))
def test_a_value_that_stands_alone_is_always_found(value: str) -> None:
    assert found(KnownValueDetector({EntityType.ACCOUNT: (value,)}), f"，{value}，") == (
        [value] if squeeze(value) else []
    )


FIXTURES = [
    ("委托人王芳向李雷汇款", {P: ("王芳", "李雷")}, ["王芳", "李雷"]),
    (
        "患者孙丽，电话138 0013 8000；欧阳娜娜",
        {P: ("孙丽",), EntityType.PHONE: ("13800138000",)},
        ["孙丽", "138 0013 8000"],
    ),
    (
        "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567",
        {P: ("黄斑", "杨梅", "陈皮"), EntityType.PHONE: ("13912345678",)},
        [],
    ),
]


@pytest.mark.parametrize(("text", "known", "expected"), FIXTURES, ids=lambda value: str(value)[:16])
def test_the_naive_desensitisers_faults_are_not_ours(
    text: str, known: dict[EntityType, tuple[str, ...]], expected: list[str]
) -> None:
    assert found(KnownValueDetector(known), text) == expected


def test_two_thousand_known_people_are_searched_in_one_pass() -> None:
    people = tuple(
        f"{a}{b}{c}" for a in "王李张刘陈" for b in "伟芳娜敏静丽强磊洋艳" for c in "一二三四五六七八九十" * 4
    )
    assert found(KnownValueDetector({P: people}), "今日刘敏七与陈艳九同来") == ["刘敏七", "陈艳九"]


def test_a_name_in_the_repr_of_a_detector_is_not_shown() -> None:
    assert "王小明" not in repr(KnownValueDetector({P: ("王小明",)}))


def test_exported_names_are_sorted() -> None:
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
