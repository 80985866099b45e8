"""A site's own copy of the model's state: every site makes the next one itself, from the sum that all were told.

Invariants: a sum is applied once, to the state that its own round began with; the state that comes out is the one that
the coordinator names, or the site does not train; a site that lacks a state takes one only if the survivors of the last
round signed for it.

Pure but for reading what the site has stored: ``follow`` gives the next copy, and the caller keeps it when it has been
made durable. Not handled here: what a cohort is and whether the plan allows the round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fedward.common.agreement import check_clip
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Vector
from fedward.common.model_bytes import Published, read_published, state_digest, state_from_bytes, state_to_bytes
from fedward.common.model_state import ServerState, followed_state
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.opened_round import OpenedRound, check_evidence, ring_of
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.transcript import ZERO_HASH
from fedward.common.sum_bound import check_sum

_ROUND_BYTES = 4
_HASH_BYTES = 32
_HEAD_BYTES = 16 + _ROUND_BYTES + 2 * _HASH_BYTES


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Copy:
    """A state, and where it stands in the run."""

    round_number: int
    """The last round in it; 0: the start, which the plan's seed gives."""
    state: ServerState = field(repr=False)
    digest: bytes
    """Of the state."""
    sum_hash: bytes = ZERO_HASH
    """Of the sum that led to it."""

    @classmethod
    def start(cls, plan: RunPlan) -> Copy:
        """Before the first round."""
        state = ServerState.start(plan)
        return cls(round_number=0, state=state, digest=state_digest(plan, state))

    def to_bytes(self, plan: RunPlan, run_id: bytes) -> bytes:
        """For the site's store."""
        head = run_id + self.round_number.to_bytes(_ROUND_BYTES, "big") + self.digest + self.sum_hash
        state = state_to_bytes(plan, self.state)
        return b"".join((head, _check_of(head, state), state))

    @classmethod
    def from_bytes(cls, plan: RunPlan, run_id: bytes, raw: bytes) -> Copy:
        """What was stored for this run, or the start; spoiled is as good as none: the survivors' word brings another.

        One bit that a disk has turned is enough, wherever it is: with its digest believed, or with a later round in
        its place, the site would take no other state.
        """
        start = _HEAD_BYTES + _HASH_BYTES
        if raw[:16] != run_id or len(raw) < start:
            return cls.start(plan)
        head, check, stored = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:start], raw[start:]
        number = int.from_bytes(head[16 : 16 + _ROUND_BYTES], "big")
        if check != _check_of(head, stored):
            return cls.start(plan)
        try:
            state = state_from_bytes(plan, number, stored)
        except ConfigError:
            return cls.start(plan)
        found, sum_hash = head[-2 * _HASH_BYTES : -_HASH_BYTES], head[-_HASH_BYTES:]
        return cls(round_number=number, state=state, digest=found, sum_hash=sum_hash)


def _check_of(head: bytes, state: Vector) -> bytes:
    """Against a disk's errors; whoever can write to the store can write this too."""
    check = hashlib.sha256(head)
    check.update(state)
    return check.digest()


@dataclass(kw_only=True, slots=True)
class Replica:
    """One site's, in one run.

    Args:
        plan: accepted, with a masked profile.
        run_id: 16 bytes.
        terms: of the run, by clip norm.
        load: what the store has.
        entries: the site's journal of the run.
    """

    plan: RunPlan = field(repr=False)
    run_id: bytes
    terms: Callable[[float], Terms]
    load: Callable[[], bytes]
    entries: Callable[[], Sequence[JournalEntry]]
    _copy: Copy | None = field(init=False, default=None, repr=False)

    @property
    def copy(self) -> Copy:
        """The present one; read from the store when it is first wanted, for most messages need none."""
        if self._copy is None:
            self._copy = Copy.from_bytes(self.plan, self.run_id, self.load())
        return self._copy

    def keep(self, copy: Copy) -> None:
        """Go on from here."""
        self._copy = copy

    def follow(self, last_round: int, body: pb.Train | pb.RunEnd, vector: Vector) -> Copy:
        """The copy that stands at the end of ``last_round``, checked against what the message names.

        Args:
            last_round: whose sum is the last one; 0 or less: there is none yet.
            body: names the state, and brings the sum's round.
            vector: beside it: the sum, turns, and for a site that was away the state before.

        Raises:
            ProtocolError: ``MODEL_MISMATCH``, ``SUM_OUT_OF_RANGE``, ``SUM_IMPLAUSIBLE``; the codes of
                ``opened_round``; ``BAD_ENCODING`` for a vector of another length. Nothing is changed.
        """
        last_round = max(0, last_round)
        if last_round < self.copy.round_number:
            raise ProtocolError("MODEL_MISMATCH", "a sum from before the one that this site has applied")
        if last_round < 1:
            if vector or body.HasField("previous"):
                raise ProtocolError("BAD_ENCODING", "a sum before the first round")
            found = self.copy
        else:
            if not body.HasField("previous") or body.previous.round != last_round:
                raise ProtocolError("MODEL_MISMATCH", "the sum is not that of the round before")
            found = self._after(body.previous, vector)
        stated = body.previous_sum_hash or ZERO_HASH if isinstance(body, pb.Train) else found.sum_hash
        if (body.model_digest, stated) != (found.digest, found.sum_hash):
            raise ProtocolError("MODEL_MISMATCH", "the model is not the one that this site has worked out")
        return found

    def _after(self, wire: pb.OpenedRound, vector: Vector) -> Copy:
        # How often this site would try is its own affair: the others' round counts whichever attempt it was.
        own, terms = self.copy, replace(self.terms(wire.clip_norm), max_attempts=self.plan.secagg.max_attempts)
        if not set(wire.cohort) <= {site.id for site in self.plan.sites}:
            raise ProtocolError("UNKNOWN_SITE", "the last cohort has a site that is not in the plan")
        opened = OpenedRound.from_wire(terms, wire)
        published = self._read(opened, vector)
        sum_hash = opened.sum_hash(published.published_hash)
        if own.round_number == wire.round:
            # A retry, or a request after one that was refused: the sum is in the state already.
            if own.sum_hash != sum_hash:
                raise ProtocolError("MODEL_MISMATCH", "another sum for a round that this site has applied")
            return own
        check_clip(self.plan, wire.round, wire.clip_norm)
        self._check_own_word(opened)
        check_evidence(terms, opened)
        before = self._before(own, opened, published)
        total = opened.cohort_sum(published.total)
        check_sum(self.plan, wire.round, ring_of(terms, opened), total)
        state = followed_state(self.plan, before, opened.facts, total, published.turns)
        return Copy(round_number=wire.round, state=state, digest=state_digest(self.plan, state), sum_hash=sum_hash)

    def _read(self, opened: OpenedRound, vector: Vector) -> Published:
        facts = opened.facts
        try:
            return read_published(self.plan, facts.round_number, facts.num_coordinates, vector)
        except ConfigError as error:
            raise ProtocolError("BAD_ENCODING", error.message) from error

    def _check_own_word(self, opened: OpenedRound) -> None:
        """A site that was there knows the cohort that it answered and the survivors that it gave shares for."""
        for entry in self.entries():
            if (entry.round_number, entry.attempt) != opened.position:
                continue
            if entry.kind is EntryKind.SENT and entry.digest != opened.facts.digest():
                raise ProtocolError("DIGEST_MISMATCH", "not the cohort that this site answered")
            if entry.kind in (EntryKind.CONFIRMED, EntryKind.RELEASED) and entry.digest != opened.survivors_hash:
                raise ProtocolError("SURVIVORS_CHANGED", "not the survivors that this site gave shares for")

    def _before(self, own: Copy, opened: OpenedRound, published: Published) -> ServerState:
        """The state that the round began with: one's own, or the one that its survivors signed for."""
        facts = opened.facts
        began = (facts.round_number - 1, facts.model_digest, facts.previous_sum_hash)
        if (own.round_number, own.digest, own.sum_hash) == began:
            return own.state
        if not published.checkpoint:
            raise ProtocolError("MODEL_MISMATCH", "the sum is not for the state that this site has")
        try:
            state = state_from_bytes(self.plan, facts.round_number - 1, published.checkpoint)
        except ConfigError as error:
            raise ProtocolError("MODEL_MISMATCH", error.message) from error
        if state_digest(self.plan, state) != facts.model_digest:
            raise ProtocolError("MODEL_MISMATCH", "not the state that the survivors of the last round signed for")
        return state


__all__ = ["Copy", "Replica"]
