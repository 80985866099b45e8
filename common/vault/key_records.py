"""The keys of a keystore as records, and the bytes that are sealed. Read strictly, sealed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES
from fedward.common.errors import VaultError
from fedward.common.ledger.body import once

SCHEMA: Final = "fedward.keystore/1"


class Purpose(StrEnum):
    """What a key is for."""

    IDENTITY = "identity"
    """Ed25519; signs."""
    KEK = "kek"
    """Wraps the data keys of a kind."""
    ROLE = "role"
    """What a role's keys are derived from."""
    SCRUB = "scrub"
    """Desensitisation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """One key of one epoch."""

    id: bytes
    """16 random bytes."""
    purpose: Purpose
    name: str
    epoch: int
    """From 1."""
    created_at_ms: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.id) != ID_BYTES or len(self.secret) != KEY_BYTES or self.epoch < 1 or self.created_at_ms < 0:
            raise VaultError("a key of the keystore has a field that cannot be")


def encoded(unlock_kinds: Sequence[str], keys: Sequence[KeyRecord]) -> bytes:
    """The plaintext of a keystore."""
    rows = [
        {
            "id": key.id.hex(),
            "purpose": key.purpose,
            "name": key.name,
            "epoch": key.epoch,
            "created_at_ms": key.created_at_ms,
            "secret": key.secret.hex(),
        }
        for key in keys
    ]
    return json.dumps({"schema": SCHEMA, "unlocks": list(unlock_kinds), "keys": rows}).encode()


def decoded(plain: bytes | bytearray) -> tuple[tuple[str, ...], list[KeyRecord]]:
    """The inverse of ``encoded``: how it can be unlocked, and the keys.

    Raises:
        VaultError: not such bytes; nothing of them is quoted.
    """
    try:
        document = json.loads(plain.decode(), object_pairs_hook=once)
        if set(document) != {"schema", "unlocks", "keys"} or document["schema"] != SCHEMA:
            raise ValueError("schema")
        keys = [_record(row) for row in document["keys"]]
        if len({(key.purpose, key.name, key.epoch) for key in keys}) != len(keys):
            raise ValueError("repeated")
        return tuple(map(str, document["unlocks"])), keys
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise VaultError("this version does not know the keystore's content") from None


def _record(row: dict[str, Any]) -> KeyRecord:
    numbers = row["epoch"], row["created_at_ms"]
    if len(row) != 6 or {type(number) for number in numbers} != {int}:
        raise ValueError("a row")
    return KeyRecord(
        id=bytes.fromhex(row["id"]),
        purpose=Purpose(row["purpose"]),
        name=str(row["name"]),
        epoch=numbers[0],
        created_at_ms=numbers[1],
        secret=bytes.fromhex(row["secret"]),
    )


__all__ = ["decoded", "encoded", "KeyRecord", "Purpose", "SCHEMA"]
