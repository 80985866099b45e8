"""One attempt of a masked round while it is under way: what it waits for, who has failed it, what has come of it.

Not handled here: what is sent, and what an answer does (``masked_rounds``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.actions import Fault
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.coordinator import CoordinatorPhase, RoundCoordinator
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.terms import Terms
from fedward.server.gathering import Attempt

TRAIN, CONFIRM, UNMASK = "train", "confirm", "unmask"
TRIPS: Mapping[str, tuple[type[codec.Body], tuple[CoordinatorPhase, ...]]] = {
    TRAIN: (pb.TrainReply, (CoordinatorPhase.COLLECTING,)),
    CONFIRM: (pb.ConfirmReply, (CoordinatorPhase.CONFIRMING,)),
    UNMASK: (pb.UnmaskReply, (CoordinatorPhase.UNMASKING, CoordinatorPhase.OPEN)),
}
"""By tag: what answers, and when somebody waits for it."""


@dataclass(kw_only=True, slots=True)
class Play:
    """One attempt under way."""

    attempt: Attempt
    terms: Terms
    coordinator: RoundCoordinator
    upcoming: PrekeyShelf | None
    codes: dict[str, str] = field(default_factory=dict)
    """Of sites whose vector is not used."""
    trip: str = TRAIN
    """Tag of the requests that the attempt waits for, or waited for when it became void."""
    failed: dict[str, str] = field(default_factory=dict)
    """Sites that gave no use of their reply to that trip, and why: by them the attempt is void, if it is."""
    unheard: set[str] = field(default_factory=set)
    """Sites that have not answered that trip."""
    faults: list[Fault] = field(default_factory=list)
    opened: CohortSum | None = None
    grace_ends_s: float = 0.0
    """Until then an open sum waits for bundles that are under way."""
    void: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the sum is open, or never will be."""
        return self.coordinator.phase in (CoordinatorPhase.OPEN, CoordinatorPhase.VOID)

    def goes_on(self, now_s: float, *, is_waiting: bool) -> bool:
        """Whether an answer that is still to come is of use.

        Also to an attempt that is void: the sites that were asked train all the same, and can answer nothing else
        before; a retry with another one that fails would be void too; and their bundles for the next round, of which
        they make one only, are in their answers.
        """
        if not self.is_over:
            return True
        return is_waiting and (bool(self.unheard) if self.opened is None else now_s < self.grace_ends_s)


__all__ = ["CONFIRM", "Play", "TRAIN", "TRIPS", "UNMASK"]
