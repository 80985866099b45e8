"""Who may open an envelope: two small interfaces, three kinds of each.

A recipient wraps the file key into a stanza of the header, an identity unwraps it: by an X25519 key (RFC 7748), by a
passphrase (scrypt, RFC 7914, or Argon2id, RFC 9106), or by a slot key of the vault. ``wrapped`` is AES-256-GCM under a
fresh wrap key with a zero nonce: the wrap key depends on the random ``file_id`` (and a fresh ephemeral key or salt),
so it encrypts once in its life. Not handled here: the header around the stanzas.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedward.common.errors import ConfigError, EnvelopeHeaderError
from fedward.common.secagg.transcript import transcript

KEY_BYTES = 32
WRAPPED_BYTES = 48
ID_BYTES = 16
MIN_PASSPHRASE_CHARS = 12
_ZERO_NONCE = bytes(12)
_TAG_BYTES = 8

RandomBytes = Callable[[int], bytes]
"""``secrets.token_bytes`` everywhere but in tests of known answers."""


class StanzaType(IntEnum):
    """The kinds of stanza in a header."""

    X25519 = 1
    PASSPHRASE = 2
    SLOT = 3


BODY_BYTES = {StanzaType.X25519: 88, StanzaType.PASSPHRASE: 77, StanzaType.SLOT: 64}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stanza:
    """One wrapped file key, as it stands in the header."""

    type: StanzaType
    body: bytes = field(repr=False)


class Recipient(Protocol):
    """Wraps a file key."""

    def wrap(self, file_key: bytes, file_id: bytes, random_bytes: RandomBytes) -> Stanza:
        """A stanza that only the matching identity opens."""


class Identity(Protocol):
    """Unwraps a file key."""

    def unwrap(self, stanza: Stanza, file_id: bytes) -> bytes | None:
        """The file key, or None if the stanza is not for this identity. Never raises on a hostile stanza."""


def hkdf(key: bytes, salt: bytes, label: str, *fields: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) to 32 bytes; the info is a transcript."""
    return HKDF(SHA256(), KEY_BYTES, salt, transcript(f"fedward/envelope/v1/{label}", *fields)).derive(key)


def _wrap(wrap_key: bytes, file_key: bytes) -> bytes:
    return AESGCM(wrap_key).encrypt(_ZERO_NONCE, file_key, None)


def _unwrap(wrap_key: bytes, wrapped: bytes) -> bytes | None:
    try:
        return AESGCM(wrap_key).decrypt(_ZERO_NONCE, wrapped, None)
    except InvalidTag:
        return None


def _x25519_tag(public_key: bytes) -> bytes:
    """Lets an identity pass over stanzas of others without a scalar multiplication."""
    return hashlib.sha256(public_key).digest()[:_TAG_BYTES]


def _x25519_wrap_key(secret: X25519PrivateKey, other: bytes, ephemeral: bytes, public: bytes, file_id: bytes) -> bytes:
    """The wrap key.

    Raises:
        ValueError: ``other`` is of small order: the shared secret would be all zero.
    """
    shared = secret.exchange(X25519PublicKey.from_public_bytes(other))
    return hkdf(shared, ephemeral + public, "x25519", file_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class X25519Recipient:
    """Whoever holds the private key of ``public_key`` (32 bytes)."""

    public_key: bytes

    def __post_init__(self) -> None:
        if type(self.public_key) is not bytes or len(self.public_key) != KEY_BYTES:
            raise ConfigError(f"an X25519 public key has {KEY_BYTES} bytes")

    def wrap(self, file_key: bytes, file_id: bytes, random_bytes: RandomBytes) -> Stanza:
        """A stanza under a fresh ephemeral key.

        Raises:
            ConfigError: the public key is of small order.
        """
        ephemeral_key = X25519PrivateKey.from_private_bytes(random_bytes(KEY_BYTES))
        ephemeral = ephemeral_key.public_key().public_bytes_raw()
        try:
            wrap_key = _x25519_wrap_key(ephemeral_key, self.public_key, ephemeral, self.public_key, file_id)
        except ValueError:
            raise ConfigError("this X25519 public key opens nothing and is refused") from None
        body = _x25519_tag(self.public_key) + ephemeral + _wrap(wrap_key, file_key)
        return Stanza(type=StanzaType.X25519, body=body)


@dataclass(frozen=True, kw_only=True, slots=True)
class X25519Identity:
    """A private X25519 key."""

    _key: X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> X25519Identity:
        """A new key from the operating system's CSPRNG."""
        return cls(_key=X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, secret: bytes) -> X25519Identity:
        """From 32 secret bytes."""
        return cls(_key=X25519PrivateKey.from_private_bytes(secret))

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for a key file or the keystore."""
        return self._key.private_bytes_raw()

    @property
    def recipient(self) -> X25519Recipient:
        """Seals for this identity."""
        return X25519Recipient(public_key=self._key.public_key().public_bytes_raw())

    def unwrap(self, stanza: Stanza, file_id: bytes) -> bytes | None:
        """The file key, or None."""
        public, body = self.recipient.public_key, stanza.body
        if stanza.type is not StanzaType.X25519 or body[:_TAG_BYTES] != _x25519_tag(public):
            return None
        ephemeral = body[_TAG_BYTES : _TAG_BYTES + KEY_BYTES]
        try:
            wrap_key = _x25519_wrap_key(self._key, ephemeral, ephemeral, public, file_id)
        except ValueError:
            return None
        return _unwrap(wrap_key, body[_TAG_BYTES + KEY_BYTES :])


class Kdf(IntEnum):
    """How a passphrase becomes a key."""

    SCRYPT = 1
    ARGON2ID = 2


_PASSPHRASE_HEAD = struct.Struct(">BIII")


@dataclass(frozen=True, kw_only=True, slots=True)
class PassphraseCost:
    """Parameters of the key derivation; checked before anything is allocated.

    Args:
        kdf: scrypt with (log2 N, r, p), or Argon2id with (KiB, passes, lanes).
        numbers: the three parameters.
    """

    kdf: Kdf = Kdf.ARGON2ID
    numbers: tuple[int, int, int] = (256 * 1024, 3, 4)

    def __post_init__(self) -> None:
        first, second, third = self.numbers
        if self.kdf is Kdf.SCRYPT:
            fits = 14 <= first <= 20 and second == 8 and 1 <= third <= 4
        else:
            fits = 8 * 1024 <= first <= 2 * 1024 * 1024 and 1 <= second <= 16 and 1 <= third <= 16
        if not fits:
            raise EnvelopeHeaderError(f"{self.kdf.name.lower()} parameters {self.numbers} are outside the limits")

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        """32 bytes.

        Raises:
            ConfigError: this machine has too little memory for it.
        """
        first, second, third = self.numbers
        kdf: Scrypt | Argon2id
        if self.kdf is Kdf.SCRYPT:
            kdf, num_kib = Scrypt(salt=salt, length=KEY_BYTES, n=1 << first, r=second, p=third), 1 << first
        else:
            kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=second, lanes=third, memory_cost=first)
            num_kib = first
        try:
            return kdf.derive(passphrase)
        except MemoryError:
            raise ConfigError(
                f"this passphrase takes {num_kib // 1024} MiB of memory", hint="Use a machine that has as much."
            ) from None


SCRYPT = PassphraseCost(kdf=Kdf.SCRYPT, numbers=(17, 8, 1))
"""On request, where Argon2id's memory is too much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passphrase:
    """Whoever knows a passphrase; recipient and identity in one.

    Args:
        text: at least 12 characters; normalised to NFC, so that two keyboards give the same bytes.
        cost: of new stanzas; opening takes the stanza's own, within the limits.
    """

    text: str = field(repr=False)
    cost: PassphraseCost = PassphraseCost()

    def __post_init__(self) -> None:
        if any("\ud800" <= character <= "\udfff" for character in self.text):  # what the terminal could not decode
            raise ConfigError("the passphrase is no UTF-8 text", hint="Check the encoding of the terminal.")
        if len(unicodedata.normalize("NFC", self.text)) < MIN_PASSPHRASE_CHARS:
            raise ConfigError(
                f"the passphrase is shorter than {MIN_PASSPHRASE_CHARS} characters", hint="Four random words do well."
            )

    def _key(self, cost: PassphraseCost, salt: bytes, file_id: bytes) -> bytes:
        derived = cost.derive(unicodedata.normalize("NFC", self.text).encode(), salt)
        return hkdf(derived, salt, "passphrase", file_id)

    def wrap(self, file_key: bytes, file_id: bytes, random_bytes: RandomBytes) -> Stanza:
        """A stanza under a fresh salt."""
        salt = random_bytes(ID_BYTES)
        head = _PASSPHRASE_HEAD.pack(self.cost.kdf, *self.cost.numbers)
        wrapped = _wrap(self._key(self.cost, salt, file_id), file_key)
        return Stanza(type=StanzaType.PASSPHRASE, body=head + salt + wrapped)

    def unwrap(self, stanza: Stanza, file_id: bytes) -> bytes | None:
        """The file key, or None. The header's reader has checked the parameters already."""
        if stanza.type is not StanzaType.PASSPHRASE:
            return None
        salt = stanza.body[_PASSPHRASE_HEAD.size : _PASSPHRASE_HEAD.size + ID_BYTES]
        wrapped = stanza.body[_PASSPHRASE_HEAD.size + ID_BYTES :]
        return _unwrap(self._key(passphrase_cost(stanza), salt, file_id), wrapped)


def passphrase_cost(stanza: Stanza) -> PassphraseCost:
    """The parameters that a passphrase stanza asks for.

    Raises:
        EnvelopeHeaderError: an unknown derivation, or parameters outside the limits.
    """
    kdf, *numbers = _PASSPHRASE_HEAD.unpack_from(stanza.body)
    if kdf not in Kdf.__members__.values():
        raise EnvelopeHeaderError("a passphrase stanza names an unknown key derivation")
    return PassphraseCost(kdf=Kdf(kdf), numbers=(numbers[0], numbers[1], numbers[2]))


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotKey:
    """A data key of the vault, named by its slot; recipient and identity in one."""

    slot_id: bytes
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.slot_id) != ID_BYTES or len(self.key) != KEY_BYTES:
            raise ConfigError(f"a slot has an id of {ID_BYTES} and a key of {KEY_BYTES} bytes")

    def wrap(self, file_key: bytes, file_id: bytes, random_bytes: RandomBytes) -> Stanza:
        """A stanza that names the slot."""
        wrapped = _wrap(hkdf(self.key, self.slot_id, "slot", file_id), file_key)
        return Stanza(type=StanzaType.SLOT, body=self.slot_id + wrapped)

    def unwrap(self, stanza: Stanza, file_id: bytes) -> bytes | None:
        """The file key, or None."""
        if stanza.type is not StanzaType.SLOT or stanza.body[:ID_BYTES] != self.slot_id:
            return None
        return _unwrap(hkdf(self.key, self.slot_id, "slot", file_id), stanza.body[ID_BYTES:])


__all__ = [
    "BODY_BYTES",
    "hkdf",
    "Identity",
    "Kdf",
    "Passphrase",
    "passphrase_cost",
    "PassphraseCost",
    "RandomBytes",
    "Recipient",
    "SCRYPT",
    "SlotKey",
    "Stanza",
    "StanzaType",
    "X25519Identity",
    "X25519Recipient",
]
