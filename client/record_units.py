"""When the unit of privacy is one record: bound how many records of a patient enter the data at all.

Invariant: a patient has at most ``limit`` units, chosen by a keyed hash of the record, so the choice depends on that
patient's records alone. The bound is what turns an epsilon per record into one per patient
(``common.privacy.patients``). Where a patient has more, a record's neighbours are data sets after this bound; for a
whole patient there is no such proviso.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from fedward.client.intake import Record
from fedward.common import _validate


def record_units(
    patients: Sequence[Sequence[Record]], *, limit: int, seed: int
) -> tuple[tuple[tuple[Record, ...], ...], int]:
    """Every record as a unit of its own, at most ``limit`` of a patient.

    Args:
        patients: each with that patient's records.
        limit: k, at least 1.
        seed: public; the same seed gives the same choice, whatever the order of the file.

    Returns:
        The units, each of one record, in the order of the patients; and how many records were left out.

    Raises:
        ConfigError: a limit below 1.
    """
    _validate.positive(limit=limit)
    units: list[tuple[Record, ...]] = []
    left_out = 0
    for records in patients:
        kept = _smallest(records, limit, seed)
        left_out += len(records) - len(kept)
        units += [(record,) for record in kept]
    return tuple(units), left_out


def _smallest(records: Sequence[Record], limit: int, seed: int) -> list[Record]:
    """The records with the smallest hashes, in their order."""
    if len(records) <= limit:
        return list(records)
    repeats: Counter[tuple[str, str | None]] = Counter()
    ranks = []
    for record in records:
        repeats[record.text, record.label] += 1  # equal records must not stand or fall together
        ranks.append(_hash(seed, record, repeats[record.text, record.label]))
    chosen = sorted(range(len(records)), key=ranks.__getitem__)[:limit]
    return [records[index] for index in sorted(chosen)]


def _hash(seed: int, record: Record, repeat: int) -> bytes:
    content = json.dumps([seed, record.patient_id, record.text, record.label, repeat]).encode()
    return hashlib.sha256(b"fedward/record-units/v1\0" + content).digest()


__all__ = ["record_units"]
