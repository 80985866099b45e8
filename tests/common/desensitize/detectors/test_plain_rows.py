"""What numpy decides for a whole block without a second look: phones, plates, fields without a label, headers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import labels, runs
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.fields import field_starts
from fedward.common.desensitize.detectors.label_ends import label_table, unlabelled
from fedward.common.desensitize.detectors.labels import MONEY, OTHER, WORDS, Labels
from fedward.common.desensitize.detectors.plain_phones import plain_phones
from fedward.common.desensitize.detectors.plain_plates import plain_plates
from fedward.common.desensitize.detectors.reading import RETYPED, Reader
from fedward.common.desensitize.detectors.rules import PROVINCES, finder
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.detectors.table_columns import HEADER, lines_with_header
from fedward.common.desensitize.spans import EntityType

PAD = "\n" * runs.PAD_BYTES
LABELS = Labels(lambda pattern: finder(pattern, None))
READER = Reader(LABELS)
WORDS_OF_LABELS = sorted({word for columns in WORDS.values() for column in columns for word in column.split("|")})
words = st.one_of(
    st.sampled_from(WORDS_OF_LABELS),
    st.sampled_from(WORDS_OF_LABELS).map(str.upper),
    st.sampled_from(WORDS_OF_LABELS).map(lambda word: word.replace(" ", "_")),
    st.sampled_from(
        ["患者：", "家属", "批號", "户 名", "ID号", "，", "。", ";", ": ", "=", "是", "（", " ", "\n", "b", "#"]
    ),
)
MANY = "平" * 9000
DETECTORS = (StructuredDetector({}), StructuredDetector(dict.fromkeys(EntityType, 1)))
PHONE = "13800138000"


def _block(text: str) -> tuple[bytes, runs.Bytes]:
    data = (PAD + text + PAD).encode()
    return data, np.frombuffer(data, np.uint8)


@given(st.lists(words, max_size=4).map("".join))
def test_a_place_that_is_called_unlabelled_has_no_label(before: str) -> None:
    data, block = _block(before + "1")
    start = np.array([len(data) - len(PAD) - 1])
    if unlabelled(block, start, field_starts(block, start))[0]:
        assert LABELS.nearest(data, int(start[0])) is None


@pytest.mark.parametrize("word", WORDS_OF_LABELS)
def test_every_label_is_seen_where_it_ends(word: str) -> None:
    for form in (word, word.upper(), word.title(), word.translate({ord(c): t for c, t in labels.TRADITIONAL.items()})):
        data, block = _block(f"，{form}1")
        start = np.array([len(data) - len(PAD) - 1])
        assert not unlabelled(block, start, field_starts(block, start))[0]


def test_prose_is_unlabelled() -> None:
    data, block = _block("，家属：1")
    start = np.array([len(data) - len(PAD) - 1])
    assert unlabelled(block, start, field_starts(block, start))[0]


@given(
    st.lists(words, max_size=3).map("".join),
    st.sampled_from(
        ["", "，", " ", "元", "转12", " 转12", "-1", ".5", "%", " ext 3", "。", "）", "和", "¥", "￥", "$"]
    ),
)
def test_a_plain_phone_is_one_that_the_reader_takes_as_it_stands(before: str, after: str) -> None:
    data, block = _block(before + PHONE + after)
    start = data.index(PHONE.encode())
    starts, ends = np.array([start]), np.array([start + len(PHONE)])
    table = label_table((OTHER, MONEY, *RETYPED))
    plain = plain_phones(block, starts, ends, lambda at: unlabelled(block, at, field_starts(block, at), table))
    READER.forget()
    if plain[0]:
        assert READER.phone(data, start, int(ends[0])) == (start, ends[0], EntityType.PHONE, 2, "mobile_prefix")


@pytest.mark.parametrize(
    "text", ["，13800138000，", "电话：13800138000。", "手机号: 13800138000）", "家属13800138000\n"]
)
def test_most_phones_are_plain(text: str) -> None:
    data, block = _block(text)
    start = data.index(PHONE.encode())
    starts, ends = np.array([start]), np.array([start + len(PHONE)])
    assert plain_phones(block, starts, ends, lambda at: unlabelled(block, at, field_starts(block, at)))[0]


@pytest.mark.parametrize(
    ("text", "plates"),
    [
        ("车牌粤B12345，", ["粤B12345"]),
        ("沪A·D12345已续费", ["沪A·D12345"]),
        ("京A-F8866，京A 12B45。", ["京A-F8866", "京A 12B45"]),
        ("最新A12345，更新B12345。", []),
        ("WJ京A12345，苏*京A12345，京A1234567，京AI2345，京A12345警，京a12345，京A1234*，", []),
        ("粤ID1234 12", []),
    ],
)
def test_plain_plates_are_found_and_others_left(text: str, plates: list[str]) -> None:
    data, block = _block(text)
    starts, ends = plain_plates(block)
    assert [data[start:end].decode() for start, end in zip(starts, ends, strict=True)] == plates


def test_no_label_ends_in_a_province_so_that_none_reaches_over_a_plate() -> None:
    provinces = PROVINCES.split("|")
    inside = {c for zh, _ in WORDS.values() for word in zh.split("|") for c in word[1:] if c in provinces}
    assert inside == set()
    assert not any(c in labels.SEPARATOR for c in provinces)


pieces = st.one_of(
    st.sampled_from(
        ["粤B12345", "沪A·D12345", "京A ", "新A12345", "更", "WJ", "李*", "警", "·", "1.2.3.4", "10.0.0.1"]
    ),
    st.sampled_from(
        ["116.397120", "20.26.1", "37964-2019", "时间21:36", "有效期24个月", "年龄：95.5", "Age 97.5", "::"]
    ),
    st.sampled_from(
        ["13800138000", "138-0013-8000", "138 0013 8000", "110101-19900101-1237", "86", "fe80", "12345678"]
    ),
    st.sampled_from(
        [
            "电话",
            "手机：",
            "身份证",
            "批号",
            "金额",
            "住院号：",
            "ID",
            "lot@ab.cn",
            "tel:",
            "，",
            "。",
            " ",
            "\n",
            "转",
            "与",
            "岁",
        ]
    ),
    st.text("0123456789.-: ，AB年月日号岁", max_size=8),
)


@given(st.lists(pieces, max_size=7).map("".join))
def test_a_block_gives_the_hits_that_plain_python_gives(text: str) -> None:
    for detector in DETECTORS:
        alone = detector.detect_many([Document.of(text)])[0]
        assert detector.detect_many([Document.of(MANY), Document.of(text)])[1] == alone


@given(
    st.lists(
        st.sampled_from(
            ["住院号", "MRN", "患者ID", "病案號", "号", "码", "|", ",", "，", ";", "\t", "\n", " ", "a", "费用"]
        )
    ).map("".join)
)
def test_every_line_with_a_header_is_looked_at(text: str) -> None:
    padded = PAD + text + PAD
    data, find = padded.encode(), finder(HEADER.encode(), None)
    lines = lines_with_header(padded, data)
    at, held = 0, set()
    while (span := find(data, at)) is not None:
        held.add(data.count(b"\n", 0, span[0]))
        at = span[1]
    assert held <= {data.count(b"\n", 0, start) for start, _ in lines}
    assert all(data[end - 1] == 10 and data.count(b"\n", start, end) == 1 for start, end in lines)
