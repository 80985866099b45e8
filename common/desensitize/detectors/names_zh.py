"""People, places and organisations in Chinese text: rules, gate, taggers and veto, joined to spans with levels.

Level 3: a rule says so, or two finders agree. Level 2: one tagger, above its margin. Level 1: less. A veto lowers a
hit on a medical or financial term to nothing, unless a cue stands beside it. Traditional characters are read as
Simplified ones; offsets are those of the source. Not handled here: known values, addresses, the second pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import gate
from fedward.common.desensitize.detectors.characters import DOTS, Codes, codes_of, simplified
from fedward.common.desensitize.detectors.contexts_zh import Contexts
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.features import REACH, WordsHere, words_here
from fedward.common.desensitize.detectors.lac import Lac, load_lac
from fedward.common.desensitize.detectors.lexicon import is_no_name, vetoed
from fedward.common.desensitize.detectors.lists_zh import CUT, NAME_ENDS
from fedward.common.desensitize.detectors.rules_zh import RuleHit, Rules, is_han, mask_of
from fedward.common.desensitize.detectors.tagger import Tagger, chains_of
from fedward.common.desensitize.detectors.words import shipped_words
from fedward.common.desensitize.spans import EntityType, Level, Span

Profile = Literal["structured", "fast", "max-recall"]

_BLOCK_CHARACTERS: Final = 1 << 16
"""Documents are tagged together up to this length; their arrays stay small."""
_SHORTEST_CUT: Final = 2
_DOTS: Final = str.maketrans(dict.fromkeys(DOTS, "·"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Margins:
    """What a tagger's margin must reach for level 2, in log-odds; tuned on public corpora."""

    eagerness: float = 2.0
    """How much is taken off being outside while the path is sought; finds names of a margin above its negative."""
    alone: tuple[float, float, float] = (-1.5, -1.0, 1.0)
    """For a person, a place, an organisation that our tagger alone finds."""
    lac_alone: tuple[float, float, float] = (-9.0, -6.0, -6.0)
    """What our tagger must think at least of one that LAC alone finds."""


class _Hit(NamedTuple):
    start: int
    end: int
    type: EntityType
    level: int
    method: str


_TYPES: Final = (EntityType.PERSON, EntityType.LOC, EntityType.ORG)


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Some documents side by side, with gaps between."""

    texts: tuple[str, ...] = field(repr=False)
    text: str = field(repr=False)
    codes: Codes = field(repr=False)
    here: WordsHere = field(repr=False)
    starts: tuple[int, ...]

    @classmethod
    def of(cls, documents: Sequence[Document]) -> _Block:
        # Rules look for one kind of dot.
        texts = tuple(simplified(document.text).translate(_DOTS) for document in documents)
        gap = "\0" * REACH
        text = gap + gap.join(texts) + gap
        codes = codes_of(text)
        starts, place = [], REACH
        for one in texts:
            starts.append(place)
            place += len(one) + REACH
        return cls(texts=texts, text=text, codes=codes, here=words_here(codes, shipped_words()), starts=tuple(starts))


class ChineseNameDetector:
    """PERSON, LOC and ORG in Chinese text.

    Args:
        profile: ``structured``: rules alone. ``fast``: rules, and the tagger where the gate lets it. ``max-recall``: no
            gate, and LAC (extra ``lac``) beside our tagger.
        tagger: in place of the one that ships.
        margins: tuned values otherwise.

    Raises:
        ConfigError: ``max-recall`` without the extra.
    """

    def __init__(self, profile: Profile, *, tagger: Tagger | None = None, margins: Margins | None = None) -> None:
        self._profile = profile
        self._margins = margins or Margins()
        self._tagger = None if profile == "structured" else tagger or shipped_tagger()
        self._lac: Lac | None = load_lac() if profile == "max-recall" else None

    def detect(self, document: Document) -> list[Span]:
        """Spans of one document; ``detect_many`` is several times faster for many short ones."""
        return self.detect_many([document])[0]

    def detect_many(self, documents: Sequence[Document]) -> list[list[Span]]:
        """Spans of each document, the same as one by one."""
        found: list[list[Span]] = []
        block: list[Document] = []
        size = 0
        for document in documents:
            block.append(document)
            size += len(document.text)
            if size >= _BLOCK_CHARACTERS:
                found += self._detect_block(block)
                block, size = [], 0
        return found + (self._detect_block(block) if block else [])

    def _detect_block(self, documents: list[Document]) -> list[list[Span]]:
        block = _Block.of(documents)
        rules = Rules(block.text, block.here).hits() + Contexts(block.text, block.here).hits()
        hits = self._kept_rules(block.text, rules)
        if self._tagger is not None:
            hits += self._tagged(self._tagger, block, rules)
        return _split(hits, documents, block.starts)

    def _kept_rules(self, text: str, rules: list[RuleHit]) -> list[_Hit]:
        kept = (
            rule
            for rule in rules
            if not (is_no_name(text, rule.start, rule.end) or vetoed(text, rule.start, rule.end, cued=rule.cued))
        )
        return [_Hit(r.start, r.end, EntityType.PERSON, Level.CHECKED, f"zh.{r.method}") for r in kept]

    def _tagged(self, tagger: Tagger, block: _Block, rules: list[RuleHit]) -> list[_Hit]:
        margins, codes, here = self._margins, block.codes, block.here
        wanted = self._wanted(block, rules) if self._lac is None else None
        mine = tagger.tag(codes, here, chains_of(codes, wanted), eagerness=margins.eagerness)
        others = self._of_lac(block)
        cued = mask_of([rule for rule in rules if rule.cued], len(codes))
        agreed = {type_: _covered(others, type_, len(codes)) for type_ in _TYPES}
        agreed[EntityType.PERSON] |= mask_of(rules, len(codes))
        hits: list[_Hit] = []
        for start, end, type_, margin in mine:
            alone = Level.WITNESS if margin >= margins.alone[_TYPES.index(type_)] else Level.PATTERN
            level = Level.CHECKED if agreed[type_][start:end].any() else alone
            hits.append(_Hit(start, end, type_, level, "zh.tagger"))
        own = {type_: _covered([m[:3] for m in mine], type_, len(codes)) for type_ in _TYPES}
        for (start, end, type_), margin in zip(others, tagger.support(codes, here, others), strict=True):
            alone = Level.WITNESS if margin >= margins.lac_alone[_TYPES.index(type_)] else Level.PATTERN
            level = Level.CHECKED if own[type_][start:end].any() else alone
            hits.append(_Hit(start, end, type_, level, "zh.lac"))
        return [trimmed for hit in hits if (trimmed := _trimmed(block.text, hit, cued)) is not None]

    def _wanted(self, block: _Block, rules: list[RuleHit]) -> NDArray[np.bool_]:
        wanted = gate.candidates(block.codes, block.here) | mask_of(rules, len(block.codes))
        return wanted | gate.bodies(block.text, block.codes, block.here)

    def _of_lac(self, block: _Block) -> list[tuple[int, int, EntityType]]:
        if self._lac is None:
            return []
        names = self._lac.names(block.texts)
        return [(s + a, s + b, t) for s, found in zip(block.starts, names, strict=True) for a, b, t in found]


def _covered(names: Sequence[tuple[int, int, EntityType]], type_: EntityType, count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, np.bool_)
    for start, end, found in names:
        if found is type_:
            mask[start:end] = True
    return mask


def _trimmed(text: str, hit: _Hit, cued: NDArray[np.bool_]) -> _Hit | None:
    """A tagger's hit without trailing particles; None if a term vetoes it."""
    if hit.type is not EntityType.PERSON:
        return None if is_no_name(text, hit.start, hit.end) else hit
    end = hit.end
    # No preposition stands before a mark: what looks like one there is the name's last character.
    if not (text[end - 1] in NAME_ENDS and not is_han(text, end)):
        while end - hit.start > _SHORTEST_CUT and text[end - 1] in CUT:
            end -= 1
    if is_no_name(text, hit.start, end) or vetoed(text, hit.start, end, cued=bool(cued[hit.start : end].any())):
        return None
    return hit._replace(end=end)


def _split(hits: list[_Hit], documents: list[Document], starts: tuple[int, ...]) -> list[list[Span]]:
    """Spans of each document, in its source."""
    found: list[list[Span]] = [[] for _ in documents]
    numbers = np.searchsorted(starts, [hit.start for hit in hits], side="right") - 1
    for hit, number in zip(hits, numbers, strict=True):
        base = starts[number]
        start, end = documents[number].span_of_chars(hit.start - base, hit.end - base)
        found[number].append(Span(start, end, hit.type, hit.level, hit.method))
    return [sorted(spans) for spans in found]


@cache
def shipped_tagger() -> Tagger:
    """The model that ships with the package."""
    file = resources.files("fedward.common.desensitize.detectors.data").joinpath("tagger_zh.safetensors")
    return Tagger.from_bytes(file.read_bytes(), "tagger_zh.safetensors")


__all__ = ["ChineseNameDetector", "Margins", "Profile", "shipped_tagger"]
