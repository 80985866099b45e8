"""From the cohort's ring sum to the next adapter: the mean, the server's optimiser, the turn of ``fedsvd``.

All of it is pure and sees released values and public constants only, so it is free of privacy cost. Elementwise work is
done in float64 and rounded to float32 once, so all machines agree to the bit, but for the turn of ``fedsvd``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.common.agreement import column_weights, num_full_rank, site_shares
from fedward.common.config import PrivacyMode, RunPlan
from fedward.common.distributed_mean import descent, descent_noise_variance
from fedward.common.distributed_terms import is_distributed
from fedward.common.errors import ConfigError, ProtocolError, RunError
from fedward.common.lora.adapters import Adapter, unflatten
from fedward.common.lora.aggregation import Rotations, after_round, along_rank, starting_adapter, trained_layout
from fedward.common.lora.orthogonal import turn_mean, turn_variance
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import opened_values
from fedward.common.secagg.transcript import CohortFacts

Update = Mapping[str, NDArray[np.float64]]
"""Name of a trained tensor to what it shall move by."""

_LEAST_VARIANCE = 1e-16
_NOISE_FLOOR = 0.1


def mean_update(plan: RunPlan, facts: CohortFacts, opened: CohortSum) -> Update:
    """The weighted mean of the survivors' updates, each column over the sites that train it.

    The divisors are made of public constants: the survivors' declared weights and ranks. In mode ``distributed`` it is
    the mean gradient, with its sign turned (``common.distributed_mean``).

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for a sum that no honest vectors have; ``ROUND_VOID`` if a column has fewer
            survivors than the plan's minimum cohort.
    """
    values = None if is_distributed(plan) else opened_values(facts, opened)
    if num_full_rank(plan, opened.survivors) < plan.secagg.min_cohort:
        raise ProtocolError("ROUND_VOID", "too few survivors train the adapter's last column")
    if values is None:
        return descent(plan, facts, opened)
    trained = trained_layout(plan.lora.aggregation, plan.layout, facts.round_number)
    weights = column_weights(plan, opened.survivors)
    total = unflatten(trained, values)
    return {name: part / along_rank(name, weights) for name, part in total.items()}


def clamped_share(plan: RunPlan, facts: CohortFacts, opened: CohortSum) -> float:
    """Share of coordinates in which the updates of all survivors who train them stand at the clamp."""
    num_sites = np.zeros(plan.lora.rank)
    for share in site_shares(plan, opened.survivors):
        num_sites[: share.rank] += 1
    trained = trained_layout(plan.lora.aggregation, plan.layout, facts.round_number)
    sums = unflatten(trained, opened.total.view(np.int32).astype(np.float64))
    bound = num_sites * 2.0**facts.clamp_log2
    at_bound = sum(int((np.abs(part) >= along_rank(name, bound)).sum()) for name, part in sums.items())
    return at_bound / max(1, opened.total.size)


def update_norm(mean: Update) -> float:
    """L2 norm over all tensors."""
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in mean.values())))


def round_noise_variance(
    plan: RunPlan, survivors: tuple[str, ...], facts: CohortFacts | None = None
) -> NDArray[np.float64]:
    """Variance of the privacy noise in each coordinate of the mean update, by column: (r,) float64.

    In mode ``local`` a site makes K steps of plain SGD with rate η/C, each with noise σC/L on the gradient, so its
    update carries η²·K·(σ/L)²; the clip C cancels, also if it is chosen during the run. Zero where the variance is not
    known: in a run without privacy, with another local optimiser, or if the plan switches the correction off.

    Args:
        facts: of the cohort; mode ``distributed`` needs them, for its noise is cut by the cohort's size.
    """
    if is_distributed(plan) and plan.server.noise_correction:
        if facts is None:
            raise ConfigError("the noise of mode distributed is known for a cohort alone")
        return descent_noise_variance(plan, facts, survivors)
    training, noise = plan.training, plan.privacy.noise_multiplier
    known = plan.privacy.mode is PrivacyMode.LOCAL and training.optimizer == "sgd" and plan.server.noise_correction
    variance = np.zeros(plan.lora.rank)
    if noise is None or not known:
        return variance
    weights = column_weights(plan, survivors)
    for share in site_shares(plan, survivors):
        expected_units = training.resolved_sample_rate * share.nominal_units
        variance[: share.rank] += (share.weight / (weights[: share.rank] * expected_units)) ** 2
    with np.errstate(over="ignore"):  # an infinite variance allows no step, and is no error
        step_variance: np.float64 = np.square(np.float64(training.learning_rate) * noise)
        return np.asarray(variance * training.steps_per_round * step_variance)


# ---------------------------------------------------------------------------------------------------- optimisers


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moments:
    """What ``FedAdam`` remembers of one tensor. Not yet corrected for the start at zero."""

    num_steps: int
    """Rounds in which the tensor was trained."""
    first: NDArray[np.float64] = field(repr=False)
    """Running mean of the mean updates."""
    second: NDArray[np.float64] = field(repr=False)
    """Running mean of their squares, noise and all."""
    noise: NDArray[np.float64] = field(repr=False)
    """(r,) the same running mean of the known noise variance, by column."""

    def turned(self, rotation: NDArray[np.float64]) -> Moments:
        """The moments of a tensor B whose columns were turned."""
        return Moments(
            num_steps=self.num_steps,
            first=turn_mean(self.first, rotation),
            second=turn_variance(self.second, rotation),
            noise=turn_variance(self.noise, rotation),
        )


AllMoments = Mapping[str, Moments]
"""Name of a tensor to its moments; tensors that were never trained are missing."""


class ServerOptimizer(Protocol):
    """A pure step from one adapter to the next."""

    def step(
        self, adapter: Adapter, mean: Update, noise_variance: NDArray[np.float64], moments: AllMoments
    ) -> tuple[Adapter, AllMoments]:
        """The next adapter and what to remember.

        Args:
            adapter: all tensors.
            mean: the trained ones' mean update.
            noise_variance: (r,) known variance of the noise in ``mean``, by column.
            moments: as returned by the step before; empty before the first.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FedAvg:
    """Adds ``learning_rate`` times the mean update (McMahan et al. 2017, "Communication-Efficient Learning")."""

    learning_rate: float = 1.0

    def step(
        self, adapter: Adapter, mean: Update, noise_variance: NDArray[np.float64], moments: AllMoments
    ) -> tuple[Adapter, AllMoments]:
        """See ``ServerOptimizer.step``. Remembers nothing."""
        return _moved(adapter, {name: self.learning_rate * part for name, part in mean.items()}), moments


@dataclass(frozen=True, kw_only=True, slots=True)
class FedAdam:
    """Adam on the mean update (Reddi et al. 2021, "Adaptive Federated Optimization"), without the noise's bias.

    The privacy noise adds its variance ν to the second moment and so shortens every step. It is known, and taken off:
    step = η·m̂ / √max(v̂ − ν̂, f), f = max(1e-16, 0.1·ν̂). The idea is DP-AdamBC (Tang et al. 2024, arXiv 2312.14334);
    the floor f is our choice. With ν = 0 this is Adam with its ε of 1e-8 inside the root's floor.
    """

    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99

    def step(
        self, adapter: Adapter, mean: Update, noise_variance: NDArray[np.float64], moments: AllMoments
    ) -> tuple[Adapter, AllMoments]:
        """See ``ServerOptimizer.step``."""
        fresh = {name: self._after(moments.get(name), part, noise_variance) for name, part in mean.items()}
        moves = {name: self.learning_rate * self._direction(name, now) for name, now in fresh.items()}
        return _moved(adapter, moves), {**moments, **fresh}

    def _after(self, before: Moments | None, part: NDArray[np.float64], noise_variance: NDArray[np.float64]) -> Moments:
        if before is None:
            zero = np.zeros_like(part)
            before = Moments(num_steps=0, first=zero, second=zero, noise=np.zeros_like(noise_variance))
        return Moments(
            num_steps=before.num_steps + 1,
            first=self.beta1 * before.first + (1 - self.beta1) * part,
            second=self.beta2 * before.second + (1 - self.beta2) * part * part,
            noise=self.beta2 * before.noise + (1 - self.beta2) * noise_variance,
        )

    def _direction(self, name: str, now: Moments) -> NDArray[np.float64]:
        begun1, begun2 = 1 - self.beta1**now.num_steps, 1 - self.beta2**now.num_steps
        noise = along_rank(name, now.noise / begun2)
        floor = np.maximum(_LEAST_VARIANCE, _NOISE_FLOOR * noise)
        scale = np.sqrt(np.maximum(now.second / begun2 - noise, floor))
        direction: NDArray[np.float64] = now.first / begun1 / scale
        return direction


def _moved(adapter: Adapter, moves: Update) -> Adapter:
    with np.errstate(over="ignore"):  # an infinite value is found and refused afterwards
        moved = {name: (adapter[name].astype(np.float64) + move).astype(np.float32) for name, move in moves.items()}
    return {**adapter, **moved}


def server_optimizer(plan: RunPlan) -> ServerOptimizer:
    """The optimiser that the plan names."""
    server = plan.server
    if server.optimizer == "fedadam":
        return FedAdam(learning_rate=server.step_length, beta1=server.beta1, beta2=server.beta2)
    return FedAvg(learning_rate=server.step_length)


# ---------------------------------------------------------------------------------------------------- state


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ServerState:
    """All that the coordinator carries from round to round; arrays and counts, so it can be written down."""

    adapter: Adapter = field(repr=False)
    moments: AllMoments = field(repr=False)

    @classmethod
    def start(cls, plan: RunPlan) -> ServerState:
        """Before the first round."""
        return cls(adapter=starting_adapter(plan), moments={})

    def advanced(
        self, plan: RunPlan, mean: Update, survivors: tuple[str, ...], facts: CohortFacts | None = None
    ) -> ServerState:
        """After a round: the optimiser's step, then what the method does with the whole adapter.

        Args:
            facts: of the cohort; see ``round_noise_variance``.

        Raises:
            RunError: the adapter would not be finite any more.
        """
        optimizer = server_optimizer(plan)
        variance = round_noise_variance(plan, survivors, facts)
        adapter, moments = optimizer.step(self.adapter, mean, variance, self.moments)
        _require_finite(adapter)
        adapter, rotations = after_round(plan.lora.aggregation, plan.layout, adapter)
        _require_finite(adapter)  # the columns of a turned B are longer: finite numbers may have become infinite
        return ServerState(adapter=adapter, moments=_all_turned(moments, rotations))


def _require_finite(adapter: Adapter) -> None:
    if not all(np.isfinite(value).all() for value in adapter.values()):
        raise RunError("the adapter diverged", hint="Lower training.learning_rate or server.learning_rate.")


def _all_turned(moments: AllMoments, rotations: Rotations) -> AllMoments:
    return {name: kept.turned(rotations[name]) if name in rotations else kept for name, kept in moments.items()}
