"""How much was changed that need not be: proxies for a site, which has no marked text.

Invariants: counts and shares, no text. A hard negative is a text without an identifier that looks as if it had one; of
the shipped ones, written without a look at any rule, at most 2 % may be touched. Not handled here: a classifier on raw
against scrubbed text.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.intervals import wilson
from fedward.common.desensitize.leakcheck import IssuedSpan
from fedward.common.desensitize.normalise import digits_of, normal_form
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.term_finder import TermFinder
from fedward.common.desensitize.wordlists import word_list

MAX_TOUCHED = 0.02
"""Share of the hard negatives that may be touched."""
MIN_TERMS_UNCHANGED = 0.99
"""Below this a report warns."""
_ISO = re.compile(r"((?:19|20)[0-9]{2})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")


class HardNegative(NamedTuple):
    """A text without an identifier."""

    text: str
    language: Literal["zh", "en"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HardNegativeResult:
    """What a detector made of the hard negatives."""

    num: int
    num_touched: int
    low: float
    high: float
    """Ends of Wilson's 95 % interval."""
    types: tuple[tuple[EntityType, int], ...]
    """Texts by the type that touched them, most first."""

    @property
    def share(self) -> float:
        """Of the texts in which anything was changed."""
        return self.num_touched / self.num if self.num else 0.0

    @property
    def is_fine(self) -> bool:
        """At most 2 %."""
        return self.share <= MAX_TOUCHED


@dataclass(frozen=True, kw_only=True, slots=True)
class OverScrub:
    """Sums over records; add them up with ``merged``."""

    num_chars: int = 0
    num_changed: int = 0
    """Characters of the source that were replaced."""
    num_terms: int = 0
    num_terms_lost: int = 0
    """Terms of medicine and finance that the source has and the text has not."""
    num_entities: int = 0
    num_merged: int = 0
    """Distinct entities that came out as one, or one that came out as several."""
    num_intervals: int = 0
    num_intervals_wrong: int = 0
    """Days between two dates of a record that are others now."""

    @property
    def share_changed(self) -> float:
        """Of the characters."""
        return self.num_changed / self.num_chars if self.num_chars else 0.0

    @property
    def share_terms_unchanged(self) -> float:
        """1 where no term occurs."""
        return 1 - self.num_terms_lost / self.num_terms if self.num_terms else 1.0


@cache
def hard_negatives() -> tuple[HardNegative, ...]:
    """Those that are shipped: about a hundred in each language."""
    lists = word_list("hard_negatives")
    return tuple(
        [HardNegative(text, "zh") for text in lists["zh"]] + [HardNegative(text, "en") for text in lists["en"]]
    )


def touched(
    types_in: Callable[[Sequence[str]], Sequence[Iterable[EntityType]]], texts: Sequence[HardNegative] | None = None
) -> HardNegativeResult:
    """Share of the hard negatives in which anything is replaced.

    Args:
        types_in: for each of the texts the types of what is replaced in it.
        texts: None: those that are shipped.
    """
    chosen = hard_negatives() if texts is None else texts
    found = [set(types) for types in types_in([item.text for item in chosen])]
    hit = sum(map(bool, found))
    low, high = wilson(hit, len(chosen))
    types = Counter(type_ for some in found for type_ in sorted(some))
    return HardNegativeResult(num=len(chosen), num_touched=hit, low=low, high=high, types=tuple(types.most_common()))


def over_scrub(source: str, text: str, issued: Sequence[IssuedSpan]) -> OverScrub:
    """The proxies of one record.

    Args:
        text: the finished one.
        issued: what was put into it.
    """
    before, after = _term_counts(source), _term_counts(text)
    num_entities, num_merged = _entities(source, text, issued)
    num_intervals, num_wrong = _intervals(source, text, issued)
    return OverScrub(
        num_chars=len(source), num_changed=sum(item.span.end - item.span.start for item in issued),
        num_terms=before.total(), num_terms_lost=(before - after).total(),
        num_entities=num_entities, num_merged=num_merged,
        num_intervals=num_intervals, num_intervals_wrong=num_wrong,
    )  # fmt: skip


def merged(parts: Iterable[OverScrub]) -> OverScrub:
    """The sum of ``parts``; the order does not matter."""
    sums = Counter[str]()
    for part in parts:
        sums.update({name: getattr(part, name) for name in OverScrub.__dataclass_fields__})
    return OverScrub(**sums)


def _term_counts(text: str) -> Counter[str]:
    return Counter(text[start:end].lower() for start, end in _terms().find(text))


@cache
def _terms() -> TermFinder:
    lists = word_list("lexicon")
    return TermFinder([term for key in sorted(lists) for term in lists[key] if len(term) > 1])


def _entities(source: str, text: str, issued: Sequence[IssuedSpan]) -> tuple[int, int]:
    """Distinct originals of keyed surrogates, and how many of them are told apart no longer or no more one."""
    pairs: dict[EntityType, set[tuple[str, str]]] = {}
    for item in issued:
        if item.action in (Action.SURROGATE, Action.FPE) and item.span.type is not EntityType.DATE:
            original, surrogate = source[item.span.start : item.span.end], text[item.start : item.end]
            pairs.setdefault(item.span.type, set()).add((normal_form(original), normal_form(surrogate)))
    total = wrong = 0
    for some in pairs.values():
        originals, surrogates = len({old for old, _ in some}), len({new for _, new in some})
        total += originals
        wrong += (len(some) - originals) + (len(some) - surrogates)
    return total, wrong


def _intervals(source: str, text: str, issued: Sequence[IssuedSpan]) -> tuple[int, int]:
    """Intervals from the record's first full date to each other one, and how many of them changed."""
    days = []
    for item in issued:
        if item.span.type is EntityType.DATE and item.action is Action.SURROGATE:
            old, new = _day(source[item.span.start : item.span.end]), _day(text[item.start : item.end])
            if old is not None and new is not None:
                days.append((old, new))
    first = days[:1]
    wrong = sum((old - first[0][0]) != (new - first[0][1]) for old, new in days[1:])
    return max(0, len(days) - 1), wrong


def _day(written: str) -> datetime.date | None:
    folded = Document.of(written).text.strip()
    found = _ISO.match(folded)
    parts = found.groups() if found else (folded[:4], folded[4:6], folded[6:8])
    if found is None and not (len(folded) == 8 and digits_of(folded) == folded):
        return None
    try:
        return datetime.date(*map(int, parts))
    except ValueError:
        return None


__all__ = [
    "hard_negatives",
    "HardNegative",
    "HardNegativeResult",
    "MAX_TOUCHED",
    "merged",
    "MIN_TERMS_UNCHANGED",
    "over_scrub",
    "OverScrub",
    "touched",
]
