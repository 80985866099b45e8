"""What a site remembers of the run it is in, and which of its messages may come next. Pure.

Invariants: positions only grow and each is used once; a plan whose clip norm is to be found is probed before its first
round; the clip norm is the same in all rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedward.common.agreement import PROBE_ROUND
from fedward.common.config import RunPlan, digest_of
from fedward.common.errors import ProtocolError
from fedward.common.messages.codec import Position


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedRun:
    """A plan that the site accepted, and how far it has come."""

    run_id: bytes
    plan_bytes: bytes = field(repr=False)
    plan: RunPlan = field(repr=False)
    last_round: int = 0
    last_attempt: int = -1
    clip_norm: float | None = None
    """As the first round stated it; None before, and without privacy."""
    is_over: bool = False
    drawn_weight: int | None = field(default=None, repr=False)
    """Where weights are private: the site's, noise and all, in units. None before the first round."""

    def position(self, roster_hash: bytes) -> Position:
        """Of messages outside rounds."""
        return Position(
            run_id=self.run_id,
            roster_hash=roster_hash,
            plan_digest=digest_of(self.plan_bytes),
            profile=self.plan.secagg.profile,
        )

    def require_new(self, position: Position) -> None:
        """Refuse a position that is used up, comes too early, or is beyond the plan.

        Raises:
            ProtocolError: ``ATTEMPT_CLOSED``, ``REPLAY_CONFLICT``, ``ROUND_ORDER`` or ``ATTEMPT_LIMIT``.
        """
        if self.is_over:
            raise ProtocolError("ATTEMPT_CLOSED", "the run has ended")
        here, last = (position.round_number, position.attempt), (self.last_round, self.last_attempt)
        if here == last:
            raise ProtocolError("REPLAY_CONFLICT", "a second request for one position")
        first = PROBE_ROUND if self.plan.privacy.needs_probe else 1
        if here < last or not first <= position.round_number <= self.plan.rounds:
            raise ProtocolError("ROUND_ORDER", "rounds and attempts only grow, up to the plan's")
        is_untouched = self.last_attempt < 0
        if self.plan.privacy.needs_probe and is_untouched and position.round_number != PROBE_ROUND:
            raise ProtocolError("ROUND_ORDER", "the plan's clip norm is found by a probe before the first round")
        if position.attempt >= self.plan.secagg.max_attempts:
            raise ProtocolError("ATTEMPT_LIMIT", "more attempts than the plan allows")

    def clip_norm_of(self, position: Position, stated: float) -> float | None:
        """The clip norm that a message states, if it is one for this run; None in the probe and without privacy.

        The site's own limit was judged with the plan.

        Args:
            stated: as ``agreement.check_train`` let it pass.

        Raises:
            ProtocolError: ``PLAN_MISMATCH`` if it changes within the run.
        """
        if not self.plan.is_private or position.round_number == PROBE_ROUND:
            return None
        if self.clip_norm is not None and self.clip_norm != stated:
            raise ProtocolError("PLAN_MISMATCH", "the clip norm changes within the run")
        return stated


__all__ = ["AcceptedRun"]
