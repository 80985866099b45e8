"""Names behind labels in quotes, tags, brackets and cells of tables."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector
from fedward.common.desensitize.spans import EntityType

CHINESE, ENGLISH = ChineseNameDetector("structured"), EnglishNameDetector("structured")


def _names(text: str) -> set[str]:
    document = Document.of(text)
    spans = CHINESE.detect(document) + ENGLISH.detect(document)
    return {text[span.start : span.end] for span in spans if span.type is EntityType.PERSON}


@pytest.mark.parametrize(
    "text",
    [
        '"姓名": "张三"',
        "'name':'张三'",
        '\\"姓名\\": \\"张三\\"',
        "“姓名”：“张三”",
        "<name>张三</name>",
        "<姓名>张三</姓名>",
        '<姓名 type="s">张三</姓名>',
        "<患者>张三</患者>",
        '"患者": "张三"',
        "姓名\t张三",
        "姓名：\n张三",
        "|姓名|张三|",
        "| 姓名 | 张三 |",
        "【姓名】张三",
        "<td>姓名</td><td>张三</td>",
        "name\t张三",
    ],
)
def test_a_chinese_name_ends_where_its_field_does(text: str) -> None:
    assert _names(text) == {"张三"}


@pytest.mark.parametrize(
    "text",
    [
        '"name": "Xqzwv Brltmn"',
        '\\"name\\": \\"Xqzwv Brltmn\\"',
        '"patient_name": "Xqzwv Brltmn", "age": 3',
        '"patientName":"Xqzwv Brltmn"',
        "<name>Xqzwv Brltmn</name>",
        '<name use="official">Xqzwv Brltmn</name>',
        "<patient>Xqzwv Brltmn</patient>",
        "Name\tXqzwv Brltmn",
        "| Name | Xqzwv Brltmn |",
        "<td>Name</td><td>Xqzwv Brltmn</td>",
    ],
)
def test_an_english_name_ends_where_its_field_does(text: str) -> None:
    assert _names(text) == {"Xqzwv Brltmn"}


def test_a_listed_name_in_lower_case_fills_a_quoted_field() -> None:
    assert _names("'name': 'jane doe'") == {"jane doe"}


@pytest.mark.parametrize(
    "text",
    [
        "</name>张三丰富的",
        "</患者姓名>王者归来",
        "</name> John Smith went",
        "姓名\t性别\t年龄",
        "| 经办 | 金额 | 项目 |",
        "收款人\t余额\n",
        "签名：\n年 月 日",
        "姓名：\n性别：",
        "name\t性别",
        "Name\tDOB\tMRN",
        "| Name | Date | Amount |",
        "| Patient | Provider |",
        '{"name": "get_weather"}',
        "<drug><name>Warfarin</name></drug>",
        '"name": "aspirin"',
    ],
)
def test_headings_closing_tags_and_things_are_no_names(text: str) -> None:
    assert _names(text) == set()
