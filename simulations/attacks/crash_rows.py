"""Crashes of a site and of the coordinator after each of their durable writes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.frozen import FrozenSum
from fedward.common.secagg.journal import JournalEntry
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.state import Phase, State
from fedward.simulations.attacks.bundle_rows import SECRETS_SURVIVE
from fedward.simulations.attacks.cohort import DEADLINES, Cohort, expected
from fedward.simulations.attacks.holes import instead, without
from fedward.simulations.attacks.plays import Outcome, play
from fedward.simulations.attacks.round_rows import FORGETFUL
from fedward.simulations.attacks.scene import COUNT, Scene
from fedward.simulations.attacks.table import SHARED, Attack

CRASHES = "a crash after every durable write"


def site_crashes(scene: Scene) -> bool:
    """The victim's process ends after each write in turn; passed if two vectors leave for a position, or one uncharged.

    The server asks everything twice, so that what was forgotten would be done again.
    """
    for number in range(1, 5):
        again = Scene(scene.profile)
        leaves = _Crashing(again, number).run()
        vectors = {reply.vector for reply in leaves if isinstance(reply.body, pb.TrainReply)}
        scene.cohort.sites[scene.victim].written += again.cohort.sites[again.victim].written
        if len(vectors) > 1 or len(vectors) > again.num_charged:
            return True
    return False


class _Crashing:
    """A run of one attempt in which the victim is gone after a number of writes, before its reply leaves."""

    def __init__(self, scene: Scene, crash_after: int) -> None:
        self._scene, self._left = scene, crash_after
        self._replies: list[codec.Opened[codec.Body]] = []

    def run(self) -> list[codec.Opened[codec.Body]]:
        scene = self._scene
        train = scene.train()
        scene.get_vectors(scene.peers)
        for _ in range(2):
            self._ask(train)
            self._send()
            if not scene.is_strict and scene.victim in scene.vectors:
                survivors = scene.survivors(scene.names)
                if scene.is_confirmed:
                    self._ask(scene.confirm(scene.peers[0], survivors))
                self._ask(scene.unmask(scene.peers[0], survivors))
        return self._replies

    def _ask(self, body: codec.Body) -> None:
        scene = self._scene
        with suppress(ProtocolError):
            self._leave(scene.cohort.tell(scene.victim, scene.cohort.sealed(body)))

    def _send(self) -> None:
        scene = self._scene
        if scene.cohort.sites[scene.victim].state.phase is Phase.TRAINING:
            with suppress(ProtocolError):
                self._leave(scene.cohort.send(scene.victim, f"trained {self._left}"))

    def _leave(self, reply: bytes | None) -> None:
        self._left -= 1
        if self._left == 0:
            self._scene.restart(self._scene.victim)
        elif reply is not None:
            opened = self._scene.cohort.opened(self._scene.victim, reply)
            self._replies.append(opened)
            if isinstance(opened.body, pb.TrainReply):
                self._scene.vectors[self._scene.victim] = opened  # type: ignore[assignment]


def coordinator_crashes(scene: Scene) -> bool:
    """The coordinator is gone after each of its writes; passed if it opens another sum than before, or nothing."""
    cohort, arrived = scene.cohort, scene.names[:-1]
    scene.get_vectors()
    states = {name: site.state for name, site in cohort.sites.items()}
    sealed = {name: scene.sealed[name] for name in arrived}
    before = play(cohort, scene.coordinator(), sealed, states=states)
    right = cohort.plain_sum(arrived, COUNT)
    for number in range(1, len(before.written) + 1):
        outcome = _resumed(cohort, before.written[:number], dict(states))
        if outcome.total is None or not np.array_equal(outcome.total.total, right):
            return True
    return False


def _resumed(cohort: Cohort, written: Iterable[JournalEntry], states: dict[str, State]) -> Outcome:
    """Another process goes on from what was written."""
    coordinator, actions = RoundCoordinator.resume(
        terms=cohort.terms,
        entries={entry.kind: entry for entry in written},
        total=np.empty(cohort.size, "<u4"),
        deadlines=DEADLINES,
        now_s=0.0,
    )
    outcome = Outcome()
    sends = outcome.note(actions)
    while sends:
        send = sends.pop(0)
        step = cohort.sites[send.site_id].participant.receive(
            states[send.site_id], cohort.sealed(send.body), check=cohort.check
        )
        states[send.site_id] = step.state
        opened = cohort.opened(send.site_id, expected(bytes, step.reply))
        sends += outcome.note(coordinator.on_reply(send.site_id, opened, now_s=1.0))
    return outcome


_from_entry = FrozenSum.from_entry


def without_sum(entry: JournalEntry, total: RingVector) -> FrozenSum:
    """As if the sum were not written down with the survivors."""
    frozen = _from_entry(entry, total)
    total[:] = 0
    return frozen


ATTACKS = (
    Attack(
        name="a site's crash after every durable write",
        part=CRASHES,
        play=site_crashes,
        expected="",
        holes=[SECRETS_SURVIVE, *FORGETFUL, without(Participant, "_require_new", "REPLAY_CONFLICT")],
        attacker="fate",
        charges=3,
        gain="a second vector for a position, or one that was not charged",
    ),
    Attack(
        name="a coordinator's crash after every durable write",
        part=CRASHES,
        play=coordinator_crashes,
        expected="",
        holes=[instead(FrozenSum, "from_entry", staticmethod(without_sum), "a coordinator that forgets the sum")],
        profiles=SHARED,
        attacker="fate",
        charges=1,
        party="coordinator",
        gain="another sum than before the crash, or none",
    ),
)

__all__ = ["ATTACKS"]
