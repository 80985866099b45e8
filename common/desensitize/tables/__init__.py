"""Facts that the room needs: allotted prefixes, county codes, names, places, issuers.

A table is a JSON file; its digest is the SHA-256 of the file's bytes. Those that enter a rank order (``RANKING``) are
versioned and their digest stands in a key descriptor: another table would be another permutation, so old versions
stay shipped and a mismatch is refused. Not handled here: where the facts come from (``build``).
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

TABLES = (
    "cards",
    "cn_mobile.v1",
    "cn_regions.v1",
    "hanzi",
    "names_en",
    "names_zh",
    "orgs",
    "phone",
    "places",
    "us_states",
)
RANKING = ("cn_mobile.v1", "cn_regions.v1")
"""Tables whose order enters format-preserving encryption."""


@cache
def read_table(name: str) -> dict[str, Any]:
    """The table, parsed once a process; callers do not change it.

    Raises:
        KeyError: no such table.
    """
    table: dict[str, Any] = json.loads(_bytes(name))
    return table


@cache
def digest(name: str) -> str:
    """SHA-256 of the table's file, in hex."""
    return hashlib.sha256(_bytes(name)).hexdigest()


@cache
def ranking_digest() -> str:
    """SHA-256 over the digests of the ranking tables in order, in hex: what a key descriptor holds."""
    return hashlib.sha256("".join(f"{name}={digest(name)}\n" for name in RANKING).encode()).hexdigest()


@cache
def tables_digest() -> str:
    """SHA-256 over the digests of all tables, in hex: what a report holds."""
    return hashlib.sha256("".join(f"{name}={digest(name)}\n" for name in TABLES).encode()).hexdigest()


@cache
def mobile_blocks() -> tuple[str, ...]:
    """Allotted mobile prefixes of China, prefix-free and ascending."""
    return tuple(read_table("cn_mobile.v1")["blocks"])


@cache
def county_codes(*, in_force: bool = False) -> tuple[str, ...]:
    """Six-digit county codes ever issued (6,298), or those in force (3,137), ascending."""
    grouped = read_table("cn_regions.v1")["open" if in_force else "all"]
    return tuple(prefix + ends[i : i + 2] for prefix, ends in grouped.items() for i in range(0, len(ends), 2))


@cache
def area_codes() -> dict[str, tuple[int, ...]]:
    """Area codes of China without the leading zero, with the lengths of their numbers."""
    return {code: tuple(lengths) for code, lengths in read_table("phone")["area"].items()}


@cache
def to_simplified() -> dict[int, str]:
    """For ``str.translate``: Traditional to Simplified, character by character. Lengths stay."""
    table = read_table("hanzi")
    return {ord(t): s for t, s in zip(table["traditional"], table["simplified"], strict=True)}


def simplified(text: str) -> str:
    """``text`` with Traditional characters as Simplified ones, character by character; its length stays.

    Most texts have none, and looking for one is several times faster than mapping every character (measured).
    """
    if text.isascii() or not _traditional().search(text):
        return text
    return text.translate(to_simplified())


@cache
def _traditional() -> re.Pattern[str]:
    return re.compile(f"[{''.join(re.escape(chr(code)) for code in to_simplified())}]")


@cache
def to_traditional() -> dict[int, str]:
    """For ``str.translate``: the characters of our name tables as a Traditional text writes them."""
    table = read_table("hanzi")
    return {ord(s): t for s, t in zip(table["name_simplified"], table["name_traditional"], strict=True)}


def _bytes(name: str) -> bytes:
    if name not in TABLES:
        raise KeyError(name)
    return files(__package__).joinpath(f"{name}.json").read_bytes()


__all__ = [
    "area_codes",
    "county_codes",
    "digest",
    "mobile_blocks",
    "RANKING",
    "ranking_digest",
    "read_table",
    "simplified",
    "TABLES",
    "tables_digest",
    "to_simplified",
    "to_traditional",
]
