"""Sites with a run in their vault, to be shredded; and a way to end their process at any change on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedward.common.shredding.scratch import Machine
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock
from tests.common.shredding import machines

RUN = bytes.fromhex("22" * 16)
OTHER = bytes.fromhex("33" * 16)
SECRET = bytes(range(32))
UNLOCK = KeyUnlock.of_secret(SECRET, "key-file")
RECORD = b"Frau Mustermann, 47, diabetes"


def clock() -> int:
    return 1_700_000_000_000


def machine_in(folder: Path) -> Machine:
    """A machine whose shared memory is a folder, as if on tmpfs, and whose disk spins."""
    shared = folder / "shm"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o1777)
    made = machines.Machine(folder / "machine")
    made.disk("8:1", "sda")
    made.mount("8:1", "/", "ext4")
    made.mount("0:25", str(shared), "tmpfs")
    made.holds(shared, "0:25")
    return Machine(environment={}, shared_memory=shared, system=made.system)


def machine_again(folder: Path) -> Machine:
    """The machine of ``machine_in``, in another process."""
    made = machines.Machine(folder / "machine")
    shared = folder / "shm"
    made.mount("8:1", "/", "ext4")
    made.mount("0:25", str(shared), "tmpfs")
    made.holds(shared, "0:25")
    return Machine(environment={}, shared_memory=shared, system=made.system)


def opened(path: Path) -> PartyFolder:
    """The site again, as after a start."""
    return PartyFolder.open(path, unlocks=[UNLOCK], clock=clock)


def create(path: Path, *, runs: tuple[bytes, ...] = (RUN, OTHER)) -> Path:
    """A closed site with the same objects in every run."""
    with PartyFolder.create(path, "alpha", unlocks=[UNLOCK], clock=clock) as party:
        for run_id in runs:
            fill(party, run_id)
    return path


def fill(party: PartyFolder, run_id: bytes) -> None:
    """Objects of several kinds."""
    daemon = party.principal(Role.DAEMON)
    for kind in (Kind.CHECKPOINT, Kind.ADAPTER, Kind.REPORT, Kind.SCORES):
        party.vault.put(kind, f"a {kind}", RECORD * 10, run_id=run_id, principal=daemon)


def copy_of(site: Path, target: Path) -> Path:
    """A backup, modes included."""
    return Path(shutil.copytree(site, target, symlinks=True))


class Killed(BaseException):
    """The process ended here."""


_CHANGES = ("fsync", "ftruncate", "link", "mkdir", "pwrite", "rename", "replace", "rmdir", "unlink", "write")


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the ``number``-th change on disk, and all behind it, fail like a process that is gone.

    Yields:
        How many changes there were.
    """
    count = [0]

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the system call takes
            count[0] += 1
            if count[0] > number:  # what cleans up behind an error does not run in a dead process either
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, guarded(getattr(os, name)))
        yield count
