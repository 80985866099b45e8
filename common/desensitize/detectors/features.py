"""What the tagger sees of each character: hashes of its surroundings, computed for a whole block of text at once.

A feature is a number that depends on its template, on characters at most three places away, on the words that start,
end or lie there, and on whether the characters are surnames or transliterate sounds. Equal text gives equal features
on every machine. Not handled here: weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.characters import DIGIT, DOT, LOWER, OTHER, UPPER, Codes
from fedward.common.desensitize.detectors.hashing import MULTIPLIERS, Hashes, finished
from fedward.common.desensitize.detectors.surnames import TRANSLITERATION, surnames
from fedward.common.desensitize.detectors.words import MAX_LENGTH, Words

REACH: Final = MAX_LENGTH + 1
"""How far a feature may look; documents of one block must lie that far apart."""
TEMPLATES: Final = (
    ("c-2",), ("c-1",), ("c0",), ("c1",), ("c2",),
    ("c-2", "c-1"), ("c-1", "c0"), ("c0", "c1"), ("c1", "c2"), ("c-1", "c1"),
    ("c-2", "c-1", "c0"), ("c-1", "c0", "c1"), ("c0", "c1", "c2"),
    ("c-2", "c-1", "c0", "c1"), ("c-1", "c0", "c1", "c2"),
    ("word-1",), ("word+1",), ("word-1", "s0", "s1"), ("c0", "word+1"), ("word-1", "c0"), ("word-1", "word+1"),
    ("in-1", "in0", "in1"), ("begin0", "end0"), ("end-1", "begin0"), ("end0", "begin1"), ("c0", "in0", "begin0"),
    ("c0", "end0", "begin1"),
    ("s-2", "s-1", "s0"), ("s-1", "s0", "s1"), ("s0", "s1", "s2"), ("s-1", "s0", "c1", "end-1"), ("c-1", "s0", "s1"),
)  # fmt: skip
NUM_TEMPLATES: Final = len(TEMPLATES)


@dataclass(frozen=True, kw_only=True, slots=True)
class WordsHere:
    """What a word list says of each of N places.

    Args:
        begin: (N,) uint8, length and kind of the longest word that starts there, or 0.
        end: (N,) uint8, the same of the longest that ends there.
        within: (N,) uint16, bits: a word starts, ends, goes on here; and each kind of word that covers it.
        left: (N,) uint32, hash of the longest word that ends there, or of the character.
        right: (N,) uint32, hash of the longest word that starts there, or of the character.
    """

    begin: NDArray[np.uint8]
    end: NDArray[np.uint8]
    within: NDArray[np.uint16]
    left: Hashes
    right: Hashes


def words_here(codes: Codes, words: Words) -> WordsHere:
    """Look every stretch of ``codes`` up."""
    count = len(codes)
    begin, end = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    within = np.zeros(count + MAX_LENGTH, np.uint16)
    left = codes.astype(np.uint32)
    right = left.copy()
    for length, kinds, hashes in words.matches(codes):
        at = np.flatnonzero(kinds)
        at = at[at <= count - length]
        kind = kinds[at]
        label = kind + np.uint8(16 * (length - 1))
        begin[at], end[at + length - 1] = label, label
        right[at], left[at + length - 1] = hashes[at], hashes[at]
        bit = (np.uint16(8) << kind.astype(np.uint16)).astype(np.uint16)
        for k in range(length):
            place = np.uint16(1 if k == 0 else 2 if k == length - 1 else 4)
            within[at + k] |= bit | place
    return WordsHere(begin=begin, end=end, within=within[:count], left=left, right=right)


@cache
def _shapes() -> NDArray[np.uint8]:
    """Kind of each character: bits for common surname, rare surname, transliteration; small numbers for the rest."""
    table = np.zeros(0x10000, np.uint8)
    table[0x3400:0xA000] = 8
    for characters, bit in ((surnames().common, 1), (surnames().rare, 2), (frozenset(TRANSLITERATION), 4)):
        for character in characters:
            table[ord(character)] |= bit
    for character in "〇一二三四五六七八九十百千万亿零两":
        table[ord(character)] = 16
    for code, shape in ((DIGIT, 17), (UPPER, 18), (LOWER, 19), (DOT, 20), (OTHER, 21)):
        table[code] = shape
    return table


def shapes(codes: Codes) -> NDArray[np.uint8]:
    """(N,) what kind of character each is."""
    return _shapes().take(codes.astype(np.intp))


_ATOMS: Final = (
    *(f"c{k}" for k in (-2, -1, 0, 1, 2)), *(f"s{k}" for k in (-2, -1, 0, 1, 2)), *(f"in{k}" for k in (-1, 0, 1)),
    "word-1", "word+1", "end-1", "end0", "begin0", "begin1", "nothing",
)  # fmt: skip
_LONGEST_TEMPLATE: Final = max(map(len, TEMPLATES))


@cache
def _layout() -> tuple[Hashes, list[NDArray[np.intp]]]:
    """What each template adds by its number, and its first, second, … atom; a missing one is the atom of zeros."""
    numbers = (np.arange(1, NUM_TEMPLATES + 1, dtype=np.uint32) * np.uint32(MULTIPLIERS[0]))[:, None]
    padded = [names + ("nothing",) * (_LONGEST_TEMPLATE - len(names)) for names in TEMPLATES]
    return numbers, [np.array([_ATOMS.index(names[k]) for names in padded]) for k in range(_LONGEST_TEMPLATE)]


def features(codes: Codes, here: WordsHere, places: NDArray[np.intp]) -> Hashes:
    """Hashes of each template at the given places: ``mixed`` of the template's number and its atoms.

    Args:
        codes: (N,) with at least ``REACH`` gaps at both ends and between documents.
        here: the words of ``codes``.
        places: (P,) where, at least ``REACH`` from the ends.

    Returns:
        (F, P) for ``NUM_TEMPLATES`` = F.
    """
    atoms = _atoms(codes, here, places)
    numbers, columns = _layout()
    # All templates at once: a short document costs a score of array operations, and not a score for each template.
    total = numbers + atoms.take(columns[0], axis=0) * np.uint32(MULTIPLIERS[1])
    for column, multiplier in zip(columns[1:], MULTIPLIERS[2:], strict=False):
        part = atoms.take(column, axis=0)
        part *= np.uint32(multiplier)
        total += part
    return finished(total)


def _atoms(codes: Codes, here: WordsHere, places: NDArray[np.intp]) -> Hashes:
    """(A, P) the atoms in the order of their names."""
    shape = shapes(codes)
    atoms = np.zeros((len(_ATOMS), len(places)), np.uint32)
    around = [places + k for k in (-2, -1, 0, 1, 2)]
    for k, at in enumerate(around):
        atoms[k], atoms[5 + k] = codes.take(at), shape.take(at)
    before, at, after = around[1:4]
    rest: tuple[NDArray[Any], ...] = (
        here.within.take(before), here.within.take(at), here.within.take(after), here.left.take(before),
        here.right.take(after), here.end.take(before), here.end.take(at), here.begin.take(at), here.begin.take(after),
    )  # fmt: skip
    for k, values in enumerate(rest):
        atoms[10 + k] = values
    return atoms


__all__ = ["features", "NUM_TEMPLATES", "REACH", "shapes", "TEMPLATES", "words_here", "WordsHere"]
