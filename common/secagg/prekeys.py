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
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile, shamir_threshold


@dataclass(frozen=True, slots=True)
class TransportKey:
    """As a site's ``PlanAccept`` states it."""

    key: bytes
    signature: bytes


def target_for(
    at: RoundPosition, transport_keys: Mapping[str, TransportKey], graph: MaskGraph | None = None
) -> pb.Target:
    """What the sites are asked to make bundles for: all of them hold shares; on a sparse graph, of their neighbours."""
    holders = [
        pb.Holder(
            site_id=site_id, transport_key=transport_keys[site_id].key, signature=transport_keys[site_id].signature
        )
        for site_id in in_order(transport_keys)
    ]
    threshold = shamir_threshold(len(holders)) if graph is None else graph.threshold
    return pb.Target(round=at[0], attempt=at[1], threshold=threshold, holders=holders)


@dataclass(kw_only=True, slots=True)
class PrekeyShelf:
    """Bundles and packets for one target; those that are not what they should be are not taken."""

    terms: Terms
    target: pb.Target
    graph: MaskGraph | None = None
    """Where it is sparse."""
    holders: Holders = field(init=False)
    _places: dict[str, dict[str, int]] = field(init=False, default_factory=dict)
    """By dealer, the places of its packets."""
    _dealings: dict[str, Dealing] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        keys = {holder.site_id: holder.transport_key for holder in self.target.holders}
        common = b"" if self.graph is None else self.graph.holders_hash
        self.holders = Holders(threshold=self.target.threshold, transport_keys=keys, common_hash=common)

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
        expected = 0 if self.terms.profile is Profile.STRICT else len(self._readers(site_id))
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
        if dealer not in self._places:
            self._places[dealer] = {reader: place for place, reader in enumerate(self._readers(dealer))}
        return self._dealings[dealer].packets[self._places[dealer][holder]]

    def _readers(self, dealer: str) -> tuple[str, ...]:
        """The sites that a dealer's packets are for, in their order."""
        if self.graph is not None:
            return self.graph.neighbours(dealer)
        return tuple(site_id for site_id in self.holders.ids if site_id != dealer)


__all__ = ["PrekeyShelf", "target_for", "TransportKey"]
