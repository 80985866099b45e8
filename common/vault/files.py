"""Files and folders that are its owner's alone, reached step by step from one root.

Every folder on the way is opened without following links and must be ours with mode 0700; every file must be regular,
ours, 0600. What is made gets its mode explicitly, whatever the umask. A new file appears by ``writing`` (durable before
the block ends) and takes its place by ``rename``. Not handled here: folders above the root, and root itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from fedward.common.errors import VaultError, VaultPermissionError

Place = tuple[str, ...]
"""Names below the root, the last one the file's."""
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS = 0o077
_DISK = "Check the folder and the disk."
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Sink:
    """What ``writing`` yields: takes all that it is given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.num_bytes = 0
        """Written so far."""

    def write(self, data: memoryview | bytes, /) -> int:
        """Write all of ``data``."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.num_bytes += len(data)
        return len(data)

    def peek(self, num_bytes: int, at: int) -> bytes:
        """What was written there."""
        return os.pread(self._descriptor, num_bytes, at)


class PrivateFolder:
    """A folder that only its owner enters.

    Args:
        root: must exist.

    Raises:
        VaultError: it does not exist.
        VaultPermissionError: a link, another's, or open to others.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.on_replaced: Callable[[int], None] | None = None
        """Called with a descriptor, open for writing, of each file that a rename has just replaced."""
        try:
            with self._folder((), is_made=False):
                pass
        except FileNotFoundError:
            raise VaultError(f"{root.name}: no such folder", hint="Check the path.") from None

    @classmethod
    def create(cls, root: Path) -> PrivateFolder:
        """Make ``root`` (0700); its parent must exist.

        Raises:
            VaultError: something is there already, or it cannot be made.
        """
        try:
            os.mkdir(root, FOLDER_MODE)
            os.chmod(root, FOLDER_MODE)
        except OSError as error:
            raise VaultError(f"{root.name}: {error.strerror}", hint="Name a folder that does not exist yet.") from error
        return cls(root)

    def path(self, place: Place) -> Path:
        """Where ``place`` is, for messages and for libraries of our own that take a path; nothing is checked."""
        return self.root.joinpath(*place)

    @contextmanager
    def _folder(self, names: Place, *, is_made: bool) -> Iterator[int]:
        """A descriptor of the folder ``names`` below the root, every step of it checked."""
        descriptor = _opened_folder(str(self.root), None)
        try:
            for name in names:
                _require_name(name)
                if is_made:
                    _make_folder(name, descriptor)
                inner = _opened_folder(name, descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def make_folder(self, names: Place) -> None:
        """Make ``names`` and what is missing above it, each 0700."""
        with self._folder(names, is_made=True):
            pass

    @contextmanager
    def writing(self, place: Place) -> Iterator[Sink]:
        """A new file, durable when the block ends; on an error nothing of it is left. A leftover there is replaced.

        Raises:
            VaultPermissionError: a folder on the way is not ours alone.
            VaultError: the disk is full, or the file cannot be made.
        """
        *names, name = place
        _require_name(name)
        with self._folder(tuple(names), is_made=True) as folder:
            try:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                descriptor = os.open(name, _NEW_FLAGS, FILE_MODE, dir_fd=folder)
            except OSError as error:
                raise VaultError(f"{name}: {error.strerror}", hint="Check the folder and the disk.") from error
            try:
                os.fchmod(descriptor, FILE_MODE)
                _require_private(os.fstat(descriptor), name)
                yield Sink(descriptor)
                os.fsync(descriptor)
                os.fsync(folder)  # its name must be there when the ledger says so
            except OSError as error:
                _discard(name, folder)
                raise VaultError(f"{name}: {error.strerror}", hint="Is the disk full?") from error
            except BaseException:
                _discard(name, folder)
                raise
            finally:
                os.close(descriptor)

    def write(self, place: Place, data: bytes) -> None:
        """Replace ``place`` as a whole: the old file or the new one is there, whatever crashes.

        Raises:
            VaultError: as ``writing``.
        """
        fresh = (*place[:-1], f"{place[-1]}.fresh")
        with self.writing(fresh) as sink:
            sink.write(data)
        self.rename(fresh, place[-1])

    def rename(self, place: Place, name: str) -> None:
        """Give ``place`` another name in its folder, durably; what has that name is replaced."""
        _require_name(name)
        with self._folder(place[:-1], is_made=False) as folder, self._replaced(name, folder):
            try:
                os.rename(place[-1], name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            except OSError as error:
                raise VaultError(f"{name}: {error.strerror}", hint="Check the folder and the disk.") from error

    @contextmanager
    def _replaced(self, name: str, folder: int) -> Iterator[None]:
        """Keep hold of the file that goes, so that it can be overwritten when its successor is durable."""
        if self.on_replaced is None:
            yield
            return
        try:
            old = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:  # there is none, mostly
            yield
            return
        try:
            yield
            self.on_replaced(old)
        finally:
            os.close(old)

    def unlink(self, place: Place) -> None:
        """Remove a file, durably; one that is gone is fine."""
        with self._folder(place[:-1], is_made=False) as folder:
            try:
                os.unlink(place[-1], dir_fd=folder)
                os.fsync(folder)
            except FileNotFoundError:
                return
            except OSError as error:
                raise VaultError(f"{place[-1]}: {error.strerror}", hint=_DISK) from error

    def remove_empty(self, names: Place) -> None:
        """Remove the folder ``names`` with the empty folders in it; what holds a file stays."""
        for name in self.folders(names):
            with suppress(VaultPermissionError):  # not the vault's: it stays, and so do those above
                self.remove_empty((*names, name))
        with self._folder(names[:-1], is_made=False) as folder, suppress(OSError):
            os.rmdir(names[-1], dir_fd=folder)
            os.fsync(folder)

    @contextmanager
    def reading(self, place: Place) -> Iterator[FileIO]:
        """A file, unbuffered.

        Raises:
            FileNotFoundError: it is not there.
            VaultPermissionError: it, or a folder on the way, is not ours alone.
        """
        with self._folder(place[:-1], is_made=False) as folder:
            descriptor = _opened_file(place[-1], folder)
        try:
            _require_private(os.fstat(descriptor), place[-1])
            file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - closed below
        except BaseException:
            os.close(descriptor)
            raise
        with file:
            yield file

    def read(self, place: Place, *, max_bytes: int) -> bytes:
        """All of a small file.

        Raises:
            FileNotFoundError: it is not there.
            VaultError: longer than ``max_bytes``, or not ours alone.
        """
        with self.reading(place) as file:
            limit = (
                min(max_bytes, os.fstat(file.fileno()).st_size) + 1
            )  # `read` takes as much memory as it is asked for
            raw = bytearray()
            while len(raw) <= max_bytes and (piece := file.read(limit)):
                raw += piece
        if len(raw) > max_bytes:
            raise VaultError(f"{place[-1]} is longer than {max_bytes:,} bytes")
        return bytes(raw)

    def files(self, names: Place) -> tuple[str, ...]:
        """The names of all that is no folder in ``names``, sorted; none where that folder is missing."""
        return self._names(names, is_folder=False)

    def folders(self, names: Place) -> tuple[str, ...]:
        """The folders in ``names``, sorted; links are no folders."""
        return self._names(names, is_folder=True)

    def _names(self, names: Place, *, is_folder: bool) -> tuple[str, ...]:
        try:
            with self._folder(names, is_made=False) as folder, os.scandir(folder) as entries:
                found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) is is_folder]
        except FileNotFoundError:
            return ()
        return tuple(sorted(found))


def _require_name(name: str) -> None:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise VaultError("a name in the vault has no slash and is not empty")


def _require_private(state: os.stat_result, name: str, *, is_folder: bool = False) -> None:
    """Refuse what others could read or write.

    Raises:
        VaultPermissionError: another's, open to others, or not the file, or the folder, that it should be.
    """
    if not (stat.S_ISDIR if is_folder else stat.S_ISREG)(state.st_mode):
        raise VaultPermissionError(f"{name} is no {'folder' if is_folder else 'file'}")
    if state.st_uid != os.geteuid():
        raise VaultPermissionError(f"{name} belongs to another account")
    if state.st_mode & _OTHERS:
        raise VaultPermissionError(f"{name} has mode {stat.S_IMODE(state.st_mode):04o}: others may enter or read it")


def _opened_folder(name: str, parent: int | None) -> int:
    try:
        descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        raise
    except NotADirectoryError:  # what a link gives here, too
        raise VaultPermissionError(f"{Path(name).name} is a link or no folder") from None
    except OSError as error:
        raise VaultPermissionError(f"{Path(name).name}: {error.strerror}") from error
    try:
        _require_private(os.fstat(descriptor), Path(name).name, is_folder=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _opened_file(name: str, folder: int) -> int:
    _require_name(name)
    try:
        return os.open(name, _READ_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:  # ELOOP of a link
        raise VaultPermissionError(f"{name} is a link or cannot be read: {error.strerror}") from error


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=parent)
        os.chmod(name, FOLDER_MODE, dir_fd=parent)
        os.fsync(parent)
    except FileExistsError:
        return
    except OSError as error:
        raise VaultError(f"{name}: {error.strerror}", hint=_DISK) from error


def _discard(name: str, folder: int) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


__all__ = ["FILE_MODE", "FOLDER_MODE", "Place", "PrivateFolder", "Sink"]
