"""Injected canaries: recall estimated without labels, on the site's own texts.

Invariants: values and sentences come from lists of their own, none of which a detector or a surrogate reads; a canary
counts as found only if every letter and digit of it is redacted, whatever the type. The estimate is *optimistic*: it
is measured on identifiers as their author imagined them, not on those that the site has. Not handled here: running
the detectors, and what stands in the report beside the figures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedward.common.desensitize.canary_values import VALUES
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.intervals import wilson
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import CanaryTargets
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.wordlists import word_list
from fedward.common.errors import EmptyDataError

CANARY_TYPES = tuple(sorted({type_ for type_, _ in VALUES}))
"""The types that canaries are made of."""
_SENTENCE_END = {
    "zh": re.compile(r"[。！？\n]+"),
    "en": re.compile(r"(?<=[a-z0-9)%][a-z0-9)%][a-z0-9)%])[.!?](?=\s+[A-Z])|\n+"),
}
"""In English not after abbreviations (``Lot no. 17``), whose number a canary would become."""
_CJK = re.compile(r"[\u3400-\u9fff]")
_MAX_HOST_CHARS = 4000
_PER_TEXT = 6
_ONLY_LABELLED = frozenset({(EntityType.SSN, "separated")})
"""Nine digits in three groups between blanks are anything, unless a label stands there."""


class Planted(NamedTuple):
    """One canary and where it stands."""

    type: EntityType
    start: int
    """In code points of the text it was put into."""
    end: int
    language: str
    label: str
    """near, far or absent."""
    spelling: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Injected:
    """One of the site's texts with canaries in it."""

    text: str = field(repr=False)
    planted: tuple[Planted, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The canaries as they are spelt: for the leak check."""
        return tuple(self.text[item.start : item.end] for item in self.planted)


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryRow:
    """What became of the canaries of one type."""

    type: EntityType
    num: int
    num_survived: int
    low: float
    """Lower end of Wilson's 95 % interval of the recall."""
    high: float
    target: float
    survived_by: tuple[tuple[str, int], ...] = ()
    """Survivors by ``language/label/spelling``, most first: what to look at."""

    @property
    def recall(self) -> float:
        """Share of canaries that were redacted in full."""
        return 1 - self.num_survived / self.num if self.num else 0.0

    @property
    def meets_target(self) -> bool:
        """The lower end reaches the target."""
        return self.low >= self.target


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryTable:
    """Estimated recall by type. Optimistic, as the module says."""

    rows: tuple[CanaryRow, ...]

    @property
    def failures(self) -> tuple[EntityType, ...]:
        """Types whose lower end misses the target."""
        return tuple(row.type for row in self.rows if not row.meets_target)


def inject(
    texts: Sequence[str],
    keys: ScrubKeys,
    targets: CanaryTargets,
    *,
    types: Sequence[EntityType] = CANARY_TYPES,
) -> Iterator[Injected]:
    """The site's own texts, as often as needed, with canaries at the ends of sentences.

    A text is Chinese if a Chinese character stands in it; a type that has no canary in any of the languages of
    ``texts`` is left out. Long texts are cut to 4,000 characters at the end of a sentence.

    Args:
        keys: seed the draws; the same texts and keys give the same canaries.
        targets: how many of each type.

    Raises:
        EmptyDataError: there is no text to put them into.
    """
    hosts = _hosts(texts)
    if not any(hosts.values()):
        raise EmptyDataError("canaries: there is no text to put them into")
    draw = KeyedStream.of(keys, "canary", "TEXT")
    waiting: dict[str, list[EntityType]] = {"zh": [], "en": []}
    for type_ in types:
        homes = [language for language in ("zh", "en") if hosts[language] and (type_, language) in VALUES]
        num = targets.num_names if type_ is EntityType.PERSON else targets.num_structured
        for turn, language in enumerate(homes):
            # Names have a number of their own in each language; the others share theirs.
            share = num if type_ is EntityType.PERSON else num // len(homes) + (turn < num % len(homes))
            waiting[language] += [type_] * share
    for language, kinds in waiting.items():
        yield from _fill(hosts[language], _shuffled(kinds, draw), language, draw)


def estimate(
    injected: Sequence[Injected], redacted: Sequence[Sequence[Span]], targets: CanaryTargets | None = None
) -> CanaryTable:
    """Count survivors.

    Args:
        injected: texts with canaries.
        redacted: for each, the spans that were replaced, in code points of that text.
        targets: for the verdict of each row; None: those of a new policy.
    """
    asked = targets or CanaryTargets()
    totals: Counter[EntityType] = Counter()
    survived: dict[EntityType, Counter[str]] = {}
    for item, spans in zip(injected, redacted, strict=True):
        hidden = bytearray(len(item.text))
        for span in spans:
            hidden[span.start : span.end] = b"\1" * (span.end - span.start)
        for canary in item.planted:
            totals[canary.type] += 1
            places = range(canary.start, canary.end)
            if any(item.text[place].isalnum() and not hidden[place] for place in places):
                where = f"{canary.language}/{canary.label}/{canary.spelling}"
                survived.setdefault(canary.type, Counter())[where] += 1
    return CanaryTable(rows=tuple(_row(t, totals[t], survived.get(t, Counter()), asked) for t in sorted(totals)))


def _row(type_: EntityType, num: int, survived: Counter[str], targets: CanaryTargets) -> CanaryRow:
    misses = survived.total()
    low, high = wilson(num - misses, num)
    target = targets.min_recall_names if type_ is EntityType.PERSON else targets.min_recall_structured
    return CanaryRow(
        type=type_, num=num, num_survived=misses, low=low, high=high, target=target,
        survived_by=tuple(survived.most_common()),
    )  # fmt: skip


def _hosts(texts: Sequence[str]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {"zh": [], "en": []}
    for text in texts:
        if text.strip():
            hosts["zh" if _CJK.search(text) else "en"].append(text)
    return hosts


def _shuffled(kinds: Sequence[EntityType], draw: KeyedStream) -> list[EntityType]:
    """So that the canaries of one text are of several types."""
    return [type_ for _, _, type_ in sorted((draw.bits64(), place, type_) for place, type_ in enumerate(kinds))]


def _fill(hosts: Sequence[str], kinds: Sequence[EntityType], language: str, draw: KeyedStream) -> Iterator[Injected]:
    for turn, first in enumerate(range(0, len(kinds), _PER_TEXT)):
        host = hosts[turn % len(hosts)]
        yield _planted(host, kinds[first : first + _PER_TEXT], language, draw)


def _planted(host: str, kinds: Sequence[EntityType], language: str, draw: KeyedStream) -> Injected:
    gaps = _gaps(host, language)
    parts: list[str] = []
    planted: list[Planted] = []
    length = place = 0
    chosen = sorted(draw.choice(gaps) for _ in kinds)
    for gap, type_ in zip(chosen, kinds, strict=True):
        label, sentence = _sentence(type_, language, draw)
        value = VALUES[type_, language](draw)
        while label == "absent" and (type_, value.spelling) in _ONLY_LABELLED:
            value = VALUES[type_, language](draw)
        before, after = sentence.split("{}")
        lead = _lead(host[max(0, gap - 2) : gap], language)
        parts += (host[place:gap], lead, before, value.text, after, " " if language == "en" else "")
        start = length + gap - place + len(lead) + len(before)
        planted.append(Planted(type_, start, start + len(value.text), language, label, value.spelling))
        length = sum(map(len, parts[-6:])) + length
        place = gap
    return Injected(text="".join([*parts, host[place : gaps[-1]]]), planted=tuple(planted))


def _lead(before: str, language: str) -> str:
    """Ends a sentence that the host leaves open: else its last word would be the canary's label."""
    if not before.strip() or before.endswith("\n"):
        return ""
    if language == "zh":
        return "" if before[-1] in "。！？" else "。"
    if before.rstrip()[-1] in ".!?":
        return "" if before.endswith(" ") else " "
    return ". "


def _gaps(host: str, language: str) -> list[int]:
    """Where a sentence begins, and the end; the last is where a long text is cut."""
    ends = [found.end() for found in _SENTENCE_END[language].finditer(host, 0, _MAX_HOST_CHARS)]
    end = len(host) if len(host) <= _MAX_HOST_CHARS else (ends[-1] if ends else _MAX_HOST_CHARS)
    return sorted({0, *ends, end})


def _sentence(type_: EntityType, language: str, draw: KeyedStream) -> tuple[str, str]:
    """A label's distance and a sentence with ``{}``; types that only a label gives away have no other."""
    sentences: Mapping[str, tuple[str, ...]] = word_list("canary_sentences")
    labels = [label for label in ("near", "far", "absent") if f"{type_}_{label}_{language}" in sentences]
    label = draw.choice(labels)
    return label, draw.choice(sentences[f"{type_}_{label}_{language}"])


__all__ = ["CANARY_TYPES", "CanaryRow", "CanaryTable", "estimate", "inject", "Injected", "Planted"]
