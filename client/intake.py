"""Load a site's records into memory: JSON lines, CSV, Parquet, or a Hugging Face data set.

Invariants: a refusal names the file, the line or row and the columns, never what stands in a cell; whole patients go
to one side of the split.
Not handled here: file formats (``client._row_readers``), desensitisation, encryption, sampling for the training.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fedward.client._row_readers import MAX_TEXT_CHARS, read_rows
from fedward.common import _validate
from fedward.common.errors import ConfigError, DataError, EmptyDataError

Format = Literal["auto", "jsonl", "csv", "parquet", "huggingface"]

MAX_RECORDS = 5_000_000
_MAX_EXACT_FLOAT = 2**53  # from here on a float no longer tells neighbouring integers apart


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSource:
    """Where a site's records are and which columns matter.

    Args:
        path: a file, a folder written by ``save_to_disk``, a data set repository, or (``huggingface``) a hub id.
        text_columns: joined by newlines into a record's text, in this order.
        patient_column: the unit of privacy; None makes every record a unit of its own.
        label_column: for classification measures, or None.
        where: only rows whose columns equal these values are read.
        format: "auto" decides by the file's suffix; a folder is a Hugging Face data set.
        encoding: of JSON lines and CSV; a UTF-8 byte order mark is accepted.
        patient_share: keep this share of the patients, chosen by a hash of each one's own id; None keeps all. A cut by
            position would let one patient decide which others are in.

    Raises:
        ConfigError: for a value that cannot be.
    """

    path: Path
    text_columns: tuple[str, ...]
    patient_column: str | None
    label_column: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    format: Format = "auto"
    encoding: str = "utf-8"
    patient_share: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be, and detach ``where`` from the caller's mapping."""
        columns = self.text_columns
        if isinstance(columns, str) or not columns or len(set(columns)) != len(columns):
            raise ConfigError("text_columns: expected one or more different column names")
        object.__setattr__(self, "text_columns", tuple(columns))
        object.__setattr__(self, "where", dict(self.where))
        if not all(isinstance(name, str) and name for name in self.columns):
            raise ConfigError("a column name is empty or not a string")
        if not all(isinstance(value, str) for value in self.where.values()):
            raise ConfigError("where: expected a string for every column")
        if self.format not in get_args(Format):
            raise ConfigError(f"format = {self.format!r}: expected one of {', '.join(get_args(Format))}")
        if self.patient_share is not None:
            _validate.probability(patient_share=self.patient_share)
        object.__setattr__(self, "encoding", checked_encoding(self.encoding))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, each once."""
        optional = (name for name in (self.patient_column, self.label_column) if name is not None)
        return tuple(dict.fromkeys((*self.text_columns, *optional, *self.where)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One text of one patient. Nothing of it shows in a repr."""

    patient_id: str = field(repr=False)
    text: str = field(repr=False)
    label: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patients:
    """Records grouped by patient; no patient is on both sides."""

    train: tuple[tuple[Record, ...], ...] = field(repr=False)
    heldout: tuple[tuple[Record, ...], ...] = field(repr=False)


def load_records(source: DataSource) -> tuple[Record, ...]:
    """Read the records of ``source`` in file order.

    Rows that ``where`` does not select, rows whose text columns are all empty and patients outside of
    ``patient_share`` are left out; adding or removing a patient changes nothing for the others. Spaces around a
    patient id are dropped: they would make two units of one person. Without ``patient_column`` the id is a hash of
    text and label with a counter for repeats, so that it does not depend on the file's order.

    Raises:
        MissingColumnError: a named column is in no row.
        EncodingError: bytes that are not ``source.encoding``.
        EmptyDataError: an empty file, or no record left.
        DataError: anything else; the message says where.
    """
    records: list[Record] = []
    num_read = 0
    repeats: Counter[str] = Counter()
    with _named_os_errors(source):
        for place, row in read_rows(source):
            record = _record(source, place, row, repeats)
            if record is None:
                continue
            num_read += 1
            if num_read > MAX_RECORDS:
                raise DataError(
                    f"{source.path.name}: more than {MAX_RECORDS:,} records",
                    hint="Narrow `where`, or split the file by patients.",
                )
            if _is_kept(source.patient_share, record.patient_id):
                records.append(record)
    if not records:
        raise EmptyDataError(
            f"{source.path.name}: no record is left after the filter, the patient share and without empty texts"
        )
    return tuple(records)


def split_patients(records: Sequence[Record], *, heldout_share: float, split_seed: int) -> Patients:
    """Group records by patient and set whole patients aside.

    A patient is held out if its own keyed hash is below ``heldout_share``. So the choice depends neither on the
    order of the file nor on the other patients: adding or removing one patient moves no other one between the sides.
    The exception keeps tiny sites usable: among two or more patients at least one is held out (if the share is
    above 0) and at least one is not.

    Args:
        records: of one site.
        heldout_share: in [0, 1); the expected share of patients.
        split_seed: public; the same seed gives the same split.

    Raises:
        ConfigError: for a share outside [0, 1) or a seed that is not an integer.
        EmptyDataError: without any record.
    """
    if not 0 <= heldout_share < 1:
        raise ConfigError(f"heldout_share = {heldout_share!r}: expected a number of at least 0 and below 1")
    if type(split_seed) is not int:
        raise ConfigError("split_seed: expected an integer")
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.patient_id, []).append(record)
    if not groups:
        raise EmptyDataError("there is no patient to split")
    ranks = sorted((_split_hash(split_seed, patient_id), patient_id) for patient_id in groups)
    num_heldout = sum(rank / 2**64 < heldout_share for rank, _ in ranks)
    if len(ranks) == 1:
        num_heldout = 0
    elif heldout_share > 0:
        num_heldout = min(max(num_heldout, 1), len(ranks) - 1)
    ordered = [tuple(groups[patient_id]) for _, patient_id in ranks]
    return Patients(train=tuple(ordered[num_heldout:]), heldout=tuple(ordered[:num_heldout]))


def _split_hash(split_seed: int, patient_id: str) -> int:
    return _hash64(f"fedward/heldout/v1\0{split_seed}\0", patient_id)


def _is_kept(patient_share: float | None, patient_id: str) -> bool:
    if patient_share is None:
        return True
    return _hash64("fedward/patient-share/v1\0", patient_id) < int(patient_share * 2.0**64)


def _hash64(label: str, patient_id: str) -> int:
    """In [0, 2**64); choices under different labels do not depend on each other."""
    return int.from_bytes(hashlib.sha256(label.encode() + patient_id.encode()).digest()[:8], "big")


def checked_encoding(encoding: str) -> str:
    """The canonical name of an encoding that can be split at the byte of a newline.

    Raises:
        ConfigError: unknown, or not readable line by line.
    """
    with suppress(LookupError, UnicodeError, ValueError):
        name = codecs.lookup(encoding).name
        name = "utf-8" if name == "utf-8-sig" else name
        if "\n".encode(name) == b"\n":
            return name
    raise ConfigError(
        f"encoding = {encoding!r}: unknown, or not readable line by line",
        hint="Use utf-8, gb18030 or another encoding that keeps ASCII; convert UTF-16 with `iconv`.",
    )


@contextmanager
def _named_os_errors(source: DataSource) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Only the reason: the message of an OSError may carry more of the path than the user gave us to show.
        raise DataError(f"{source.path.name}: cannot be read ({error.strerror or type(error).__name__})") from None


# Cells


def _record(source: DataSource, place: str, row: Mapping[str, object], repeats: Counter[str]) -> Record | None:
    """Return the record of a row, or None if the row is not selected or has no text."""
    name = source.path.name
    for column, wanted in source.where.items():
        if _scalar(row.get(column), name, place, column) != wanted:
            return None
    text = "\n".join(filter(None, (_text(row.get(column), name, place, column) for column in source.text_columns)))
    if not text:
        return None
    if len(text) > MAX_TEXT_CHARS:
        raise DataError(f"{name}, {place}: the text has more than {MAX_TEXT_CHARS:,} characters")
    label = (
        None if source.label_column is None else _scalar(row.get(source.label_column), name, place, source.label_column)
    )
    if source.patient_column is None:
        content = hashlib.sha256(json.dumps([text, label]).encode()).hexdigest()
        repeats[content] += 1
        return Record(patient_id=f"{content}-{repeats[content]}", text=text, label=label)
    patient = (_scalar(row.get(source.patient_column), name, place, source.patient_column) or "").strip()
    if not patient:
        raise DataError(f"{name}, {place}: column {source.patient_column!r} is empty, every record needs a patient")
    return Record(patient_id=patient, text=text, label=label)


def _text(cell: object, name: str, place: str, column: str) -> str:
    """Return the text of a cell, "" for null and for blanks only."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise DataError(f"{name}, {place}: column {column!r} is not a string")
    _refuse_lone_surrogates(cell, name, place, column)
    return cell if cell.strip() else ""


def _scalar(cell: object, name: str, place: str, column: str) -> str | None:
    """Return a string or number as a string (3.0 as "3"), None for null and for the empty string."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        _refuse_lone_surrogates(cell, name, place, column)
        return cell
    if isinstance(cell, float) and abs(cell) < _MAX_EXACT_FLOAT:  # false for NaN
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    raise DataError(
        f"{name}, {place}: column {column!r} is neither a string nor a plain number",
        hint="NaN, true/false, lists and numbers above 2^53 with a decimal point are refused; write them as strings.",
    )


def _refuse_lone_surrogates(cell: str, name: str, place: str, column: str) -> None:
    """JSON can spell half a character; no tokenizer and no file could hold it."""
    with suppress(UnicodeEncodeError):
        cell.encode("utf-8")
        return
    raise DataError(f"{name}, {place}: column {column!r} holds half of a surrogate pair")
