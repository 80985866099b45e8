"""Medical and financial terms that look like names: drugs, herbs, diseases, eponyms, tests, indices. They veto a name.

The list is our own (``data/terms.json``). A veto falls on a hit that a term covers or crosses, unless a cue stands
beside it: 张力性头痛 is a complaint, 患者张力 is a patient. Not handled here: English eponyms in English text.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final

MAX_TERM: Final = 8


@cache
def term_groups() -> dict[str, frozenset[str]]:
    """The terms by group; ``names_with_suffix`` are terms only before one of ``suffixes``."""
    text = resources.files("fedward.common.desensitize.detectors.data").joinpath("terms.json").read_text("utf-8")
    return {group: frozenset(terms.split()) for group, terms in json.loads(text).items()}


@cache
def terms() -> frozenset[str]:
    """Every term that is one wherever it stands, Simplified, two to eight characters."""
    table = term_groups()
    return frozenset().union(*(table[group] for group in ("herbs", "drugs", "findings", "eponyms", "finance")))


def vetoed(text: str, start: int, end: int, *, cued: bool = False) -> bool:
    """Whether ``text[start:end]`` is a term, is part of one, or reaches into one that begins before it.

    A longer hit that merely has a term inside is a name of its own: 白云飞 is none of the clouds. 威尔逊 is a term only
    before 病.

    Args:
        text: Simplified.
        cued: a label, role or title stands beside the hit; then only a longer term that begins with it counts.
    """
    known = terms()
    if cued:
        longest = min(len(text), start + MAX_TERM)
        return any(text[start:last] in known for last in range(end + 1, longest + 1))
    for first in range(max(0, start - MAX_TERM + 1), start + 1):
        # From the hit's own first character only a term that covers it counts, from before it any that reaches it.
        shortest = end if first == start else start + 1
        for last in range(max(shortest, first + 2), min(len(text), first + MAX_TERM) + 1):
            if text[first:last] in known:
                return True
    table = term_groups()
    return text[start:end] in table["names_with_suffix"] and any(
        text.startswith(suffix, end) for suffix in table["suffixes"]
    )


__all__ = ["MAX_TERM", "term_groups", "terms", "vetoed"]
