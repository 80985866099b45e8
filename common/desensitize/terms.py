"""Terms that hold a name without being one, and whether a name at some place is only part of such a term.

张力 the patient is replaced wherever the name stands by itself; 张力性头痛 is a complaint and stays. The second pass
and the leak check ask here, so that what one lets stand the other does not refuse. Not handled here: vetoes on what a
tagger proposes (``detectors.lexicon``).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final

from fedward.common.desensitize.detectors.lexicon import terms as name_like_terms
from fedward.common.desensitize.wordlists import word_list

_BETWEEN: Final = "\n"
"""In no term."""


@cache
def all_terms() -> tuple[str, ...]:
    """Every term, in lower case."""
    lists = word_list("lexicon")
    return tuple(sorted({term.lower() for key in lists for term in lists[key]} | set(name_like_terms())))


def in_term(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` is part of a longer term, and no cue beside it says that it is a name after all."""
    cues = word_list("cues")
    if text.startswith(cues["titles_zh"], end) or text[:start].rstrip(" :：").endswith(cues["before_names"]):
        return False
    return any(start >= place and text.startswith(term, start - place) for term, place in _holding(text[start:end]))


@lru_cache(maxsize=4096)
def _holding(name: str) -> tuple[tuple[str, int], ...]:
    """Terms that hold ``name``, and where in them it first stands."""
    every, (joined, starts) = all_terms(), _joined()
    found: list[tuple[str, int]] = []
    at = -1 if _BETWEEN in name else joined.find(name)
    while at >= 0:
        i = bisect_right(starts, at) - 1
        if every[i] != name:
            found.append((every[i], at - starts[i]))
        at = joined.find(name, starts[i] + len(every[i]))
    return tuple(found)


@cache
def _joined() -> tuple[str, list[int]]:
    """All terms in one string, where one search looks into thousands, and where each begins in it."""
    starts = accumulate((len(term) + 1 for term in all_terms()), initial=0)
    return _BETWEEN.join(all_terms()), list(starts)[:-1]


__all__ = ["all_terms", "in_term"]
