"""Compact word lists of our own, as package data, and the one way to read them.

Invariants: general language, common terms of medicine and finance, cues and labels; no person, no place below a city
and nothing taken from a foreign list. Read once, then frozen.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def word_list(name: str) -> Mapping[str, tuple[str, ...]]:
    """The tables of ``<name>.toml``: each key with its words, in the order of the file."""
    raw = (files(__name__) / f"{name}.toml").read_text("utf-8")
    return MappingProxyType({key: tuple(_words(value)) for key, value in tomllib.loads(raw).items()})


def _words(value: str | list[str]) -> list[str]:
    """Lists as they are; a string is split at ``|`` where it has one, for its words hold blanks, else at blanks."""
    if isinstance(value, list):
        return value
    return [word for part in value.split("|") if (word := " ".join(part.split()))] if "|" in value else value.split()


__all__ = ["word_list"]
