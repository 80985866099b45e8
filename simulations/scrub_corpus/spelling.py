"""The many ways in which people write one and the same number."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random  # noqa: TID251  # reproducible fiction

ZERO_WIDTH = "\u200b"
NO_BREAK_SPACE = "\u00a0"
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def wide(text: str) -> str:
    """ASCII as full-width characters; a space stays."""
    return text.translate(_WIDE)


def grouped(value: str, shape: Sequence[int], separator: str) -> str:
    """``value`` cut into groups; what is left over is the last group."""
    parts, start = [], 0
    for size in shape:
        parts.append(value[start : start + size])
        start += size
    parts.append(value[start:])
    return separator.join(part for part in parts if part)


def spelled(rng: Random, value: str, shapes: Sequence[Sequence[int]], separators: str = " -") -> tuple[str, str]:
    """A spelling of ``value`` and its name: mostly plain, else grouped, full-width or with an unseen character."""
    draw = rng.random()
    if draw < 0.62 or (draw < 0.88 and not shapes):
        return value, "plain"
    if draw < 0.88:
        separator = rng.choice(separators)
        name = {" ": "spaced", "-": "hyphened", ".": "dotted"}.get(separator, "separated")
        return grouped(value, rng.choice(shapes), separator), name
    if draw < 0.94:
        return wide(value), "wide"
    if draw < 0.97 or not shapes:
        place = rng.randrange(1, len(value))
        return value[:place] + ZERO_WIDTH + value[place:], "zero-width"
    return grouped(value, rng.choice(shapes), NO_BREAK_SPACE), "no-break"
