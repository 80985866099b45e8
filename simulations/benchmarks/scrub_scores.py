"""How well found spans fit gold spans.

* recall: share of gold spans of which every character is redacted, whatever type was said: what a reader cannot see.
* precision: share of found spans of a type that touch a gold span of that type, or of one that people mix up with it.
* over-scrub: share of the characters outside gold spans that were redacted.

A found span that touches neutral spans alone counts neither way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedward.simulations.scrub_corpus.gold import NEUTRAL, Gold, Sample

MIXED_UP: Mapping[str, frozenset[str]] = {
    "CARD": frozenset({"ACCOUNT"}),
    "ACCOUNT": frozenset({"CARD"}),
    "MRN": frozenset({"HEALTH_PLAN"}),
    "HEALTH_PLAN": frozenset({"MRN"}),
    "LICENCE": frozenset({"NATIONAL_ID"}),
    "LOC": frozenset({"ADDRESS", "ORG"}),
    "ADDRESS": frozenset({"LOC"}),
    "ORG": frozenset({"LOC"}),
}
"""Types whose names even careful people exchange; finding the one where the other stands is no false hit."""
_CONTEXT = 14


class Found(NamedTuple):
    """A hit of whatever desensitiser is judged; offsets in code points of the text."""

    start: int
    end: int
    type: str


class Miss(NamedTuple):
    """A gold span that can still be read, or a false hit, with what is around it."""

    document_id: str
    type: str
    spelling: str
    shown: str
    """The span in ⟦ ⟧ with its surroundings. The text is invented or public: it may be shown."""


@dataclass(kw_only=True, slots=True)
class Counts:
    """Of one type."""

    gold: int = 0
    covered: int = 0
    found: int = 0
    touching: int = 0

    @property
    def recall(self) -> float:
        """NaN where there is no gold span."""
        return self.covered / self.gold if self.gold else math.nan

    @property
    def precision(self) -> float:
        """NaN where nothing was found."""
        return self.touching / self.found if self.found else math.nan


@dataclass(kw_only=True, slots=True)
class Scores:
    """Of a corpus."""

    types: dict[str, Counts] = field(default_factory=dict)
    spellings: dict[tuple[str, str], Counts] = field(default_factory=dict)
    """By type and spelling; only ``gold`` and ``covered``."""
    misses: list[Miss] = field(default_factory=list)
    false_hits: list[Miss] = field(default_factory=list)
    other_characters: int = 0
    scrubbed_characters: int = 0
    """Of ``other_characters``."""

    @property
    def over_scrub(self) -> float:
        """Share of characters outside gold that were redacted."""
        return self.scrubbed_characters / max(self.other_characters, 1)

    def pooled(self, types: Iterable[str]) -> Counts:
        """Counts of several types together."""
        chosen = [self.types[name] for name in types if name in self.types]
        return Counts(
            gold=sum(one.gold for one in chosen),
            covered=sum(one.covered for one in chosen),
            found=sum(one.found for one in chosen),
            touching=sum(one.touching for one in chosen),
        )


def score(
    samples: Sequence[Sample],
    found: Sequence[Sequence[Found]],
    *,
    types: Iterable[str] | None = None,
    mixed_up: Mapping[str, frozenset[str]] = MIXED_UP,
) -> Scores:
    """Judge ``found``, one list a sample.

    Args:
        samples: texts with gold spans.
        found: hits, in any order; they may overlap.
        types: only hits of these types count for precision and over-scrub, as where a corpus annotates no others;
            every hit counts for recall. None: all.
        mixed_up: by type of a hit, what else it may rightly touch.
    """
    scores, chosen = Scores(), None if types is None else frozenset(types)
    for sample, hits in zip(samples, found, strict=True):
        _score_recall(scores, sample, hits)
        judged = [hit for hit in hits if chosen is None or hit.type in chosen]
        _score_hits(scores, sample, judged, mixed_up)
    return scores


def _score_recall(scores: Scores, sample: Sample, hits: Sequence[Found]) -> None:
    redacted = _mask(len(sample.text), hits)
    for gold in sample.gold:
        if gold.type == NEUTRAL:
            continue
        is_covered = all(redacted[gold.start : gold.end])
        for counts in (
            scores.types.setdefault(gold.type, Counts()),
            scores.spellings.setdefault((gold.type, gold.spelling), Counts()),
        ):
            counts.gold += 1
            counts.covered += is_covered
        if not is_covered:
            scores.misses.append(_shown(sample, gold, gold.type, gold.spelling))


def _score_hits(scores: Scores, sample: Sample, hits: Sequence[Found], mixed_up: Mapping[str, frozenset[str]]) -> None:
    gold_mask, redacted = _mask(len(sample.text), sample.gold), _mask(len(sample.text), hits)
    scores.other_characters += gold_mask.count(0)
    scores.scrubbed_characters += sum(hit and not gold for hit, gold in zip(redacted, gold_mask, strict=True))
    for hit in hits:
        touched = {gold.type for gold in sample.gold if gold.start < hit.end and hit.start < gold.end}
        if touched == {NEUTRAL}:
            continue
        is_right = hit.type in touched or bool(touched & mixed_up.get(hit.type, frozenset()))
        counts = scores.types.setdefault(hit.type, Counts())
        counts.found += 1
        counts.touching += is_right
        if not is_right:
            others = "+".join(sorted(touched)) or "nothing"
            scores.false_hits.append(_shown(sample, hit, hit.type, f"on {others}"))


def _mask(length: int, spans: Iterable[Gold | Found]) -> bytearray:
    mask = bytearray(length)
    for span in spans:
        mask[span.start : span.end] = b"\x01" * (span.end - span.start)
    return mask


def _shown(sample: Sample, span: Gold | Found, type_: str, spelling: str) -> Miss:
    text = sample.text
    before, value = text[max(0, span.start - _CONTEXT) : span.start], text[span.start : span.end]
    after = text[span.end : span.end + _CONTEXT]
    return Miss(sample.document_id, type_, spelling, f"{before}⟦{value}⟧{after}".replace("\n", "⏎"))
