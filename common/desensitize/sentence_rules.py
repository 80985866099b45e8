"""Rules that put a sentence another way: a time phrase to the front or back, 把 and 被, active and passive.

Invariants: a rule only moves parts of the sentence and exchanges function words of closed lists; it says how many words
it moves. Whether the result may stand is decided by the caller, who looks for every protected span in it. Not handled
here: sentences of any other form, which stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from fedward.common.desensitize.edits import Piece
from fedward.common.desensitize.wordlists import word_list

_COUNT = "[0-9一二三四五六七八九十两数几半]{1,4}"
_NOUN = "(?:[a-z]+ ){0,2}[a-z]*[a-rt-z]"
"""Up to three small words, the last one without the s of a plural."""
_PREPOSITIONS = re.compile(r"\b(?:to|for|with|in|on|at|by|from|and|or|that|which|who|as|into|after|before)\b")


class Rewrite(NamedTuple):
    """One way to say it otherwise."""

    pieces: tuple[Piece, ...]
    """In code points of the text the sentence stands in."""
    num_moved: int
    """Words moved or exchanged."""


def rewrites(text: str, start: int, end: int) -> Iterator[Rewrite]:
    """Every way in which a rule puts ``text[start:end]``, a sentence with its full stop."""
    for rule in _RULES:
        found = rule(text, start, end)
        if found is not None:
            yield found


def _time_to_subject(text: str, start: int, end: int) -> Rewrite | None:
    """入院后，患者发热 becomes 患者入院后发热."""
    found = _zh_fronted().match(text, start, end)
    if found is None:
        return None
    time, subject, rest = found.span("time"), found.span("subject"), (found.end("subject"), end)
    return Rewrite((subject, time, rest), 1)


def _time_to_front(text: str, start: int, end: int) -> Rewrite | None:
    """患者入院后发热 becomes 入院后，患者发热."""
    found = _zh_inner().match(text, start, end)
    if found is None:
        return None
    time, subject, rest = found.span("time"), found.span("subject"), (found.end("time"), end)
    return Rewrite((time, "，", subject, rest), 1)


def _ba_to_bei(text: str, start: int, end: int) -> Rewrite | None:
    """柜员已把账户冻结了 becomes 账户已被柜员冻结了."""
    found = _zh_ba().match(text, start, end)
    if found is None:
        return None
    rest = (found.start("verb"), end)
    return Rewrite((found.span("object"), found.span("adverb"), "被", found.span("subject"), rest), 2)


def _bei_to_ba(text: str, start: int, end: int) -> Rewrite | None:
    """账户已被柜员冻结了 becomes 柜员已把账户冻结了."""
    found = _zh_bei().match(text, start, end)
    if found is None:
        return None
    rest = (found.start("verb"), end)
    return Rewrite((found.span("subject"), found.span("adverb"), "把", found.span("object"), rest), 2)


def _english_time_to_end(text: str, start: int, end: int) -> Rewrite | None:
    """In the morning, the fever rose. becomes The fever rose in the morning."""
    found = _en_fronted().match(text, start, end)
    if found is None:
        return None
    first, rest, time = found["first"], (found.end("first"), found.end("rest")), found["time"]
    small = time[0].lower() + time[1:]
    return Rewrite((first[0].upper() + first[1:], rest, " " + small, (found.end("rest"), end)), len(time.split()))


def _english_time_to_front(text: str, start: int, end: int) -> Rewrite | None:
    """The fever rose in the morning. becomes In the morning, the fever rose."""
    found = _en_final().match(text, start, end)
    if found is None:
        return None
    first, rest, time = found["first"], (found.end("first"), found.end("rest")), found["time"]
    small = first if first == "I" else first[0].lower() + first[1:]
    return Rewrite((time[0].upper() + time[1:] + ", " + small, rest, (found.end("time"), end)), len(time.split()))


def _active_to_passive(text: str, start: int, end: int) -> Rewrite | None:
    """The nurse changed the dressing. becomes The dressing was changed by the nurse."""
    found = _en_active().fullmatch(text, start, end)
    if found is None or _PREPOSITIONS.search(found["object"]):
        return None
    thing, agent = found["object"], found["agent"]
    pieces: tuple[Piece, ...] = (thing[0].upper(), (found.start("object") + 1, found.end("object")), " was ")
    pieces += (found.span("verb"), " by ", agent[0].lower(), (found.start("agent") + 1, found.end("agent")))
    return Rewrite((*pieces, (found.end("object"), end)), 2 + len(agent.split()))


def _passive_to_active(text: str, start: int, end: int) -> Rewrite | None:
    """The dressing was changed by the nurse. becomes The nurse changed the dressing."""
    found = _en_passive().fullmatch(text, start, end)
    if found is None or _PREPOSITIONS.search(found["object"]):
        return None
    thing, agent = found["object"], found["agent"]
    pieces: tuple[Piece, ...] = (agent[0].upper(), (found.start("agent") + 1, found.end("agent")), " ")
    pieces += (found.span("verb"), " ", thing[0].lower(), (found.start("object") + 1, found.end("object")))
    return Rewrite((*pieces, (found.end("agent"), end)), 2 + len(agent.split()))


_RULES: tuple[Callable[[str, int, int], Rewrite | None], ...] = (
    _time_to_subject,
    _time_to_front,
    _ba_to_bei,
    _bei_to_ba,
    _english_time_to_end,
    _english_time_to_front,
    _active_to_passive,
    _passive_to_active,
)


def _any(name: str) -> str:
    return "|".join(re.escape(word) for word in sorted(word_list("general")[name], key=len, reverse=True))


def _time_zh() -> str:
    return rf"(?P<time>{_any('time_zh')}|{_COUNT}(?:天|周|个月|年|小时|日|分钟)(?:前|后|来|内))"


def _subject_zh() -> str:
    return rf"(?P<subject>{_any('subjects_zh')})"


@cache
def _zh_fronted() -> re.Pattern[str]:
    return re.compile(rf"{_time_zh()}[，,]{_subject_zh()}(?=[\u4e00-\u9fff])(?!的|之|们|家|方)")


@cache
def _zh_inner() -> re.Pattern[str]:
    return re.compile(rf"{_subject_zh()}{_time_zh()}(?=[\u4e00-\u9fff])(?!的|之|来|起|和)")


_OBJECT_ZH = "(?P<object>[^，。；、：！？,;:!?\n把被将给让的]{1,16}?)"
_ADVERB_ZH = "(?P<adverb>(?:已经|随后|刚刚|已|都)?)"
_END_ZH = "(?=了?(?:[。！？]|$))"


@cache
def _zh_ba() -> re.Pattern[str]:
    return re.compile(rf"{_subject_zh()}{_ADVERB_ZH}把{_OBJECT_ZH}(?P<verb>{_any('verbs_zh')}){_END_ZH}")


@cache
def _zh_bei() -> re.Pattern[str]:
    return re.compile(rf"{_OBJECT_ZH}{_ADVERB_ZH}被{_subject_zh()}(?P<verb>{_any('verbs_zh')}){_END_ZH}")


@cache
def _en_fronted() -> re.Pattern[str]:
    times = "|".join(f"[{t[0].upper()}]{re.escape(t[1:])}" for t in word_list("general")["time_en"])
    first = "(?P<first>the|he|she|we|they|it|a|an|this|his|her|our|their|I|all|both)"
    return re.compile(rf"(?P<time>{times}), {first}(?P<rest> [^,;:.!?\n]+)(?=[.!]|$)")


@cache
def _en_final() -> re.Pattern[str]:
    times = "|".join(re.escape(t) for t in word_list("general")["time_en"])
    first = "(?P<first>The|He|She|We|They|It|A|An|This|His|Her|Our|Their|I|All|Both)"
    return re.compile(rf"{first}(?P<rest> [^,;:.!?\n]+) (?P<time>{times})(?=[.!]|$)")


_ARTICLES, _CAPITAL_ARTICLES = "the|a|an|our|this", "The|A|An|Our|This"


def _agent(articles: str) -> str:
    return rf"(?P<agent>(?:{articles}) (?:[a-z]+ )?(?:{_any('nouns_en')}))"


@cache
def _en_active() -> re.Pattern[str]:
    thing = f"(?P<object>(?:{_ARTICLES}|his|her) {_NOUN})"
    return re.compile(rf"{_agent(_CAPITAL_ARTICLES)} (?P<verb>{_any('verbs_en')}) {thing}\.?")


@cache
def _en_passive() -> re.Pattern[str]:
    thing = f"(?P<object>(?:{_CAPITAL_ARTICLES}|His|Her) {_NOUN})"
    return re.compile(rf"{thing} was (?P<verb>{_any('verbs_en')}) by {_agent(_ARTICLES)}\.?")


__all__ = ["Rewrite", "rewrites"]
