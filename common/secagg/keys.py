"""The key schedule: X25519 agreements, HKDF-SHA256 mask keys, and sealed share packets.

========================  =====================================  =============  ======================================
key                       input key material                     salt           info
========================  =====================================  =============  ======================================
pair mask of i and j      X25519(mask key of i, mask key of j)   cohort digest  T(pair, lower id, higher id)
self mask of i            seed of i                              cohort digest  T(self, id)
packet from i to j        X25519(transport keys of i and j)      run id         T(share, position, i, j, i's mask key,
                                                                                holders hash)
========================  =====================================  =============  ======================================

All keys have 32 bytes and are used whole. The cohort digest as salt makes two sites that were told two stories derive
two keys, so their masks do not cancel. Ids are ordered by their bytes (RFC 7748, RFC 5869, RFC 8439).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.errors import ProtocolError
from fedward.common.secagg.shares import SHARE_BYTES, RandomBytes, is_share
from fedward.common.secagg.transcript import transcript

KEY_BYTES = 32
PACKET_BYTES = 2 * SHARE_BYTES + 16
_FIELD = (1 << 255) - 19
_MAX_MET = 2048
_NONCE = bytes(12)
"""Zero, because each key seals one packet: the dealer's fresh mask key is part of how the key is derived."""


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """An X25519 private key: a site's transport key for a run, or its mask key for one bundle."""

    secret: bytes = field(repr=False)
    public: bytes
    _private: X25519PrivateKey = field(repr=False, compare=False)
    """Kept, because making one anew costs as much as an agreement."""
    _met: dict[bytes, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was agreed on with peers that are met again, by their keys."""

    @classmethod
    def generate(cls, random_bytes: RandomBytes) -> AgreementKey:
        """A new key from 32 fresh bytes."""
        return cls.from_secret(random_bytes(KEY_BYTES))

    @classmethod
    def from_secret(cls, secret: bytes) -> AgreementKey:
        """The key of a secret that was rebuilt or kept: 32 bytes."""
        private = X25519PrivateKey.from_private_bytes(secret)
        return cls(secret, private.public_key().public_bytes_raw(), private)

    def agree(self, peer: bytes) -> bytes:
        """The raw X25519 output with a peer's public key: 32 bytes.

        Raises:
            ProtocolError: ``KEY_INVALID`` for a key of another length, in another than its one encoding, or of low
                order, whose output is all zero.
        """
        # X25519 ignores the top bit and reduces the rest: without this, one key could stand for two sites.
        if int.from_bytes(peer, "little") >= _FIELD:
            raise ProtocolError("KEY_INVALID", "a public key in another than its one encoding")
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError as error:
            raise ProtocolError("KEY_INVALID", "a public key has the wrong length or low order") from error

    def agree_for_long(self, peer: bytes) -> bytes:
        """``agree``, remembered as long as the key is: for transport keys, which meet in every round of a run.

        Raises:
            ProtocolError: ``KEY_INVALID``.
        """
        agreed = self._met.get(peer)
        if agreed is None:
            agreed = self.agree(peer)
            if len(self._met) >= _MAX_MET:
                self._met.clear()
            self._met[peer] = agreed
        return agreed


def derive(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256, 32 bytes out."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def is_lower(site_id: str, other: str) -> bool:
    """Whether ``site_id`` comes first, by its bytes: the lower of two sites adds their mask, the other takes it off."""
    return site_id.encode() < other.encode()


def pair_key(own: AgreementKey, peer: bytes, *, cohort: bytes, own_id: str, peer_id: str) -> bytes:
    """The key of the mask that two sites share; the same at both ends only if both know the same cohort digest.

    Raises:
        ProtocolError: ``KEY_INVALID``.
    """
    low, high = (own_id, peer_id) if is_lower(own_id, peer_id) else (peer_id, own_id)
    return derive(own.agree(peer), salt=cohort, info=transcript("fedward/secagg/v1/pair", low, high))


def self_key(seed: bytes, *, cohort: bytes, site_id: str) -> bytes:
    """The key of the mask that a site puts on alone and the survivors' shares take off."""
    return derive(seed, salt=cohort, info=transcript("fedward/secagg/v1/self", site_id))


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketAddress:
    """From whom to whom, for which bundle."""

    run_id: bytes
    round_number: int
    attempt: int
    dealer: str
    holder: str
    mask_key: bytes
    """The dealer's public mask key in the bundle."""
    holders_hash: bytes

    def key(self, own: AgreementKey, peer: bytes) -> bytes:
        """The key of the packet, from the transport keys of its two ends.

        Raises:
            ProtocolError: ``KEY_INVALID``.
        """
        info = transcript(
            "fedward/secagg/v1/share",
            self.round_number,
            self.attempt,
            self.dealer,
            self.holder,
            self.mask_key,
            self.holders_hash,
        )
        return derive(own.agree_for_long(peer), salt=self.run_id, info=info)


@dataclass(frozen=True, slots=True)
class SharePair:
    """One holder's shares of one dealer's two secrets. A holder gives out one of them, never both."""

    seed: bytes = field(repr=False)
    mask_key: bytes = field(repr=False)


def seal_packet(pair: SharePair, key: bytes) -> bytes:
    """A share packet, 82 bytes."""
    return ChaCha20Poly1305(key).encrypt(_NONCE, pair.seed + pair.mask_key, None)


def open_packet(packet: bytes, key: bytes) -> SharePair | None:
    """The shares in a packet; None if it is not one that was sealed under ``key``."""
    if len(packet) != PACKET_BYTES:
        return None
    try:
        plain = ChaCha20Poly1305(key).decrypt(_NONCE, packet, None)
    except InvalidTag:
        return None
    pair = SharePair(plain[:SHARE_BYTES], plain[SHARE_BYTES:])
    return pair if is_share(pair.seed) and is_share(pair.mask_key) else None


__all__ = [
    "AgreementKey",
    "derive",
    "is_lower",
    "KEY_BYTES",
    "open_packet",
    "PACKET_BYTES",
    "PacketAddress",
    "pair_key",
    "seal_packet",
    "self_key",
    "SharePair",
]
