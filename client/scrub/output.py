"""The finished chunks as one output, in the form of the input; it appears whole or not at all.

Beside a file, and in a folder, a small mark says that it was desensitised, under which policy and key id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fedward.client.scrub import rows, tables
from fedward.client.scrub.inputs import FOLDER_MARK, Input, file_digest, mark_of
from fedward.client.scrub.settings import Member
from fedward.common.atomic import replace_directory, write_atomically
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.errors import RunError

MARK_SCHEMA = "fedward.desensitized/1"
_PRIVATE = 0o600
_BLOCK_BYTES = 1 << 20


def key_check(keys: ScrubKeys) -> str:
    """Tells keys apart that have one name, in a mark that anybody may read: HMAC under a key of its own purpose."""
    return hmac.digest(keys.derive("audit", "KEY_CHECK"), b"fedward/desensitize/mark/v1", "sha256")[:8].hex()


def write_output(found: Input, target: Path, parts: Sequence[Sequence[Path]], mark: dict[str, Any]) -> str:
    """Put the chunks together.

    Args:
        parts: of each file, in order.
        mark: what the mark says, beside the digest.

    Returns:
        SHA-256 of the output, in hex; of a folder that of its files' digests.

    Raises:
        RunError: it cannot be written.
    """
    try:
        if found.is_folder:
            return _write_folder(found, target, parts, mark)
        return _write_file(found, target, parts[0], mark)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise RunError(
        f"{target.name}: cannot be written ({reason})", hint="Is the disk full? A run with --key can be resumed."
    )


def _write_file(found: Input, target: Path, parts: Sequence[Path], mark: dict[str, Any]) -> str:
    # An old mark goes first: it must never stand beside another file's content.
    mark_of(target).unlink(missing_ok=True)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _assemble(found, 0, fresh, parts, mark)
        digest = file_digest(fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    write_atomically(mark_of(target), _json({**mark, "sha256": digest}))
    mark_of(target).chmod(_PRIVATE)
    return digest


def _write_folder(found: Input, target: Path, parts: Sequence[Sequence[Path]], mark: dict[str, Any]) -> str:
    state = hashlib.sha256()
    with replace_directory(target) as fresh:
        for index in range(len(found.members)):
            file = fresh / found.relative(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            _assemble(found, index, file, parts[index], mark)
            state.update(file_digest(file).encode())
        _describe_data_set(found.root, fresh, state.hexdigest())
        (fresh / FOLDER_MARK).write_bytes(_json({**mark, "sha256": state.hexdigest()}))
    return state.hexdigest()


def _assemble(found: Input, index: int, file: Path, parts: Sequence[Path], mark: dict[str, Any]) -> None:
    member = found.members[index]
    if member.kind in ("parquet", "arrow"):
        assemble: Callable[..., None] = tables.assemble_parquet
        if member.kind == "arrow":
            assemble = tables.assemble_arrow
        schema = tables.schema_of(found.files[index], member.kind)
        tables.guarded(member.name, lambda: assemble(iter(parts), schema, file, _json(mark)))
        file.chmod(_PRIVATE)
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as out:
        for block in _bytes(member, parts):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())


def _bytes(member: Member, parts: Sequence[Path]) -> Iterator[bytes]:
    if member.kind == "csv":
        yield rows.csv_row(member, list(member.header))
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block


def _describe_data_set(root: Path, fresh: Path, digest: str) -> None:
    """The descriptions of a saved data set, without what its author wrote about the data."""
    for source in sorted(
        [*root.rglob("dataset_dict.json"), *root.rglob("state.json"), *root.rglob("dataset_info.json")]
    ):
        described = json.loads(source.read_bytes())
        if source.name == "state.json":
            described["_fingerprint"] = digest[:16]
        if source.name == "dataset_info.json":
            described = {
                "citation": "",
                "description": "",
                "features": described.get("features"),
                "homepage": "",
                "license": "",
            }
        place = fresh / source.relative_to(root)
        if place.parent.is_dir():
            place.write_bytes(_json(described))


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


__all__ = ["key_check", "MARK_SCHEMA", "write_output"]
