"""What a detector found, as text: for tables of cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedward.common.desensitize.detectors.detector import Detector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.spans import EntityType, merge

_WIDE = {code: code + 0xFEE0 for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))}
SHARED = Path(__file__).parents[5] / "shared" / "data"


def found(detector: Detector, text: str, *types: EntityType, level: int = 2) -> list[str]:
    """The texts that count at ``level``, united and in order; of ``types``, or all."""
    spans = [span for span in detector.detect(Document.of(text)) if span.level >= level]
    return [text[s.start : s.end] for s in merge(s for s in spans if not types or s.type in types)]


def wide(text: str) -> str:
    """``text`` with its digits and letters in full width."""
    return text.translate(_WIDE)


def shared_rows(path: str) -> list[dict[str, object]]:
    """The rows of a public data set; the test is skipped where it is not laid out."""
    file = SHARED / path
    if not file.exists():
        pytest.skip(f"public data {path} is not here")
    if file.suffix == ".json":
        rows: list[dict[str, object]] = json.loads(file.read_text("utf-8"))
        return rows
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
