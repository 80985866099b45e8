"""A slot: the data key of (run, kind, epoch), wrapped for the vault and once for each role that may read the kind.

A slot is one copy of an envelope's header and nothing behind it: 4096 bytes, whose file key *is* the data key and whose
``file_id`` names it in the envelopes of the objects. So the wrapping, the strict reader and the MAC that commits to the
key are those of ``common.envelope``, and rotation rewrites slots, never objects.

A role's key in a slot is derived from the role's secret *and* the kind's KEK (``keystore.role_key``): when a KEK is
dropped, an old copy of a slot opens with nothing that remains, the roles' secrets included. With a long-lived role key
it would have opened for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fedward.common.envelope.header import (
    HEADER_BYTES,
    MAGIC,
    Compression,
    Context,
    Header,
    OpenedHeader,
    open_copies,
    require_context,
)
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, Identity, RandomBytes, Recipient, SlotKey
from fedward.common.errors import EnvelopeHeaderError, NotAnEnvelopeError
from fedward.common.vault.kinds import Kind

SLOT_BYTES = HEADER_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotName:
    """What a slot's key is for; bound into the slot."""

    run_id: bytes
    kind: Kind
    epoch: int
    """Of the KEK under which the key was made."""

    @property
    def context(self) -> Context:
        """As it stands in the slot's header."""
        return Context(kind="slot", name=f"{self.kind}/{self.epoch}", run_id=self.run_id)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.kind}-{self.epoch}.slot"


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """An opened slot."""

    name: SlotName
    key: SlotKey = field(repr=False)
    """The data key."""
    generation: int = 0


def new_slot(name: SlotName, random_bytes: RandomBytes = secrets.token_bytes) -> Slot:
    """A fresh data key."""
    return Slot(name=name, key=SlotKey(slot_id=random_bytes(ID_BYTES), key=random_bytes(KEY_BYTES)))


def wrapped(slot: Slot, recipients: Sequence[Recipient], random_bytes: RandomBytes = secrets.token_bytes) -> bytes:
    """The 4096 bytes: the data key for each of ``recipients``.

    Raises:
        ConfigError: no recipient, or too many.
    """
    file_key, file_id = slot.key.key, slot.key.slot_id
    header = Header(
        generation=slot.generation,
        compression=Compression.NONE,
        file_id=file_id,
        context=slot.name.context.to_bytes(),
        stanzas=tuple(recipient.wrap(file_key, file_id, random_bytes) for recipient in recipients),
    )
    return header.to_bytes(file_key)


def opened(raw: bytes, name: SlotName, identities: Sequence[Identity]) -> Slot:
    """The data key in the bytes of a slot.

    Raises:
        EnvelopeError: not a slot, changed, for another key, or none of ``identities`` opens it.
    """
    header = open_header(raw, name.context, identities)
    key = SlotKey(slot_id=header.header.file_id, key=header.file_key)
    return Slot(name=name, key=key, generation=header.header.generation)


def next_generation(slot: Slot) -> Slot:
    """The same key, to be wrapped anew."""
    return replace(slot, generation=slot.generation + 1)


def open_header(raw: bytes, context: Context, identities: Sequence[Identity]) -> OpenedHeader:
    """A header that stands alone, opened and held to ``context``.

    Raises:
        EnvelopeError: as ``opened``.
    """
    if not raw.startswith(MAGIC):
        raise NotAnEnvelopeError("this is no slot")
    if len(raw) != SLOT_BYTES:
        raise EnvelopeHeaderError("a slot has another length")
    header = open_copies(raw + raw, identities)
    require_context(header.header, context)
    return header


__all__ = ["new_slot", "next_generation", "open_header", "opened", "Slot", "SLOT_BYTES", "SlotName", "wrapped"]
