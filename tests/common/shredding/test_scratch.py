"""The scratch: where libraries are sent, what is put back, and that nothing stays, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedward.common.errors import ShreddingError
from fedward.common.logs.logger import log
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.scratch import (
    FOLDERS,
    SWITCHES,
    Machine,
    Scratch,
    ScratchPlace,
    disk_scratch,
    environment_of,
    leftovers,
    place_scratch,
    shred_leftovers,
    site_mark,
)
from tests.common.shredding import machines

RUN = bytes(range(16))
OTHER = bytes(range(1, 17))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir(mode=0o700)
    return site


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose shared memory is a folder of the test, as if on tmpfs."""
    shared = tmp_path / "shm"
    shared.mkdir()
    shared.chmod(0o1777)
    made = machines.Machine(tmp_path / "machine")
    made.mount("0:25", str(shared), "tmpfs")
    made.holds(shared, "0:25")
    return Machine(environment={}, shared_memory=shared, system=made.system)


@pytest.fixture
def place(site: Path, machine: Machine) -> ScratchPlace:
    return place_scratch(site, RUN, machine=machine)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = _state()
    yield
    assert _state() == before


def _state() -> tuple[object, ...]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return environment, tempfile.tempdir, sys.pycache_prefix


def test_place_is_in_shared_memory_and_its_owners_alone(place: ScratchPlace, site: Path, machine: Machine) -> None:
    assert place.folder == machine.shared_memory / site_mark(site) / RUN.hex()
    assert place.plaintext_medium == "memory"
    assert [path.stat().st_mode & 0o777 for path in (place.folder, place.folder.parent)] == [0o700, 0o700]


def test_runtime_directory_of_the_unit_comes_first(site: Path, machine: Machine, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    made = machines.Machine(tmp_path / "machine2")
    made.mount("0:26", str(runtime), "tmpfs")
    made.holds(runtime, "0:26")
    environment = {"RUNTIME_DIRECTORY": f"{runtime}:/run/second"}
    chosen = Machine(environment=environment, shared_memory=machine.shared_memory, system=made.system)
    assert place_scratch(site, RUN, machine=chosen).folder.parent.parent == runtime


def test_shared_memory_that_is_a_disk_is_not_taken_and_said(site: Path, tmp_path: Path) -> None:
    made = machines.Machine(tmp_path / "machine3")
    made.disk("8:1", "sda")
    made.mount("8:1", "/", "ext4")
    disk = Machine(environment={}, shared_memory=tmp_path, system=made.system)
    place = place_scratch(site, RUN, machine=disk)
    assert log.waiting[-1].schema.name == "scratch.on_disk"
    assert (place.folder, place.plaintext_medium) == (disk_scratch(site, RUN), "disk")
    assert (site / "runs" / RUN.hex()).stat().st_mode & 0o777 == 0o700


def squat_with_link(home: Path) -> None:
    home.symlink_to(home.parent.parent)


def squat_with_loose_mode(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)


def squat_with_file(home: Path) -> None:
    home.touch(mode=0o600)


@pytest.mark.parametrize("squat", [squat_with_link, squat_with_loose_mode, squat_with_file])
def test_name_that_another_took_first_is_not_used(squat: types.FunctionType, site: Path, machine: Machine) -> None:
    squat(machine.shared_memory / site_mark(site))
    assert place_scratch(site, RUN, machine=machine).plaintext_medium == "disk"


def test_shared_memory_in_which_others_rename_is_not_used(site: Path, machine: Machine) -> None:
    machine.shared_memory.chmod(0o777)
    assert place_scratch(site, RUN, machine=machine).plaintext_medium == "disk"


def test_link_in_the_place_of_the_disks_scratch_is_refused(site: Path, machine: Machine, tmp_path: Path) -> None:
    machine.shared_memory.chmod(0o777)
    folder = disk_scratch(site, RUN)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path)
    with pytest.raises(ShreddingError, match="is a link"):
        place_scratch(site, RUN, machine=machine)


@pytest.mark.parametrize("run_id", [b"", b"x" * 15, b"x" * 17])
def test_run_without_an_id_has_no_scratch(run_id: bytes, site: Path, machine: Machine) -> None:
    with pytest.raises(ShreddingError, match="16 bytes"):
        place_scratch(site, run_id, machine=machine)


def test_sites_of_one_machine_have_places_of_their_own(tmp_path: Path) -> None:
    assert site_mark(tmp_path / "a") != site_mark(tmp_path / "b")
    assert str(tmp_path) not in site_mark(tmp_path)


def test_everything_points_into_the_scratch_inside(place: ScratchPlace) -> None:
    with Scratch(place):
        assert {name: os.environ[name] for name in FOLDERS} == {
            name: str(place.folder / inner) for name, inner in FOLDERS.items()
        }
        assert {name: os.environ[name] for name in SWITCHES} == dict(SWITCHES)
        assert all(Path(os.environ[name]).stat().st_mode & 0o777 == 0o700 for name in FOLDERS)
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).is_relative_to(place.folder)
    assert not place.folder.exists()


def test_last_scratch_takes_the_folder_of_its_site_with_it(place: ScratchPlace, site: Path, machine: Machine) -> None:
    other = place_scratch(site, OTHER, machine=machine)
    with Scratch(place):
        pass
    assert other.folder.exists()
    assert list(shred_leftovers(site, frozenset(), machine=machine))
    assert list(machine.shared_memory.iterdir()) == []


def test_end_counts_what_went(place: ScratchPlace) -> None:
    with Scratch(place) as inside:
        (place.folder / "cache").joinpath("x").write_bytes(b"record" * 10)
    assert (inside.shredded.num_files, inside.shredded.num_bytes) == (1, 60)


def test_exception_passes_and_nothing_stays(place: ScratchPlace) -> None:
    (place.folder / "x").write_bytes(b"record")
    with pytest.raises(KeyError), Scratch(place):
        raise KeyError
    assert not place.folder.exists()


def test_value_that_was_set_before_comes_back(place: ScratchPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/before")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    with Scratch(place):
        pass
    assert (os.environ["HF_HOME"], os.environ.get("MPLCONFIGDIR")) == ("/before", None)


def test_second_scratch_in_one_process_is_refused(place: ScratchPlace, site: Path, machine: Machine) -> None:
    other = place_scratch(site, OTHER, machine=machine)
    with Scratch(place), pytest.raises(ShreddingError, match="another scratch"), Scratch(other):
        pass
    assert other.folder.exists()


def test_what_cannot_be_removed_is_an_error_at_the_end(place: ScratchPlace) -> None:
    stranger = Overwriter(owner=os.geteuid() + 1)
    with pytest.raises(ShreddingError, match="could not be removed"), Scratch(place, overwriter=stranger):
        pass


def test_library_that_was_there_before_is_named_and_its_caching_stopped(
    place: ScratchPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched: list[str] = []
    datasets = types.ModuleType("datasets")
    datasets.is_caching_enabled = lambda: True  # type: ignore[attr-defined]
    datasets.disable_caching = lambda: switched.append("off")  # type: ignore[attr-defined]
    datasets.enable_caching = lambda: switched.append("on")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    with Scratch(place) as inside:
        assert "datasets" in inside.late_imports
        assert switched == ["off"]
    assert switched == ["off", "on"]


def test_child_gets_the_same_environment_by_hand(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    assert environment.keys() == FOLDERS.keys() | SWITCHES.keys()
    assert all(Path(environment[name]).is_relative_to(tmp_path) for name in FOLDERS)


def test_leftovers_of_dead_runs_go_and_those_of_live_ones_stay(site: Path, machine: Machine) -> None:
    for run in (RUN, OTHER):
        (place_scratch(site, run, machine=machine).folder / "x").write_bytes(b"record")
    (machine.shared_memory / site_mark(site) / "no-run").mkdir()
    assert [run for run, _ in leftovers(site, machine=machine)] == [RUN, OTHER]
    gone = list(shred_leftovers(site, frozenset({OTHER}), machine=machine))
    assert [(run, done.num_files) for run, done in gone] == [(RUN, 1)]
    assert [run for run, _ in leftovers(site, machine=machine)] == [OTHER]


CHILD = """
import os, signal, sys
from pathlib import Path
from fedward.common.shredding.media import Medium, Storage, Verdict
from fedward.common.shredding.scratch import Scratch, ScratchPlace

medium = Medium(fs_type="tmpfs", storage=Storage.MEMORY, verdict=Verdict.MEMORY)
place = ScratchPlace(folder=Path(sys.argv[1]), medium=medium, is_memory=True)
with Scratch(place):
    Path(os.environ["TMPDIR"], "sample").write_text("record of a patient")
    os.kill(os.getpid(), int(sys.argv[2]))
    signal.pause()
"""


def killed_inside(place: ScratchPlace, number: signal.Signals) -> int:
    """The exit code of a real process that works in ``place`` and gets a signal."""
    words = [sys.executable, "-c", CHILD, str(place.folder), str(int(number))]
    done = subprocess.run(words, timeout=60, check=False, capture_output=True, preexec_fn=_listens_to_signals)
    return done.returncode


def _listens_to_signals() -> None:
    """Whoever runs the tests in the background ignores some, and children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_process_that_is_asked_to_end_leaves_nothing(number: signal.Signals, place: ScratchPlace) -> None:
    assert killed_inside(place, number) != 0
    assert not place.folder.exists()


def test_process_that_is_killed_leaves_what_the_next_start_removes(
    place: ScratchPlace, site: Path, machine: Machine
) -> None:
    assert killed_inside(place, signal.SIGKILL) == -signal.SIGKILL
    assert (place.folder / "tmp/sample").exists()
    assert [run for run, _ in shred_leftovers(site, frozenset(), machine=machine)] == [RUN]
    assert not place.folder.exists()


@pytest.mark.parametrize("has_other_threads", [False, True])
def test_request_to_end_during_the_end_is_heard_afterwards(has_other_threads: bool, place: ScratchPlace) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    if has_other_threads:
        thread.start()

    def ask(_: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    handled: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: handled.append(place.folder.exists()))
    try:
        with Scratch(place, overwriter=Overwriter(step=ask)):
            (place.folder / "x").write_bytes(b"record")
    finally:
        signal.signal(signal.SIGTERM, before)
        stop.set()
    assert handled == [False]
