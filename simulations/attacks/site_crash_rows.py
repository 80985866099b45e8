"""A site's process killed while it answers a ``Train``, and started again from what its disk holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fedward.client.ledger_store import Drafts, LedgerStore, StateWriter, nothing
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.simulations.attacks.bundle_rows import AGAIN
from fedward.simulations.attacks.cohort_rows import index
from fedward.simulations.attacks.crash_rows import CRASHES
from fedward.simulations.attacks.holes import Hole, instead, opened
from fedward.simulations.attacks.scene import GIVEN
from fedward.simulations.attacks.site_cohort import Hospital
from fedward.simulations.attacks.site_scene import SiteScene, first_refusal, sites
from fedward.simulations.attacks.table import Attack, Play

_commit, _update = LedgerStore.commit, Hospital.update


class _KilledError(BaseException):
    """The end of a process; nothing in it may catch this."""


def forgetful_commit(
    self: LedgerStore, entries: Sequence[JournalEntry], state: StateWriter, *, drafts: Drafts = nothing
) -> None:
    """As if an agent answered first and wrote later: of a round nothing is on the disk."""
    if not entries:
        _commit(self, entries, state, drafts=drafts)


FORGETFUL = instead(LedgerStore, "commit", forgetful_commit, "an agent that answers before it writes")


def killed_at(kind: EntryKind, *, is_written: bool) -> Callable[[], Hole]:
    """The process ends around the write of this entry."""

    def make() -> Hole:
        commit = LedgerStore.commit  # with the control's hole, if there is one

        def dying(
            self: LedgerStore, entries: Sequence[JournalEntry], state: StateWriter, *, drafts: Drafts = nothing
        ) -> None:
            is_here = any(entry.kind is kind for entry in entries)
            if is_here and not is_written:
                raise _KilledError
            commit(self, entries, state, drafts=drafts)
            if is_here:
                raise _KilledError

        return Hole("", LedgerStore, "commit", dying)

    return make


def killed_in_training() -> Hole:
    """The records are read, and then the process ends."""

    def dying(self: Hospital, *arguments: object, **named: object) -> object:
        _update(self, *arguments, **named)  # type: ignore[arg-type]
        raise _KilledError

    return Hole("", Hospital, "update", dying)


def unharmed() -> Hole:
    """The process ends only when the reply has left."""
    return Hole("", LedgerStore, "commit", LedgerStore.commit)


def killed(make: Callable[[], Hole]) -> Play:
    """The victim dies on a ``Train``, and is asked again, also with a bundle of its new process.

    Passed if for one position there is a second bundle, a second vector, or a training that no account holds.
    """

    def play(scene: SiteScene) -> bool:
        body = scene.train()
        with opened([make()]), suppress(_KilledError):
            scene.get_vector(scene.victim, body)
        scene.restart(scene.victim)
        scene.code = first_refusal(lambda: scene.get_vector(scene.victim, body), lambda: anew(scene, body))
        given, trained = scene.given, len(scene.site.hospital.clips)
        return given[GIVEN[pb.TRAIN_REPLY]] > 1 or given[GIVEN[pb.PREKEY_REPLY]] > 1 or scene.num_charged < trained

    return play


def anew(scene: SiteScene, body: pb.Train) -> None:
    """The same cohort with another bundle of the victim's."""
    bundle = scene.ask_bundle(scene.victim, scene.cohort.prekey()).bundle
    body.bundles[index(scene, scene.victim)].CopyFrom(bundle)
    scene.get_vector(scene.victim, body)


def bundle_again(scene: SiteScene) -> bool:
    """A bundle, a restart, and the same asked again; passed if there is another one."""
    first = scene.shelf().bundle(scene.victim).mask_key
    scene.restart(scene.victim)
    return scene.ask_bundle(scene.victim, scene.cohort.prekey()).bundle.mask_key != first


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """When, and what the site says afterwards."""

    name: str
    make: Callable[[], Hole]
    code: str = "REPLAY_CONFLICT"
    charges: int = 1


KILLS = (
    Kill(
        name="before the cohort is written down",
        make=killed_at(EntryKind.ACCEPTED, is_written=False),
        code="PREKEY_UNKNOWN",
        charges=0,
    ),
    Kill(name="after the cohort is written down", make=killed_at(EntryKind.ACCEPTED, is_written=True)),
    Kill(name="in training", make=killed_in_training),
    Kill(name="before the vector is written down", make=killed_at(EntryKind.SENT, is_written=False)),
    Kill(name="between journal and reply", make=killed_at(EntryKind.SENT, is_written=True)),
    Kill(name="after the reply has left", make=unharmed),
)

ATTACKS = (
    *(
        Attack(
            name=f"a site killed {kill.name}, then asked again",
            part=CRASHES,
            play=killed(kill.make),
            expected=kill.code,
            holes=[FORGETFUL],
            scene=sites(is_on_disk=True),
            charges=kill.charges,
            gain="a second bundle or vector for a position, or a training that no account holds",
        )
        for kill in KILLS
    ),
    Attack(
        name="a second bundle for one position after a restart",
        part=AGAIN,
        play=bundle_again,
        expected="PREKEY_EXISTS",
        holes=[FORGETFUL],
        scene=sites(is_on_disk=True),
    ),
)

__all__ = ["ATTACKS"]
