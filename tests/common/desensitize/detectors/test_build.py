"""Which texts the English detectors read."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.build import build_detectors
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.spans import EntityType

DETECTORS = build_detectors(DesensitizePolicy.model_validate({"profile": "fast"}))


def _persons(text: str) -> set[str]:
    document = Document.of(text)
    spans = [span for detector, _ in DETECTORS.assigned([document]) for span in detector.detect(document)]
    return {text[span.start : span.end] for span in spans if span.type is EntityType.PERSON}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my name is lena andersson.", "lena andersson"),
        ("follow up with patricia desrosiers in a couple of months", "patricia desrosiers"),
        ("patient name: li na", "li na"),
        ("收款人 payee name: jane doe", "jane doe"),
    ],
)
def test_a_text_without_a_capital_is_read(text: str, name: str) -> None:
    assert name in _persons(text)


@pytest.mark.parametrize("text", ["阿托伐他汀 20mg qn po", "12 / 3.4", ""])
def test_units_and_numbers_need_no_english_detector(text: str) -> None:
    assert not set(DETECTORS.for_text(text)) & set(DETECTORS.english)
