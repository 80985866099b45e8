"""The coordinator's shelf of bundles that sites laid in for one position."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import bundles as dealt
from fedward.common.secagg.bundles import Bundle, Dealing, Holders
from fedward.common.secagg.cohort_checks import check_bundles
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile, shamir_threshold


@dataclass(frozen=True, slots=True)
class TransportKey:
    """As a site's ``PlanAccept`` states it."""

    key: bytes
    signature: bytes


def target_for(at: RoundPosition, transport_keys: Mapping[str, TransportKey]) -> pb.Target:
    """What the sites are asked to make bundles for: all of them hold shares."""
    holders = [
        pb.Holder(
            site_id=site_id, transport_key=transport_keys[site_id].key, signature=transport_keys[site_id].signature
        )
        for site_id in in_order(transport_keys)
    ]
    return pb.Target(round=at[0], attempt=at[1], threshold=shamir_threshold(len(holders)), holders=holders)


@dataclass(kw_only=True, slots=True)
class PrekeyShelf:
    """Bundles and packets for one target; those that are not what they should be are not taken."""

    terms: Terms
    target: pb.Target
    holders: Holders = field(init=False)
    _places: dict[str, int] = field(init=False)
    _dealings: dict[str, Dealing] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        keys = {holder.site_id: holder.transport_key for holder in self.target.holders}
        self.holders = Holders(threshold=self.target.threshold, transport_keys=keys)
        self._places = {site_id: place for place, site_id in enumerate(self.holders.ids)}

    @property
    def position(self) -> RoundPosition:
        """Round and attempt."""
        return self.target.round, self.target.attempt

    @property
    def ready(self) -> tuple[str, ...]:
        """Sites with a bundle."""
        return in_order(self._dealings)

    def put(self, site_id: str, message: pb.Dealing) -> None:
        """Take a site's dealing.

        Raises:
            ProtocolError: ``UNKNOWN_SITE``, ``PREKEY_EXISTS``, ``BAD_ENCODING``, ``KEY_INVALID``, or what
                ``check_bundles`` raises.
        """
        if site_id not in self.holders.transport_keys:
            raise ProtocolError("UNKNOWN_SITE", "a bundle of a site that was not asked")
        dealing = Dealing.from_wire(site_id, message)
        known = self._dealings.get(site_id)
        if known is not None:
            if known == dealing:
                return
            raise ProtocolError("PREKEY_EXISTS", "a second bundle of one site")
        expected = 0 if self.terms.profile is Profile.STRICT else len(self.holders.transport_keys) - 1
        if len(dealing.packets) != expected or dealing.bundle.shares_hash != dealt.shares_hash(dealing.packets):
            raise ProtocolError("BAD_ENCODING", "the packets are not those that the bundle names")
        check_bundles(self.terms, self.position, {site_id: dealing.bundle}, holders_hash=self.holders.hash)
        # A key that no site can agree with: in a cohort all others would refuse it, round after round.
        AgreementKey.generate(os.urandom).agree(dealing.bundle.mask_key)
        if any(dealing.bundle.mask_key == other.bundle.mask_key for other in self._dealings.values()):
            raise ProtocolError("KEY_INVALID", "two sites with one key")
        self._dealings[site_id] = dealing

    def bundle(self, site_id: str) -> Bundle:
        """Of a site that is ready."""
        return self._dealings[site_id].bundle

    def packet(self, dealer: str, holder: str) -> bytes:
        """From one site to another; empty from a site to itself, and under ``strict``."""
        if dealer == holder or self.terms.profile is Profile.STRICT:
            return b""
        # The dealer's own place is left out of its packets.
        place = self._places[holder] - (self._places[holder] > self._places[dealer])
        return self._dealings[dealer].packets[place]


__all__ = ["PrekeyShelf", "target_for", "TransportKey"]
