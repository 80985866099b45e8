"""Whether a run left its training text somewhere in the clear: a search for the marks in the invented notes.

Searched are the run's folder, caches and temporary folders: there, whatever this account changed since the run began,
for a mark of this run as text, in base64 and as token ids. The search proves itself first: it must find each mark in
bytes made for it. Not handled here: compressed files, swap, and what a disk keeps of blocks that were freed.
"""

from __future__ import annotations

import base64
import os
import stat
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedward.common.desensitize.value_search import scan_for_values
from fedward.common.errors import DataError, RunError

_CACHE_VARIABLES = ("HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - read, for what a run may have left in it
_MAX_FILES, _MAX_BYTES = 50_000, 4 << 30
"""More than that is not this run's, and a search must end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """What a search found."""

    marks: int
    controls_found: int
    """Marks that the search found where they had been put."""
    files: int
    num_bytes: int
    places: tuple[tuple[Path, str], ...]
    """Files with a mark, and in which form."""
    left_out: int = 0
    """Files beyond the search's bounds, or gone or closed to us meanwhile."""

    @property
    def is_clean(self) -> bool:
        """Nothing was found, everything was searched, and the search works."""
        return not self.places and not self.left_out and self.controls_found == self.marks > 0


def default_folders(out: Path) -> tuple[Path, ...]:
    """The run's folder, temporary folders and caches."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = (Path(os.environ[name]) for name in _CACHE_VARIABLES if os.environ.get(name))
    return (out, Path(tempfile.gettempdir()), _MEMORY_FOLDER, cache, *named)


def token_ids(tokenizer: Path, marks: Sequence[str]) -> dict[int, list[int]]:
    """The inner token ids of each mark, by its index; a base without a fast tokenizer's file has none."""
    if not tokenizer.is_file():
        return {}
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    return {index: encoder.encode(mark, add_special_tokens=False).ids[1:-1] for index, mark in enumerate(marks)}


def search(
    folders: Iterable[Path],
    marks: Sequence[str],
    *,
    tokens: Mapping[int, Sequence[int]],
    since_ns: int,
    but: Path | None = None,
) -> Traces:
    """Look for ``marks`` in files that this account owns and that changed since.

    Args:
        since_ns: wall clock, as file systems state it.
        but: a folder that is known to hold them.

    Raises:
        RunError: the search does not find what was put there for it.
    """
    controls = _controls_found(marks, tokens)
    if controls < len(marks):
        raise RunError(f"the search for traces finds {controls} of {len(marks)} planted marks")
    places, num_files, num_bytes, left_out = [], 0, 0, 0
    for path, size in _changed(folders, since_ns, but):
        if num_files >= _MAX_FILES or num_bytes + size > _MAX_BYTES:
            left_out += 1
            continue
        try:
            found = {place.form for place in scan_for_values([path], marks, tokens=tokens)}
        except DataError:
            left_out += path.exists()  # a temporary file that is gone holds nothing
            continue
        num_files, num_bytes = num_files + 1, num_bytes + size
        places += [(path, form) for form in sorted(found)]
    return Traces(
        marks=len(marks),
        controls_found=controls,
        files=num_files,
        num_bytes=num_bytes,
        places=tuple(places),
        left_out=left_out,
    )


def _controls_found(marks: Sequence[str], tokens: Mapping[int, Sequence[int]]) -> int:
    """How many marks are found in every form in which they are put before the search."""
    return sum(_is_found(mark, tokens.get(index, ())) for index, mark in enumerate(marks))


def _is_found(mark: str, ids: Sequence[int]) -> bool:
    text = f"before {mark} after"
    planted = {
        "utf-8": text.encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "base64": base64.b64encode(text.encode()),
    }
    if ids:
        planted["int32"] = struct.pack(f"<{len(ids)}I", *ids)
    return all(
        form in {place.form for place in scan_for_values([data], [mark], tokens={0: ids})}
        for form, data in planted.items()
    )


def _changed(folders: Iterable[Path], since_ns: int, but: Path | None) -> Iterator[tuple[Path, int]]:
    """Regular files of this account, each once, with their sizes."""
    seen = set[tuple[int, int]]()
    left = None if but is None else but.resolve()
    for folder in folders:
        for parent, names, files in os.walk(folder):
            if left is not None:
                names[:] = [name for name in names if (Path(parent) / name).resolve() != left]
            for name in files:
                path = os.path.join(parent, name)  # a Path each would take most of the time
                try:
                    found = os.lstat(path)
                except OSError:
                    continue
                key = (found.st_dev, found.st_ino)
                is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
                if is_ours and key not in seen and max(found.st_ctime_ns, found.st_mtime_ns) >= since_ns:
                    seen.add(key)
                    yield Path(path), found.st_size


__all__ = ["default_folders", "search", "token_ids", "Traces"]
