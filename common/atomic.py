"""Files and folders that appear whole or not at all: temporary sibling, fsync, rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedward.common.errors import ConfigError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; a crash leaves the old file or the new one, never a part.

    Raises:
        ConfigError: ``path`` is a device or a pipe: a rename would put a file in the place of /dev/null.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigError(f"{path.name} is a device or a pipe", hint="Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def replace_directory(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling; on success it takes the place of ``folder``, on failure it is removed.

    Raises:
        ConfigError: ``folder`` is a link, dangling or not, or no folder; before anything is written.
    """
    _require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield fresh
        for path in (fresh, *fresh.rglob("*")):
            if path.is_dir():
                sync_folder(path)
            else:
                _sync_file(path)
        fresh.chmod(0o755)
        _swap(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _require_replaceable(folder: Path) -> None:
    """Only a folder can be swapped for a folder; through a link something elsewhere would be, or the link lost."""
    hint = "Name a folder, or a place where nothing is yet."
    if folder.is_symlink():
        raise ConfigError(f"{folder.name} is a link and is not replaced", hint=hint)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder.name} is not a folder and is not replaced", hint=hint)


def _swap(fresh: Path, folder: Path) -> None:
    _require_replaceable(folder)  # it may have come while ``fresh`` was filled
    if not folder.exists():
        fresh.replace(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    try:
        folder.replace(old)
        try:
            fresh.replace(folder)
        except BaseException:
            old.replace(folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable: a new or renamed file is lost with a crash otherwise."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
