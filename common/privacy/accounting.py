"""What was spent: a history of events, composed once.

Every epsilon here is for the neighbouring relation "add or remove one unit". All events of an account are composed
together; adding up the epsilons of runs would be wrong by a factor and double the delta. ``epsilon`` is dp-accounting's
privacy-loss distribution, pessimistic, in steps of 1e-4; ``epsilon_rdp`` is an upper bound by Rényi divergences, which
stays valid when later parameters were chosen from earlier results (Feldman and Zrnic 2021).

An event's meaning never changes; a new meaning is a new class. dp-accounting is imported on the first computation.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.privacy import _strict_json

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

NEIGHBOURS = "add or remove one unit"
"""The relation that every epsilon of this module is for, as reports print it."""
DISCRETISATION = 1e-4
MAX_PLD_EPSILON = 200.0
"""Where the Rényi bound is above, it stands: the finer account would take gigabytes to say that nothing is private."""
MIN_DELTA = 1e-12
"""Below it the rounding of the finer account decides, not the mechanism."""
NOISE_RANGE = (1e-2, 1e6)
"""Of noise multipliers and Laplace scales: below, nothing is private; above, one release moves less than rounding."""
MIN_SAMPLE_RATE = 1e-9
MAX_STEPS = 100_000_000
MAX_RELEASES = 1_000_000
"""Counts far above any run's, so that whatever another party writes is accounted for in seconds."""
MAX_EVENTS = 100_000
MAX_MECHANISMS = 1_000
"""Different mechanisms in one history: each costs up to 0.1 s of the Rényi bound."""
_MAX_EVENTS_BYTES = 16 << 20

# Where the finer account does not fit, the Rényi bound stands instead; it is above, never below.
_MAX_PLD_STEPS = 1_000_000
_MAX_PLD_MECHANISMS = 64
_MAX_PLD_POINTS = 500_000
"""Of one step's losses: 3 s and 0.1 GB (measured)."""
_TAIL = 9.7
"""Standard deviations beyond which dp-accounting cuts: a mass of exp(-50)."""
_STEP_ROUNDING = 2.0**-50
"""Taken off delta for each step composed: 40 times the error of the transforms that 1e4 Gaussian steps show."""
_MECHANISM_ROUNDING = 2.0**-46
_RENYI_ROUNDING = 1e-11
"""Added to every order for each step: the series of fractional orders end at exp(-30), over an order of 1.1 less 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoissonGaussian:
    """``num_steps`` sums of clipped units, each drawn with ``sample_rate``; the noise is ``noise_multiplier`` clips."""

    sample_rate: float
    noise_multiplier: float
    num_steps: int

    def __post_init__(self) -> None:
        _within(MIN_SAMPLE_RATE, 1.0, sample_rate=self.sample_rate)
        _within(*NOISE_RANGE, noise_multiplier=self.noise_multiplier)
        _whole(MAX_STEPS, num_steps=self.num_steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gaussian:
    """``num_releases`` queries on all units; the noise is ``noise_multiplier`` times the L2 sensitivity."""

    noise_multiplier: float
    num_releases: int

    def __post_init__(self) -> None:
        _within(*NOISE_RANGE, noise_multiplier=self.noise_multiplier)
        _whole(MAX_RELEASES, num_releases=self.num_releases)


@dataclass(frozen=True, kw_only=True, slots=True)
class Laplace:
    """``num_releases`` queries on all units; the noise has ``scale`` times the L1 sensitivity."""

    scale: float
    num_releases: int

    def __post_init__(self) -> None:
        _within(*NOISE_RANGE, scale=self.scale)
        _whole(MAX_RELEASES, num_releases=self.num_releases)


PrivacyEvent: TypeAlias = PoissonGaussian | Gaussian | Laplace

_KINDS: dict[str, type[PrivacyEvent]] = {
    "poisson_gaussian/1": PoissonGaussian,
    "gaussian/1": Gaussian,
    "laplace/1": Laplace,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def merge(history: Iterable[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """The same history with equal mechanisms counted together, in a fixed order.

    Raises:
        PrivacyError: something that is not an event of this module, too many different mechanisms, or one counted
            more often than an event can hold.
    """
    counts: dict[PrivacyEvent, int] = {}
    for event in history:
        one = _once(event)
        counts[one] = counts.get(one, 0) + _count(event)
    if len(counts) > MAX_MECHANISMS:
        raise PrivacyError(f"more than {MAX_MECHANISMS} different mechanisms")
    try:
        return tuple(_times(one, counts[one]) for one in sorted(counts, key=_order))
    except ConfigError as error:
        raise PrivacyError(f"a mechanism in sum: {error.message}") from error


def epsilon(history: Iterable[PrivacyEvent], delta: float) -> float:
    """Epsilon of the composed history at ``delta``; 0 for an empty one.

    It is the Rényi bound, which is above, where the finer account would be above 200, does not fit into seconds and
    half a gigabyte, or would be rounding at that ``delta``.

    Raises:
        ConfigError: ``delta`` outside [1e-12, 1).
        PrivacyError: a history that ``merge`` refuses.
    """
    check_delta(delta)
    return _epsilon(merge(history), delta)


def epsilon_rdp(history: Iterable[PrivacyEvent], delta: float) -> float:
    """An upper bound by Rényi divergences, mostly looser, printed beside ``epsilon``; raises alike."""
    check_delta(delta)
    return _epsilon_rdp(merge(history), delta)


def check_delta(delta: float) -> None:
    """Refuse a delta outside [1e-12, 1).

    Raises:
        ConfigError: so it is; NaN too.
    """
    if not MIN_DELTA <= delta < 1:
        raise ConfigError(f"delta = {delta!r}: expected a number of at least {MIN_DELTA:g} and below 1")


def event_to_dict(event: PrivacyEvent) -> dict[str, Any]:
    """The JSON object of an event; its ``event`` names class and version."""
    _require_event(event)
    numbers = {name: value if name.startswith("num_") else float(value) for name, value in asdict(event).items()}
    return {"event": _NAMES[type(event)], **numbers}


def event_from_dict(value: object) -> PrivacyEvent:
    """The inverse of ``event_to_dict``.

    Raises:
        PrivacyError: an unknown event, a field too few or too many, or a value that cannot be.
    """
    kind = _KINDS.get(str(value.get("event"))) if isinstance(value, dict) else None
    if kind is None:
        raise PrivacyError("an unknown privacy event")
    names = kind.__dataclass_fields__
    types: dict[str, type] = {name: int if name.startswith("num_") else float for name in names}
    numbers = _strict_json.fields(value, {"event": str, **types}, "a privacy event")
    try:
        return kind(**{name: numbers[name] for name in names})
    except ConfigError as error:
        raise PrivacyError(f"a privacy event: {error.message}") from error


def history_to_json(history: Iterable[PrivacyEvent]) -> bytes:
    """A JSON list of events, in their order."""
    return json.dumps([event_to_dict(event) for event in history], allow_nan=False).encode()


def history_from_json(raw: bytes) -> tuple[PrivacyEvent, ...]:
    """The inverse of ``history_to_json``.

    Raises:
        PrivacyError: not such a list.
    """
    if len(raw) > _MAX_EVENTS_BYTES:
        raise PrivacyError("the history is too long")
    events = _strict_json.parse(raw, "the history")
    if not isinstance(events, list):
        raise PrivacyError("the history must be a list")
    if len(events) > MAX_EVENTS:
        raise PrivacyError("the history is too long")
    return tuple(event_from_dict(event) for event in events)


# ---------------------------------------------------------------------------------------------------- composition


def epsilon_at(merged: tuple[PrivacyEvent, ...], delta: float, discretisation: float) -> float:
    """Epsilon of a merged history with losses in steps of ``discretisation``: coarser is faster and looser."""
    if not merged:
        return 0.0
    rounding = rounding_of(merged)
    if rounding > 0.5 * delta or not _fits(merged, discretisation):
        return _epsilon_rdp(merged, delta)
    if _is_loud(merged):
        bound = _epsilon_rdp(merged, delta)
        if not bound <= MAX_PLD_EPSILON:
            return bound
    whole = distribution_of(merged[0], discretisation)
    for event in merged[1:]:
        whole = whole.compose(distribution_of(event, discretisation))
    return float(whole.get_epsilon_for_delta(delta - rounding))


def rounding_of(merged: tuple[PrivacyEvent, ...]) -> float:
    """What composing the losses numerically may be off by, in delta."""
    return sum(map(_convolutions, merged)) * _STEP_ROUNDING + len(merged) * _MECHANISM_ROUNDING


@lru_cache(maxsize=512)
def _epsilon(merged: tuple[PrivacyEvent, ...], delta: float) -> float:
    return epsilon_at(merged, delta, DISCRETISATION)


@lru_cache(maxsize=32)
def distribution_of(event: PrivacyEvent, discretisation: float) -> PrivacyLossDistribution:
    """Of all of the event's releases, pessimistic on a grid of ``discretisation``."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    if isinstance(event, Laplace):
        one = pld.from_laplace_mechanism(event.scale, value_discretization_interval=discretisation)
        return one.self_compose(event.num_releases)
    if isinstance(event, Gaussian) or event.sample_rate == 1:
        # n Gaussians are one of sigma / sqrt(n), exactly; composing them numerically would add rounding.
        deviation = event.noise_multiplier / math.sqrt(_count(event))
        return pld.from_gaussian_mechanism(deviation, value_discretization_interval=discretisation)
    return _one_step(event.sample_rate, event.noise_multiplier, discretisation).self_compose(event.num_steps)


@lru_cache(maxsize=16)
def _one_step(sample_rate: float, noise_multiplier: float, discretisation: float) -> PrivacyLossDistribution:
    from dp_accounting.pld import privacy_loss_distribution as pld

    return pld.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sample_rate, value_discretization_interval=discretisation
    )


@lru_cache(maxsize=512)
def _epsilon_rdp(merged: tuple[PrivacyEvent, ...], delta: float) -> float:
    return renyi_curve(merged)(delta)


def renyi_curve(merged: tuple[PrivacyEvent, ...]) -> Callable[[float], float]:
    """The Rényi bound of a merged history as a function of delta, for any delta above 0."""
    if not merged:
        return lambda delta: 0.0
    from dp_accounting import dp_event, rdp

    logging.getLogger("absl").addFilter(_is_no_lost_order)
    accountant = rdp.RdpAccountant()
    for event in merged:
        if isinstance(event, Laplace):
            inner = dp_event.LaplaceDpEvent(event.scale)
        elif isinstance(event, Gaussian):
            inner = dp_event.GaussianDpEvent(event.noise_multiplier)
        else:
            gaussian = dp_event.GaussianDpEvent(event.noise_multiplier)
            inner = dp_event.PoissonSampledDpEvent(event.sample_rate, gaussian)
        accountant.compose(inner, _count(event))
        accountant.compose(dp_event.ZCDpEvent(rho=0.0, xi=_RENYI_ROUNDING * _count(event)))
    return lambda delta: float(accountant.get_epsilon(delta))


# ---------------------------------------------------------------------------------------------------- small parts


def _fits(merged: tuple[PrivacyEvent, ...], discretisation: float) -> bool:
    """Whether the finer account takes bounded time and memory."""
    return (
        len(merged) <= _MAX_PLD_MECHANISMS
        and sum(map(_convolutions, merged)) <= _MAX_PLD_STEPS
        and all(_loss_range(event) <= _MAX_PLD_POINTS * discretisation for event in merged)
    )


def _convolutions(event: PrivacyEvent) -> int:
    """How often the losses of ``event`` are composed numerically; Gaussians on all units are one, exactly."""
    if isinstance(event, Gaussian) or (isinstance(event, PoissonGaussian) and event.sample_rate == 1):
        return 1
    return _count(event)


def _loss_range(event: PrivacyEvent) -> float:
    """Largest less smallest loss that dp-accounting keeps of the distribution that it starts from, about."""
    if isinstance(event, Laplace):
        return 2.0 / event.scale
    if isinstance(event, Gaussian) or event.sample_rate == 1:
        return 2.0 * _TAIL * math.sqrt(_count(event)) / event.noise_multiplier
    largest = _TAIL / event.noise_multiplier + 0.5 * event.noise_multiplier**-2
    # log(1 - q + q exp(largest)) without overflow, and -log(1 - q)
    above = max(0.0, largest + math.log(event.sample_rate)) + math.log(2.0)
    return above - math.log1p(-event.sample_rate)


def _is_loud(merged: tuple[PrivacyEvent, ...]) -> bool:
    """Whether the fine account might be huge: half of mu² of the normal approximation, at a quarter of the limit.

    A rule of thumb that only says when to ask the Rényi bound; that one decides.
    """
    total = 0.0
    for event in merged:
        if isinstance(event, Laplace):
            total += event.num_releases / event.scale
        else:
            rate = event.sample_rate if isinstance(event, PoissonGaussian) else 1.0
            total += 0.5 * rate**2 * _count(event) * math.expm1(min(event.noise_multiplier**-2, 700.0))
    return total > 0.25 * MAX_PLD_EPSILON


def _is_no_lost_order(record: logging.LogRecord) -> bool:
    """Whether a line of dp-accounting's log should show: a Rényi order left out makes the bound looser, not wrong."""
    return "failed to converge" not in str(record.msg)


def _within(low: float, high: float, **values: float) -> None:
    for name, value in values.items():
        if not low <= value <= high:  # this way round NaN is refused
            raise ConfigError(f"{name} = {value!r}: expected a number from {low:g} to {high:g}")


def _whole(most: int, **values: int) -> None:
    for name, value in values.items():
        if type(value) is not int or not 1 <= value <= most:  # not isinstance: true is no count
            raise ConfigError(f"{name} = {value!r}: expected a whole number from 1 to {most}")


def _require_event(event: object) -> None:
    if type(event) not in _NAMES:
        raise PrivacyError(f"{type(event).__name__} is no privacy event; nothing else can be accounted for")


def _count(event: PrivacyEvent) -> int:
    return event.num_steps if isinstance(event, PoissonGaussian) else event.num_releases


def _times(event: PrivacyEvent, count: int) -> PrivacyEvent:
    if isinstance(event, PoissonGaussian):
        return replace(event, num_steps=count)
    return replace(event, num_releases=count)


def _once(event: PrivacyEvent) -> PrivacyEvent:
    _require_event(event)
    return _times(event, 1)


def _order(event: PrivacyEvent) -> tuple[str, tuple[float, ...]]:
    return _NAMES[type(event)], tuple(asdict(event).values())


__all__ = [
    "check_delta",
    "DISCRETISATION",
    "distribution_of",
    "epsilon",
    "epsilon_at",
    "epsilon_rdp",
    "event_from_dict",
    "event_to_dict",
    "Gaussian",
    "history_from_json",
    "history_to_json",
    "Laplace",
    "MAX_EVENTS",
    "MAX_MECHANISMS",
    "MAX_PLD_EPSILON",
    "MAX_RELEASES",
    "MAX_STEPS",
    "merge",
    "MIN_DELTA",
    "MIN_SAMPLE_RATE",
    "NEIGHBOURS",
    "NOISE_RANGE",
    "PoissonGaussian",
    "PrivacyEvent",
    "renyi_curve",
    "rounding_of",
]
