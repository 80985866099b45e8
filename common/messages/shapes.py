"""Lengths of the parts of masked messages: what is too long, too short or too many is refused before it is used.

Only lengths. A key of another length than 32 bytes is let through up to a bound: it is a fault of its site, with a code
of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf.message import Message

from fedward.common.errors import ProtocolError
from fedward.common.secagg.graph_parameters import MAX_GRAPH_SITES

MAX_ID_BYTES = 64
MAX_KEY_BYTES = 64
MAX_PACKET_BYTES = 128
_HASH = (32, 32)
_SIGNATURE = (64, 64)
_KEY = (0, MAX_KEY_BYTES)
_ID = (1, MAX_ID_BYTES)
_PACKET = (0, MAX_PACKET_BYTES)
_SHARE = (0, 33)
_MAY_LACK_HASH = (0, 32)
_MAY_LACK_SIGNATURE = (0, 64)

LENGTHS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "PlanAccept": {
        "transport_key": _KEY,
        "signature": _MAY_LACK_SIGNATURE,
        "graph_commitment": _MAY_LACK_HASH,
        "graph_signature": _MAY_LACK_SIGNATURE,
        "desensitization_policy": _MAY_LACK_HASH,
    },
    "Train": {
        "previous_sum_hash": _MAY_LACK_HASH,
        "graph_hash": _MAY_LACK_HASH,
        "packets": _PACKET,
        "bundle_digests": _HASH,
    },
    "TrainReply": {"proof": _MAY_LACK_SIGNATURE, "complaints": _ID},
    "Bundle": {
        "run_id": (16, 16),
        "roster_hash": _HASH,
        "holders_hash": _HASH,
        "mask_key": _KEY,
        "commitment": _HASH,
        "shares_hash": _HASH,
        "signature": _SIGNATURE,
    },
    "Dealing": {"packets": _PACKET},
    "Holder": {"site_id": _ID, "transport_key": _KEY, "signature": _SIGNATURE},
    "Target": {},
    "Prekey": {},
    "PrekeyReply": {"request_hash": _HASH},
    "GraphMember": {"site_id": _ID, "commitment": _HASH, "signature": _SIGNATURE},
    "Graph": {},
    "GraphReply": {"request_hash": _HASH, "shown": _HASH},
    "GraphReveal": {"site_id": _ID, "shown": _MAY_LACK_HASH, "commitment": _MAY_LACK_HASH},
    "Survivor": {"site_id": _ID, "vector_hash": _HASH, "proof": _MAY_LACK_SIGNATURE},
    "Confirm": {"cohort_digest": _HASH},
    "ConfirmReply": {"cohort_digest": _HASH, "survivors_hash": _HASH, "signature": _SIGNATURE},
    "Confirmation": {"site_id": _ID, "signature": _SIGNATURE},
    "Unmask": {"cohort_digest": _HASH},
    "UnmaskReply": {"survivors_hash": _HASH, "seed_shares": _SHARE, "key_shares": _SHARE},
    "Ready": {"request_hash": _HASH},
    "Pending": {"request_hash": _HASH},
    "Collect": {"request_hash": _HASH},
    "OpenedRound": {
        "model_digest": _HASH,
        "previous_sum_hash": _HASH,
        "holders_hash": _HASH,
        "graph_hash": _HASH,
        "cohort": _ID,
        "bundle_digests": _HASH,
    },
    "RunEndReply": {"model_digest": _MAY_LACK_HASH, "code": (0, MAX_ID_BYTES)},
    "Mask": {
        "model_digest": _HASH,
        "layout_digest": _HASH,
        "cohort": _ID,
        "previous_sum_hash": _HASH,
        "graph_hash": _HASH,
    },
}
"""By message and field: fewest and most bytes, of each where a field is repeated."""
_UNCOUNTED = {("Train", "cohort")}
"""Simulations without masks have more sites."""
_NEEDED = {"Prekey": "target", "PrekeyReply": "dealing", "Dealing": "bundle", "Ready": "dealing"}


def check(message: Message) -> None:
    """Refuse a message with a part of a wrong length, or without a part that it cannot do without.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    kind = message.DESCRIPTOR.name
    needed = _NEEDED.get(kind)
    if needed is not None and not message.HasField(needed):
        raise ProtocolError("BAD_ENCODING", f"message refused: {kind} without {needed}")
    lengths = LENGTHS.get(kind, {})
    for field in message.DESCRIPTOR.fields:
        if field.name == "header":
            continue
        # Counted where they lie: a list of four million empty bundles takes a gigabyte.
        is_counted = field.is_repeated and (kind, field.name) not in _UNCOUNTED
        if is_counted and len(getattr(message, field.name)) > MAX_GRAPH_SITES:
            raise ProtocolError("BAD_ENCODING", f"message refused: more than {MAX_GRAPH_SITES} of {field.name}")
        values = _values(message, field.name, is_repeated=field.is_repeated, is_message=field.message_type is not None)
        if field.message_type is not None:
            for part in values:
                check(part)
        elif field.name in lengths:
            _check_lengths(kind, field.name, values, lengths[field.name])


def _values(message: Message, name: str, *, is_repeated: bool, is_message: bool) -> list[Any]:
    if is_repeated:
        return list(cast("Iterable[Any]", getattr(message, name)))
    if is_message and not message.HasField(name):
        return []
    return [getattr(message, name)]


def _check_lengths(kind: str, name: str, values: list[Any], bounds: tuple[int, int]) -> None:
    least, most = bounds
    for value in values:
        size = len(value.encode()) if isinstance(value, str) else len(value)
        if not least <= size <= most:
            raise ProtocolError("BAD_ENCODING", f"message refused: {size} bytes of {kind}.{name}")
