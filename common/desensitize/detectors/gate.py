"""Which stretches of Chinese text are worth the tagger's time: those with anything that may be a name.

A stretch is let through if it has a surname outside an ordinary word, a word that the list knows as a name, sounds
of a foreign name in a row, a middle dot, two characters side by side that belong to no word, letters, or the end of a
place or organisation; and whatever the caller adds (a cue). Meant to lose few names and most of the text that has
none. A segmenter's tags (rjieba) were tried and left out: asking it costs more than tagging everything (measured).
Not handled here: deciding (``tagger``).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.characters import DOT, LOWER, UPPER, Codes
from fedward.common.desensitize.detectors.features import WordsHere, shapes
from fedward.common.desensitize.detectors.words import Kind

Mask = NDArray[np.bool_]

_PLACE_ENDS: Final = "省市县区镇乡村屯寨州路街巷弄里园苑庄湾岛江河湖山港院校局厅部委司行社厂店所馆中队会团站库"
_WORD_ENDS: Final = "局委军报署社党厅校馆岛庙桥寺宫园盟队厦视协联银"
"""Ends of places and organisations that are telling at the end of an ordinary word as well."""
_FUNCTION_WORDS: Final = (
    "的了是在我你他她它您们这那有不就也都和与及或很要会能可以到说去来把被让给从向对于吗呢吧啊呀哦一个上下大小多少好还没再又才后前中为因而且但"
    "只如若吃用做看问想请叫"
)
"""They stand alone in every sentence."""
_ORDINARY: Final = (Kind.PLAIN, Kind.VERB, Kind.TIME, Kind.IDIOM)
_NAMES: Final = (Kind.PERSON, Kind.PERHAPS_PERSON, Kind.FOREIGN, Kind.PLACE, Kind.ORGANISATION)
_SOUNDS_IN_A_ROW: Final = 3
_BODIES: Final = re.compile("医院|银行|公司|大学|学院|中学|小学|支行|分行|集团|法院|派出所|诊所|卫生院|药房|学校")
_COMMON, _RARE, _SOUND = 1, 2, 4
"""Bits of ``features.shapes``."""


def _bits(kinds: tuple[Kind, ...]) -> np.uint16:
    return np.uint16(sum(8 << kind for kind in kinds))


def _table(characters: str) -> Mask:
    table = np.zeros(0x10000, np.bool_)
    table[[ord(character) for character in characters]] = True
    return table


@cache
def _ends() -> Mask:
    return _table(_PLACE_ENDS)


@cache
def _function_words() -> Mask:
    return _table(_FUNCTION_WORDS)


@cache
def _closing_ends() -> Mask:
    return _table(_WORD_ENDS)


def candidates(codes: Codes, here: WordsHere) -> Mask:
    """(N,) true where a name may begin or lie."""
    shape = shapes(codes)
    han = (codes >= 0x3400) & (codes < 0xA000)
    ordinary = (here.within & _bits(_ORDINARY)) != 0
    free = ~ordinary
    found: Mask = ((here.within & _bits(_NAMES)) != 0) | (codes == DOT)
    found |= han & ((shape & _COMMON) != 0) & free
    # A rare surname is mostly a word of its own: it counts before a character that belongs to no word either.
    lone = free & np.concatenate([free[1:], [False]]) if len(free) else free
    found |= han & ((shape & _RARE) != 0) & lone
    sound = han & ((shape & _SOUND) != 0) & free
    run = sound.copy()
    for k in range(1, _SOUNDS_IN_A_ROW):
        run[k:] &= sound[:-k]
        run[:k] = False
    found |= run
    bare = free & ~_function_words().take(codes.astype(np.intp))
    found[1:] |= bare[1:] & bare[:-1] & han[1:] & han[:-1]
    letters = (codes == LOWER) | (codes == UPPER)
    found[2:] |= letters[2:] & letters[1:-1] & letters[:-2]
    closing = (here.within & np.uint16(2)) != 0
    places = codes.astype(np.intp)
    found |= (_ends().take(places) & free) | (_closing_ends().take(places) & closing)
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


__all__ = ["bodies", "candidates", "Mask"]
