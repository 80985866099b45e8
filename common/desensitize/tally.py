"""What a run counts: never a value, a record or an offset, so that counts may be kept, sent between processes, shown.

Adding tallies gives the same sum in any order, so the number of workers shows nowhere. Not handled here: what the
counts mean (``report``).
"""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Result
from fedward.common.desensitize.spans import Level

MAX_HANDLES = 200
"""Low-confidence items that a report names by a keyed handle; of more only the number is given."""
MAX_CLASSES = 1_000_000
"""Combinations of quasi-identifiers that are told apart; beyond, k-anonymity is not measured."""
MAX_COLUMNS = 10_000
"""Columns that are told apart; of records that have names of their own the others are one, ``OTHER_COLUMNS``."""
OTHER_COLUMNS = "\u2026"
HANDLE_BYTES = 8
MAX_PERSONS = 100
"""People of one combination that are told apart: from here on it is a crowd, and memory must stay flat."""
OF_PERSON = "/"
_SEPARATOR = "\x1f"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of some records. Mutable: one is filled for each chunk, and added to the run's."""

    records: int = 0
    failed: int = 0
    """Left out by the leak check."""
    refused: int = 0
    """Left out because they could not be read (``--skip-bad``)."""
    texts: int = 0
    characters: int = 0
    changed: int = 0
    """Characters of the sources that were replaced."""
    unseen: int = 0
    """Characters of texts that no names model read."""
    hits: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    """By type, method, level and action."""
    issues: Counter[str] = field(default_factory=Counter)
    leaks: Counter[str] = field(default_factory=Counter)
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Values of columns, by column and action."""
    quasi: Counter[str] = field(default_factory=Counter)
    """Values of columns that k-anonymity counts, by column."""
    low: Counter[str] = field(default_factory=Counter)
    """Handles of hits at the lowest level, for a review that has the key."""
    classes: Counter[str] = field(default_factory=Counter)
    """Records by handle of a combination of quasi-identifiers; and, behind ``OF_PERSON`` with a person's handle, those
    of each of its first ``MAX_PERSONS`` people."""
    _persons: Counter[str] = field(default_factory=Counter, repr=False, compare=False)
    """How many people of each combination are told apart."""

    def add_result(self, result: Result, keys: ScrubKeys) -> None:
        """Count one text."""
        self.texts += 1
        self.characters += len(result.source)
        self.unseen += 0 if result.seen_by_tagger else len(result.source)
        self.leaks.update(result.leaks)
        self.issues["coincidence"] += result.coincidences
        self.issues["redrawn"] += result.redraws
        for item in result.issued:
            span = item.span
            self.changed += span.end - span.start
            self.hits[span.type.value, span.method, int(span.level), item.action.value] += 1
            if item.issue is not None:
                self.issues[item.issue] += 1
            if span.level <= Level.PATTERN and len(self.low) < MAX_HANDLES:
                original = Document.of(result.source[span.start : span.end]).text
                self.low[audit_handle(keys, span.type.value, original)] += 1
        for span in result.kept:
            self.hits[span.type.value, span.method, int(span.level), "keep"] += 1

    def add_class(self, handle: str, person: str = "") -> None:
        """Count one record of a combination of quasi-identifiers.

        Args:
            person: handle of whose record it is; empty: nobody says.
        """
        self._count_class(handle, 1)
        if person:
            self._count_class(f"{handle}{OF_PERSON}{person}", 1)

    def _count_class(self, key: str, count: int) -> None:
        if key not in self.classes:
            handle, _, person = key.partition(OF_PERSON)
            is_full = len(self.classes) >= MAX_CLASSES
            if is_full or (person and self._persons[handle] >= MAX_PERSONS):
                return
            self._persons[handle] += bool(person)
        self.classes[key] += count

    def add(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        for name in ("records", "failed", "refused", "texts", "characters", "changed", "unseen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("hits", "issues", "leaks", "columns", "quasi"):
            getattr(self, name).update(getattr(other, name))
        for key, count in other.classes.items():
            self._count_class(key, count)
        if len(self.columns) > MAX_COLUMNS:
            self.columns = _bounded(self.columns)
        # Smallest first: which handles are named must not depend on the order of the chunks.
        both = self.low + other.low
        self.low = Counter({handle: both[handle] for handle in sorted(both)[:MAX_HANDLES]})

    @property
    def by_type(self) -> dict[str, int]:
        """Replaced identifiers by type."""
        found: Counter[str] = Counter()
        for (type_, _, _, action), count in self.hits.items():
            if action != "keep":
                found[type_] += count
        return dict(sorted(found.items()))

    @property
    def changed_share(self) -> float:
        """Share of the characters that were replaced."""
        return self.changed / self.characters if self.characters else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of ``from_json``."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        plain |= {name: _flat(getattr(self, name)) for name in _COUNTERS}
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tally:
        """Read what ``to_json`` wrote."""
        tally = cls()
        for name in _PLAIN:
            setattr(tally, name, int(raw[name]))
        for name in _COUNTERS:
            setattr(tally, name, Counter({_key(name, key): int(count) for key, count in raw[name].items()}))
        tally._persons.update(key.partition(OF_PERSON)[0] for key in tally.classes if OF_PERSON in key)
        return tally

    def dumps(self) -> bytes:
        """Canonical bytes."""
        return json.dumps(self.to_json(), sort_keys=True).encode()


_PLAIN = ("records", "failed", "refused", "texts", "characters", "changed", "unseen")
_COUNTERS = ("hits", "issues", "leaks", "columns", "quasi", "low", "classes")


def audit_handle(keys: ScrubKeys, type_name: str, value: str) -> str:
    """HMAC(k("audit", type)) of a value, shortened: who has the key can find the item again, nobody else."""
    return hmac.digest(keys.derive("audit", type_name), value.encode("utf-8", "surrogatepass"), "sha256")[
        :HANDLE_BYTES
    ].hex()


def _flat(counter: Counter[Any]) -> dict[str, int]:
    return {
        _SEPARATOR.join(map(str, key)) if isinstance(key, tuple) else key: count
        for key, count in sorted(counter.items())
        if count
    }


def _key(name: str, key: str) -> Any:  # noqa: ANN401 - of the counter's kind
    if name == "hits":
        type_, method, level, action = key.split(_SEPARATOR)
        return type_, method, int(level), action
    if name != "columns":
        return key
    column, _, action = key.rpartition(_SEPARATOR)  # a column may have any name
    return column, action


def _bounded(columns: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    named = sorted(key for key in columns if key[0] != OTHER_COLUMNS)[:MAX_COLUMNS]
    kept = Counter({key: columns[key] for key in named})
    for key in columns.keys() - set(named):
        kept[OTHER_COLUMNS, key[1]] += columns[key]
    return kept


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    summed = Tally()
    for tally in tallies:
        summed.add(tally)
    return summed


__all__ = [
    "audit_handle",
    "HANDLE_BYTES",
    "MAX_COLUMNS",
    "MAX_HANDLES",
    "MAX_PERSONS",
    "OF_PERSON",
    "OTHER_COLUMNS",
    "Tally",
    "total",
]
