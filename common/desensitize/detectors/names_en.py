"""English names: titles, labelled fields, forms of address, lists of names and their neighbours.

A run of capitalised words is weighed: what the lists of names say of its words, what stands before it and behind it.
Weights are small integers in one table; the sum is the level. An eponym ("Graves' disease") or a word of medicine is
no name unless a cue stands beside it.

Invariants: pure; the same document gives the same spans; every repeat is bounded, so time is linear in the text.
Not handled here: names without a capital letter and without a cue, names in other scripts (``names_zh``), values that
the record's columns hold (``known``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lexicon_en import (
    CREDENTIALS,
    EPONYMS,
    MEDICAL_ENDING,
    MONTHS_AND_DAYS,
    ORG_HEADS,
    PARTICLES,
    SUFFIXES,
    TERM_HEADS,
    TITLES,
    english_lexicon,
    name_key,
)
from fedward.common.desensitize.spans import EntityType, Level, Span

Profile = Literal["structured", "fast", "max-recall"]


def _capitals() -> str:
    """The upper-case letters of Latin, Greek and Cyrillic as the inside of a character class."""
    wide = (*range(0xC0, 0x250), *range(0x370, 0x530), *range(0x1E00, 0x1F00))
    return "A-Z" + "".join(chr(code) for code in wide if chr(code).isupper())


_UP = f"[{_capitals()}]"
_LETTERS = r"[^\W\d_]"
_WORD = (
    rf"{_UP}(?:{_LETTERS}|['’`](?={_LETTERS})){{0,30}}(?:-{_LETTERS}(?:{_LETTERS}|['’](?={_LETTERS})){{0,30}}){{0,3}}"
)
_JOINTS = "|".join(sorted((re.escape(p) for p in PARTICLES if p.isalpha()), key=len, reverse=True))
_SEQUENCE = re.compile(
    rf"(?<![\w@/]){_WORD}\.?(?:[ \u00a0]{{1,2}}(?:(?:{_JOINTS})[ ]){{0,3}}{_WORD}\.?){{0,7}}(?![\w@])", re.UNICODE
)
"""Capitalised words one after the other, with particles between them and full stops behind initials and titles."""
_TOKEN = re.compile(rf"({_LETTERS}[\w'’`-]*)(\.?)")

_SHORT_NAME = rf"{_LETTERS}[\w'’.-]{{0,30}}"
_LABEL = (
    "(?:patient|pt|full|first|last|sur|family|given|maiden|middle|legal|preferred|customer|client|account holder|card"
    "holder|beneficiary|payee|payer|borrower|applicant|guarantor|employee|member|mother|father|spouse|guardian|contact"
    "|emergency contact|next of kin|doctor|physician|provider|attending|nurse|surgeon)?'?s? ?name"
)
_ROLES = (
    "patient|pt|attending(?: physician)?|referring(?: physician| provider)?|primary care (?:physician|provider)|pcp"
    "|physician|surgeon|provider|resident|dictated by|electronically signed by|signed by|signed|reviewed by|seen by"
    "|ordered by|transcribed by|reported by|performed by|authorized by|approved by|prepared by|cc|attn|attention|from"
    "|to|next of kin|emergency contact|contact|guardian|spouse|account holder|cardholder|card holder|beneficiary"
    "|payee|payer|customer|client|borrower|applicant|employee|sender|recipient|consultant|interviewer|author|user|agent"
)
_VALUE = rf"{_SHORT_NAME}(?:[ ,]{{1,2}}{_SHORT_NAME}){{0,4}}"
_LABELLED = re.compile(rf"(?i:\b{_LABEL}(?: is)?[ \t]{{0,3}}[:：=][ \t]{{0,3}})({_VALUE})")
_ROLE_FIELD = re.compile(rf"(?i:\b(?:{_ROLES})[ \t]{{0,3}}[:：][ \t]{{0,3}})({_VALUE})")
_PHRASE = re.compile(
    r"(?i:\b(?:(?:my|her|his|their|maiden|whose|the|first|last|partner's|husband's|wife's|son's|daughter's) "
    r"(?:full |first |last |maiden |middle )?name is|name's|calls? (?:me|him|her)|named (?:him|her|them)"
    r"|speaking to|speaking with|go(?:es)? by|i am called|is called)[ :]{1,2})"
    rf"({_SHORT_NAME}(?: {_SHORT_NAME}){{0,3}})"
)
_TITLED = re.compile(rf"(?i:\b(?:mr|mrs|ms|mx|dr|prof)(?:\.[ ]?|[ ]))({_SHORT_NAME}(?: {_SHORT_NAME}){{0,3}})")
_COMMA_NAME = re.compile(
    rf"(?<!\w)({_WORD}), ({_WORD}(?: (?:{_UP}\.|{_WORD})){{0,2}})(?=\s*(?:$|[\n;()|]|,? ?(?:{CREDENTIALS})\b))"
)
_CREDENTIAL = re.compile(rf"\.?,? ?(?:{CREDENTIALS})(?![\w])")

_BEFORE = re.compile(
    r"(?i:\b(?:dear|hi|hello|hey|thanks|thank you|regards|sincerely|yours truly|yours|best|cheers|signed|i am|i'm|im"
    r"|this is|named|called|calls me|call me|name is|by|with|met|meet|ask(?:ed)?|told|tell|saw|married|said|says|wife"
    r"|husband|son|daughter|mother|father|mom|dad|brother|sister|partner|aunt|uncle|friend|cousin|nurse|president"
    r"|directed by|starring|written by|founder|author|singer|actor|actress|songwriter|commenter|player|assistant to"
    r"|add|remove|contact(?:ed)?|notif(?:y|ied)|invited?|(?:change|correct) it to|speak to|ask for|heard|thinks?))"
    r"[,:]?\s{1,3}$"
)
_AFTER = re.compile(
    r"(?:\s{1,2}|, )(?:said|says|told|asked|writes|wrote|lives|lived|works|worked|was born|is a|was a|who|has been|had"
    r"|has|his|her|reports|reported|denies|denied|complains|states|stated|presents|presented|sings|sang|played|plays"
    r"|is from|was admitted|was seen|is seen|returns|returned|called|married|died|speaks?|points out|spent|thinks|as my"
    r"|as guardian|so (?:much|sad|happy))\b"
    r"|, (?:can|could|would|will|please|thank|how|what|why|do|did|are|is|have|let|i|you|I|we) "
    r"|['’]s (?:wife|husband|mother|father|son|daughter|brother|sister|mom|dad|parents?|family|friend|house|home|room"
    r"|address|account|name|phone|birthday|car|chart|condition|pain|boss|doctor|symptoms|mood|appetite|attorney)\b"
)
_NOT_A_PERSON_BEFORE = re.compile(
    r"\b(?:[Tt]he|works? for|working for|worked for|work at|works at|employed by|band|album|song|film|movie|game|show"
    r"|company|town of|city of|village of|county of|Battle of|University of)[ ]{1,2}[\"“]? ?$"
)
_NOT_A_PERSON_AFTER = re.compile(
    r"(?:['’]s)?[ ]{1,2}(?:(?:is|was|are|were) an? (?:[\w-]{1,20} ){0,3}(?:agency|company|band|village|town|city|firm|film"
    r"|movie|album|song|comedy|startup|municipality|commune|river|genus|species|drug|medication|brand|team|club)\b"
    r"|(?:office|orchestra|team|band|products?|software|album|tour|brand|campus|stores?|website|app|logo)\b)"
    r"|, (?:[A-Z][a-z]+ ?){1,2}, (?:USA|UK|Canada|Germany|France|England|Italy|Spain)\b"
)
_PLACE_BEFORE = re.compile(r"\b(?:in|from|near|at|to|of|into|outside|around|across|through|toward|via)[ ]$")
_REGION_AFTER = re.compile(rf", {_UP}[a-z]+|,? (?:[A-Z]{{2}})(?!\w)")
_POSSESSIVE = re.compile(r"['’]s$|['’]$")
_TERM_AFTER = re.compile(r"(?:['’]s?)?[ -]{1,2}([A-Za-z]{3,20})")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n\"“(•*-])[\s\"“'(]*$")


class Tagger(Protocol):
    """A statistical tagger of entities."""

    def entities(self, text: str) -> list[tuple[int, int, str]]:
        """Half-open character spans of ``text`` with a label; people have the label PERSON."""


class _Word(NamedTuple):
    start: int
    end: int
    text: str
    key: str
    dotted: bool


class EnglishNameDetector:
    """PERSON in English text.

    Args:
        profile: ``structured`` reads labelled fields and titles only; ``fast`` weighs every run of capitalised words;
            ``max-recall`` unites that with a spaCy model.

    Raises:
        ConfigError: ``max-recall`` without the extra ``en``; nothing is downgraded silently.
    """

    def __init__(self, profile: Profile = "fast", *, tagger: Tagger | None = None) -> None:
        self._profile = profile
        self._lexicon = english_lexicon()
        self._tagger = tagger
        if profile == "max-recall" and tagger is None:
            from fedward.common.desensitize.detectors.spacy_adapter import SpacyTagger

            self._tagger = SpacyTagger()

    def detect(self, document: Document) -> list[Span]:
        """Names, level 3 by a rule with a cue, 2 by two witnesses, 1 by one."""
        text = document.text
        lower = not _HAS_CAPITAL(text)
        if lower:
            text = self._capitalised(text)
        found = list(self._cued(text, free=lower))
        entities = self._tagger.entities(text) if self._tagger is not None else None
        if self._profile != "structured":
            found += self._weighed(text, entities)
        if entities:
            found += self._tagged(text, entities)
        return [
            Span(*document.span_of_chars(start, end), type_, int(level), method)
            for start, end, type_, level, method in dict.fromkeys(found)
        ]

    def _cued(self, text: str, *, free: bool) -> Iterator[_Hit]:
        """Labelled fields, phrases and titles; the one place where a name may be in lower case.

        ``free``: the text knows no capitals, so any word that is not ordinary may be a name here.
        """
        for pattern, method, strong in _CUES:
            for match in pattern.finditer(text):
                if strong == _TITLE and not _is_title(match):
                    continue
                end = self._name_end(text, match.start(1), match.end(1), free=free or strong == _FREE, lower=free)
                if end > match.start(1):
                    yield match.start(1), end, EntityType.PERSON, Level.CHECKED, method
        for match in _COMMA_NAME.finditer(text):
            if any(name_key(word) in self._lexicon.first for word in match[2].split()) and self._may_be(match[1]):
                yield match.start(), match.end(), EntityType.PERSON, Level.WITNESS, "en.comma"

    def _capitalised(self, text: str) -> str:
        """A text without one capital letter, with capitals on its names; of equal length."""

        def raised(match: re.Match[str]) -> str:
            key, upper = name_key(match[0]), match[0][0].upper()
            name = self._lexicon.is_name(key) and key not in self._lexicon.words
            return upper + match[0][1:] if name and len(upper) == 1 else match[0]

        return _LOWER_WORD.sub(raised, text)

    def _may_be(self, word: str) -> bool:
        key = name_key(word)
        return self._lexicon.is_name(key) or not (
            key in self._lexicon.words or key in self._lexicon.places or MEDICAL_ENDING.search(key)
        )

    def _name_end(self, text: str, start: int, end: int, *, free: bool, lower: bool) -> int:
        """Where the name that a cue announces ends; ``start`` if there is none.

        ``free``: the field can hold nothing but a name, so its first word need not look like one; ``lower``: no
        later one either.
        """
        any_case = lower
        stop = start
        for number, match in enumerate(_TOKEN.finditer(text, start, end)):
            word, key = match[1], name_key(_POSSESSIVE.sub("", match[1]))
            if number and not _GAP.fullmatch(text, stop, match.start()):
                break
            lower = word[0].islower()
            if key in _NO_VALUE or (lower and key in self._lexicon.words):
                break
            known = self._lexicon.is_name(key) or (len(key) == 1 and number > 0)
            if lower and number and not (known or any_case) and key not in PARTICLES:
                break
            if not known and not (free and number == 0) and not lower and not self._may_be(key):
                break
            if lower and number == 0 and not known and not free:
                break
            stop = match.start() + len(_POSSESSIVE.sub("", word))
            if match[2] and (len(word) == 1 or key in SUFFIXES):
                stop = match.end()
        return _without_particles(text, start, stop)

    def _weighed(self, text: str, entities: list[_Entity] | None) -> Iterator[_Hit]:
        """Runs of capitalised words. Where a tagger reads too, one witness is enough unless it says otherwise."""
        others = [(start, end) for start, end, label in entities or () if label != "PERSON"]
        for match in _SEQUENCE.finditer(text):
            for run, titled in self._runs(text, match.start(), match.end()):
                weight = self._weigh(text, run) + 3 * titled
                if weight == 1 and entities is not None and self._promotes(run):
                    weight += not any(start < run[-1].end and run[0].start < end for start, end in others)
                if weight > 0:
                    yield run[0].start, run[-1].end, EntityType.PERSON, min(weight, int(Level.CHECKED)), "en.weighed"

    def _runs(self, text: str, start: int, end: int) -> Iterator[tuple[list[_Word], bool]]:
        """The parts of a capitalised sequence that may be a name, each with: does a title stand before it?"""
        run: list[_Word] = []
        titled = False
        for match in _TOKEN.finditer(text, start, end):
            word = _word(match)
            if word.key in PARTICLES and word.text[0].islower():
                if run:
                    run.append(word)
                continue
            if word.key in TITLES and not (run and word.key not in _FIRM_TITLES):
                if run:
                    yield _trimmed(run), titled
                run, titled = [], word.key in _FIRM_TITLES
            elif not self._fits(word):
                if run:
                    yield _trimmed(run), titled
                run, titled = [], False
            else:
                run.append(word)
                if word.text != text[word.start : word.start + len(match[1])] or (word.dotted and len(word.text) > 2):
                    yield _trimmed(run), titled
                    run, titled = [], False
        if run:
            yield _trimmed(run), titled

    def _fits(self, word: _Word) -> bool:
        key = word.key
        if len(key) == 1:
            return True
        if any(c.isdigit() or c == "_" for c in key) or key in MONTHS_AND_DAYS - self._lexicon.first:
            return False
        return self._lexicon.is_name(key) or key in SUFFIXES or all(map(self._may_be, key.split("-")))

    def _weigh(self, text: str, run: list[_Word]) -> int:
        """The sum of what speaks for a name: 1 one witness, 2 two, 3 more; 0 or less none."""
        names = [word for word in run if len(word.key) > 1 and word.key not in PARTICLES and word.key not in SUFFIXES]
        if not names:
            return 0
        start, end = run[0].start, run[-1].end
        if self._is_term(text, names, end):
            return 0
        weight = min(2, self._lists(names, initials=len(run) > len(names) and any(len(w.key) == 1 for w in run)))
        before = text[max(0, start - 40) : start]
        if _NOT_A_PERSON_BEFORE.search(before) or _NOT_A_PERSON_AFTER.match(text, end):
            return weight - 2
        if _BEFORE.search(before):
            weight += 1
        if _AFTER.match(text, end) or _CREDENTIAL.match(text, end):
            weight += 1
        if weight < 2 and len(names) > 1 and _fills_line(text, start, end):
            weight += 1
        if all(word.text.isupper() for word in names):
            weight -= 1
        if len(names) == 1 and before.endswith((" a ", " an ", " in ", " at ", "In ", " the ", "The ", "A ", "An ")):
            weight -= 1
        return weight

    def _promotes(self, run: list[_Word]) -> bool:
        """Whether one witness is enough where recall comes first: a word in mixed case that is no everyday word."""
        words = [w for w in run if len(w.key) > 1 and not w.text.isupper()]
        return any(w.key not in self._lexicon.words and w.key not in EPONYMS for w in words)

    def _lists(self, names: list[_Word], *, initials: bool) -> int:
        lexicon = self._lexicon
        first = [w.key in lexicon.first or w.key.split("-")[0] in lexicon.first for w in names]
        last = [w.key in lexicon.last for w in names]
        plain = [w.key not in lexicon.words and w.key not in lexicon.places for w in names]
        if len(names) == 1:
            if initials:
                return (1 + (first[0] or last[0])) if plain[0] else int(first[0] or last[0])
            return 2 if first[0] and plain[0] and not (names[0].key in EPONYMS) else int(last[0] and plain[0])
        known = sum(a or b for a, b in zip(first, last, strict=True))
        sure = sum((a or b) and c for a, b, c in zip(first, last, plain, strict=True))
        if known == 0:
            return 1 if initials else 0
        if not any(first):
            return min(2, sure)
        weight = 1 + (sure > 0) + (known > 1) + initials
        return weight if len(names) <= 4 else weight - 1

    def _is_term(self, text: str, names: list[_Word], end: int) -> bool:
        """Whether the words are part of a medical term, an organisation or a place by what follows them."""
        after = _TERM_AFTER.match(text, end)
        if after is None:
            return False
        head = after[1].lower()
        if len(names) == 1 and text[end : end + 1] not in "'’" and after[1].islower() and MEDICAL_ENDING.search(head):
            return True
        if head in TERM_HEADS:
            person = len(names) > 1 and names[0].key in self._lexicon.first
            possessed = text[end : end + 1] in "'’" and names[-1].key not in EPONYMS
            return not (possessed and (person or names[0].key in self._lexicon.first))
        return after[1][0].isupper() and head in ORG_HEADS and text[end : end + 1] not in "'’"

    def _tagged(self, text: str, entities: list[_Entity]) -> Iterator[_Hit]:
        """What the tagger names and the lists and neighbours do not refute."""
        for start, end, label in entities:
            type_ = _TYPE_OF_LABEL.get(label)
            if type_ is None or "@" in text[max(0, start - 1) : end + 1]:
                continue
            words = self._stripped([_word(match) for match in _TOKEN.finditer(text, start, end)])
            names = [word for word in words if len(word.key) > 1]
            if not names:
                continue
            start, end = words[0].start, words[-1].end
            if type_ is EntityType.PERSON and not self._refuted(text, names, start, end):
                yield start, end, type_, Level.WITNESS, "en.spacy"
            elif type_ is not EntityType.PERSON and self._is_listed(text, names, start, end):
                yield start, end, EntityType.PERSON, Level.WITNESS, "en.spacy-list"
            elif type_ is not EntityType.PERSON and self._is_proper(names):
                yield start, end, type_, Level.WITNESS, "en.spacy"

    def _is_listed(self, text: str, names: list[_Word], start: int, end: int) -> bool:
        """Whether lists and neighbours call a person what the tagger calls an organisation or a place."""
        before = text[max(0, start - 40) : start]
        if self._refuted(text, names, start, end) or _PLACE_BEFORE.search(before) or _REGION_AFTER.match(text, end):
            return False
        cued = _BEFORE.search(before) is not None or _AFTER.match(text, end) is not None
        first = names[0].key in self._lexicon.first and names[0].key not in self._lexicon.words | self._lexicon.places
        if len(names) == 1:
            return names[0].key not in EPONYMS and self._lists(names, initials=False) > 0 and (first or cued)
        return len(names) < 4 and first and not any(w.key in self._lexicon.words for w in names)

    def _is_proper(self, names: list[_Word]) -> bool:
        """Whether the words can name an organisation or a place: mixed case, and more than ordinary words."""
        if all(word.text.isupper() or word.text.islower() for word in names):
            return False
        if names[-1].key in TERM_HEADS or any(word.key in EPONYMS for word in names):
            return False
        return any(word.key in ORG_HEADS for word in names[1:]) or not all(
            word.key in self._lexicon.words or MEDICAL_ENDING.search(word.key) for word in names
        )

    def _stripped(self, words: list[_Word]) -> list[_Word]:
        """``words`` without titles and ordinary words at both ends."""
        while words and (words[0].key in TITLES or not self._keeps(words[0])):
            words = words[1:]
        while words and not (self._keeps(words[-1]) or words[-1].key in ORG_HEADS):
            words = words[:-1]
        return words

    def _keeps(self, word: _Word) -> bool:
        return self._fits(word) and word.key not in TITLES

    def _refuted(self, text: str, names: list[_Word], start: int, end: int) -> bool:
        """Whether the lists or the neighbours know better than the tagger."""
        before = text[max(0, start - 30) : start]
        if _NOT_A_PERSON_AFTER.match(text, end) or _NOT_A_PERSON_BEFORE.search(before):
            return True
        if len(names) == 1 and not self._lexicon.is_name(names[0].key) and _PLACE_BEFORE.search(before):
            return True
        if self._is_term(text, names, end) or any(w.key in TERM_HEADS or w.key in ORG_HEADS for w in names[1:]):
            return True
        if all(word.text.isupper() and len(word.text) < 5 for word in names):
            return True
        return all(
            not self._lexicon.is_name(w.key) and w.key in self._lexicon.words | self._lexicon.places for w in names
        )


_Entity = tuple[int, int, str]
_Hit = tuple[int, int, EntityType, int, str]
_FREE, _NAME, _TITLE = "free", "name", "title"
_CUES = (
    (_LABELLED, "en.label", _FREE),
    (_ROLE_FIELD, "en.role", _NAME),
    (_PHRASE, "en.phrase", _NAME),
    (_TITLED, "en.title", _TITLE),
)
_TYPE_OF_LABEL = {
    "PERSON": EntityType.PERSON,
    **dict.fromkeys(("ORG", "PRODUCT", "WORK_OF_ART", "EVENT", "FAC"), EntityType.ORG),
    **dict.fromkeys(("GPE", "LOC"), EntityType.LOC),
}
_HAS_CAPITAL = re.compile(_UP).search
_LOWER_WORD = re.compile(rf"(?<![\w@./]){_LETTERS}{{3,30}}(?![@\w])")
_GAP = re.compile(r"[.,]?[ \u00a0]{1,2}|, ")
_NO_VALUE = frozenset("unknown none n/a na not nil same see redacted anonymous withheld pending yes no".split())
_FIRM_TITLES = frozenset("mr mrs ms dr prof professor doctor mister mme mlle herr frau signor signora".split())


def _word(match: re.Match[str]) -> _Word:
    word = _POSSESSIVE.sub("", match[1]).rstrip("'’`-")
    dotted = bool(match[2]) and len(word) == len(match[1])
    end = match.start() + len(word)
    return _Word(match.start(), end + (dotted and len(word) == 1), word, name_key(word), dotted)


def _is_title(match: re.Match[str]) -> bool:
    """``MS`` without a full stop is a disease, ``123 Main Dr`` a street."""
    title = match[0][: match.start(1) - match.start()].rstrip()
    return title.endswith(".") or not title.isupper()


def _fills_line(text: str, start: int, end: int) -> bool:
    return text[max(0, start - 1) : start] in "\n" and text[end : end + 1] in "\n," and "\n" in text


def _trimmed(run: list[_Word]) -> list[_Word]:
    while len(run) > 1 and run[-1].key in PARTICLES and run[-1].text[0].islower():
        run = run[:-1]
    return run


def _without_particles(text: str, start: int, end: int) -> int:
    """``end`` without trailing particles: "Maria de" is Maria."""
    while (space := text.rfind(" ", start, end)) > 0 and text[space + 1 : end].lower() in PARTICLES:
        if text[space + 1 : end][0].isupper():
            break
        end = space
    return end


__all__ = ["EnglishNameDetector", "Profile", "Tagger"]
