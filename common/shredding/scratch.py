"""The scratch of a run: where libraries write behind one's back, in memory where possible, shredded at its end.

``datasets``, Hugging Face, Inductor, Triton, Matplotlib and ``tempfile`` put caches and temporary files wherever the
environment says. Inside ``Scratch`` all of it says: a folder of the run on tmpfs, which only its owner enters. It is
``$RUNTIME_DIRECTORY`` (systemd's) or ``/dev/shm``, each checked to be a tmpfs; else the run's own folder on disk, which
is said in the log and in the certificate (``plaintext_medium``). The name depends on the site and the run alone, so
that the next start finds what a killed process left.

Python's own bytecode stays where it is and is not written meanwhile: it holds code and no record, and in a scratch of
its own every run would compile torch and transformers anew (20 s, measured).

Environment, ``tempfile.tempdir`` and signal handlers are put back at the end, and the folder is shredded, also after an
exception or SIGTERM and SIGHUP. After SIGKILL the next start does it (``leftovers``).

The environment has to stand before a library is imported; ``late_imports`` names those that came too early. A process
that a library forked into the background may write on after the end: end it first.

Not handled here: swap (``MemorySwapMax=0`` in the unit), and the base model, which is public and keeps its own cache:
it is given as a path.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Final, Literal, NoReturn

from fedward.common.errors import ShreddingError
from fedward.common.logs.logger import log
from fedward.common.shredding.media import Medium, System, Verdict, medium_of
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.overwritten import Overwritten

FOLDERS: Final[Mapping[str, str]] = {
    "CUDA_CACHE_PATH": "cuda",
    "HF_DATASETS_CACHE": "huggingface/datasets",
    "HF_HOME": "huggingface",
    "HF_HUB_CACHE": "huggingface/hub",
    "MPLCONFIGDIR": "matplotlib",
    "TMPDIR": "tmp",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRANSFORMERS_CACHE": "huggingface/hub",
    "TRITON_CACHE_DIR": "triton",
    "XDG_CACHE_HOME": "cache",
}
"""Variables of the environment, and what each names below the scratch."""

SWITCHES: Final[Mapping[str, str]] = {
    "HF_DATASETS_IN_MEMORY_MAX_SIZE": str(1 << 62),
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""Nothing is fetched, and data sets are held in memory (bytes that may be)."""

PlaintextMedium = Literal["memory", "disk"]
LIBRARIES: Final = ("datasets", "huggingface_hub", "matplotlib", "torch", "transformers", "triton")
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_HELD_BACK = (*_ENDING, signal.SIGINT)
_RUN_BYTES = 16
_MARK = "fedward-"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScratchPlace:
    """Where the scratch of one run is."""

    folder: Path
    medium: Medium
    is_memory: bool

    @property
    def plaintext_medium(self) -> PlaintextMedium:
        """As the certificate has it."""
        return "memory" if self.is_memory else "disk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the choice of a place depends on; tests make one up."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    shared_memory: Path = Path("/dev/shm")  # noqa: S108 - owner, mode and file system are checked
    system: System = field(default_factory=System)

    @property
    def bases(self) -> tuple[Path, ...]:
        """Folders that may be in memory, the first choice first."""
        stated = self.environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
        runtime = [Path(stated)] if stated.startswith("/") else []
        return (*runtime, self.shared_memory)


def site_mark(site: Path) -> str:
    """A name for the site's scratch that another site on this machine does not have; tells nothing of the path."""
    where = f"{os.geteuid()}:{site.resolve()}".encode()
    return f"{_MARK}{hashlib.sha256(where).hexdigest()[:24]}"


def place_scratch(site: Path, run_id: bytes, *, machine: Machine | None = None) -> ScratchPlace:
    """Choose the place and create it, empty or as a dead process left it.

    Raises:
        ShreddingError: not a run id, or not even the run's own folder can be used.
    """
    machine = machine or Machine()
    name = _run_name(run_id)
    for base in machine.bases:
        medium = medium_of(base, system=machine.system)
        if medium.verdict is Verdict.MEMORY and _is_firm(base) and _own_folder(base / site_mark(site)):
            folder = base / site_mark(site) / name
            if _own_folder(folder):
                return ScratchPlace(folder=folder, medium=medium, is_memory=True)
    log.event("scratch.on_disk", run=run_id)
    folder = disk_scratch(site, run_id)
    _make_inside(site, f"runs/{name}")
    if not _own_folder(folder):
        raise ShreddingError("the run's scratch folder is not this account's own, or is a link")
    return ScratchPlace(folder=folder, medium=medium_of(folder, system=machine.system), is_memory=False)


def disk_scratch(site: Path, run_id: bytes) -> Path:
    """Where the scratch goes when there is no tmpfs."""
    return site / "runs" / _run_name(run_id) / "scratch"


def leftovers(site: Path, *, machine: Machine | None = None) -> tuple[tuple[bytes, Path], ...]:
    """Scratch folders of the site in memory that are there now, each with its run: of live runs too."""
    machine = machine or Machine()
    found: list[tuple[bytes, Path]] = []
    for base in machine.bases:
        home = base / site_mark(site)
        if not _is_own(home):
            continue
        for folder in sorted(home.iterdir()):
            run_id = _run_of(folder.name)
            if run_id is not None and _is_own(folder):
                found.append((run_id, folder))
    return tuple(found)


def leave(folder: Path) -> None:
    """Remove the site's own folder in memory when the scratch that went was its last one."""
    if folder.parent.name.startswith(_MARK):
        with suppress(OSError):
            folder.parent.rmdir()


def _run_name(run_id: bytes) -> str:
    if type(run_id) is not bytes or len(run_id) != _RUN_BYTES:
        raise ShreddingError(f"a run's id has {_RUN_BYTES} bytes")
    return run_id.hex()


def _run_of(name: str) -> bytes | None:
    try:
        run_id = bytes.fromhex(name)
    except ValueError:
        return None
    return run_id if len(run_id) == _RUN_BYTES and run_id.hex() == name else None


def _own_folder(folder: Path) -> bool:
    """Make it if it is not there; whether it is this account's alone. /dev/shm is open to all who might be first."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    return _is_own(folder)


def _make_inside(folder: Path, inner: str) -> None:
    """Each part with its mode: ``parents=True`` would leave those between to the umask."""
    for part in Path(inner).parts:
        folder /= part
        folder.mkdir(exist_ok=True, mode=0o700)


def _is_own(folder: Path) -> bool:
    try:
        state = folder.lstat()
    except OSError:
        return False
    is_private = state.st_uid == os.geteuid() and not state.st_mode & 0o077
    return stat.S_ISDIR(state.st_mode) and is_private


def _is_firm(base: Path) -> bool:
    """Whether nobody but its owner and root can put another folder in the place of ours."""
    try:
        state = base.lstat()
    except OSError:
        return False
    is_writable_by_others = state.st_mode & 0o022 and not state.st_mode & stat.S_ISVTX
    return stat.S_ISDIR(state.st_mode) and state.st_uid in (0, os.geteuid()) and not is_writable_by_others


def environment_of(folder: Path) -> dict[str, str]:
    """The variables for a process that works in this scratch, a trainer's child for one."""
    return {name: str(folder / inner) for name, inner in FOLDERS.items()} | dict(SWITCHES)


class Scratch:
    """Sends all caches and temporary files of this process to the scratch, and shreds it at the end.

    Used as a context; one at a time in a process, for the environment is one.

    Args:
        place: from ``place_scratch``.
        overwriter: tests count its steps.

    Raises:
        ShreddingError: at the end, if something could not be removed; also while another exception passes, as its
            context.
    """

    _active = threading.Lock()

    def __init__(self, place: ScratchPlace, *, overwriter: Overwriter | None = None) -> None:
        self.place = place
        self.late_imports: tuple[str, ...] = ()
        """Libraries that had read the old environment already; empty where ``Scratch`` came first."""
        self.shredded = Overwritten()
        """What the end removed."""
        self._overwriter = overwriter or Overwriter()
        self._before: dict[str, str | None] = {}
        self._tempdir: str | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._was_caching = False
        self._was_mute = False

    def __enter__(self) -> Scratch:
        if not self._active.acquire(blocking=False):
            raise ShreddingError("this process works in another scratch already")
        try:
            self._catch_signals()
            self.late_imports = tuple(name for name in LIBRARIES if name in sys.modules)
            self._redirect()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()
        self.shredded.require_complete()

    def _redirect(self) -> None:
        for name, value in environment_of(self.place.folder).items():
            if name in FOLDERS:
                _make_inside(self.place.folder, FOLDERS[name])
            self._before[name] = os.environ.get(name)
            os.environ[name] = value
        self._tempdir, tempfile.tempdir = tempfile.tempdir, os.environ["TMPDIR"]
        self._was_mute, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        self._was_caching = _stop_caching(sys.modules.get("datasets"))

    def _end(self) -> None:
        """All of it happens, whatever fails before, and whoever asks meanwhile to end: that is heard afterwards."""
        with _heard_later(self._handlers):
            try:
                self.shredded = self._overwriter.shred_folder(self.place.folder)
                leave(self.place.folder)
            finally:
                self._restore()
                self._active.release()
        self._handlers = {}

    def _restore(self) -> None:
        if self._before:
            tempfile.tempdir, sys.dont_write_bytecode = self._tempdir, self._was_mute
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self._before = {}
        if self._was_caching:
            sys.modules["datasets"].enable_caching()

    def _catch_signals(self) -> None:
        """SIGTERM ends Python without a word unless somebody asked for it; then nothing would be shredded."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, _end_in_order)


@contextmanager
def _heard_later(before: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Requests to end are noted, and made again behind the block, when the handlers from ``before`` are back.

    Not by the thread's signal mask: another thread would take them, and Python runs the handler in this one anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    kept = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in _HELD_BACK}
    try:
        yield
    finally:
        for number, handler in {**kept, **before}.items():
            signal.signal(number, handler)
        for again in dict.fromkeys(asked):
            os.kill(os.getpid(), again)


def _end_in_order(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _stop_caching(datasets: ModuleType | None) -> bool:
    """Where ``datasets`` was imported before, its own switch; whether caching was on."""
    if datasets is None or not datasets.is_caching_enabled():
        return False
    datasets.disable_caching()
    return True


def shred_leftovers(
    site: Path, live: frozenset[bytes], *, machine: Machine | None = None, overwriter: Overwriter | None = None
) -> Iterator[tuple[bytes, Overwritten]]:
    """Shred the scratch in memory of every run that is not ``live``; each run with what went.

    Raises:
        ShreddingError: something could not be removed.
    """
    overwriter = overwriter or Overwriter()
    for run_id, folder in leftovers(site, machine=machine):
        if run_id not in live:
            done = overwriter.shred_folder(folder).require_complete()
            leave(folder)
            yield run_id, done


__all__ = [
    "disk_scratch",
    "environment_of",
    "FOLDERS",
    "leave",
    "leftovers",
    "LIBRARIES",
    "Machine",
    "place_scratch",
    "PlaintextMedium",
    "Scratch",
    "ScratchPlace",
    "shred_leftovers",
    "site_mark",
    "SWITCHES",
]
