"""Rules for Chinese names: labels, roles, titles, 老/小/阿, parties, kin, and the middle dot. Every hit is level 3.

The rules read Simplified text of the same length as the source's. A rule knows where a name begins and that it is
one; where it ends is decided by the characters and words that follow: trailing 的 在 为 向 are no part of a name,
nor is a verb that the word list knows. Not handled here: names without a cue (``tagger``), vetoes (``lexicon``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.features import WordsHere
from fedward.common.desensitize.detectors.lists_zh import (
    ALONE_BEFORE_TITLES,
    BEFORE_TITLES,
    FIRM_ROLES,
    LATIN_LABEL,
    LATIN_LABEL_CHARS,
    LINKS,
    LISTED,
    LOOSE,
    MAX_LIST,
    MAX_SOUNDS,
    MAX_TAG,
    MEASURES,
    MOSTLY_WORDS,
    NAME_ENDS,
    NO_VALUE,
    PREPOSITIONS,
    SOUNDS,
    SPEAKER,
    SPEAKS,
    STOPS,
    beds,
    cells,
    delimited,
    ends_with_role,
    field_labels,
    no_nicks,
    openings,
    records,
    rules,
    spaced_name,
    titles,
)
from fedward.common.desensitize.detectors.surnames import surnames
from fedward.common.desensitize.detectors.words import Kind


class RuleHit(NamedTuple):
    """A name that a rule found, in characters of the text."""

    start: int
    end: int
    method: str
    cued: bool
    """A label, role or title stands beside it: no veto."""


def _between(text: str, start: int) -> int:
    """Where the Chinese characters from ``start`` on end, at most five of them."""
    end = start
    while end - start < 5 and is_han(text, end):
        end += 1
    return end


class Rules:
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
        name_label, label, is_label, role, nick = rules()
        found: list[RuleHit] = []
        for match in name_label.finditer(self._text):
            if not self._closes_tag(match):
                found += self._after_label(match.end())
        for match in openings().finditer(self._text):
            start = match.start()
            if LATIN_LABEL.search(self._text, max(0, start - LATIN_LABEL_CHARS), start) and not self._closes_tag(match):
                found += self._after_label(match.end())
        for match in cells().finditer(self._text):
            found += self._in_cell(match.end())
        for match in records().finditer(self._text):
            found += self._in_cell(match.end())
        for match in beds().finditer(self._text):
            found += self._name(match.end(), "role")
        for rule, method in ((label, "label"), (is_label, "label"), (role, "role")):
            for match in rule.finditer(self._text):
                firm = method == "label" or match.group().strip() in FIRM_ROLES
                if rule is label and self._closes_tag(match):
                    continue
                found += self._name(match.end(), method, firm=firm)
        for match in titles().finditer(self._text):
            if not self._text.startswith("们", match.end()):
                found += self._before_title(match.start())
        for match in nick.finditer(self._text):
            found += self._nick(match.start())
        found += self._dotted()
        return found + [more for hit in found if hit.method in LISTED for more in self._joined(hit.end)]

    def _joined(self, end: int) -> Iterator[RuleHit]:
        """A second name behind the first, as in 抢救医生为路翰和和刘琳敏."""
        if self._text[end : end + 1] in ("和", "与", "及", "、") and (
            self._stands_between(end + 1, loose=False) or self._spaced(end + 1)
        ):
            yield from self._name(end + 1, "joined")

    def _after_label(self, start: int) -> Iterator[RuleHit]:
        """A field's value: whatever two to four characters fill the field, or a name at its beginning; also a list."""
        text = self._text
        if text.startswith(SPEAKER, max(0, start - len(SPEAKER) - 1)):
            yield from self._name(start, "label")  # what follows is said by him, and seldom his name
            return
        for _ in range(MAX_LIST):
            match = delimited().match(text, start)
            if match is None:
                yield from self._name(start, "label", firm=True)
                return
            blank = len(match.group()) > 2 and not is_han(text, start + 1)
            bracketed = text[start - 1] in "（(【[" and self._is_plain_word(start, match.end())
            listed = surname_length(text, start) > 0 and text[match.end() - 1] not in "号码名称"
            if text[start] in NO_VALUE or bracketed or ((blank or text[start - 1] in "（(【[") and not listed):
                return
            yield RuleHit(start, match.end(), "label", True)
            start = match.end() + 1
            if text[start - 1 : start] != "、" or not surname_length(text, start):
                return

    def _closes_tag(self, match: re.Match[str]) -> bool:
        """Whether a label is that of a closing tag: behind </姓名> comes no value."""
        if ">" not in match[0]:
            return False
        text, opened = self._text, self._text.rfind("<", max(0, match.end() - MAX_TAG), match.end())
        return opened >= 0 and text[opened + 1] == "/"

    def _in_cell(self, start: int) -> Iterator[RuleHit]:
        """A name that fills the cell beside its label's, if it begins as names do; else that is one more heading."""
        match = delimited().match(self._text, start)
        if match is None or match.group() in field_labels():
            return
        if self._text[match.end() - 1] not in "号码名称期间":
            yield from self._name(start, "label", firm=True)

    def _name(self, start: int, method: str, *, firm: bool = False) -> Iterator[RuleHit]:
        """A name that begins here, unless an ordinary word does, or a surname that is mostly another word.

        ``firm``: what stands before can hardly be followed by anything else.
        """
        length = surname_length(self._text, start)
        if not length or start >= len(self._begin):
            return
        begin, end = int(self._begin[start]), int(self._end[start])
        if begin and not is_name_kind(begin) and begin // 16 + 1 == length:
            begin = 0  # a compound surname that the word list knows: 公孙, 上官
        if end and not is_name_kind(end) and not (firm and self._stands_between(start, loose=False)):
            return
        if begin and not is_name_kind(begin):
            # 景天 is a herb, 景天哲 between a role and a mark a name.
            if firm and begin // 16 == 1 and _between(self._text, start) == start + 3:
                yield RuleHit(start, start + 3, method, True)
            return
        if (spaced := self._spaced(start)) > 0:
            yield RuleHit(start, spaced, method, True)
            return
        first = self._text[start]
        if not begin and length == 1 and (first in MOSTLY_WORDS or first not in surnames().common):
            if not self._stands_between(start, loose=firm):
                return
            yield RuleHit(start, _between(self._text, start), method, True)
            return
        end = self._name_end(start, length)
        if end - start > length:
            yield RuleHit(start, end, method, True)

    def _spaced(self, start: int) -> int:
        """Where a name with a blank behind its surname ends, or 0, as 姜　凯 in forms."""
        match = spaced_name().match(self._text, start)
        return match.end() if match and not self._plain(match.end() - 1) else 0

    def _stands_between(self, start: int, *, loose: bool) -> bool:
        """Whether a rare surname with one or two characters fills the place up to the next mark."""
        text = self._text
        end = _between(text, start)
        if not 2 <= end - start <= 3 or (text[start] in MOSTLY_WORDS and not loose):
            return False
        given = text[start + 1 : end]
        if any(c in STOPS for c in given[:-1]) or (given[-1] in STOPS and given[-1] not in NAME_ENDS):
            return False
        if given[-1] in "号码称":
            return False
        return text[start] not in PREPOSITIONS and not (
            len(given) == 2 and self._plain(start + 1) and not (loose and text[start] not in MOSTLY_WORDS)
        )

    def _is_plain_word(self, start: int, end: int) -> bool:
        """Whether the characters are one ordinary word."""
        begin = int(self._begin[start])
        return begin > 0 and not is_name_kind(begin) and start + begin // 16 + 1 == end

    def _name_end(self, start: int, surname: int) -> int:
        """Where the name that begins at ``start`` ends; right after the surname if there is no given name."""
        text = self._text
        word, kind = divmod(int(self._begin[start]), 16)
        if kind == Kind.PERSON and word + 1 >= surname + 1:
            return start + word + 1
        end = start + surname
        if not is_han(text, end) or (text[end] in STOPS and text[end] not in "中文正明如可得前安自"):
            return end
        end += 1
        if not is_han(text, end):
            return end
        if text[end] in STOPS:
            closed = not is_han(text, end + 1) or text[end + 1] in "向与和于在把将对给"
            return end + (text[end] in NAME_ENDS and closed)
        # A word that begins with the third character ends the name before it, unless one begins right after as well.
        if self._word_at(end) and not self._word_at(end + 1):
            return end
        return end + 1

    def _word_at(self, place: int) -> bool:
        return place < len(self._begin) and int(self._begin[place]) > 0

    def _before_title(self, title: int) -> Iterator[RuleHit]:
        """The longest name of up to four characters right before a title; the title stays."""
        text = self._text
        for start in range(max(0, title - 4), title):
            length = surname_length(text, start)
            if not length or start + length > title or title - start - length > 2:
                continue
            given = text[start + length : title]
            if any(c in STOPS or not is_han(c, 0) for c in given) or self._ordinary_across(start, title, given):
                continue
            if length == 1 and (self._unlikely(start, given) if given else not self._may_be_alone(start)):
                continue
            yield RuleHit(start, title, "title", True)
            return
        start = title
        while title - start < MAX_SOUNDS and text[start - 1] in SOUNDS:
            start -= 1
        if title - start > 2 and (not is_han(text, start - 1) or text[start - 1] in LINKS):
            yield RuleHit(start, title, "title", True)

    def _ordinary_across(self, start: int, end: int, given: str) -> bool:
        """Whether an ordinary word ends on the surname (主任医生), or begins with it (高血压医生).

        A surname alone before its title may look like the word that crosses into it: 龙女|士, 房主|任.
        """
        if (
            start
            and is_han(self._text, start - 1)
            and int(self._end[start])
            and not is_name_kind(int(self._end[start]))
        ):
            return bool(given) or not (self._role_before(start) or self._text[start - 1] in "科区")
        begin = int(self._begin[start])
        crossed = start + begin // 16 + 1 - end
        return (
            begin > 0
            and not is_name_kind(begin)
            and (crossed <= 1 if given else crossed > 1 and self._text[start] not in surnames().common)
        )

    def _role_before(self, start: int) -> bool:
        return ends_with_role(self._text, start)

    def _may_be_alone(self, start: int) -> bool:
        """Whether a surname that stands alone before a title is one: not 两位医生, 任何医生, 请向医生说明."""
        text, first = self._text, self._text[start]
        before = text[start - 1 : start] if start else "\n"
        if before == first or (first == "位" and (before in MEASURES or before.isdigit())):
            return False
        if first in PREPOSITIONS:
            return before in ":：科" or self._stands_for_name(start)
        inner = is_han(before, 0)
        if first == "原":
            return before in ":：\n"  # 原董事长 is who was one
        if not inner and first == "祝":
            return False  # 祝老师节日快乐
        if not inner or before in LINKS or self._role_before(start):
            return True
        common = first in surnames().common and first not in MOSTLY_WORDS - ALONE_BEFORE_TITLES
        ended = start > 0 and int(self._end[start - 1]) > 0
        return first not in LOOSE and (common or ended or before in STOPS)

    def _stands_for_name(self, start: int) -> bool:
        """Whether what looks like a preposition can be a surname alone: 由向医生负责, 主治医师于医师，."""
        text = self._text
        if text[start - 1] == "由":
            return text[start] not in "于来"  # words with 由
        title = titles().match(text, start + 1)
        doctor = text[max(0, start - 2) : start] in ("医师", "医生", "护士", "主任")
        return doctor and title is not None and not is_han(text, title.end())

    def _unlikely(self, start: int, given: str) -> bool:
        """Whether a surname with a given name is rare or mostly a word, and nothing says that a name begins."""
        text = self._text
        first = text[start]
        if given[0] == first or (len(given) == 2 and self._plain(start + 1)):
            return True
        if start and text[start - 1] == first:
            return True
        if first in MOSTLY_WORDS - BEFORE_TITLES:
            return True
        return first not in surnames().common and start > 0 and is_han(text, start - 1)

    def _plain(self, place: int) -> bool:
        begin = int(self._begin[place])
        return begin > 0 and not is_name_kind(begin)

    def _nick(self, start: int) -> Iterator[RuleHit]:
        text = self._text
        end = start + 1 + surname_length(text, start + 1)
        if SPEAKS.match(text, end) and (start == 0 or not is_han(text, start - 1)):
            yield RuleHit(start, end, "nick", True)
            return
        if text[start + 1] not in surnames().common:
            return
        if text[start : start + 2] in no_nicks() or (start and int(self._end[start]) and is_han(text, start - 1)):
            return
        begin = int(self._begin[start])
        inner = int(self._begin[start + 1])
        if begin >= 0x20 or (inner and not is_name_kind(inner)):
            return
        if begin and not is_name_kind(begin) and text[start] != "老":
            return
        yield RuleHit(start, start + 2, "nick", False)

    def _dotted(self) -> Iterator[RuleHit]:
        """Parts joined by middle dots, if they sound like a name; words before and after are none of it."""
        text = self._text
        dot = text.find("·")
        while dot >= 0:
            left, right = self._sounding(dot, -1), self._sounding(dot, 1)
            while text[right : right + 1] == "·" and self._sounding(right, 1) > right + 1:
                dot, right = right, self._sounding(right, 1)
            if left < dot and right > dot + 1 and right - left > 4:
                yield RuleHit(left, right, "dotted", False)
            dot = text.find("·", max(right, dot + 1))

    def _sounding(self, dot: int, step: int) -> int:
        """Where the sounds on one side of a dot end, at most eight of them: the first or the one after the last."""
        place = dot + step
        while 0 <= place < len(self._text) and abs(place - dot) <= 8 and self._text[place] in SOUNDS:
            place += step
        return place + 1 if step < 0 else place


def is_name_kind(code: int) -> bool:
    """Whether a word's code in ``WordsHere`` says that a list knows it as a person's name."""
    return code % 16 in (Kind.PERSON, Kind.FOREIGN, Kind.PERHAPS_PERSON)


def surname_length(text: str, start: int) -> int:
    """Length of the surname that ``text`` has at ``start``, or 0."""
    for length in (4, 3, 2):
        if text[start : start + length] in _compound():
            return length
    return 1 if text[start : start + 1] in surnames().single else 0


@cache
def _compound() -> frozenset[str]:
    return frozenset(surnames().compound)


def is_han(text: str, place: int) -> bool:
    """Whether a Chinese character stands there."""
    return place < len(text) and "\u3400" <= text[place] <= "\u9fff"


def mask_of(hits: list[RuleHit], count: int) -> NDArray[np.bool_]:
    """(N,) true in the hits."""
    mask = np.zeros(count, np.bool_)
    for hit in hits:
        mask[hit.start : hit.end] = True
    return mask


__all__ = ["is_han", "is_name_kind", "mask_of", "RuleHit", "Rules", "surname_length"]
