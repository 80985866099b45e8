# ruff: noqa: RUF001 - full-width text is what is read
"""What holds for any text: offsets, equal engines, blocks like single records, time linear in the text."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import runs, short_runs
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.labels import Find
from fedward.common.desensitize.detectors.rules import Engine
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.spans import EntityType, Span, merge
from tests.common.desensitize.detectors.marked import DETECTORS, EVERYTHING, plain
from tests.common.desensitize.detectors.test_scan_en import SINGLE as SINGLE_EN
from tests.common.desensitize.detectors.test_scan_negatives import UNTOUCHED
from tests.common.desensitize.detectors.test_scan_zh import SINGLE as SINGLE_ZH

FRAGMENTS = [plain(marked) for marked in (*SINGLE_ZH, *SINGLE_EN)] + UNTOUCHED
ALPHABET = "0123456789 -.()+:/@*#_Xx年月日号岁，。、：（）ABCDEFabcdefTelMRN电话身份证卡京A一二三〇\n\u200b０１￥"
pieces = st.one_of(
    st.sampled_from(FRAGMENTS),
    st.text(ALPHABET, max_size=24),
    st.text("0123456789 -.", min_size=6, max_size=40),
    st.text("0123456789年月日-/.", min_size=6, max_size=30),
)
texts = st.lists(pieces, min_size=1, max_size=6).map("".join)


def _random_texts(seed: int, num: int) -> list[str]:
    """Strings of identifier-like characters and cut fragments."""
    rng = np.random.default_rng(seed)  # noqa: TID251 - a test's own strings
    made = []
    for _ in range(num):
        parts = []
        for _ in range(rng.integers(1, 6)):
            fragment = FRAGMENTS[rng.integers(len(FRAGMENTS))]
            cut = sorted(rng.integers(0, len(fragment) + 1, 2))
            noise = "".join(ALPHABET[i] for i in rng.integers(0, len(ALPHABET), rng.integers(0, 16)))
            parts.append([fragment, fragment[cut[0] : cut[1]], noise][rng.integers(3)])
        made.append("".join(parts))
    return made


def _check_spans(text: str, spans: list[Span]) -> None:
    end = 0
    for span in spans:
        assert end <= span.start < span.end <= len(text)
        end = span.end
    assert merge(spans) == spans


@given(st.text(max_size=200))
def test_any_text_is_read_and_spans_lie_in_it(text: str) -> None:
    _check_spans(text, EVERYTHING["re2"].detect(Document.of(text)))


@given(texts)
def test_spans_are_sorted_disjoint_and_inside(text: str) -> None:
    _check_spans(text, EVERYTHING["re2"].detect(Document.of(text)))


@given(texts)
def test_both_engines_give_the_same_hits(text: str) -> None:
    document = Document.of(text)
    assert EVERYTHING["re"].detect(document) == EVERYTHING["re2"].detect(document)


@pytest.mark.slow
def test_both_engines_give_the_same_hits_on_sixty_thousand_strings() -> None:
    documents = [Document.of(text) for text in _random_texts(7, 60_000)]
    assert EVERYTHING["re"].detect_many(documents) == EVERYTHING["re2"].detect_many(documents)


@settings(deadline=None)
@given(st.lists(texts, max_size=30))
def test_many_records_give_what_each_gives_alone(rows: list[str]) -> None:
    documents = [Document.of(row) for row in rows]
    assert EVERYTHING["re2"].detect_many(documents) == [EVERYTHING["re2"].detect(d) for d in documents]


def test_a_large_block_gives_what_each_record_gives_alone() -> None:
    documents = [Document.of(text) for text in _random_texts(11, 4000)]
    assert DETECTORS["re2"].detect_many(documents) == [DETECTORS["re2"].detect(d) for d in documents]


@given(texts)
def test_short_texts_are_typed_as_numpy_types_blocks(text: str) -> None:
    data = ("\n" * runs.PAD_BYTES + text + "\n" * runs.PAD_BYTES).encode("utf-8", "surrogatepass")
    assert short_runs.typed_runs(data) == runs.typed_runs(runs.Groups.of(np.frombuffer(data, np.uint8)))


def test_hits_survive_whatever_stands_in_other_records() -> None:
    alone = DETECTORS["re2"].detect(Document.of("手机13800138000"))
    rows = ["身份证", "手机13800138000", "", "，批号", "13912345678"]
    assert DETECTORS["re2"].detect_many([Document.of(row) for row in rows])[1] == alone


@pytest.mark.parametrize("wide", ["", "张", "𠀀", "é", "\u200b"])
def test_offsets_are_code_points_whatever_stands_before(wide: str) -> None:
    text = wide * 3 + "，13800138000"
    (span,) = DETECTORS["re2"].detect(Document.of(text))
    assert text[span.start : span.end] == "13800138000"


def test_offsets_are_code_points_in_a_block_of_mixed_widths() -> None:
    rows = [f"{'张é𠀀a'[i % 4] * (i % 17)}，13800138000；{'é' * (i % 5)}" for i in range(2000)]
    found = DETECTORS["re2"].detect_many([Document.of(row) for row in rows])
    assert {row[s.start : s.end] for row, spans in zip(rows, found, strict=True) for s in spans} == {"13800138000"}


HOSTILE: dict[str, str] = {
    "ones with blanks": "1 ",
    "ones with hyphens": "1-",
    "dotted": "1.",
    "addresses": "a@",
    "letters": "a",
    "capitals": "A",
    "digits": "1",
    "groups": "138-",
    "labels": "电话",
    "labels and digits": "电话1",
    "links": "www.",
    "schemes": "http://",
    "data": "data:image/png;base64,",
    "trailing": "http://a.b/).",
    "masks": "张**",
    "stars": "*",
    "hex": "a:",
    "images": ".jpg",
    "plates": "京A",
    "brackets": "(at)",
}


class _Counting(StructuredDetector):
    """Counts the hits it looks at, and the bytes in them."""

    steps = 0

    def __init__(self, engine: Engine) -> None:
        super().__init__(dict.fromkeys(EntityType, 1), engine=engine)
        self._finds = tuple(map(self._counted, self._finds))

    def _counted(self, find: Find) -> Find:
        def counted(data: bytes, at: int, end: int = sys.maxsize) -> tuple[int, int] | None:
            span = find(data, at, min(end, len(data)))
            self.steps += 1 if span is None else 1 + span[1] - span[0]
            return span

        return counted


@pytest.mark.parametrize("engine", ["re2", "re"])
@pytest.mark.parametrize("name", HOSTILE)
def test_work_is_linear_in_hostile_text(name: str, engine: Engine) -> None:
    work = []
    for size in (2000, 4000):
        detector = _Counting(engine=engine)
        detector.detect(Document.of(HOSTILE[name] * (size // len(HOSTILE[name]))))
        work.append(detector.steps)
    assert work[1] <= 2.5 * work[0] + 100


def test_a_megabyte_of_trailing_punctuation_is_one_link() -> None:
    (span,) = DETECTORS["re2"].detect(Document.of("http://a.bc/" + ")." * 500_000))
    assert span.type is EntityType.URL
