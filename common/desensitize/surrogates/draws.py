"""Keyed draws within one scope, and numbers out of them.

The same bytes as ``ScrubKeys.draw``, with the constant parts computed once. Not handled here: when to redraw
(``document``).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import TypeVar

from fedward.common.desensitize.keys import ScrubKeys, length_prefixed

T = TypeVar("T")
_LENGTH = struct.Struct(">I").pack


class Draws:
    """Draws of one scope.

    Args:
        keys: of the site.
        scope: ``patient``, ``document`` or ``site``.
        scope_id: which one.
        derived: keys by type, shared between the scopes of a run; filled here.
    """

    __slots__ = ("_derived", "_keys", "_prefix")

    def __init__(self, keys: ScrubKeys, scope: str, scope_id: str, derived: dict[str, bytes] | None = None) -> None:
        self._keys = keys
        self._prefix = length_prefixed(scope) + length_prefixed(scope_id)
        self._derived = {} if derived is None else derived

    def draw(self, type_name: str, canonical: str, counter: int = 0) -> bytes:
        """d_c: 32 bytes."""
        key = self._derived.get(type_name)
        if key is None:
            key = self._derived[type_name] = self._keys.derive("surrogate", type_name)
        data = canonical.encode("utf-8", "surrogatepass")
        return hmac.digest(key, self._prefix + _LENGTH(len(data)) + data + _LENGTH(counter), "sha256")


class Stream:
    """Several small numbers out of one draw, one after the other.

    The first 16 bytes are the draw of a single number; the others come from an extension of all 32.
    """

    __slots__ = ("_value",)

    def __init__(self, draw: bytes) -> None:
        self._value = int.from_bytes(hashlib.shake_256(draw).digest(96), "big")

    def below(self, domain: int) -> int:
        """The next number in [0, domain)."""
        self._value, number = divmod(self._value, domain)
        return number

    def choice(self, items: Sequence[T]) -> T:
        """The next item."""
        return items[self.below(len(items))]


def number(draw: bytes, domain: int) -> int:
    """A single number in [0, domain): the first 16 bytes modulo the domain."""
    return int.from_bytes(draw[:16], "big") % domain


def digits(draw: bytes, length: int) -> str:
    """So many digits; the whole draw where 16 bytes would be biased."""
    if length <= 24:
        return f"{number(draw, 10**length):0{length}d}" if length else ""
    wide = int.from_bytes(hashlib.shake_256(draw).digest(length), "big")
    return f"{wide % 10**length:0{length}d}"


__all__ = ["digits", "Draws", "number", "Stream"]
