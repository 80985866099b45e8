"""A process that ends at any change on disk while it shreds: the next start finishes it, with one certificate."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedward.common.envelope.header import open_copies
from fedward.common.errors import WrongRecipientError
from fedward.common.shredding.certificate_rows import Reason
from fedward.common.shredding.intentions import Shreddings
from fedward.common.shredding.scratch import Machine, place_scratch
from fedward.common.shredding.shred import Shredder
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Role
from tests import shreddable
from tests.shreddable import OTHER, RECORD, RUN, Killed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with two runs, one with files in the clear."""
    site = shreddable.create(tmp_path_factory.mktemp("made") / "alpha")
    (site / "runs" / RUN.hex() / "notes.csv").write_bytes(RECORD)
    return site


def start(made: Path, folder: Path) -> tuple[Path, Machine]:
    """A copy of the site, with a scratch in memory."""
    folder.mkdir()
    site, machine = shreddable.copy_of(made, folder / "alpha"), shreddable.machine_in(folder)
    (place_scratch(site, RUN, machine=machine).folder / "cache").write_bytes(RECORD)
    return site, machine


def settled(site: Path, machine: Machine) -> Shreddings:
    """What the ledger says after the next start, which has to leave nothing of the run."""
    with shreddable.opened(site) as party:
        Shredder(party, machine=machine).settle({OTHER})
        require_gone(party, machine)
        return Shreddings(party.trail.entries())


def require_gone(party: PartyFolder, machine: Machine) -> None:
    """Nothing of the run opens or is in the clear, and the other run is whole."""
    daemon = party.principal(Role.DAEMON)
    for info in party.vault.find(kind=Kind.CHECKPOINT, run_id=OTHER):
        assert party.vault.read(info.object_id, principal=daemon) == RECORD * 10
    assert len(party.vault.find(run_id=OTHER)) == 4
    kept = {info.kind for info in party.vault.find(run_id=RUN)}
    assert kept <= {Kind.ADAPTER, Kind.REPORT}
    for root in (party.path, machine.shared_memory):
        assert not any(RECORD in path.read_bytes() for path in root.rglob("*") if path.is_file())


def require_backup_is_dead(backup: Path, party: PartyFolder) -> None:
    """No slot that was copied before opens with a key that is left; kept kinds aside."""
    keystore = party.keystore
    keys = [key for kind in sorted(DURABLE) for key in keystore.keks(kind)]
    roles = [keystore.role_key(role, kind) for role in Role for kind in sorted(DURABLE)]
    for slot in backup.glob(f"runs/{RUN.hex()}/slots/*.slot"):
        raw = slot.read_bytes()
        if slot.name.partition("-")[0] in ("checkpoint", "scores", "index"):
            with pytest.raises(WrongRecipientError):
                open_copies(raw + raw, [*keys, *roles])


def crash(made: Path, folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Shred, end at change ``number``, start again and judge; whether the process was ended at all."""
    site, machine = start(made, folder)
    was_killed = False
    with shreddable.opened(site) as party:
        shredder = Shredder(party, machine=machine)
        with shreddable.killed_at(number, monkeypatch):
            try:
                shredder.shred(RUN)
            except Killed:
                was_killed = True
    shreddings = settled(site, machine)
    assert shreddings.open == {}
    assert len([done for done in shreddings.done if done.run_id == RUN]) == 1
    with shreddable.opened(site) as party:
        require_backup_is_dead(made, party)
        done = shreddings.last_of(RUN)
        assert done is not None
        certificate = done.signed.opened(party.identity.public_key, run_id=RUN)
    if certificate.reason is Reason.REQUESTED:  # the intention was durable: it holds what the crash destroyed
        assert {row.kind for row in certificate.objects} == {"adapter", "checkpoint", "report", "scores"}
        assert certificate.plaintext_found == certificate.caches_cleared == 1
    return was_killed


def num_changes(made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of one shredding that nothing disturbs."""
    site, machine = start(made, folder)
    with shreddable.opened(site) as party, shreddable.killed_at(10**9, monkeypatch) as count:
        Shredder(party, machine=machine).shred(RUN)
    return count[0]


def test_crash_at_some_changes_is_finished_by_the_next_start(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = num_changes(made, tmp_path / "whole", monkeypatch)
    for number in range(0, total, total // 8):
        assert crash(made, tmp_path / str(number), number, monkeypatch)


@pytest.mark.slow
def test_crash_at_every_change_is_finished_by_the_next_start(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = num_changes(made, tmp_path / "whole", monkeypatch)
    for number in range(total):
        assert crash(made, tmp_path / str(number), number, monkeypatch)


@pytest.mark.slow
def test_second_crash_while_the_first_is_finished_is_finished_too(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = num_changes(made, tmp_path / "whole", monkeypatch)
    num_second = 0
    for number in range(7, total, 7):
        site, machine = start(made, tmp_path / str(number))
        with shreddable.opened(site) as party, shreddable.killed_at(number, monkeypatch), pytest.raises(Killed):
            Shredder(party, machine=machine).shred(RUN)
        try:
            with shreddable.killed_at(number // 3, monkeypatch), shreddable.opened(site) as party:
                Shredder(party, machine=machine).settle({OTHER})
        except Killed:
            num_second += 1
        shreddings = settled(site, machine)
        assert (shreddings.open, len(shreddings.done)) == ({}, 1)
    assert num_second > 5


CHILD = """
import os, signal, sys
from pathlib import Path
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.shred import Shredder
from tests import shreddable

site, left = Path(sys.argv[1]), int(sys.argv[2])

def step(name):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

with shreddable.opened(site) as party:
    machine = shreddable.machine_again(site.parent)
    Shredder(party, machine=machine, overwriter=Overwriter(step=step)).shred(shreddable.RUN)
"""


@pytest.mark.parametrize("left", [0, 3, 9])
def test_process_that_is_really_killed_is_finished_by_the_next_start(left: int, made: Path, tmp_path: Path) -> None:
    site, machine = start(made, tmp_path / "killed")
    done = subprocess.run([sys.executable, "-c", CHILD, str(site), str(left)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    shreddings = settled(site, machine)
    assert (shreddings.open, len(shreddings.done)) == ({}, 1)
    with shreddable.opened(site) as party:
        require_backup_is_dead(made, party)
