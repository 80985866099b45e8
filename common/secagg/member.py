"""What a site is in a run, and the bundles that it makes: checked before, once for a position, written down with it.

Not handled here: the trips of a round (``participant``) and what a bundle is made of (``bundles``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks
from fedward.common.secagg.bundles import Dealing, deal
from fedward.common.secagg.graph import MaskGraph, require_graph
from fedward.common.secagg.graph_part import GraphPart
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.shares import RandomBytes
from fedward.common.secagg.state import NextBundle, State
from fedward.common.secagg.terms import RoundPosition, Terms


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One site in one run, whatever it is asked for."""

    site_id: str
    identity: Identity
    terms: Terms
    transport: AgreementKey = field(repr=False)
    """For the whole run, made by the caller, destroyed with the run."""
    random_bytes: RandomBytes = field(repr=False)

    @property
    def _part(self) -> GraphPart:
        return GraphPart(terms=self.terms, site_id=self.site_id, transport=self.transport)

    def _graph(self, state: State) -> MaskGraph | None:
        """Of a run that has one."""
        return require_graph(state.graph) if self.terms.is_sparse else None

    def _header(self, at: RoundPosition) -> pb.Header:
        return self.terms.position(at).header(self.site_id)

    def _entry(self, at: RoundPosition, kind: EntryKind, digest: bytes, detail: bytes = b"") -> JournalEntry:
        return JournalEntry(
            run_id=self.terms.run_id, round_number=at[0], attempt=at[1], kind=kind, digest=digest, detail=detail
        )

    def _target(self, state: State, target: pb.Target) -> NextBundle:
        """What a new bundle is asked for, checked."""
        at = (target.round, target.attempt)
        self.terms.check_round(at)
        if at <= state.last:
            raise ProtocolError("ROUND_ORDER", "a bundle for a position that has passed")
        if at in state.prekeyed:
            raise ProtocolError("PREKEY_EXISTS", "a second bundle for one position")
        holders = cohort_checks.checked_holders(
            self.terms,
            target,
            own_id=self.site_id,
            own_key=self.transport.public,
            pinned=state.transport_keys,
            graph=self._graph(state),
        )
        return NextBundle(position=at, holders=holders)

    def _upcoming(self, state: State, at: RoundPosition, target: pb.Target | None) -> NextBundle | None:
        if target is None:
            return None
        if (target.round, target.attempt) <= at:
            raise ProtocolError("ROUND_ORDER", "the next bundle is for an earlier position")
        return self._target(state, target)

    def _arm(self, state: State, target: NextBundle) -> tuple[State, Dealing, JournalEntry]:
        own, dealing = deal(
            identity=self.identity,
            site_id=self.site_id,
            transport=self.transport,
            profile=self.terms.profile,
            run_id=self.terms.run_id,
            roster_hash=self.terms.roster.hash,
            position=target.position,
            holders=target.holders,
            random_bytes=self.random_bytes,
        )
        known = {**state.transport_keys, **target.holders.transport_keys}
        return (
            replace(state.arm(own), transport_keys=known),
            dealing,
            self._entry(target.position, EntryKind.PREKEY, own.bundle.digest()),
        )

    def _arm_next(
        self,
        state: State,
        target: NextBundle | None,
        reply: pb.TrainReply | pb.UnmaskReply,
        entries: list[JournalEntry],
    ) -> State:
        """Put the bundle for the next round into the last reply of this one."""
        if target is None:
            return state
        state, dealing, entry = self._arm(state, target)
        reply.next.CopyFrom(dealing.to_wire())
        entries.append(entry)
        return state


__all__ = ["Member"]
