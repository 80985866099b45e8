"""The published answers of ``tests/vectors``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _document(name: str) -> Any:  # noqa: ANN401
    return json.loads((Path(__file__).parent / "vectors" / name).read_text("utf-8"))


def secagg_vectors(kind: str) -> list[dict[str, Any]]:
    """All known answers of one kind for the aggregation; at least one."""
    found = [vector for vector in _document("secagg_v1.json")["vectors"] if vector["kind"] == kind]
    assert found, f"no known answer of kind {kind!r}"
    return found


def model_state_vectors() -> list[dict[str, Any]]:
    """States after three rounds, by method and optimiser."""
    found: list[dict[str, Any]] = _document("model_state_v1.json")["vectors"]
    return found
