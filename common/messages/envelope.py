"""The outermost layer of a message, written and read by hand.

It is the protobuf message ``Envelope`` in one form: its fields in the order of their numbers, each once, empty ones
left out, every varint as short as it can be. One is longer: the vector's length is written in so many bytes, up to
three more, that the vector begins at a multiple of four, for words that are not aligned take half as long again to add.
The library would read it too, but it copies the vector at each turn, and a vector has up to 268 MB. So the reader gives
views, and it knows this form alone: whatever is not byte for byte what ``seal_envelope`` writes is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_VERSION, _TYPE, _BODY, _SIGNATURE, _VECTOR, _WITNESS = 0x08, 0x10, 0x1A, 0x22, 0x2A, 0x32
"""Field number and wire type: two varints, then four byte strings."""
_MAX_VARINT_BYTES, _MAX_PADDING = 5, 3
_MAX_NUMBER = 2**32 - 1

Vector = bytes | memoryview
"""Bytes, or a view of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What travels."""

    version: int
    type: int
    body: Vector = field(repr=False)
    signature: bytes = field(repr=False)
    vector: Vector = field(repr=False)
    witness: Vector = field(default=b"", repr=False)
    """Beside the message: its signature does not cover it."""


def seal_envelope(envelope: Envelope) -> bytes:
    """The bytes that travel; the vector is copied once."""
    parts: list[Vector] = []
    for tag, number in ((_VERSION, envelope.version), (_TYPE, envelope.type)):
        if number:
            parts.append(bytes([tag]) + _varint(number, _width(number)))
    for tag, part in ((_BODY, envelope.body), (_SIGNATURE, envelope.signature)):
        if len(part):
            parts += [bytes([tag]) + _varint(len(part), _width(len(part))), part]
    if size := len(envelope.vector):
        width = _aligning(size, sum(map(len, parts)) + 1)
        parts += [bytes([_VECTOR]) + _varint(size, width), envelope.vector]
    return b"".join((*parts, *_witness_field(envelope.witness)))


def add_witness(raw: bytes, witness: bytes) -> bytes:
    """A frame that has none with this one, which stands last; one copy of the frame."""
    return b"".join((raw, *_witness_field(witness)))


def _witness_field(witness: Vector) -> tuple[Vector, ...]:
    size = len(witness)
    return (bytes([_WITNESS]) + _varint(size, _width(size)), witness) if size else ()


def open_envelope(raw: bytes) -> Envelope | None:
    """The envelope whose bytes these are, body and vector views of them; None for whatever else they may be."""
    reader = _Reader(memoryview(raw))
    try:
        version, kind = reader.number(_VERSION), reader.number(_TYPE)
        body, signature, vector = reader.part(_BODY), bytes(reader.part(_SIGNATURE)), reader.part(_VECTOR, aligned=True)
        witness = reader.part(_WITNESS)
    except (IndexError, ValueError):
        return None
    if reader.at != len(raw):
        return None
    return Envelope(version=version, type=kind, body=body, signature=signature, vector=vector, witness=witness)


def _width(number: int) -> int:
    """Bytes of the shortest varint of a number above 0."""
    return -(-number.bit_length() // 7)


def _aligning(number: int, at: int) -> int:
    """Bytes of the varint that stands at a position and ends at a multiple of four."""
    width = _width(number)
    return width + -(at + width) % 4


def _varint(number: int, width: int) -> bytes:
    """All bytes but the last one say that another follows, be it one of zeros."""
    return bytes([number >> 7 * place & 0x7F | 0x80 * (place < width - 1) for place in range(width)])


@dataclass(slots=True)
class _Reader:
    """Goes through the fields once. Raises ``ValueError`` or ``IndexError`` for what is not canonical."""

    view: memoryview
    at: int = 0

    def number(self, tag: int) -> int:
        """Of the next field, or 0 if that is another one."""
        if not self._is_next(tag):
            return 0
        return self._above_zero()

    def part(self, tag: int, *, aligned: bool = False) -> memoryview:
        """The bytes of the next field, or none if that is another one."""
        if not self._is_next(tag):
            return self.view[:0]
        size = self._above_zero(aligned=aligned)
        if size > len(self.view) - self.at:
            raise ValueError("cut short")
        self.at += size
        return self.view[self.at - size : self.at]

    def _is_next(self, tag: int) -> bool:
        is_next = self.at < len(self.view) and self.view[self.at] == tag
        self.at += is_next
        return is_next

    def _above_zero(self, *, aligned: bool = False) -> int:
        """A varint of a field that is there: not 0, and as long as it has to be."""
        start, number = self.at, 0
        for place in range(_MAX_VARINT_BYTES + _MAX_PADDING):
            byte = self.view[self.at]
            self.at += 1
            number |= (byte & 0x7F) << (7 * place)
            if byte <= 0x7F:
                width = _aligning(number, start) if aligned else _width(number)
                if not 0 < number <= _MAX_NUMBER or self.at - start != width:
                    raise ValueError("not canonical")
                return number
        raise ValueError("too long")


__all__ = ["add_witness", "Envelope", "open_envelope", "seal_envelope", "Vector"]
