"""A text as pieces of itself and new words, and where spans come to stand.

Invariants: a carried span lies inside one piece of the old text, so its characters come out as they were; a new text
whose pieces cut one is refused. Not handled here: which pieces to take (``semantic``, ``noise``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

Place = tuple[int, int]
"""Code points, half open."""
Piece = Place | str
"""A part of the old text, or a new word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """A text after a layer.

    Args:
        text: as it is now.
        carried: where the spans that were handed in stand now, in the order they came.
        num_changed: words exchanged, moved or added.
    """

    text: str = field(repr=False)
    carried: tuple[Place, ...]
    num_changed: int = 0


def carry(pieces: Sequence[Piece], spans: Sequence[Place]) -> tuple[Place, ...] | None:
    """Where ``spans`` of the old text stand in the text of ``pieces``; None if a piece cuts one or leaves it out."""
    where: list[tuple[int, int, int]] = []
    length = 0
    for piece in pieces:
        if isinstance(piece, str):
            length += len(piece)
        else:
            where.append((piece[0], piece[1], length))
            length += piece[1] - piece[0]
    where.sort()
    starts = [start for start, _, _ in where]
    carried: list[Place] = []
    for start, end in spans:
        index = bisect_right(starts, start) - 1
        # An empty span (what was dropped) may stand at the end of a piece as well.
        if index < 0 or end > where[index][1]:
            return None
        shift = where[index][2] - where[index][0]
        carried.append((start + shift, end + shift))
    return tuple(carried)


def compose(text: str, pieces: Sequence[Piece]) -> str:
    """The new text."""
    return "".join(piece if isinstance(piece, str) else text[piece[0] : piece[1]] for piece in pieces)


def replaced(edits: Sequence[tuple[int, int, str]], length: int, start: int = 0) -> list[Piece]:
    """Pieces of ``text[start:length]`` with sorted, disjoint ``edits`` (start, end, new words) in it."""
    pieces: list[Piece] = []
    place = start
    for first, last, new in edits:
        if place < first:
            pieces.append((place, first))
        if new:
            pieces.append(new)
        place = last
    if place < length:
        pieces.append((place, length))
    return pieces


__all__ = ["carry", "compose", "Edited", "Piece", "Place", "replaced"]
