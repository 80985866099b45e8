"""k-anonymity of the quasi-identifiers (L. Sweeney, 2002), and what would raise it.

A class is all rows with the same values in the quasi-identifying columns. Invariants: counts only, no value comes out.
Not handled here: quasi-identifiers in prose, and what a class says of its members if all share an attribute.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

K_LEAST = 5
_YEAR = re.compile(r"^\D{0,3}((?:19|20)[0-9]{2})(?:\D|[0-9]{4}$)")
_AREA = re.compile(r"^(.{2,8}?(?:省|自治区|市|州|盟))")
_BAND = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """What one generalisation would do, by itself."""

    columns: tuple[str, ...]
    how: str
    """year, band of 10, three digits, first level, first letter, drop or all of these."""
    k_min: int
    share_below: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KAnonymity:
    """Sizes of the classes."""

    columns: tuple[str, ...]
    num_rows: int
    num_classes: int
    k_min: int
    """0 for a table without rows."""
    share_below: float
    """Share of the rows that are in a class of fewer than 5."""
    sizes: tuple[tuple[int, int], ...]
    """(size, number of classes), smallest first."""
    suggestions: tuple[Suggestion, ...] = ()
    """Best first; none where no row is below 5."""


def k_anonymity(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> KAnonymity:
    """Measure ``rows``; a missing value is a value of its own.

    Args:
        columns: the quasi-identifying ones, as they leave the site; none: all rows are one class.
    """
    table = [tuple(_plain(row.get(name)) for name in columns) for row in rows]
    sizes = Counter(table)
    k_min, share = _measure(sizes, len(table))
    suggestions = _suggest(table, tuple(columns)) if share else ()
    return KAnonymity(
        columns=tuple(columns), num_rows=len(table), num_classes=len(sizes), k_min=k_min, share_below=share,
        sizes=tuple(sorted(Counter(sizes.values()).items())), suggestions=suggestions,
    )  # fmt: skip


def _suggest(table: Sequence[tuple[str, ...]], columns: tuple[str, ...]) -> tuple[Suggestion, ...]:
    coarser = list(table)
    found = []
    for index, name in enumerate(columns):
        how, rule = _coarsening([row[index] for row in table])
        for label, change in ((how, rule), ("drop", _drop)):
            changed = [(*row[:index], change(row[index]), *row[index + 1 :]) for row in table]
            k_min, share = _measure(Counter(changed), len(table))
            found.append(Suggestion(columns=(name,), how=label, k_min=k_min, share_below=share))
        coarser = [(*row[:index], rule(row[index]), *row[index + 1 :]) for row in coarser]
    k_min, share = _measure(Counter(coarser), len(table))
    found.append(Suggestion(columns=columns, how="all of these", k_min=k_min, share_below=share))
    # A column is not dropped where something milder does as much.
    return tuple(sorted(set(found), key=lambda s: (s.share_below, s.how == "drop", len(s.columns), s.columns, s.how)))


def _coarsening(values: Sequence[str]) -> tuple[str, Callable[[str], str]]:
    filled = [value for value in values if value]

    def most(test: Callable[[str], object]) -> bool:
        return bool(filled) and sum(bool(test(value)) for value in filled) >= 0.9 * len(filled)

    if most(_YEAR.match):
        return "year", _year
    if most(lambda v: v.isdigit() and len(v) in (5, 6)):
        return "three digits", lambda v: v[:3]
    if most(lambda v: re.fullmatch(r"-?[0-9]{1,9}(?:\.[0-9]+)?", v)):
        return f"band of {_BAND}", _band
    if most(_AREA.match):
        return "first level", _area
    return "drop", _drop


def _year(value: str) -> str:
    found = _YEAR.match(value)
    return found[1] if found else value


def _band(value: str) -> str:
    try:
        return str(int(float(value)) // _BAND)
    except ValueError:
        return value


def _area(value: str) -> str:
    found = _AREA.match(value)
    return found[1] if found else value


def _drop(_: str) -> str:
    return ""


def _plain(value: object) -> str:
    return "" if value is None else str(value).strip()


def _measure(sizes: Counter[tuple[str, ...]], num_rows: int) -> tuple[int, float]:
    if not num_rows:
        return 0, 0.0
    return min(sizes.values()), sum(size for size in sizes.values() if size < K_LEAST) / num_rows


__all__ = ["k_anonymity", "K_LEAST", "KAnonymity", "Suggestion"]
