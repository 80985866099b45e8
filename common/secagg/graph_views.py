"""What of a coordinator's messages one site is told on a sparse graph: of its neighbours all, of the rest hashes.

Every view leaves the digests that all sites must agree on computable, and nothing else of sites that are no neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.recovery import Recovery


def target_for(graph: MaskGraph, target: pb.Target, site_id: str) -> pb.Target:
    """The holders of one site, with itself among them."""
    near = set(graph.around(site_id, graph.ring))
    holders = [holder for holder in target.holders if holder.site_id in near]
    return pb.Target(round=target.round, attempt=target.attempt, threshold=target.threshold, holders=holders)


def train_for(
    graph: MaskGraph,
    bare: pb.Train,
    bundles: Mapping[str, pb.Bundle],
    digests: Mapping[str, bytes],
    packets: Sequence[bytes],
    site_id: str,
) -> pb.Train:
    """The cohort with the bundles of one site and its neighbours, and the digests of the others.

    Args:
        graph: of the run.
        bare: all else that the cohort is told.
        bundles: of the cohort, by site.
        digests: of the bundles.
        packets: to this site, from itself and its neighbours.
        site_id: that is told.
    """
    near = set(graph.around(site_id, bundles))
    body = pb.Train()
    body.CopyFrom(bare)
    body.bundles.extend(bundles[name] for name in bare.cohort if name in near)
    body.packets[:] = packets
    body.bundle_digests[:] = [digests[name] for name in bare.cohort if name not in near]
    return body


def survivors_for(graph: MaskGraph, survivors: Iterable[pb.Survivor], site_id: str) -> list[pb.Survivor]:
    """All survivors, those alone proven that share something with this site."""
    return [
        survivor
        if survivor.site_id == site_id or graph.are_neighbours(site_id, survivor.site_id)
        else pb.Survivor(site_id=survivor.site_id, vector_hash=survivor.vector_hash)
        for survivor in survivors
    ]


def confirm_for(graph: MaskGraph, body: pb.Confirm, site_id: str) -> pb.Confirm:
    """The request to one site to confirm."""
    return pb.Confirm(
        header=body.header,
        cohort_digest=body.cohort_digest,
        survivors=survivors_for(graph, body.survivors, site_id),
    )


def unmask_for(graph: MaskGraph, body: pb.Unmask, site_id: str) -> pb.Unmask:
    """The request to one site for shares, with the confirmations of its neighbours."""
    near = [entry for entry in body.confirmations if graph.are_neighbours(site_id, entry.site_id)]
    return pb.Unmask(
        header=body.header,
        cohort_digest=body.cohort_digest,
        survivors=survivors_for(graph, body.survivors, site_id),
        confirmations=near,
        next=target_for(graph, body.next, site_id) if body.HasField("next") else None,
    )


class NeighbourhoodRecovery:
    """``Recovery`` where each dealer has holders of its own.

    Args:
        graph: of the run.
    """

    def __init__(self, graph: MaskGraph) -> None:
        self._graph = graph
        self._suspects: set[str] = set()
        self.faults: set[tuple[str, str]] = set()
        """Dealer and holder of each false share, as in ``Recovery``."""

    def rebuild(self, dealer: str, shares: Mapping[str, bytes], is_right: Callable[[bytes], bool]) -> bytes | None:
        """See ``Recovery.rebuild``. Who gave a false share once is trusted last everywhere."""
        places = {holder: place for place, holder in enumerate(self._graph.neighbours(dealer), 1)}
        recovery = Recovery(threshold=self._graph.threshold, places=places)
        recovery.suspects = self._suspects
        recovery.faults = self.faults
        return recovery.rebuild(dealer, {holder: shares[holder] for holder in places if holder in shares}, is_right)


__all__ = ["confirm_for", "NeighbourhoodRecovery", "survivors_for", "target_for", "train_for", "unmask_for"]
