"""A site's records desensitised in memory, before anything else sees them: no plaintext reaches a cache or a file.

Invariants: the same code as ``fedward scrub``; all records of a patient are read together, so that a name found in one
is found in all; a record that fails the leak check is not trained on. Not handled here: reading files (``intake``) and
files of desensitised text (``scrub``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fedward.client.intake import Record
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer, Result
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.recall import estimate_recall
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tally import Tally
from fedward.common.errors import DesensitizationError, EmptyDataError

_BATCH_RECORDS = 512
_MIN_KNOWN_CHARS = 6
"""A shorter patient id would be found in every other number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanRecords:
    """Desensitised records, and what was counted on the way."""

    records: tuple[Record, ...] = field(repr=False)
    policy: DesensitizePolicy
    tally: Tally
    canaries: tuple[dict[str, Any], ...] = ()
    """Rows of the recall table."""


def clean_records(
    records: Sequence[Record], policy: DesensitizePolicy, keys: ScrubKeys, *, with_canaries: bool = True
) -> CleanRecords:
    """Desensitise a site's records.

    Patient ids stay: they are the units of privacy, never leave the site and are never trained on.

    Args:
        with_canaries: estimate recall on these texts, as the policy's targets say.

    Raises:
        DesensitizationError: more records fail the leak check than the policy allows.
        EmptyDataError: none is left.
        ConfigError: the policy asks for something that is not installed.
    """
    desensitizer = Desensitizer(policy, keys)
    tally, clean = Tally(), list[tuple[int, Record]]()
    for batch in _batches(records):
        results = desensitizer.records([_item(index, records[index]) for index in batch], by_patient=True)
        for index, result in zip(batch, results, strict=True):
            tally.records += 1
            tally.add_result(result, keys)
            if result.text is None:
                tally.failed += 1
            else:
                clean.append((index, replace(records[index], text=_text(result))))
    if tally.failed > policy.max_quarantine * tally.records:
        raise DesensitizationError(
            f"{tally.failed:,} of {tally.records:,} records fail the leak check; the policy allows "
            f"{policy.max_quarantine:.2%}",
            hint="`fedward scrub --report` on this site's file shows of which kind they are.",
        )
    if not clean:
        raise EmptyDataError("no record is left after desensitisation")
    clean.sort(key=lambda item: item[0])
    rows = (
        estimate_recall(desensitizer, [record.text for record in records], keys, policy.canaries)
        if with_canaries
        else []
    )
    return CleanRecords(records=tuple(record for _, record in clean), policy=policy, tally=tally, canaries=tuple(rows))


def _text(result: Result) -> str:
    """Of a result that has one; a record of nothing but dropped parts keeps a blank, for a record has a text."""
    return result.text or " "


def _item(index: int, record: Record) -> tuple[str, Context]:
    known = {EntityType.MRN: (record.patient_id,)} if len(record.patient_id) >= _MIN_KNOWN_CHARS else {}
    return record.text, Context(document_id=str(index), patient_id=record.patient_id, known=known)


def _batches(records: Sequence[Record]) -> list[list[int]]:
    """Indices of the records, whole patients together, in batches of about ``_BATCH_RECORDS``."""
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(record.patient_id, []).append(index)
    batches: list[list[int]] = [[]]
    for group in groups.values():
        if len(batches[-1]) >= _BATCH_RECORDS:
            batches.append([])
        batches[-1] += group
    return batches


__all__ = ["clean_records", "CleanRecords"]
