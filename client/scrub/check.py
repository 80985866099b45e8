"""The leak check alone, on the output of any tool: whether direct identifiers of the input still stand in it.

Records are compared one by one in their order; what a quarantine list names is left out. Not handled here: surrogates
that are not valid, for who issued them is not known.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fedward.client.scrub import fields as paths
from fedward.client.scrub import rows, tables
from fedward.client.scrub.chunks import Mark, cut
from fedward.client.scrub.inputs import Input
from fedward.common.desensitize import leakcheck
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import QUASI_TYPES, Desensitizer
from fedward.common.desensitize.plain_spelling import spelt_plainly
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.terms import all_terms
from fedward.common.errors import DataError

MAX_PLACES = 100


@dataclass(slots=True, kw_only=True)
class Checked:
    """What was found. Counts and places, never a value."""

    records: int = 0
    leaking: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)
    """Of the first records that leak."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "records": self.records,
            "leaking": self.leaking,
            "by_type": dict(sorted(self.by_type.items())),
            "places": self.places,
        }


def check_output(source: Input, output: Input, policy: DesensitizePolicy, left_out: Path | None) -> Checked:
    """Compare every record of ``output`` with that of ``source``.

    Args:
        left_out: a quarantine list.

    Raises:
        DataError: a record cannot be read, or the two have not the same records.
    """
    skipped = _places(left_out)
    desensitizer = Desensitizer(policy, ScrubKeys.one_run())
    levels = {type_: policy.level_of(type_) for type_ in EntityType if type_ not in QUASI_TYPES}
    checked = Checked()
    for first, second in zip_longest(_records(source, skipped), _records(output)):
        if first is None or second is None:
            raise DataError(
                "input and output have not the same number of records",
                hint="A quarantine list beside the output names those that were left out; give it with --quarantine.",
            )
        checked.records += 1
        originals = desensitizer.originals(first[2], Context(document_id=first[1]))
        kinds = {leak.type.value for text in second[2] for leak in _leaks(spelt_plainly(text), originals, levels)}
        if kinds:
            checked.leaking += 1
            checked.by_type.update(kinds)
            if len(checked.places) < MAX_PLACES:
                checked.places.append(f"{first[0]}, {first[1]}" if source.is_folder else first[1])
    return checked


def _leaks(
    text: str, originals: dict[EntityType, set[str]], levels: dict[EntityType, int]
) -> tuple[leakcheck.Leak, ...]:
    direct = {type_: values for type_, values in originals.items() if type_ in levels}
    if not direct:
        return ()
    return leakcheck.check(
        text, text, (), context=Context(document_id=""), levels=levels, detector=None, originals=direct,
        terms=all_terms(), hits=(),
    )  # fmt: skip


def _records(found: Input, skipped: Collection[tuple[str, str]] = frozenset()) -> Iterator[tuple[str, str, list[str]]]:
    """File, place and texts of every record but those that were left out, which nobody need be able to read."""
    for chunk in cut(list(found.files), found.members, start=Mark(0, 0, 1), index=0, split=True):
        member = found.members[chunk.start.member]
        if member.kind in ("parquet", "arrow"):
            _, table = tables.read(chunk.body, chunk.start.number)
            listed = ((place, record) for _, place, record in table if (member.name, place) not in skipped)
            yield from ((member.name, place, _texts(record)) for place, record in listed)
            continue
        for raw in rows.read(member, chunk.start.number, chunk.body):
            if (member.name, raw.place) in skipped:
                continue
            if raw.refusal is not None:
                raise DataError(f"{member.name}, {raw.place}: the record cannot be read")
            if raw.record is not None:
                yield member.name, raw.place, _texts(raw.record)


def _texts(record: dict[str, Any]) -> list[str]:
    values = (leaf.value for leaf in paths.leaves(record))
    return [_spelt(value) for value in values if isinstance(value, _SPELT) and not isinstance(value, bool)]


_SPELT = str | int | float | decimal.Decimal | datetime.date


def _spelt(value: Any) -> str:  # noqa: ANN401 - of one of the types above
    is_whole = isinstance(value, float | decimal.Decimal) and math.isfinite(value) and value == int(value)
    return str(int(value) if is_whole else value)


def _places(left_out: Path | None) -> set[tuple[str, str]]:
    """File and place of what was left out: every file has a line 5."""
    if left_out is None:
        return set()
    try:
        entries = map(json.loads, left_out.read_text("utf-8").splitlines())
        return {(str(entry["file"]), str(entry["place"])) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{left_out.name}: not a quarantine list")


__all__ = ["check_output", "Checked", "MAX_PLACES"]
