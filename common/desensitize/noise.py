"""The noise layer: filler words between two unprotected words. It carries no formal guarantee.

It makes copying and linking harder; a reader or a model may undo it. Invariants: only words of a closed list are added
and nothing is taken away; at most ``rate`` of the gaps get one; a number, a surrogate, a term or a negation is never
parted nor touched; the same seed gives the same text. Not handled here: the guarantee of a run, which comes from
differentially private training.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.edits import Edited, Place, carry, compose, replaced
from fedward.common.desensitize.protection import Word, protected_spans, words_between
from fedward.common.desensitize.wordlists import word_list

MAX_RATE = 0.10
_BLANK_OR_COMMA = re.compile(r"[，,]? ?")


def add_fillers(text: str, issued: Sequence[Place], draw: KeyedStream, *, rate: float) -> Edited:
    """Add filler words.

    Args:
        issued: where surrogates and placeholders stand, disjoint; they come back in ``carried``.
        draw: seeded by the document.
        rate: share of the gaps between unprotected words, at most 0.10.

    Raises:
        ValueError: the rate is outside [0, 0.10].
    """
    if not 0 <= rate <= MAX_RATE:
        raise ValueError(f"noise rate = {rate!r}: expected a number from 0 to {MAX_RATE}")
    gaps = _gaps(text, words_between(text, protected_spans(text, issued)))
    edits = []
    for index in draw.sample(len(gaps), int(rate * len(gaps))):
        place = gaps[index]
        is_latin = text[place].isascii()
        filler = draw.choice(word_list("general")["fillers_en" if is_latin else "fillers_zh"])
        edits.append((place, place, filler + " " if is_latin else filler))
    pieces = replaced(edits, len(text))
    carried = carry(pieces, issued)
    if carried is None:  # a filler inside a surrogate is a fault; the text stays
        return Edited(text=text, carried=tuple(issued))
    return Edited(text=compose(text, pieces), carried=carried, num_changed=len(edits))


def _gaps(text: str, words: Sequence[Word]) -> list[int]:
    """Where the second of two words begins that only a blank or a comma parts; Chinese ones where a list parts them."""
    gaps = []
    for first, second in itertools.pairwise(words):
        between = text[first.end : second.start]
        if not _BLANK_OR_COMMA.fullmatch(between):
            continue
        if between or _are_parted(first, second):
            is_latin = text[first.start].isascii() and text[second.start].isascii()
            if not (is_latin and not between.endswith(" ")):
                gaps.append(second.start)
    return gaps


def _are_parted(first: Word, second: Word) -> bool:
    """One of them is a listed word of two characters and more; a single character may be half of a word unknown."""
    sizes = (first.end - first.start, second.end - second.start)
    return (first.is_listed and sizes[0] > 1 and (second.is_listed or sizes[1] > 1)) or (
        second.is_listed and sizes[1] > 1 and (first.is_listed or sizes[0] > 1)
    )


__all__ = ["add_fillers", "MAX_RATE"]
