from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.addresses import AddressDetector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.detectors.found import found, shared_rows, wide

ZH, EN = AddressDetector("zh"), AddressDetector("en")

CHINESE = [
    ("住北京市海淀区中关村大街27号院3号楼2单元501室。", ["北京市海淀区中关村大街27号院3号楼2单元501室"]),
    ("家庭住址：浙江省杭州市西湖区文三路398号东信大厦12楼1203", ["浙江省杭州市西湖区文三路398号东信大厦12楼1203"]),
    ("户籍地河南省信阳市固始县张广庙镇新店村李庄组", ["河南省信阳市固始县张广庙镇新店村李庄组"]),
    ("我在上海浦东新区张江路88弄6号1202室上班", ["上海浦东新区张江路88弄6号1202室"]),
    ("地址：中山路123号", ["中山路123号"]),
    ("住臺北市信義區松高路11號3樓", ["臺北市信義區松高路11號3樓"]),
    ("朝阳区建国路甲92号", ["朝阳区建国路甲92号"]),
    (wide("地址：人民路123号"), [wide("人民路123号")]),
]
ENGLISH = [
    ("lives at 12 Main Street, Apt. 4B, Boston, MA 02115.", ["12 Main Street, Apt. 4B, Boston, MA 02115"]),
    ("Send it to 1600 Pennsylvania Ave NW, Washington, DC 20500", ["1600 Pennsylvania Ave NW, Washington, DC 20500"]),
    ("P.O. Box 1234, Springfield, IL 62704", ["P.O. Box 1234, Springfield, IL 62704"]),
    ("PSC 1437, Box 3833\nAPO AA 66791", ["PSC 1437, Box 3833\nAPO AA 66791"]),
    ("Meet me at Kiannonkatu 98 Apt. 105", ["Kiannonkatu 98 Apt. 105"]),
    ("She moved to Rue de Rivoli 12\n75001 Paris\nFrance", ["Rue de Rivoli 12\n75001 Paris\nFrance"]),
    ("Hauptstraße 5\n10115 Berlin", ["Hauptstraße 5\n10115 Berlin"]),
    ("at 10 Downing Street, London SW1A 2AA.", ["10 Downing Street, London SW1A 2AA"]),
    ("ul. Więckowskiego Stefana 28", ["ul. Więckowskiego Stefana 28"]),
    ("at the corner of Elm Street and Oak Avenue.", ["the corner of Elm Street and Oak Avenue"]),
    ("he lives at 221b baker street in the city", ["221b baker street"]),
    ("221B Baker St\n\nPhone: 555", ["221B Baker St"]),
    ("ZIP: 02139", ["02139"]),
]
HARD = [
    (ZH, "心功能2级，门诊3号楼2层，左下肢静脉，胃镜室3号，第2组，黄斑区，盲区，小区，道路交通事故后3小时"),
    (ZH, "社区卫生服务中心；城区；市区；街道；农村；同路；心室率80次；病房3号床"),
    (EN, "Figure 3, Table 2, Group 1 and Type 2 Diabetes in 25 Patients; Day 3, Grade 4, Room 5."),
    (EN, "In 2012 the Cochrane Review found 24 trials. COVID 19, Windows 10, Vitamin B 12."),
    (EN, "Dr. Smith saw 12 patients. St. Louis 2010 criteria."),
]


@pytest.mark.parametrize(("text", "expected"), CHINESE, ids=lambda value: str(value)[:20])
def test_a_chinese_address_is_one_span(text: str, expected: list[str]) -> None:
    assert found(ZH, text, EntityType.ADDRESS) == expected


@pytest.mark.parametrize(("text", "expected"), ENGLISH, ids=lambda value: str(value)[:20])
def test_an_address_goes_with_its_tail(text: str, expected: list[str]) -> None:
    assert found(EN, text) == expected


@pytest.mark.parametrize(("detector", "text"), HARD, ids=lambda value: str(value)[:20])
def test_words_that_look_like_places_stay(detector: AddressDetector, text: str) -> None:
    assert found(detector, text) == []


def test_a_label_lifts_a_chinese_address_to_level_three() -> None:
    assert found(ZH, "去中山路123号；住址：中山路123号", level=3) == ["中山路123号"]


def test_a_town_with_its_district_is_a_place_and_no_address() -> None:
    assert found(ZH, "家住湖南省长沙市岳麓区", EntityType.ADDRESS) == []
    assert found(ZH, "家住湖南省长沙市岳麓区", EntityType.LOC) == ["湖南省长沙市岳麓区"]


def test_a_chinese_postcode_takes_a_label() -> None:
    assert found(ZH, "邮编：100080，编号100080", EntityType.POSTCODE) == ["100080"]


@given(st.text(max_size=200))
def test_any_text_gives_spans_inside_it(text: str) -> None:
    for detector in (ZH, EN):
        assert all(0 <= s.start < s.end <= len(text) for s in detector.detect(Document.of(text)))


PARTS = st.sampled_from(
    [*"省市区县路号室村组0\uff11aZ ,.\n\u200b", "北京", "12 ", "Main ", "Street", "Apt. 3", "MA 02115", "\ud800"]
)


@given(st.lists(PARTS, max_size=60).map("".join))
def test_noise_of_parts_gives_spans_inside_it(text: str) -> None:
    for detector in (ZH, EN):
        assert all(0 <= s.start < s.end <= len(text) for s in detector.detect(Document.of(text)))


def test_real_dialogue_without_addresses_is_hardly_touched() -> None:
    rows = shared_rows("zh_medical_dialogue/data.jsonl")[:2000]
    texts = ["\n".join(v for v in row.values() if isinstance(v, str)) for row in rows]
    changed = sum(len(hit) for text in texts for hit in found(ZH, text, EntityType.ADDRESS))
    assert changed <= 0.0005 * sum(map(len, texts))


def test_street_addresses_of_the_public_set_are_covered() -> None:
    rows = shared_rows("presidio_synth/synth_dataset_v2.json")
    num_gold = num_covered = 0
    for row in rows:
        text, gold = str(row["full_text"]), row["spans"]
        assert isinstance(gold, list)
        redacted = {i for s in EN.detect(Document.of(text)) if s.level >= 2 for i in range(s.start, s.end)}
        for span in gold:
            if span["entity_type"] == "STREET_ADDRESS":
                num_gold += 1
                num_covered += redacted.issuperset(range(span["start_position"], span["end_position"]))
    assert num_covered >= 0.9 * num_gold
