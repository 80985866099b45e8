"""What lies in a run's folders and should not: files in the clear, parts of work that a crash left, foreign things.

Pure looking: nothing is changed, no link is followed, nothing but the first bytes of a file is read. A file is the
vault's if it stands where the vault puts files *and* begins as a sealed one does; everything else is residue.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.envelope.header import MAGIC
from fedward.common.shredding.overwrite import MAX_DEPTH

SCRATCH: Final = "scratch"
_RUN = re.compile(r"[0-9a-f]{32}")
_OURS = (
    re.compile(r"index\.fwe(\.next)?"),
    re.compile(r"slots/[a-z_]+-\d+\.slot(\.fresh)?"),
    re.compile(r"objects/[a-z_]+/[0-9a-f]{32}\.fwe(\.next)?"),
    re.compile(r"logs/[a-z_]+-\d+\.fwe"),
)
_FOLDERS = (re.compile(r"slots|objects|logs"), re.compile(r"objects/[a-z_]+"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Residue:
    """Something to be shredded, with all in it."""

    folder: Path = field(repr=False)
    name: str = field(repr=False)
    num_plain: int
    """Files in it that are not sealed and not empty."""


def of_run(folder: Path) -> tuple[Residue, ...]:
    """The residue in ``runs/<run id>``, its scratch aside; none where there is no such folder."""
    return tuple(_walk(folder, "", MAX_DEPTH))


def of_runs(runs: Path) -> tuple[Residue, ...]:
    """What stands in ``runs`` and is no run's folder."""
    return tuple(
        Residue(folder=runs, name=entry.name, num_plain=num_plain(runs / entry.name))
        for entry in _entries(runs)
        if not (_RUN.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False))
    )


def runs_in(runs: Path) -> tuple[bytes, ...]:
    """The runs that have a folder."""
    return tuple(
        bytes.fromhex(entry.name)
        for entry in _entries(runs)
        if _RUN.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    )


def num_plain(path: Path) -> int:
    """How many files at or below ``path`` are neither sealed nor empty."""
    if path.is_symlink() or not path.is_dir():
        return int(_is_plain(path))
    return sum(num_plain(path / entry.name) for entry in _entries(path))


def num_files(path: Path) -> int:
    """How many regular files are at or below ``path``."""
    if path.is_symlink() or not path.is_dir():
        return int(path.is_file() and not path.is_symlink())
    return sum(num_files(path / entry.name) for entry in _entries(path))


def _walk(folder: Path, at: str, depth: int) -> Iterator[Residue]:
    for entry in _entries(folder):
        where, path = f"{at}{entry.name}", folder / entry.name
        if where == SCRATCH:
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth and any(known.fullmatch(where) for known in _FOLDERS):
                yield from _walk(path, f"{where}/", depth - 1)
                continue
        elif any(known.fullmatch(where) for known in _OURS) and begins(path) == MAGIC:
            continue
        yield Residue(folder=folder, name=entry.name, num_plain=num_plain(path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_plain(path: Path) -> bool:
    head = begins(path)
    return bool(head) and head != MAGIC


def begins(path: Path) -> bytes:
    """The first bytes of a regular file, as many as a sealed one's mark has; none of anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, len(MAGIC)) if is_file else b""
    finally:
        os.close(descriptor)


__all__ = ["begins", "num_files", "num_plain", "of_run", "of_runs", "Residue", "runs_in", "SCRATCH"]
