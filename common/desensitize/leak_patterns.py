"""What a replaced value would look like if some of it had stayed: whole, respelt, or as a run of its digits.

Invariants: one search is linear in the text for each distinct length of a value, of which there are few. Rules on
length and place keep it from crying wolf, for a clean record that is held back is lost to training: a run that any two
numbers may share by chance, a calendar date, a word that is also a name do not count on their own. Not handled here:
what stands in an issued span.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from fedward.common.desensitize import tables
from fedward.common.desensitize.normalise import DIGIT, Normalised, Spelt, digits_of
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.wordlists import word_list

TraceKind = Literal["original", "shared_run", "name"]
Found = tuple[TraceKind, EntityType, int, int]

_FEW = 200
"""Up to so many literals, ``str.find`` for each is faster than windows over the text (measured)."""
_MAX_WINDOW = 32
_MIN_DIGITS, _RUN, _LONG_RUN = 7, 6, 8
"""A whole number counts from 7 digits, a shared run from 6; inside longer numbers from 8."""
MASK = "\0"
"""Stands for every character that was issued."""
_QUASI = frozenset({EntityType.AGE, EntityType.POSTCODE, EntityType.LOC})
"""Too short, or rightly kept elsewhere in the text."""
_NO_RUNS = _QUASI | {EntityType.DATE, EntityType.ADDRESS, EntityType.ORG, EntityType.PERSON, EntityType.IMAGE}
_ENOUGH_DIGITS = re.compile(f"{DIGIT}(?:[ \\t\\-./()（）_·—–]{{0,2}}{DIGIT}){{5}}")
_REGION_AND_DAY = 14
"""Of a resident id: by themselves enough to tell who it is."""
_SHARED_BY_MANY = {EntityType.ID_CN: 9, EntityType.CARD: 3}
"""First digits left out of runs: runs within a county code and a birth year, or within the number of an issuer, are
those of half a town. A run has six digits, so the next ones count."""
_COUNTING = "0123456789 9876543210"
_FEW_DIGITS = 2000
"""In so many digits of originals a search is faster than a table of their runs."""
_DATE_LIKE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])?")
_CJK = re.compile(r"[\u3400-\u9fff]")
_SPACED = re.compile(r"[\u3400-\u9fff][ \u3000]+[\u3400-\u9fff]")
_NAME_GAPS = re.compile(r"[\s·•]+")
_LATIN_WORD = re.compile(r"[^\W\d_]{2,}(?:['-][^\W\d_]+)*")
_MIN_LATIN_NAME = 4
_LONGEST_CUE = 24
"""Characters before a name that are looked at, cue and separators together."""


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What to look for in one record. Plaintext, hence no repr; for memory alone."""

    literals: dict[str, EntityType] = field(repr=False)
    """In lower case; stand alone where they begin or end with a letter or digit of ASCII."""
    numbers: list[tuple[str, EntityType]] = field(repr=False)
    """Values without separators, of types whose digits tell who it is."""
    names: dict[str, EntityType] = field(repr=False)
    """In lower case."""
    cased_names: dict[str, EntityType] = field(repr=False)
    """Latin words that are a name with this capital only."""
    surnames: set[str] = field(repr=False)
    """Last words of Latin names in full, in lower case."""
    known_words: Collection[str] = field(repr=False)
    """Words of names that the institution knows, in lower case."""
    terms: Collection[str] = field(repr=False)
    terms_with: dict[str, list[tuple[str, int]]] = field(repr=False, default_factory=dict)
    """Terms that hold a name, and where; filled as names are met."""

    @classmethod
    def of(
        cls,
        values: Mapping[EntityType, Iterable[Spelt]],
        terms: Collection[str] | None = None,
        known_names: Iterable[str] = (),
    ) -> Traces:
        """Traces of ``values``.

        Args:
            known_names: those of ``values`` that stand in columns, and are no guess of a detector.
            terms: words that hold a name without being one; None: those of the word lists.
        """
        own = _own_terms() if terms is None else terms
        known = {word.lower() for name in known_names for word in _LATIN_WORD.findall(name)}
        traces = cls(literals={}, numbers=[], names={}, cased_names={}, surnames=set(), known_words=known, terms=own)
        for type_, some in values.items():
            if type_ is EntityType.PERSON:
                for value in some:
                    traces._add_name(value)
            elif type_ not in _QUASI:
                for value in some:
                    traces._add_value(type_, value)
        return traces

    def search(self, kept: Normalised) -> Iterator[Found]:
        """Every trace in ``kept``; places in code points of its source."""
        for value, start in _Index(self.literals).places(kept.text):
            if _stands_alone(kept.text, start, start + len(value)):
                yield ("original", self.literals[value], *kept.span(start, start + len(value)))
        yield from self._names_found(kept)
        # Most texts keep no number of six digits once the identifiers are out.
        if self.numbers and _ENOUGH_DIGITS.search(kept.text):
            yield from self._compact_found(kept)
            yield from self._numbers_found(kept)

    # ------------------------------------------------------------------------------------------------ building

    def _add_value(self, type_: EntityType, value: Spelt) -> None:
        if len(value.short) >= _min_length(type_, value.short):
            self.literals[value.text.strip()] = type_
        if type_ not in _NO_RUNS:
            self.numbers.append((value.short, type_))

    def _add_name(self, value: Spelt) -> None:
        if _CJK.search(value.text):
            name = _NAME_GAPS.sub("", value.text)
            spellings = [name] if len(name) > 1 else [name + title for title in _cues("titles_zh")]
            self.names.update(dict.fromkeys(spellings, EntityType.PERSON))
            return
        words = _LATIN_WORD.findall(value.cased)
        full = [word.lower() for word in words]
        if len(full) > 1:
            forms = (" ".join(full), f"{full[-1]}, {' '.join(full[:-1])}", f"{full[-1]} {' '.join(full[:-1])}")
            self.names.update(dict.fromkeys(forms, EntityType.PERSON))
            self.surnames.update((full[-1], full[0]) if "," in value.text else (full[-1],))
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
        """Codes of letters and digits, across separators. Words without digits would be found all over prose."""
        codes = {v: t for v, t in self.numbers if not v.isdigit() and v.isascii() and v.isalnum() and len(v) >= _RUN}
        if codes:
            squeezed, places = _squeezed(kept.text, " \t-./·_—–")
            for value, start in _Index(codes).places(squeezed):
                if _stands_alone(squeezed, start, start + len(value)):
                    yield ("original", codes[value], *kept.span(places[start], places[start + len(value) - 1] + 1))

    def _numbers_found(self, kept: Normalised) -> Iterator[Found]:
        digits = [(digits_of(value), type_) for value, type_ in self.numbers]
        whole = {value: type_ for value, type_ in digits if len(value) >= _MIN_DIGITS}
        whole |= {value[:_REGION_AND_DAY]: type_ for value, type_ in digits if type_ is EntityType.ID_CN}
        index, shared = _Index(whole), _Shared(digits)
        for stream in kept.streams():
            span = kept.span(stream.start, stream.end)
            for value, start in index.places(stream.digits):
                # Eight digits or less meet inside a long serial; by themselves they count.
                if len(value) > _LONG_RUN or {start, start + len(value)} <= stream.edges:
                    yield ("original", whole[value], *span)
            for type_ in shared.find(stream.digits, _LONG_RUN):
                yield ("shared_run", type_, *span)
        for run, start in kept.runs():
            for type_ in shared.find(run, _least_shared(kept.text, start, start + len(run))):
                yield ("shared_run", type_, *kept.span(start, start + len(run)))

    def _names_found(self, kept: Normalised) -> Iterator[Found]:
        for text, names in ((kept.text, self.names), (kept.cased, self.cased_names)):
            for name, start in _Index(names).places(text):
                end = start + len(name)
                if not _stands_alone(text, start, end) or self._is_term(kept.text, start, end):
                    continue
                if names is self.cased_names and self._is_only_capital(text, start, name):
                    continue
                yield ("name", EntityType.PERSON, *kept.span(start, end))
        if self.names and _SPACED.search(kept.text):
            yield from self._spaced_names(kept)

    def _spaced_names(self, kept: Normalised) -> Iterator[Found]:
        """张 三, as forms set it: with no character before or after it, for blanks do part words in some texts."""
        squeezed, places = _squeezed(kept.text, " \u3000")
        for name, start in _Index(self.names).places(squeezed):
            first, last = places[start], places[start + len(name) - 1]
            around = kept.text[max(0, first - 1) : first] + kept.text[last + 1 : last + 2]
            if last - first >= len(name) and not _CJK.search(around):
                yield ("name", EntityType.PERSON, *kept.span(first, last + 1))

    def _is_only_capital(self, text: str, start: int, word: str) -> bool:
        """The first word of a sentence, a name in no list and no column, and no surname: a detector took too much."""
        before = text[max(0, start - 4) : start].rstrip(" \t\"'([-*")
        if word.isupper() or (before and before[-1] not in ".!?:;\n"):
            return False
        small = word.lower()
        return small not in self.surnames and small not in self.known_words and small not in _listed_names()

    def _is_term(self, text: str, start: int, end: int) -> bool:
        """Inside a term, and no cue beside it says that it is a name after all."""
        before = text[max(0, start - _LONGEST_CUE) : start].rstrip(" :：")
        if text.startswith(_cues("titles_zh"), end) or before.endswith(_cues("before_names")):
            return False
        name = text[start:end]
        if name not in self.terms_with:
            self.terms_with[name] = [(term, term.find(name)) for term in self.terms if name in term]
        return any(start >= place and text.startswith(term, start - place) for term, place in self.terms_with[name])


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


def _least_shared(text: str, start: int, end: int) -> int:
    """Six digits where they are all there is or touch what was issued; inside other numbers six meet by chance."""
    if MASK in text[max(0, start - 2) : start] or MASK in text[end : end + 2]:
        return _RUN
    is_fraction = start > 1 and text[start - 1] == "." and text[start - 2].isdigit()
    return _LONG_RUN if end - start > _RUN + 1 or is_fraction else _RUN


class _Shared:
    """Runs of digits that a text shares with a value: calendar dates and what amounts are made of do not count."""

    def __init__(self, digits: Sequence[tuple[str, EntityType]]) -> None:
        long = [(value, type_) for value, type_ in digits if len(value) >= _RUN]
        self._values = [(value[_SHARED_BY_MANY.get(type_, 0) :], type_) for value, type_ in long]
        self._joined = " ".join(value for value, _ in self._values)
        self._dates = " ".join(found[0] for value, _ in long for found in _DATE_LIKE.finditer(value))
        self._runs: dict[int, set[str]] = {}

    def find(self, kept: str, size: int) -> Iterator[EntityType]:
        """The type of the first shared run: one is enough to hold a record back."""
        for start in range(len(kept) - size + 1):
            run = kept[start : start + size]
            if self._has(run) and self._is_telling(run):
                yield next(type_ for value, type_ in self._values if run in value)
                return

    def _has(self, run: str) -> bool:
        if len(self._joined) <= _FEW_DIGITS:
            return run in self._joined
        size = len(run)
        if size not in self._runs:
            self._runs[size] = {self._joined[i : i + size] for i in range(len(self._joined) - size + 1)}
        return run in self._runs[size]

    def _is_telling(self, run: str) -> bool:
        is_round = len(set(run)) <= 2 or run.count("0") >= len(run) - 2
        return not is_round and run not in _COUNTING and run not in self._dates


class _Index:
    """Values to be found in several texts; a search is linear in the text for each distinct length."""

    def __init__(self, values: Mapping[str, EntityType]) -> None:
        self.types = values
        self._by_length: dict[int, dict[str, list[str]]] = {}
        if len(values) > _FEW:
            for value in values:
                size = min(len(value), _MAX_WINDOW)
                self._by_length.setdefault(size, {}).setdefault(value[:size], []).append(value)

    def places(self, text: str) -> Iterator[tuple[str, int]]:
        """Every value with every place it stands at."""
        if not self._by_length:
            for value in self.types:
                start = text.find(value)
                while start >= 0:
                    yield value, start
                    start = text.find(value, start + 1)
            return
        for size, heads in self._by_length.items():
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
def _listed_names() -> frozenset[str]:
    lists = tables.read_table("names_en")
    keys = ("male", "female", "neutral", "surnames", "pinyin_surnames")
    return frozenset(name.lower() for key in keys for name in lists[key])


@cache
def _own_terms() -> tuple[str, ...]:
    lists = word_list("lexicon")
    return tuple(term.lower() for key in sorted(lists) for term in lists[key])


__all__ = ["Found", "MASK", "TraceKind", "Traces"]
