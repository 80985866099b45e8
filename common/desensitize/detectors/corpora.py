"""Labelled text for the tagger: a manifest in TOML, and the usual formats of public Chinese data sets.

Each data set is named with its licence, its split and its SHA-256, all of which go into the model. A ``test`` or
``dev`` split is refused. Not handled here: whether a licence permits what is done with the model.

A manifest::

    [[dataset]]
    name = "notes of our hospital"
    path = "train.jsonl"          # beside the manifest
    format = "spans"
    licence = "own"
    split = "train"
    sha256 = "…"
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field

from fedward.common.errors import ConfigError
from fedward.common.settings import Settings, read_toml, to_json, validated

MAX_DATASET_BYTES: Final = 512 << 20
MAX_SENTENCE: Final = 20_000
_LABELS: Final = {
    **dict.fromkeys(("person", "per", "nr", "name", "person_name"), "PERSON"),
    **dict.fromkeys(("loc", "location", "ns", "gpe", "address", "scene", "place"), "LOC"),
    **dict.fromkeys(("org", "organization", "organisation", "nt", "company", "government", "org_name"), "ORG"),
    "company_name": "ORG",
}
_BRACES: Final = re.compile(r"\{\{(\w{1,32}):([^{}]{0,200})\}\}")


class Sentence(NamedTuple):
    """A text and the names in it: start, end, and ``PERSON``, ``LOC`` or ``ORG``; sorted and disjoint."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


class DatasetEntry(Settings):
    """One data set of a manifest."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is called."""
    path: Annotated[str, Field(min_length=1)]
    """Its file, as seen from the manifest."""
    format: Literal["spans", "columns", "slashes", "cluener", "braces"]
    """JSONL with ``text`` and ``spans``; a character and its BIO or BIOES tag; word/tag; CLUENER; {{type:name}}."""
    licence: Annotated[str, Field(min_length=1, max_length=200)]
    """Under which it is used."""
    split: Literal["train", "generated", "silver"] = "train"
    """Dev and test splits never enter."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the file."""
    repeat: Annotated[int, Field(ge=1, le=20)] = 1
    """How often it is read; a small set that matters may count more than once."""


class Manifest(Settings):
    """What a tagger is trained on."""

    dataset: Annotated[list[DatasetEntry], Field(min_length=1, max_length=64)]
    """The data sets, in order."""


def read_manifest(path: Path) -> tuple[list[dict[str, Any]], list[Sentence]]:
    """The data sets of a manifest: how each describes itself, and all their sentences.

    Raises:
        ConfigError: names the entry and the fault.
    """
    manifest = validated(Manifest, to_json(read_toml(path), path.name), path.name)
    described: list[dict[str, Any]] = []
    sentences: list[Sentence] = []
    for entry in manifest.dataset:
        text = _text_of(path.parent / entry.path, entry)
        try:
            found = [sentence for sentence in _READERS[entry.format](text) if 0 < len(sentence.text) <= MAX_SENTENCE]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigError(f"data set {entry.name!r} is not of format {entry.format!r}") from None
        if not found:
            raise ConfigError(f"data set {entry.name!r} holds no sentence")
        described.append(entry.model_dump(mode="json", exclude={"path"}) | {"sentences": len(found)})
        sentences += found * entry.repeat
    return described, sentences


def _text_of(path: Path, entry: DatasetEntry) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_DATASET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"data set {entry.name!r}: {error.strerror}") from None
    if len(raw) > MAX_DATASET_BYTES:
        raise ConfigError(f"data set {entry.name!r}: more than {MAX_DATASET_BYTES} bytes")
    if hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise ConfigError(f"data set {entry.name!r} has another SHA-256 than the manifest says")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"data set {entry.name!r} is not UTF-8") from None


def _sentence(text: str, spans: Iterable[tuple[int, int, str]]) -> Sentence:
    """Keep the spans of known labels, the longest of those that overlap."""
    kept: list[tuple[int, int, str]] = []
    wanted = ((a, b, _LABELS.get(str(label).lower(), "")) for a, b, label in spans)
    for start, end, type_ in sorted((s for s in wanted if s[2]), key=lambda s: (s[0] - s[1], s)):
        if not 0 <= start < end <= len(text):
            raise ValueError("a span outside its text")
        if all(end <= a or b <= start for a, b, _ in kept):
            kept.append((start, end, type_))
    return Sentence(text, tuple(sorted(kept)))


def _spans(text: str) -> Iterator[Sentence]:
    for line in text.splitlines():
        if line.strip():
            record = json.loads(line)
            yield _sentence(record["text"], [(int(a), int(b), str(c)) for a, b, c in record["spans"]])


def _cluener(text: str) -> Iterator[Sentence]:
    """Lines of JSON, or objects one after the other; the ends are inclusive."""
    decoder = json.JSONDecoder()
    place = 0
    skip = re.compile(r"[\s,\[\]]*")
    while (place := skip.match(text, place).end()) < len(text):  # type: ignore[union-attr]  # it matches the empty string
        record, place = decoder.raw_decode(text, place)
        spans = [
            (int(a), int(b) + 1, label)
            for label, names in record.get("label", {}).items()
            for pairs in names.values()
            for a, b in pairs
        ]
        yield _sentence(record["text"], spans)


def _columns(text: str) -> Iterator[Sentence]:
    rows: list[tuple[str, str]] = []
    for line in [*text.split("\n"), ""]:
        parts = line.rstrip("\r").rsplit(None, 1) if line.strip() else []
        if len(parts) == 1:  # a blank that lost its column
            parts = [" ", parts[0]]
        if parts:
            rows.append((parts[0][:1], parts[1]))
        elif rows:
            yield _sentence("".join(c for c, _ in rows), _runs([tag for _, tag in rows]))
            rows = []


def _runs(tags: list[str]) -> Iterator[tuple[int, int, str]]:
    start, label = -1, ""
    for place, tag in enumerate([*tags, "O"]):
        part, _, kind = tag.replace("_", "-", 1).partition("-")
        goes_on = start >= 0 and part in ("I", "M", "E") and kind == label
        if start >= 0 and not goes_on:
            yield start, place, label
            start = -1
        if part != "O" and start < 0:
            start, label = place, kind


def _slashes(text: str) -> Iterator[Sentence]:
    for line in text.splitlines():
        written, spans = "", []
        for token in line.split():
            word, slash, tag = token.rpartition("/")
            if not slash:
                word, tag = tag, "o"
            spans.append((len(written), len(written) + len(word), tag))
            written += word
        if written:
            yield _sentence(written, [s for s in spans if s[0] < s[1]])


def _braces(text: str) -> Iterator[Sentence]:
    for line in text.splitlines():
        written, spans, place = "", [], 0
        for match in _BRACES.finditer(line):
            written += line[place : match.start()]
            name = match.group(2).strip()
            if name:
                spans.append((len(written), len(written) + len(name), match.group(1)))
            written += name
            place = match.end()
        yield _sentence(written + line[place:], spans)


_READERS: Final[dict[str, Callable[[str], Iterator[Sentence]]]] = {
    "spans": _spans,
    "columns": _columns,
    "slashes": _slashes,
    "cluener": _cluener,
    "braces": _braces,
}

__all__ = ["DatasetEntry", "Manifest", "read_manifest", "Sentence"]
