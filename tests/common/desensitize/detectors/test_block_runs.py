"""What numpy does for a whole block is what plain Python does for one text."""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import runs
from fedward.common.desensitize.detectors.anchors import find_links
from fedward.common.desensitize.detectors.document import Document, fold
from fedward.common.desensitize.detectors.fields import field_starts
from fedward.common.desensitize.detectors.idle_runs import idle_runs, lengthy_rows, undated_rows
from fedward.common.desensitize.detectors.labels import MAX_LABEL_BYTES, WORDS, field_start
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.spans import EntityType

PAD = "\n" * runs.PAD_BYTES
MANY = "平" * 9000
"""So much text that the block is read with numpy."""
DETECTORS = (StructuredDetector({}), StructuredDetector(dict.fromkeys(EntityType, 1)))


def _groups(text: str) -> tuple[runs.Groups, bytes]:
    data = (PAD + text + PAD).encode()
    return runs.Groups.of(np.frombuffer(data, np.uint8)), data


def _idle(text: str) -> list[str]:
    groups, data = _groups(text)
    return [data[start:end].decode() for start, end in idle_runs(groups)]


@pytest.mark.parametrize(
    "text",
    [
        "参照GB/T 37964-2019与YY/T 0287-2017执行",
        "XX 133-857-08079，",
        "Jan 12-2024, ",
        "WJ京12345-678，",
        "川 B 15357-123，",
        "使 540-102，",
        "另一批号为2485892009454540752304，均已核对",
        "条码6939999999999，库存件号16805190170，箱号47899750",
        "卡号622202123456789012，",
        "00080115号病历",
        "12345678901转123",
        "电话 177 1559 8006，",
        "510104-19420707-0161；",
        "金额：1816-593-2661元",
        "Aged 978-3-1234，",
        "GB33 BUKB 2020 1555 5555 55，",
        "２０２４-01-05\u200b，1\u200b38 0013 8000",
        "坐标116.397120，39.916748，固件v20.26.1。",
        "年龄：95.5，Age 97.25，年齡 101.12，",
        "条款1.1.1.1。IP：1.2.3.4，",
        "fe80::1234.567，fe80::12-345，",
        "采样时间21:36:37，送检时间2024.3.5，时间20240305，有效期24个月",
        "37964-2019年5月，3-92岁，12-1234是您的验证码",
        "138-0013-8000",
        "password: 177-1559-8006",
        "2024-01-05 13800138000 6222 0212 3456 7890 123",
    ],
)
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_text_gives_the_same_hits_alone_and_in_a_large_block(detector: StructuredDetector, text: str) -> None:
    alone, _, again = (
        detector.detect_many([Document.of(text)])[0],
        *detector.detect_many([Document.of(MANY), Document.of(text)]),
    )
    assert again == alone


def test_a_standard_and_a_book_number_are_idle() -> None:
    assert _idle("按YY/T 37964-2019，参考书ISBN 978-3-438-50014-4，另一批号为2485892009454540752304，") == [
        "2485892009454540752304",
        "37964-2019",
        "978-3-438-50014-4",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "年龄：95.5，",
        "192.168.1.1，",
        "5.3.2024，",
        "fe80::1.234，",
        "12-1234是",
        "Jan 12-2024,",
        "XX 555-0143,",
        "WJ京12345-678,",
        "2019-12-05,",
        "133-857-08079x",
    ],
)
def test_what_a_shape_may_need_is_not_idle(text: str) -> None:
    assert _idle(text) == []


def test_decimals_are_idle_and_sections_where_no_address_of_level_1_counts() -> None:
    assert _idle("坐标116.397120，比值3.14159。条款1.1.1.1，") == ["116.397120", "3.14159"]
    groups, data = _groups("条款1.1.1.1，IP 1.2.3.4，")
    assert [data[start:end] for start, end in idle_runs(groups, sections=True)] == [b"1.1.1.1"]


def test_what_stands_behind_a_dates_label_is_no_value_unless_it_is_a_date() -> None:
    groups, data = _groups("时间21:36，有效期24个月，时间20240305，出生19800101，住院号12")
    assert [data[groups.starts[row] : groups.ends[row]] for row in undated_rows(groups)] == [b"21", b"24"]


def test_the_words_before_what_is_never_a_value_are_labels_of_dates_alone() -> None:
    for word in ("时间", "效期"):
        ending = {kind for kind, columns in WORDS.items() for w in columns[0].split("|") if w.endswith(word)}
        assert ending == {"DATE"}
        assert not any(word.endswith(w) and w != word for columns in WORDS.values() for w in columns[0].split("|"))


def test_a_card_of_eighteen_digits_is_left_to_the_scan() -> None:
    groups, data = _groups("编号622202123456789012，条码6939999999999，")
    assert [data[groups.starts[row] : groups.ends[row]] for row in lengthy_rows(groups)] == [b"6939999999999"]


@given(st.text("ab1，。；,;\n :", min_size=1, max_size=80))
def test_fields_of_a_block_begin_where_the_look_back_says(text: str) -> None:
    data = (PAD + text + PAD).encode()
    starts = np.arange(runs.PAD_BYTES, len(data) - runs.PAD_BYTES)
    expected = {at: field_start(data, max(at - MAX_LABEL_BYTES, 0), at) for at in starts.tolist()}
    # a start inside a character has no field: the scan never asks there
    inside = [at for at in starts.tolist() if 0x80 <= data[at] < 0xC0]
    firsts = field_starts(np.frombuffer(data, np.uint8), starts)
    found = dict(zip(starts.tolist(), firsts.tolist(), strict=True))
    assert {at: v for at, v in found.items() if at not in inside} == {
        at: v for at, v in expected.items() if at not in inside
    }


@given(st.text("a1１Ａ＠－．＋＿\u00a0\u200b\ufeff\u00ad，中𠮷", max_size=60))
def test_a_long_text_folds_like_a_short_one(text: str) -> None:
    short, kept = fold(text)
    long, kept_long = fold(text + MANY)
    assert long == short + MANY
    if kept is not None:
        assert kept_long is not None
        assert list(kept_long[: len(short)]) == list(kept)
    else:
        assert kept_long is None


@given(st.lists(st.sampled_from(["www.", "data:", "://", "http", "a.cn", "image/png;base64,", "w", ":", "/", " "])))
def test_links_are_found_alike_in_short_and_long_texts(parts: list[str]) -> None:
    text = "".join(parts).encode()
    assert find_links(text + b"\n" * 20_000) == find_links(text + b"\n")
