"""Encrypted columns back to their values, or from one key to another, in one stream.

Only columns that the policy encrypts; one-way surrogates come back by no key. Whoever has the key file has the role;
every use is written down beside it. Not handled here: the vault's roles.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedward.client.scrub import fields as paths
from fedward.client.scrub import rows, tables
from fedward.client.scrub.chunks import Chunk, Mark, cut
from fedward.client.scrub.column_actions import as_text, as_value
from fedward.client.scrub.inputs import Input, read_mark
from fedward.client.scrub.output import MARK_SCHEMA, key_check, write_output
from fedward.client.scrub.refusals import RefusalError, as_error
from fedward.client.scrub.settings import Member
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.fpe_column import FpeColumn
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.surrogates.canonical import refill
from fedward.common.desensitize.surrogates.makers import encrypted_part
from fedward.common.errors import ConfigError, DesensitizationError

Transform = Callable[[Sequence[str]], list[str]]


def decrypted(column: FpeColumn, fresh: FpeColumn | None = None) -> Transform:
    """The way back of a column's values as they are written, separators and widths included; or on to ``fresh``.

    A token, a placeholder and what is no value of the type stay: nothing was encrypted there.
    """

    def transform(values: Sequence[str]) -> list[str]:
        parts = [("", "") if _is_stand_in(value) else encrypted_part(column.type_, value) for value in values]
        whole = [prefix + part for part, prefix in parts]
        old = column.decrypted(whole)
        is_value = [index for index, text in enumerate(old) if text is not None]
        new = [old[index] or "" for index in is_value]
        if fresh is not None:
            new = fresh.encrypt(new)
        out = list(values)
        for index, text in zip(is_value, new, strict=True):
            part, prefix = parts[index]
            is_written = len(text) == len(whole[index])
            out[index] = (refill(values[index], part, text[len(prefix) :]) if is_written else None) or text
        return out

    return transform


def _is_stand_in(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def require_key(found: Input, keys: ScrubKeys) -> bool:
    """Refuse a key that is not the one under which an input was written; whether its mark says so at all.

    Another key would give other values of the same form, and nobody would notice.

    Raises:
        DesensitizationError: the mark names another site or key id, or another secret made it.
    """
    mark = read_mark(found)
    if mark.get("restored") is True:
        raise DesensitizationError(f"{found.root.name}: already restored", hint="Take the output of `fedward scrub`.")
    for name, own in (("site_id", keys.site_id), ("key_id", keys.key_id), ("key_check", key_check(keys))):
        if name in mark and mark[name] != own:
            what = "of another secret" if name == "key_check" else f"{name} {mark[name]!r}, not {own!r}"
            raise DesensitizationError(
                f"{found.root.name}: not written under this key ({what})", hint="Give the key that encrypted it."
            )
    return "key_check" in mark


def encrypted_columns(policy: DesensitizePolicy, keys: ScrubKeys, descriptor: KeyDescriptor) -> dict[str, FpeColumn]:
    """The columns that the policy encrypts, by path.

    Raises:
        ConfigError: there is none.
        DesensitizationError: a key of another site, id or tables.
    """
    found = {
        name: FpeColumn(keys=keys, descriptor=descriptor, type_=rule.type, on_invalid=policy.on_invalid)
        for name, rule in policy.columns.items()
        if rule.action is Action.FPE and rule.type is not None
    }
    if not found:
        raise ConfigError("the policy encrypts no column", hint='Name it: [columns."phone"] action = "fpe".')
    return found


def transform_columns(found: Input, target: Path, columns: Mapping[str, Transform], mark: dict[str, Any]) -> int:
    """Write ``found`` to ``target`` with new values in ``columns``.

    Args:
        mark: what the output's mark says.

    Returns:
        How many values were given to the columns' functions.

    Raises:
        DataError: a record cannot be read.
    """
    count = 0
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.parts."))  # readable by the owner alone
    try:
        parts: list[list[Path]] = [[] for _ in found.members]
        for chunk in cut(list(found.files), found.members, start=Mark(0, 0, 1), index=0, split=True):
            body, num = _transformed(found.members[chunk.start.member], chunk, columns)
            part = folder / f"{chunk.place:08d}"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(body)
            parts[chunk.start.member].append(part)
            count += num
        write_output(found, target, parts, {"schema": MARK_SCHEMA, **mark})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def _transformed(member: Member, chunk: Chunk, columns: Mapping[str, Transform]) -> tuple[bytes, int]:
    if member.kind in ("parquet", "arrow"):
        batch, table = tables.read(chunk.body, chunk.start.number)
        records = [record for _, _, record in table]
        count = _apply(records, columns)
        return tables.write(batch, records), count
    raws = list(rows.read(member, chunk.start.number, chunk.body))
    refused = next((raw.refusal for raw in raws if raw.refusal is not None), None)
    if refused is not None:
        raise as_error(member.name, refused.code, refused.place)
    count = _apply([raw.record for raw in raws if raw.record is not None], columns)
    return b"".join(rows.write(member, raw, raw.record) for raw in raws), count


def _apply(records: Sequence[dict[str, Any]], columns: Mapping[str, Transform]) -> int:
    places: dict[str, list[paths.Leaf]] = {path: [] for path in columns}
    for record in records:
        for leaf in paths.leaves(record):
            column = leaf.path if leaf.path in places else paths.column_of(leaf.path)
            if column in places and leaf.value not in (None, "") and not isinstance(leaf.value, bool):
                places[column].append(leaf)
    for path, leaves in places.items():
        old = [as_text(leaf, "", every_number=True) or "" for leaf in leaves]
        for leaf, before, text in zip(leaves, old, columns[path](old), strict=True):
            if text != before:
                _put(leaf, text)
    return sum(map(len, places.values()))


def _put(leaf: paths.Leaf, text: str) -> None:
    try:
        leaf.put(as_value(leaf, text))
        return
    except ValueError:
        pass
    # Raised out here: the library's message quotes the value.
    raise RefusalError("number_is_identifier", "", leaf.path)


def write_audit(key: Path, *, action: str, source: Path, count: int | None, now: datetime.datetime) -> None:
    """Append to the list of uses beside a key.

    Args:
        count: of values; None before it begins.

    Raises:
        ConfigError: it cannot be written; then nothing is restored.
    """
    path = key.with_name(f"{key.name}.audit.jsonl")
    entry = {"time": now.isoformat(timespec="seconds"), "action": action, "input": source.name, "values": count}
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Every use of a key is written down.") from None


__all__ = ["decrypted", "encrypted_columns", "require_key", "Transform", "transform_columns", "write_audit"]
