"""One record from text to text: fold, detect, merge, look again, replace, and check what came out.

Invariants: the redacted characters are exactly the union of the accepted spans; the output is written once, from left
to right, and nothing is ever substituted in what was already replaced; a record that fails the leak check comes back
without a text. Pure: no file, no clock, no network. Not handled here: files and workers (``client.scrub``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fedward.common.desensitize import leakcheck
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.build import DetectorSet, build_detectors, has_chinese
from fedward.common.desensitize.detectors.detector import Detector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.layers import apply_layers
from fedward.common.desensitize.plain_spelling import spelt_plainly
from fedward.common.desensitize.policy import QUASI_TYPES, Action, DesensitizePolicy
from fedward.common.desensitize.repeats import Literals, literals_of, repeats
from fedward.common.desensitize.spans import EntityType, Level, Span, merge
from fedward.common.desensitize.surrogates import DocumentSurrogates, Surrogates
from fedward.common.desensitize.surrogates.placeholders import Language
from fedward.common.desensitize.terms import all_terms, in_term

_REPAIRED = ("detector", "original", "shared_run", "name")
"""Kinds of leaks that can still be replaced; the others say that something is broken."""


class Issued(NamedTuple):
    """What stands in the place of one span."""

    start: int
    """In code points of the output."""
    end: int
    span: Span
    """In the source."""
    action: Action
    issue: str | None
    """From a closed list (``fixed_point``, ``redrawn`` …), or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One desensitised record. Nothing of its text shows in a repr.

    Args:
        source: as it came; where something was replaced, with all letters and digits written out (``plain_spelling``).
        text: what may leave; None: the record failed, and ``leaks`` says why.
        spans: the accepted ones in ``source``, disjoint and sorted.
        kept: hits whose action is ``keep``; counted, and not replaced.
        issued: one for each of ``spans``, in the order of ``text``.
        words_changed: by the optional layers.
        redraws: draws that hit another original and were repeated.
        leaks: codes of a closed list.
        coincidences: surrogates that happen to equal another value of the text.
        seen_by_tagger: whether a names model read the record.
    """

    source: str = field(repr=False)
    text: str | None = field(repr=False)
    spans: tuple[Span, ...] = ()
    kept: tuple[Span, ...] = ()
    issued: tuple[Issued, ...] = ()
    leaks: tuple[str, ...] = ()
    words_changed: int = 0
    redraws: int = 0
    coincidences: int = 0
    seen_by_tagger: bool = True

    @property
    def reason(self) -> str | None:
        """Why there is no text, or None."""
        return f"leak check: {', '.join(sorted(set(self.leaks)))}" if self.leaks else None

    @property
    def offset_map(self) -> tuple[tuple[int, int, int, int], ...]:
        """(start, end) in the source and (start, end) in the text, of every replacement."""
        return tuple((item.span.start, item.span.end, item.start, item.end) for item in self.issued)


class Desensitizer:
    """Desensitises records under one policy and one key.

    Args:
        policy: of the site.
        keys: of the site, or of one run.
        descriptor: of the key, where the policy encrypts.
        detectors: for tests; None: those that the policy asks for.

    Raises:
        ConfigError: an extra that the profile needs is not installed.
    """

    def __init__(
        self,
        policy: DesensitizePolicy,
        keys: ScrubKeys,
        *,
        descriptor: KeyDescriptor | None = None,
        detectors: DetectorSet | None = None,
    ) -> None:
        self.policy = policy
        self._keys = keys
        self._detectors = detectors or build_detectors(policy)
        self._surrogates = Surrogates(policy, keys, descriptor=descriptor)
        self._least = {type_: policy.level_of(type_) for type_ in EntityType}
        self._kept = frozenset(type_ for type_ in EntityType if policy.action_of(type_) is Action.KEEP)
        self._checked_levels = {type_: level for type_, level in self._least.items() if type_ not in self._kept}

    def record(self, text: str, context: Context) -> Result:
        """Desensitise one text."""
        return self.records([(text, context)])[0]

    def records(
        self,
        batch: Sequence[tuple[str, Context]],
        *,
        by_patient: bool = False,
        layered: Sequence[bool] | None = None,
    ) -> list[Result]:
        """Desensitise many texts; the rules read them as one block, which is faster.

        Texts with one ``document_id`` are parts of one document: they share names and ids that were found, and the
        numbers of placeholders. Otherwise each is on its own, so that the cut of a batch changes nothing.

        Args:
            by_patient: texts of one ``patient_id`` share them too; for callers that hold all records of a patient.
            layered: for each, whether it is prose that the semantic and noise layers may change; None: all are.
        """
        sources = [text for text, _ in batch]
        batch = [(spelt_plainly(text), context) for text, context in batch]
        groups = [_group(context, by_patient) for _, context in batch]
        read = self._read_all(batch)
        literals: dict[str, dict[str, tuple[EntityType, int]]] = {group: {} for group in groups}
        for group, reading in zip(groups, read, strict=True):
            literals[group].update(literals_of(reading.document, reading.accepted))
        read = [self._read_again(reading, literals[group]) for group, reading in zip(groups, read, strict=True)]
        originals: dict[str, dict[EntityType, set[str]]] = {group: {} for group in groups}
        for group, reading in zip(groups, read, strict=True):
            for span in reading.accepted:
                value = reading.document.source[span.start : span.end]
                originals[group].setdefault(span.type, set()).add(value)
        surrogates: dict[str, DocumentSurrogates] = {}
        for (text, context), group in zip(batch, groups, strict=True):
            if context.document_id not in surrogates:
                language: Language = "zh" if has_chinese(text) else "en"  # of placeholders
                replacer = self._surrogates.for_document(context, language=language)
                surrogates[context.document_id] = replacer
                replacer.announce((kind, value) for kind, some in originals[group].items() for value in sorted(some))
        contexts = [context for _, context in batch]
        written = [
            self._written(reading, surrogates[context.document_id])
            for reading, context in zip(read, contexts, strict=True)
        ]
        scopes = [originals[group] for group in groups]
        leaks = self._leaks(written, contexts, scopes)
        for index in [index for index, found in enumerate(leaks) if found]:
            reading = _with_leaks(read[index], written[index], leaks[index])
            written[index] = self._written(reading, surrogates[contexts[index].document_id])
            leaks[index] = self._leaks([written[index]], [contexts[index]], [scopes[index]])[0]
        if len(self.policy.layers) > 1:
            prose = layered or [True] * len(batch)
            written = [
                self._layered(result, context) if is_prose and not found else result
                for result, context, is_prose, found in zip(written, contexts, prose, leaks, strict=True)
            ]
            again = self._leaks(written, contexts, scopes)
            leaks = [before or after for before, after in zip(leaks, again, strict=True)]
        settled = (_settled(result, found, scope) for result, found, scope in zip(written, leaks, scopes, strict=True))
        return [_as_it_came(result, source) for result, source in zip(settled, sources, strict=True)]

    def is_identifier(self, name: str) -> bool:
        """Whether a short text such as a column's name holds a direct identifier, by the rules alone."""
        found = self._detectors.structured.detect(Document.of(spelt_plainly(name)))
        return any(span.level >= self._least[span.type] and span.type not in QUASI_TYPES for span in found)

    def found(self, texts: Sequence[str]) -> list[list[Span]]:
        """What the detectors find in each text at the policy's levels, before anything is united."""
        empty = Context(document_id="")
        return [list(reading.raw) for reading in self._read_all([(text, empty) for text in texts])]

    def originals(self, texts: Sequence[str], context: Context) -> dict[EntityType, set[str]]:
        """The values that would be replaced in the texts of one document, by type: plaintext, for memory alone."""
        values: dict[EntityType, set[str]] = {}
        for reading in self._read_all([(spelt_plainly(text), context) for text in texts]):
            for span in reading.accepted:
                values.setdefault(span.type, set()).add(reading.document.source[span.start : span.end])
        return values

    # ------------------------------------------------------------------------------------------------ stages

    def _read_all(self, batch: Sequence[tuple[str, Context]]) -> list[_Reading]:
        documents = [Document.of(text) for text, _ in batch]
        ruled = self._detectors.structured.detect_many(documents)
        found = [list(spans) for spans in ruled]
        for (_, context), document, spans in zip(batch, documents, found, strict=True):
            if context.known:
                from fedward.common.desensitize.detectors.known import KnownValueDetector

                spans += KnownValueDetector(context.known).detect(document)
        for detector, indices in self._detectors.assigned(documents):
            for index, spans in zip(indices, _detect_all(detector, [documents[i] for i in indices]), strict=True):
                found[index] += spans
        return [self._accept(document, spans) for document, spans in zip(documents, found, strict=True)]

    def _accept(self, document: Document, spans: Sequence[Span]) -> _Reading:
        """Merged spans at or above the policy's level; those that the policy keeps stand apart."""
        strong = [span for span in spans if span.level >= self._least[span.type]]
        if not self._kept:
            return _Reading(document=document, accepted=merge(strong), kept=(), raw=strong)
        kept = tuple(span for span in strong if span.type in self._kept)
        return _Reading(
            document=document,
            accepted=merge(span for span in strong if span.type not in self._kept),
            kept=kept,
            raw=strong,
        )

    def _read_again(self, reading: _Reading, literals: Literals) -> _Reading:
        if not literals:
            return reading
        ends = {span.start: span.end for span in reading.accepted}
        again = [s for s in repeats(reading.document, literals, in_term) if ends.get(s.start, 0) < s.end]
        if not again:
            return reading
        return replace(reading, accepted=merge([*reading.accepted, *again]))

    def _written(self, reading: _Reading, surrogates: DocumentSurrogates) -> Result:
        source = reading.document.source
        parts: list[str] = []
        issued: list[Issued] = []
        redraws = surrogates.num_redraws
        place = length = 0
        for span in reading.accepted:
            replaced = surrogates.replace(span.type, source[span.start : span.end])
            start = length + span.start - place
            length = start + len(replaced.text)
            parts += [source[place : span.start], replaced.text]
            issued.append(Issued(start, length, span, replaced.action, replaced.issue))
            place = span.end
        parts.append(source[place:])
        return Result(
            source=source,
            text="".join(parts),
            spans=tuple(reading.accepted),
            kept=reading.kept,
            issued=tuple(issued),
            redraws=surrogates.num_redraws - redraws,
            seen_by_tagger=self.policy.profile != "structured",
        )

    def _layered(self, result: Result, context: Context) -> Result:
        """The result after the optional layers, with its surrogates where they now stand."""
        edited = apply_layers(
            result.text or "",
            [(item.start, item.end) for item in result.issued],
            document_id=context.document_id,
            policy=self.policy,
            keys=self._keys,
        )
        moved = [
            item._replace(start=place[0], end=place[1])
            for item, place in zip(result.issued, edited.carried, strict=True)
        ]
        return replace(result, text=edited.text, issued=tuple(sorted(moved)), words_changed=edited.num_changed)

    def _leaks(
        self,
        results: Sequence[Result],
        contexts: Sequence[Context],
        scopes: Sequence[Mapping[EntityType, Collection[str]]],
    ) -> list[tuple[leakcheck.Leak, ...]]:
        """The leaks of each result."""
        hits = self._detectors.structured.detect_many([Document.of(result.text or "") for result in results])
        return [
            leakcheck.check(
                result.source,
                result.text or "",
                result.issued,
                context=context,
                levels=self._checked_levels,
                detector=None,
                originals=scope,
                terms=all_terms(),
                hits=found,
            )
            for result, context, scope, found in zip(results, contexts, scopes, hits, strict=True)
        ]


def _with_leaks(reading: _Reading, result: Result, leaks: Sequence[leakcheck.Leak]) -> _Reading:
    """The reading with what the leak check saw still standing: a surname alone, a spelling that no rule has.

    It is then replaced like any hit, and the text checked again: what leaks a second time fails.
    """
    spans = [
        Span(start, end, leak.type, Level.WITNESS, "leak-check")
        for leak in leaks
        if leak.kind in _REPAIRED
        for start, end in _in_source(result, leak.start, leak.end)
    ]
    return replace(reading, accepted=merge([*reading.accepted, *spans])) if spans else reading


def _in_source(result: Result, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the kept characters of ``text[start:end]`` stand in the source."""
    place = place_in_source = 0
    for item in (*result.issued, None):
        stop = len(result.text or "") if item is None else item.start
        first, last = max(place, start), min(stop, end)
        if first < last:
            yield place_in_source + first - place, place_in_source + last - place
        if item is not None:
            place, place_in_source = item.end, item.span.end


def _as_it_came(result: Result, source: str) -> Result:
    """A text in which nothing was found keeps its spelling."""
    if source == result.source or result.issued or result.words_changed or result.text is None:
        return result
    return replace(result, source=source, text=source)


def _settled(
    result: Result, leaks: Sequence[leakcheck.Leak], originals: Mapping[EntityType, Collection[str]]
) -> Result:
    """The result, or one without a text."""
    if leaks:
        # The text goes: who forgets to look at ``leaks`` then has nothing to write.
        return replace(result, text=None, leaks=tuple(f"{leak.kind} {leak.type.value}" for leak in leaks))
    others: dict[EntityType, Collection[str]] = {
        type_: values for type_, values in originals.items() if type_ is not EntityType.PERSON
    }
    found = leakcheck.num_coincidences(result.text or "", result.issued, others)
    return result if not found else replace(result, coincidences=found)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What was found in one text."""

    document: Document
    accepted: list[Span]
    kept: tuple[Span, ...]
    raw: Sequence[Span]
    """Before they were united."""


def _detect_all(detector: Detector, documents: Sequence[Document]) -> list[list[Span]]:
    """At once where the detector can: the same spans, several times faster for many short texts."""
    at_once = getattr(detector, "detect_many", None)
    if at_once is not None:
        found: list[list[Span]] = at_once(documents)
        return found
    return [detector.detect(document) for document in documents]


def _group(context: Context, by_patient: bool) -> str:
    if by_patient and context.patient_id is not None:
        return f"patient {context.patient_id}"
    return f"document {context.document_id}"


__all__ = ["Desensitizer", "Issued", "QUASI_TYPES", "Result"]
