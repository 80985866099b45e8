"""Structured values that the parts of the pipeline missed in each other: a regression table by cause."""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.labels import Labels
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
from fedward.common.desensitize.detectors.orgs import OrganisationDetector
from fedward.common.desensitize.detectors.rules import finder
from tests.common.desensitize.detectors.found import found as texts
from tests.common.desensitize.detectors.marked import ENGINES, found

FOUND = [
    # labels with blanks between their characters, as forms align them
    "姓 名：张三 住 院 号：«MRN ZY1234567» 性 别：男",
    "住\u3000院\u3000号：«MRN ZY1234567»",
    "医 保 卡 号：«HEALTH_PLAN ZY1234567»",
    # speech between a label and its value, and the label behind it
    "住院号我记得是«MRN 00334988»。",
    "住院号好像是«MRN ZY0832001»。",
    "核对腕带：谢馨丽/«MRN 00080115»号病历",
    "MRN on file is «MRN 00092250»",
    "passport number on file is «PASSPORT 462289496»",
    # a Latin label glued to a date
    "DOB«DATE 1948年8月21日»，",
    "DOB«DATE 1992-07-23»，",
    "DOB «DATE 2003.06.18» ",
    # full-width underscore
    "邮箱：«EMAIL ｚｈａｎｇ＿ｗｅｉ＠ｇｍａｉｌ．ｃｏｍ»。",
    # a sentence ends the field of a label of another kind
    "Lot 164 deferred. Call «PHONE 416-802-8763»",
    "Sample deferred. Noted «SSN 228-74-4835».",
    "Chloe Price - «PHONE 702-657-3217»",
    "Price - «PHONE 13800138000».".replace("13800138000", "138-0013-8000"),
    "Price (SS# «SSN 228-74-4835») and",
    "her SS#: «SSN 845 40 9951» was",
    # a phone in three groups with blanks
    "mother, «PHONE 415 657 9083».",
    "«EMAIL x@yahoo.co.uk»,«PHONE 212 785 0986»,",
    "My number is «PHONE 617-502-4404».",
    "My Number: «NATIONAL_ID 1234 5678 9018»",
    # a card and an amount
    "；华豪华 «CARD 4111-1111-1111-1111» 34,026.87。",
    "卡«CARD 4111 1111 1111 1111» 220,944.20",
    "卡«CARD 4111 1111 1111 1111» 220.45",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("marked", FOUND)
def test_what_was_missed_is_found(marked: str, engine: str) -> None:
    assert found(marked, "re" if engine == "re" else "re2") == marked


LEFT = [
    "Lot no. 604-555-1234 of",
    "amount 4155550123",
    "values 120 415 657 9083 and",
    "价格13800138000元",
    "in 0040472902, 6-Sep-2023",
    "3号病人，2床病人",
]


@pytest.mark.parametrize("text", LEFT)
def test_what_is_of_another_kind_stays(text: str) -> None:
    assert "PHONE" not in found(text)
    assert "TXN" not in found(text)
    assert "MRN" not in found(text)


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("Lot no. ", "OTHER"),
        ("Lot no. A", "OTHER"),
        ("Lot deferred. Noted ", None),
        ("Model 12. Noted (", None),
        ("Ref. No. ", "TXN"),
        ("Acct. No. ", "ACCOUNT"),
    ],
)
def test_a_full_stop_before_a_capital_ends_the_field_but_for_abbreviations(before: str, kind: str | None) -> None:
    nearest = Labels(lambda pattern: finder(pattern, "re2")).nearest(before.encode(), len(before))
    assert (nearest and nearest[0]) == kind


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Attending: Dr. Kowalski. Diet as before.", ["Dr. Kowalski"]),
        ("Signed by: Maria K. Lopez. Follow up", ["Maria K. Lopez"]),
        ("Patient: John St. James. Diet", ["John St. James"]),
        ("Dr. Singh will call Grace at 415-802-6701.", ["Singh", "Grace"]),
        ("flagged by Mei Mbeki.", ["Mei Mbeki"]),
        ("Castellano to Mei Mbeki, Acct no. 20", ["Mei Mbeki"]),
    ],
)
def test_an_english_name_ends_with_its_sentence(text: str, names: list[str]) -> None:
    assert texts(EnglishNameDetector("fast"), text)[-len(names) :] == names


@pytest.mark.parametrize("text", ["于2019年入住仁济医院眼科", "该同志调入同仁医院。"])
def test_the_verb_before_an_organisation_is_no_part_of_it(text: str) -> None:
    assert all(found.startswith(("仁济", "同仁")) for found in texts(OrganisationDetector("zh"), text))
