"""One-time keys of a site for one (round, attempt): the signed bundle, the secrets behind it, and the share packets.

Both secrets, the seed of the self mask and the private mask key, are split among all holders, and each holder's two
shares travel in one packet that only it can open. Under ``strict`` nothing is split: the sum has every vector or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import shares, statements
from fedward.common.secagg.keys import KEY_BYTES, AgreementKey, PacketAddress, SharePair, open_packet, seal_packet
from fedward.common.secagg.shares import RandomBytes
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH, Field, digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Holders:
    """The sites that shares are dealt to, fixed when a bundle is made."""

    threshold: int
    """So many shares rebuild a secret."""
    transport_keys: Mapping[str, bytes]
    """Site id to X25519 public key."""
    common_hash: bytes = b""
    """On a sparse graph, where each dealer has other holders and is none itself: what all bundles name instead."""

    @property
    def ids(self) -> tuple[str, ...]:
        """In bytewise order; a holder's x-coordinate is its place, from 1."""
        return statements.in_order(self.transport_keys)

    @property
    def hash(self) -> bytes:
        """``H(holders, t, id, key, …)``."""
        if self.common_hash:
            return self.common_hash
        fields: list[Field] = [self.threshold]
        for site_id in self.ids:
            fields += [site_id, self.transport_keys[site_id]]
        return digest("fedward/secagg/v1/holders", *fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """The public part."""

    site_id: str
    run_id: bytes
    round_number: int
    attempt: int
    roster_hash: bytes
    holders_hash: bytes
    mask_key: bytes
    commitment: bytes
    shares_hash: bytes
    signature: bytes = b""

    def digest(self) -> bytes:
        """What is signed, and what stands in the cohort digest."""
        return digest(
            "fedward/secagg/v1/bundle",
            self.site_id,
            self.run_id,
            self.round_number,
            self.attempt,
            self.roster_hash,
            self.holders_hash,
            self.mask_key,
            self.commitment,
            self.shares_hash,
        )

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether the signature is the owner's."""
        return statements.holds(public_key, self.signature, "BUNDLE", self.digest())

    def address(self, holder: str) -> PacketAddress:
        """Of the packet to ``holder``."""
        return PacketAddress(
            run_id=self.run_id,
            round_number=self.round_number,
            attempt=self.attempt,
            dealer=self.site_id,
            holder=holder,
            mask_key=self.mask_key,
            holders_hash=self.holders_hash,
        )

    def to_wire(self) -> pb.Bundle:
        """As it travels, without its owner's id."""
        return pb.Bundle(
            run_id=self.run_id,
            round=self.round_number,
            attempt=self.attempt,
            roster_hash=self.roster_hash,
            holders_hash=self.holders_hash,
            mask_key=self.mask_key,
            commitment=self.commitment,
            shares_hash=self.shares_hash,
            signature=self.signature,
        )

    @classmethod
    def from_wire(cls, site_id: str, message: pb.Bundle) -> Bundle:
        """The bundle that a message states for ``site_id``."""
        return cls(
            site_id=site_id,
            run_id=message.run_id,
            round_number=message.round,
            attempt=message.attempt,
            roster_hash=message.roster_hash,
            holders_hash=message.holders_hash,
            mask_key=message.mask_key,
            commitment=message.commitment,
            shares_hash=message.shares_hash,
            signature=message.signature,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnBundle:
    """A bundle with what its owner alone knows. Lives in memory, never longer than its attempt."""

    bundle: Bundle
    holders: Holders
    mask: AgreementKey = field(repr=False)
    seed: bytes = field(repr=False)
    """Of the self mask; empty under ``strict``."""
    own_shares: SharePair | None = field(repr=False)
    """The owner is a holder of its own secrets, too, but on a sparse graph."""

    @property
    def position(self) -> tuple[int, int]:
        """Round and attempt."""
        return self.bundle.round_number, self.bundle.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Dealing:
    """A bundle and its packets, as the owner gives them to the coordinator."""

    bundle: Bundle
    packets: tuple[bytes, ...]
    """By holder, the owner left out."""

    def to_wire(self) -> pb.Dealing:
        """As it travels."""
        return pb.Dealing(bundle=self.bundle.to_wire(), packets=self.packets)

    @classmethod
    def from_wire(cls, site_id: str, message: pb.Dealing) -> Dealing:
        """What a site's message states."""
        return cls(bundle=Bundle.from_wire(site_id, message.bundle), packets=tuple(message.packets))


def self_commitment(run_id: bytes, round_number: int, attempt: int, site_id: str, seed: bytes) -> bytes:
    """Binds a dealer to its seed; a rebuilt seed must give it again."""
    return digest("fedward/secagg/v1/self-commit", run_id, round_number, attempt, site_id, seed)


def shares_hash(packets: Sequence[bytes]) -> bytes:
    """``H(shares, packets by holder)``; binds the dealer to what it dealt."""
    return digest("fedward/secagg/v1/shares", *packets)


def deal(
    *,
    identity: Identity,
    site_id: str,
    transport: AgreementKey,
    profile: Profile,
    run_id: bytes,
    roster_hash: bytes,
    position: tuple[int, int],
    holders: Holders,
    random_bytes: RandomBytes,
) -> tuple[OwnBundle, Dealing]:
    """Fresh keys for one position, and their shares sealed for every holder.

    Raises:
        ProtocolError: ``KEY_INVALID`` for a holder's transport key.
    """
    mask = AgreementKey.generate(random_bytes)
    round_number, attempt = position
    draft = Bundle(
        site_id=site_id,
        run_id=run_id,
        round_number=round_number,
        attempt=attempt,
        roster_hash=roster_hash,
        holders_hash=holders.hash,
        mask_key=mask.public,
        commitment=ZERO_HASH,
        shares_hash=ZERO_HASH,
    )
    seed = b""
    own_shares: SharePair | None = None
    packets: tuple[bytes, ...] = ()
    if profile is not Profile.STRICT:
        seed = random_bytes(KEY_BYTES)
        own_shares, packets = _split(draft, mask, seed, transport, holders, random_bytes)
        draft = replace(draft, commitment=self_commitment(run_id, round_number, attempt, site_id, seed))
    draft = replace(draft, shares_hash=shares_hash(packets))
    bundle = replace(draft, signature=statements.sign(identity, "BUNDLE", draft.digest()))
    own = OwnBundle(bundle=bundle, holders=holders, mask=mask, seed=seed, own_shares=own_shares)
    return own, Dealing(bundle=bundle, packets=packets)


def _split(
    bundle: Bundle,
    mask: AgreementKey,
    seed: bytes,
    transport: AgreementKey,
    holders: Holders,
    random_bytes: RandomBytes,
) -> tuple[SharePair | None, tuple[bytes, ...]]:
    ids = holders.ids
    of_seed, of_mask = (
        shares.split(
            secret,
            num_shares=len(ids),
            coefficients=shares.random_coefficients(holders.threshold, random_bytes),
        )
        for secret in (seed, mask.secret)
    )
    packets = []
    own: SharePair | None = None
    for holder, seed_share, mask_share in zip(ids, of_seed, of_mask, strict=True):
        pair = SharePair(seed_share, mask_share)
        if holder == bundle.site_id:
            own = pair
        else:
            key = bundle.address(holder).key(transport, holders.transport_keys[holder])
            packets.append(seal_packet(pair, key))
    if own is None and not holders.common_hash:
        raise ProtocolError("HOLDERS_MISMATCH", "the dealer is not among the holders")
    return own, tuple(packets)


def open_dealt(bundle: Bundle, packet: bytes, *, holder: str, own: AgreementKey, dealer_key: bytes) -> SharePair | None:
    """A holder's shares of a dealer's secrets; None if the packet does not open."""
    try:
        return open_packet(packet, bundle.address(holder).key(own, dealer_key))
    except ProtocolError:  # the dealer's transport key is no key
        return None


__all__ = [
    "Bundle",
    "deal",
    "Dealing",
    "Holders",
    "open_dealt",
    "OwnBundle",
    "self_commitment",
    "shares_hash",
]
