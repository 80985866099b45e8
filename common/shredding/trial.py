"""Trying the sealed files of a folder, a backup for example, with keys; nothing in it is changed.

Only headers are read: whoever opens a header has the file's key. A slot that opens gives a data key, which is tried on
the rest. Old copies of the keystore that lie in the folder are opened with the root of now where it opens them, and
what is in them is tried too: that is how a thief with the whole backup and the root would go about it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.envelope.header import HEADER_BYTES, MAGIC, Context, open_copies, parse_copies
from fedward.common.envelope.recipients import Identity, SlotKey
from fedward.common.errors import EnvelopeError, HeaderTamperedError, ShreddingError, VaultError
from fedward.common.shredding.overwrite import MAX_DEPTH
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import DURABLE
from fedward.common.vault.roles import Role

_KEYSTORE: Final = "keystore"
_SLOT: Final = "slot"
_MAX_KEYSTORE_BYTES: Final = 2 << 20


@dataclass(kw_only=True, slots=True)
class Trial:
    """What it gave; the paths are for the eyes of whoever named the folder."""

    num_refused: int = 0
    """Each refused every key."""
    num_kept: int = 0
    """Of kinds that were kept: not tried."""
    num_other: int = 0
    """Of other runs, and other sealed files."""
    opened: list[Path] = field(default_factory=list)
    opened_by_old: list[Path] = field(default_factory=list)
    """By a key in an old copy of the keystore."""
    unreadable: list[Path] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A sealed file of the folder: an envelope, or a slot."""

    path: Path
    context: Context | None
    """None: its header cannot be read."""

    @property
    def kind(self) -> str:
        """Of the object that it is, or of those that it opens."""
        if self.context is None:
            return ""
        return self.context.name.partition("/")[0] if self.context.kind == _SLOT else self.context.kind


def wrapping_keys(keystore: Keystore) -> tuple[Identity, ...]:
    """All of a keystore that opens slots: the KEKs, and what each role's secret gives with them."""
    keks = [key for kind in sorted(DURABLE) for key in keystore.keks(kind)]
    roles = [keystore.role_key(role, kind) for role in Role for kind in sorted(DURABLE)]
    return (*keks, *roles)


def try_folder(
    folder: Path, run_id: bytes, *, kept: Collection[str], keys: Sequence[Identity], keystore: Keystore
) -> Trial:
    """Try every sealed file of a run in ``folder``.

    Args:
        folder: with what survived; links in it are not followed.
        run_id: of the run; files of others are counted and passed over.
        kept: kinds that may open.
        keys: of now.
        keystore: whose root is tried on old copies of it.

    Raises:
        ShreddingError: there is no such folder.
    """
    if not folder.is_dir():
        raise ShreddingError("there is no such folder with ciphertexts", hint="Name the folder of a backup.")
    files = list(_sealed_files(folder, MAX_DEPTH))
    trial, wanted = Trial(), list[Sealed]()
    for file in files:
        if file.context is None:
            trial.unreadable.append(file.path)
        elif file.context.run_id != run_id:
            trial.num_other += 1
        elif file.kind in kept:
            trial.num_kept += 1
        else:
            wanted.append(file)
    trial.opened, wanted = _split(wanted, keys)
    old_keys = [key for file in files if file.kind == _KEYSTORE for key in _keys_of_copy(keystore, file.path)]
    trial.opened_by_old, wanted = _split(wanted, old_keys)
    trial.num_refused = len(wanted)
    return trial


def _split(files: Sequence[Sealed], keys: Sequence[Identity]) -> tuple[list[Path], list[Sealed]]:
    """Those that open, and the rest."""
    data_keys = [key for file in files if (key := _data_key(file, keys)) is not None]
    opened: list[Path] = []
    closed: list[Sealed] = []
    for file in files:
        if _opens(file.path, [*keys, *data_keys]):
            opened.append(file.path)
        else:
            closed.append(file)
    return opened, closed


def _opens(path: Path, keys: Sequence[Identity]) -> bool:
    try:
        open_copies(_copies(path), keys)
    except HeaderTamperedError:  # a stanza did open
        return True
    except EnvelopeError:
        return False
    return True


def _data_key(file: Sealed, keys: Sequence[Identity]) -> SlotKey | None:
    """What a slot holds, if it opens."""
    if file.context is None or file.context.kind != _SLOT:
        return None
    try:
        header = open_copies(_copies(file.path), keys)
    except EnvelopeError:
        return None
    return SlotKey(slot_id=header.header.file_id, key=header.file_key)


def _keys_of_copy(keystore: Keystore, path: Path) -> tuple[Identity, ...]:
    try:
        return wrapping_keys(keystore.opened_copy(_read(path, _MAX_KEYSTORE_BYTES)))
    except (EnvelopeError, VaultError):
        return ()


def _sealed_files(folder: Path, depth: int) -> Iterator[Sealed]:
    """All regular files at or below ``folder`` that begin as a sealed one."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and depth:
            yield from _sealed_files(path, depth - 1)
        elif stat.S_ISREG(mode) and (raw := _copies(path)).startswith(MAGIC):
            yield Sealed(path=path, context=_context(raw))


def _context(raw: bytes) -> Context | None:
    try:
        return Context.from_bytes(parse_copies(raw)[0].context)
    except EnvelopeError:
        return None


def _copies(path: Path) -> bytes:
    """Two copies of the header: a slot is one that stands alone."""
    raw = _read(path, 2 * HEADER_BYTES)
    return raw + raw if len(raw) == HEADER_BYTES else raw


def _read(path: Path, limit: int) -> bytes:
    """The beginning of a regular file; empty where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        return file.read(limit)


__all__ = ["Sealed", "Trial", "try_folder", "wrapping_keys"]
