"""What the coordinator writes of a run into its own ledger: the plan it offered, each sum it opened, the end.

Digests and site ids, which the plan has too; nothing of a single site's update. An entry is durable before what follows
from it leaves. Not handled here: heads of the sites' ledgers (``witness``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.trail import HeadTrail
from fedward.common.messages.codec import Position

PLAN_SIGNED: Final = "plan.signed"
ROUND_OPENED: Final = "round.opened"
RUN_ENDED: Final = "run.ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntries:
    """Of one run.

    Args:
        trail: the coordinator's ledger; None: a simulation without one.
        position: of the run.
    """

    trail: HeadTrail | None
    position: Position

    def plan_signed(self, accepted: tuple[str, ...]) -> None:
        """All sites have answered the offer."""
        fields = {"plan": self.position.plan_digest.hex(), "roster": self.position.roster_hash.hex()}
        self._append(PLAN_SIGNED, {**fields, "accepted": sorted(accepted)})

    def round_opened(self, number: int, attempt: int, survivors: tuple[str, ...], model_digest: bytes) -> None:
        """A sum was opened and made a step of the model."""
        fields: dict[str, Value] = {"round": number, "attempt": attempt, "model": model_digest.hex()}
        self._append(ROUND_OPENED, {**fields, "survivors": sorted(survivors)})

    def run_ended(self, model_digest: bytes) -> None:
        """The last state of the model is what the run leaves."""
        self._append(RUN_ENDED, {"model": model_digest.hex()})

    def _append(self, kind: str, fields: dict[str, Value]) -> None:
        if self.trail is not None:
            self.trail.append([Draft(kind=kind, fields={"run": self.position.run_id.hex(), **fields})])


__all__ = ["PLAN_SIGNED", "ROUND_OPENED", "RUN_ENDED", "RunEntries"]
