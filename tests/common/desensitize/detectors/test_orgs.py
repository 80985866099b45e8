from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import orgs
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.orgs import OrganisationDetector
from tests.common.desensitize.detectors.found import found, shared_rows

ZH, EN = OrganisationDetector("zh"), OrganisationDetector("en")

CHINESE = [
    ("患者曾在北京协和医院就诊", ["北京协和医院"]),
    ("建议去复旦大学附属中山医院复查", ["复旦大学附属中山医院"]),
    ("转协和医院治疗", ["协和医院"]),
    ("招商银行上海分行陆家嘴支行", ["招商银行上海分行陆家嘴支行"]),
    ("开户行：中国工商银行北京海淀支行", ["中国工商银行北京海淀支行"]),
    ("就职于深圳市腾讯计算机系统有限公司", ["深圳市腾讯计算机系统有限公司"]),
    ("畢業於清華大學", ["清華大學"]),
    ("他在华为公司工作", ["华为公司"]),
    ("无锡市人民医院", ["无锡市人民医院"]),
]
ENGLISH = [
    ("Seen at Mercy General Hospital.", ["Mercy General Hospital"]),
    ("St. Mary's Medical Center called", ["St. Mary's Medical Center"]),
    ("works for Acme Widgets Ltd.", ["Acme Widgets Ltd."]),
    ("studied at the University of Leeds", ["University of Leeds"]),
    ("White, Willis and Hoffman LLP", ["White, Willis and Hoffman LLP"]),
]
GENERIC = [
    (ZH, "去医院，我院，当地医院，上级医院，三甲医院，正规医院，哪家医院好，专科医院，市人民医院，肝病医院"),
    (ZH, "网上银行，贷款公司，该公司，这所学校，读小学，上大学"),
    (EN, "The Hospital and the Clinic; Our Medical Center; High School; a Bank Account; Control Group"),
]


@pytest.mark.parametrize(("text", "expected"), [*CHINESE], ids=lambda value: str(value)[:20])
def test_a_chinese_organisation_is_cut_out_of_its_sentence(text: str, expected: list[str]) -> None:
    assert found(ZH, text) == expected


@pytest.mark.parametrize(("text", "expected"), [*ENGLISH], ids=lambda value: str(value)[:20])
def test_an_english_organisation_is_found_by_head_or_form(text: str, expected: list[str]) -> None:
    assert found(EN, text) == expected


@pytest.mark.parametrize(("detector", "text"), GENERIC, ids=lambda value: str(value)[:20])
def test_a_kind_of_organisation_names_none(detector: OrganisationDetector, text: str) -> None:
    assert found(detector, text) == []


@given(st.text(max_size=200))
def test_any_text_gives_spans_inside_it(text: str) -> None:
    for detector in (ZH, EN):
        assert all(0 <= s.start < s.end <= len(text) for s in detector.detect(Document.of(text)))


PARTS = st.sampled_from(
    [
        "医院",
        "银行",
        "北京",
        "协和",
        "在",
        "的",
        "（",
        "）",
        "分行",
        "Mercy ",
        "Hospital",
        "Ltd",
        " of ",
        "\n",
        "\u200b",
    ]
)


@given(st.lists(PARTS, max_size=60).map("".join))
def test_noise_of_parts_gives_spans_inside_it(text: str) -> None:
    for detector in (ZH, EN):
        assert all(0 <= s.start < s.end <= len(text) for s in detector.detect(Document.of(text)))


def test_real_dialogue_is_hardly_touched() -> None:
    rows = shared_rows("zh_medical_dialogue/data.jsonl")[:2000]
    texts = ["\n".join(v for v in row.values() if isinstance(v, str)) for row in rows]
    assert sum(len(hit) for text in texts for hit in found(ZH, text)) <= 0.001 * sum(map(len, texts))


def test_exported_names_are_sorted() -> None:
    assert orgs.__all__ == sorted(set(orgs.__all__) & set(dir(orgs)), key=str.casefold)


def test_the_terms_that_a_naive_desensitiser_eats_are_no_organisation() -> None:
    assert found(ZH, "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567；于2025年办理贷款业务") == []
