"""Squeezed literals in a text, each with its conditions: which occurrences count, and what goes with them.

Shared by what searches the record's own columns (``known``) and by the second pass (``repeats``).
Invariants: a number is never found inside a longer number; a value that needs a cue counts only beside one; a name
inside a term of medicine or finance does not count. Not handled here: how a value may be written (``spellings``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Final

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lexicon import MAX_TERM, terms, vetoed
from fedward.common.desensitize.detectors.lexicon_en import EPONYMS, TERM_HEADS
from fedward.common.desensitize.detectors.literals import Literals, Squeezed
from fedward.common.desensitize.detectors.spellings import Condition, Spelling
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.tables import read_table, to_simplified

_CUE_CHARS: Final = 16
_CLAUSE_STARTS: Final = "\n。；，！？;!? \t：:"
_SUBJECT_AFTER = re.compile(r"$|[\s，。；：,;:]|诉|自述|主诉|自诉|称|说|表示|因|来|男|女|于")
"""What follows a name at the start of a clause: 张力诉头痛, 张力，男."""
_MASK = re.compile(r"(?:某某?|[*\uff0a×]{1,3})")
_COUNTRY = re.compile(r"(?:\(?(?:\+|00)?(?:86|1)\)?[ -]?|\+)$")
_ZH_ROLES: Final = (
    "姓名|名字|患者|病人|病员|家属|联系人|监护人|户名|客户|用户|户主|持卡人|账户|收款人|付款人|经办人|申请人|借款人|担保人|委托人|受托人|签名|签字"
    "|本人|叫做?|名叫|称呼|昵称|小名|曾用名|医生|医师|主任|护士|教授|大夫|老师|先生|女士"
)
_EN_ROLES: Final = (
    "name|patient|pt|mr|mrs|ms|miss|dr|prof|signed|dear|client|customer|member|guardian|mother|father|wife|husband|son"
    "|daughter|contact|by|(?:thanks|thank you|hi|hello|hey),?"
)
_PERSON_CUE = re.compile(rf"(?:(?:{_ZH_ROLES})|(?i:\b(?:{_EN_ROLES})\.?))[\s:：=是为]{{0,4}}$")
_NUMBER_CUE = re.compile(
    r"(?:号码?|编号|卡|证|码|岁|龄|(?i:\b(?:no|number|id|mrn|code|age|aged|#))\.?|[:：#=])[\s:：#=是为.]{0,4}$"
)
_ADDRESS_CUE = re.compile(r"(?:址|住|于|在|(?i:\b(?:at|address|in)))[\s:：]{0,3}$")


class SpellingSearch:
    """A set of spellings, each with the level that its occurrences have.

    Args:
        wanted: spellings and levels.
        one_pass: None: Aho-Corasick beyond some fifty literals, else one ``find`` each; the hits are the same.
        seen: the text itself has used the values: a name that equals a term (张力) counts unless in a longer one.
    """

    def __init__(
        self, wanted: Iterable[tuple[Spelling, int]], *, one_pass: bool | None = None, seen: bool = False
    ) -> None:
        self._seen = seen
        self._by_literal: dict[str, dict[Spelling, int]] = defaultdict(dict)
        for spelling, level in wanted:
            found = self._by_literal[spelling.literal]
            found[spelling] = max(level, found.get(spelling, 0))
        self._literals = Literals(self._by_literal, one_pass=one_pass)

    def spans(self, document: Document, method: str) -> list[Span]:
        """Every occurrence that counts, in the document's source; they may overlap."""
        if not self._by_literal or not document.text:
            return []
        squeezed = Squeezed(document.text)
        found = set()
        for start, end, literal in self._literals.occurrences(squeezed.squeezed):
            place = squeezed.span(start, end)
            if place is None:
                continue
            for spelling, level in self._by_literal[literal].items():
                span = _accepted(document.text, *place, spelling, self._seen)
                if span is not None:
                    found.add(Span(*document.span_of_chars(*span), spelling.type, level, method))
        return sorted(found)


def _accepted(text: str, start: int, end: int, spelling: Spelling, seen: bool) -> tuple[int, int] | None:
    """The characters to redact, or None if the occurrence does not count."""
    if spelling.cjk:
        if any(c in ",()/_" for c in text[start:end]):
            return None
    elif not _stands_alone(text, start, end) or (spelling.type is EntityType.PERSON and text[end : end + 1] == "@"):
        return None  # the head of an e-mail address goes with the address
    cued = _is_cued(text, start, end, spelling.type)
    if not cued:
        if spelling.condition is Condition.CUE or _is_term(text, start, end, spelling, seen):
            return None
        if spelling.condition is Condition.PROPER and not text[start].isupper():
            return None
    if spelling.condition is Condition.TITLE:
        return _before_title(text, start, end)
    if spelling.type is EntityType.PHONE:
        country = _COUNTRY.search(text, max(0, start - 7), start)
        if country and not (country.start() and _is_digit(text[country.start() - 1])):
            start = country.start()
    return start, end


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether neither neighbour goes on with the value: no digit beside a digit, no letter beside a letter."""
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return not (_goes_on(before, text[start]) or _goes_on(text[end - 1], after))


def _goes_on(left: str, right: str) -> bool:
    return (_is_digit(left) and _is_digit(right)) or (_is_letter(left) and _is_letter(right))


def _is_digit(character: str) -> bool:
    return "0" <= character <= "9"


def _is_letter(character: str) -> bool:
    return character.isalpha() and ord(character) < 0x2E80


def _is_cued(text: str, start: int, end: int, type_: EntityType) -> bool:
    before = _simple(text[max(0, start - _CUE_CHARS) : start])
    if type_ is EntityType.PERSON:
        return _PERSON_CUE.search(before) is not None or _titles().match(_simplified(text, end)) is not None
    pattern = _ADDRESS_CUE if type_ in (EntityType.ADDRESS, EntityType.LOC, EntityType.ORG) else _NUMBER_CUE
    return pattern.search(before) is not None


def _is_term(text: str, start: int, end: int, spelling: Spelling, seen: bool) -> bool:
    """张力性头痛, Parkinson's disease: the name inside a term of medicine or finance."""
    if spelling.type is not EntityType.PERSON:
        return False
    if spelling.cjk:
        first = max(0, start - MAX_TERM)
        return _is_chinese_term(_simple(text[first : end + MAX_TERM]), start - first, end - first, seen)
    after = re.match(r"(?:['\u2019]s?)?[ -]([A-Za-z]+)", text[end : end + 24])
    eponym = spelling.literal in EPONYMS or spelling.condition is Condition.PROPER
    return eponym and after is not None and after[1].lower() in TERM_HEADS


def _is_chinese_term(text: str, start: int, end: int, seen: bool) -> bool:
    """A name that is itself a term (张力) counts as the subject of a clause, unless a longer term begins there."""
    if text[start:end] not in terms():
        return vetoed(text, start, end)
    longer = any(
        text[first:last] in terms()
        for first in range(max(0, end - MAX_TERM), start + 1)
        for last in range(end, min(len(text), first + MAX_TERM) + 1)
        if last - first > end - start
    )
    begins = start == 0 or text[start - 1] in _CLAUSE_STARTS
    return longer or not (seen or (begins and _SUBJECT_AFTER.match(text, end)))


def _before_title(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A surname counts before a title (张医生), after 老, 小 or 姓, or half masked (张某某, 张**)."""
    mask = _MASK.match(text, end)
    if mask:
        return start, mask.end()
    if _titles().match(_simplified(text, end)):
        return start, end
    return (start, end) if start and text[start - 1] in "老小阿姓" else None


def _simplified(text: str, start: int) -> str:
    return _simple(text[start : start + 8])


def _simple(text: str) -> str:
    """Simplified; most texts are, and one look is several times faster than mapping every character."""
    return text if text.isascii() or not _traditional().search(text) else text.translate(to_simplified())


@cache
def _traditional() -> re.Pattern[str]:
    return re.compile("[" + "".join(map(chr, sorted(to_simplified()))) + "]")


def _is_cjk(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"


@cache
def _titles() -> re.Pattern[str]:
    """Titles of two characters and more, and those of one that no word begins with."""
    titles = sorted((t for t in read_table("names_zh")["titles"] if len(t) > 1), key=len, reverse=True)
    return re.compile(
        r" ?(?:"
        + "|".join(titles)
        + "|总(?![是在会的有体共之和计量结数分部额理])|工(?![作人程资地业厂商])|氏(?![症病综]))"
    )


__all__ = ["SpellingSearch"]
