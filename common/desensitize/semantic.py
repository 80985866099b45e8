"""The semantic layer: words of general language exchanged, sentences put another way. It carries no formal guarantee.

It makes copying and linking harder; a reader or a model may undo it. Invariants: at most ``rate`` of the unprotected
words change; per sentence every protected span and every negation comes out unchanged and complete, else the sentence
stays as it was; the same seed gives the same text. Not handled here: surrogates, which are carried along, and the
guarantee of a run, which comes from differentially private training.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.edits import Edited, Piece, Place, carry, compose, replaced
from fedward.common.desensitize.protection import (
    Word,
    listed_words,
    negations,
    protected_spans,
    synonyms,
    words_between,
)
from fedward.common.desensitize.sentence_rules import rewrites
from fedward.common.desensitize.term_finder import lower

MAX_RATE = 0.10
_SENTENCE = re.compile(r"[^。！？\n]*?(?:[。！？\n]+|[.!?]+(?=\s)\s*|\Z)", re.DOTALL)
_OPENING = "，。；、：！？,.;:!?\n \u3000“”\"'（("


class Paraphraser(Protocol):
    """A local model that may be plugged in, under the same condition."""

    def paraphrase(self, sentence: str) -> str:
        """Another wording; the sentence stays if a protected span is not in it."""


class _Change(NamedTuple):
    sentence: int
    cost: int
    pieces: tuple[Piece, ...] | None
    """Of the whole sentence; None: the edit."""
    edit: tuple[int, int, str]


def rephrase(
    text: str, issued: Sequence[Place], draw: KeyedStream, *, rate: float, paraphraser: Paraphraser | None = None
) -> Edited:
    """Exchange words and put sentences another way.

    Args:
        issued: where surrogates and placeholders stand, disjoint; they come back in ``carried``.
        draw: seeded by the document.
        rate: share of unprotected words that may change, at most 0.10.

    Raises:
        ValueError: the rate is outside [0, 0.10].
    """
    if not 0 <= rate <= MAX_RATE:
        raise ValueError(f"semantic rate = {rate!r}: expected a number from 0 to {MAX_RATE}")
    protected = protected_spans(text, issued)
    words = words_between(text, protected)
    budget = int(rate * len(words))
    if budget == 0:
        return Edited(text=text, carried=tuple(issued))
    sentences = [found.span() for found in _SENTENCE.finditer(text) if found.end() > found.start()]
    chosen = _choose(_changes(text, words, sentences, draw, paraphraser), budget, draw)
    pieces: list[Piece] = []
    changed = 0
    for index, sentence in enumerate(sentences):
        changes = chosen.get(index, [])
        new = _pieces_of(changes, sentence)
        if changes and _is_faithful(text, sentence, new, issued, protected):
            pieces += new
            changed += sum(change.cost for change in changes)
        else:
            pieces.append(sentence)
    carried = carry(pieces, issued)
    if carried is None:  # every sentence was looked at, so this is a fault; the text stays
        return Edited(text=text, carried=tuple(issued))
    return Edited(text=compose(text, pieces), carried=carried, num_changed=changed)


def _choose(changes: Sequence[_Change], budget: int, draw: KeyedStream) -> dict[int, list[_Change]]:
    """In a drawn order, what the budget holds; a sentence is either put another way or has words exchanged."""
    order = sorted((draw.bits64(), place) for place in range(len(changes)))
    chosen: dict[int, list[_Change]] = {}
    for _, place in order:
        change = changes[place]
        others = chosen.get(change.sentence, [])
        alone = change.pieces is not None or any(other.pieces is not None for other in others)
        if change.cost <= budget and not (others and alone):
            chosen.setdefault(change.sentence, []).append(change)
            budget -= change.cost
    return chosen


def _changes(
    text: str,
    words: Sequence[Word],
    sentences: Sequence[Place],
    draw: KeyedStream,
    paraphraser: Paraphraser | None,
) -> list[_Change]:
    starts = [start for start, _ in sentences]
    changes: list[_Change] = []
    for edit in _exchanges(text, words, draw):
        index = bisect_right(starts, edit[0]) - 1
        if edit[1] <= sentences[index][1]:
            changes.append(_Change(index, 1, None, edit))
    word_starts = [word.start for word in words]
    for index, (start, end) in enumerate(sentences):
        for way in rewrites(text, start, end):
            changes.append(_Change(index, way.num_moved, way.pieces, (0, 0, "")))
        num_words = bisect_left(word_starts, end) - bisect_left(word_starts, start)
        if paraphraser is not None and num_words:
            new = paraphraser.paraphrase(text[start:end])
            changes.append(_Change(index, num_words, (new,), (0, 0, "")))
    return changes


def _pieces_of(changes: Sequence[_Change], sentence: Place) -> list[Piece]:
    for change in changes:
        if change.pieces is not None:
            return list(change.pieces)
    return replaced(sorted(change.edit for change in changes), sentence[1], sentence[0])


def _is_faithful(
    text: str, sentence: Place, pieces: Sequence[Piece], issued: Sequence[Place], protected: Sequence[Place]
) -> bool:
    """Surrogates whole, and the protected spans and negations of the new sentence those of the old one."""
    inside = [
        span for span in issued if sentence[0] <= span[0] and span[1] <= sentence[1] and span != (sentence[1],) * 2
    ]
    carried = carry(pieces, inside)
    if carried is None:
        return False
    old, new = text[sentence[0] : sentence[1]], compose(text, pieces)
    at_home = [(start - sentence[0], end - sentence[0]) for start, end in inside]
    if _texts(new, negations(new)) != _texts(old, negations(old)):
        return False
    before = _texts(old, protected_spans(old, at_home))
    # The sentence by itself and within its text must agree, or a span reaches over its edge.
    within = Counter(
        text[max(s, sentence[0]) : min(e, sentence[1])] for s, e in protected if s < sentence[1] and e > sentence[0]
    )
    return before == within == _texts(new, protected_spans(new, carried))


def _texts(text: str, spans: Sequence[Place]) -> Counter[str]:
    return Counter(text[start:end] for start, end in spans)


def _exchanges(text: str, words: Sequence[Word], draw: KeyedStream) -> Iterator[tuple[int, int, str]]:
    """Every word that has a synonym and stands where the lists can tell that it is one."""
    low = lower(text)
    for index, word in enumerate(words):
        written = text[word.start : word.end]
        language = "en" if written[0].isascii() else "zh"
        others = synonyms(language).get(written if language == "zh" else written.lower())
        if not others:
            continue
        if language == "zh":
            if _is_parted(text, low, words, index):
                yield word.start, word.end, draw.choice(others)
        elif (new := _english_form(text, word, draw.choice(others))) is not None:
            yield word.start, word.end, new


def _is_parted(text: str, low: str, words: Sequence[Word], index: int) -> bool:
    """A listed word or punctuation before it, and no listed word that reaches over its end."""
    word = words[index]
    before = words[index - 1] if index else None
    begins = word.start == 0 or text[word.start - 1] in _OPENING
    if not begins and not (before is not None and before.end == word.start and before.is_listed):
        return False
    finder, end = listed_words(), min(len(text), word.end + 6)
    return not any(finder.longest(text, low, place, end) > word.end for place in range(word.start + 1, word.end))


def _english_form(text: str, word: Word, new: str) -> str | None:
    """``new`` with the capital of the old word; None where spelling, capitals or an article forbid it."""
    written = text[word.start : word.end]
    around = text[word.start - 1 : word.start] + text[word.end : word.end + 1]
    if any(character.isalnum() or character in "_@/-" for character in around):
        return None
    article = re.search(r"\b(an?) $", text[max(0, word.start - 4) : word.start], re.IGNORECASE)
    if article and (article[1].lower() == "an") != (new[0] in "aeiou"):
        return None
    if written.islower():
        return new
    return new.capitalize() if written[1:].islower() and _begins_sentence(text, word.start) else None


def _begins_sentence(text: str, start: int) -> bool:
    """A capital elsewhere may be a name's (Will, Long)."""
    before = text[:start].rstrip(" ") if start < 200 else text[start - 200 : start].rstrip(" ")
    return not before or before[-1] in ".!?\n。！？"


__all__ = ["MAX_RATE", "Paraphraser", "rephrase"]
