"""English names: titles, labelled fields, forms of address, lists of names and their neighbours.

A run of capitalised words is weighed (``names_en_weights``): the number of witnesses is the level. An eponym
("Graves' disease") or a word of medicine is no name unless a cue stands beside it. In a text without any capital,
listed names are read as if they had one.

Invariants: pure; the same document gives the same spans; every repeat is bounded, so time is linear in the text.
Not handled here: names in other scripts (``names_zh``), values that the record's columns hold (``known``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, Protocol

from fedward.common.desensitize.detectors.cue_tails import Tails
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lexicon_en import PARTICLES, SUFFIXES, TITLES, name_key
from fedward.common.desensitize.detectors.names_en_grammar import (
    COMMA_NAME,
    FIELD,
    GAP,
    HAS_CAPITAL,
    IN_MARKS,
    INLINE_COMMA_NAME,
    LABEL_CHARS,
    LABELLED,
    LOWER_WORD,
    NO_KEYS_VALUE,
    NO_ROLE,
    NO_TITLES,
    PHRASE,
    PHRASE_WORDS,
    POSSESSIVE,
    ROLE,
    SEQUENCE,
    TITLED,
    TOKEN,
    Word,
    closes_tag,
    is_title,
    trimmed,
    without_particles,
    word_of,
)
from fedward.common.desensitize.detectors.names_en_weights import Weights
from fedward.common.desensitize.spans import EntityType, Level, Span

Profile = Literal["structured", "fast", "max-recall"]
Entity = tuple[int, int, str]
_Hit = tuple[int, int, EntityType, int, str]

_NO_VALUE = frozenset(
    ("unknown", "none", "na", "not", "nil", "same", "see", "redacted", "withheld", "pending", "yes", "no")
)
_SHORTENED = frozenset(("st", "wm", "chas", "geo", "jos", "thos"))
"""Parts of names that are written with a full stop."""
_FIRM_TITLES = frozenset(
    (
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "professor",
        "doctor",
        "mister",
        "mme",
        "mlle",
        "herr",
        "frau",
        "signor",
        "signora",
    )
)
_ROLE_TAILS = Tails(ROLE, "$")
CHINESE_MARK = re.compile("[。；、]")
HAS_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]").search
_TYPE_OF_LABEL = {
    "PERSON": EntityType.PERSON,
    **dict.fromkeys(("ORG", "PRODUCT", "WORK_OF_ART", "EVENT", "FAC"), EntityType.ORG),
    **dict.fromkeys(("GPE", "LOC"), EntityType.LOC),
}


class Tagger(Protocol):
    """A statistical tagger of entities."""

    def entities(self, text: str) -> list[Entity]:
        """Half-open character spans of ``text`` with a label: PERSON, ORG, GPE, LOC and others."""


class EnglishNameDetector:
    """PERSON in English text.

    Args:
        profile: ``structured`` reads labelled fields and titles only; ``fast`` weighs every run of capitalised words;
            ``max-recall`` unites that with a spaCy model, whose organisations and places come along.
        tagger: instead of the shipped adapter, for ``max-recall``.

    Raises:
        ConfigError: ``max-recall`` without the extra ``en``; nothing is downgraded silently.
    """

    def __init__(self, profile: Profile = "fast", *, tagger: Tagger | None = None) -> None:
        self._profile = profile
        self._weights = Weights()
        self._tagger: Tagger | None = None
        if profile == "max-recall":
            self._tagger = tagger or _spacy()

    def detect(self, document: Document) -> list[Span]:
        """Names: level 3 by a cue, 2 by two witnesses, 1 by one."""
        text = document.text
        uncased = not HAS_CAPITAL(text)
        if uncased:
            text = self._capitalised(text)
        found = list(self._cued(text, uncased=uncased))
        entities = self._tagger.entities(text) if self._tagger is not None else None
        if self._profile != "structured":
            found += self._weighed(text, entities)
        found += self._tagged(text, entities or [])
        return [
            Span(*document.span_of_chars(start, end), type_, int(level), method)
            for start, end, type_, level, method in dict.fromkeys(found)
        ]

    def _capitalised(self, text: str) -> str:
        """A text without one capital letter, with capitals on its listed names; of equal length."""

        def raised(match: re.Match[str]) -> str:
            key, upper = name_key(match[0]), match[0][0].upper()
            name = self._weights.is_name(key) and key not in self._weights.words
            return upper + match[0][1:] if name and len(upper) == 1 else match[0]

        return LOWER_WORD.sub(raised, text)

    def _cued(self, text: str, *, uncased: bool) -> Iterator[_Hit]:
        """Labelled fields, phrases and titles; the one place where a name may be in lower case."""
        for span, method in _announced(text):
            end = self._name_end(text, span, free=method == "en.label", uncased=uncased)
            if end > span[0]:
                yield span[0], end, EntityType.PERSON, Level.CHECKED, method
        for match in COMMA_NAME.finditer(text):
            first = any(self._weights.is_first(name_key(word)) for word in match[2].split())
            if first and self._weights.may_be_name(name_key(match[1])):
                yield match.start(), match.end(), EntityType.PERSON, Level.WITNESS, "en.comma"

        for match in INLINE_COMMA_NAME.finditer(text):
            if self._weights.is_reversed(name_key(match[1]), name_key(match[2].split()[0])):
                yield match.start(), match.end(), EntityType.PERSON, Level.WITNESS, "en.comma"

    def _name_end(self, text: str, span: tuple[int, int], *, free: bool, uncased: bool) -> int:
        """Where the name that a cue announces ends; its start if there is none.

        ``free``: the field can hold nothing but a name, so its first word need not look like one; ``uncased``: the
        text knows no capitals, so none does.
        """
        start, stop = span[0], span[0]
        shortened = True
        for number, match in enumerate(TOKEN.finditer(text, *span)):
            word = POSSESSIVE.sub("", match[1])
            if number and not GAP.fullmatch(text, stop, match.start()):
                break
            if number and text[stop] == "." and not shortened:
                break  # the sentence's full stop: Dr. Kowalski. Diet as before.
            shortened = name_key(word) in TITLES or name_key(word) in _SHORTENED
            if not self._goes_on(word, number, free=uncased or (free and number == 0), uncased=uncased):
                break
            stop = match.start() + len(word)
            if match[2] and (len(word) == 1 or name_key(word) in SUFFIXES):
                stop = match.end()
        return without_particles(text, start, stop)

    def _goes_on(self, word: str, number: int, *, free: bool, uncased: bool) -> bool:
        key, lower = name_key(word), word[0].islower()
        if key in _NO_VALUE and not (number and self._weights.is_name(key)):
            return False  # "na" alone is no value; Li Na is somebody
        if lower and key in self._weights.words:
            return False
        if self._weights.is_name(key) or (number and len(key) == 1):
            return True
        if lower:
            return free if number == 0 else uncased or key in PARTICLES
        return free or self._weights.may_be_name(key)

    def _weighed(self, text: str, entities: list[Entity] | None) -> Iterator[_Hit]:
        """Runs of capitalised words.

        One witness is enough for a listed name that is no everyday word, and for others where a tagger reads too and
        says nothing else.
        """
        others = [(start, end) for start, end, label in entities or () if label != "PERSON"]
        for match in SEQUENCE.finditer(text):
            if self._weights.is_plain(match[0]):
                continue
            for run, titled in self._runs(text, match.start(), match.end()):
                weight = self._weights.weigh(text, run) + 3 * titled
                start, end = run[0].start, run[-1].end
                if weight == 1 and (self._is_listed(run) or (entities is not None and self._is_inside(text, run))):
                    weight += not any(a < end and start < b for a, b in others)
                if weight > 0:
                    yield start, end, EntityType.PERSON, min(weight, int(Level.CHECKED)), "en.weighed"

    def _is_listed(self, run: list[Word]) -> bool:
        return self._weights.is_unusual(run) and any(self._weights.is_name(word.key) for word in run)

    def _is_inside(self, text: str, run: list[Word]) -> bool:
        """Whether an unlisted word stands inside a sentence; at its start any word has a capital."""
        start = run[0].start
        inside = len(run) > 1 or text[max(0, start - 2) : start - 1].islower()
        return inside and self._weights.is_unusual(run)

    def _runs(self, text: str, start: int, end: int) -> Iterator[tuple[list[Word], bool]]:
        """The parts of a capitalised sequence that may be a name, each with: does a title stand before it?"""
        run: list[Word] = []
        titled = False
        for match in TOKEN.finditer(text, start, end):
            word = word_of(match)
            if word.key in PARTICLES and word.text[0].islower():
                if run:
                    run.append(word)
                continue
            ended = word.key in TITLES and (not run or word.key in _FIRM_TITLES)
            firm = word.key in _FIRM_TITLES and (word.dotted or word.text not in NO_TITLES)
            if ended or not self._weights.fits(word):
                if run:
                    yield trimmed(run), titled
                run, titled = [], ended and firm
                continue
            run.append(word)
            # A possessive or a full stop ends a name, a full stop behind an initial does not.
            if word.end - word.start != len(match[0]) or (word.dotted and len(word.text) > 2):
                yield trimmed(run), titled
                run, titled = [], False
        if run:
            yield trimmed(run), titled

    def _tagged(self, text: str, entities: list[Entity]) -> Iterator[_Hit]:
        """What the tagger names and the lists and neighbours do not refute."""
        for start, end, label in _parts(text, entities):
            type_ = _TYPE_OF_LABEL.get(label)
            if type_ is None or "@" in text[max(0, start - 1) : end + 1] or HAS_CJK(text, start, end):
                continue  # an English tagger takes whole Chinese sentences for names
            words = self._weights.stripped([word_of(match) for match in TOKEN.finditer(text, start, end)])
            names = [word for word in words if len(word.key) > 1]
            if not names:
                continue
            start, end = words[0].start, words[-1].end
            if type_ is EntityType.PERSON:
                if not self._weights.refutes(text, names, start, end):
                    yield start, end, type_, Level.WITNESS, "en.spacy"
            elif self._weights.overrules(text, names, start, end):
                # An organisation is replaced as one, so only a cue makes a person of it; a place is kept.
                person = type_ is EntityType.LOC or self._weights.is_cued(text, start, end)
                yield start, end, EntityType.PERSON if person else type_, Level.WITNESS, "en.spacy-list"
            elif type_ is EntityType.LOC and not self._weights.is_place(names):
                # Places are kept: what no list knows as one may be a rare name, and is replaced like an address.
                if self._weights.is_ordinary(text, names, start, end):
                    continue
                yield start, end, EntityType.ADDRESS, Level.WITNESS, "en.spacy-place"
            elif self._weights.is_proper(text, names, end):
                yield start, end, type_, Level.WITNESS, "en.spacy"


def _parts(text: str, entities: list[Entity]) -> Iterator[Entity]:
    """The entities, cut where a Chinese mark ends a sentence inside of one; what is left of two letters is no name."""
    for start, end, label in entities:
        cuts = [match.span() for match in CHINESE_MARK.finditer(text, start, end)]
        if not cuts:
            yield start, end, label
            continue
        for left, right in zip([start, *(cut[1] for cut in cuts)], [*(cut[0] for cut in cuts), end], strict=True):
            if len(text[left:right].strip()) > 2:
                yield left, right, label


def _may_be_label(text: str) -> bool:
    """Whether ``LABELLED`` may match: it ends in "name" or "name is"."""
    last = text[-3:]
    return last.lower() in ("ame", " is") or not last.isascii()


def _announced(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Where a label, a phrase or a title says that a name begins, and how far it may go."""
    for match in FIELD.finditer(text):
        label = text[max(0, match.start() - LABEL_CHARS) : match.start()]
        if closes_tag(text, match):
            continue
        if _may_be_label(label) and LABELLED.search(label):
            if not IN_MARKS(match[0]):
                yield match.span(1), "en.label"
            elif not NO_KEYS_VALUE(match[1]):
                yield match.span(1), "en.key"
        elif _ROLE_TAILS.may_end(label) and ROLE.search(label) and not NO_ROLE(match[0]):
            yield match.span(1), "en.role"
    lower = text.lower()
    if any(word in lower for word in PHRASE_WORDS):
        for match in PHRASE.finditer(text):
            yield match.span(1), "en.phrase"
    for match in TITLED.finditer(text):
        if is_title(match):
            yield match.span(1), "en.title"


def _spacy() -> Tagger:
    from fedward.common.desensitize.detectors.spacy_adapter import SpacyTagger

    return SpacyTagger()


__all__ = ["EnglishNameDetector", "Entity", "Profile", "Tagger"]
