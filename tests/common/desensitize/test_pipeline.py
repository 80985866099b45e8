"""The whole pipeline: the regressions F1 to F7 of the naive recipe, offsets, consistency, and arbitrary Unicode."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize import leakcheck, pipeline
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer, Result
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.repeats import literals_of, repeats
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.validity import is_valid

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
FAST = Desensitizer(DesensitizePolicy(), KEYS)
RULES = Desensitizer(DesensitizePolicy(profile="structured"), KEYS)
SAMPLE = "用户张三的身份证号是110101199001011234,手机号是13800138000,于2025年办理贷款业务"


def scrub(text: str, *, patient: str = "P-0001", desensitizer: Desensitizer = FAST) -> Result:
    return desensitizer.record(text, Context(document_id="1", patient_id=patient))


def test_f1_keeps_de_and_replaces_an_id_whose_check_digit_is_wrong_by_a_valid_one() -> None:
    result = scrub(SAMPLE)
    found = re.fullmatch(
        r"用户(\S{2,3})的身份证号是(\d{17}[\dX]),手机号是(\d{11}),于2025年办理贷款业务", result.text or ""
    )
    assert found is not None
    assert is_valid(EntityType.ID_CN, found[2])
    assert [span.level for span in result.spans if span.type is EntityType.ID_CN] == [2]


def test_f2_a_phone_is_not_found_inside_of_an_id() -> None:
    spans = scrub("身份证110101199001011237").spans
    assert [span.type for span in spans] == [EntityType.ID_CN]


def test_f3_two_people_stay_two_and_the_text_around_them_is_intact() -> None:
    found = re.fullmatch(r"委托人(\S{2,3})向(\S{2,3})汇款", scrub("委托人王芳向李雷汇款").text or "")
    assert found is not None
    assert found[1] != found[2]
    assert {found[1], found[2]} & {"王芳", "李雷"} == set()


def test_f4_terms_and_serials_stay() -> None:
    text = "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567"
    assert scrub(text).text == text


def test_f5_spaced_numbers_and_compound_surnames_are_found() -> None:
    text = scrub("患者孙丽，电话138 0013 8000；欧阳娜娜").text or ""
    assert not any(value in text for value in ("孙丽", "138 0013 8000", "欧阳娜娜"))
    assert re.search(r"电话\d{3} \d{4} \d{4}；", text)


def test_f6_numbers_are_valid_after_all_layers() -> None:
    policy = DesensitizePolicy(layers=("entity", "semantic", "noise"), noise_rate=0.10, semantic_rate=0.10)
    text = "患者因为咳嗽来到医院，身份证号110101199001011237，医生认为情况比较稳定，建议继续观察并且按时服药。" * 5
    result = scrub(text, desensitizer=Desensitizer(policy, KEYS))
    assert result.words_changed > 0
    ids = re.findall(r"\d{17}[\dX]", result.text or "")
    assert len(ids) == 5
    assert all(is_valid(EntityType.ID_CN, value) for value in ids)


def test_f7_documents_of_a_patient_agree_and_other_patients_do_not() -> None:
    first, second = "电话13800138000，2024年3月5日", "复诊13800138000，2024年3月5日"
    mine, again, other = scrub(first), scrub(second), scrub(first, patient="P-0002")
    assert (mine.text or "")[2:] == (again.text or "")[2:]
    assert mine.text != other.text


def test_chain_of_substitutions_cannot_happen() -> None:
    """What is put in is never read again, whatever it looks like."""
    result = scrub("电话13800138000，备用13800138000")
    numbers = re.findall(r"\d{11}", result.text or "")
    assert len(set(numbers)) == 1


def test_known_values_are_replaced_without_a_label() -> None:
    context = Context(
        document_id="1", patient_id="P", known={EntityType.PERSON: ("欧阳锋",), EntityType.MRN: ("X7Y8Z9Q1",)}
    )
    result = RULES.record("欧阳锋复诊，编码X7Y8Z9Q1。", context)
    assert not any(value in (result.text or "") for value in ("欧阳锋", "X7Y8Z9Q1"))
    assert {span.level for span in result.spans} == {5}


def test_name_inside_a_term_stays_and_elsewhere_goes() -> None:
    text = scrub("患者张力，主诉张力性头痛。张力今日出院。").text or ""
    assert text.count("张力") == 1
    assert "张力性头痛" in text


def test_parts_of_one_document_share_what_was_found() -> None:
    context = Context(document_id="1", patient_id="P")
    first, second = RULES.records([("住院号ZY7654321", context), ("见ZY7654321", context)])
    assert (second.text or "").removeprefix("见") == (first.text or "").removeprefix("住院号")


def test_placeholders_are_numbered_over_all_parts_of_a_document() -> None:
    policy = DesensitizePolicy(profile="structured", actions={EntityType.PHONE: Action.PLACEHOLDER})
    context = Context(document_id="1")
    results = Desensitizer(policy, KEYS).records([("电话13800138000", context), ("电话13900139000", context)])
    assert len({result.text for result in results}) == 2


def test_batch_gives_the_same_as_one_by_one() -> None:
    texts = [SAMPLE, "无事", "Patient John Smith, phone (212) 555-0123.", "委托人王芳向李雷汇款"]
    batch = [(text, Context(document_id=str(number), patient_id="P")) for number, text in enumerate(texts)]
    assert FAST.records(batch) == [FAST.record(text, context) for text, context in batch]


def test_kept_types_are_counted_and_stay() -> None:
    policy = DesensitizePolicy(profile="structured", actions={EntityType.PHONE: Action.KEEP})
    result = scrub("电话13800138000", desensitizer=Desensitizer(policy, KEYS))
    assert result.text == "电话13800138000"
    assert [span.type for span in result.kept] == [EntityType.PHONE]


def test_failing_check_leaves_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    leak = leakcheck.Leak("original", EntityType.PHONE, 0, 1)
    monkeypatch.setattr(leakcheck, "check", lambda *_, **__: (leak,))
    result = scrub(SAMPLE)
    assert result.text is None
    assert result.leaks == ("original PHONE",)
    assert result.reason == "leak check: original PHONE"


def test_nothing_of_a_record_shows_in_a_repr() -> None:
    result = scrub(SAMPLE)
    assert "张三" not in repr(result)
    assert "13800138000" not in repr(result)


WIDE = "".join(chr(0xFF10 + digit) for digit in (1, 3, 8))
NUMBERS = ("13800138000", "110101199001011237", "(212) 555-0123", "ZY1234567", WIDE, "A", "1", "-", "2024年3月5日")
WORDS = ("张三", "身份证号", "电话", "患者", "住院号", "Dr. Smith", "x@example.com", "，", " ", "\n")
ODD = ("\u200b", "\ufeff", "\u0301", "😀", "𠮷")
PIECES = st.sampled_from((*NUMBERS, *WORDS, *ODD))
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=16).map("".join))


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_offsets_are_right_whatever_the_text(text: str) -> None:
    result = scrub(text)
    if result.text is None:
        return
    rebuilt, place, out = [], 0, 0
    for start, end, out_start, out_end in result.offset_map:
        assert text[place:start] == result.text[out:out_start]
        rebuilt.append(result.text[out_start:out_end])
        place, out = end, out_end
    assert text[place:] == result.text[out:]


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_no_original_that_was_found_stays_outside_of_what_was_issued(text: str) -> None:
    result = scrub(text)
    if result.text is None:
        return
    kept = list(result.text)
    for item in result.issued:
        kept[item.start : item.end] = "\0" * (item.end - item.start)
    rest = "".join(kept)
    for span in result.spans:
        value = text[span.start : span.end]
        if span.type in (EntityType.PHONE, EntityType.ID_CN, EntityType.EMAIL, EntityType.MRN):
            # In a longer word it is another value.
            assert not re.search(f"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", rest)


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_same_text_gives_the_same_result(text: str) -> None:
    assert scrub(text) == scrub(text)


def test_many_literals_give_the_same_places_as_few() -> None:
    words = [f"ZY{number:07d}" for number in range(60)]
    text = "，".join(words[::-1] + words)
    document = Document.of(text)
    spans = [Span(text.index(word), text.index(word) + 9, EntityType.MRN, 2, "x") for word in words]
    literals = literals_of(document, spans)
    many = repeats(document, literals)
    few = [span for word in words for span in repeats(document, {word: literals[word]})]
    assert sorted(many) == sorted(few)
    assert len(many) == 120


@pytest.mark.parametrize(
    ("value", "text"), [("Anna", "Annabel"), ("ZY1234567", "ZY12345678"), ("ZY1234567", "AZY1234567")]
)
def test_literal_inside_a_longer_word_does_not_count(value: str, text: str) -> None:
    assert repeats(Document.of(text), {value: (EntityType.PERSON, 3)}) == []


def test_what_the_leak_check_still_sees_is_replaced_and_checked_again() -> None:
    """A surname alone, after the full name: no rule of its own finds it."""
    result = scrub("Written by Alice Goldberg in 1977. A better example than early Goldberg is hard to find.")
    assert result.text is not None
    assert "Goldberg" not in result.text
    assert result.text.endswith(" is hard to find.")


def test_places_of_a_leak_are_those_of_the_kept_characters() -> None:
    issued = (pipeline.Issued(2, 5, Span(2, 4, EntityType.PHONE, 2, "x"), Action.SURROGATE, None),)
    result = Result(source="abXYcdef", text="ab123cdef", issued=issued)
    assert list(pipeline._in_source(result, 0, 9)) == [(0, 2), (4, 8)]
    assert list(pipeline._in_source(result, 6, 8)) == [(5, 7)]
    assert list(pipeline._in_source(result, 2, 5)) == []
