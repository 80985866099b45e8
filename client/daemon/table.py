"""Which requests were seen, and which answers are kept for those that come again. Pure.

A place is (run, round, attempt, type); what stands there is known by the hash of the request's exact signed body.

Invariants: one place holds one request, so the agent is asked once for it; an answer is kept until the next round's
``Train``, a superseding attempt, the end of the run, ``keep_s``, or until kept answers are longer than
``max_kept_bytes`` together, whatever comes first. Requests must have been verified: a stranger's word would take a
place.
Not handled here: what is durable (journal and ledger are), time, threads, signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from fedward.common.secagg.thresholds import Profile

_MASKED = frozenset(profile.value for profile in Profile)
_OUTSIDE_ROUNDS = frozenset({pb.PLAN_OFFER, pb.GRAPH, pb.RUN_END})
_ASKED_ANEW = frozenset({pb.PLAN_OFFER, pb.PREKEY})
"""A refusal of these used nothing up, and may be another answer tomorrow: a policy changed, a disk has room again."""


class Place(NamedTuple):
    """Where a request belongs."""

    run_id: bytes
    round_number: int
    attempt: int
    type: int


def place_of(position: Position, kind: int) -> Place:
    """The place of a request of a type."""
    return Place(position.run_id, position.round_number, position.attempt, kind)


@dataclass(slots=True)
class Slot:
    """One request and, once there is one, its answer."""

    place: Place
    position: Position = field(repr=False)
    request_hash: bytes
    number: int
    """In the order of arrival."""
    answer: bytes | None = field(default=None, repr=False)
    answer_type: int = 0
    answered_at_s: float = 0.0
    is_given: bool = False
    """Whether the answer has gone out at least once."""

    @property
    def is_refused(self) -> bool:
        """Whether the answer is a refusal."""
        return self.answer_type == pb.REFUSAL


class Seen(Enum):
    """What is known of a request."""

    NEW = auto()
    KNOWN = auto()
    CONFLICT = auto()


class Table:
    """All requests of all runs that are not forgotten.

    Args:
        keep_s: longest that an answer is kept.
        max_kept_bytes: of all kept answers; the oldest go first.
    """

    def __init__(self, *, keep_s: float, max_kept_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_kept_bytes = max_kept_bytes
        self._slots: dict[Place, Slot] = {}
        self._count = 0

    # ------------------------------------------------------------------------------------------------ requests

    def seen(self, position: Position, kind: int, request_hash: bytes, *, now_s: float) -> tuple[Seen, Slot | None]:
        """What stands at a request's place."""
        self._forget_old(now_s)
        found = self._slots.get(place_of(position, kind))
        if found is None or self._may_be_asked_anew(found):
            return Seen.NEW, None
        return (Seen.KNOWN if found.request_hash == request_hash else Seen.CONFLICT), found

    def take(self, position: Position, kind: int, request_hash: bytes) -> Slot:
        """Give a new request its place."""
        place = place_of(position, kind)
        self._count += 1
        slot = self._slots[place] = Slot(place, position, request_hash, self._count)
        if kind == pb.TRAIN:
            self._supersede(place)
        return slot

    def collect(self, position: Position, request_hash: bytes, *, now_s: float) -> Slot | None:
        """The slot of a request that was sent before; None: not known, or no longer."""
        self._forget_old(now_s)
        known = (slot for slot in self._slots.values() if slot.request_hash == request_hash)
        return next((slot for slot in known if slot.position == position), None)

    def answered(self, slot: Slot, answer: bytes, answer_type: int, *, now_s: float) -> None:
        """Keep an answer."""
        slot.answer, slot.answer_type, slot.answered_at_s = answer, answer_type, now_s
        if slot.place.type == pb.RUN_END and not slot.is_refused:
            self._drop(s for s in self._of_run(slot.place.run_id) if s is not slot)
        latest = max((s.place for s in self._of_run(slot.place.run_id) if s.place.type == pb.TRAIN), default=None)
        if latest is not None:
            self._supersede(latest)
        self._fit()

    def give_up(self, slot: Slot) -> None:
        """Forget a request that will have no answer."""
        if self._slots.get(slot.place) is slot:
            del self._slots[slot.place]

    # ------------------------------------------------------------------------------------------------ counts

    @property
    def num_in_work(self) -> int:
        """Requests without an answer yet."""
        return sum(slot.answer is None for slot in self._slots.values())

    @property
    def num_kept(self) -> int:
        """Answers kept."""
        return len(self._slots) - self.num_in_work

    @property
    def kept_bytes(self) -> int:
        """Length of all kept answers."""
        return sum(len(slot.answer or b"") for slot in self._slots.values())

    @property
    def num_open(self) -> int:
        """What a drain waits for: requests in work, answers not fetched yet, vectors whose sum is not unmasked yet."""
        return sum(self._is_open(slot) for slot in self._slots.values())

    def _is_open(self, slot: Slot) -> bool:
        if slot.answer is None or not slot.is_given:
            return True
        if slot.place.type != pb.TRAIN or slot.is_refused or slot.position.profile not in _MASKED:
            return False
        # Under strict without shares to ask for there is no Unmask: its vector is all that the sum needs.
        last = pb.MASK if slot.answer_type == pb.READY else pb.UNMASK
        if slot.position.profile == Profile.STRICT.value and last == pb.UNMASK:
            return False
        closing = self._slots.get(slot.place._replace(type=last))
        return closing is None or closing.answer is None or not closing.is_given

    # ------------------------------------------------------------------------------------------------ forgetting

    @staticmethod
    def _may_be_asked_anew(slot: Slot) -> bool:
        return slot.is_refused and slot.place.type in _ASKED_ANEW

    def _of_run(self, run_id: bytes) -> Iterator[Slot]:
        return (slot for slot in self._slots.values() if slot.place.run_id == run_id)

    def _supersede(self, train: Place) -> None:
        """Drop the answers of earlier rounds and attempts of the run."""
        self._drop(
            slot
            for slot in self._of_run(train.run_id)
            if slot.place[:3] < train[:3] and slot.place.type not in _OUTSIDE_ROUNDS
        )

    def _forget_old(self, now_s: float) -> None:
        self._drop(slot for slot in self._slots.values() if now_s - slot.answered_at_s > self._keep_s)

    def _fit(self) -> None:
        spare = self.kept_bytes - self._max_kept_bytes
        for slot in sorted(self._slots.values(), key=lambda slot: slot.number):
            if spare <= 0:
                return
            if slot.answer is not None:
                spare -= len(slot.answer)
                del self._slots[slot.place]

    def _drop(self, slots: Iterator[Slot]) -> None:
        """Those with an answer; what is in work stays until it has one."""
        for slot in [slot for slot in slots if slot.answer is not None]:
            del self._slots[slot.place]


__all__ = ["Place", "place_of", "Seen", "Slot", "Table"]
