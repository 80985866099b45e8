"""The patterns by which English names are read: runs of capitalised words, labels, titles, what stands around a name.

Invariants: every repeat is bounded. Not handled here: what the words are (``lexicon_en``) and what they weigh
(``names_en_weights``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fedward.common.desensitize.detectors.lexicon_en import CREDENTIALS, PARTICLES, name_key


def capitals() -> str:
    """The upper-case letters of Latin, Greek and Cyrillic as the inside of a character class."""
    wide = (*range(0xC0, 0x250), *range(0x370, 0x530), *range(0x1E00, 0x2000))
    return "A-Z" + "".join(chr(code) for code in wide if chr(code).isupper())


UP = f"[{capitals()}]"
LETTERS = r"[^\W\d_]"
_REST = rf"(?:{LETTERS}|['\u2019`](?={LETTERS})){{0,30}}"
WORD = rf"{UP}{_REST}(?:-{LETTERS}{_REST}){{0,3}}"
_JOINTS = "|".join(sorted((re.escape(p) for p in PARTICLES if p.isalpha()), key=len, reverse=True))
SEQUENCE = re.compile(
    rf"(?<![\w@/]){WORD}\.?(?:[ \u00a0]{{1,2}}(?:(?:{_JOINTS})[ ]){{0,3}}{WORD}\.?){{0,7}}(?![\w@])", re.UNICODE
)
"""Capitalised words one after the other, with particles between them and full stops behind initials and titles."""
TOKEN = re.compile(rf"({LETTERS}[\w'\u2019`-]*)(\.?)")

_SHORT_NAME = rf"{LETTERS}[\w'\u2019.-]{{0,30}}"
_LABEL = (
    "(?:patient|pt|full|first|last|sur|family|given|maiden|middle|legal|preferred|customer|client"
    "|account[ _]holder|card"
    "holder|beneficiary|payee|payer|borrower|applicant|guarantor|employee|member|mother|father|spouse|guardian"
    "|contact"
    "|emergency[ _]contact|next[ _]of[ _]kin|doctor|physician|provider|attending|nurse|surgeon)?'?s?[ _]?name"
)
_ROLES = (
    "patient|pt|attending(?: physician)?|referring(?: physician| provider)?|primary care (?:physician|provider)|pcp"
    "|physician|surgeon|provider|resident|dictated by|electronically signed by|signed by|signed|reviewed by|seen by"
    "|ordered by|transcribed by|reported by|performed by|authorized by|approved by|prepared by|cc|attn|attention|from"
    "|to|next of kin|emergency contact|contact|guardian|spouse|account holder|cardholder|card holder|beneficiary"
    "|payee|payer|customer|client|borrower|applicant|employee|sender|recipient|consultant|interviewer|author"
    "|user|agent"
)
_VALUE = rf"{_SHORT_NAME}(?:[ ,]{{1,2}}{_SHORT_NAME}){{0,4}}"
_TAG_END = r"(?: [\w:-]{1,20}=[^<>\n]{1,40})?>"
CELL = r"[ ]{0,8}[\t|][ ]{0,8}|</\w{1,4}>\s{0,4}<\w{1,4}>"
"""Between the cells of a table."""
FIELD = re.compile(
    r"(?=[ \t:\uff1a=>|<\\\"'\u201d])"  # one look at the first character makes the search thrice as fast
    rf"(?:\\?[\"'\u201d])?(?:[ \t]{{0,3}}[:\uff1a=][ \t]{{0,12}}|{_TAG_END}|{CELL})(?:\\?[\"'\u201c])?(?=({_VALUE}))"
)
"""The end of a label and what may be its value; the label is read backwards from here, for fields are few."""
LABELLED = re.compile(rf"(?i:\b{_LABEL}(?: is)?)$")
ROLE = re.compile(rf"(?i:\b(?:{_ROLES}))$")
LABEL_CHARS = 32
NO_KEYS_VALUE = re.compile(
    r"[\w'-]{0,30}[_0-9\u3400-\u9fff]|(?i:age|date|dob|sex|gender|provider|surname|first|last|middle|full|mrn|ssn|id|no"
    r"|phone|tel|mobile|address|city|state|zip|country|title|email|birth|type|code|value|status|position|role"
    r"|relation(?:ship)?|patient|doctor|name)\b"
).match
"""An identifier of a program, or the heading of the next column; Chinese names have rules of their own."""
NO_ROLE = re.compile(r"[=\t|<]").search
"""A role as a heading or a setting announces no name."""
IN_MARKS = re.compile(r"[\"'>|\t\u201c\u201d]").search
"""Keys of data: a bare "name" among them is as often that of a thing."""
PHRASE = re.compile(
    r"(?i:\b(?:(?:my|her|his|their|maiden|whose|the|first|last|partner's|husband's|wife's|son's|daughter's) "
    r"(?:full |first |last |maiden |middle )?name is|name's|calls? (?:me|him|her)|named (?:him|her|them)"
    r"|speaking to|speaking with|go(?:es)? by|i am called|is called)[ :]{1,2})"
    rf"({_SHORT_NAME}(?: {_SHORT_NAME}){{0,3}})"
)
PHRASE_WORDS = ("name", "call", "speaking", "go by", "goes by")
"""One of these is in every phrase; looking for them costs next to nothing."""
TITLED = re.compile(
    rf"\b(?:[Mm](?:[Rr]?[Ss]|[RrXx])|[Dd][Rr]|[Pp][Rr][Oo][Ff])(?:\.[ ]?|[ ])({_SHORT_NAME}(?: {_SHORT_NAME}){{0,3}})"
)
COMMA_NAME = re.compile(
    rf"(?<!\w)({WORD}), ({WORD}(?: (?:{UP}\.|{WORD})){{0,2}})(?=\s*(?:$|[\n;()|]|,? ?(?:{CREDENTIALS})\b))"
)
INLINE_COMMA_NAME = re.compile(rf"(?<!\w)({WORD}), ({WORD}(?: {UP}\.)?)(?!\w)")
"""The same in the middle of a sentence, where only listed names count: brought in by Miller, Ava today."""
CREDENTIAL = re.compile(rf"\.?,? ?(?:{CREDENTIALS})(?![\w])")

_KIN = (
    "wife|husband|son|daughter|mother|father|mom|dad|brother|sister|partner|aunt|uncle|friend|cousin|niece"
    "|nephew|spouse"
    "|grandson|granddaughter|fianc\u00e9e?|boyfriend|girlfriend|roommate|neighbou?r"
)
BEFORE = re.compile(
    r"(?i:\b(?:regards|sincerely|yours truly|yours|best|cheers|this is|named|called|calls me|call me|name is"
    r"|by|with|met"
    r"|meet|saw|nurse|call(?:ed|s)?|president|founder|player|add"
    r"|remove|contact(?:ed)?|invited?|(?:change|correct) it to|heard))"
    r"[,:]?\s{1,3}$"
)
"""One witness."""
SPEAKS_BEFORE = re.compile(
    rf"(?i:\b(?:dear|hi|hello|hey|thanks|thank you|i am|i'm|ask(?:ed)?|told|tell|said|says|repl(?:ies|ied)|explains?"
    rf"|explained|shouted(?: at)?|speak to|spoke (?:to|with)|notif(?:y|ied)|married|directed by|starring"
    rf"|written by|sung by"
    rf"|performed by|co-?signers?|(?:loan|account|case|branch|bank|police) (?:officer|manager)|flagged by"
    rf"|handled by|songwriter|singer|author|actor|actress|commenter|assistant to|last name\?|your name\?"
    rf"|(?:my|his|her|their|the patient's) (?:{_KIN})))[,:]?\s{{1,3}}$"
)
"""Enough alone for a word that is no everyday one."""
AFTER = re.compile(
    r"(?:\s{1,2}|, )(?:works|worked|is an?|was an?|who|has been|had|has|his|her|states|stated|presents|presented"
    r"|plays|played|is from|performed|ordered|noted|recommended|returns|returned|called|spent"
    r"|(?:will|would) (?:be|have|see|need|like|come|speak|talk))\b"
    r"|, (?:how|what|why|do|did|are|is|have|let|i|you|I|we) "
)
SPEAKS_AFTER = re.compile(
    rf"(?:\s{{1,2}}|, )(?:said|says|told|asked|shouted|writes|wrote|lives|lived|was born|reports|reported"
    rf"|denies|denied"
    rf"|complains|complained|sings|sang|thinks|reviewed|examined|discussed|agreed|wants|arrived|was admitted|was seen"
    rf"|is seen|married|died|speaks?|points out|as (?:my|a|the)? ?(?:guardian|beneficiary|contact|proxy|co-signer))\b"
    rf"|, (?:can|could|would|will) (?:you|I|i|we) |, (?:please|thank you) "
    rf"|,? \(?(?:[Aa]cct|[Aa]ccount|A/C|SSN|SS|Social Security|DOB|MRN|[Dd]ate of birth)\b"
    rf"| (?:at|on) \(?\+?[0-9]{{1,3}}[-. )]?[ ]?\(?[0-9]{{3}}"
    rf"|['\u2019]s (?:{_KIN}|parents?|family|house|home|room|address|account|name|phone|birthday|car|chart"
    rf"|condition|pain"
    rf"|boss|doctor|symptoms|mood|appetite|attorney|killers?)\b"
)
NOT_A_PERSON_BEFORE = re.compile(
    r"\b(?:works? for|working for|worked for|work at|works at|employed by|band|album|song|film|movie|game|show"
    r"|company|town of|city of|village of|county of|Battle of|University of)[ ]{1,2}[\"\u201c]? ?$"
)
NOT_A_PERSON_AFTER = re.compile(
    r"(?:['\u2019]s)?[ ]{1,2}(?:(?:is|was|are|were) an? (?:[\w-]{1,20} ){0,3}(?:agency|company|band|village"
    r"|town|city|firm"
    r"|film|movie|album|song|comedy|startup|municipality|commune|river|genus|species|drug|medication|brand"
    r"|team|club)\b"
    r"|& (?:Co|Sons)\b"
    r"|(?:office|orchestra|team|band|products?|software|album|tour|brand|campus|stores?|website|app|logo)\b)"
    r"|, (?:[A-Z][a-z]{1,20} ?){1,2}, (?:USA|UK|Canada|Germany|France|England|Italy|Spain)\b"
)
PLACE_BEFORE = re.compile(r"\b(?:in|from|near|at|to|of|into|outside|around|across|through|toward|via)[ ]$")
REGION_AFTER = re.compile(rf", {UP}[a-z]{{1,20}}|,? (?:[A-Z]{{2}})(?!\w)")
POSSESSIVE = re.compile(r"['\u2019]s$|['\u2019]$")
TERM_AFTER = re.compile(r"(?:['\u2019]s?)?[ -]{1,2}([A-Za-z]{3,20})")
NO_TITLES = ("MS", "MR", "MX")
"""Without a full stop these are a disease, an image and a prescription."""
HAS_CAPITAL = re.compile(UP).search
LOWER_WORD = re.compile(rf"(?<![\w@./]){LETTERS}{{3,30}}(?![@\w])")
GAP = re.compile(r"[.,]?[ \u00a0]{1,2}|, ")
CONTEXT_CHARS = 40
"""How far back a cue is looked for."""


class Word(NamedTuple):
    """A word of a run, without its possessive."""

    start: int
    end: int
    text: str
    key: str
    """As the lists of names hold it."""
    dotted: bool


def word_of(match: re.Match[str]) -> Word:
    """The word of a match of ``TOKEN``, without possessive and closing marks."""
    word = POSSESSIVE.sub("", match[1]).rstrip("'\u2019`-")
    dotted = bool(match[2]) and len(word) == len(match[1])
    end = match.start() + len(word)
    return Word(match.start(), end + (dotted and len(word) == 1), word, name_key(word), dotted)


def closes_tag(text: str, match: re.Match[str]) -> bool:
    """Whether a match of ``FIELD`` ends a closing tag: behind </name> comes no value."""
    if not match[0].startswith(">"):
        return False
    opened = text.rfind("<", max(0, match.start() - LABEL_CHARS), match.start())
    return opened >= 0 and text[opened + 1] == "/"


def is_title(match: re.Match[str]) -> bool:
    """Whether a match of ``TITLED`` is one."""
    title = match[0][: match.start(1) - match.start()].rstrip()
    return title not in NO_TITLES


def fills_line(text: str, start: int, end: int) -> bool:
    """Whether the characters are a line of their own, as under a letter."""
    return text[max(0, start - 1) : start] in "\n>" and text[end : end + 1] in "\n," and "\n" in text


def trimmed(run: list[Word]) -> list[Word]:
    """``run`` without particles at its end."""
    while len(run) > 1 and run[-1].key in PARTICLES and run[-1].text[0].islower():
        run = run[:-1]
    return run


def without_particles(text: str, start: int, end: int) -> int:
    """``end`` without trailing particles: "Maria de" is Maria."""
    while (space := text.rfind(" ", start, end)) > 0 and text[space + 1 : end].lower() in PARTICLES:
        if text[space + 1 : end][0].isupper():
            break
        end = space
    return end


__all__ = [
    "AFTER",
    "BEFORE",
    "capitals",
    "closes_tag",
    "COMMA_NAME",
    "CONTEXT_CHARS",
    "CREDENTIAL",
    "FIELD",
    "fills_line",
    "GAP",
    "HAS_CAPITAL",
    "IN_MARKS",
    "INLINE_COMMA_NAME",
    "is_title",
    "LABEL_CHARS",
    "LABELLED",
    "LETTERS",
    "LOWER_WORD",
    "NO_KEYS_VALUE",
    "NO_ROLE",
    "NO_TITLES",
    "NOT_A_PERSON_AFTER",
    "NOT_A_PERSON_BEFORE",
    "PHRASE",
    "PHRASE_WORDS",
    "PLACE_BEFORE",
    "POSSESSIVE",
    "REGION_AFTER",
    "ROLE",
    "SEQUENCE",
    "SPEAKS_AFTER",
    "SPEAKS_BEFORE",
    "TERM_AFTER",
    "TITLED",
    "TOKEN",
    "trimmed",
    "UP",
    "without_particles",
    "Word",
    "WORD",
    "word_of",
]
