"""The last look at a finished text: does anything of what was taken out still stand in it? Fails closed.

Invariants: it trusts no stage before it, so that each of them may fail and the record is held back; a ``Leak`` names a
kind, a type and a place, never a value; the work is linear in the text plus the originals. What stands inside an
issued span is judged as a surrogate, all else as kept text. Not handled here: what happens to a record that fails
(``pipeline``), and logs and temporary files (``value_search``).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.detector import Detector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.leak_patterns import MASK, Traces
from fedward.common.desensitize.leak_surrogates import surrogate_leaks
from fedward.common.desensitize.normalise import Normalised, Spelt
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType, Span

LeakKind = Literal["detector", "original", "shared_run", "name", "canary", "surrogate", "inconsistent", "spans"]


MAX_TRACES = 200
"""Further traces in one text are not listed: one holds it back, and a hostile text has one at every character."""


class Leak(NamedTuple):
    """One reason to hold a record back; nothing of the record's text."""

    kind: LeakKind
    type: EntityType
    start: int
    """In code points of the finished text."""
    end: int


class IssuedSpan(Protocol):
    """What stands in an identifier's place, as the pipeline notes it."""

    @property
    def start(self) -> int:
        """In code points of the finished text."""

    @property
    def end(self) -> int:
        """Half open."""

    @property
    def span(self) -> Span:
        """What it replaced, in the source."""

    @property
    def action(self) -> Action:
        """How."""


def check(
    source: str,
    text: str,
    issued: Sequence[IssuedSpan],
    *,
    context: Context,
    levels: Mapping[EntityType, int],
    detector: Detector | None,
    originals: Mapping[EntityType, Collection[str]],
    known_names: Collection[str] = (),
    canaries: Collection[str] = (),
    terms: Collection[str] | None = None,
    hits: Iterable[Span] | None = None,
) -> tuple[Leak, ...]:
    """Every leak of ``text``; empty: it may leave.

    Args:
        source: the text as it came.
        text: the finished text, after every layer.
        issued: what was put into it, sorted; their spans lie in ``source``.
        context: the record's own; its known values are originals too, whether or not they were found.
        levels: least level that counts, by type; a type that the policy keeps is absent.
        detector: the structured rules, for a second look; None if ``hits`` has that look already.
        originals: what was replaced within the scope, by type; the record's own are added.
        known_names: further names that must not stay.
        canaries: values planted in the source; none may stay.
        terms: words that hold a name without being one (张力 in 张力性头痛); None: those of the word lists.
        hits: what ``detector`` finds in ``text``, where a batch was read at once.
    """
    broken = list(_broken_spans(source, text, issued))
    if broken:
        return tuple(broken)
    again = detector.detect(Document.of(text)) if hits is None and detector is not None else hits or ()
    leaks = list(_seen_again(text, again, issued, levels))
    values = _values(source, issued, context, originals, levels, known_names)
    kept = Normalised.of(_masked(text, issued))
    in_columns = (*context.known.get(EntityType.PERSON, ()), *known_names)
    traces = Traces.of({type_: some.values() for type_, some in values.items()}, terms, in_columns)
    found = itertools.islice(traces.search(kept), MAX_TRACES)
    leaks += [Leak(kind, type_, start, end) for kind, type_, start, end in found]
    leaks += _canaries(text, canaries)
    leaks += [
        Leak(kind, type_, start, end) for kind, type_, start, end in surrogate_leaks(source, text, issued, values)
    ]
    return tuple(leaks)


def num_coincidences(text: str, issued: Sequence[IssuedSpan], others: Mapping[EntityType, Collection[str]]) -> int:
    """How many surrogates equal a value of somebody else: counted, for about n²/N of them must, and never refused."""
    return sum(text[item.start : item.end] in others.get(item.span.type, ()) for item in issued)


def _broken_spans(source: str, text: str, issued: Sequence[IssuedSpan]) -> Iterator[Leak]:
    place = 0
    for item in issued:
        start, end = item.span.start, item.span.end
        if not (place <= item.start <= item.end <= len(text) and 0 <= start < end <= len(source)):
            yield Leak("spans", item.span.type, item.start, item.end)
        place = item.end


def _seen_again(
    text: str, hits: Iterable[Span], issued: Sequence[IssuedSpan], levels: Mapping[EntityType, int]
) -> Iterator[Leak]:
    """(a) A hit that counts, of which any letter or digit lies outside what was issued."""
    covered = bytearray(len(text))
    for item in issued:
        covered[item.start : item.end] = b"\1" * (item.end - item.start)
    for hit in hits:
        if hit.level < levels.get(hit.type, hit.level + 1):
            continue
        if covered.find(0, hit.start, hit.end) < 0:
            continue
        if any(text[place].isalnum() and not covered[place] for place in range(hit.start, hit.end)):
            yield Leak("detector", hit.type, hit.start, hit.end)


def _values(
    source: str,
    issued: Sequence[IssuedSpan],
    context: Context,
    originals: Mapping[EntityType, Collection[str]],
    levels: Mapping[EntityType, int],
    known_names: Collection[str],
) -> dict[EntityType, dict[str, Spelt]]:
    """Every plaintext value that must not stay, by type. Types that the policy keeps are left out."""
    values: dict[EntityType, dict[str, Spelt]] = {}
    for table in (originals, context.known):
        for type_, some in table.items():
            if type_ in levels:
                values.setdefault(type_, {}).update((value, Spelt.of(value)) for value in some)
    for item in issued:
        original, spelt = source[item.span.start : item.span.end], values.setdefault(item.span.type, {})
        if original not in spelt:
            spelt[original] = Spelt.of(original)
    if known_names:
        values.setdefault(EntityType.PERSON, {}).update((name, Spelt.of(name)) for name in known_names)
    return values


def _masked(text: str, issued: Sequence[IssuedSpan]) -> str:
    """``text`` with every issued character blanked; offsets stay."""
    parts: list[str] = []
    place = 0
    for item in issued:
        parts += (text[place : item.start], MASK * (item.end - item.start))
        place = item.end
    return "".join([*parts, text[place:]])


def _canaries(text: str, canaries: Collection[str]) -> Iterator[Leak]:
    """(d) A planted value anywhere, surrogates included: nothing may give it back."""
    if not canaries:
        return
    planted = Traces.of({EntityType.MASKED: map(Spelt.of, canaries)}, ())
    for _, type_, start, end in planted.search(Normalised.of(text)):
        yield Leak("canary", type_, start, end)


__all__ = ["check", "IssuedSpan", "Leak", "LeakKind", "MAX_TRACES", "num_coincidences"]
