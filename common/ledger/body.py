"""The body of a ledger entry: UTF-8 JSON that is written once, hashed and stored as those bytes.

Sorted keys, no spaces, ``v`` for the version and ``n`` for 16 random bytes: only the body's digest enters the chain,
and ``n`` makes that digest unguessable, so an export can leave bodies out and still verify. Values are strings,
integers, booleans, arrays and objects. There is no JSON float: two writers would spell one number in two ways.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fedward.common.errors import LedgerError

VERSION: Final = 1
MAX_BODY_BYTES: Final = 65_536
NONCE_BYTES: Final = 16
_MAX_DEPTH = 16
_MAX_DIGITS = 20
_MAX_INT = 2**63 - 1
"""Either way: what a column of SQLite holds."""

Value = str | int | bool | list[Any] | dict[str, Any]


def decimal(number: float) -> str:
    """The shortest decimal text that gives the same float64 again, in one spelling: 5, 0.01, 1e-6.

    Raises:
        LedgerError: not a finite number.
    """
    if not math.isfinite(number):
        raise LedgerError("a number of an entry is not finite")
    mantissa, _, exponent = repr(float(number)).partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def parse_decimal(text: object) -> float:
    """The inverse of ``decimal``; another spelling is refused.

    Raises:
        LedgerError: not such a text.
    """
    try:
        number = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or decimal(number) != text:
        raise LedgerError("a number of an entry is not in its one decimal form")
    return number


def encode_body(fields: Mapping[str, Value], nonce: bytes) -> bytes:
    """The bytes of a body.

    Args:
        fields: without ``v`` and ``n``.
        nonce: 16 fresh random bytes.

    Raises:
        LedgerError: a value that is none of those, or a body that is too long.
    """
    if "v" in fields or "n" in fields or len(nonce) != NONCE_BYTES:
        raise LedgerError("an entry's v and n are not the caller's")
    document = {**fields, "v": VERSION, "n": nonce.hex()}
    _require_plain(document, _MAX_DEPTH)
    try:
        raw = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise LedgerError("an entry holds a lone surrogate") from None
    if len(raw) > MAX_BODY_BYTES:
        raise LedgerError(f"an entry is longer than {MAX_BODY_BYTES} bytes")
    return raw


def parse_body(raw: bytes) -> dict[str, Value]:
    """The fields of a body, ``v`` and ``n`` among them. Bytes that ``encode_body`` would not write are refused.

    Raises:
        LedgerError: not such bytes.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise LedgerError("the body of an entry is too long")
    try:
        document = json.loads(raw.decode(), object_pairs_hook=once, parse_float=_no_float, parse_int=_short_int)
        _require_plain(document, _MAX_DEPTH)
        is_exact = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == raw
    except (ValueError, RecursionError):
        raise LedgerError("the body of an entry is not JSON of its kind") from None
    if not isinstance(document, dict) or document.get("v") != VERSION or type(document["v"]) is bool or not is_exact:
        raise LedgerError("the body of an entry is not in its one form, or of another version")
    nonce = document.get("n")
    if not isinstance(nonce, str) or len(nonce) != 2 * NONCE_BYTES or set(nonce) - set("0123456789abcdef"):
        raise LedgerError("the body of an entry has no nonce")
    return document


def _require_plain(value: object, depth: int) -> None:
    """Refuse whatever is no string, integer, boolean, array or object.

    Raises:
        LedgerError: such a value, or too many levels.
    """
    if depth < 0:
        raise LedgerError("an entry is nested too deeply")
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = value.values()
        if not all(type(key) is str for key in value):
            raise LedgerError("a name in an entry is not a string")
    elif isinstance(value, list):
        inner = value
    elif type(value) not in (str, int, bool):
        raise LedgerError(f"an entry cannot hold a {type(value).__name__}")
    elif type(value) is int and not -_MAX_INT <= value <= _MAX_INT:
        raise LedgerError("a number of an entry is too large")
    for item in inner:
        _require_plain(item, depth - 1)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads``: an object whose names each stand once.

    Raises:
        ValueError: a name stands twice.
    """
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice")
    return document


def _no_float(_: str) -> float:
    raise ValueError("a float")


def _short_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number too long")
    return int(text)


__all__ = [
    "decimal",
    "encode_body",
    "MAX_BODY_BYTES",
    "NONCE_BYTES",
    "once",
    "parse_body",
    "parse_decimal",
    "Value",
    "VERSION",
]
