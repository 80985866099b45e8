"""What the second and third layer never touch, and the words between.

Protected: surrogates and placeholders, dates, numbers with their units, doses, names of tests, drugs, diseases and
procedures, negations with their scope (to the next punctuation), field labels, markup and JSON keys. Invariants: the
spans are disjoint and sorted; in doubt a character is protected, for a word left alone costs nothing. Not handled here:
what is done between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from fedward.common.desensitize.edits import Place
from fedward.common.desensitize.term_finder import TermFinder, lower
from fedward.common.desensitize.wordlists import word_list

_NUMERAL = "零〇一二三四五六七八九十百千万亿两半几数"
_MARKUP = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|<[^<>\n]{1,200}>|\{\{[^{}\n]{0,200}\}\}|\[[^\[\]\n]{1,80}\](?:\([^()\n]{1,200}\))?"
    r"|&#?[A-Za-z0-9]{1,10};|[A-Za-z]{2,10}://[^\s，。；、]+|[^\s，。；、@]{1,64}@[^\s，。；、@]{1,255}"
    r"|\"[^\"\n]{1,80}\"\s*:|[*_~#|=\\]+|^\s*(?:[-+>]|[0-9]{1,3}[.)])(?=\s)",
    re.DOTALL | re.MULTILINE,
)
_LABEL = re.compile(
    r"(?:(?<=[\n，。；、,;!?！？\s])|^)[^\s，。；、,;:：!?！？]{1,24}\s?[:：]|^[ \t]*[A-Za-z][A-Za-z /()_-]{0,40}:",
    re.MULTILINE,
)
_SCOPE_END = re.compile(r"[，。；、：！？\n]|[,.;:!?](?=\s|$)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def protected_spans(text: str, issued: Sequence[Place] = ()) -> list[Place]:
    """Everything in ``text`` that must stay as it is, disjoint and sorted.

    Args:
        issued: where surrogates and placeholders stand.
    """
    spans = [span for span in issued if span[0] < span[1]]
    spans += [found.span() for pattern in (_numbers(), _MARKUP, _LABEL) for found in pattern.finditer(text)]
    spans += _terms().find(text)
    spans += negations(text)
    spans += _outside_strings(text)
    return _united(spans)


def negations(text: str) -> list[Place]:
    """Each negation with what it governs, up to the next punctuation; disjoint and sorted."""
    found: list[Place] = []
    for start, end in _negation_cues().find(text):
        if found and start < found[-1][1]:
            continue
        stop = _SCOPE_END.search(text, end)
        found.append((start, stop.start() if stop else len(text)))
    return found


class Word(NamedTuple):
    """A word between protected spans."""

    start: int
    end: int
    is_listed: bool
    """A Latin word, or a Chinese one of the lists; else a run of characters whose words nobody has parted."""


_RUN = re.compile(r"[A-Za-z]+(?:['\u2019-][A-Za-z]+)*|[\u3400-\u9fff]+")


def words_between(text: str, protected: Sequence[Place]) -> list[Word]:
    """Words of the stretches that are not protected, in order."""
    words: list[Word] = []
    place = 0
    low = lower(text)
    for start, end in [*protected, (len(text), len(text))]:
        for run in _RUN.finditer(text, place, start):
            if run[0][0].isascii():
                words.append(Word(run.start(), run.end(), True))
            else:
                words += _chinese_words(text, low, run.start(), run.end())
        place = end
    return words


def _chinese_words(text: str, low: str, start: int, end: int) -> Iterator[Word]:
    """Longest match against the lists; what lies between matches is one unlisted word."""
    finder, unlisted, place = listed_words(), start, start
    while place < end:
        stop = finder.longest(text, low, place, end)
        if not stop:
            place += 1
            continue
        if unlisted < place:
            yield Word(unlisted, place, False)
        yield Word(place, stop, True)
        place = unlisted = stop
    if unlisted < end:
        yield Word(unlisted, end, False)


@cache
def listed_words() -> TermFinder:
    """Chinese words of general language."""
    general = word_list("general")
    return TermFinder([*general["words_zh"], *general["time_zh"], *general["subjects_zh"], *synonyms("zh")])


@cache
def synonyms(language: str) -> dict[str, tuple[str, ...]]:
    """Each word of general language with those that may stand in its place; none of the others is dropped."""
    table: dict[str, tuple[str, ...]] = {}
    for group in word_list("general")[f"synonyms_{language}"]:
        words = group.split()
        for word in words:
            others = (*table.get(word, ()), *(other for other in words if other != word))
            table[word] = tuple(dict.fromkeys(others))
    return table


@cache
def _terms() -> TermFinder:
    lists = word_list("lexicon")
    terms = [term for key in sorted(lists) for term in lists[key]]
    short = [term for term in terms if term.isascii() and term.isupper()]
    return TermFinder([term for term in terms if term not in short], [*short, *word_list("protection")["months_en"]])


@cache
def _negation_cues() -> TermFinder:
    lists = word_list("protection")
    return TermFinder([*lists["negations_zh"], *lists["negations_en"]])


@cache
def _numbers() -> re.Pattern[str]:
    units = sorted(word_list("protection")["units"], key=len, reverse=True)
    latin = "|".join(re.escape(unit) for unit in units if unit.isascii())
    other = "|".join(re.escape(unit) for unit in units if not unit.isascii())
    unit = rf"(?:\s?(?:(?:{latin})(?:/(?:{latin}))?(?![A-Za-z])|{other}|%|℃|°C?))?(?:[前后内来余多])?"
    digits = r"[A-Za-z_.+/-]{0,20}[0-9\uff10-\uff19][A-Za-z0-9\uff10-\uff19_.,:/%×^+\-~\uff5e–*]*"
    chinese = rf"第?[{_NUMERAL}]+个?(?:{other})(?:[前后内来余多])?|[{_NUMERAL}]{{2,}}|第[{_NUMERAL}]"
    return re.compile(rf"{digits}{unit}|{chinese}|[¥$€£\uffe5]")


def _outside_strings(text: str) -> Iterator[Place]:
    """Of a text that is JSON, everything but the strings that are no keys: a filler between two values breaks it."""
    if text.lstrip()[:1] not in ("{", "["):
        return
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return
    place = 0
    for found in _STRING.finditer(text):
        yield place, found.start() + 1
        place = found.end() - 1
        if "\\" in found[0]:
            yield found.span()
    yield place, len(text)


def _united(spans: list[Place]) -> list[Place]:
    united: list[Place] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


__all__ = ["listed_words", "negations", "protected_spans", "synonyms", "Word", "words_between"]
