"""What an input is, found out before a record is read: its files, formats and encodings, and whether it may be taken.

Not handled here: records, and the output's form (``output``).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedward.client.scrub import fields as paths
from fedward.client.scrub import rows, tables
from fedward.client.scrub.chunks import Mark, cut
from fedward.client.scrub.encodings import encoding_of
from fedward.client.scrub.quarantine import quarantine_path
from fedward.client.scrub.settings import Fields, Kind, Member
from fedward.common.errors import ConfigError, DataError, EmptyDataError, MissingColumnError

SUFFIXES: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
}
MARK_SUFFIX = ".desensitized.json"
FOLDER_MARK = "fedward_desensitized.json"
PATIENT_FIELD = "patient_id"
"""Taken as the patient's where a file has it and nobody names another."""
_SAVED = ("state.json", "dataset_dict.json")
_BLOCK_BYTES = 1 << 20
_TABLES = ("parquet", "arrow")


@dataclass(frozen=True, kw_only=True)
class Input:
    """All files of one input."""

    root: Path
    is_folder: bool
    files: tuple[Path, ...]
    members: tuple[Member, ...]
    fields: Fields
    num_bytes: int

    def relative(self, index: int) -> Path:
        """Where a file lies below the folder."""
        return self.files[index].relative_to(self.root) if self.is_folder else Path(self.files[index].name)


def open_input(
    path: Path, *, kind: Kind | None, encoding: str | None, fields: Fields, again: bool, limit: int
) -> Input:
    """Look at an input.

    Args:
        kind: None: by the suffix.
        encoding: of files of text; None: found out.
        again: take what is already desensitised.
        limit: most bytes of a record.

    Raises:
        DataError: or one of its kinds: why it cannot be taken.
    """
    files = _files(path, kind)
    kinds = [kind or SUFFIXES[file.suffix.lower()] for file in files]
    _refuse_marked(path, files, kinds, again)
    sizes = [file.stat().st_size for file in files]
    for file, size in zip(files, sizes, strict=True):
        if size == 0:
            raise EmptyDataError(f"{file.name}: the file is empty")
    members = tuple(_member(path, file, kind, encoding) for file, kind in zip(files, kinds, strict=True))
    found = _Found(files, members, limit)
    return Input(
        root=path,
        is_folder=path.is_dir(),
        files=tuple(files),
        members=members,
        fields=_checked_fields(found, fields),
        num_bytes=sum(sizes),
    )


def _files(path: Path, kind: Kind | None) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path.name}: no such file or folder", hint="Check the path.")
    if path.is_file():
        if kind is None and path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path.name}: unknown suffix", hint="Name the format with --format.")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path.name}: neither a file nor a folder")
    if any((path / name).is_file() for name in _SAVED):
        return sorted(_saved_files(path))
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
    found = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    found = [file for file in found if not file.name.endswith((MARK_SUFFIX, FOLDER_MARK)) and file.suffix != ".md"]
    if not found:
        raise EmptyDataError(f"{path.name}: no file of a known format in the folder")
    return found


def _saved_files(path: Path) -> Iterator[Path]:
    """The Arrow files that a saved data set names; caches beside them are not its data."""
    folders = [path]
    if (path / "dataset_dict.json").is_file():
        folders = [path / str(name) for name in _json(path / "dataset_dict.json").get("splits", [])]
    for folder in folders:
        for entry in _json(folder / "state.json").get("_data_files", []):
            file = folder / str(entry.get("filename", ""))
            if file.parent != folder or not file.is_file():
                raise DataError(f"{path.name}: a saved data set whose files are not all there")
            yield file


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path.name}: not readable as the description of a saved data set")
    return found


def _member(root: Path, file: Path, kind: Kind, encoding: str | None) -> Member:
    name = file.relative_to(root).as_posix() if root.is_dir() else file.name
    if kind in _TABLES:
        _checked_schema(file, kind)
        return Member(name=name, kind=kind)
    found = encoding_of(file, encoding)
    if kind != "csv":
        return Member(name=name, kind=kind, encoding=found)
    return _csv_member(file, name, found)


def _schema(file: Path, kind: Kind) -> Any:  # noqa: ANN401 - pyarrow carries no types
    return tables.guarded(file.name, lambda: tables.schema_of(file, kind))


def _checked_schema(file: Path, kind: Kind) -> None:
    schema = _schema(file, kind)
    if len(set(schema.names)) != len(schema.names):
        raise DataError(f"{file.name}: two columns have the same name")


def _csv_member(file: Path, name: str, encoding: str) -> Member:
    """The delimiter that gives most columns, and the header."""
    with file.open("rb") as stream:
        first = stream.readline(_BLOCK_BYTES)
    line_end = "\r\n" if first.endswith(b"\r\n") else "\n"
    code = None
    try:
        text = first.removeprefix(rows.BOM).decode(encoding)
        headers = [(next(csv.reader([text], delimiter=mark, strict=True), []), mark) for mark in ",;\t"]
    except (UnicodeDecodeError, csv.Error):
        code = "bad"
    if code is not None:
        raise DataError(f"{name}, line 1: malformed CSV header")
    header, delimiter = max(headers, key=lambda found: len(found[0]))
    if not header or not all(cell.strip() for cell in header):
        raise DataError(f"{name}, line 1: no header: a column has no name")
    if len(set(header)) != len(header):
        raise DataError(f"{name}: two columns have the same name, or there is no header")
    if any(cell.strip().lstrip("+-").replace(".", "", 1).isdigit() for cell in header):
        raise DataError(f"{name}, line 1: no header: a cell is a number", hint="Put the names of the columns first.")
    return Member(
        name=name, kind="csv", encoding=encoding, delimiter=delimiter, header=tuple(header), line_end=line_end
    )


# What is in it


class _Found:
    """Which fields there are, looked up no further than needed."""

    def __init__(self, files: Sequence[Path], members: Sequence[Member], limit: int) -> None:
        self.members = members
        self._files, self._limit = files, limit

    def has(self, index: int, field: str) -> bool:
        """Whether one file has a field."""
        member, file = self.members[index], self._files[index]
        if member.kind == "csv":
            return field in member.header
        if member.kind == "text":
            return field == rows.TEXT_KEY
        if member.kind in _TABLES:
            schema = tables.schema_of(file, member.kind)
            return field in schema.names or field in tables.text_columns(schema)
        return any(field in found for found in self._json_paths(index))

    def starts_with(self, index: int, field: str) -> bool:
        """The same, by the first record alone for JSON lines."""
        if self.members[index].kind != "jsonl":
            return self.has(index, field)
        return field in next(self._json_paths(index), ())

    def _json_paths(self, index: int) -> Iterator[set[str]]:
        start = Mark(index, 0, 1)
        for chunk in cut(list(self._files), tuple(self.members), start=start, index=0, split=True):
            if chunk.start.member != index:
                return
            for raw in rows.read(self.members[index], chunk.start.number, chunk.body):
                if raw.record is not None:
                    yield _json_fields(raw.record)


def _json_fields(record: dict[str, Any]) -> set[str]:
    try:
        return {leaf.path for leaf in paths.leaves(record)} | set(record)
    except RecursionError:
        return set()


def _checked_fields(found: _Found, fields: Fields) -> Fields:
    """Refuse fields that are nowhere; take ``patient_id`` for the patient's where it is."""
    count = range(len(found.members))
    for field in fields.text:
        if not any(found.has(index, field) for index in count):
            raise MissingColumnError(f"no record has the field {field!r}", hint="Paths look like messages[*].content.")
    patient = fields.patient
    if patient is not None and not all(found.has(index, patient) for index in count):
        raise MissingColumnError(f"no record has the patient field {patient!r}", hint="Give it with --patient.")
    if patient is None and all(found.starts_with(index, PATIENT_FIELD) for index in count):
        patient = PATIENT_FIELD
    return Fields(text=fields.text, patient=patient)


# Marks


def mark_of(path: Path) -> Path:
    """Where it says that a file or folder was desensitised."""
    return path / FOLDER_MARK if path.is_dir() else path.with_name(path.name + MARK_SUFFIX)


def read_mark(found: Input) -> dict[str, Any]:
    """What the mark of an input says: beside it, or in the schema of a table; empty without one."""
    mark = mark_of(found.root)
    if mark.is_file():
        return _json(mark)
    members = zip(found.files, found.members, strict=True)
    schemas = (_schema(file, member.kind) for file, member in members if member.kind in _TABLES)
    return next((_stated(schema) for schema in schemas if tables.MARKER in _metadata(schema)), {})


def _metadata(schema: Any) -> dict[bytes, bytes]:  # noqa: ANN401 - pyarrow carries no types
    return schema.metadata or {}


def _stated(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - pyarrow carries no types
    try:
        stated = json.loads(_metadata(schema)[tables.MARKER])
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def _refuse_marked(path: Path, files: Sequence[Path], kinds: Sequence[Kind], again: bool) -> None:
    if again or not _is_marked(path, files, kinds):
        return
    raise DataError(
        f"{path.name}: already desensitised",
        hint="A second run replaces surrogates and shifts dates once more; --again does it all the same.",
    )


def _is_marked(path: Path, files: Sequence[Path], kinds: Sequence[Kind]) -> bool:
    mark = mark_of(path)
    if mark.is_file():
        stated = _json(mark)
        # What was restored has a mark too, and is plaintext.
        if stated.get("restored") is not True and (path.is_dir() or stated.get("sha256") == file_digest(path)):
            return True
    schemas = (_schema(file, kind) for file, kind in zip(files, kinds, strict=True) if kind in _TABLES)
    return any(_stated(schema).get("restored") is not True for schema in schemas if tables.MARKER in _metadata(schema))


def check_target(source: Path, target: Path) -> None:
    """Refuse an output that is the input, lies in it, or cannot be written.

    Raises:
        ConfigError: why.
    """
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError("the output is the input, lies in it or holds it", hint="Give another place for the output.")
    if target.is_symlink() or (target.exists() and target.is_dir() != source.is_dir()):
        raise ConfigError(f"{target.name} is a link, or a folder where a file belongs", hint="Give another output.")
    if target.exists() and not (target.is_file() or target.is_dir()):
        # /dev/null would be replaced by a file, for every program of the machine where its owner runs this.
        raise ConfigError(f"{target.name} is a device or a pipe", hint="Give a file; --dry-run writes nothing.")
    beside = (mark_of(target), quarantine_path(target))
    if here in [path.resolve() for path in beside]:
        raise ConfigError("the input is where the output's mark or list would go", hint="Give another output.")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is no folder", hint="Create it first.")


__all__ = [
    "check_target",
    "file_digest",
    "FOLDER_MARK",
    "Input",
    "MARK_SUFFIX",
    "mark_of",
    "open_input",
    "PATIENT_FIELD",
    "read_mark",
    "SUFFIXES",
]
