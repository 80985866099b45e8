"""Search for many literals in one text, blind to separators, case, accents and Traditional characters.

A text is squeezed once: separators go, the rest is lower case, Simplified and without accents. A literal is squeezed
the same way and searched by ``str.find``, or beyond a few dozen by one pass of Aho-Corasick; both give every
occurrence, so the result is the same. The way back to the text is built for the first hit only.

Not handled here: which occurrences count (``known``).
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, Final

from fedward.common.desensitize.tables import to_simplified

SEPARATORS: Final = " \t\n\r\u3000-\u2010\u2011\u2013\u2014._,'\u2019`·•・‧∙/()（）"
"""What may stand between the characters of a value without changing it."""
_IS_SEPARATOR = re.compile("[" + re.escape(SEPARATORS) + "]").finditer
_USUAL: Final = ((0x20, 0x7F), (0x3000, 0x3020), (0x4E00, 0xA000), (0xFF00, 0xFF60))
_MAX_GAP: Final = 3
MAX_FIND: Final = 50
"""Above so many literals one pass beats one ``find`` each."""


@cache
def _table() -> dict[int, int | None]:
    """Character by character, never one to many: places in the squeezed text stay places in the text."""
    # A character that a table lacks costs ``translate`` an exception, ten times a look-up: the usual ones are in it.
    table: dict[int, int | None] = {code: code for first, last in _USUAL for code in range(first, last)}
    table |= {code: ord(character) for code, character in to_simplified().items()}
    for code in (*range(0x41, 0x5B), *range(0xC0, 0x530), *range(0x1E00, 0x2000)):
        base = unicodedata.normalize("NFD", chr(code))[0].lower()
        if len(base) == 1:
            table[code] = ord(base)
    return (
        table
        | {ord(c): ord(s) for c, s in zip("ØøŁłĐđıþÞ", "oollddipp", strict=True)}
        | dict.fromkeys(map(ord, SEPARATORS))
    )


def squeeze(text: str) -> str:
    """``text`` without separators, in lower case, Simplified, without accents."""
    return text.translate(_table())


class Squeezed:
    """A text squeezed, and where its characters come from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.squeezed = squeeze(text)

    @cached_property
    def _separators(self) -> list[int]:
        return [match.start() for match in _IS_SEPARATOR(self.text)]

    @cached_property
    def _kept_before(self) -> list[int]:
        """How many characters are kept before each separator: separators are fewer than other characters."""
        return [place - i for i, place in enumerate(self._separators)]

    def _source(self, place: int) -> int:
        """Where a squeezed character comes from."""
        return place + bisect_right(self._kept_before, place)

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """The characters of ``text`` behind ``squeezed[start:end]``; None if they are too far apart to be one value."""
        first, last = self._source(start), self._source(end - 1)
        if last - first >= end - start and any(
            after - before > _MAX_GAP + 1 for before, after in pairwise(map(self._source, range(start, end)))
        ):
            return None
        return first, last + 1

    def place(self, position: int) -> int:
        """How many characters of ``squeezed`` come from before ``text[position]``."""
        return position - bisect_left(self._separators, position)


class Literals:
    """A set of squeezed literals; empty ones are ignored.

    Args:
        literals: squeezed.
        one_pass: None: decided by their number.
    """

    def __init__(self, literals: Iterable[str], *, one_pass: bool | None = None) -> None:
        self._literals = sorted({literal for literal in literals if literal})
        many = len(self._literals) > MAX_FIND if one_pass is None else one_pass
        self._automaton = _automaton(self._literals) if many and self._literals else None

    def occurrences(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Every occurrence in a squeezed text as (start, end, literal), overlapping ones too, in no order."""
        if self._automaton is not None:
            for last, literals in self._automaton.iter(text):
                for literal in literals:
                    yield last + 1 - len(literal), last + 1, literal
            return
        for literal in self._literals:
            start = text.find(literal)
            while start >= 0:
                yield start, start + len(literal), literal
                start = text.find(literal, start + 1)


def _automaton(literals: list[str]) -> Any:  # noqa: ANN401 - ours, or the library's if it is there
    try:
        library = importlib.import_module("ahocorasick")
    except ImportError:
        return AhoCorasick(literals)
    automaton = library.Automaton()
    for literal in literals:
        automaton.add_word(literal, literal)
    automaton.make_automaton()
    return _Library(automaton)


class _Library:
    """pyahocorasick with the answers of ``AhoCorasick``."""

    def __init__(self, automaton: Any) -> None:  # noqa: ANN401 - untyped extension
        self._automaton = automaton

    def iter(self, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        for last, literal in self._automaton.iter(text):
            yield last, (literal,)


class AhoCorasick:
    """Every occurrence of many literals in one pass (Aho and Corasick, 1975); time linear in text and hits."""

    def __init__(self, literals: Iterable[str]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._fail = [0]
        self._out: list[tuple[str, ...]] = [()]
        for literal in literals:
            self._add(literal)
        self._link()

    def _add(self, literal: str) -> None:
        state = 0
        for character in literal:
            if character not in self._next[state]:
                self._next[state][character] = len(self._next)
                self._next.append({})
                self._fail.append(0)
                self._out.append(())
            state = self._next[state][character]
        self._out[state] = (*self._out[state], literal)

    def _link(self) -> None:
        queue = deque(self._next[0].values())
        while queue:
            state = queue.popleft()
            for character, after in self._next[state].items():
                fallback = self._fail[state]
                while fallback and character not in self._next[fallback]:
                    fallback = self._fail[fallback]
                target = self._next[fallback].get(character, 0)
                self._fail[after] = target if target != after else 0
                self._out[after] += self._out[self._fail[after]]
                queue.append(after)

    def iter(self, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """For each place where literals end: its index and the literals."""
        state = 0
        for index, character in enumerate(text):
            while state and character not in self._next[state]:
                state = self._fail[state]
            state = self._next[state].get(character, 0)
            if self._out[state]:
                yield index, self._out[state]


__all__ = ["AhoCorasick", "Literals", "MAX_FIND", "SEPARATORS", "squeeze", "Squeezed"]
