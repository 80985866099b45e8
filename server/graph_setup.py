"""The coordinator's side of agreeing on a run's mask graph: one trip before the first request for bundles.

It hands round what sites commit to and what they show; it chooses nothing. A site that does not show its part is out of
the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fedward.common.config import COORDINATOR
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import graph_seed
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_seed import Commitment
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import Terms
from fedward.server.exchange import Exchange


@dataclass(kw_only=True, slots=True)
class GraphSetup:
    """Of one run.

    Args:
        exchange: with the sites.
        timeout_s: for the one trip.
    """

    exchange: Exchange
    timeout_s: float
    graph: MaskGraph | None = field(init=False, default=None)
    """Once it is agreed on."""
    failures: dict[str, str] = field(init=False, default_factory=dict)
    """Sites that are out of the run, and why."""
    _commitments: dict[str, Commitment] = field(init=False, default_factory=dict)
    _shown: dict[str, bytes] = field(init=False, default_factory=dict, repr=False)

    def welcome(self, terms: Terms, site_id: str, stated: Commitment) -> None:
        """Take note of what a site commits to.

        Raises:
            ProtocolError: ``BAD_SIGNATURE``: it did not sign it.
        """
        graph_seed.check_commitment(terms, site_id, stated)
        self._commitments[site_id] = stated

    def agreed(self, terms: Terms) -> MaskGraph:
        """The graph; the sites are asked if they were not yet, those again that did not answer.

        Raises:
            ProtocolError: ``GRAPH_MISMATCH``: too many sites do not show their part. ``THRESHOLD_UNUSABLE``.
        """
        if self.graph is None:
            self._ask(terms)
            self.graph = graph_seed.graph_of(terms, self._shown, num_committed=len(self._commitments))
        return self.graph

    def _ask(self, terms: Terms) -> None:
        position = terms.position((0, 0))
        members = [
            pb.GraphMember(site_id=site_id, commitment=stated.value, signature=stated.signature)
            for site_id in in_order(self._commitments)
            for stated in (self._commitments[site_id],)
        ]
        raw = self.exchange.seal(pb.Graph(header=position.header(COORDINATOR), members=members))
        missing = in_order(set(self._commitments) - set(self._shown))
        for answer in self.exchange.ask(missing, raw, self.timeout_s):
            opened, failure = self.exchange.opened(answer, pb.GraphReply, position)
            self._take(terms, answer.site_id, opened, failure, answer.request.hashes)

    def _take(
        self,
        terms: Terms,
        site_id: str,
        opened: codec.Opened[pb.GraphReply] | None,
        failure: str,
        hashes: tuple[bytes, bytes],
    ) -> None:
        if opened is not None:
            made = graph_seed.commitment_to(opened.body.shown, run_id=terms.run_id, site_id=site_id)
            if opened.body.request_hash not in hashes:
                failure = "REPLAY_CONFLICT"
            elif made != self._commitments[site_id].value:
                failure = "GRAPH_MISMATCH"
            else:
                self._shown[site_id] = opened.body.shown
                self.failures.pop(site_id, None)
                return
        self.failures[site_id] = failure

    def reveals(self) -> Iterable[pb.GraphReveal]:
        """What every site is told with a request for bundles."""
        commitments = {site_id: stated.value for site_id, stated in self._commitments.items()}
        return graph_seed.reveals_of(self._shown, commitments)


__all__ = ["GraphSetup"]
