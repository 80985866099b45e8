"""Faults of a widespread recipe (F1 to F7 of the design): it has each, and we have none."""

from __future__ import annotations

import re
from random import Random  # noqa: TID251

import pytest

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer, Result
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.generator import corpus
from tests.common.desensitize import naive

SAMPLE = "用户张三的身份证号是110101199001011234,手机号是13800138000,于2025年办理贷款业务"
PARTIES = "委托人王芳向李雷汇款"
TERMS = "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567"
HIDDEN = "患者孙丽，电话138 0013 8000；欧阳娜娜"
KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
SHAPE = re.compile("用户(.{2,3})的身份证号是([0-9]{17}[0-9X]),手机号是(1[0-9]{10}),于2025年办理贷款业务")
PARTIES_SHAPE = re.compile("委托人(.{2})向(.{2})汇款")


@pytest.fixture(scope="module")
def desensitizer() -> Desensitizer:
    return Desensitizer(DesensitizePolicy(), KEYS)


def scrub(desensitizer: Desensitizer, text: str, document: str = "d1", patient: str | None = None) -> str:
    return text_of(desensitizer.record(text, Context(document_id=document, patient_id=patient)))


def text_of(result: Result) -> str:
    text: str | None = result.text
    assert text is not None, result.leaks
    return text


def found(desensitizer: Desensitizer, text: str) -> set[tuple[EntityType, str]]:
    spans = desensitizer.record(text, Context(document_id="d1")).spans
    return {(span.type, text[span.start : span.end]) for span in spans}


def test_f1_the_word_behind_a_name_stays(desensitizer: Desensitizer) -> None:
    assert "的身份证" not in naive.replaced(SAMPLE)
    assert SHAPE.fullmatch(scrub(desensitizer, SAMPLE)) is not None


def test_f1_a_mistyped_id_is_replaced_by_a_valid_one(desensitizer: Desensitizer) -> None:
    match = SHAPE.fullmatch(scrub(desensitizer, SAMPLE))
    assert match is not None
    assert not numbers.is_resident_id("110101199001011234")
    assert numbers.is_resident_id(match[2])
    assert match[2] != "110101199001011234"
    assert match[3] != "13800138000"


def test_f1_a_strict_policy_keeps_the_mistyped_id_as_it_says() -> None:
    strict = Desensitizer(DesensitizePolicy(stance="strict", profile="structured"), KEYS)
    assert (EntityType.ID_CN, "110101199001011234") not in found(strict, SAMPLE)


def test_f2_no_phone_is_found_inside_an_id(desensitizer: Desensitizer) -> None:
    between, fake = naive.after_phones(SAMPLE)
    assert f"110101{fake}4" in between  # and the id's rule then rewrites that
    assert found(desensitizer, SAMPLE) == {
        (EntityType.PERSON, "张三"),
        (EntityType.ID_CN, "110101199001011234"),
        (EntityType.PHONE, "13800138000"),
    }


def test_f3_two_people_stay_two_and_the_words_between_stay(desensitizer: Desensitizer) -> None:
    assert PARTIES_SHAPE.fullmatch(naive.replaced(PARTIES)) is None
    match = PARTIES_SHAPE.fullmatch(scrub(desensitizer, PARTIES))
    assert match is not None
    assert match[1] != match[2]
    assert {match[1], match[2]}.isdisjoint({"王芳", "李雷"})


def test_f4_medical_terms_and_serial_numbers_stay(desensitizer: Desensitizer) -> None:
    assert naive.replaced(TERMS) != TERMS
    assert scrub(desensitizer, TERMS) == TERMS


def test_f5_rare_surnames_and_spaced_phones_are_found(desensitizer: Desensitizer) -> None:
    assert naive.replaced(HIDDEN) == HIDDEN
    assert found(desensitizer, HIDDEN) >= {
        (EntityType.PERSON, "孙丽"),
        (EntityType.PHONE, "138 0013 8000"),
        (EntityType.PERSON, "欧阳娜娜"),
    }
    output = scrub(desensitizer, HIDDEN)
    assert all(value not in output for value in ("孙丽", "8000", "欧阳", "娜娜"))


def test_f6_noise_cuts_through_no_id() -> None:
    layered = Desensitizer(
        DesensitizePolicy(layers=("entity", "semantic", "noise"), semantic_rate=0.10, noise_rate=0.10), KEYS
    )
    notes = [one.text for one in corpus(3, 40, "zh", hits_per_kb=8.0)]
    texts = [f"{note}\n身份证号：{resident_id(number)}。患者一般情况可。" for number, note in enumerate(notes)]
    assert not any(has_valid_id(naive.noised(text)) for text in map(id_line, texts))
    outputs = [scrub(layered, text, document=f"d{number}") for number, text in enumerate(texts)]
    assert all(has_valid_id(output) for output in outputs)


def test_f7_one_patient_is_one_person_in_two_documents(desensitizer: Desensitizer) -> None:
    first, second = "患者王芳，电话13800138000，复诊。", "今日电话13800138000，患者王芳未接。"
    assert naive.replaced(first, seed=1)[2:4] != naive.replaced(second, seed=2)[-6:-4]
    one = scrub(desensitizer, first, "d1", "P-0001")
    two = scrub(desensitizer, second, "d2", "P-0001")
    name, phone = re.match("患者(.{2})，电话([0-9]{11})，复诊。", one).groups()  # type: ignore[union-attr]
    assert two == f"今日电话{phone}，患者{name}未接。"


def test_f7_two_patients_of_one_name_are_two_people(desensitizer: Desensitizer) -> None:
    text = "患者王芳，电话13800138000，复诊。"
    outputs = {scrub(desensitizer, text, f"d{number}", f"P-{number}") for number in range(5)}
    assert len(outputs) > 1


def test_f7_two_people_in_one_document_are_two(desensitizer: Desensitizer) -> None:
    text = "患者王芳，家属姓名：李建国，联系电话13800138000。"
    assert naive.replaced(text).count(naive.replaced("王芳")) == 2
    match = re.fullmatch("患者(.{2})，家属姓名：(.{3})，联系电话([0-9]{11})。", scrub(desensitizer, text))
    assert match is not None
    assert match[1] != match[2]


def resident_id(number: int) -> str:
    rng = Random(number)
    return numbers.resident_id(rng, numbers.birthday(rng))


def id_line(text: str) -> str:
    return text.splitlines()[-1]


def has_valid_id(text: str) -> bool:
    return any(numbers.is_resident_id(value) for value in re.findall("[0-9]{17}[0-9X]", text))
