"""Terms that hold a name without being one, and whether a name at some place is only part of such a term.

张力 the patient is replaced wherever the name stands by itself; 张力性头痛 is a complaint and stays. The second pass
and the leak check ask here, so that what one lets stand the other does not refuse. Not handled here: vetoes on what a
tagger proposes (``detectors.lexicon``).
"""

from __future__ import annotations

from functools import cache, lru_cache

from fedward.common.desensitize.detectors.lexicon import terms as name_like_terms
from fedward.common.desensitize.wordlists import word_list


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
    """Terms that hold ``name``, and where in them it stands."""
    return tuple((term, place) for term in all_terms() if (place := term.find(name)) >= 0 and term != name)


__all__ = ["all_terms", "in_term"]
