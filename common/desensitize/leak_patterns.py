"""What a replaced value would look like if some of it had stayed: whole, respelt, or as a run of its digits.

Invariants: one search is linear in the text for each distinct length of a value, of which there are few. Rules on
length and place keep it from crying wolf, for a clean record that is held back is lost to training: a run that any two
numbers may share by chance, a calendar date, a word that is also a name do not count on their own. Not handled here:
what stands in an issued span.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from fedward.common.desensitize.normalise import Normalised, digits_of, normal_form
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.wordlists import word_list

TraceKind = Literal["original", "shared_run", "name"]
Found = tuple[TraceKind, EntityType, int, int]

_FEW = 200
"""Up to so many literals, ``str.find`` for each is faster than windows over the text (measured)."""
_MAX_WINDOW = 32
_MIN_DIGITS, _RUN, _LONG_RUN, _MANY = 7, 6, 8, 12
"""A whole number counts from 7 digits, a shared run from 6; from 8 inside a run of more than 12, where six digits meet
by chance."""
_QUASI = frozenset({EntityType.AGE, EntityType.POSTCODE, EntityType.LOC})
"""Too short, or rightly kept elsewhere in the text."""
_NO_RUNS = _QUASI | {EntityType.DATE, EntityType.ADDRESS, EntityType.ORG, EntityType.PERSON, EntityType.IMAGE}
_DATE_LIKE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])?")
_CJK = re.compile(r"[\u3400-\u9fff]")
_SPACED = re.compile(r"[\u3400-\u9fff][ \u3000]+[\u3400-\u9fff]")
_NAME_GAPS = re.compile(r"[\s·•]+")
_LATIN_WORD = re.compile(r"[^\W\d_]{2,}(?:['-][^\W\d_]+)*")
_MIN_LATIN_NAME = 4


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What to look for in one record. Plaintext, hence no repr; for memory alone."""

    literals: dict[str, EntityType] = field(repr=False)
    """In lower case; stand alone where they begin or end with a letter or digit of ASCII."""
    compact: dict[str, EntityType] = field(repr=False)
    """Letters and digits, searched in the text without separators."""
    numbers: dict[str, EntityType] = field(repr=False)
    """Digits alone, searched in streams of digits."""
    runs: dict[str, EntityType] = field(repr=False)
    """Runs of 6 and of 8 digits."""
    names: dict[str, EntityType] = field(repr=False)
    """In lower case."""
    cased_names: dict[str, EntityType] = field(repr=False)
    """Latin words that are a name with this capital only."""
    terms: Collection[str] = field(repr=False)

    @classmethod
    def of(
        cls,
        values: Mapping[EntityType, Collection[str]],
        *,
        terms: Collection[str] | None = None,
    ) -> Traces:
        """Traces of ``values``."""
        traces = cls(
            literals={}, compact={}, numbers={}, runs={}, names={}, cased_names={},
            terms=_own_terms() if terms is None else terms,
        )  # fmt: skip
        for type_, some in values.items():
            for value in some:
                if type_ is EntityType.PERSON:
                    traces._add_name(value)
                elif type_ not in _QUASI:
                    traces._add_value(type_, value)
        return traces

    def search(self, kept: Normalised) -> Iterator[Found]:
        """Every trace in ``kept``; places in code points of its source."""
        for value, start in _places(kept.text, self.literals):
            if _stands_alone(kept.text, start, start + len(value)):
                yield ("original", self.literals[value], *kept.span(start, start + len(value)))
        yield from self._compact_found(kept)
        yield from self._numbers_found(kept)
        yield from self._names_found(kept)

    # ------------------------------------------------------------------------------------------------ building

    def _add_value(self, type_: EntityType, value: str) -> None:
        literal = Normalised.of(value).text.strip()
        short = normal_form(value)
        digits = digits_of(short)
        if len(short) >= _min_length(type_, short):
            self.literals[literal] = type_
        if type_ in _NO_RUNS:
            return
        if len(digits) >= _MIN_DIGITS:
            self.numbers[digits] = type_
        # E-mail addresses and links are words: without separators, prose would spell them.
        if short != digits and short.isascii() and short.isalnum() and len(short) >= _RUN and len(digits) > 2:
            self.compact[short] = type_
        for run in _telling_runs(digits):
            self.runs[run] = type_

    def _add_name(self, value: str) -> None:
        text = Normalised.of(value)
        if _CJK.search(text.text):
            name = _NAME_GAPS.sub("", text.text)
            spellings = [name] if len(name) > 1 else [name + title for title in _cues("titles_zh")]
            self.names.update(dict.fromkeys(spellings, EntityType.PERSON))
            return
        words = _LATIN_WORD.findall(text.cased)
        full = [word.lower() for word in words]
        if len(full) > 1:
            forms = (" ".join(full), f"{full[-1]}, {' '.join(full[:-1])}", f"{full[-1]} {' '.join(full[:-1])}")
            self.names.update(dict.fromkeys(forms, EntityType.PERSON))
        for word in words:
            self._add_latin_word(word)

    def _add_latin_word(self, word: str) -> None:
        small = word.lower()
        if len(word) < _MIN_LATIN_NAME or small in _name_words():
            forms = [title + gap + small for title in _cues("titles_en") for gap in (" ", ". ")]
            self.names.update(dict.fromkeys(forms, EntityType.PERSON))
        else:
            forms = [form for form in (small.capitalize(), small.title(), small.upper(), word) if form != small]
            self.cased_names.update(dict.fromkeys(forms, EntityType.PERSON))

    # ------------------------------------------------------------------------------------------------ searching

    def _compact_found(self, kept: Normalised) -> Iterator[Found]:
        if self.compact:
            squeezed, places = _squeezed(kept.text, " \t-./·_—–")
            for value, start in _places(squeezed, self.compact):
                if _stands_alone(squeezed, start, start + len(value)):
                    span = kept.span(places[start], places[start + len(value) - 1] + 1)
                    yield ("original", self.compact[value], *span)

    def _numbers_found(self, kept: Normalised) -> Iterator[Found]:
        if self.numbers:
            for stream in kept.streams():
                span = kept.span(stream.start, stream.end)
                for value, start in _places(stream.digits, self.numbers):
                    # Eight digits or less meet inside a long serial; by themselves they count.
                    if len(value) > _LONG_RUN or {start, start + len(value)} <= stream.edges:
                        yield ("original", self.numbers[value], *span)
                for run in _shared(stream.digits, _LONG_RUN, self.runs):
                    yield ("shared_run", self.runs[run], *span)
        if self.runs:
            for digits, start in kept.runs():
                size = _RUN if len(digits) <= _MANY else _LONG_RUN
                for run in _shared(digits, size, self.runs):
                    yield ("shared_run", self.runs[run], *kept.span(start, start + len(digits)))

    def _names_found(self, kept: Normalised) -> Iterator[Found]:
        for text, names in ((kept.text, self.names), (kept.cased, self.cased_names)):
            for name, start in _places(text, names):
                end = start + len(name)
                if _stands_alone(text, start, end) and not self._is_term(kept.text, start, end):
                    yield ("name", EntityType.PERSON, *kept.span(start, end))
        if self.names and _SPACED.search(kept.text):
            yield from self._spaced_names(kept)

    def _spaced_names(self, kept: Normalised) -> Iterator[Found]:
        """张 三, as forms set it: with no character before or after it, for blanks do part words in some texts."""
        squeezed, places = _squeezed(kept.text, " \u3000")
        for name, start in _places(squeezed, self.names):
            first, last = places[start], places[start + len(name) - 1]
            around = kept.text[max(0, first - 1) : first] + kept.text[last + 1 : last + 2]
            if last - first >= len(name) and not _CJK.search(around):
                yield ("name", EntityType.PERSON, *kept.span(first, last + 1))

    def _is_term(self, text: str, start: int, end: int) -> bool:
        """Inside a term, and no cue beside it says that it is a name after all."""
        if text.startswith(_cues("titles_zh"), end) or text[:start].rstrip(" :：").endswith(_cues("before_names")):
            return False
        name = text[start:end]
        return any(
            text.startswith(term, start - place)
            for term in self.terms
            if (place := term.find(name)) >= 0 and start >= place
        )


def traces_of(
    values: Mapping[EntityType, Collection[str]],
    *,
    terms: Collection[str] | None = None,
) -> Traces:
    """What would show that some of ``values`` stayed."""
    return Traces.of(values, terms=terms)


def _squeezed(text: str, drop: str) -> tuple[str, list[int]]:
    """``text`` without the characters of ``drop``, and where each of the others stood."""
    places = [place for place, character in enumerate(text) if character not in drop]
    return "".join([text[place] for place in places]), places


def _min_length(type_: EntityType, short: str) -> int:
    if type_ in (EntityType.ORG, EntityType.ADDRESS):
        return 4 if _CJK.search(short) else 8
    if type_ is EntityType.DATE:
        return 6
    return 6 if short.isdigit() else 5


def _telling_runs(digits: str) -> Iterator[str]:
    """Windows of 6 and 8 digits but for calendar dates and for runs that amounts and counters are made of."""
    for part in _DATE_LIKE.sub(" ", digits).split():
        for size in (_RUN, _LONG_RUN):
            for start in range(len(part) - size + 1):
                run = part[start : start + size]
                if len(set(run)) > 2 and run.count("0") < size - 2 and run not in "0123456789 9876543210":
                    yield run


def _shared(digits: str, size: int, runs: Mapping[str, EntityType]) -> Iterable[str]:
    """The first window of ``digits`` that is one of ``runs``: one is enough to hold a record back."""
    windows = (digits[start : start + size] for start in range(len(digits) - size + 1))
    return itertools.islice((window for window in windows if window in runs), 1)


def _places(text: str, values: Mapping[str, EntityType]) -> Iterator[tuple[str, int]]:
    """Every value with every place it stands at; linear in ``text`` for each distinct length."""
    if len(values) <= _FEW:
        for value in values:
            start = text.find(value)
            while start >= 0:
                yield value, start
                start = text.find(value, start + 1)
        return
    by_length: dict[int, dict[str, list[str]]] = {}
    for value in values:
        size = min(len(value), _MAX_WINDOW)
        by_length.setdefault(size, {}).setdefault(value[:size], []).append(value)
    for size, heads in by_length.items():
        for start in range(len(text) - size + 1):
            for value in heads.get(text[start : start + size], ()):
                if text.startswith(value, start):
                    yield value, start


def _stands_alone(text: str, start: int, end: int) -> bool:
    """No letter or digit of ASCII goes on beyond either end: Ann is not in Anna."""
    before = start > 0 and _is_word(text[start - 1]) and _is_word(text[start])
    after = end < len(text) and _is_word(text[end]) and _is_word(text[end - 1])
    return not before and not after


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _cues(name: str) -> tuple[str, ...]:
    return word_list("cues")[name]


@cache
def _name_words() -> frozenset[str]:
    return frozenset(_cues("words_that_are_names_en"))


@cache
def _own_terms() -> tuple[str, ...]:
    lists = word_list("lexicon")
    return tuple(term.lower() for key in sorted(lists) for term in lists[key])


__all__ = ["Found", "TraceKind", "Traces", "traces_of"]
