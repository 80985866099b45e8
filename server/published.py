"""What the coordinator tells of the last opened round, and to whom it gives the state before it too.

A site that sent a vector has worked out the state of that round; one that did not may lack it, and gets it beside the
sum, with the survivors' signatures as its evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fedward.common.config import RunPlan
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import MAX_VECTOR_BYTES
from fedward.common.model_bytes import published_bytes, state_digest, state_num_bytes, state_to_bytes
from fedward.common.model_state import RoundStep, ServerState
from fedward.common.secagg.opened_round import OpenedRound
from fedward.common.secagg.ring import RingVector


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A vector and its hash, which is worked out once for all sites; both empty before the first sum."""

    vector: bytes = field(repr=False)
    vector_hash: bytes

    @classmethod
    def of(cls, vector: bytes) -> Parcel:
        """With its hash."""
        return cls(vector, codec.vector_hash(vector))


NOTHING = Parcel(b"", b"")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Sum:
    """The last one that was applied."""

    wire: pb.OpenedRound
    sum_hash: bytes
    parcel: Parcel
    before: ServerState = field(repr=False)


@dataclass(kw_only=True, slots=True)
class LastSum:
    """Of one run."""

    plan: RunPlan = field(repr=False)
    _sum: _Sum | None = field(init=False, default=None, repr=False)
    _with_state: Parcel = field(init=False, default=NOTHING, repr=False)
    _known: dict[str, int] = field(init=False, default_factory=dict)
    """Site to the last round for which it sent a vector: it had the state that the round began with."""

    def applied(
        self, opened: OpenedRound, total: RingVector, clip_norm: float, before: ServerState, step: RoundStep
    ) -> None:
        """A round's sum has become the next state. The sum is copied, for its array is used again."""
        parcel = Parcel.of(published_bytes(self.plan, total, step.turns))
        sum_hash = opened.sum_hash(parcel.vector_hash)
        self._sum = _Sum(wire=opened.to_wire(clip_norm), sum_hash=sum_hash, parcel=parcel, before=before)
        self._with_state = NOTHING

    def sent_vector(self, site_id: str, round_number: int) -> None:
        """A site has taken part, whatever became of the attempt."""
        self._known[site_id] = round_number

    def lost_state(self, site_id: str) -> None:
        """A site refuses the model: it may have lost its own, whatever it took part in, and is given it from now on."""
        self._known.pop(site_id, None)

    def state_digest(self, state: ServerState) -> bytes:
        """What every site must come to."""
        return state_digest(self.plan, state)

    def fill(self, body: pb.Train | pb.RunEnd) -> None:
        """Say whose sum travels beside the message; which bytes exactly, ``parcels`` says."""
        if self._sum is not None:
            body.previous.CopyFrom(self._sum.wire)
            if isinstance(body, pb.Train):
                body.previous_sum_hash = self._sum.sum_hash

    def parcels(self, sites: Iterable[str]) -> Iterator[tuple[tuple[str, ...], Parcel]]:
        """What goes to whom: the sum alone, or the state before it too, to sites that may lack that.

        The state before the first sum all can draw from the seed. One that is too long for a message goes to nobody.
        """
        given, found = tuple(sites), self._sum
        if found is None:
            yield given, NOTHING
            return
        began = found.wire.round
        lacking = tuple(site for site in given if began > 1 and self._known.get(site, 0) < began)
        having = tuple(site for site in given if site not in lacking)
        if having:
            yield having, found.parcel
        if lacking:
            yield lacking, self._parcel_with_state(found)

    def _parcel_with_state(self, found: _Sum) -> Parcel:
        """Made once a round, when the first site wants it."""
        if len(found.parcel.vector) + state_num_bytes(self.plan, found.wire.round - 1) > MAX_VECTOR_BYTES:
            return found.parcel
        if self._with_state is NOTHING:
            self._with_state = Parcel.of(found.parcel.vector + state_to_bytes(self.plan, found.before))
        return self._with_state


__all__ = ["LastSum", "Parcel"]
