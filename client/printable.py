"""Text of strangers for the terminal, which obeys some characters: names in a header, values of a plan, paths."""

from __future__ import annotations

import unicodedata

_REPLACEMENT = "\ufffd"


def printable(text: object, *, keep: str = "") -> str:
    """``text`` with a mark for every control, format and undecodable character but those in ``keep``."""
    return "".join(c if c in keep or unicodedata.category(c)[0] != "C" else _REPLACEMENT for c in str(text))


__all__ = ["printable"]
