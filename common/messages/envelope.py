"""The outermost layer of a message, written and read by hand.

It is the protobuf message ``Envelope`` in its canonical form: five fields in the order of their numbers, each once,
empty ones left out, every varint as short as it can be. The library would read it too, but it copies the vector at each
turn, and a vector has up to 268 MB. So the reader gives views, and it knows one form alone: whatever is not byte for
byte what ``seal_envelope`` writes is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_VERSION, _TYPE, _BODY, _SIGNATURE, _VECTOR = 0x08, 0x10, 0x1A, 0x22, 0x2A
"""Field number and wire type: two varints, then three byte strings."""
_MAX_VARINT_BYTES = 5
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


def seal_envelope(envelope: Envelope) -> bytes:
    """The bytes that travel; the vector is copied once."""
    parts: list[Vector] = []
    for tag, number in ((_VERSION, envelope.version), (_TYPE, envelope.type)):
        if number:
            parts.append(bytes([tag]) + _varint(number))
    for tag, part in ((_BODY, envelope.body), (_SIGNATURE, envelope.signature), (_VECTOR, envelope.vector)):
        if len(part):
            parts += [bytes([tag]) + _varint(len(part)), part]
    return b"".join(parts)


def open_envelope(raw: bytes) -> Envelope | None:
    """The envelope whose bytes these are, body and vector views of them; None for whatever else they may be."""
    reader = _Reader(memoryview(raw))
    try:
        version, kind = reader.number(_VERSION), reader.number(_TYPE)
        body, signature, vector = reader.part(_BODY), bytes(reader.part(_SIGNATURE)), reader.part(_VECTOR)
    except (IndexError, ValueError):
        return None
    if reader.at != len(raw):
        return None
    return Envelope(version=version, type=kind, body=body, signature=signature, vector=vector)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


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

    def part(self, tag: int) -> memoryview:
        """The bytes of the next field, or none if that is another one."""
        if not self._is_next(tag):
            return self.view[:0]
        size = self._above_zero()
        if size > len(self.view) - self.at:
            raise ValueError("cut short")
        self.at += size
        return self.view[self.at - size : self.at]

    def _is_next(self, tag: int) -> bool:
        is_next = self.at < len(self.view) and self.view[self.at] == tag
        self.at += is_next
        return is_next

    def _above_zero(self) -> int:
        """A varint of a field that is there: not 0, and not longer than it has to be."""
        number = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self.view[self.at]
            self.at += 1
            number |= (byte & 0x7F) << (7 * place)
            if byte <= 0x7F:
                # A last byte of zero adds nothing: the number is 0, or a shorter varint says the same.
                if not byte or number > _MAX_NUMBER:
                    raise ValueError("not canonical")
                return number
        raise ValueError("too long")


__all__ = ["Envelope", "open_envelope", "seal_envelope", "Vector"]
