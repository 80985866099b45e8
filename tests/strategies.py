"""What hypothesis draws in more than one test."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.config import RunPlan
from fedward.common.secagg.transcript import Field

keys = st.binary(min_size=32, max_size=32)
site_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12).filter(
    lambda text: text != "coordinator"
)
transcript_fields: st.SearchStrategy[Field] = st.one_of(
    st.binary(max_size=12), st.text(max_size=8), st.integers(0, 2**64 - 1)
)


@st.composite
def updates(draw: st.DrawFn, *, bound: float = 2.0, max_size: int = 40) -> NDArray[np.float32]:
    """(L,) float32, finite, within ±bound."""
    values = st.lists(st.floats(-bound, bound, width=32), min_size=1, max_size=max_size)
    return np.array(draw(values), np.float32)


def positive_floats(most: float = 1e6) -> st.SearchStrategy[float]:
    """Above zero, finite."""
    return st.floats(0, most, exclude_min=True, allow_subnormal=False)


@st.composite
def plans(draw: st.DrawFn) -> RunPlan:
    """Plans that obey their own rules."""
    ids = draw(st.lists(site_ids, min_size=1, max_size=5, unique=True))
    document: dict[str, Any] = {
        "schema": "fedward.plan/1",
        "name": draw(st.text(min_size=1, max_size=20)),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "rounds": draw(st.integers(1, 100)),
        "lora": {"rank": draw(st.integers(1, 256)), "alpha": draw(st.floats(1e-3, 1e6))},
        "privacy": {
            "mode": draw(st.sampled_from(["local", "none"])),
            "epsilon": draw(positive_floats()),
            "delta": draw(st.floats(1e-12, 1e-9)),
            "noise_multiplier": draw(st.none() | st.floats(0.01, 1e6)),
            "unit": draw(st.sampled_from(["patient", "record"])),
            "clip_norm": draw(st.just("auto") | st.floats(1e-6, 1e6)),
            "max_sites_per_unit": draw(st.integers(1, 10_000)),
        },
        "training": {
            "sample_rate": draw(st.just("auto") | st.floats(1e-9, 1.0)),
            "steps_per_round": draw(st.integers(1, 100)),
        },
        "secagg": {"profile": "plain_ring", "min_cohort": draw(st.integers(1, len(ids)))},
        "sites": [{"id": site_id, "nominal_units": draw(st.integers(1, 10**9))} for site_id in ids],
        "layout": [
            {"name": name, "shape": [draw(st.integers(1, 64)), draw(st.integers(1, 64))]}
            for name in draw(st.lists(st.text(max_size=10), max_size=3))
        ],
    }
    return RunPlan.from_bytes(json.dumps(document).encode())
