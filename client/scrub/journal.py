"""Finished chunks on disk, so that an interrupted run goes on where its last durable one ended.

A chunk is two files, the second of which says that the first is whole; a run is named by all that decides its output
and by a check value of its key. Nothing of a record is here but what may leave, and the text of records that were left
out where a person asked for it. Not handled here: putting the chunks together (``output``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fedward.client.scrub.chunks import Chunk, Mark
from fedward.client.scrub.work import Done
from fedward.common.errors import ConfigError, RunError

_RUN = "run.json"


class Durable(NamedTuple):
    """A chunk that is on disk."""

    start: Mark
    end: Mark
    num_bytes: int
    """Of the input."""
    described: dict[str, Any]
    """See ``Done.describe``."""


class Journal:
    """The chunks of one run, in a folder beside its output.

    Args:
        target: the output; the folder's name is made of its.
        identity: all that decides the output; another one starts anew.
    """

    def __init__(self, target: Path, identity: dict[str, Any]) -> None:
        self.folder = target.with_name(f".{target.name}.parts")
        self._identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs with the same output away.

        Raises:
            ConfigError: one is under way.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"another run writes to {self.folder.name}", hint="Wait for its end.") from None
            yield

    def has_other_run(self) -> bool:
        """Whether chunks lie here that this run cannot use."""
        return self._stored_identity() not in (None, self._identity)

    def resume(self) -> list[Durable]:
        """The chunks of an interrupted run that may be kept; what is of another run is removed."""
        if self._stored_identity() != self._identity:
            self.clear()
            self._store(_RUN, json.dumps({"identity": self._identity}).encode())
            return []
        found: list[Durable] = []
        while (durable := self._durable(len(found))) is not None:
            found.append(durable)
        return found

    def add(self, chunk: Chunk, done: Done) -> None:
        """Make a chunk durable."""
        self._store(f"{chunk.place:08d}.out", done.body)
        described = {
            "start": list(chunk.start),
            "end": list(chunk.end),
            "num_bytes": chunk.num_bytes,
            "size": len(done.body),
            **done.describe(),
        }
        self._store(f"{chunk.place:08d}.json", json.dumps(described).encode())

    def part(self, index: int) -> Path:
        """The output of a chunk."""
        return self.folder / f"{index:08d}.out"

    def clear(self) -> None:
        """Remove all chunks; the folder stays, for its lock."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stored_identity(self) -> str | None:
        try:
            return str(json.loads((self.folder / _RUN).read_bytes())["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _durable(self, index: int) -> Durable | None:
        try:
            described = json.loads((self.folder / f"{index:08d}.json").read_bytes())
            if self.part(index).stat().st_size != described["size"]:
                return None
            start, end = Mark(*described["start"]), Mark(*described["end"])
            return Durable(start, end, described["num_bytes"], described)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _store(self, name: str, data: bytes) -> None:
        temporary = self.folder / f"{name}.new"
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / name)
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RunError(
                f"the output cannot be written: {error.strerror}",
                hint="Is the disk full? A run with --key can be resumed.",
            ) from None


__all__ = ["Durable", "Journal"]
