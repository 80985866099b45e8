"""Format-preserving encryption: FF1 of NIST SP 800-38G over integers below N, and the descriptor of its key.

Invariants: FF1 only (the second draft of revision 1 drops FF3-1); N below 1,000,000 is refused without override; a
value never leaves [0, N), by cycle walking, which the numerals r = ceil(N**(1/4)), n = 4 keep to at most one walk in
twenty. Deterministic and reversible: what comes out is still personal data. Not handled here: which values there are
(``ranking``) and where the key is kept (the vault).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from fedward.common.desensitize import tables
from fedward.common.desensitize.keys import ScrubKeys, length_prefixed
from fedward.common.errors import DesensitizationError, FpeDomainError

MIN_DOMAIN = 1_000_000
MAX_DOMAIN = 2**64
ALGORITHM = "FF1-AES256-r4"
ROUNDS = 10
_LABEL = b"fedward/desensitize/fpe/v1"
_NUMERALS = 4
_TWEAK_BYTES = 8


class Ff1:
    """FF1 over any radix and length, as the standard writes it: the reference of the fast path below.

    Args:
        key: 16, 24 or 32 bytes.
        radix: 2 to 65,536.
        tweak: up to 255 bytes.
    """

    def __init__(self, key: bytes, radix: int, tweak: bytes = b"") -> None:
        if not 2 <= radix <= 2**16 or len(tweak) > 255:
            raise FpeDomainError("FF1: expected a radix of 2 to 65,536 and a tweak of at most 255 bytes")
        self._encrypt_blocks = _block_cipher(key)
        self.radix, self.tweak = radix, tweak

    def encrypt(self, numerals: Sequence[int]) -> list[int]:
        """Algorithm 7 of SP 800-38G.

        Raises:
            FpeDomainError: fewer than 1,000,000 values of that length.
        """
        u, v, a, b = self._halves(numerals)
        for i in range(ROUNDS):
            m = u if i % 2 == 0 else v
            a, b = b, (a + self._round(i, b, len(numerals))) % self.radix**m
        return [*self._digits(a, u), *self._digits(b, v)]

    def decrypt(self, numerals: Sequence[int]) -> list[int]:
        """Algorithm 8 of SP 800-38G."""
        u, v, a, b = self._halves(numerals)
        for i in reversed(range(ROUNDS)):
            m = u if i % 2 == 0 else v
            a, b = (b - self._round(i, a, len(numerals))) % self.radix**m, a
        return [*self._digits(a, u), *self._digits(b, v)]

    def _halves(self, numerals: Sequence[int]) -> tuple[int, int, int, int]:
        n = len(numerals)
        if self.radix**n < MIN_DOMAIN:
            raise FpeDomainError(f"FF1: {self.radix}**{n} values, at least {MIN_DOMAIN:,} are needed")
        if not all(0 <= numeral < self.radix for numeral in numerals):
            raise DesensitizationError("FF1: a numeral is not below the radix")
        u = n // 2
        return u, n - u, self._number(numerals[:u]), self._number(numerals[u:])

    def _round(self, i: int, half: int, n: int) -> int:
        u, v = n // 2, n - n // 2
        b = _bytes_of(self.radix, v)
        d = 4 * ((b + 3) // 4) + 4
        head = _head(self.radix, u, n, len(self.tweak))
        pad = bytes((-len(self.tweak) - b - 1) % 16)
        message = head + self.tweak + pad + bytes([i]) + half.to_bytes(b, "big")
        mac = bytes(16)
        for j in range(0, len(message), 16):
            mac = self._encrypt_blocks(_xor(mac, message[j : j + 16]))
        stream = mac
        for j in range(1, (d + 15) // 16):
            stream += self._encrypt_blocks(_xor(mac, j.to_bytes(16, "big")))
        return int.from_bytes(stream[:d], "big")

    def _number(self, numerals: Sequence[int]) -> int:
        value = 0
        for numeral in numerals:
            value = value * self.radix + numeral
        return value

    def _digits(self, value: int, length: int) -> list[int]:
        digits = []
        for _ in range(length):
            value, digit = divmod(value, self.radix)
            digits.append(digit)
        return digits[::-1]


class IntegerFpe:
    """A keyed permutation of [0, N): FF1 with four numerals of radix ceil(N**(1/4)), walked until below N.

    A whole column goes through one AES call a round. Not safe for concurrent use of one object by threads.

    Args:
        key: 32 bytes.
        tweak: 8 bytes, which keep a round at one AES block.
        domain: N, 1,000,000 to 2**64.

    Raises:
        FpeDomainError: another N.
    """

    def __init__(self, key: bytes, tweak: bytes, domain: int) -> None:
        if not MIN_DOMAIN <= domain <= MAX_DOMAIN:
            raise FpeDomainError(f"{domain:,} possible values, format-preserving encryption needs 10**6 to 2**64")
        if len(key) != 32 or len(tweak) != _TWEAK_BYTES:
            raise DesensitizationError("FF1: expected a key of 32 bytes and a tweak of 8")
        self.domain = domain
        self.radix = _fourth_root(domain)
        self._half = self.radix * self.radix
        self._encrypt_blocks = _block_cipher(key)
        # The first block (P) is the same in every round: its encryption is the chaining value of the second one (Q).
        chaining = self._encrypt_blocks(_head(self.radix, 2, _NUMERALS, _TWEAK_BYTES))
        num_half = _bytes_of(self.radix, 2)
        fixed = tweak + bytes((-_TWEAK_BYTES - num_half - 1) % 16) + b"\0" + bytes(num_half)
        self._masks = np.frombuffer(
            b"".join(
                _xor(chaining, fixed[: -num_half - 1] + bytes([i]) + fixed[len(fixed) - num_half :])
                for i in range(ROUNDS)
            ),
            dtype=">u8",
        ).reshape(ROUNDS, 2)
        self._masks_of_one = [int.from_bytes(mask.tobytes(), "big") for mask in self._masks]

    def encrypt(self, value: int) -> int:
        """One value; a column is faster through ``encrypt_many``."""
        return self._walked_one(value, forward=True)

    def decrypt(self, value: int) -> int:
        """One value back."""
        return self._walked_one(value, forward=False)

    def encrypt_many(self, values: Sequence[int] | NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A column: (n,) in [0, N) to (n,) in [0, N)."""
        return self._walked(values, range(ROUNDS), forward=True)

    def decrypt_many(self, values: Sequence[int] | NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The way back."""
        return self._walked(values, range(ROUNDS - 1, -1, -1), forward=False)

    def _walked_one(self, value: int, *, forward: bool) -> int:
        """The same on integers, without the cost of arrays."""
        if not 0 <= value < self.domain:
            raise DesensitizationError("FF1: a rank is not below the number of possible values")
        half, aes, masks = self._half, self._encrypt_blocks, self._masks_of_one
        while True:
            a, b = divmod(value, half)
            if forward:
                for mask in masks:
                    a, b = b, (a + int.from_bytes(aes((b ^ mask).to_bytes(16, "big"))[:8], "big")) % half
            else:
                for mask in reversed(masks):
                    a, b = (b - int.from_bytes(aes((a ^ mask).to_bytes(16, "big"))[:8], "big")) % half, a
            value = a * half + b
            if value < self.domain:
                return value

    def _walked(
        self, values: Sequence[int] | NDArray[np.uint64], rounds: range, *, forward: bool
    ) -> NDArray[np.uint64]:
        last = np.uint64(self.domain - 1)
        try:
            out = np.array(values, dtype=np.uint64, ndmin=1)
            inside = not out.size or bool(out.max() <= last)
        except OverflowError:
            inside = False
        if not inside:
            raise DesensitizationError("FF1: a rank is not below the number of possible values") from None
        open_ = np.arange(len(out))
        while len(open_):
            out[open_] = self._pass(out[open_], rounds, forward=forward)
            open_ = open_[out[open_] > last]
        return out

    def _pass(self, values: NDArray[np.uint64], rounds: range, *, forward: bool) -> NDArray[np.uint64]:
        """All rounds over a column; both halves stay below radix**2 <= 2**32."""
        half = np.uint64(self._half)
        a, b = values // half, values % half
        if not forward:
            a, b = b, a
        blocks = np.empty((len(values), 2), dtype=">u8")
        for i in rounds:
            blocks[:, 0] = self._masks[i, 0]
            blocks[:, 1] = b ^ self._masks[i, 1].astype(np.uint64)
            stream = np.frombuffer(self._encrypt_blocks(blocks.tobytes()), dtype=">u8")[::2].astype(np.uint64) % half
            a, b = b, (a + stream) % half if forward else (a + (half - stream)) % half
        return a * half + b if forward else b * half + a


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyDescriptor:
    """What must agree before a column is encrypted or restored. Holds no secret.

    Args:
        key_id: of the site's key.
        site_id: of the institution.
        created: ISO date.
        not_after: ISO date, the last birth date that the resident ids of this key can hold. Fixed with the key:
            "today" would change the permutation daily.
        algorithm: ``FF1-AES256-r4``.
        tables: digest of the ranking tables.
    """

    key_id: str
    site_id: str
    created: str
    not_after: str
    algorithm: str = ALGORITHM
    tables: str = field(default_factory=tables.ranking_digest)

    @property
    def num_days(self) -> int:
        """D: days from 1900-01-01 to ``not_after``, both included."""
        try:
            return (datetime.date.fromisoformat(self.not_after) - datetime.date(1900, 1, 1)).days + 1
        except ValueError:
            raise DesensitizationError("key descriptor: not_after is no ISO date") from None

    def check(self, keys: ScrubKeys) -> None:
        """Refuse a key of another site or name, another algorithm, other tables.

        Raises:
            DesensitizationError: names what differs, and nothing of the data.
        """
        expected = {"key_id": keys.key_id, "site_id": keys.site_id, "algorithm": ALGORITHM}
        expected["tables"] = tables.ranking_digest()
        for name, value in expected.items():
            if getattr(self, name) != value:
                raise DesensitizationError(f"key descriptor: {name} is not the one of this column")
        if self.num_days < 1:
            raise DesensitizationError("key descriptor: not_after lies before 1900")

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> KeyDescriptor:
        """The descriptor of a column.

        Raises:
            DesensitizationError: anything but the six strings.
        """
        names = set(cls.__slots__)
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if not isinstance(data, Mapping) or set(data) != names or not all(type(v) is str for v in data.values()):
            raise DesensitizationError("key descriptor: expected the six named strings")
        return cls(**data)


def tweak(type_name: str, keys: ScrubKeys, context: str) -> bytes:
    """8 bytes: SHA-256 over the type, the names of site and key, and what of the value stays as it is."""
    parts = (type_name, keys.site_id, keys.key_id, context)
    return hashlib.sha256(_LABEL + b"".join(map(length_prefixed, parts))).digest()[:_TWEAK_BYTES]


def permutation(keys: ScrubKeys, type_name: str, context: str, domain: int) -> IntegerFpe:
    """The permutation of one type under one key; ``context`` names what is kept (a prefix, a mask, a date)."""
    return IntegerFpe(keys.derive("fpe", type_name), tweak(type_name, keys, context), domain)


def _block_cipher(key: bytes) -> Callable[[bytes], bytes]:
    # ECB over independent blocks is the bare block cipher that FF1 is built from; no message is encrypted so.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update


def _head(radix: int, u: int, n: int, num_tweak: int) -> bytes:
    """P: the first block of every round."""
    return (
        bytes([1, 2, 1])
        + radix.to_bytes(3, "big")
        + bytes([10, u % 256])
        + n.to_bytes(4, "big")
        + num_tweak.to_bytes(4, "big")
    )


def _bytes_of(radix: int, length: int) -> int:
    """b: bytes that hold any number of ``length`` numerals, exactly."""
    return (int(radix**length - 1).bit_length() + 7) // 8


def _fourth_root(domain: int) -> int:
    """The least r with r**4 >= domain."""
    root = math.isqrt(math.isqrt(domain))
    return root if root**4 == domain else root + 1


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


__all__ = [
    "ALGORITHM",
    "Ff1",
    "IntegerFpe",
    "KeyDescriptor",
    "MAX_DOMAIN",
    "MIN_DOMAIN",
    "permutation",
    "ROUNDS",
    "tweak",
]
