"""People, places and organisations in Chinese text: rules, gate, taggers and veto, joined to spans with levels.

Level 3: a rule says so, or two finders agree. Level 2: one tagger, above its margin. Level 1: less. A veto lowers a
hit on a medical or financial term to nothing, unless a cue stands beside it. Traditional characters are read as
Simplified ones; offsets are those of the source. Not handled here: known values, addresses, the second pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import gate
from fedward.common.desensitize.detectors.characters import DOTS, Codes, codes_of
from fedward.common.desensitize.detectors.contexts_zh import Contexts
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.features import REACH, WordsHere, words_here
from fedward.common.desensitize.detectors.lac import Lac, load_lac
from fedward.common.desensitize.detectors.lexicon import is_no_name, vetoed
from fedward.common.desensitize.detectors.lexicon_en import english_lexicon, name_key
from fedward.common.desensitize.detectors.lists_zh import CUT, NAME_ENDS
from fedward.common.desensitize.detectors.rules_zh import RuleHit, Rules, is_han, mask_of
from fedward.common.desensitize.detectors.surnames import TRANSLITERATION
from fedward.common.desensitize.detectors.tagger import Tagger, chains_of
from fedward.common.desensitize.detectors.words import shipped_words
from fedward.common.desensitize.spans import EntityType, Level, Span
from fedward.common.desensitize.tables import simplified

Profile = Literal["structured", "fast", "max-recall"]

_BLOCK_CHARACTERS: Final = 1 << 16
"""Documents are tagged together up to this length; their arrays stay small."""
_SHORTEST_CUT: Final = 2
_DOTS: Final = str.maketrans(dict.fromkeys(DOTS, "·"))
_JOINED: Final = re.compile(f"(?<=[{TRANSLITERATION}]{{2}})[-－﹣.](?=[{TRANSLITERATION}]{{2}})")  # noqa: RUF001
"""Sports pages write 弗兰克-里贝里 for 弗兰克·里贝里."""
_ORIGINAL: Final = re.compile(r"[（(] ?([A-Za-z][A-Za-z.'’\-]{2,24}(?:[ ·][A-Za-z][A-Za-z.'’\-]{0,24}){0,4})[）)]")  # noqa: RUF001
"""A transliterated name's own spelling, which stands behind it in brackets."""
_PARTS: Final = re.compile("[A-Z]?[a-z]+|[A-Z]+")
_SOUNDS: Final = frozenset(TRANSLITERATION)
_LONGEST_CHINESE: Final = 3
_LONGEST_ABBREVIATION: Final = 5
_FIELDS: Final = frozenset(("iban", "swift", "mobile", "tel", "fax", "email"))
"""Labels of fields; some are names of people elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Margins:
    """What a tagger's margin must reach for level 2, in log-odds.

    Chosen on the training part of CLUENER and on sentences of MSRA outside of its test set; ``docs/results.md`` says
    where a test set was measured in between.
    """

    eagerness: float = 3.0
    """Taken off being outside while our tagger seeks its path; finds names of a margin above its negative."""
    alone: tuple[float, float, float] = (-2.5, -1.5, 0.0)
    """For a person, a place, an organisation, where our tagger is the only one."""
    eagerness_together: float = 1.5
    """The same where LAC reads too, for both."""
    lac_weight: float = 4.0
    """What LAC's mean margin over a name's characters counts beside our tagger's margin."""
    together: tuple[float, float, float] = (-6.0, -11.0, -12.0)
    """What the sum must reach for a person, a place, an organisation."""
    sure: tuple[float, float, float] = (3.0, 4.0, 4.0)
    """From here on our tagger needs nobody beside it."""


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
        texts = tuple(_JOINED.sub("·", simplified(document.text).translate(_DOTS)) for document in documents)
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
        count = len(block.codes)
        voted = self._alone(tagger, block, rules) if self._lac is None else self._together(self._lac, tagger, block)
        agreed = mask_of(rules, count)
        cued = mask_of([rule for rule in rules if rule.cued], count)
        hits = [
            hit._replace(level=Level.CHECKED)
            if hit.type is EntityType.PERSON and agreed[hit.start : hit.end].any()
            else hit
            for hit in voted
        ]
        kept = [trimmed for hit in hits if (trimmed := _trimmed(block.text, hit, cued)) is not None]
        return kept + list(_original_spellings(block.text, kept))

    def _alone(self, tagger: Tagger, block: _Block, rules: list[RuleHit]) -> Iterator[_Hit]:
        margins = self._margins
        chains = chains_of(block.codes, self._wanted(block, rules))
        for start, end, type_, margin in tagger.tag(block.codes, block.here, chains, eagerness=margins.eagerness):
            level = Level.WITNESS if margin >= margins.alone[_TYPES.index(type_)] else Level.PATTERN
            yield _Hit(start, end, type_, level, "zh.tagger")

    def _together(self, lac: Lac, tagger: Tagger, block: _Block) -> Iterator[_Hit]:
        """Both taggers vote on what either finds: their margins are added."""
        margins, codes, here = self._margins, block.codes, block.here
        eagerness = margins.eagerness_together
        votes = {hit[:3]: hit.margin for hit in tagger.tag(codes, here, chains_of(codes), eagerness=eagerness)}
        theirs, their_margins = _read_by_lac(lac, block, eagerness)
        new = [name for name in theirs if name not in votes]
        both = set(theirs) & set(votes)
        votes |= dict(zip(new, _support(tagger, block, new), strict=True))
        for name, margin in sorted(votes.items()):
            start, end, type_ = name
            number = _TYPES.index(type_)
            other = (their_margins[start, number, 0] + their_margins[start + 1 : end, number, 1].sum()) / (end - start)
            level = Level.PATTERN
            sure = name not in new and margin >= margins.sure[number]
            if sure or margin + margins.lac_weight * float(other) >= margins.together[number]:
                level = Level.CHECKED if name in both else Level.WITNESS
            yield _Hit(start, end, type_, level, "zh.lac" if name in new else "zh.tagger")

    def _wanted(self, block: _Block, rules: list[RuleHit]) -> NDArray[np.bool_]:
        wanted = gate.candidates(block.codes, block.here) | mask_of(rules, len(block.codes))
        return wanted | gate.bodies(block.text, block.codes, block.here)


def _read_by_lac(
    lac: Lac, block: _Block, eagerness: float
) -> tuple[list[tuple[int, int, EntityType]], NDArray[np.float32]]:
    """What LAC finds in a block, and its margins at each place of it."""
    margins = np.zeros((len(block.codes), len(_TYPES), 2), np.float32)
    names: list[tuple[int, int, EntityType]] = []
    for start, text, reading in zip(block.starts, block.texts, lac.read(block.texts, eagerness=eagerness), strict=True):
        names += [(start + a, start + b, type_) for a, b, type_ in reading.names]
        margins[start : start + len(text)] = reading.margins
    return names, margins


def _support(tagger: Tagger, block: _Block, names: Sequence[tuple[int, int, EntityType]]) -> list[float]:
    """What our tagger thinks of names that it did not find: against outside, and against a name of another type."""
    values = {
        type_: tagger.support(block.codes, block.here, [(start, end, type_) for start, end, _ in names])
        for type_ in _TYPES
    }
    return [
        values[type_][number] - max(0.0, *(values[other][number] for other in _TYPES if other is not type_))
        for number, (_, _, type_) in enumerate(names)
    ]


def _original_spellings(text: str, hits: Sequence[_Hit]) -> Iterator[_Hit]:
    """What stands in brackets behind a person, 贝里(frank berry), if the name sounds foreign or the words are names."""
    for hit in hits:
        if hit.type is not EntityType.PERSON or hit.level < Level.WITNESS or text[hit.end : hit.end + 1] not in "（(":
            continue
        match = _ORIGINAL.match(text, hit.end)
        if match is None:
            continue
        keys = [name_key(word.strip(".")) for word in re.split("[ ·]", match[1])]
        listed = any(english_lexicon().is_name(key) for key in keys)
        plain = all(key in english_lexicon().words for key in keys)
        name = text[hit.start : hit.end].replace("·", "")
        if listed or (not plain and _sounds_foreign(name)):
            yield _Hit(*match.span(1), EntityType.PERSON, Level.WITNESS, "zh.original")


def _is_latin_name(name: str, hit: _Hit) -> bool:
    """Whether a hit in Latin letters may count; others pass.

    Our tagger and the network see letters as letters: VISA looks like Lisa. One finder alone is not enough for a
    person that is on no list, and neither are two for an everyday word or an abbreviation (NYHA, IBAN, Mobile).
    """
    if not name.isascii():
        return True
    lexicon = english_lexicon()
    keys = [name_key(part) for part in _PARTS.findall(name)]
    if not _FIELDS.isdisjoint(keys):
        return False
    if hit.type is EntityType.PERSON and any(lexicon.is_name(key) for key in keys):
        return True
    if len(name) <= _LONGEST_ABBREVIATION and name.isupper():
        return False
    return hit.level >= Level.CHECKED and not any(key in lexicon.words for key in keys)


def _sounds_foreign(name: str) -> bool:
    return len(name) > _LONGEST_CHINESE or _SOUNDS.issuperset(name)


def _trimmed(text: str, hit: _Hit, cued: NDArray[np.bool_]) -> _Hit | None:
    """A tagger's hit without trailing particles; None if a term vetoes it."""
    if hit.type is EntityType.LOC:
        return hit
    if not _is_latin_name(text[hit.start : hit.end], hit):
        return None
    if hit.type is EntityType.ORG:
        no_name = is_no_name(text, hit.start, hit.end) or vetoed(text, hit.start, hit.end, cued=False)
        return None if no_name else hit
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
