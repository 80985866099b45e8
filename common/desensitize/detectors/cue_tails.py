"""How the words before a name end: three letters tell whether a search for a cue can succeed at all.

A pattern that must end where it is asked is tried by ``re`` at every character before; most words end otherwise than
any cue. Invariant: a text that a pattern matches ends in one of its tails, or holds letters beyond ASCII there.
Not handled here: patterns other than words, groups and optional parts; they have no tails, and are always asked.
"""

from __future__ import annotations

import re

_TAIL_CHARS = 3
_HEAD = r"(?i:\b(?:"
_PART = re.compile(r"\(\?:|\)|\||\\?[^()|]")
_MAX_PHRASES = 5000


class Tails:
    r"""The ends of what a pattern ``(?i:\b(?:words))`` with something behind it matches.

    Args:
        pattern: the compiled pattern.
        end: what stands in it behind its words.
    """

    def __init__(self, pattern: re.Pattern[str], end: str) -> None:
        source = pattern.pattern
        if not (source.startswith(_HEAD) and source.endswith("))" + end)):
            raise ValueError("not a pattern of words")
        phrases = _expanded(source[len(_HEAD) : -len("))" + end)])
        tails = {phrase[-_TAIL_CHARS:].lower() for phrase in phrases}
        self._tails = frozenset(tail for tail in tails if len(tail) == _TAIL_CHARS)
        self._short = tuple(sorted(tails - self._tails))

    def may_end(self, text: str) -> bool:
        """Whether ``text`` may end in one of the words."""
        last = text[-_TAIL_CHARS:]
        if not last.isascii():
            return True
        last = last.lower()
        return last in self._tails or last.endswith(self._short)


def before_blanks(text: str) -> str | None:
    """``text`` without one to three blanks at its end and one comma or colon before them; None without a blank."""
    word = text.rstrip()
    if not 0 < len(text) - len(word) <= 3:
        return None
    return word[:-1] if word[-1:] in (",", ":") else word


def _expanded(source: str) -> list[str]:
    """Every string that a pattern of letters, groups and optional parts matches."""
    phrases, rest = _alternatives(_PART.findall(source + ")"))
    if rest or len(phrases) > _MAX_PHRASES:
        raise ValueError("not a pattern of words")
    return phrases


def _alternatives(parts: list[str]) -> tuple[list[str], list[str]]:
    """What ``parts`` up to the closing bracket match, and the parts behind it."""
    every: list[str] = []
    here = [""]
    while parts:
        part, parts = parts[0], parts[1:]
        if part == "(?:":
            inside, parts = _alternatives(parts)
        elif part == ")":
            return every + here, parts
        elif part == "|":
            every, here = every + here, [""]
            continue
        elif len(part) == 1 and part in "[]{}*+.^$?\\":
            raise ValueError("not a pattern of words")
        else:
            inside = [part[-1]]
        if parts and parts[0] == "?":
            inside, parts = ["", *inside], parts[1:]
        here = [head + tail for head in here for tail in inside]
    raise ValueError("not a pattern of words")


__all__ = ["before_blanks", "Tails"]
