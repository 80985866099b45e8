"""The structured detector: numbers, codes, addresses of machines, dates and ages, in Chinese and English.

Invariants: one scan over the UTF-8 bytes of many records joined by newlines, which no rule crosses, so a record gives
the same hits alone and in a block; both engines give the same hits; spans are code points of each document's source,
sorted and disjoint. Not handled here: names, postal addresses, organisations, known values; what a policy does with
a hit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import runs
from fedward.common.desensitize.detectors.anchors import find_addresses, find_links
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.hits import Hit
from fedward.common.desensitize.detectors.labels import Labels
from fedward.common.desensitize.detectors.reading import Reader
from fedward.common.desensitize.detectors.rules import Engine, compiler, scan_pattern
from fedward.common.desensitize.spans import EntityType, Level, Span

_BLOCK_CHARS = 1 << 18
"""Characters of short records that are scanned together; their bytes stay in a core's cache."""
_PAD = len(runs.PAD)
_LABELS_OF: Mapping[EntityType, frozenset[str]] = {
    EntityType.ID_CN: frozenset(("ID", "LICENCE")),
    EntityType.CARD: frozenset(("CARD", "ACCOUNT")),
    EntityType.IBAN: frozenset(("IBAN", "ACCOUNT")),
    EntityType.EMAIL: frozenset(("PHONE", "HANDLE")),
}
_RUN_HITS = {
    runs.ID_CN: (EntityType.ID_CN, 3, "id_checked"),
    runs.CARD: (EntityType.CARD, 3, "card_luhn_bin"),
}


class StructuredDetector:
    """Finds every type of the catalogue that a grammar, a check digit or a label gives away.

    Args:
        levels: least level by type; a type that is missing counts from level 2.
        engine: None takes google-re2 where it is installed, else the stdlib's ``re``: slower, same hits.

    Raises:
        ConfigError: an engine that is not installed was asked for by name.
    """

    def __init__(self, levels: Mapping[EntityType, int], *, engine: Engine | None = None) -> None:
        compile_pattern = compiler(engine)
        self._levels = {type_: levels.get(type_, int(Level.WITNESS)) for type_ in EntityType}
        self._wants_labels = any(level >= Level.LABELLED for level in self._levels.values())
        bare_passports = self._levels[EntityType.PASSPORT] <= Level.PATTERN
        pattern: Any = compile_pattern(scan_pattern(bare_passports=bare_passports))
        self._search = pattern.search
        self._reader = Reader(Labels(compile_pattern))

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
        text = "\n".join([document.text for document in documents])
        data = runs.PAD + text.encode("utf-8", "surrogatepass") + runs.PAD
        return _spans(documents, self._scan(data), data, len(text))

    def _scan(self, data: bytes) -> list[Hit]:
        """Hits in a padded block that reach their level, sorted and disjoint."""
        work = bytearray(data)
        hits = find_links(data)
        _blank(work, hits)
        addresses = find_addresses(bytes(work) if hits else data)
        _blank(work, addresses)
        hits += addresses
        hits += self._bare_runs(data, work)
        hits += self._rest(bytes(work))
        if self._wants_labels:
            hits = [self._with_label(data, hit) for hit in hits]
        levels = self._levels
        hits = [hit for hit in hits if hit[3] >= levels[hit[2]]]
        hits.sort()
        return hits

    def _bare_runs(self, data: bytes, work: bytearray) -> list[Hit]:
        """Resident ids, cards and mobile phones that need no label, blanked in ``work``."""
        hits: list[Hit] = []
        for start, end, kind in zip(*runs.typed_runs(np.frombuffer(bytes(work), np.uint8)), strict=True):
            work[start:end] = bytes(end - start)
            if kind == runs.MOBILE:
                hits.append(self._reader.mobile(data, start, end))
            else:
                hits.append((start, end, *_RUN_HITS[kind]))
        return hits

    def _rest(self, data: bytes) -> list[Hit]:
        """The scan proper, over what is not yet taken."""
        hits: list[Hit] = []
        search, take, at = self._search, self._reader.take, 0
        while (match := search(data, at)) is not None:
            start, end = match.span()
            taken, at = take(data, start, end, hits[-1][1] if hits else 0)
            hits += taken
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
        size += len(document.text) + 1
        if size >= _BLOCK_CHARS:
            yield documents[first : i + 1]
            first, size = i + 1, 0
    if first < len(documents):
        yield documents[first:]


def _blank(work: bytearray, hits: Sequence[Hit]) -> None:
    """Overwrite hits with NUL, which no rule matches."""
    for start, end, *_ in hits:
        work[start:end] = bytes(end - start)


def _spans(documents: Sequence[Document], hits: Sequence[Hit], data: bytes, num_chars: int) -> list[list[Span]]:
    """Hits of a block as spans of its documents, from bytes to code points of the sources."""
    found: list[list[Span]] = [[] for _ in documents]
    if not hits:
        return found
    starts, ends = _code_points(data, num_chars, hits)
    lengths = np.fromiter((len(document.text) + 1 for document in documents), np.int64, len(documents))
    floors = np.cumsum(lengths) - lengths
    owners = np.searchsorted(floors, starts, side="right") - 1
    floor = floors[owners]
    make = tuple.__new__
    for hit, i, start, end in zip(hits, owners.tolist(), (starts - floor).tolist(), (ends - floor).tolist(), strict=True):
        kept = documents[i].kept
        if kept is not None:
            start, end = kept[start], kept[end - 1] + 1
        found[i].append(make(Span, (start, end, hit[2], hit[3], hit[4])))
    return found


def _code_points(data: bytes, num_chars: int, hits: Sequence[Hit]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends in code points of the block, from byte offsets that are character boundaries."""
    starts = np.array([hit[0] for hit in hits], np.int64)
    ends = np.array([hit[1] for hit in hits], np.int64)
    if len(data) - 2 * _PAD == num_chars:
        return starts - _PAD, ends - _PAD
    is_first = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    before = np.cumsum(is_first, dtype=np.int32)
    return before[starts - 1].astype(np.int64) - _PAD, before[ends - 1].astype(np.int64) - _PAD


__all__ = ["StructuredDetector"]
