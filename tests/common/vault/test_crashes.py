"""kill -9 before every write, rename, unlink, fsync and append; and a disk that is full at every write.

The child really dies (``os._exit`` in a fork): no ``finally`` of ours tidies up behind it.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import EnvelopeError, ObjectNotFoundError, VaultError
from fedward.common.ledger.store import Ledger
from fedward.common.vault.kinds import SITE_DATA, Kind
from fedward.common.vault.roles import Role
from tests.vaults import OTHER_RUN, RUN, files, new_site, open_site, principal, put

KILLED = 9
STEPS = ("write", "fsync", "rename", "unlink", "mkdir")
NAMES = {"weights": Kind.CHECKPOINT, "final": Kind.ADAPTER, "others": Kind.CHECKPOINT, "records": Kind.TRAINING}
Act = Callable[[SiteFolder], object]


def the(site: SiteFolder, name: str) -> str:
    return site.vault.find(name=name)[0].object_id


ACTS: dict[str, Act] = {
    "put": lambda site: put(site, Kind.CHECKPOINT, b"new", name="new"),
    "put of a new run": lambda site: put(site, Kind.SCORES, b"new", name="new", run_id=bytes([5]) * 16),
    "put of an ephemeral kind": lambda site: put(site, Kind.SHARD, b"new", name="new"),
    "delete": lambda site: site.vault.delete(the(site, "records"), principal=principal(Role.STEWARD)),
    "release": lambda site: site.vault.release(the(site, "final"), principal=principal(Role.STEWARD)),
    "rotate": lambda site: site.vault.rotate([Kind.CHECKPOINT, Kind.INDEX]),
    "rotate roles": lambda site: site.vault.rotate_roles([Role.DAEMON]),
    "reseal": lambda site: site.vault.reseal(Kind.CHECKPOINT),
    "destroy": lambda site: site.vault.destroy(RUN),
    "identity": lambda site: site.rotate_identity(),
}
MAY_BE_GONE = {"delete": {"records"}, "destroy": {"weights"}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "site"
    with new_site(path) as site:
        put(site, Kind.CHECKPOINT, b"weights", name="weights")
        put(site, Kind.ADAPTER, b"final", name="final")
        put(site, Kind.CHECKPOINT, b"others", name="others", run_id=OTHER_RUN)
        put(site, Kind.TRAINING, b"records", name="records", run_id=SITE_DATA)
    return path


def killing(count: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets ``count`` steps pass and kills the process in place of the next."""
    left = [count]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - stands for any function
            if left[0] == 0:
                os._exit(KILLED)
            left[0] -= 1
            return function(*arguments, **named)

        return step

    return wrap


def killed_at(count: int, path: Path, act: Act) -> bool:
    """Whether a child that does ``act`` dies at its step ``count``; False: it had fewer."""
    pid = os.fork()
    if pid == 0:
        try:
            site = open_site(path)
            wrap = killing(count)
            append = Ledger.append
            setattr(Ledger, "append", wrap(append))  # noqa: B010 - a child's own copy
            os.fsync = lambda _: None  # what a killed process wrote is in the kernel's hands all the same
            for name in STEPS:
                setattr(os, name, wrap(getattr(os, name)))
            act(site)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child of a test never returns into it
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def opens(site: SiteFolder, name: str) -> bool:
    """Whether an object is there and is what it was."""
    found = site.vault.find(NAMES[name], name)
    if not found:
        return False
    role = Role.STEWARD if NAMES[name] is Kind.ADAPTER else Role.DAEMON
    try:
        return site.vault.read(found[0].object_id, principal=principal(role)) == name.encode()
    except ObjectNotFoundError:  # its key went, the index has not followed yet
        return False


def require_sound(path: Path, act: str) -> None:
    """What is at ``path`` is in use again: all is there that should be, nothing lies about, everything works."""
    with open_site(path) as site:
        missing = {name for name in NAMES if not opens(site, name)}
        assert missing <= MAY_BE_GONE.get(act, set())
        assert [p.name for p in files(path / "runs") + files(path / "data") if p.suffix in (".next", ".fresh")] == []
        assert site.keystore.pending == ()
        for info in site.vault.find(name="new"):
            assert site.vault.read(info.object_id, principal=principal(Role.DAEMON)) == b"new"
        on_disk = {p.name.removesuffix(".fwe") for p in files(path, ".fwe") if p.parent.parent.name == "objects"}
        assert on_disk == {info.object_id for info in site.vault.find()}
        with suppress(IndexError):
            ACTS[act](site)
    with open_site(path) as site:
        assert all(opens(site, name) for name in set(NAMES) - MAY_BE_GONE.get(act, set()))
        assert not any(opens(site, name) for name in MAY_BE_GONE.get(act, set()))


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_kill_at_any_step_leaves_a_vault_that_works(base: Path, tmp_path: Path, act: str) -> None:
    count = 0
    while True:
        path = tmp_path / str(count)
        shutil.copytree(base, path)
        was_killed = killed_at(count, path, ACTS[act])
        require_sound(path, act)
        shutil.rmtree(path)
        if not was_killed:
            break
        count += 1
    assert count > 4


@pytest.mark.parametrize("count", [0, 3, 7, 11, 15, 19, 23])
def test_kill_at_some_step_of_a_put_leaves_a_vault_that_works(base: Path, tmp_path: Path, count: int) -> None:
    path = tmp_path / "site"
    shutil.copytree(base, path)
    killed_at(count, path, ACTS["put"])
    require_sound(path, "put")


@pytest.mark.parametrize("act", ["put", "put of a new run", "put of an ephemeral kind", "delete", "release", "reseal"])
def test_full_disk_at_any_write_leaves_nothing_half_written(
    base: Path, tmp_path: Path, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = os.write, [0]

    def full(descriptor: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        return write(descriptor, data)

    for count in range(40):
        path = tmp_path / str(count)
        shutil.copytree(base, path)
        with open_site(path) as site, monkeypatch.context() as patched:
            left[0] = count
            patched.setattr("fedward.common.vault.files.os.write", full)
            error = None
            try:
                ACTS[act](site)
            except VaultError as caught:
                error = caught
            assert [p for p in files(path / "runs") + files(path / "data") if p.suffix in (".next", ".fresh")] == []
        require_sound(path, act)
        if error is None:
            return
        assert "No space" in error.message
    raise AssertionError("it never ended")


def test_leftovers_of_nobody_are_cleared_up(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "site"
    shutil.copytree(base, path)
    stray = path / "runs" / RUN.hex() / "objects" / "shard" / ("ab" * 16 + ".fwe")
    stray.parent.mkdir(mode=0o700)
    for place in (stray, stray.with_name(stray.name + ".next"), path / "data" / "index.fwe.next"):
        place.write_bytes(b"noise")
        place.chmod(0o600)
    require_sound(path, "put")
    assert not stray.exists()


def test_keys_of_a_run_are_dead_after_a_crash_and_a_second_try(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "site"
    shutil.copytree(base, path)
    slot = path / "runs" / RUN.hex() / "slots" / "checkpoint-1.slot"
    old = slot.read_bytes(), slot.name
    killed_at(9, path, ACTS["destroy"])
    with open_site(path) as site:
        site.vault.destroy(RUN)
    slot.write_bytes(old[0])
    slot.chmod(0o600)
    with open_site(path) as site:
        area = site.vault._storage.area(RUN)
        name = next(name for name in area.slot_names([Kind.CHECKPOINT]))
        keys = [
            *(key for kind in sorted(set(Kind)) if not kind.is_ephemeral for key in site.keystore.keks(kind)),
            *(site.keystore.role_key(role, Kind.CHECKPOINT) for role in Role),
        ]
        with pytest.raises(EnvelopeError):
            area.slot(name, keys)
