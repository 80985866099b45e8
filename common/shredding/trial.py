"""Trying the sealed files of a folder, a backup for example, with keys; nothing in it is changed.

Only headers are read: whoever opens a header has the file's key. A slot that opens gives a data key, which is tried on
the rest. Old copies of the keystore that lie in the folder are opened with the root of now where it opens them, with
the key files that lie there too (a backup of a simulation's whole output holds them), and what is in them is tried:
that is how a thief with the whole backup and the root would go about it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.envelope.header import HEADER_BYTES, MAGIC, Context, open_copies, parse_copies
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, Identity, SlotKey
from fedward.common.errors import EnvelopeError, HeaderTamperedError, ShreddingError, VaultError
from fedward.common.shredding.overwrite import MAX_DEPTH
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock

_KEYSTORE: Final = "keystore"
_SLOT: Final = "slot"
_ROOT: Final = "root"
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
    key_id: str = ""
    """Of the data key that it is, or that opens it: as certificates name it."""

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
    folder: Path,
    run_id: bytes,
    *,
    kept: Collection[str],
    keys: Sequence[Identity],
    keystore: Keystore,
    dead: Collection[str] = (),
) -> Trial:
    """Try every sealed file of a run in ``folder``.

    Args:
        folder: with what survived; links in it are not followed.
        run_id: of the run; files of others are counted and passed over.
        kept: kinds that may open.
        keys: of now.
        keystore: whose root is tried on old copies of it.
        dead: ids of the run's data keys that were destroyed. Where kinds are kept, an index is kept too, but for one
            under such a key.

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
        elif file.kind in kept or (kept and file.kind == Kind.INDEX and file.key_id not in dead):
            trial.num_kept += 1
        else:
            wanted.append(file)
    trial.opened, wanted = _split(wanted, keys)
    roots = (None, *_roots(folder, [file.path for file in files if file.kind == _ROOT]))
    copies = [file.path for file in files if file.kind == _KEYSTORE]
    old_keys = [key for copy in copies for root in roots for key in _keys_of_copy(keystore, copy, root)]
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


def _keys_of_copy(keystore: Keystore, path: Path, root: SlotKey | None) -> tuple[Identity, ...]:
    try:
        return wrapping_keys(keystore.opened_copy(_read(path, _MAX_KEYSTORE_BYTES), root=root))
    except (EnvelopeError, VaultError):
        return ()


def _roots(folder: Path, root_slots: Sequence[Path]) -> Iterator[SlotKey]:
    """Root keys that a key file in the folder opens."""
    small = [path for path, size in _files(folder, MAX_DEPTH) if size == KEY_BYTES] if root_slots else []
    unlocks = [KeyUnlock.of_secret(_read(path, KEY_BYTES), "key-file").key for path in small]
    for path in root_slots:
        with suppress(EnvelopeError):
            header = open_copies(_copies(path), unlocks)
            yield SlotKey(slot_id=header.header.file_id, key=header.file_key)


def _files(folder: Path, depth: int) -> Iterator[tuple[Path, int]]:
    """All regular files at or below ``folder``, with their sizes."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        state = path.lstat()
        if stat.S_ISDIR(state.st_mode) and depth:
            yield from _files(path, depth - 1)
        elif stat.S_ISREG(state.st_mode):
            yield path, state.st_size


def _sealed_files(folder: Path, depth: int) -> Iterator[Sealed]:
    """Those that begin as a sealed one."""
    for path, _ in _files(folder, depth):
        if (raw := _copies(path)).startswith(MAGIC):
            yield _sealed(path, raw)


def _sealed(path: Path, raw: bytes) -> Sealed:
    try:
        header = parse_copies(raw)[0]
        context = Context.from_bytes(header.context)
    except EnvelopeError:
        return Sealed(path=path, context=None)
    key_id = header.file_id if context.kind == _SLOT else header.stanzas[0].body[:ID_BYTES]
    return Sealed(path=path, context=context, key_id=key_id.hex())


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
