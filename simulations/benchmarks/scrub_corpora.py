"""Public corpora with gold spans, brought into one form. The files are not part of this project.

Read: JSON Lines of ``{"text", "spans": [[start, end, type]]}``; two columns "character tag" with BIO tags and empty
lines between sentences; CLUENER's ``{"text", "label": {kind: {value: [[first, last]]}}}``, also indented;
presidio-research's list of ``{"full_text", "spans"}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedward.common.errors import DataError
from fedward.simulations.scrub_corpus.gold import NEUTRAL, Gold, Sample

MAX_FILE_BYTES = 1 << 28
_TAGS: Mapping[str, str] = {
    "PER": "PERSON",
    "nr": "PERSON",
    "PERSON": "PERSON",
    "LOC": "LOC",
    "ns": "LOC",
    "GPE": "LOC",
    "ORG": "ORG",
    "nt": "ORG",
}
_CLUENER: Mapping[str, str] = {
    "name": "PERSON",
    "address": "LOC",
    "organization": "ORG",
    "company": "ORG",
    "government": "ORG",
}
_PRESIDIO: Mapping[str, str] = {
    "PERSON": "PERSON",
    "STREET_ADDRESS": "ADDRESS",
    "ORGANIZATION": "ORG",
    "GPE": "LOC",
    "CREDIT_CARD": "CARD",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "DOMAIN_NAME": "URL",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "US_DRIVER_LICENSE": "LICENCE",
    "ZIP_CODE": "POSTCODE",
}
"""TITLE, NRP, AGE and DATE_TIME (which holds months and weekdays) are neutral."""


def read_corpus(path: Path) -> list[Sample]:
    """Every text of a file, in order.

    Raises:
        DataError: too large, or none of the forms.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{path.name}: more than {MAX_FILE_BYTES} bytes")
        content = path.read_text("utf-8-sig")
        is_json = content.lstrip()[:1] in ("{", "[")
        pairs = _json(content) if is_json else _columns(content)
        samples = [_sample(path.stem, number, *pair) for number, pair in enumerate(pairs)]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{path.name}: {type(error).__name__}", hint=f"Expected one of: {__doc__}") from error
    if not samples:
        raise DataError(f"{path.name}: no text in it")
    return samples


def read_lines(path: Path) -> list[Sample]:
    """Lines of plain text, in which nothing is annotated."""
    return [_sample(path.stem, n, line, []) for n, line in enumerate(path.read_text("utf-8").splitlines()) if line]


def _json(content: str) -> Iterator[tuple[str, list[Gold]]]:
    for record in _values(content):
        text = record["full_text"] if "full_text" in record else record["text"]
        if isinstance(record.get("label"), dict):
            yield text, _of_cluener(record["label"])
        elif "full_text" in record:
            yield text, [_of_presidio(span) for span in record["spans"]]
        else:
            yield text, [Gold(start, end, str(type_), "plain") for start, end, type_ in record["spans"]]


def _values(content: str) -> Iterator[Any]:
    """JSON values one after the other, however they are broken into lines; a list gives its items."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(content):
        if content[place].isspace():
            place += 1
            continue
        value, place = decoder.raw_decode(content, place)
        yield from value if isinstance(value, list) else (value,)


def _of_cluener(label: Mapping[str, Mapping[str, list[tuple[int, int]]]]) -> list[Gold]:
    return [
        Gold(first, last + 1, _CLUENER.get(kind, NEUTRAL), kind)
        for kind, values in label.items()
        for places in values.values()
        for first, last in places
    ]


def _of_presidio(span: Mapping[str, Any]) -> Gold:
    kind = str(span["entity_type"])
    return Gold(span["start_position"], span["end_position"], _PRESIDIO.get(kind, NEUTRAL), kind)


def _columns(content: str) -> Iterator[tuple[str, list[Gold]]]:
    characters: list[str] = []
    tags: list[str] = []
    for line in [*content.splitlines(), ""]:
        if line.strip():
            character, _, tag = line.rpartition(" ") if " " in line else line.rpartition("\t")
            characters.append(character.strip() or " ")
            tags.append(tag.strip())
        elif characters:
            yield "".join(characters), _of_tags(characters, tags)
            characters, tags = [], []


def _of_tags(characters: list[str], tags: list[str]) -> list[Gold]:
    spans: list[Gold] = []
    place = 0
    for character, tag in zip(characters, tags, strict=True):
        head, _, kind = tag.replace("_", "-").partition("-")
        end = place + len(character)
        type_ = _TAGS.get(kind, NEUTRAL)
        if head in ("I", "M", "E") and spans and spans[-1].end == place and spans[-1].type == type_:
            spans[-1] = spans[-1]._replace(end=end)
        elif head in ("B", "S", "I", "M", "E"):
            spans.append(Gold(place, end, type_, kind))
        elif tag != "O":
            raise ValueError(tag)
        place = end
    return spans


def _sample(name: str, number: int, text: str, gold: list[Gold]) -> Sample:
    if not all(0 <= span.start < span.end <= len(text) for span in gold):
        raise ValueError("a span outside its text")
    return Sample(
        document_id=f"{name}-{number}", patient_id=f"{name}-{number}", kind=name, text=text, gold=tuple(sorted(gold))
    )
