"""What a run costs a whole patient when its unit of privacy is the record.

A patient with at most k records is in a step with i of them, i drawn from Binomial(k, sample_rate), and moves the sum
by at most i clips. The pair of outcomes is dominated by a mixture of Gaussians on a line (Choquette-Choo et al. 2023,
"Privacy Amplification for Matrix Mechanisms", corollary 4.7), whose privacy losses dp-accounting composes, rounded
upwards. Neighbours are data sets that differ in all records of one patient.

Where that account does not fit into seconds, one of two bounds stands that are above it, never below: group privacy of
k records, or the event of "any of the k records is drawn, and then all of them".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from fedward.common.errors import ConfigError
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import Gaussian, Laplace, PoissonGaussian, PrivacyEvent

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

MAX_RECORDS = 1_000_000
_POINTS = 25_000
"""Of one step's losses, about: 3 s (measured). The known answers with four times as many differ by less than 1e-3."""
_MAX_TERMS = 64
_MAX_MIXTURES = 8
_MAX_STEPS = 1_000_000
_MAX_DIVERGENCE = 1_000.0
"""Of the mean loss of all steps: above it nothing is private, and the finer account would take gigabytes."""
_LOG_TAIL = -50.0
"""dp-accounting cuts the losses' tails at a mass of exp(-50)."""
_LEAST_LOG_DELTA = -690.0
"""A smaller delta is no float."""


class BoundMethod(StrEnum):
    """How a patient's epsilon was found."""

    PLD = "pld"
    """Losses of the mixture of Gaussians, composed."""
    GROUP = "group"
    """Group privacy of k records, from the Rényi bound of one."""
    ALL_RECORDS = "all_records"
    """As if a step drew all k records or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientBound:
    """An upper bound on the epsilon of a whole patient."""

    epsilon: float
    """Infinite where no bound is known."""
    method: BoundMethod


def patient_epsilon(history: Iterable[PrivacyEvent], delta: float, max_records: int) -> PatientBound:
    """Epsilon for adding or removing a patient with at most ``max_records`` records, when a unit is one record.

    Args:
        history: events of record-level mechanisms; in each of them a record counts as a unit.
        delta: applied once, to the composed history.
        max_records: k; the intake must hold it.

    Raises:
        ConfigError: ``delta`` outside [1e-12, 1), or ``max_records`` outside 1 … 1 000 000.
        PrivacyError: a history that ``accounting.merge`` refuses.
    """
    accounting.check_delta(delta)
    if type(max_records) is not int or not 1 <= max_records <= MAX_RECORDS:
        raise ConfigError(f"max_records = {max_records!r}: expected a whole number from 1 to {MAX_RECORDS}")
    merged = accounting.merge(history)
    if max_records == 1 or not merged:
        return PatientBound(epsilon=accounting.epsilon(merged, delta), method=BoundMethod.PLD)
    return _bound(merged, delta, max_records)


@lru_cache(maxsize=64)
def _bound(merged: tuple[PrivacyEvent, ...], delta: float, max_records: int) -> PatientBound:
    coarse = min(
        PatientBound(epsilon=_group(merged, delta, max_records), method=BoundMethod.GROUP),
        PatientBound(epsilon=_all_records(merged, delta, max_records), method=BoundMethod.ALL_RECORDS),
        key=lambda bound: bound.epsilon,
    )
    if not _fits(merged, delta, max_records):
        return coarse
    fine = _mixture_epsilon(merged, delta, max_records)
    if not fine <= coarse.epsilon:
        return coarse
    return PatientBound(epsilon=fine, method=BoundMethod.PLD)


# ---------------------------------------------------------------------------------------------------- the mixture


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mixture:
    """One step: i records with probability ``weights[i]``, each moving the sum by one; ``deviation`` of the noise."""

    weights: tuple[float, ...]
    deviation: float

    def divergence(self) -> float:
        """A bound on the mean loss, by convexity: how loud a step is."""
        return 0.5 * math.fsum(w * i * i for i, w in enumerate(self.weights)) / self.deviation**2

    def loss_range(self) -> float:
        """Largest less smallest loss that dp-accounting keeps, about."""
        x = self._cut()
        logs = [math.log(w) + self._loss(i, x) for i, w in enumerate(self.weights) if w > 0]
        top = max(logs)  # taken out, so that a loud mixture does not overflow and seem narrow
        largest = top + math.log(math.fsum(math.exp(value - top) for value in logs))
        return largest - (math.log(self.weights[0]) if self.weights[0] > 0 else -largest)

    def _loss(self, i: int, x: float) -> float:
        return (i * x - 0.5 * i * i) / self.deviation**2

    def _cut(self) -> float:
        """Where the tail of the mixture has a mass of exp(-50), by bisection."""
        low, high = 0.0, len(self.weights) + 10.0 * self.deviation

        def tail(x: float) -> float:
            terms = (w * math.erfc((x - i) / (self.deviation * math.sqrt(2))) for i, w in enumerate(self.weights))
            return 0.5 * math.fsum(terms)

        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle) > math.exp(_LOG_TAIL) else (low, middle)
        return high

    def distribution(self, discretisation: float) -> PrivacyLossDistribution:
        from dp_accounting.pld import privacy_loss_distribution as pld

        return pld.from_mixture_gaussian_mechanism(
            self.deviation,
            [float(i) for i in range(len(self.weights))],
            list(self.weights),
            value_discretization_interval=discretisation,
        )


def _mixture(event: PoissonGaussian, max_records: int) -> _Mixture:
    q, k = event.sample_rate, max_records
    weights = tuple(math.comb(k, i) * q**i * (1 - q) ** (k - i) for i in range(k + 1))
    return _Mixture(weights=weights, deviation=event.noise_multiplier)


def _fits(merged: tuple[PrivacyEvent, ...], delta: float, max_records: int) -> bool:
    """Whether the mixture's account takes seconds, and its rounding is below the delta."""
    if max_records > _MAX_TERMS or accounting.rounding_of(merged) > 0.5 * delta:
        return False
    mixtures, plain = _parts(merged, max_records)
    return (
        plain is not None
        and len(mixtures) <= _MAX_MIXTURES
        and sum(steps for _, steps in mixtures) <= _MAX_STEPS
        and sum(steps * mixture.divergence() for mixture, steps in mixtures) <= _MAX_DIVERGENCE
    )


def _parts(
    merged: tuple[PrivacyEvent, ...], max_records: int
) -> tuple[list[tuple[_Mixture, int]], tuple[PrivacyEvent, ...] | None]:
    """Sampled steps as mixtures with their numbers, and the rest with k times the sensitivity."""
    mixtures, rest = [], []
    for event in merged:
        if isinstance(event, PoissonGaussian) and event.sample_rate < 1:
            mixtures.append((_mixture(event, max_records), event.num_steps))
        else:
            rest.append(event)
    return mixtures, _with_all_records(rest, max_records)


def _mixture_epsilon(merged: tuple[PrivacyEvent, ...], delta: float, max_records: int) -> float:
    mixtures, plain = _parts(merged, max_records)
    widest = max((mixture.loss_range() for mixture, _ in mixtures), default=0.0)
    discretisation = max(accounting.DISCRETISATION, widest / _POINTS)
    parts = [mixture.distribution(discretisation).self_compose(steps) for mixture, steps in mixtures]
    parts += [accounting.distribution_of(event, discretisation) for event in plain or ()]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.compose(part)
    return float(whole.get_epsilon_for_delta(delta - accounting.rounding_of(merged)))


# ---------------------------------------------------------------------------------------------------- looser bounds


def _all_records(merged: tuple[PrivacyEvent, ...], delta: float, max_records: int) -> float:
    """A patient's records drawn all or none, with the probability that any is drawn.

    Its tails are heavier on both sides of every threshold on the line, so it dominates the mixture.
    """
    events = _with_all_records(merged, max_records)
    return math.inf if events is None else accounting.epsilon(events, delta)


def _with_all_records(events: Iterable[PrivacyEvent], max_records: int) -> tuple[PrivacyEvent, ...] | None:
    """The events with k times the sensitivity; None if one would have less noise than can be accounted for."""
    try:
        return accounting.merge([_amplified(event, max_records) for event in events])
    except ConfigError:
        return None


def _amplified(event: PrivacyEvent, k: int) -> PrivacyEvent:
    if isinstance(event, Laplace):
        return replace(event, scale=event.scale / k)
    noise = event.noise_multiplier / k
    if isinstance(event, Gaussian):
        return replace(event, noise_multiplier=noise)
    any_drawn = -math.expm1(k * math.log1p(-event.sample_rate)) if event.sample_rate < 1 else 1.0
    return replace(event, noise_multiplier=noise, sample_rate=min(any_drawn, 1.0))


def _group(merged: tuple[PrivacyEvent, ...], delta: float, k: int) -> float:
    """Group privacy: (ε, δ') for one record is (kε, δ'·(e^kε − 1)/(e^ε − 1)) for k.

    Dwork and Roth 2014, "The Algorithmic Foundations of Differential Privacy", section 2.3, with the sum written out.
    Every δ' with a sum of at most δ gives a bound; the largest one, by bisection of its logarithm, is taken.
    """
    curve = accounting.renyi_curve(merged)

    def excess(log_delta: float) -> float:
        one = curve(math.exp(log_delta))
        return log_delta + _log_expm1(k * one) - _log_expm1(one) - math.log(delta)

    fits, fails = _LEAST_LOG_DELTA, math.log(delta)
    if not excess(fits) <= 0:
        return math.inf
    for _ in range(40):
        middle = (fits + fails) / 2
        fits, fails = (middle, fails) if excess(middle) <= 0 else (fits, middle)
    return k * curve(math.exp(fits))


def _log_expm1(x: float) -> float:
    """log(e^x − 1) without overflow, and no less than the logarithm of the smallest float."""
    return x + math.log(max(-math.expm1(-x), 5e-324))


__all__ = ["BoundMethod", "MAX_RECORDS", "patient_epsilon", "PatientBound"]
