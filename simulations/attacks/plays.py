"""An attempt played to its end between the sites of a cohort and a coordinator, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.actions import Action, Fault, Finished, Persist, Prekeyed, Rejected, Send, Voided
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.journal import JournalEntry
from fedward.common.secagg.state import State
from fedward.simulations.attacks.cohort import Cohort, expected, unchecked


@dataclass
class Outcome:
    """What became of an attempt."""

    total: CohortSum | None = None
    void: str = ""
    rejected: dict[str, str] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    written: list[JournalEntry] = field(default_factory=list)
    bundles: dict[str, pb.Dealing] = field(default_factory=dict)
    sent: list[Send] = field(default_factory=list)

    def note(self, actions: Iterable[Action]) -> list[Send]:
        """Write actions down; give those that go to sites."""
        sends = []
        for action in actions:
            if isinstance(action, Send):
                sends.append(action)
            elif isinstance(action, Persist):
                self.written.append(action.entry.kept())
            elif isinstance(action, Rejected):
                self.rejected[action.site_id] = action.code
            elif isinstance(action, Fault):
                self.faults.append((action.dealer, action.holder))
            elif isinstance(action, Prekeyed):
                self.bundles[action.site_id] = action.dealing
            elif isinstance(action, Finished):
                self.total = action.total
            else:
                self.void = expected(Voided, action).code
        self.sent += sends
        return sends


Forge = Callable[[str, bytes], bytes]
"""A site's reply, changed on its way."""


def play(
    cohort: Cohort,
    coordinator: RoundCoordinator,
    vectors: Mapping[str, bytes],
    *,
    silent: Iterable[str] = (),
    unmask_silent: Iterable[str] = (),
    states: dict[str, State] | None = None,
    forge: Forge = lambda _, reply: reply,
) -> Outcome:
    """Play an attempt to its end.

    Args:
        cohort: the sites; their states stay as they are.
        coordinator: before the first vector.
        vectors: that arrive; the other members of the cohort fail.
        silent: sites that answer nothing after their vector.
        unmask_silent: sites that do not answer ``Unmask``.
        states: to go on from, instead of the sites' own; holds the last states in the end.
        forge: changes replies after the vector.
    """
    outcome = Outcome()
    sends: list[Send] = []
    for name in coordinator.facts.bundles:
        if name in vectors:
            sends += outcome.note(coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0))
        else:
            sends += outcome.note(coordinator.on_failure(name, now_s=1.0))
    quiet = {"silent": silent, "unmask_silent": unmask_silent}
    return conclude(cohort, coordinator, outcome, sends, states=states, forge=forge, **quiet)


def conclude(
    cohort: Cohort,
    coordinator: RoundCoordinator,
    outcome: Outcome,
    sends: list[Send],
    *,
    silent: Iterable[str] = (),
    unmask_silent: Iterable[str] = (),
    states: dict[str, State] | None = None,
    forge: Forge = lambda _, reply: reply,
) -> Outcome:
    """The trips after the vectors; see ``play``."""
    after = states if states is not None else {name: site.state for name, site in cohort.sites.items()}
    quiet, at_the_end = set(silent), set(unmask_silent)
    while sends:
        send = sends.pop(0)
        if send.site_id in quiet or (isinstance(send.body, pb.Unmask) and send.site_id in at_the_end):
            sends += outcome.note(coordinator.on_failure(send.site_id, now_s=2.0))
            continue
        participant = cohort.sites[send.site_id].participant
        try:
            step = participant.receive(after[send.site_id], cohort.sealed(send.body), check=unchecked)
        except ProtocolError:
            sends += outcome.note(coordinator.on_failure(send.site_id, now_s=2.0))
            continue
        after[send.site_id] = step.state
        reply = cohort.opened(send.site_id, forge(send.site_id, expected(bytes, step.reply)))
        sends += outcome.note(coordinator.on_reply(send.site_id, reply, now_s=2.0))
    return outcome


__all__ = ["conclude", "Forge", "Outcome", "play"]
