"""The accountant: known answers, the cross-check, what may not change, what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import (
    Gaussian,
    Laplace,
    PoissonGaussian,
    PrivacyEvent,
    epsilon,
    epsilon_rdp,
    history_from_json,
    history_to_json,
    merge,
)


def steps(sample_rate: float, noise: float, num_steps: int) -> PoissonGaussian:
    return PoissonGaussian(sample_rate=sample_rate, noise_multiplier=noise, num_steps=num_steps)


THREE_RUNS = (steps(0.01, 0.8, 500), steps(0.02, 1.2, 300), steps(0.1, 4.0, 50))

# dp-accounting 0.6.0, ADD_OR_REMOVE_ONE: (history, delta, PLD, RDP).
KNOWN: list[tuple[tuple[PoissonGaussian, ...], float, float, float]] = [
    ((steps(0.01, 0.8, 1000),), 1e-5, 3.14102, 3.69561),
    ((steps(0.01, 0.8, 1000),), 1e-6, 3.70619, 4.29346),
    ((steps(0.01, 1.1, 3000),), 1e-5, 2.67549, 2.93314),
    ((steps(0.02, 1.0, 500),), 1e-6, 3.21358, 3.60259),
    ((steps(0.1, 2.0, 300),), 1e-5, 4.18330, 4.56430),
    ((steps(0.2, 1.0, 100),), 1e-5, 14.52752, 16.08166),
    ((steps(0.5, 5.0, 50),), 1e-5, 3.04126, 3.30983),
    ((steps(1.0, 5.0, 10),), 1e-5, 2.59438, 2.81365),
    ((steps(1.0, 20.0, 1),), 1e-6, 0.18921, 0.21876),
    (THREE_RUNS, 1e-6, 3.37233, 3.95775),
]
IDS = [f"{history[0].sample_rate:g}-{history[0].noise_multiplier:g}-{delta:g}" for history, delta, _, _ in KNOWN]


@pytest.mark.parametrize(("history", "delta", "pld", "rdp"), KNOWN, ids=IDS)
def test_epsilon_has_its_known_value(
    history: tuple[PoissonGaussian, ...], delta: float, pld: float, rdp: float
) -> None:
    assert epsilon(history, delta) == pytest.approx(pld, abs=1e-3)
    assert epsilon_rdp(history, delta) == pytest.approx(rdp, abs=1e-3)


@pytest.mark.parametrize(("history", "delta"), [row[:2] for row in KNOWN], ids=IDS)
@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha:UserWarning")
@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")  # in Opacus, at a rate of 1
def test_opacus_prv_is_an_upper_bound_close_by(history: tuple[PoissonGaussian, ...], delta: float) -> None:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(event.noise_multiplier, event.sample_rate, event.num_steps) for event in history]
    assert 0 <= accountant.get_epsilon(delta=delta) - epsilon(history, delta) <= 0.02


@pytest.mark.parametrize(("event", "alone"), [*zip(THREE_RUNS, [2.92515, 1.77899, 0.79505], strict=True)])
def test_a_run_alone_has_its_known_value(event: PoissonGaussian, alone: float) -> None:
    assert epsilon([event], 1e-6) == pytest.approx(alone, abs=1e-3)


def test_a_history_is_composed_and_not_added_up() -> None:
    apart = sum(epsilon([event], 1e-6) for event in THREE_RUNS)
    assert apart == pytest.approx(5.50, abs=0.01)
    assert epsilon(THREE_RUNS, 1e-6) < apart - 1


def test_what_is_printed_is_add_or_remove_and_not_replace_one() -> None:
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    other = PLDAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
    other.compose(PoissonSampledDpEvent(0.01, GaussianDpEvent(0.8)), 1000)
    assert other.get_epsilon(1e-5) == pytest.approx(4.22800, abs=1e-3)
    assert epsilon([steps(0.01, 0.8, 1000)], 1e-5) == pytest.approx(3.14102, abs=1e-3)


def test_the_normal_approximation_would_book_too_little() -> None:
    # What Opacus' GDP accountant calibrates for epsilon 3 truly costs more.
    assert epsilon([steps(0.01, 0.9998, 3000)], 1e-5) == pytest.approx(3.194, abs=1e-3)


def test_nothing_spent_costs_nothing() -> None:
    assert epsilon([], 1e-5) == 0.0
    assert epsilon_rdp([], 1e-5) == 0.0


@pytest.mark.parametrize("pieces", [(99, 1), (50, 30, 20), (1,) * 100])
def test_splitting_an_event_changes_nothing(pieces: tuple[int, ...]) -> None:
    assert epsilon([steps(0.1, 2.0, n) for n in pieces], 1e-5) == epsilon([steps(0.1, 2.0, 100)], 1e-5)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_any_split_of_an_event_costs_the_same(pieces: list[int]) -> None:
    whole = epsilon([steps(0.1, 2.0, sum(pieces))], 1e-5)
    assert epsilon([steps(0.1, 2.0, n) for n in pieces], 1e-5) == whole


@given(rate=st.floats(0.01, 0.5), noise=st.floats(0.8, 8.0), num_steps=st.integers(1, 200), factor=st.floats(1.05, 1.5))
@settings(deadline=None, derandomize=True, max_examples=10)
def test_epsilon_grows_whichever_parameter_gets_worse(rate: float, noise: float, num_steps: int, factor: float) -> None:
    def cost(event: PoissonGaussian) -> float:
        return accounting.epsilon_at(merge([event]), 1e-5, 1e-3)

    base = cost(steps(rate, noise, num_steps))
    assert cost(steps(rate, noise, num_steps + max(1, num_steps // 10))) >= base
    assert cost(steps(rate * factor, noise, num_steps)) >= base
    assert cost(steps(rate, noise / factor, num_steps)) >= base


def test_the_order_of_events_changes_nothing() -> None:
    assert epsilon(THREE_RUNS, 1e-6) == epsilon(THREE_RUNS[::-1], 1e-6)


@pytest.mark.parametrize(
    "more", [steps(0.1, 2.0, 60), steps(0.12, 2.0, 50), steps(0.1, 1.8, 50)], ids=["steps", "rate", "noise"]
)
def test_epsilon_grows_with_steps_and_rate_and_falls_with_noise(more: PoissonGaussian) -> None:
    assert epsilon([more], 1e-5) > epsilon([steps(0.1, 2.0, 50)], 1e-5)


def test_epsilon_falls_as_delta_grows() -> None:
    assert epsilon([steps(0.1, 2.0, 50)], 1e-4) < epsilon([steps(0.1, 2.0, 50)], 1e-6)


def test_a_rate_of_one_is_the_plain_gaussian() -> None:
    assert epsilon([steps(1.0, 5.0, 10)], 1e-5) == epsilon([Gaussian(noise_multiplier=5.0, num_releases=10)], 1e-5)


def test_a_laplace_release_costs_at_most_its_pure_epsilon() -> None:
    cost = epsilon([Laplace(scale=2.0, num_releases=1)], 1e-6)
    assert cost == pytest.approx(0.5, abs=2e-3)
    assert epsilon([Laplace(scale=2.0, num_releases=4)], 1e-6) <= 4 * 0.5 + 1e-3


def test_a_probe_round_beside_a_run_is_composed() -> None:
    run, probe = steps(0.1, 2.402, 200), Gaussian(noise_multiplier=20.0, num_releases=1)
    assert epsilon([run], 1e-6) == pytest.approx(3.0003, abs=1e-4)
    assert epsilon([run, probe], 1e-6) == pytest.approx(3.0096, abs=1e-4)


def test_hardly_any_noise_is_told_as_hardly_any_privacy_rather_than_a_crash() -> None:
    history = [steps(0.5, 0.2, 1000)]
    assert epsilon(history, 1e-5) == epsilon_rdp(history, 1e-5) > accounting.MAX_PLD_EPSILON


def test_the_renyi_bound_is_never_below() -> None:
    for history, delta, _, _ in KNOWN:
        assert epsilon_rdp(history, delta) >= epsilon(history, delta)


@pytest.mark.parametrize("delta", [1e-6, 1e-9, 1e-10, 1e-11, 1e-12])
@pytest.mark.parametrize("num_steps", [10, 10_000, 300_000])
def test_rounding_never_takes_the_account_below_the_truth(num_steps: int, delta: float) -> None:
    # Gaussians on all units at a rate just below one: composed numerically, and hardly less than mu = 1 exactly.
    rate = 1 - 1e-9
    truth = exact_gaussian_epsilon(1.0, delta)
    found = epsilon([steps(rate, math.sqrt(num_steps), num_steps)], delta)
    assert truth - 1e-6 <= found <= 1.3 * truth


def exact_gaussian_epsilon(mu: float, delta: float) -> float:
    """Of a Gaussian mechanism (paper 1805.06530, theorem 8), by bisection."""

    def below(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))  # relative accuracy in the tail too

    low, high = 0.0, 50.0 * mu
    for _ in range(80):
        middle = (low + high) / 2
        reached = below(mu / 2 - middle / mu) - math.exp(middle) * below(-mu / 2 - middle / mu)
        low, high = (middle, high) if reached > delta else (low, middle)
    return high


def test_a_whisper_repeated_often_costs_more_than_nothing_by_the_renyi_bound() -> None:
    # The divergence of a step is below the rounding of the series; it came out negative and was taken for zero.
    quiet = [steps(1e-3, 1e6, 100_000_000)]
    assert epsilon(quiet, 1e-7) >= exact_gaussian_epsilon(1e-5, 1e-7) > 0


_CORNERS = """
import itertools, pathlib, sys
from fedward.common.privacy import accounting as a
low, high = a.NOISE_RANGE
kind = sys.argv[1]
if kind == "poisson":
    grid = itertools.product((1e-9, 1e-4, 0.5, 1 - 1e-9, 1.0), (low, 0.1, 0.3, 1.0, 100.0, high), (1, 10**4, 10**8))
    events = [a.PoissonGaussian(sample_rate=q, noise_multiplier=s, num_steps=n) for q, s, n in grid]
else:
    made = [lambda s, n: a.Gaussian(noise_multiplier=s, num_releases=n)]
    made += [lambda s, n: a.Laplace(scale=s, num_releases=n)]
    events = [make(s, n) for make in made for s in (low, 0.05, 0.5, 1.0, 1e3, high) for n in (1, 1000, 10**6)]
a.epsilon_rdp(events[:1], 0.5)  # imports
for event in events:
    bound, found = a.epsilon_rdp([event], 1e-6), a.epsilon([event], 1e-6)
    assert 0 <= found <= bound + 0.05, (event, found, bound)  # steps of 1e-4 are coarse for the smallest losses
# Not ru_maxrss: that one is handed down by the process that started this one.
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poisson", "releases"])
def test_every_corner_of_what_parses_is_accounted_for_in_bounded_time_and_memory(kind: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _CORNERS, kind],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        timeout=300,  # some fifty events of at most a few seconds each; one without bound would never end
    )
    assert float(ran.stdout) < 1000  # MiB: caches of several events, and about 150 of libraries


def test_many_different_mechanisms_are_bounded_by_renyi() -> None:
    history = [steps(0.01, 2.0 + i / 100, 10) for i in range(65)]
    assert epsilon(history, 1e-5) == epsilon_rdp(history, 1e-5)


def test_more_mechanisms_than_can_be_accounted_for_are_refused() -> None:
    with pytest.raises(PrivacyError, match="more than 1000 different"):
        epsilon([steps(0.01, 2.0 + i / 1000, 10) for i in range(1001)], 1e-5)


def test_a_sum_of_counts_that_no_event_can_hold_is_refused() -> None:
    with pytest.raises(PrivacyError, match="num_steps"):
        epsilon([steps(0.01, 2.0, accounting.MAX_STEPS), steps(0.01, 2.0, 1)], 1e-5)


# ---------------------------------------------------------------------------------------------------- values

BAD = [0.0, -1.0, math.nan, math.inf]


@pytest.mark.parametrize("value", [*BAD, 1.0001, 1e-200, 9.9e-10])
def test_a_sample_rate_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="sample_rate"):
        steps(value, 1.0, 1)


@pytest.mark.parametrize("value", [*BAD, 1e-200, 0.0099, 1.1e6, 1e200])
def test_a_noise_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="noise_multiplier"):
        steps(0.1, value, 1)
    with pytest.raises(ConfigError, match="noise_multiplier"):
        Gaussian(noise_multiplier=value, num_releases=1)
    with pytest.raises(ConfigError, match="scale"):
        Laplace(scale=value, num_releases=1)


@pytest.mark.parametrize("value", [0, -1, 1.0, True])
def test_a_count_that_is_none_is_refused(value: int) -> None:
    with pytest.raises(ConfigError, match="num_steps"):
        steps(0.1, 1.0, value)


def test_a_count_beyond_any_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_steps"):
        steps(0.1, 1.0, 100_000_001)
    with pytest.raises(ConfigError, match="num_releases"):
        Gaussian(noise_multiplier=1.0, num_releases=1_000_001)
    with pytest.raises(ConfigError, match="num_releases"):
        Laplace(scale=1.0, num_releases=1_000_001)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, 9.9e-13, 5e-324])
def test_a_delta_that_cannot_be_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        epsilon([steps(0.1, 1.0, 1)], delta)


def test_events_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        steps(0.1, 1.0, 1).num_steps = 2  # type: ignore[misc]


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(PrivacyError, match="no privacy event"):
        epsilon([(1.0, 1e-5)], 1e-5)  # type: ignore[list-item]


@given(
    st.lists(st.sampled_from([steps(0.1, 1.0, 1), steps(0.2, 1.0, 3), Gaussian(noise_multiplier=2.0, num_releases=1)]))
)
@settings(deadline=None, derandomize=True)
def test_merging_twice_is_merging_once_and_loses_no_step(history: list[PrivacyEvent]) -> None:
    merged = merge(history)
    assert merge(merged) == merged

    def total(events: list[PrivacyEvent] | tuple[PrivacyEvent, ...]) -> int:
        return sum(e.num_steps if isinstance(e, PoissonGaussian) else e.num_releases for e in events)

    assert total(merged) == total(history)
    assert len({replace(e, num_steps=1) for e in merged if isinstance(e, PoissonGaussian)}) <= 2


# ---------------------------------------------------------------------------------------------------- JSON

rates = st.floats(min_value=1e-9, max_value=1.0)
noises = st.floats(min_value=1e-2, max_value=1e6)
counts = st.integers(1, 10**6)
events = st.one_of(
    st.builds(PoissonGaussian, sample_rate=rates, noise_multiplier=noises, num_steps=counts),
    st.builds(Gaussian, noise_multiplier=noises, num_releases=counts),
    st.builds(Laplace, scale=noises, num_releases=counts),
)


@given(st.lists(events, max_size=5))
@settings(deadline=None, derandomize=True)
def test_a_history_survives_its_json(history: list[PrivacyEvent]) -> None:
    assert history_from_json(history_to_json(history)) == tuple(history)


GOOD = '{"event": "poisson_gaussian/1", "sample_rate": 0.1, "noise_multiplier": 1.0, "num_steps": 3}'


def test_the_written_form_is_pinned() -> None:
    assert history_to_json([steps(0.1, 1, 3)]) == f"[{GOOD}]".encode()


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        f"[{GOOD}",
        "[" + GOOD.replace("gaussian/1", "gaussian/2") + "]",
        "[" + GOOD.replace("0.1", "NaN") + "]",
        "[" + GOOD.replace("0.1", "1e999") + "]",
        "[" + GOOD.replace("0.1", "1.5") + "]",
        "[" + GOOD.replace("0.1", "true") + "]",
        "[" + GOOD.replace("3}", "3.0}") + "]",
        "[" + GOOD.replace("3}", "0}") + "]",
        "[" + GOOD.replace("3}", "true}") + "]",
        "[" + GOOD.replace("3}", '3, "extra": 1}') + "]",
        "[" + GOOD.replace("3}", '3, "num_steps": 4}') + "]",
        "[" + GOOD.replace('"sample_rate": 0.1, ', "") + "]",
        "[7]",
        "\xff",
    ],
)
def test_json_that_is_not_exactly_a_history_is_refused(raw: str) -> None:
    with pytest.raises(PrivacyError):
        history_from_json(raw.encode("latin-1"))


def test_a_history_of_too_many_events_or_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "MAX_EVENTS", 2)
    assert len(history_from_json(f"[{GOOD}, {GOOD}]".encode())) == 2
    with pytest.raises(PrivacyError, match="too long"):
        history_from_json(f"[{GOOD}, {GOOD}, {GOOD}]".encode())
    with pytest.raises(PrivacyError, match="too long"):
        history_from_json(b"[]" + b" " * (16 << 20))


def test_dp_accounting_is_imported_only_when_something_is_computed() -> None:
    code = (
        "import sys, fedward.common.ledger.budget, fedward.common.privacy.calibration\n"
        "sys.exit(any(name in sys.modules for name in ('dp_accounting', 'scipy', 'torch')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


def test_a_renyi_order_that_is_left_out_makes_no_noise_on_the_console(caplog: pytest.LogCaptureFixture) -> None:
    accounting._epsilon_rdp.cache_clear()
    assert epsilon_rdp([steps(0.1, 1.0, 7)], 1e-5) > 0
    assert not caplog.records
