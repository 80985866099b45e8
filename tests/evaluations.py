"""What the tests of the evaluation share: known answers and simulated scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/evaluation_v1.json").read_text("utf-8"))
Vector = NDArray[np.float64]


def normals(seed: int, *shape: int) -> Vector:
    """Standard normal draws."""
    return np.random.default_rng(seed).standard_normal(shape)  # noqa: TID251 - simulated scores


def flips(seed: int, count: int) -> NDArray[np.bool_]:
    """Fair coins."""
    return np.random.default_rng(seed).random(count) < 0.5  # noqa: TID251 - simulated coins


__all__ = ["flips", "normals", "Vector", "VECTORS"]
