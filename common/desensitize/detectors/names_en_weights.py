"""What English words weigh as a name: the lists, the neighbours, the terms of medicine and the names of organisations.

The weight is the number of witnesses: 1 one, 2 two, 3 more. Not handled here: where runs of words come from
(``names_en``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedward.common.desensitize.detectors.cue_tails import Tails, before_blanks
from fedward.common.desensitize.detectors.lexicon_en import (
    EPONYMS,
    MEDICAL_ENDING,
    MONTHS_AND_DAYS,
    ORG_HEADS,
    PARTICLES,
    SUFFIXES,
    TERM_HEADS,
    TITLES,
    english_lexicon,
)
from fedward.common.desensitize.detectors.names_en_grammar import (
    AFTER,
    BEFORE,
    CONTEXT_CHARS,
    CREDENTIAL,
    NOT_A_PERSON_AFTER,
    NOT_A_PERSON_BEFORE,
    PLACE_BEFORE,
    REGION_AFTER,
    SPEAKS_AFTER,
    SPEAKS_BEFORE,
    TERM_AFTER,
    Word,
    fills_line,
)

_TAILS, _SPEAKS_TAILS = (Tails(pattern, r"[,:]?\s{1,3}$") for pattern in (BEFORE, SPEAKS_BEFORE))
_ONE_WORD_AFTER = (" a ", " an ", " in ", " at ", "In ", " the ", "The ", "A ", "An ")
"""Before a single word these speak for a thing or a place."""


_ARTICLES = ("the ", "The ", "THE ")
NUMBERED = re.compile(r"[ :#.(=\-]{1,4}[A-Z]?[0-9]")
"""Behind a word it makes it a label or a measure: Barcode 69, Hemoglobin A1c."""
_LABELS = frozenset("barcode batch bolt chart driver lot port serial tel unit".split())  # noqa: SIM905
OPENING = re.compile(r"(?:^|[.!?:;\n\r|])\s{0,3}$")
"""What stands before the first word of a sentence, a field or a line."""


class Weights:
    """The lists of names and words, asked about words and runs of words."""

    def __init__(self) -> None:
        lexicon = self._lexicon = english_lexicon()
        self.words = lexicon.words
        self._first, self._last, self._places = lexicon.first, lexicon.last, lexicon.places
        self._names = self._first | self._last
        self._everyday = self.words | self._places
        self._plain = self._everyday - self._names - TITLES
        self._dates = MONTHS_AND_DAYS - self._first

    def is_plain(self, sequence: str) -> bool:
        """Whether a capitalised sequence is one ordinary word, as at the start of most sentences."""
        return sequence.lower() in self._plain

    def is_name(self, key: str) -> bool:
        """Whether a list of names holds ``key``."""
        return key in self._names

    def is_first(self, key: str) -> bool:
        """Whether ``key`` is a given name."""
        return key in self._first

    def is_reversed(self, last: str, first: str) -> bool:
        """Whether a listed surname and a given name, neither of them a place, and not both everyday words."""
        listed = last in self._last and first in self._first and not {last, first} & self._places
        return listed and not (last in self.words and first in self.words)

    def may_be_name(self, key: str) -> bool:
        """Whether ``key`` is a listed name, or no word that is known to be something else."""
        return key in self._names or not (key in self._everyday or MEDICAL_ENDING.search(key))

    def fits(self, word: Word) -> bool:
        """Whether ``word`` may stand inside a name."""
        key = word.key
        if len(key) < 2 or key in self._names or key in SUFFIXES:
            return bool(key)
        if not key.replace("-", "").replace("'", "").isalpha() or key in self._dates:
            return False
        return all(map(self.may_be_name, key.split("-")))

    def weigh(self, text: str, run: list[Word]) -> int:
        """The number of witnesses for a run of fitting words; 0 or less: none."""
        names = [w for w in run if len(w.key) > 1 and w.key not in PARTICLES and w.key not in SUFFIXES]
        if not names:
            return 0
        start, end = run[0].start, run[-1].end
        if self.is_term(text, names, end):
            return 0
        weight = min(2, self.lists(names, initials=sum(len(w.key) == 1 for w in run)))
        before = text[max(0, start - CONTEXT_CHARS) : start]
        if self._is_a_thing(text, names, before, end):
            return weight - 2
        word = before_blanks(before)
        spoken = word is not None and _SPEAKS_TAILS.may_end(word) and SPEAKS_BEFORE.search(before) is not None
        spoken = spoken or SPEAKS_AFTER.match(text, end) is not None
        if spoken and weight == 0 and (self.is_unusual(names) or names[0].key in self._first):
            weight = 1
        weight += spoken or (word is not None and _TAILS.may_end(word) and BEFORE.search(before) is not None)
        weight += AFTER.match(text, end) is not None or CREDENTIAL.match(text, end) is not None
        weight += weight < 2 and len(names) > 1 and fills_line(text, start, end)
        weight -= all(word.text.isupper() for word in names)
        weight -= any(not self.is_name(w.key) and self._lexicon.is_inflected(w.key) for w in names)
        weight -= len(names) == 1 and before.endswith(_ONE_WORD_AFTER)
        return weight

    def _is_a_thing(self, text: str, names: list[Word], before: str, end: int) -> bool:
        """Whether the neighbours speak of a company, a work or a place: "works for", "the … office"."""
        if before.endswith(_ARTICLES) and not (len(names) > 1 and names[0].key in self._first):
            return True
        return NOT_A_PERSON_BEFORE.search(before) is not None or NOT_A_PERSON_AFTER.match(text, end) is not None

    def lists(self, names: list[Word], *, initials: int) -> int:
        """What the lists alone say of words that fit; initials beside them are a witness."""
        first = [w.key in self._first or w.key.split("-")[0] in self._first for w in names]
        last = [w.key in self._last for w in names]
        plain = [w.key not in self._everyday for w in names]
        if len(names) == 1:
            if initials:
                return int(first[0] or last[0]) + plain[0] * min(2, initials)
            return 2 if first[0] and plain[0] and names[0].key not in EPONYMS else int(last[0] and plain[0])
        known = sum(a or b for a, b in zip(first, last, strict=True))
        sure = sum((a or b) and c for a, b, c in zip(first, last, plain, strict=True))
        if known == 0:
            return min(2, initials)
        if not any(first):
            return min(2, sure)
        return 1 + (sure > 0) + (known > 1) + (initials > 0) - (len(names) > 4)

    def is_term(self, text: str, names: list[Word], end: int) -> bool:
        """Whether what follows makes the words part of a medical term or of an organisation."""
        if names[-1].key in MONTHS_AND_DAYS and text[end : end + 2].strip().isdigit():
            return True
        after = TERM_AFTER.match(text, end)
        if after is None:
            return False
        head, possessive = after[1].lower(), text[end : end + 1] in "'\u2019"
        if head in TERM_HEADS:
            # "John Smith's fever" is his; "Graves' disease" is nobody's.
            return not (possessive and names[-1].key not in EPONYMS and names[0].key in self._first)
        if possessive:
            return False
        if len(names) == 1 and after[1].islower():
            return MEDICAL_ENDING.search(head) is not None
        return after[1][0].isupper() and head in ORG_HEADS

    def is_unusual(self, run: Iterable[Word]) -> bool:
        """Whether one witness is enough where recall comes first: a word in mixed case that is no everyday one."""
        words = (w for w in run if len(w.key) > 1 and not w.text.isupper())
        return any(w.key not in self.words and w.key not in EPONYMS for w in words)

    def refutes(self, text: str, names: list[Word], start: int, end: int) -> bool:
        """Whether lists and neighbours know better than a tagger that says person."""
        before = text[max(0, start - CONTEXT_CHARS) : start]
        if self._is_a_thing(text, names, before, end):
            return True
        if len(names) == 1 and not self.is_name(names[0].key) and PLACE_BEFORE.search(before):
            return True
        if self.is_term(text, names, end) or any(w.key in TERM_HEADS or w.key in ORG_HEADS for w in names[1:]):
            return True
        if self.may_open(text, names, start, end):
            return True
        if len(names) == 1 and not self.is_cued(text, start, end):
            key = names[0].key
            if key in _LABELS or (len(key) < 3 and not self.is_name(key)):
                return True
        if all(w.text.isupper() and len(w.text) < 5 for w in names) or all(w.text.islower() for w in names):
            return not any(self.is_name(w.key) and w.key not in self.words for w in names if len(w.text) > 4)
        return all(w.key in self._everyday and not self.is_name(w.key) for w in names)

    def may_open(self, text: str, names: list[Word], start: int, end: int) -> bool:
        """Whether a lone word has its capital from beginning a sentence, and neither list nor cue makes a name of it.

        A tagger takes Barcode, Compliant and Bolt for people there.
        """
        if len(names) != 1 or (start and text[start - 1] == "(") or not OPENING.search(text[max(0, start - 4) : start]):
            return False
        key = names[0].key
        known = key in self.words or self._lexicon.is_inflected(key) or MEDICAL_ENDING.search(key) is not None
        numbered = not self.is_name(key) and NUMBERED.match(text, end) is not None
        return (known or numbered or key in _LABELS or len(key) < 3) and not self.is_cued(text, start, end)

    def is_ordinary(self, text: str, names: list[Word], start: int, end: int) -> bool:
        """Whether what a tagger calls a place is a word in lower case, an eponym, or the first of a sentence."""
        if all(w.text.islower() or w.key in EPONYMS for w in names):
            return True
        return self.may_open(text, names, start, end) and not PLACE_BEFORE.search(
            text[max(0, start - CONTEXT_CHARS) : start]
        )

    def overrules(self, text: str, names: list[Word], start: int, end: int) -> bool:
        """Whether lists and neighbours call a person what a tagger calls an organisation or a place."""
        before = text[max(0, start - CONTEXT_CHARS) : start]
        if self.refutes(text, names, start, end) or PLACE_BEFORE.search(before) or REGION_AFTER.match(text, end):
            return False
        first = names[0].key in self._first and names[0].key not in self._everyday
        if len(names) > 1:
            return len(names) < 4 and first and not any(w.key in self.words for w in names)
        listed = names[0].key not in EPONYMS and self.lists(names, initials=0) > 0
        return listed and (first or self.is_cued(text, start, end))

    def is_cued(self, text: str, start: int, end: int) -> bool:
        """Whether a word beside the span speaks for a person."""
        before = text[max(0, start - CONTEXT_CHARS) : start]
        return any(pattern.search(before) for pattern in (BEFORE, SPEAKS_BEFORE)) or any(
            pattern.match(text, end) for pattern in (AFTER, SPEAKS_AFTER)
        )

    def is_place(self, names: list[Word]) -> bool:
        """Whether a listed place is among the words."""
        return any(word.key in self._places for word in names)

    def is_proper(self, text: str, names: list[Word], end: int) -> bool:
        """Whether the words can name an organisation or a place: mixed case, and more than ordinary words."""
        if all(w.text.isupper() or w.text.islower() for w in names) or self.is_term(text, names, end):
            return False
        if names[-1].key in TERM_HEADS or any(w.key in EPONYMS for w in names):
            return False
        return any(w.key in ORG_HEADS for w in names[1:]) or not all(
            w.key in self.words or MEDICAL_ENDING.search(w.key) for w in names
        )

    def stripped(self, words: list[Word]) -> list[Word]:
        """``words`` without titles and ordinary words at both ends."""
        first, last = 0, len(words)
        while first < last and (words[first].key in TITLES or not self.fits(words[first])):
            first += 1
        while first < last and words[last - 1].key not in ORG_HEADS and not self._ends(words[last - 1]):
            last -= 1
        return words[first:last]

    def _ends(self, word: Word) -> bool:
        return self.fits(word) and word.key not in TITLES


__all__ = ["Weights"]
