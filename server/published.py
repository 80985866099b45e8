"""What the coordinator tells of the last opened round, and to whom it gives the state before it too.

A site that sent a vector has worked out the state of that round; one that did not may lack it, and gets it beside the
sum, with the survivors' signatures as its evidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fedward.common.config import RunPlan
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_bytes import published_bytes, state_digest, state_to_bytes
from fedward.common.model_state import RoundStep, ServerState
from fedward.common.secagg.opened_round import OpenedRound
from fedward.common.secagg.ring import RingVector


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Sum:
    """The last one that was applied."""

    opened: OpenedRound
    wire: pb.OpenedRound
    vector: bytes = field(repr=False)
    before: ServerState = field(repr=False)

    def sum_hash(self) -> bytes:
        return self.opened.sum_hash(codec.vector_hash(self.vector))


@dataclass(kw_only=True, slots=True)
class LastSum:
    """Of one run."""

    plan: RunPlan = field(repr=False)
    _sum: _Sum | None = field(init=False, default=None, repr=False)
    _checkpoint: bytes = field(init=False, default=b"", repr=False)
    _known: dict[str, int] = field(init=False, default_factory=dict)
    """Site to the last round for which it sent a vector: it had the state that the round began with."""

    def applied(
        self, opened: OpenedRound, total: RingVector, clip_norm: float, before: ServerState, step: RoundStep
    ) -> None:
        """A round's sum has become the next state. The sum is copied, for its array is used again."""
        vector = published_bytes(self.plan, total, step.turns)
        self._sum = _Sum(opened=opened, wire=opened.to_wire(clip_norm), vector=vector, before=before)
        self._checkpoint = b""

    def sent_vector(self, site_id: str, round_number: int) -> None:
        """A site has taken part, whatever became of the attempt."""
        self._known[site_id] = round_number

    def state_digest(self, state: ServerState) -> bytes:
        """What every site must come to."""
        return state_digest(self.plan, state)

    def fill(self, body: pb.Train | pb.RunEnd) -> None:
        """Say whose sum travels beside the message."""
        vector = b"" if self._sum is None else self._sum.vector
        body.vector_hash = codec.vector_hash(vector) if vector else b""
        if self._sum is not None:
            body.previous.CopyFrom(self._sum.wire)
            if isinstance(body, pb.Train):
                body.previous_sum_hash = self._sum.sum_hash()

    def vector(self) -> bytes:
        """For a site that has the state before."""
        return b"" if self._sum is None else self._sum.vector

    def vector_with_state(self) -> bytes:
        """For one that may not have it."""
        if self._sum is None:
            return b""
        if not self._checkpoint:
            self._checkpoint = self._sum.vector + state_to_bytes(self.plan, self._sum.before)
        return self._checkpoint

    def split(self, sites: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those that have the state before the last sum, and those that may lack it; the first state all can draw."""
        given = tuple(sites)
        began = 0 if self._sum is None else self._sum.opened.facts.round_number
        lacking = tuple(site for site in given if began > 1 and self._known.get(site, 0) < began)
        return tuple(site for site in given if site not in lacking), lacking


__all__ = ["LastSum"]
