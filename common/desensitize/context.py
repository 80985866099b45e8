"""What is known about a record beside its text."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedward.common.desensitize.spans import EntityType


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The record's own surroundings; nothing of it shows in a repr but the number of known values.

    Args:
        document_id: names the record within its data set, for draws of scope ``document``.
        patient_id: whose record it is; None: every record is a person of its own.
        known: values of the patient's own columns, by type.
        record_date: when it was written; ages that a birth date implies are reckoned to it.
    """

    document_id: str = field(repr=False)
    patient_id: str | None = field(default=None, repr=False)
    known: Mapping[EntityType, tuple[str, ...]] = field(default_factory=dict, repr=False)
    record_date: datetime.date | None = field(default=None, repr=False)


__all__ = ["Context"]
