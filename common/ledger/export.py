"""A ledger as text: one JSON object a line, for another party or a later judge.

Fields are those of an entry, bytes in hex, the body as its exact text. ``redacted`` leaves bodies out but those of the
two kinds that say which keys sign, and of those that say which heads are held; their digests stand for them, so that
the chain, and what it has witnessed, can still be judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fedward.common.errors import LedgerError
from fedward.common.ledger.body import MAX_BODY_BYTES, once
from fedward.common.ledger.chain import GENESIS, KEY_ROTATED, Entry
from fedward.common.ledger.head_entries import HEADS_CONFIRMED, HEADS_RECORDED, RECOVERED

KEPT = frozenset({GENESIS, KEY_ROTATED, HEADS_RECORDED, HEADS_CONFIRMED, RECOVERED})
"""Kinds whose bodies no export leaves out."""
MAX_LINE_BYTES = 4 * MAX_BODY_BYTES
_PLAIN = {"seq": int, "kind": str, "at_ms": int}
_HEX = ("prev", "key_id", "hash", "signature")


def to_line(entry: Entry, *, is_redacted: bool = False) -> str:
    """One line without its end.

    Raises:
        LedgerError: a body that is no UTF-8.
    """
    document: dict[str, object] = {name: getattr(entry, name) for name in _PLAIN}
    document |= {name: getattr(entry, name).hex() for name in _HEX}
    if entry.body is None or (is_redacted and entry.kind not in KEPT):
        document["body_sha256"] = entry.body_sha256.hex()
    else:
        try:
            document["body"] = entry.body.decode()
        except UnicodeDecodeError:
            raise LedgerError(f"entry {entry.seq}: its body is no text") from None
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> Entry:
    """The inverse of ``to_line``; JSON spacing does not matter.

    Raises:
        LedgerError: not such a line.
    """
    if len(line) > MAX_LINE_BYTES:
        raise LedgerError("a line of the export is too long")
    try:
        document = json.loads(line, object_pairs_hook=once)
        return _entry(document)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise LedgerError("a line of the export is no entry") from None


def from_lines(lines: Iterable[str]) -> Iterator[Entry]:
    """All entries of an export, in its order.

    Raises:
        LedgerError: a line that is no entry.
    """
    return (from_line(line) for line in lines if line.strip())


def _entry(document: Mapping[str, Any]) -> Entry:
    body_name = "body" if "body" in document else "body_sha256"
    if document.keys() != {*_PLAIN, *_HEX, body_name} or any(type(document[n]) is not t for n, t in _PLAIN.items()):
        raise ValueError("other fields")
    body = document["body"].encode() if body_name == "body" else None
    body_sha256 = _unhex(document["body_sha256"]) if body is None else hashlib.sha256(body).digest()
    plain = {name: document[name] for name in _PLAIN}
    raw: dict[str, Any] = {name: _unhex(document[name]) for name in _HEX}
    return Entry(**plain, **raw, body=body, body_sha256=body_sha256)


def _unhex(text: str) -> bytes:
    """One spelling alone: ``fromhex`` takes capitals and spaces too, and a changed byte would not be found."""
    raw = bytes.fromhex(text)
    if raw.hex() != text:
        raise ValueError("another spelling")
    return raw


__all__ = ["from_line", "from_lines", "KEPT", "MAX_LINE_BYTES", "to_line"]
