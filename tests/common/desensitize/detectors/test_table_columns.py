"""Tables inside a text: the label in the header counts for the values below it."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.rules import finder
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.detectors.table_columns import HEADER, column_hits
from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.detectors.marked import ENGINES, found

TABLES = [
    "住院号|姓名|费用\n«MRN 4410066»|魏宇龙|13.65\n«MRN MZ201147028073»|莫轮超|18.78\n出院",
    "姓名\t病案号\n魏宇龙\t«MRN ZY4769121»\n",
    "姓名,医保卡号,科室\n魏宇龙,«HEALTH_PLAN XQ097496296»,内科",
    "name,MRN\nWei,«MRN 0080115»",
    "费用说明如下。\n住院号|费用\n«MRN 6911-38752»|5039.35",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("marked", TABLES)
def test_values_below_their_label_are_found(marked: str, engine: str) -> None:
    assert found(marked, "re" if engine == "re" else "re2") == marked


@pytest.mark.parametrize(
    "text",
    [
        "住院号|姓名\n\n4410066|魏宇龙",
        "住院号|姓名\n4410066|魏宇龙|内科",
        "住院号|费用\n魏宇龙|4410066",
        "见住院号，然后\n4410066，余下",
        "床号|姓名\n44100|魏宇龙",
    ],
)
def test_other_lines_and_other_columns_stay(text: str) -> None:
    assert list(column_hits(text, finder(HEADER.encode(), None))) == []


def test_a_header_says_nothing_about_the_next_record() -> None:
    documents = [Document.of("住院号|姓名"), Document.of("4410066|魏宇龙")]
    spans = StructuredDetector({}).detect_many(documents)
    assert [span for found in spans for span in found if span.type is EntityType.MRN] == []
