"""Bundles of masked rounds, as they are laid in: ahead with a round's last reply, else by a trip of its own.

Not handled here: what a bundle is (``secagg.prekeys``), and the rounds that use them (``masked_rounds``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import demands, graph_views
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.prekeys import PrekeyShelf, TransportKey, target_for
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.server.exchange import Answer, Exchange
from fedward.server.graph_setup import GraphSetup

PREKEY = "prekey"
"""Tag of a request for bundles."""


@dataclass(kw_only=True, slots=True)
class Shelves:
    """Of one run.

    Args:
        plan: with a masked profile.
        exchange: with the sites.
        setup: of the mask graph, where it is sparse.
        terms: of the run, outside rounds.
    """

    plan: RunPlan
    exchange: Exchange
    setup: GraphSetup
    terms: Callable[[], Terms]
    keys: dict[str, TransportKey] = field(init=False, default_factory=dict)
    """Of the sites that take part."""
    absent: dict[str, str] = field(init=False, default_factory=dict)
    """Sites that did not answer the last time, and why."""
    _shelves: dict[RoundPosition, PrekeyShelf] = field(init=False, default_factory=dict, repr=False)

    @property
    def _graph(self) -> MaskGraph | None:
        """Of the run, if it has a sparse one and it is agreed on."""
        return self.setup.graph

    def check(self, cohort: Collection[str], num_holders: int) -> None:
        """Refuse a cohort that its sites would refuse.

        Raises:
            ProtocolError: why.
        """
        terms, graph = self.terms(), self._graph
        demands.check_size(terms, graph, num_cohort=len(cohort), num_holders=num_holders)
        demands.check_numbers(
            terms,
            graph,
            cohort,
            num_holders=num_holders,
            min_survivors=demands.least_survivors(terms, graph, cohort, num_holders),
            stated_colluders=demands.colluders(terms, graph, cohort),
        )

    def would_do(self, cohort: Collection[str], num_holders: int) -> bool:
        """Whether sites would take part in such a cohort."""
        try:
            self.check(cohort, num_holders)
        except ProtocolError:
            return False
        return True

    def holders(self, sites: tuple[str, ...]) -> dict[str, TransportKey]:
        """All sites, so that the absent may come back; the present ones alone, where the threshold over all is lost.

        On a sparse graph all that are in it, for the whole run.
        """
        if self._graph is not None:
            return {site: self.keys[site] for site in self._graph.ring}
        present = [site for site in sites if site not in self.absent]
        without = self.would_do(present, len(present)) and not self.would_do(present, len(sites))
        return {site: self.keys[site] for site in (present if without else sites)}

    def new(self, at: RoundPosition, sites: tuple[str, ...], terms: Terms) -> PrekeyShelf:
        """An empty one."""
        target = target_for(at, self.holders(sites), self._graph)
        return PrekeyShelf(terms=terms, target=target, graph=self._graph)

    def filled(self, at: RoundPosition, sites: tuple[str, ...], terms: Terms) -> PrekeyShelf:
        """Bundles for a position: those that are there, and by an extra trip those of present sites that lack."""
        shelf = self._shelves.pop(at, None)
        if shelf is None:
            shelf = self.new(at, sites, terms)
        lacking = set(shelf.holders.ids) - set(shelf.ready)
        if self.would_do(shelf.ready, len(shelf.holders.ids)):
            # The absent are not waited for; where the others are too few they may be back.
            lacking -= set(self.absent)
        if lacking:
            self.exchange.traffic.trips += 1
            self.ask(shelf, lacking)
            while self.exchange.is_waiting:
                for answer in self.exchange.poll():
                    self.take(shelf, answer)
        return shelf

    def upcoming(self, at: RoundPosition, sites: tuple[str, ...], terms: Terms) -> PrekeyShelf | None:
        """The shelf that this attempt's last reply fills; None in the last round, and where there is one already."""
        target = (at[0] + 1, 0)
        if at[0] >= self.plan.rounds or target in self._shelves:
            return None
        shelf = self._shelves[target] = self.new(target, sites, terms)
        return shelf

    def ask(self, shelf: PrekeyShelf, sites: Iterable[str]) -> None:
        """Send requests; the answers are for ``take``."""
        header = self.terms().position(shelf.position).header(COORDINATOR)
        timeout_s = self.plan.secagg.trip_timeout_s
        if self._graph is None:
            raw = self.exchange.seal(pb.Prekey(header=header, target=shelf.target))
            self.exchange.send(in_order(sites), raw, timeout_s=timeout_s, tag=PREKEY)
            return
        reveals = list(self.setup.reveals())
        for site in in_order(sites):
            target = graph_views.target_for(self._graph, shelf.target, site)
            raw = self.exchange.seal(pb.Prekey(header=header, target=target, reveals=reveals))
            self.exchange.send([site], raw, timeout_s=timeout_s, tag=PREKEY)

    def take(self, shelf: PrekeyShelf, answer: Answer) -> None:
        """The answer to a request, or why there is none."""
        opened, failure = self.exchange.opened(answer, pb.PrekeyReply, self.terms().position(shelf.position))
        if opened is not None and opened.body.request_hash not in answer.request.hashes:
            opened, failure = None, "REPLAY_CONFLICT"
        self.lay_in(shelf, answer.site_id, None if opened is None else opened.body.dealing, failure)

    def lay_in(self, shelf: PrekeyShelf, site_id: str, dealing: pb.Dealing | None, failure: str) -> str:
        """Put a bundle on the shelf, or remember why there is none."""
        if dealing is not None:
            try:
                shelf.put(site_id, dealing)
            except ProtocolError as error:
                failure = error.code
        if failure:
            self.absent[site_id] = failure
        else:
            self.absent.pop(site_id, None)
        return failure


__all__ = ["PREKEY", "Shelves"]
