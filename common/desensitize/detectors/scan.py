"""The structured detector: numbers, codes, addresses of machines, dates and ages, in Chinese and English.

Invariants: one scan over the UTF-8 bytes of many records joined by newlines, which no rule crosses, so a record gives
the same hits alone and in a block; both engines give the same hits; spans are code points of each document's source,
sorted and disjoint. Not handled here: names, postal addresses, organisations, known values; what a policy does with
a hit.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import runs, short_runs
from fedward.common.desensitize.detectors.anchors import find_addresses, find_links
from fedward.common.desensitize.detectors.document import Document, fold
from fedward.common.desensitize.detectors.fields import field_starts
from fedward.common.desensitize.detectors.hits import Hit
from fedward.common.desensitize.detectors.idle_runs import idle_runs, lengthy_rows, undated_rows
from fedward.common.desensitize.detectors.label_ends import label_table, unlabelled
from fedward.common.desensitize.detectors.labels import MONEY, OTHER, Find, Labels
from fedward.common.desensitize.detectors.plain_phones import plain_phones
from fedward.common.desensitize.detectors.plain_plates import plain_plates
from fedward.common.desensitize.detectors.reading import RETYPED, Match, Reader
from fedward.common.desensitize.detectors.rules import (
    SHAPE,
    Engine,
    finder,
    part_shapes,
    scan_patterns,
)
from fedward.common.desensitize.detectors.spelled_runs import spelled_runs
from fedward.common.desensitize.detectors.table_columns import HEADER, column_hits, lines_with_header
from fedward.common.desensitize.spans import EntityType, Level, Span

_BLOCK_CHARS = 1 << 18
"""Characters of short records that are scanned together; their bytes stay in a core's cache."""
_PAD = "\n" * (runs.PAD_BYTES - 1)
"""With the newline that joins it to the records, what must stand before and behind a block."""
_LABELS_OF: Mapping[EntityType, frozenset[str]] = {
    EntityType.ID_CN: frozenset(("ID", "LICENCE")),
    EntityType.CARD: frozenset(("CARD", "ACCOUNT")),
    EntityType.IBAN: frozenset(("IBAN", "ACCOUNT")),
    EntityType.EMAIL: frozenset(("PHONE", "HANDLE")),
}
_RUN_HITS = {
    runs.ID_CN: (EntityType.ID_CN, 3, "id_checked"),
    runs.CARD: (EntityType.CARD, 3, "card_luhn_bin"),
    runs.MOBILE: (EntityType.PHONE, 2, "mobile_prefix"),
    runs.LANDLINE: (EntityType.PHONE, 2, "mobile_prefix"),
    runs.DATE: (EntityType.DATE, 2, "date_ymd"),
    runs.DATE_ZH: (EntityType.DATE, 2, "date_ymd_zh"),
}
_PLATE = (EntityType.PLATE, 2, "plate")
_PHONES = (runs.MOBILE, runs.LANDLINE)
_NULS = bytes(64)
_PHONE_LABELS = label_table((OTHER, MONEY, *RETYPED))
_LOWERING = frozenset((OTHER, MONEY))
_WITNESSES = frozenset(("ID", "LICENCE", "CARD", "ACCOUNT", "TAIL", "PHONE", "SSN"))
"""Labels that lift a bare number above level 1."""
_FAR = 1 << 62
_NO_MORE = (_FAR, 0)


class StructuredDetector:
    """Finds every type of the catalogue that a grammar, a check digit or a label gives away.

    Args:
        levels: least level by type; a type that is missing counts from level 2.
        engine: None takes google-re2 where it is installed, else the stdlib's ``re``: slower, same hits.

    Raises:
        ConfigError: an engine that is not installed was asked for by name.
    """

    def __init__(self, levels: Mapping[EntityType, int], *, engine: Engine | None = None) -> None:
        self._levels = {type_: levels.get(type_, int(Level.WITNESS)) for type_ in EntityType}
        self._wants_labels = any(level >= Level.LABELLED for level in self._levels.values())
        bare = (EntityType.ID_CN, EntityType.CARD, EntityType.PHONE, EntityType.SSN)
        self._wants_witness = all(self._levels[type_] > Level.PATTERN for type_ in bare)
        bare_passports = self._levels[EntityType.PASSPORT] <= Level.PATTERN
        labelled, shapes = scan_patterns(bare_passports=bare_passports, engine=engine)
        self._finds = tuple(finder(pattern, engine) for pattern in (*labelled, *shapes))
        self._num_labelled = len(labelled)
        self._shapes: tuple[Match, ...] = (*[SHAPE] * len(labelled), *part_shapes(engine))
        self._find_header = finder(HEADER.encode(), engine)
        self._reader = Reader(Labels(lambda pattern: finder(pattern, engine)))

    def detect(self, document: Document) -> list[Span]:
        """Spans of one document, sorted and disjoint."""
        return self.detect_many([document])[0]

    def detect_many(self, documents: Sequence[Document]) -> list[list[Span]]:
        """Spans of each document. Many short records cost as little as one long one."""
        found: list[list[Span]] = []
        for block in _blocks(documents):
            found += self._detect_block(block)
        return found

    def _detect_block(self, documents: Sequence[Document]) -> list[list[Span]]:
        source = "\n".join([_PAD, *[document.source for document in documents], _PAD])
        text, kept = fold(source)
        data = text.encode("utf-8", "surrogatepass")
        hits, headers = self._scan(text, data)
        places = [hit[0] for hit in hits], [hit[1] for hit in hits]
        if headers:
            places = places[0] + [first for first, _ in headers], places[1] + [last for _, last in headers]
        starts, ends = places if len(data) == len(text) or not places[0] else _code_points(data, *places)
        if kept is not None and starts:
            starts, ends = _in_source(kept, starts, ends)
        found = _spans(documents, hits, starts[: len(hits)], ends[: len(hits)])
        for i in _holding(documents, starts[len(hits) :]):
            found[i] = self._with_columns(documents[i], found[i])
        return found

    def _with_columns(self, document: Document, spans: list[Span]) -> list[Span]:
        """The spans, and the values that stand in a table below their label."""
        columns = [
            Span(*document.span_of_chars(start, end), type_, level, method)
            for start, end, type_, level, method in column_hits(document.text, self._find_header)
            if level >= self._levels[type_]
        ]
        new = [c for c in columns if not any(span.start < c.end and c.start < span.end for span in spans)]
        return sorted([*spans, *new]) if new else spans

    def _scan(self, text: str, data: bytes) -> tuple[list[Hit], list[tuple[int, int]]]:
        """Hits in a padded block that reach their level, sorted and disjoint; and what may be a table's header."""
        self._reader.forget()
        work = bytearray(data)
        hits = find_links(data)
        if hits:
            _blank(work, hits)
        if b"@" in data:
            addresses = find_addresses(bytes(work) if hits else data)
            _blank(work, addresses)
            hits += addresses
        if len(data) < short_runs.MAX_BYTES:
            headers = _every(self._find_header, data, [(0, len(data))])
            hits += self._typed_in_text(data, work)
            left = bytes(work)
            hits += self._rest(left, left, left)
        else:
            groups = runs.Groups.of(np.frombuffer(bytes(work), np.uint8))
            headers = _every(self._find_header, data, lines_with_header(text, data))
            hits += self._typed_in_block(data, work, groups)
            left = bytes(work)
            hits += self._rest(left, self._clear(left, groups), _without_undated(left, groups))
        if self._wants_labels:
            hits = [self._with_label(data, hit) for hit in hits]
        levels = self._levels
        hits = [hit for hit in hits if hit[3] >= levels[hit[2]]]
        hits.sort()
        return hits, headers

    def _typed_in_text(self, data: bytes, work: bytearray) -> list[Hit]:
        """Ids, cards, phones and dates of a short text that need no second look, blanked in ``work``."""
        hits: list[Hit] = []
        for start, end, kind in short_runs.typed_runs(bytes(work)):
            hit = self._reader.phone(data, start, end) if kind in _PHONES else (start, end, *_RUN_HITS[kind])
            hits.append(hit)
        _blank(work, hits)
        return hits

    def _typed_in_block(self, data: bytes, work: bytearray, groups: runs.Groups) -> list[Hit]:
        """The same, and plates and what is spelled in groups, for a whole block."""
        starts, ends, kinds = runs.typed_rows(groups)
        is_phone = (kinds == runs.MOBILE) | (kinds == runs.LANDLINE)
        plain = ~is_phone
        source = np.frombuffer(data, np.uint8)  # a label may be part of a link or an address
        plain[is_phone] = plain_phones(source, starts[is_phone], ends[is_phone], partial(_harmless, source))
        rest = ~plain
        rows = zip(starts[plain].tolist(), ends[plain].tolist(), kinds[plain].tolist(), strict=True)
        hits: list[Hit] = [(start, end, *_RUN_HITS[kind]) for start, end, kind in rows]
        phone = self._reader.phone
        phones = [phone(data, *row) for row in zip(starts[rest].tolist(), ends[rest].tolist(), strict=True)]
        plates = plain_plates(groups.block)
        block = np.frombuffer(work, np.uint8)
        _blank_rows(block, starts[plain], ends[plain])
        _blank(work, phones)
        spelled = spelled_runs(groups, bytes(work), self._reader.kind_before)
        _blank(work, spelled)
        _blank_rows(block, *plates)
        hits += [(start, end, *_PLATE) for start, end in zip(*(column.tolist() for column in plates), strict=True)]
        return hits + phones + spelled

    def _clear(self, data: bytes, groups: runs.Groups) -> bytes:
        """``data`` without the digits that are no identifier, whatever shape of the scan they have."""
        clear = bytearray(data)
        for start, end in idle_runs(groups, sections=self._levels[EntityType.IP] > Level.PATTERN):
            clear[start:end] = bytes(end - start)
        rows = lengthy_rows(groups)
        block = np.frombuffer(clear, np.uint8)
        rows = rows[block[groups.starts[rows]] != 0]  # typed
        starts, ends = groups.starts[rows], groups.ends[rows]
        firsts = field_starts(groups.block, starts)
        if self._wants_witness:
            free = unlabelled(groups.block, starts, firsts)
            _blank_rows(block, starts[free], ends[free])
            starts, ends, firsts = starts[~free], ends[~free], firsts[~free]
        self._reader.expect(starts.tolist(), firsts.tolist())
        kind_before, wants_witness = self._reader.kind_before, self._wants_witness
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            kind = kind_before(data, start)
            if kind in _LOWERING or (wants_witness and kind not in _WITNESSES):
                clear[start:end] = _NULS[: end - start]
        return bytes(clear)

    def _rest(self, data: bytes, clear: bytes, valued: bytes) -> list[Hit]:
        """The scan proper, over what is not yet taken: always the part whose next hit is the first.

        Args:
            data: what the rules read.
            clear: the same without what only labelled rules need to see.
            valued: without what no label has for its value.
        """
        hits: list[Hit] = []
        finds, num_labelled, shapes, take = self._finds, self._num_labelled, self._shapes, self._reader.take
        texts = [valued] * num_labelled + [clear] * (len(finds) - num_labelled)
        nexts = [find(text, 0) or _NO_MORE for find, text in zip(finds, texts, strict=True)]
        queue = [(span[0], i) for i, span in enumerate(nexts)]
        heapify(queue)
        floor = 0
        while (first := queue[0])[0] < _FAR:
            start, i = first
            # only rules of parts that have a hit here can be it
            if i < num_labelled:
                taken, at = take(data, start, nexts[i][1], SHAPE, floor)
            else:
                is_only = all(start != other for other, _ in queue[1:3])
                taken, at = take(data, start, 0, shapes[i] if is_only else SHAPE, floor)
            if taken:
                hits += taken
                floor = taken[-1][1]
            while first[0] < at:
                i = first[1]
                span = nexts[i] = finds[i](texts[i], at) or _NO_MORE
                heapreplace(queue, (span[0], i))
                first = queue[0]
        return hits

    def _with_label(self, data: bytes, hit: Hit) -> Hit:
        """Level 3 beside a label of its type is level 4; looked up only for types that ask for it."""
        start, end, type_, level, method = hit
        if level != Level.CHECKED or self._levels[type_] < Level.LABELLED:
            return hit
        kind = self._reader.kind_before(data, start)
        if kind is not None and kind in _LABELS_OF.get(type_, (type_.value,)):
            return start, end, type_, int(Level.LABELLED), method
        return hit


def _blocks(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Consecutive documents of together about ``_BLOCK_CHARS``; a longer one is a block of its own."""
    first = size = 0
    for i, document in enumerate(documents):
        size += len(document.source) + 1
        if size >= _BLOCK_CHARS:
            yield documents[first : i + 1]
            first, size = i + 1, 0
    if first < len(documents):
        yield documents[first:]


def _every(find: Find, data: bytes, parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """All hits in some parts of ``data``."""
    found: list[tuple[int, int]] = []
    for at, end in parts:
        while (span := find(data, at, end)) is not None:
            found.append(span)
            at = span[1]
    return found


def _blank(work: bytearray, hits: Sequence[Hit]) -> None:
    """Overwrite hits with NUL, which no rule matches."""
    for start, end, *_ in hits:
        work[start:end] = bytes(end - start)


def _without_undated(data: bytes, groups: runs.Groups) -> bytes:
    """``data`` without digits behind labels of dates that are no date."""
    rows = undated_rows(groups)
    valued = bytearray(data)
    _blank_rows(np.frombuffer(valued, np.uint8), groups.starts[rows], groups.ends[rows])
    return bytes(valued)


def _harmless(block: runs.Bytes, starts: runs.Offsets) -> runs.Flags:
    """For each phone whether no label before it could lower or retype it."""
    return unlabelled(block, starts, field_starts(block, starts), _PHONE_LABELS)


def _blank_rows(block: runs.Bytes, starts: runs.Offsets, ends: runs.Offsets) -> None:
    """The same for many."""
    length = ends - starts
    block[np.repeat(ends - np.cumsum(length), length) + np.arange(length.sum())] = 0


def _spans(documents: Sequence[Document], hits: list[Hit], starts: list[int], ends: list[int]) -> list[list[Span]]:
    """Hits of a block, which stand at ``starts`` and ``ends`` of the joined sources, as spans of its documents."""
    sizes = [len(document.source) + 1 for document in documents]
    if not hits:
        return [[] for _ in sizes]
    firsts = np.cumsum([runs.PAD_BYTES, *sizes[:-1]])
    at = np.array(starts, np.int64)
    cuts = [*np.searchsorted(at, firsts).tolist(), len(hits)]
    shift = np.repeat(firsts, np.diff(cuts))
    make = tuple.__new__
    rows = zip((at - shift).tolist(), (np.array(ends, np.int64) - shift).tolist(), hits, strict=True)
    spans = [make(Span, (start, end, type_, level, how)) for start, end, (_, _, type_, level, how) in rows]
    return [spans[i:j] for i, j in itertools.pairwise(cuts)]


def _holding(documents: Sequence[Document], places: Sequence[int]) -> list[int]:
    """Which documents hold the characters at ``places`` of the joined sources."""
    if not places:
        return []
    starts = list(itertools.accumulate((len(d.source) + 1 for d in documents), initial=runs.PAD_BYTES))
    return sorted({bisect_right(starts, place) - 1 for place in places})


def _in_source(
    kept: Sequence[int] | NDArray[np.int64], starts: list[int], ends: list[int]
) -> tuple[list[int], list[int]]:
    """Offsets in the folded text as offsets in the source; skipped characters inside a hit go with it."""
    if isinstance(kept, np.ndarray):
        return kept[np.array(starts)].tolist(), (kept[np.array(ends) - 1] + 1).tolist()
    return [kept[start] for start in starts], [kept[end - 1] + 1 for end in ends]


def _code_points(data: bytes, starts: list[int], ends: list[int]) -> tuple[list[int], list[int]]:
    """Byte offsets, which are character boundaries, as offsets of code points."""
    if len(data) < short_runs.MAX_BYTES:
        points: list[int] = []
        at = count = 0
        for offset in (offset for pair in zip(starts, ends, strict=True) for offset in pair):
            count += len(data[at:offset].decode("utf-8", "surrogatepass"))
            at = offset
            points.append(count)
        return points[0::2], points[1::2]
    # Every byte but 10xxxxxx begins a character: as bits, counted by eights, so that nothing long is summed.
    is_first = np.packbits(np.frombuffer(data, np.int8) >= -64)
    before = np.cumsum(np.bitwise_count(is_first), dtype=np.int64)
    offsets = np.array((starts, ends), np.int64)
    byte, bit = offsets >> 3, offsets & 7
    counts = before[byte] - np.bitwise_count(is_first[byte] & (0xFF >> bit).astype(np.uint8))
    return counts[0].tolist(), counts[1].tolist()


__all__ = ["StructuredDetector"]
