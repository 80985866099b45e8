"""Which factors are trained in a round, what travels, and what the server does with the sum.

W = W₀ + γ·B·A. Averaging A and B apart is wrong by mean((Bᵢ − B̄)(Aᵢ − Ā)), and noise on both factors multiplies; so in
every round one factor is common and only the other is trained, noised and summed: linear, and exact under secure
aggregation.

=========== ================== ============================ =====================================================
method      trained            travels down                 server
=========== ================== ============================ =====================================================
``ffa``     B                  B; A comes from the seed     adds the mean (Sun et al. 2024, "FFA-LoRA")
``fedsvd``  B                  A and B                      adds the mean, then turns B·A (arXiv 2505.12805)
alternate   B, A, B, A …       A and B                      adds the mean of the one factor
naive       both               A and B                      adds the means apart: inexact, for comparison
=========== ================== ============================ =====================================================

A site of a lower rank trains a prefix: the first columns of B, rows of A. Prefixes are nested, its update is zero
beyond, and each column is divided by the weights of the sites that train it. Nothing here depends on data.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedward.common.config import Aggregation, RunPlan, TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora.adapters import (
    FACTOR_A,
    FACTOR_B,
    Adapter,
    Layout,
    Vector,
    flatten,
    initial_adapter,
    unflatten,
)
from fedward.common.lora.orthogonal import Turn, check_turn, turn

Turns = Mapping[str, Turn]
"""Name of a tensor B to the turn of its pair."""


def trained_layout(method: Aggregation, layout: Layout, round_number: int) -> tuple[TensorSpec, ...]:
    """The tensors that sites train and send in a round, counted from 1; in the layout's order."""
    if method == "naive":
        return tuple(layout)
    factor = FACTOR_A if method == "alternate" and round_number % 2 == 0 else FACTOR_B
    return tuple(spec for spec in layout if factor in spec.name)


def ever_trained_layout(method: Aggregation, layout: Layout) -> tuple[TensorSpec, ...]:
    """The tensors that sites train in some round."""
    names = {spec.name for number in (1, 2) for spec in trained_layout(method, layout, number)}
    return tuple(spec for spec in layout if spec.name in names)


def sent_layout(method: Aggregation, layout: Layout) -> tuple[TensorSpec, ...]:
    """The tensors that travel to the sites every round. What never changes is drawn from the seed instead."""
    return trained_layout("ffa", layout, 1) if method == "ffa" else tuple(layout)


def starting_adapter(plan: RunPlan) -> Adapter:
    """The adapter before round 1, the same bits on every machine.

    Raises:
        ConfigError: the plan asks for more orthonormal rows than there can be.
    """
    return initial_adapter(plan.layout, plan.seed, orthonormal=plan.lora.starts_orthonormal)


def whole_adapter(plan: RunPlan, vector: Vector) -> Adapter:
    """The adapter that a ``Train`` message means: what came, and what is drawn from the seed.

    Args:
        vector: (S,) float32, the tensors of ``sent_layout`` one behind the other.

    Raises:
        ConfigError: another length.
    """
    sent = sent_layout(plan.lora.aggregation, plan.layout)
    came = unflatten(sent, vector)
    return came if len(came) == len(plan.layout) else {**starting_adapter(plan), **came}


def pairs(layout: Layout) -> tuple[tuple[TensorSpec, TensorSpec], ...]:
    """(A, B) of every module, in the layout's order.

    Raises:
        ConfigError: a factor without its other one, or of another rank.
    """
    by_name = {spec.name: spec for spec in layout}
    found = []
    for spec in layout:
        if FACTOR_A in spec.name:
            other = by_name.get(spec.name.replace(FACTOR_A, FACTOR_B))
            if other is None or other.shape[1] != spec.shape[0]:
                raise ConfigError(f"the layout's tensor {spec.name!r} has no other factor of its rank")
            found.append((spec, other))
    if 2 * len(found) != len(layout):
        raise ConfigError("the layout has a factor B without its A")
    return tuple(found)


def check_layout(layout: Layout, rank: int) -> None:
    """Refuse a layout that is not made of whole pairs of one rank.

    Raises:
        ConfigError: so it is.
    """
    if any(spec_a.shape[0] != rank for spec_a, _ in pairs(layout)):
        raise ConfigError(f"the layout's tensors are not of rank {rank}", hint="Finalise the plan first.")


def along_rank(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values`` (r,), one a column of B or a row of A, in a shape that broadcasts against the tensor of that name."""
    return values[np.newaxis, :] if FACTOR_B in name else values[:, np.newaxis]


def only_prefix(layout: Layout, vector: Vector, rank: int) -> Vector:
    """An update with zeros beyond the first ``rank`` columns of B and rows of A: (L,) float32, a copy."""
    parts = {}
    for name, part in unflatten(layout, vector).items():
        if FACTOR_B in name:
            part[:, rank:] = 0
        else:
            part[rank:] = 0
        parts[name] = part
    return flatten(layout, parts)


def find_turns(method: Aggregation, layout: Layout, adapter: Adapter) -> Turns:
    """How ``fedsvd`` turns every pair once the mean is added; nothing for the others."""
    if method != "fedsvd":
        return {}
    return {
        spec_b.name: turn(adapter[spec_b.name].astype(np.float64), adapter[spec_a.name].astype(np.float64)).turn
        for spec_a, spec_b in pairs(layout)
    }


def apply_turns(layout: Layout, adapter: Adapter, turns: Turns) -> Adapter:
    """The adapter, of the same product but for rounding to float32; the same bits on every machine."""
    if not turns:
        return adapter
    turned: dict[str, Vector] = {}
    for spec_a, spec_b in pairs(layout):
        found = turns[spec_b.name]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and refused afterwards
            turned[spec_a.name] = found.turned_a(adapter[spec_a.name].astype(np.float64)).astype(np.float32)
            turned[spec_b.name] = found.turned_b(adapter[spec_b.name].astype(np.float64)).astype(np.float32)
    return turned


def check_turns(layout: Layout, adapter: Adapter, turns: Turns) -> None:
    """Refuse turns that somebody else found if they are none; see ``orthogonal.check_turn``.

    Args:
        layout: of the whole adapter.
        adapter: after ``apply_turns``, finite.
        turns: that were applied.

    Raises:
        ConfigError: so it is.
    """
    for spec_a, spec_b in pairs(layout) if turns else ():
        factors = adapter[spec_b.name].astype(np.float64), adapter[spec_a.name].astype(np.float64)
        check_turn(turns[spec_b.name], *factors)
