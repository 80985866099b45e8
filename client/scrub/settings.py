"""What one run over files is told, by a person and by the files themselves; sent to workers as one JSON message.

The key travels in that message, through a pipe: never as an argument and never in the environment.
"""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import Field

from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.settings import Settings

Kind = Literal["jsonl", "csv", "text", "parquet", "arrow"]

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 8 << 20
MAX_SPLIT_BYTES = 64 << 20
"""With ``--split``."""


class Member(Settings):
    """One file of the input."""

    name: str
    """Of the file, for messages and for the ids of its records."""
    kind: Kind
    encoding: str = "utf-8"
    delimiter: str = ","
    header: tuple[str, ...] = ()
    """CSV: the names of the columns."""
    line_end: str = "\n"


class Fields(Settings):
    """Which fields of a record are what."""

    text: tuple[str, ...] = ()
    """Free text; empty: ``fields.TEXT_FIELDS``, or every text where none of them is there."""
    patient: str | None = None
    """Whose record it is."""


class Setup(Settings):
    """All that a worker needs."""

    policy: DesensitizePolicy
    secret_hex: str = Field(repr=False)
    site_id: str
    key_id: str
    descriptor: str | None = None
    """Of the key, as JSON; None: a key of one run, which encrypts nothing."""
    fields: Fields
    members: tuple[Member, ...]
    skip_bad: bool = False
    split: bool = False
    quarantine_text: bool = False
    record_date: datetime.date | None = None
    """To which ages are reckoned that a birth date implies."""

    @property
    def keys(self) -> ScrubKeys:
        """The site's."""
        return ScrubKeys(secret=bytes.fromhex(self.secret_hex), site_id=self.site_id, key_id=self.key_id)

    @property
    def key_descriptor(self) -> KeyDescriptor | None:
        """Of the key."""
        return None if self.descriptor is None else KeyDescriptor.from_json(self.descriptor)

    def describe(self) -> dict[str, Any]:
        """What decides the output, without the key."""
        return self.model_dump(mode="json", exclude={"secret_hex"})


__all__ = ["CHUNK_BYTES", "Fields", "Kind", "MAX_RECORD_BYTES", "MAX_SPLIT_BYTES", "Member", "Settings", "Setup"]
