"""Chinese names by what stands around them: rows with numbers, phrases behind the name, stated surnames, Latin script.

A name beside an identifying number, before 名下卡, 系夫妻 or 称患者, or after 我姓 is one however rare its surname is.
One in Latin letters counts behind a Chinese label or role, or before a Chinese title. Every hit is level 3.
Not handled here: labels, roles and titles around Chinese names (``rules_zh``), names without a cue (``tagger``).
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from fedward.common.desensitize.detectors.features import WordsHere
from fedward.common.desensitize.detectors.lexicon_en import english_lexicon, name_key
from fedward.common.desensitize.detectors.lists_zh import (
    HAN,
    MOSTLY_WORDS,
    NAME_ENDS,
    SPACED,
    STOPS,
    ends_with_role,
    roles_pattern,
    titles_pattern,
)
from fedward.common.desensitize.detectors.rules_zh import RuleHit, is_han, is_name_kind, surname_length
from fedward.common.desensitize.detectors.surnames import surnames
from fedward.common.desensitize.detectors.words import Kind

_LONGEST: Final = 4
_BLANKS: Final = (" ", "\u3000")
_PHONE: Final = r"[(（]?(?:\+?(?:00)?86[)）]?[ -]?)?1[3-9](?:[ -]?[0-9]){9}"
_LONG_NUMBER: Final = r"[1-9](?:[ -]?[0-9]){13,17}[0-9Xx]"
_NUMBER: Final = f"(?:{_PHONE}|0[0-9]{{2,3}}[ -]?[2-8][0-9]{{6,7}}|{_LONG_NUMBER})(?![0-9])"
_OPENINGS: Final = "\n\\t |｜;；,，、\"'“”>(（\\[【.:：\\0"
_CELL_GAP: Final = (
    r"(?:[ \t\u3000]{1,4}|[ \u3000]{0,2}(?:</?[a-zA-Z]{1,8}>|[|｜;；,，\"'“”（(/\-—\t])"
    r"(?:[ \u3000|｜;；,，\"'“”（(:\t]|</?[a-zA-Z]{1,8}>|[A-Za-z_]{2,12}\"?:){0,6})?"
)
"""What may stand between a name's cell and the number's: a blank, a bar, a tag, quotes, the next key."""
_NOT_LAST: Final = frozenset("号码话机额卡数期间式证费类型区县市镇街路村店部科系院局厂类款药片丸液剂针版")
"""A cell that ends so is a label, a place or a thing."""
_KIN_PAIRS: Final = (
    "夫妻|夫妇|父子|父女|母子|母女|兄弟|姐妹|兄妹|姐弟|同事|朋友|亲属|同学|邻居|情侣|配偶|婆媳|祖孙|合伙人"
)
_BRACKETED: Final = (
    r"[（(](?:[0-9][0-9 -]{5}|[A-Z]{1,2}[0-9]{6}|(?:公民|居民)?身份|证件|住院号|病历号|病案号|门诊号|还款卡|"
    r"卡号|账号|电话|手机|联系|护照|工号|学号|请假|MRN|ID|\+86|工位|固定电话|座机|分机|系|储蓄卡|信用卡|借记卡|银行卡|"
    r"已婚|未婚|男|女|本人|家属|妻子|丈夫|儿子|女儿|父亲|母亲|姐姐|妹妹"
    r"|哥哥|弟弟|配偶|监护人)"
)
_FOLLOWING: Final = (
    r"名下|身份证|身份号|公民身份|居民身份|居民证|证件号|称患者|称病人|诉患者|来电|陪同|家属|二人[（(]|两人[（(]|三人[（(]|四人[（(]|五人[（(]"
    rf"|系(?:{_KIN_PAIRS})|与(?=[{HAN}]{{2,4}}系(?:{_KIN_PAIRS}))|和(?=[{HAN}]{{2,4}}系(?:{_KIN_PAIRS}))"
    r"|的(?:母亲|父亲|妻子|丈夫|儿子|女儿|家属|住院号|病历|手机|电话|身份证|银行卡|账户)"
    r"|，[男女][，,] ?[0-9]{1,3}岁|,[男女],[0-9]{1,3}岁"
)
"""What follows a name and hardly anything else."""
_ACTS: Final = "要求|接听|汇款|转账|取款|存款|咨询|已电话|已通知|签字|签名|到院|就诊|入院|代诉|陪诊|转告|表示|诉"
"""What follows a name behind a role or kin, unless its surname is mostly a word."""
_MIDDLES: Final = frozenset("之若可如正中安自然有文明前")
"""Characters of ``STOPS`` that begin a given name."""
_ORDINARY_KINDS: Final = frozenset((Kind.PLAIN, Kind.VERB, Kind.TIME, Kind.IDIOM))
_LEADS: Final = frozenset("与和向找给请由被让为及、对是叫到权人员者主方治")
_STATES: Final = frozenset("我贵他她您本名也都")
"""Who has the surname: 我姓易."""
_LABEL_CHARS: Final = 12
_LATIN_NAME: Final = (
    r"[A-Z][a-z][A-Za-z'’-]{0,20}(?:[ ·](?:(?:de|van|der|von|del|la|bin|al|da|dos|el) ){0,2}"
    r"[A-Z][A-Za-z'’-]{0,20}\.?){0,3}"
)
_FIELDS: Final = frozenset(
    (
        *(
            "tel",
            "telephone",
            "phone",
            "mobile",
            "mob",
            "cell",
            "fax",
            "email",
            "mail",
            "id",
            "name",
            "no",
            "sex",
            "age",
        ),
        *("male", "female", "date", "dob", "birth", "mrn", "null", "none", "nil", "na", "unknown", "passport", "visa"),
        *("hospital", "clinic", "vip", "icu", "ct", "mri", "bp", "hr", "wechat", "qq", "address", "addr"),
    )
)
"""Capitalised words that fill no name's field, but begin the next one."""
_RUN_TOGETHER: Final = re.compile(r"([A-Z][a-z]{2,11})([A-Z][a-z]{2,14})")
_LATIN_CAPITALS: Final = r"[A-Z]{2,15}(?:[ ,，]{1,2}[A-Z]{2,15}){1,3}"
_LATIN_LABELS: Final = (
    "姓名|名字|户名|收款人|付款人|汇款人|持卡人|开户人|经办人|签名|签字|联系人|紧急联系人|监护人|借款人|担保人|申请人|投保人|被保险人|受益人"
    "|主治医师|主管医生|责任护士|报告医师|审核医师|患者|病人|客户|用户|负责人|收件人|寄件人|英文名|外文名|护照姓名"
)


@cache
def _row() -> re.Pattern[str]:
    return re.compile(f"(?<=[{_OPENINGS}])(?:[{HAN}]{{2,4}}|{SPACED}|[{HAN}·]{{4,16}})(?={_CELL_GAP}{_NUMBER})")


@cache
def _bracketed() -> re.Pattern[str]:
    return re.compile(_BRACKETED)


@cache
def _following() -> re.Pattern[str]:
    return re.compile(_FOLLOWING)


@cache
def _acts() -> re.Pattern[str]:
    return re.compile(_ACTS)


@cache
def _stated() -> re.Pattern[str]:
    return re.compile(f"姓(?=[{HAN}]{{1,2}}(?:[，,。；; 的]|$))")


@cache
def _called() -> re.Pattern[str]:
    return re.compile(f"姓[{HAN}]{{1,2}}[，,、 ]{{0,2}}(?:我|名字)?(?:全名|名|叫|名叫|叫做)(?=[{HAN}])")


@cache
def _sought() -> re.Pattern[str]:
    return re.compile(f"(?:我是|者找|或找|要找|去找|请找|接找|我找|联系)(?=([{HAN}]{{2,4}})[，。,；;！!\\n])")


@cache
def _paid() -> re.Pattern[str]:
    return re.compile(f"(?<=[{HAN}])[向给](?=([{HAN}]{{2,4}}?)(?:汇款|转账|转款|打款|付款))")


@cache
def _latin() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Latin names, and what may stand before and behind them: labels, roles, titles."""
    return (
        re.compile(f"{_LATIN_CAPITALS}|{_LATIN_NAME}"),
        re.compile(f"(?:{_LATIN_LABELS})[ \u3000]{{0,2}}(?:[:：=]|[（(])[ \u3000]{{0,3}}$"),
        re.compile(f"(?:{roles_pattern()}|我叫|名叫|名为|我是) ?$"),
        re.compile(f" ?(?:{titles_pattern()})"),
    )


class Contexts:
    """The rules over one text.

    Args:
        text: Simplified; its middle dots are ``·``.
        here: its words, one place a character.
    """

    def __init__(self, text: str, here: WordsHere) -> None:
        self._text = text
        self._begin = here.begin
        self._end = here.end

    def hits(self) -> list[RuleHit]:
        """Every hit; they may overlap."""
        return [*self._rows(), *self._before_phrases(), *self._surnames(), *self._latin_names()]

    def _rows(self) -> Iterator[RuleHit]:
        """A cell with a name beside one with an identifying number: ``| 时雨海 | 13559…``, ``范义 6225…``."""
        for match in _row().finditer(self._text):
            start, end = match.span()
            name = match.group()
            if "·" in name or (name[-1] not in _NOT_LAST and self._is_name(start, end)):
                yield RuleHit(start, end, "row", True)

    def _before_phrases(self) -> Iterator[RuleHit]:
        text = self._text
        for pattern in (_bracketed(), _following()):
            for match in pattern.finditer(text):
                end = match.start() - (text[match.start() - 1 : match.start()] in ("，", ","))
                yield from self._ending(end, acts=False)
        for match in _acts().finditer(text):
            yield from self._ending(match.start(), acts=True)

    def _ending(self, end: int, *, acts: bool) -> Iterator[RuleHit]:
        """The longest name that ends there; before an act only behind a role, and with a surname that is no word."""
        if not is_han(self._text, end - 1):
            return
        for start in range(max(1, end - _LONGEST - 1), end - 1):
            if acts and not self._may_act(start):
                continue
            if (acts or self._leads(start)) and self._is_name(start, end):
                yield RuleHit(start, end, "phrase", True)
                return

    def _may_act(self, start: int) -> bool:
        first = self._text[start]
        if first in MOSTLY_WORDS:
            return False
        return ends_with_role(self._text, start) or (first in surnames().common and self._ends_word(start))

    def _leads(self, start: int) -> bool:
        """Whether a name may begin here: a mark, a linking word, a role or the end of a word stands before."""
        before = self._text[start - 1]
        return not is_han(before, 0) or before in _LEADS or ends_with_role(self._text, start) or self._ends_word(start)

    def _ends_word(self, start: int) -> bool:
        code = int(self._end[start - 1])
        return code > 0 and not is_name_kind(code) and int(self._begin[start]) == 0

    def _is_name(self, start: int, end: int) -> bool:
        """Surname and one or two characters, none of them ordinary words."""
        text = self._text
        length = surname_length(text, start)
        given = text[start + length : end].strip(" \u3000")
        if not length or not 1 <= len(given.replace(" ", "").replace("\u3000", "")) <= 2:
            return False
        if any(c in STOPS and c not in _MIDDLES for c in given[:-1]) or (
            given[-1] in STOPS and given[-1] not in NAME_ENDS
        ):
            return False
        if self._is_ordinary(start, end) or (
            length == 1 and int(self._end[start]) and is_han(text, start - 1) and text[start - 1] not in "人者员"
        ):
            return False
        if text[start] in surnames().common and text[start] not in MOSTLY_WORDS:
            return True
        return len(given) == 1 or int(self._begin[end - 2]) % 16 not in _ORDINARY_KINDS

    def _is_ordinary(self, start: int, end: int) -> bool:
        begin = int(self._begin[start])
        return begin > 0 and not is_name_kind(begin) and start + begin // 16 + 1 >= end

    def _surnames(self) -> Iterator[RuleHit]:
        """我姓易，叫易丽云: the surname, and the name that follows it."""
        text = self._text
        for match in _stated().finditer(text):
            start = match.end()
            length = surname_length(text, start)
            before = text[start - 2 : start - 1] if start > 1 else ""
            if is_han(before, 0) and before not in _STATES:
                continue
            if length and not is_han(text, start + length):
                yield RuleHit(start, start + length, "surname", True)
        for match in _called().finditer(text):
            start = end = match.end()
            while end - start <= _LONGEST and (
                is_han(text, end) or (text[end : end + 1] in _BLANKS and is_han(text, end + 1))
            ):
                end += 1
            if surname_length(text, start) and 2 <= end - start <= _LONGEST:
                yield RuleHit(start, end, "surname", True)

        for match in _sought().finditer(text):
            if self._is_name(*match.span(1)):
                yield RuleHit(*match.span(1), "sought", True)
        for match in _paid().finditer(text):
            start, end = match.span(1)
            product = surname_length(text, start) == 1 and self._is_ordinary(start, start + 2)  # 向余额宝转账
            if self._is_name(start, end) and not product:
                yield RuleHit(start, end, "paid", True)

    def _latin_names(self) -> Iterator[RuleHit]:
        """John Smith in Chinese text: behind a label or role, or before a title."""
        name, label, role, title = _latin()
        text = self._text
        for match in name.finditer(text):
            start, end = match.span()
            inside = start > 0 and text[start - 1].isascii() and text[start - 1].isalnum()
            if inside or (text[end : end + 1].isalnum() and not is_han(text, end)):
                continue
            before = text[max(0, start - _LABEL_CHARS) : start]
            capitals = match.group().isupper()
            if label.search(before):
                certain = True
            elif _is_run_together(match.group()) and (is_han(text, start - 1) or is_han(text, end)):
                yield RuleHit(start, end, "latin", False)
                continue
            elif not capitals and (role.search(before) or title.match(text, end)):
                certain = False
            else:
                continue
            if _is_latin_name(match.group(), certain=certain):
                yield RuleHit(start, end, "latin", True)


def _is_run_together(text: str) -> bool:
    """JohnCarpenter, as pages that drop blanks write it: a listed first name, and no everyday word behind it."""
    match = _RUN_TOGETHER.fullmatch(text)
    if match is None:
        return False
    first, last = name_key(match[1]), name_key(match[2])
    lexicon = english_lexicon()
    return lexicon.is_name(first) and first not in lexicon.words and last not in lexicon.words


def _is_latin_name(text: str, *, certain: bool) -> bool:
    """Whether capitalised words are a name: behind a label any that are no everyday words, else with a listed one."""
    keys = [name_key(word.strip(".")) for word in re.split("[ ·,，]+", text) if len(word.strip(".")) > 1]
    lexicon = english_lexicon()
    listed = any(lexicon.is_name(key) and key not in lexicon.words for key in keys)
    if any(key in _FIELDS for key in keys):
        return False
    if certain or len(keys) > 1:
        return listed or (bool(keys) and not any(key in lexicon.words for key in keys))
    return listed


__all__ = ["Contexts"]
