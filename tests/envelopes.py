"""Envelopes of known content, for tests of the envelope and of what is built upon it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedward.common.envelope.header import HEADER_BYTES, Compression, Context
from fedward.common.envelope.payload import SEALED_BYTES
from fedward.common.envelope.recipients import (
    Identity,
    Kdf,
    Passphrase,
    PassphraseCost,
    Recipient,
    SlotKey,
    X25519Identity,
)
from fedward.common.envelope.stream import open_bytes, seal

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/envelope_v1.json").read_text("utf-8"))
_INPUTS = {name: value for name, value in VECTORS["inputs"].items() if name not in ("kind", "name", "passphrase")}
INPUTS = {name: bytes.fromhex(value) for name, value in _INPUTS.items()}
CONTEXT = Context(kind="adapter", name="final", run_id=INPUTS["run_id"])
CHEAP = PassphraseCost(kdf=Kdf.SCRYPT, numbers=(14, 8, 1))
X25519 = X25519Identity.from_bytes(INPUTS["recipient_private"])
PASSPHRASE = Passphrase(text=VECTORS["inputs"]["passphrase"], cost=CHEAP)
SLOT = SlotKey(slot_id=INPUTS["slot_id"], key=INPUTS["slot_key"])
PAYLOAD_AT = 2 * HEADER_BYTES


def queue(*names: str) -> Callable[[int], bytes]:
    """Randomness that is known: the inputs of these names, in order."""
    values = [INPUTS[name] for name in names]

    def random_bytes(size: int) -> bytes:
        value = values.pop(0)
        assert len(value) == size
        return value

    return random_bytes


def sealed(
    plaintext: bytes,
    recipients: Sequence[Recipient] = (SLOT,),
    *,
    context: Context = CONTEXT,
    compression: Compression = Compression.NONE,
) -> bytes:
    """An envelope of ``plaintext``."""
    sink = io.BytesIO()
    seal(io.BytesIO(plaintext), sink, recipients, context=context, compression=compression)
    return sink.getvalue()


def opened(raw: bytes, identities: Sequence[Identity] = (SLOT,), *, expect: Context = CONTEXT) -> bytes:
    """The plaintext of an envelope."""
    return bytes(open_bytes(io.BytesIO(raw), identities, expect=expect))


def chunk(raw: bytes, index: int) -> bytes:
    """A full chunk as it lies in the file."""
    at = PAYLOAD_AT + index * SEALED_BYTES
    return raw[at : at + SEALED_BYTES]
