"""Rows F1 to F7 of the naive desensitiser, as far as surrogates go: the spans are given, the text is emitted once."""

import re

from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.surrogates import DocumentSurrogates, is_valid
from tests.common.desensitize.surrogates.making import document

T = EntityType
F1 = "用户张三的身份证号是110101199001011234,手机号是13800138000,于2025年办理贷款业务"


def scrubbed(text: str, found: list[tuple[EntityType, str]], made: DocumentSurrogates | None = None) -> str:
    """``text`` with the named pieces replaced, left to right, once."""
    made = made or document()
    made.announce(found)
    spans = sorted(
        Span(at.start(), at.end(), type_, 3, "given")
        for type_, piece in found
        for at in re.finditer(re.escape(piece), text)
    )
    out, at = [], 0
    for span in spans:
        out += [text[at : span.start], made.replace(span.type, text[span.start : span.end]).text]
        at = span.end
    return "".join([*out, text[at:]])


def test_f1_and_f2_words_stay_and_each_number_is_replaced_once_by_a_valid_one() -> None:
    found = [(T.PERSON, "张三"), (T.ID_CN, "110101199001011234"), (T.PHONE, "13800138000")]
    out = scrubbed(F1, found)
    read = re.fullmatch(r"用户(..)的身份证号是(\w{18}),手机号是(\d{11}),于2025年办理贷款业务", out)
    assert read is not None
    assert is_valid(T.ID_CN, read[2])
    assert is_valid(T.PHONE, read[3])
    assert not {"张", "三"} & set(read[1])
    assert not any(piece in out for _, piece in found)


def test_f3_two_people_stay_two_and_the_text_intact() -> None:
    out = scrubbed("委托人王芳向李雷汇款", [(T.PERSON, "王芳"), (T.PERSON, "李雷")])
    read = re.fullmatch(r"委托人(..)向(..)汇款", out)
    assert read is not None
    assert read[1] != read[2]
    assert not set("王芳李雷") & set(read[1] + read[2])


def test_f4_text_without_spans_is_unchanged() -> None:
    text = "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567"
    assert scrubbed(text, []) == text


def test_f5_spaced_phone_and_compound_surname_keep_their_form() -> None:
    out = scrubbed(
        "患者孙丽，电话138 0013 8000；欧阳娜娜",
        [(T.PERSON, "孙丽"), (T.PHONE, "138 0013 8000"), (T.PERSON, "欧阳娜娜")],
    )
    assert re.fullmatch(r"患者..，电话1\d\d \d{4} \d{4}；(..)(.)\2", out)


def test_f7_two_documents_of_one_patient_agree_and_two_people_in_one_differ() -> None:
    found = [(T.PERSON, "王芳"), (T.PERSON, "王芳医生"), (T.PHONE, "13800138000"), (T.DATE, "2024-03-05")]
    text = "王芳 13800138000 2024-03-05"
    first = scrubbed(text, found, document("P-0001", document_id="a"))
    assert first == scrubbed(text, found, document("P-0001", document_id="b"))
    assert first != scrubbed(text, found, document("P-0002", document_id="a"))
    assert len({document().replace(T.PERSON, name).text for name in ("王芳", "李雷", "王磊", "李芳")}) == 4
