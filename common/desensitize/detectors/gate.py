"""Which stretches of Chinese text are worth the tagger's time: those with anything that may be a name.

A stretch is let through if it has a surname outside an ordinary word, a word that the list knows as a name, sounds
of a foreign name in a row, a middle dot, or the end of a place or organisation outside an ordinary word; and whatever
the caller adds (a cue, a word that a segmenter calls a name). Meant to lose few names and most of the text that has
none. Not handled here: deciding (``tagger``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.characters import DOT, Codes
from fedward.common.desensitize.detectors.features import WordsHere, shapes
from fedward.common.desensitize.detectors.words import Kind

Mask = NDArray[np.bool_]

_PLACE_ENDS: Final = "省市县区镇乡村屯寨州路街巷弄里园苑庄湾岛江河湖山港院校局厅部委司行社厂店所馆中队会团站库"
_ORDINARY: Final = (Kind.PLAIN, Kind.VERB, Kind.TIME, Kind.IDIOM)
_NAMES: Final = (Kind.PERSON, Kind.PERHAPS_PERSON, Kind.FOREIGN, Kind.PLACE, Kind.ORGANISATION)
_SOUNDS_IN_A_ROW: Final = 3
_BODIES: Final = re.compile("医院|银行|公司|大学|学院|中学|小学|支行|分行|集团|法院|派出所|诊所|卫生院|药房|学校")
_COMMON, _RARE, _SOUND = 1, 2, 4
"""Bits of ``features.shapes``."""


def _bits(kinds: tuple[Kind, ...]) -> np.uint16:
    return np.uint16(sum(8 << kind for kind in kinds))


@cache
def _ends() -> Mask:
    table = np.zeros(0x10000, np.bool_)
    for character in _PLACE_ENDS:
        table[ord(character)] = True
    return table


def candidates(codes: Codes, here: WordsHere) -> Mask:
    """(N,) true where a name may begin or lie."""
    shape = shapes(codes)
    small = shape < 8 + 8
    ordinary = (here.within & _bits(_ORDINARY)) != 0
    free = ~ordinary
    found = ((here.within & _bits(_NAMES)) != 0) | (codes == DOT)
    found |= small & ((shape & _COMMON) != 0) & free
    # A rare surname is mostly a word of its own: it counts before a character that belongs to no word either.
    lone = free & np.concatenate([free[1:], [False]]) if len(free) else free
    found |= small & ((shape & _RARE) != 0) & lone
    sound = small & ((shape & _SOUND) != 0) & free
    run = sound.copy()
    for k in range(1, _SOUNDS_IN_A_ROW):
        run[k:] &= sound[:-k]
        run[:k] = False
    found |= run
    found |= _ends().take(codes.astype(np.intp)) & free
    return found


def bodies(text: str, codes: Codes, here: WordsHere) -> Mask:
    """(N,) true at a hospital, bank or school that has something before it which is no ordinary word."""
    found = np.zeros(len(codes), np.bool_)
    ordinary = (here.within & _bits(_ORDINARY)) != 0
    for match in _BODIES.finditer(text):
        before = match.start() - 1
        if before >= 0 and not ordinary[before] and 0x3400 <= int(codes[before]) < 0xA000:
            found[before] = True
    return found


@cache
def segmenter() -> Callable[[str], Any] | None:
    """The word segmenter of the extra ``zh``, where it is installed; the gate works without it and lets less through."""
    try:
        import rjieba  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    tag: Callable[[str], Any] = rjieba.tag
    return tag


def segmented(text: str, tag: Callable[[str], Any]) -> Mask:
    """(N,) true where the segmenter sees the name of a person."""
    found = np.zeros(len(text), np.bool_)
    place = 0
    for word, kind in tag(text):
        if kind.startswith("nr"):
            found[place : place + len(word)] = True
        place += len(word)
    return found


__all__ = ["bodies", "candidates", "Mask", "segmented", "segmenter"]
