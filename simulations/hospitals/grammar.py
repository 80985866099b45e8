"""A tiny text grammar: ``{slot}`` becomes one alternative of its rule, ``{low-high}`` becomes a number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from fedward.common.errors import ConfigError
from fedward.simulations.hospitals.seeded import Random

Rules = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def expand(template: str, rules: Rules, rng: Random) -> str:
    """Fill every slot of ``template``; the chosen alternatives may hold slots themselves.

    Within one call an alternative of the same rule is not repeated before all of them have been used, so that a note
    does not list one symptom twice. ``{Slot}`` is ``{slot}`` with its first letter in upper case.

    Raises:
        ConfigError: a slot is neither a rule nor a range.
    """
    return _expand(template, rules, rng, {})


def _expand(template: str, rules: Rules, rng: Random, decks: dict[str, list[str]]) -> str:
    text = []
    for place, part in enumerate(_parts(template)):
        text.append(_fill(part, rules, rng, decks) if place % 2 else part)
    return "".join(text)


def _fill(slot: str, rules: Rules, rng: Random, decks: dict[str, list[str]]) -> str:
    if slot in rules:
        deck = decks.get(slot)
        if not deck:
            deck = decks[slot] = rng.sample(rules[slot], len(rules[slot]))
        return _expand(deck.pop(), rules, rng, decks)
    lower = slot[0].lower() + slot[1:]
    if lower in rules:
        text = _fill(lower, rules, rng, decks)
        return text[:1].upper() + text[1:]
    number = _RANGE.fullmatch(slot)
    if number is None:
        raise ConfigError(f"the grammar has no rule for {{{slot}}}")
    return _number(number[1], number[2], rng)


def _number(low: str, high: str, rng: Random) -> str:
    if "." in low:
        return f"{rng.uniform(float(low), float(high)):.1f}"
    return str(rng.randint(int(low), int(high)))


@lru_cache(maxsize=4096)
def _parts(template: str) -> tuple[str, ...]:
    """Split into literal, slot, literal, slot, …; the literals are at even places."""
    return tuple(_SLOT.split(template))


__all__ = ["expand", "Rules"]
