"""Sealing and strict opening of messages.

A message is an ``Envelope``: type, the exact body bytes, an Ed25519 signature over type and SHA-256(body), and for
vectors the raw buffer, which counts by its hash inside the body. Opening goes from cheap to dear and parses nothing
inside before the signature holds: size, envelope, version, type, signature, body, header, vector. A body in an
encoding that our own library would not write (unknown, repeated or reordered fields, trailing bytes, long varints) is
refused: two spellings of one message are two hashes, and two hashes are two stories.

Beside a message its frame may carry a ``Witness`` part, under no signature but those inside it (``messages.witness``).
Opening a message bounds it and hands it to nobody; a message's hashes do not cover it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from google.protobuf.message import DecodeError, Message

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, verify
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages import shapes
from fedward.common.messages.envelope import Envelope, Vector, add_witness, open_envelope, seal_envelope

VERSION = 4
RUN_ID_BYTES = 16
HASH_BYTES = 32
SIGNATURE_BYTES = 64
MAX_BODY_BYTES = 8 << 20
MAX_VECTOR_BYTES = 4 << 26
"""2^26 coordinates of four bytes."""
MAX_WITNESS_BYTES = 1 << 20
MAX_MESSAGE_BYTES = MAX_BODY_BYTES + MAX_VECTOR_BYTES + MAX_WITNESS_BYTES + 1024

Body = (
    pb.PlanOffer
    | pb.PlanAccept
    | pb.Refusal
    | pb.Train
    | pb.TrainReply
    | pb.RunEnd
    | pb.RunEndReply
    | pb.Prekey
    | pb.PrekeyReply
    | pb.Confirm
    | pb.ConfirmReply
    | pb.Unmask
    | pb.UnmaskReply
    | pb.Ready
    | pb.Mask
    | pb.Graph
    | pb.GraphReply
    | pb.Pending
    | pb.Collect
)
B = TypeVar("B", bound=Body)

TYPES: Mapping[int, type[Body]] = {
    pb.PLAN_OFFER: pb.PlanOffer,
    pb.PLAN_ACCEPT: pb.PlanAccept,
    pb.REFUSAL: pb.Refusal,
    pb.TRAIN: pb.Train,
    pb.TRAIN_REPLY: pb.TrainReply,
    pb.RUN_END: pb.RunEnd,
    pb.RUN_END_REPLY: pb.RunEndReply,
    pb.PREKEY: pb.Prekey,
    pb.PREKEY_REPLY: pb.PrekeyReply,
    pb.CONFIRM: pb.Confirm,
    pb.CONFIRM_REPLY: pb.ConfirmReply,
    pb.UNMASK: pb.Unmask,
    pb.UNMASK_REPLY: pb.UnmaskReply,
    pb.READY: pb.Ready,
    pb.MASK: pb.Mask,
    pb.GRAPH: pb.Graph,
    pb.GRAPH_REPLY: pb.GraphReply,
    pb.PENDING: pb.Pending,
    pb.COLLECT: pb.Collect,
}
_NUMBER_OF: Mapping[type[Message], int] = {body: number for number, body in TYPES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Where a message belongs. The same in a request and in its reply."""

    run_id: bytes
    roster_hash: bytes
    plan_digest: bytes
    profile: str
    round_number: int = 0
    attempt: int = 0

    def header(self, sender: str) -> pb.Header:
        """The header of a message at this position."""
        return pb.Header(
            run_id=self.run_id,
            roster_hash=self.roster_hash,
            plan_digest=self.plan_digest,
            profile=self.profile,
            round=self.round_number,
            attempt=self.attempt,
            sender=sender,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened(Generic[B]):
    """A message whose signature and encoding hold."""

    body: B = field(repr=False)
    body_hash: bytes
    position: Position
    vector: Vector = field(repr=False)
    """A view into the message: a vector has hundreds of megabytes, and a copy of it would be the coordinator's peak."""


def seal(identity: Identity, body: Body, *, vector: Vector = b"") -> bytes:
    """The bytes that travel. The vector is copied once, into them."""
    number = _NUMBER_OF[type(body)]
    raw = body.SerializeToString(deterministic=True)
    signature = identity.sign("secagg", pb.MessageType.Name(number), hashlib.sha256(raw).digest())
    return seal_envelope(Envelope(version=VERSION, type=number, body=raw, signature=signature, vector=vector))


def beside(raw: bytes, witness: bytes) -> bytes:
    """A sealed message with a ``Witness`` part beside it. The whole frame is copied once.

    Raises:
        ProtocolError: ``BAD_ENCODING``: no message, one that has such a part, or a part that is too long.
    """
    if _envelope(raw).witness or len(witness) > MAX_WITNESS_BYTES:
        raise _bad_encoding("a second witness part, or one that is too long")
    return add_witness(raw, witness)


def witness_of(raw: bytes) -> bytes:
    """The ``Witness`` part beside a message, unread; maybe empty.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    return bytes(_envelope(raw).witness)


def peek_type(raw: bytes) -> int:
    """The claimed type of a message, to choose what to expect. Nothing is believed by it.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    return _envelope(raw).type


def hashes_of(raw: bytes) -> tuple[bytes, bytes]:
    """How a refusal may name a message: by its body, or by all of it if the site could not read so far.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    return body_hash(raw), hashlib.sha256(raw).digest()


def body_hash(raw: bytes) -> bytes:
    """SHA-256 of a message's body.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    return hashlib.sha256(_envelope(raw).body).digest()


def claimed_position(raw: bytes) -> Position:
    """Where a message says that it belongs. For messages of one's own: nothing is verified.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    envelope = _envelope(raw)
    return position_of(_parse(TYPES[envelope.type], bytes(envelope.body)).header)


@overload
def open_message(raw: bytes, expect: None, *, sender: str, public_key: bytes) -> Opened[Body]: ...


@overload
def open_message(raw: bytes, expect: type[B], *, sender: str, public_key: bytes) -> Opened[B]: ...


def open_message(raw: bytes, expect: type[Any] | None, *, sender: str, public_key: bytes) -> Opened[Any]:
    """Verify and parse a message of one kind from one sender.

    Args:
        raw: what travelled.
        expect: the only body type accepted here; None: any, and the signature is over the type that it claims.
        sender: whom the transport says it is from; the header must agree.
        public_key: the sender's pinned key.

    Raises:
        ProtocolError: ``BAD_ENCODING`` or ``BAD_SIGNATURE``.
    """
    envelope = _envelope(raw)
    number = envelope.type if expect is None else _NUMBER_OF[expect]
    if envelope.type != number:
        raise _bad_encoding(f"expected {pb.MessageType.Name(number)}")
    body_hash = hashlib.sha256(envelope.body).digest()
    if not verify(public_key, envelope.signature, "secagg", pb.MessageType.Name(number), body_hash):
        raise ProtocolError("BAD_SIGNATURE", f"the signature of {sender} does not hold")
    body = strict(TYPES[number], bytes(envelope.body))
    header = body.header
    if header.sender != sender or len(header.run_id) != RUN_ID_BYTES:
        raise _bad_encoding("the header names another sender or run")
    if len(header.roster_hash) != HASH_BYTES or len(header.plan_digest) != HASH_BYTES:
        raise _bad_encoding("a digest in the header has the wrong length")
    shapes.check(body)
    _check_vector(body, envelope.vector)
    return Opened(body=body, body_hash=body_hash, position=position_of(header), vector=envelope.vector)


def position_of(header: pb.Header) -> Position:
    """The position that a header states."""
    return Position(
        run_id=header.run_id,
        roster_hash=header.roster_hash,
        plan_digest=header.plan_digest,
        profile=header.profile,
        round_number=header.round,
        attempt=header.attempt,
    )


def vector_hash(vector: Vector) -> bytes:
    """SHA-256 of a vector's bytes."""
    return hashlib.sha256(vector).digest()


def _envelope(raw: bytes) -> Envelope:
    if len(raw) > MAX_MESSAGE_BYTES:
        raise _bad_encoding(f"longer than {MAX_MESSAGE_BYTES} bytes")
    envelope = open_envelope(raw)
    if envelope is None:
        raise _bad_encoding("not the envelope that this version writes")
    if envelope.version != VERSION or envelope.type not in TYPES:
        raise _bad_encoding(f"version {envelope.version}, type {envelope.type}")
    if len(envelope.witness) > MAX_WITNESS_BYTES:
        raise _bad_encoding("the witness part is too long")
    if len(envelope.body) > MAX_BODY_BYTES or len(envelope.signature) != SIGNATURE_BYTES:
        raise _bad_encoding("body or signature has the wrong length")
    return envelope


M = TypeVar("M", bound=Message)


def _parse(kind: type[M], raw: bytes) -> M:
    message = kind()
    try:
        message.MergeFromString(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _bad_encoding("does not parse") from error
    return message


def strict(kind: type[M], raw: bytes) -> M:
    """Parse what our own library would write to the byte, and nothing else.

    Raises:
        ProtocolError: ``BAD_ENCODING``.
    """
    message = _parse(kind, raw)
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != raw:
        raise _bad_encoding("an encoding that this version does not write")
    return message


def _check_vector(body: Body, vector: Vector) -> None:
    """A body that names a vector has it, and no other body has one."""
    stated = getattr(body, "vector_hash", b"")
    if not stated:
        if vector:
            raise _bad_encoding("a vector beside a message that names none")
        return
    if len(vector) > MAX_VECTOR_BYTES or not hmac.compare_digest(stated, vector_hash(vector)):
        raise _bad_encoding("the vector is not the one that was signed")


def _bad_encoding(why: str) -> ProtocolError:
    return ProtocolError("BAD_ENCODING", f"message refused: {why}")
