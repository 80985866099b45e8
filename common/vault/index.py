"""The index of an area: which objects there are, and their names, which stand nowhere else. Sealed as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fedward.common.envelope.recipients import ID_BYTES
from fedward.common.errors import ConfigError, VaultError
from fedward.common.ledger.body import once
from fedward.common.secagg.transcript import digest
from fedward.common.vault.kinds import RUN_ID_BYTES, SITE_DATA, Kind

SCHEMA: Final = "fedward.index/1"
MAX_NAME_CHARS: Final = 256
MAX_INDEX_BYTES: Final = 256 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """One object, without its content."""

    object_id: str
    """16 random bytes in hex; the name of its file."""
    kind: Kind
    name: str
    """What its owner calls it; several objects may have one name, the newest is last."""
    run_id: bytes
    epoch: int = 0
    """Of its data key; 0 for an ephemeral kind."""
    num_bytes: int = 0
    """Of the sealed file."""
    digest: bytes = b""
    """SHA-256(header copy A ‖ end record) of the sealed file."""
    is_released: bool = False

    def __post_init__(self) -> None:
        if len(self.run_id) != RUN_ID_BYTES:
            raise ConfigError(f"a run id has {RUN_ID_BYTES} bytes")
        if not 0 < len(self.name) <= MAX_NAME_CHARS or any("\ud800" <= c <= "\udfff" for c in self.name):
            raise ConfigError(f"a name in the vault is 1 to {MAX_NAME_CHARS} characters of text")


def index_id(run_id: bytes) -> str:
    """The object id under which the ledger knows the index of an area."""
    return digest("fedward/vault/v1/index", run_id)[:ID_BYTES].hex()


def encoded(objects: Iterable[ObjectInfo]) -> bytes:
    """The plaintext of an index."""
    rows = [
        {
            "object_id": info.object_id,
            "kind": info.kind,
            "name": info.name,
            "epoch": info.epoch,
            "num_bytes": info.num_bytes,
            "digest": info.digest.hex(),
            "is_released": info.is_released,
        }
        for info in objects
    ]
    return json.dumps({"schema": SCHEMA, "objects": rows}).encode()


def decoded(plain: bytes | bytearray, run_id: bytes) -> dict[str, ObjectInfo]:
    """The inverse of ``encoded``, by object id, in order.

    Raises:
        VaultError: not such bytes.
    """
    try:
        document = json.loads(plain.decode(), object_pairs_hook=once)
        if set(document) != {"schema", "objects"} or document["schema"] != SCHEMA:
            raise ValueError("schema")
        objects = [_info(row, run_id) for row in document["objects"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ConfigError):
        raise VaultError("this version does not know the index's content") from None
    return {info.object_id: info for info in objects}


def _info(row: dict[str, Any], run_id: bytes) -> ObjectInfo:
    types = [type(row[name]) for name in ("epoch", "num_bytes", "is_released", "name")]
    if len(row) != 7 or types != [int, int, bool, str] or not is_object_id(row["object_id"]):
        raise ValueError("a row")
    return ObjectInfo(
        object_id=row["object_id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        run_id=run_id,
        epoch=row["epoch"],
        num_bytes=row["num_bytes"],
        digest=bytes.fromhex(row["digest"]),
        is_released=row["is_released"],
    )


def is_object_id(text: object) -> bool:
    """Whether ``text`` is 16 bytes in lower-case hex."""
    return isinstance(text, str) and len(text) == 2 * ID_BYTES and not set(text) - set("0123456789abcdef")


def area_of(run_id: bytes) -> tuple[str, ...]:
    """The folder of an area, from the vault's root."""
    return ("data",) if run_id == SITE_DATA else ("runs", run_id.hex())


__all__ = [
    "area_of",
    "decoded",
    "encoded",
    "index_id",
    "is_object_id",
    "MAX_INDEX_BYTES",
    "MAX_NAME_CHARS",
    "ObjectInfo",
]
