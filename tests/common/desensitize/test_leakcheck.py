from __future__ import annotations

from dataclasses import dataclass

import pytest

from fedward.common.desensitize import leak_patterns, leak_surrogates, leakcheck, normalise
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.leakcheck import Leak, num_coincidences
from fedward.common.desensitize.normalise import Normalised, digits_of
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType as E
from tests.common.desensitize.scrubbed import LEVELS, NOTE_EN, NOTE_ZH, NOTES, Issued, Scrubbed, scrub


def kinds(leaks: tuple[Leak, ...]) -> set[tuple[str, str]]:
    return {(leak.kind, leak.type.value) for leak in leaks}


@pytest.mark.parametrize("note", NOTES, ids=["zh", "en"])
def test_a_clean_record_has_no_leak(note: Scrubbed) -> None:
    assert note.leaks() == ()


def test_six_digits_that_touch_a_surrogate_are_a_leak_even_in_a_longer_number() -> None:
    note = scrub("电话13800138000。", [("13800138000", E.PHONE, "[PHONE1]")], {E.PHONE: Action.PLACEHOLDER})
    assert kinds(note.leaks(note.text.replace("[PHONE1]", "[PHONE1]5138001385"))) == {("shared_run", "PHONE")}


def test_an_empty_record_has_no_leak() -> None:
    assert scrub("", []).leaks() == ()


@dataclass(frozen=True)
class Stays:
    """``appended`` stands in the text of the note beside what was issued."""

    name: str
    note: Scrubbed
    appended: str
    leak: tuple[str, str]


STAYS = [
    Stays("the phone", NOTE_ZH, "备用13800138000。", ("original", "PHONE")),
    Stays("the phone with blanks", NOTE_ZH, "备用138 0013 8000。", ("original", "PHONE")),
    Stays("the phone with +86 and hyphens", NOTE_ZH, "备用+86-138-0013-8000。", ("original", "PHONE")),
    Stays("the phone in full width", NOTE_ZH, "备用１３８００１３８０００。", ("original", "PHONE")),
    Stays("the phone in Chinese numerals", NOTE_ZH, "备用一三八零零一三八零零零。", ("original", "PHONE")),
    Stays("the phone with zero-width characters", NOTE_ZH, "备用138\u200b00138000。", ("original", "PHONE")),
    Stays("the tail of the phone", NOTE_ZH, "备用*138000。", ("shared_run", "PHONE")),
    Stays("a piece of the record number", NOTE_EN, " x 482913 y", ("shared_run", "MRN")),
    Stays("county and birth date of the id", NOTE_ZH, "条码11010119900101。", ("original", "ID_CN")),
    Stays("eight digits of the id in a longer number", NOTE_ZH, "，9901011237019929。", ("shared_run", "ID_CN")),
    Stays("the record number with a blank", NOTE_ZH, "另 ZY 1234567。", ("original", "MRN")),
    Stays("the record number in lower case", NOTE_ZH, "另 zy1234567。", ("original", "MRN")),
    Stays("the name", NOTE_ZH, "家属称王芳昨日不适。", ("name", "PERSON")),
    Stays("the name with an ideographic space", NOTE_ZH, "签名：王　芳。", ("name", "PERSON")),
    Stays("the surname of a full English name", NOTE_EN, " Smith denies pain.", ("name", "PERSON")),
    Stays("the English name reversed", NOTE_EN, " SMITH, JOHN", ("name", "PERSON")),
    Stays("the e-mail address", NOTE_EN, " John.Smith@Example.com", ("original", "EMAIL")),
    Stays("the address", NOTE_EN, " He sold 12 elm street.", ("original", "ADDRESS")),
    Stays("the date", NOTE_EN, " As of 2024-03-05 stable.", ("original", "DATE")),
    Stays("another phone that nobody replaced", NOTE_ZH, "备用13911112222。", ("detector", "PHONE")),
]


@pytest.mark.parametrize("case", STAYS, ids=lambda case: case.name)
def test_what_stays_is_found(case: Stays) -> None:
    assert case.leak in kinds(case.note.leaks(case.note.text + case.appended))


HARMLESS = [
    "批号3013912345678901234567。",
    "样本条码110101193608105315，医院代码110101，卡BIN 41111111。",
    "坐标116.138001，批号73800138，另73138001。",
    "血压142/91mmHg，体温36.5℃，白细胞6.2×10^9/L。",
    "余额1000000.00元，利率3.65%，期限360个月。",
    "流水20240305000017，记账日20240305。",
    "王芳芳香化湿的中药可用。"[2:],
    "一二三四五，上山打老虎。",
    " The smith made a john boat; Elm Street is long. Room 12.",
    " Version v2024.03.05 of form 100000.",
]


@pytest.mark.parametrize("appended", HARMLESS)
@pytest.mark.parametrize("note", NOTES, ids=["zh", "en"])
def test_what_only_looks_alike_is_no_leak(note: Scrubbed, appended: str) -> None:
    assert note.leaks(note.text + appended) == ()


@pytest.mark.parametrize(
    ("name", "appended"),
    [
        ("张力", "张力性头痛待查"),
        ("高", "血压高，高血压三年"),
        ("May", "May be discharged in May"),
        ("黄芪", "予黄芪15g"),
    ],
)
def test_a_name_that_is_also_a_word_is_no_leak_without_a_cue(name: str, appended: str) -> None:
    note = scrub(f"患者：{name}，一般。", [(name, E.PERSON, "李娜" if not name.isascii() else "Anna")])
    assert note.leaks(note.text + appended) == ()


@pytest.mark.parametrize(
    ("name", "appended"), [("张力", "患者张力性格开朗"), ("高", "请高医生会诊"), ("May", "Seen by Dr. May today")]
)
def test_a_name_that_is_also_a_word_is_a_leak_beside_a_cue(name: str, appended: str) -> None:
    note = scrub(f"患者：{name}，一般。", [(name, E.PERSON, "李娜" if not name.isascii() else "Anna")])
    assert ("name", "PERSON") in kinds(note.leaks(note.text + appended))


@pytest.mark.parametrize(
    ("known", "appended", "is_leak"),
    [
        ((), " Diet and exercise help.", False),
        ((), " The Diet form is lost.", True),
        ((), " Kowalski is well.", True),
        (("Diet Kowalski",), " Diet is well.", True),
    ],
)
def test_a_word_that_a_detector_took_for_a_name_may_begin_a_sentence(
    known: tuple[str, ...], appended: str, is_leak: bool
) -> None:
    note = scrub("Seen by Diet Kowalski today.", [("Diet Kowalski", E.PERSON, "Peter Olsen")])
    assert bool(note.leaks(note.text + appended, known_names=known)) is is_leak


def test_a_known_value_that_no_detector_found_is_a_leak() -> None:
    context = Context(document_id="D", patient_id="P", known={E.PERSON: ("赵敏",), E.PHONE: ("010-88886666",)})
    leaks = scrub("赵敏来电01088886666。", []).leaks(context=context)
    assert kinds(leaks) >= {("name", "PERSON"), ("original", "PHONE")}


def test_a_known_name_is_a_leak_and_so_is_an_original_of_another_record_of_the_patient() -> None:
    text = scrub("赵敏与孙丽同来。", [])
    assert kinds(text.leaks(known_names=["赵敏"])) == {("name", "PERSON")}
    assert kinds(text.leaks(originals={E.PERSON: {"孙丽"}})) == {("name", "PERSON")}


def test_a_traditional_spelling_is_found() -> None:
    note = scrub("患者张伟入院。", [("张伟", E.PERSON, "李强")])
    assert ("name", "PERSON") in kinds(note.leaks(note.text + "張偉簽字。"))


def test_a_type_that_the_policy_keeps_is_no_leak() -> None:
    levels = {type_: level for type_, level in LEVELS.items() if type_ not in (E.PHONE, E.PERSON)}
    context = Context(document_id="D", known={E.PHONE: ("13911112222",), E.PERSON: ("赵敏",)})
    assert scrub("赵敏13911112222", []).leaks(levels=levels, context=context) == ()


def test_a_hit_below_the_level_is_no_leak() -> None:
    text = scrub("编号 110101199001011234 存档", [])
    assert text.leaks() == ()
    assert kinds(text.leaks(levels=dict.fromkeys(E, 1))) == {("detector", "ID_CN")}


def test_hits_of_a_batch_stand_for_the_detector() -> None:
    assert scrub("13911112222", []).leaks(hits=[]) == ()


def test_a_canary_is_found_even_inside_a_surrogate() -> None:
    note = scrub("电话13800138000。", [("13800138000", E.PHONE, "13343815088")])
    assert ("canary", "MASKED") in kinds(note.leaks(canaries=["133-4381-5088"]))


def test_a_leak_names_no_value() -> None:
    (leak, *_) = NOTE_ZH.leaks(NOTE_ZH.text + "王芳")
    assert "王芳" not in repr(leak)
    assert NOTE_ZH.text[-3:] + "王芳" == (NOTE_ZH.text + "王芳")[leak.start - 3 : leak.end]


def test_coincidences_are_counted_and_refuse_nothing() -> None:
    others = {E.PERSON: {"李娜"}, E.PHONE: {"13343815088"}, E.CARD: {"6222021234567890128"}}
    assert num_coincidences(NOTE_ZH.text, NOTE_ZH.issued, others) == 3  # 李娜 stands twice
    assert NOTE_ZH.leaks() == ()


# ------------------------------------------------------------------------------------------ surrogates


BAD_SURROGATES = [
    ("the original itself", "13800138000", E.PHONE, "13800138000", Action.SURROGATE, "surrogate"),
    ("the original respelt", "13800138000", E.PHONE, "138-0013-8000", Action.SURROGATE, "surrogate"),
    ("the original inside", "13800138000", E.PHONE, "+8613800138000", Action.SURROGATE, "surrogate"),
    (
        "a placeholder with the original",
        "13800138000",
        E.PHONE,
        "[PHONE1 13800138000]",
        Action.PLACEHOLDER,
        "surrogate",
    ),
    ("a wrong check digit", "110101199001011237", E.ID_CN, "440305197003295918", Action.SURROGATE, "surrogate"),
    ("a card that fails Luhn", "4111111111111111", E.CARD, "4111116452058012", Action.FPE, "surrogate"),
    ("an IBAN that fails mod 97", "GB82WEST12345698765432", E.IBAN, "GB82WEST12345698765431", Action.FPE, "surrogate"),
    ("a day that is none", "2024-03-05", E.DATE, "2024-02-30", Action.SURROGATE, "surrogate"),
    ("the same date", "2024-03-05", E.DATE, "2024-03-05", Action.SURROGATE, "surrogate"),
    ("the same name in full width", "Anna Berg", E.PERSON, "\uff21nna Berg", Action.SURROGATE, "surrogate"),
    ("a house number kept", "文三路12号", E.ADDRESS, "杭州市12号", Action.GENERALISE, "surrogate"),
    ("an age kept", "92岁", E.AGE, "92岁", Action.GENERALISE, "surrogate"),
    ("a drop that left something", "x.jpg", E.IMAGE, "jpg", Action.DROP, "surrogate"),
    ("issued but kept", "13800138000", E.PHONE, "13343815088", Action.KEEP, "surrogate"),
]


@pytest.mark.parametrize("case", BAD_SURROGATES, ids=lambda case: str(case[0]))
def test_a_bad_surrogate_is_a_leak(case: tuple[str, str, E, str, Action, str]) -> None:
    _, original, type_, surrogate, action, kind = case
    note = scrub(f"记录 {original} 完", [(original, type_, surrogate)], {type_: action})
    assert (kind, type_.value) in kinds(note.leaks(hits=[]))


GOOD_SURROGATES = [
    ("a city stays a city", "杭州市", E.ADDRESS, "杭州市", Action.GENERALISE),
    ("a month stays a month", "2024年3月", E.DATE, "2024年3月", Action.SURROGATE),
    ("90 and over", "92岁", E.AGE, "90+", Action.GENERALISE),
    ("a placeholder", "13800138000", E.PHONE, "[PHONE1]", Action.PLACEHOLDER),
    (
        "an invalid original may have an invalid surrogate",
        "4111111111111112",
        E.CARD,
        "4000000000000001",
        Action.SURROGATE,
    ),
    ("dropped", "x.jpg", E.IMAGE, "", Action.DROP),
]


@pytest.mark.parametrize("case", GOOD_SURROGATES, ids=lambda case: str(case[0]))
def test_a_good_surrogate_is_none(case: tuple[str, str, E, str, Action]) -> None:
    _, original, type_, surrogate, action = case
    note = scrub(f"记录 {original} 完", [(original, type_, surrogate)], {type_: action})
    assert note.leaks(hits=[]) == ()


def test_two_surrogates_for_one_value_are_inconsistent() -> None:
    once = scrub("13800138000，又13800138000", [("13800138000", E.PHONE, "13343815088")])
    _, second = once.issued
    text = once.text[: second.start] + "13343815099" + once.text[second.end :]
    assert ("inconsistent", "PHONE") in kinds(once.leaks(text))
    assert once.leaks() == ()


def test_one_spelling_of_a_number_or_another_is_one_value() -> None:
    note = scrub(
        "13800138000，又138 0013 8000",
        [("13800138000", E.PHONE, "13343815088"), ("138 0013 8000", E.PHONE, "133 4381 5088")],
    )
    assert note.leaks() == ()


def test_originals_swapped_among_each_other_are_a_leak() -> None:
    note = scrub(
        "王小芳13800138000，李大雷13911112222",
        [
            ("王小芳", E.PERSON, "李大雷"),
            ("李大雷", E.PERSON, "王小芳"),
            ("13800138000", E.PHONE, "13911112222"),
            ("13911112222", E.PHONE, "13800138000"),
        ],
    )
    assert kinds(note.leaks()) == {("surrogate", "PERSON"), ("surrogate", "PHONE")}


def test_dates_may_land_on_each_other() -> None:
    note = scrub(
        "2024-03-05入院，2024-03-15出院", [("2024-03-05", E.DATE, "2024-03-15"), ("2024-03-15", E.DATE, "2024-03-25")]
    )
    assert note.leaks() == ()


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 4), (0, 10_000)])
def test_spans_that_cannot_be_are_a_leak(start: int, end: int) -> None:
    broken = NOTE_ZH._replace(issued=(NOTE_ZH.issued[0]._replace(start=start, end=end),))
    assert {leak.kind for leak in broken.leaks()} == {"spans"}


def test_spans_that_overlap_are_a_leak() -> None:
    first: Issued = NOTE_ZH.issued[0]
    assert {leak.kind for leak in NOTE_ZH._replace(issued=(first, first)).leaks()} == {"spans"}


@pytest.mark.parametrize("num_others", [0, 400])
def test_many_originals_find_what_few_find(num_others: int) -> None:
    originals = {E.PHONE: {f"139{n * 7919 % 10**8:08d}" for n in range(num_others)}, E.PERSON: {"王小芳"}}
    originals[E.PERSON] |= {chr(0x4E00 + n) + "丅丄" for n in range(num_others)}
    leaks = NOTE_ZH.leaks(NOTE_ZH.text + "备用*138000，王小芳，13800138000。", originals=originals)
    assert kinds(leaks) == {("shared_run", "PHONE"), ("original", "PHONE"), ("name", "PERSON"), ("detector", "PHONE")}


# ------------------------------------------------------------------------------------------ normalisation


def test_numerals_become_digits() -> None:
    assert digits_of("一三八-零〇○壹贰 3x") == "138000123"


def test_a_place_leads_back_over_unseen_characters() -> None:
    source = "a\u200b\uff22\u00adC"
    text = Normalised.of(source)
    assert text.text == "abc"
    assert source[slice(*text.span(1, 3))] == "\uff22\u00adC"


def test_a_capital_that_grows_when_lowered_keeps_its_place() -> None:
    assert len(Normalised.of("İstanbul").text) == len("İstanbul")


@pytest.mark.parametrize("module", [leakcheck, leak_patterns, leak_surrogates, normalise])
def test_all_is_sorted(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(set(names) & set(dir(module)), key=str.casefold)
