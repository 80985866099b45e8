"""What a coordinator tells a cohort, and what it keeps while it waits: the parts of ``coordinator`` without a clock."""

from __future__ import annotations

from collections.abc import Collection as Sites
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import demands, graph_views
from fedward.common.secagg.actions import Send
from fedward.common.secagg.bundles import Bundle
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_views import NeighbourhoodRecovery
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.opening import Opening
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.quorum import Quorum
from fedward.common.secagg.recovery import Recovery
from fedward.common.secagg.statements import Survivor, in_order
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH


class CoordinatorPhase(StrEnum):
    """Where an attempt stands."""

    COLLECTING = "collecting"
    CONFIRMING = "confirming"
    UNMASKING = "unmasking"
    OPEN = "open"
    VOID = "void"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """How long each trip may take."""

    train_s: float
    reply_s: float
    """For ``Confirm`` and for ``Unmask``, each."""


@dataclass(kw_only=True, slots=True)
class Collection:
    """Vectors that came in."""

    survivors: dict[str, Survivor] = field(default_factory=dict)
    complaints: set[tuple[str, str]] = field(default_factory=set)
    """Dealer, and holder whose packet did not open."""


def told_train(
    terms: Terms, train: pb.Train, shelf: PrekeyShelf, cohort: tuple[str, ...], upcoming: pb.Target | None
) -> pb.Train:
    """The ``Train`` of an attempt with all that its cohort must be told alike.

    Raises:
        ProtocolError: the cohort is one that sites would refuse.
    """
    filled = pb.Train()
    filled.CopyFrom(train)
    filled.cohort[:] = in_order(cohort)
    graph, num_holders = shelf.graph, len(shelf.holders.transport_keys)
    filled.min_survivors = demands.least_survivors(terms, graph, cohort, num_holders)
    filled.assumed_colluders = demands.colluders(terms, graph, cohort)
    filled.graph_hash = demands.graph_hash(graph)
    filled.previous_sum_hash = train.previous_sum_hash or ZERO_HASH
    filled.bundles.extend(shelf.bundle(site_id).to_wire() for site_id in filled.cohort)
    if terms.profile is Profile.STRICT and upcoming is not None:
        filled.next.CopyFrom(upcoming)
    demands.check_size(terms, graph, num_cohort=len(cohort), num_holders=num_holders)
    demands.check_numbers(
        terms,
        graph,
        cohort,
        num_holders=num_holders,
        min_survivors=filled.min_survivors,
        stated_colluders=filled.assumed_colluders,
    )
    return filled


def mask_of(given: pb.Train) -> pb.Mask:
    """What tells a late cohort whom it is made of; the same for every site."""
    return pb.Mask(
        header=given.header,
        model_digest=given.model_digest,
        layout_digest=given.layout_digest,
        cohort=given.cohort,
        min_survivors=given.min_survivors,
        num_coordinates=given.num_coordinates,
        scale_log2=given.scale_log2,
        clamp_log2=given.clamp_log2,
        previous_sum_hash=given.previous_sum_hash,
        assumed_colluders=given.assumed_colluders,
        graph_hash=given.graph_hash,
        bundles=given.bundles,
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """The ``Train`` of each site.

    Args:
        terms: of the run.
        train: common to all.
        graph: of the run, where it is sparse.
        packets: by site, those that are for it.
        digests: of the cohort's bundles.
    """

    terms: Terms
    train: pb.Train = field(repr=False)
    graph: MaskGraph | None
    packets: Mapping[str, Sequence[bytes]] = field(repr=False)
    digests: Mapping[str, bytes] = field(repr=False)

    def train_for(self, site_id: str) -> pb.Train:
        """The ``Train`` of one site: the common one, with the packets that are for it."""
        if self.graph is not None:
            bare, bundles, digests = self._parts
            return graph_views.train_for(self.graph, bare, bundles, digests, self.packets[site_id], site_id)
        body = pb.Train()
        body.CopyFrom(self.train)
        if self.terms.profile is not Profile.STRICT:
            body.packets[:] = self.packets[site_id]
        return body

    @cached_property
    def _parts(self) -> tuple[pb.Train, dict[str, pb.Bundle], Mapping[str, bytes]]:
        """What a cohort on a sparse graph is told, apart: all but the bundles, the bundles, their digests."""
        bare = pb.Train()
        bare.CopyFrom(self.train)
        bare.ClearField("bundles")
        return bare, dict(zip(self.train.cohort, self.train.bundles, strict=True)), self.digests


def opening_of(bundles: Mapping[str, Bundle], digest: bytes, target: pb.Target, graph: MaskGraph | None) -> Opening:
    """What puts the shares of this cohort together."""
    if graph is not None:
        return Opening(bundles=bundles, digest=digest, recovery=NeighbourhoodRecovery(graph), graph=graph)
    places = {holder.site_id: place for place, holder in enumerate(target.holders, 1)}
    return Opening(bundles=bundles, digest=digest, recovery=Recovery(threshold=target.threshold, places=places))


def quorum_of(bundles: Mapping[str, Bundle], target: pb.Target, graph: MaskGraph | None) -> Quorum:
    """Whose shares are enough for this cohort."""
    holders = None if graph is None else {dealer: frozenset(graph.neighbours(dealer)) for dealer in bundles}
    return Quorum(threshold=target.threshold, holders=holders)


def confirmed_entry(run_id: bytes, at: RoundPosition, survivors_hash: bytes, asked: pb.Unmask) -> JournalEntry:
    """What is written down before shares are asked for of confirmed survivors."""
    return JournalEntry(
        run_id=run_id,
        round_number=at[0],
        attempt=at[1],
        kind=EntryKind.CONFIRMED,
        digest=survivors_hash,
        detail=asked.SerializeToString(deterministic=True),
    )


def confirmations_asked(graph: MaskGraph | None, body: pb.Confirm, sites: Sites[str]) -> tuple[Send, ...]:
    """``Confirm`` for each site; on a sparse graph what concerns it."""
    return tuple(
        Send(site_id, body if graph is None else graph_views.confirm_for(graph, body, site_id))
        for site_id in in_order(sites)
    )


def shares_asked(graph: MaskGraph | None, body: pb.Unmask, sites: Sites[str]) -> tuple[Send, ...]:
    """``Unmask`` for each site; on a sparse graph what concerns it."""
    return tuple(
        Send(site_id, body if graph is None else graph_views.unmask_for(graph, body, site_id))
        for site_id in in_order(sites)
    )


__all__ = [
    "Collection",
    "confirmations_asked",
    "confirmed_entry",
    "CoordinatorPhase",
    "Deadlines",
    "mask_of",
    "opening_of",
    "quorum_of",
    "shares_asked",
    "Told",
    "told_train",
]
