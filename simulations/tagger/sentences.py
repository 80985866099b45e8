"""What the shipped tagger learns from beside our templates: random words, and consultations with names put in.

Both hold invented names only. Equal seed, equal sentences. Not handled here: the templates (``generated``).
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fedward.common.desensitize.detectors.corpora import Sentence
from fedward.common.desensitize.detectors.generated import Draws, Maker
from fedward.common.desensitize.detectors.lac import load_lac
from fedward.common.desensitize.spans import EntityType
from fedward.simulations.tagger.dictionary import Dictionary

Marks = list[tuple[int, int, str]]

_BREAKS: Final = "，，，、，。“”（）"
_WHO: Final = re.compile("医生|大夫|患者|病人|我妈妈|我母亲|我父亲|我爸爸|我老公|我妻子|孩子|宝宝|他|她|我(?!们)")
_NO_HOSPITAL: Final = tuple("医院 专 正规 当地 大医 西医 三甲 综合 复查 医科 您 市 本".split())  # noqa: SIM905
_ONE_IN: Final = 6


def random_words(dictionary: Dictionary, maker: Maker, draws: Draws, count: int) -> Iterator[Sentence]:
    """Sentences without a meaning: what they teach is which words are no names, and what names look like."""
    plain = list(dictionary.plain)
    # The power flattens the frequencies: rare words are where a tagger errs.
    totals = list(itertools.accumulate(number**0.7 for number in dictionary.plain.values()))

    def word() -> tuple[str, str]:
        kind = draws.below(100)
        if kind < 7:
            return maker.fill("P") if draws.below(3) else (draws.of(dictionary.people), "PERSON")
        if kind < 9:
            return maker.fill("F")
        if kind < 14:
            return (draws.of(dictionary.places), "LOC") if draws.below(3) else maker.fill("L")
        if kind < 18:
            return (draws.of(dictionary.organisations), "ORG") if draws.below(2) else maker.fill("O")
        if kind < 26:
            return draws.of(_BREAKS), ""
        if kind < 30:
            return maker.fill("T")
        place = draws.below(1 << 30) / (1 << 30) * totals[-1]
        return plain[min(bisect.bisect(totals, place), len(plain) - 1)], ""

    for _ in range(count):
        text, marks = "", Marks()
        for _ in range(4 + draws.below(14)):
            value, type_ = word()
            if type_ and marks and marks[-1][1] == len(text):
                text += "、"
            if type_:
                marks.append((len(text), len(text) + len(value), type_))
            text += value
        yield Sentence(text + "。", tuple(marks))


def consultations(path: Path, maker: Maker, draws: Draws) -> list[Sentence]:
    """Sentences of real questions and answers (JSONL with title, question, text), one in six with a name put in.

    The text names hardly anyone, and nearly all that LAC takes for a person there is a drug: its people are left out,
    and of its places and organisations those that are well known or end like a hospital are kept.
    """
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    texts = dict.fromkeys(row[key].strip() for row in rows for key in ("title", "question", "text"))
    pieces = [piece for text in texts for piece in re.split(r"(?<=[。！？\n])", text) if piece.strip()]
    known = maker.known_places()
    result = []
    for text, found in zip(pieces, load_lac().names(pieces), strict=True):
        marks = [(a, b, t.value) for a, b, t in found if _kept(text[a:b], t, known)]
        result.append(
            _with_name(text, marks, maker, draws) if draws.below(_ONE_IN) == 0 else Sentence(text, tuple(marks))
        )
    return result


def _kept(name: str, type_: EntityType, known: frozenset[str]) -> bool:
    if type_ is EntityType.ORG:
        return len(name) >= 4 and name.endswith(("医院", "大学", "公司")) and not name.startswith(_NO_HOSPITAL)
    return type_ is EntityType.LOC and name in known


def _with_name(text: str, marks: Marks, maker: Maker, draws: Draws) -> Sentence:
    spots = [m for m in _WHO.finditer(text) if not any(a < m.end() and m.start() < b for a, b, _ in marks)]
    if not spots:
        return Sentence(text, tuple(marks))
    spot = spots[draws.below(len(spots))]
    who = spot.group()
    before, after = "", ""
    if who in ("医生", "大夫"):
        name, after = (maker.fill("S") if draws.below(4) else maker.fill("P"))[0], who
    elif who in ("患者", "病人"):
        name, before = maker.fill("P")[0], who
    else:
        name = maker.fill("P")[0] if draws.below(5) else draws.of("老小") + maker.fill("S")[0]
    moved = len(before) + len(name) + len(after) - len(who)
    shifted = [(a + moved, b + moved, t) if a >= spot.end() else (a, b, t) for a, b, t in marks]
    start = spot.start() + len(before)
    written = text[: spot.start()] + before + name + after + text[spot.end() :]
    return Sentence(written, tuple(sorted([*shifted, (start, start + len(name), "PERSON")])))


__all__ = ["consultations", "random_words"]
