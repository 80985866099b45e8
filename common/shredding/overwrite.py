"""Overwriting files and folders: one random pass, fsync, truncation, a random name, unlink, fsync of the folder.

One fsync for each file and one for each folder at its end: more would cost most of the time and give nothing.

Invariants: nothing outside the folder that was given is opened, written or removed. Every step is relative to the
descriptor of a folder that was opened without following a link; a link is removed and never followed; another file
system that is mounted inside is left alone. A file of another owner, a device or what cannot be changed is refused,
stays, and is reported. Every step may be repeated after a crash: what is left is under a random name in the same
folder, and goes with the folder.

A file with a second name (a hard link) is overwritten too, for its content is what has to die, and is counted: the
other name now holds nothing. Only blocks that are allocated are written: a sparse file does not fill the disk.

Not handled here: what the pass is worth (``media``), and copies elsewhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fedward.common.errors import ShreddingError
from fedward.common.shredding.overwritten import Overwritten, Refusal, Refused

PIECE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
_NAME_BYTES = 16
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _OPEN

Step = Callable[[str], None]
"""Called before every change on disk with its name; tests end the process there."""
RandomBytes = Callable[[int], bytes]


class Overwriter:
    """Shreds files and folders.

    Args:
        random_bytes: of the operating system; tests count.
        step: see ``Step``.
    """

    def __init__(
        self, *, random_bytes: RandomBytes = secrets.token_bytes, step: Step = lambda _: None, owner: int | None = None
    ) -> None:
        self._random_bytes = random_bytes
        self._step = step
        self._owner = os.geteuid() if owner is None else owner

    def shred_file(self, folder: Path, name: str, *, rename_first: bool = False) -> Overwritten:
        """One file of ``folder``. Nothing there: nothing done.

        Args:
            folder: its own last part must not be a link.
            name: of the file, not a path.
            rename_first: it loses its name before its content: whoever looks for that name after a crash finds
                nothing, and never half of a file.

        Raises:
            ShreddingError: ``folder`` cannot be opened or is a link, ``name`` is a path, or names no regular file.
        """
        _require_name(name)
        with _opened(folder) as parent:
            if parent is None or (state := _state(parent, name)) is None:
                return Overwritten()
            if not stat.S_ISREG(state.st_mode):
                raise ShreddingError("only a regular file is overwritten: no link, folder, pipe or device")
            if rename_first and state.st_uid == self._owner:
                self._step("rename")
                name = self._random_name(parent, name)
                os.fsync(parent)  # on a crash of the machine, too
            done = self._file(parent, name, state, name)
            os.fsync(parent)
            return done

    def shred_entry(self, folder: Path, name: str) -> Overwritten:
        """Whatever is under ``name`` in ``folder``: a file, a folder with all in it, a link that is not followed.

        Raises:
            ShreddingError: ``folder`` cannot be opened or is a link, or ``name`` is a path.
        """
        _require_name(name)
        with _opened(folder) as parent:
            if parent is None:
                return Overwritten()
            done = self._entry(parent, name, name, MAX_DEPTH)
            os.fsync(parent)
            return done

    def overwrite_open(self, descriptor: int) -> None:
        """Overwrite and truncate a file that has lost its name already: another took its place.

        A courtesy: an error is not raised, for the file's successor is durable.
        """
        with suppress(OSError):
            self._overwrite(descriptor, os.fstat(descriptor))
            self._step("truncate")
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)

    def shred_folder(self, folder: Path, *, keep: bool = False) -> Overwritten:
        """``folder`` and all in it; nothing there: nothing done.

        Args:
            folder: its own last part must not be a link.
            keep: empty it and leave it there.

        Raises:
            ShreddingError: it is a link, no folder, or cannot be opened.
        """
        with _opened(folder) as root:
            if root is None:
                return Overwritten()
            if os.fstat(root).st_uid != self._owner:
                return _stays(Refusal.OWNER, ".")
            done = self._contents(root, "", MAX_DEPTH)
        if keep or done.refused:
            return done
        with _opened(folder.parent) as parent:
            if parent is None:
                return done
            return done + self._empty_folder(parent, folder.name)

    def _contents(self, folder: int, path: str, depth: int) -> Overwritten:
        """All entries of an open folder, then its own fsync."""
        done = Overwritten()
        for name in sorted(os.listdir(folder)):
            done += self._entry(folder, name, f"{path}{name}", depth)
        os.fsync(folder)
        return done

    def _entry(self, folder: int, name: str, path: str, depth: int) -> Overwritten:
        state = _state(folder, name)
        if state is None:
            return Overwritten()
        if state.st_uid != self._owner:
            return _stays(Refusal.OWNER, path)
        if stat.S_ISDIR(state.st_mode):
            return self._subfolder(folder, name, path, depth)
        if stat.S_ISREG(state.st_mode):
            return self._file(folder, name, state, path)
        if stat.S_ISBLK(state.st_mode) or stat.S_ISCHR(state.st_mode):
            return _stays(Refusal.DEVICE, path)
        return self._unopened(folder, name, path)

    def _subfolder(self, folder: int, name: str, path: str, depth: int) -> Overwritten:
        if depth == 0:
            return _stays(Refusal.DEPTH, path)
        try:
            inner = _open_changeable(folder, name, _FOLDER, 0o700)
        except OSError as error:
            return _stays(_reason(error), path)
        try:
            if _mount_id(inner) != _mount_id(folder):
                return _stays(Refusal.MOUNT, path)
            done = self._contents(inner, f"{path}/", depth - 1)
        finally:
            os.close(inner)
        return done if done.refused else done + self._inner_folder(folder, name, path)

    def _file(self, folder: int, name: str, state: os.stat_result, path: str) -> Overwritten:
        if state.st_uid != self._owner:
            return _stays(Refusal.OWNER, path)
        try:
            # Not to wait for a reader where somebody puts a pipe.
            descriptor = _open_changeable(folder, name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | _OPEN, 0o600)
        except OSError as error:
            return _stays(_reason(error), path)
        try:
            opened = os.fstat(descriptor)
            if (opened.st_dev, opened.st_ino) != (state.st_dev, state.st_ino):
                return _stays(Refusal.CHANGED, path)
            if _mount_id(descriptor) != _mount_id(folder):
                return _stays(Refusal.MOUNT, path)
            is_written = self._overwrite(descriptor, opened)
            self._step("truncate")
            os.ftruncate(descriptor, 0)
            self._unlink(folder, name)
        except OSError as error:
            return _stays(_reason(error), path)
        finally:
            os.close(descriptor)
        return Overwritten(
            num_files=1,
            num_bytes=opened.st_size,
            num_shared=int(opened.st_nlink > 1),
            num_unwritten=int(not is_written),
        )

    def _overwrite(self, descriptor: int, state: os.stat_result) -> bool:
        """One random pass; False where the medium takes no more, and the rest of the steps has to do."""
        self._step("overwrite")
        try:
            for start, end in _extents(descriptor, _whole_blocks(state)):
                self._fill(descriptor, start, end)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                return False
            raise
        return True

    def _fill(self, descriptor: int, start: int, end: int) -> None:
        while start < end:
            piece = self._random_bytes(min(PIECE_BYTES, end - start))
            start += os.pwrite(descriptor, piece, start)

    def _unopened(self, folder: int, name: str, path: str) -> Overwritten:
        try:
            self._unlink(folder, name)
        except OSError as error:
            return _stays(_reason(error), path)
        return Overwritten(num_unnamed=1)

    def _unlink(self, folder: int, name: str) -> None:
        self._step("rename")
        random_name = self._random_name(folder, name)
        self._step("unlink")
        os.unlink(random_name, dir_fd=folder)

    def _inner_folder(self, parent: int, name: str, path: str) -> Overwritten:
        """An emptied folder goes, its name first."""
        try:
            self._step("rename")
            random_name = self._random_name(parent, name)
        except OSError as error:
            return _stays(_reason(error), path)
        return self._empty_folder(parent, random_name)

    def _empty_folder(self, parent: int, name: str) -> Overwritten:
        """An emptied folder goes. The one that was given keeps its name to the end: the next start looks for it."""
        try:
            self._step("rmdir")
            os.rmdir(name, dir_fd=parent)
            os.fsync(parent)
        except OSError as error:
            return _stays(_reason(error), name)
        return Overwritten(num_folders=1)

    def _random_name(self, folder: int, name: str) -> str:
        """The new name: as long as the old one, so that its entry takes the same place, and not shorter than 32."""
        length = max(len(os.fsencode(name)), 2 * _NAME_BYTES)
        random_name = self._random_bytes((length + 1) // 2).hex()[:length]
        os.rename(name, random_name, src_dir_fd=folder, dst_dir_fd=folder)
        return random_name


def _require_name(name: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ShreddingError("a file to be shredded is named by its name in the folder, not by a path")


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """A descriptor of the folder, or None if it is not there.

    Raises:
        ShreddingError: a link, no folder, or denied.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        hint = "Links are not followed; name the folder itself."
        raise ShreddingError(f"a folder to be shredded cannot be opened: {error.strerror}", hint=hint) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_changeable(folder: int, name: str, flags: int, mode: int) -> int:
    """Open an own file or folder, whatever its mode; the mode is changed through a descriptor, not through a name."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        handle = os.open(name, os.O_PATH | _OPEN, dir_fd=folder)
    try:
        if stat.S_ISLNK(os.fstat(handle).st_mode):
            raise OSError(errno.ELOOP, "a link")
        os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)
    return os.open(name, flags, dir_fd=folder)


def _state(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _mount_id(descriptor: int) -> tuple[int, bytes]:
    """Which mount an open file is of: the device alone would not tell a folder that is bound in from the same disk."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            lines = [line for line in file if line.startswith(b"mnt_id:")]
    except OSError:
        lines = []
    return os.fstat(descriptor).st_dev, b"".join(lines)


def _whole_blocks(state: os.stat_result) -> int:
    """The length up to the end of the last block: its slack may hold an older file's end."""
    block = max(state.st_blksize, 1)
    return -(-state.st_size // block) * block if block <= PIECE_BYTES else state.st_size


def _extents(descriptor: int, end: int) -> Iterator[tuple[int, int]]:
    """Where data is, up to ``end``; all of it where the file system cannot tell."""
    at = 0
    size = os.fstat(descriptor).st_size
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            stop = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            start, stop = at, size
        yield start, (end if stop >= size else stop)
        at = stop


def _reason(error: OSError) -> Refusal:
    return Refusal.CHANGED if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR) else Refusal.DENIED


def _stays(reason: Refusal, path: str) -> Overwritten:
    return Overwritten(refused=(Refused(reason=reason, path=path),))


__all__ = ["MAX_DEPTH", "Overwriter", "Step"]
