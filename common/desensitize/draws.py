"""A keyed stream of draws for what need not be secret noise but must be the same in every run and worker.

Invariants: the stream depends on key and seed alone; every number below a bound is equally likely up to 2**-64. It
seeds sampling, canaries and the layers of the text. Not handled here: surrogates (``keys``) and noise that carries a
privacy guarantee (``common.privacy.noise``).
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fedward.common.desensitize.keys import ScrubKeys, length_prefixed

Item = TypeVar("Item")
_SHIFT = 64


@dataclass(kw_only=True, slots=True)
class KeyedStream:
    """HMAC-SHA256 in counter mode.

    Args:
        key: 32 bytes.
        seed: names the stream.
    """

    key: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    _counter: int = field(default=0, repr=False)
    _words: list[int] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, keys: ScrubKeys, purpose: str, type_name: str, *names: str) -> KeyedStream:
        """The stream of k(purpose, type) seeded by LP of each of ``names``."""
        return cls(key=keys.derive(purpose, type_name), seed=b"".join(map(length_prefixed, names)))

    def bits64(self) -> int:
        """The next 64 bits."""
        if not self._words:
            # The first block is HMAC(key, seed) itself; later ones append the counter.
            suffix = struct.pack(">I", self._counter) if self._counter else b""
            self._words.extend(struct.unpack(">4Q", hmac.digest(self.key, self.seed + suffix, "sha256")))
            self._counter += 1
        return self._words.pop()

    def below(self, bound: int) -> int:
        """A number in [0, bound); ``bound`` up to 2**63."""
        if not 0 < bound <= 1 << 63:
            raise ValueError(f"bound = {bound}: expected a number from 1 to 2**63")
        limit = (1 << _SHIFT) - (1 << _SHIFT) % bound
        while (word := self.bits64()) >= limit:
            pass
        return word % bound

    def fraction(self) -> float:
        """A number in [0, 1) with 53 bits."""
        return (self.bits64() >> 11) * 2.0**-53

    def choice(self, items: Sequence[Item]) -> Item:
        """One of ``items``, which is not empty."""
        return items[self.below(len(items))]

    def digits(self, count: int) -> str:
        """``count`` decimal digits, zeros in front included."""
        return "".join(str(self.below(10)) for _ in range(count))

    def sample(self, size: int, count: int) -> list[int]:
        """``count`` different indices below ``size``, sorted (Floyd's method: O(count) memory)."""
        chosen: set[int] = set()
        for top in range(size - min(count, size), size):
            pick = self.below(top + 1)
            chosen.add(top if pick in chosen else pick)
        return sorted(chosen)


__all__ = ["KeyedStream"]
