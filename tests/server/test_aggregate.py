import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.agreement import cohort_facts, planned_train
from fedward.common.config import RunPlan, TensorSpec
from fedward.common.errors import ProtocolError, RunError
from fedward.common.lora import adapters
from fedward.common.model_state import (
    AllMoments,
    FedAdam,
    FedAvg,
    Moments,
    ServerState,
    mean_update,
    round_noise_variance,
    server_optimizer,
)
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.plain import quantiser_of
from fedward.server.aggregate import clamped_share, update_norm
from tests.federation_simulator import Federation, make_plan

Matrix = NDArray[np.float64]

A, B = "m.q_proj.lora_A.weight", "m.q_proj.lora_B.weight"
LAYOUT = (TensorSpec(name=A, shape=(4, 9)), TensorSpec(name=B, shape=(6, 4)))
RANKS = {"a": 1, "b": 2, "c": 4, "d": 4}
NO_NOISE = np.zeros(4)


def drawn(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers that repeat."""
    return np.random.default_rng(seed).standard_normal(shape)  # noqa: TID251 - no privacy hangs on it


def plan_of(*, lora: dict[str, Any] | None = None, ranks: dict[str, int] | None = None, **changes: Any) -> RunPlan:  # noqa: ANN401
    """Four sites of different rank on one pair of factors of rank 4."""
    sites = [
        {"id": site, "nominal_units": 100 * (i + 1), "rank": rank}
        for i, (site, rank) in enumerate((ranks or RANKS).items())
    ]
    return make_plan(
        lora={"rank": 4, **(lora or {})},
        layout=[spec.model_dump(mode="json") for spec in LAYOUT],
        sites=sites,
        **changes,
    )


# ---------------------------------------------------------------------------------------------------- mean


def opened(plan: RunPlan, updates: dict[str, Matrix], *, round_number: int = 1) -> tuple[Any, CohortSum]:
    """The facts of a round and the sum of what sites would send, rounded to the ring without dither."""
    federation = Federation(plan, sites=tuple(RANKS))
    message = planned_train(plan, federation.position(round_number), tuple(RANKS), bytes(32))
    facts = cohort_facts(federation.position(round_number), message)
    scale = 2.0 ** quantiser_of(facts).scale_log2
    total = np.sum([np.round(update.reshape(-1) * scale) for update in updates.values()], axis=0)
    return facts, CohortSum(total=total.astype(np.int32).view("<u4"), survivors=tuple(updates))


@pytest.mark.parametrize(("method", "round_number", "name"), [("ffa", 1, B), ("alternate", 2, A)])
@pytest.mark.parametrize("weights", ["uniform", "declared"])
def test_each_column_is_divided_by_the_weights_of_those_who_train_it(
    method: str, round_number: int, name: str, weights: str
) -> None:
    plan = plan_of(lora={"aggregation": method}, secagg={"weights": weights})
    shape = {spec.name: spec.shape for spec in LAYOUT}[name]
    weight_of = {site: 1.0 if weights == "uniform" else (i + 1) / 4 for i, site in enumerate(RANKS)}
    sent: dict[str, Matrix] = {}
    expected, divisor = np.zeros(shape), np.zeros(4)
    for i, (site, rank) in enumerate(RANKS.items()):
        update = 0.1 * drawn(i, *shape)
        trained = np.arange(4) < rank
        update *= trained[np.newaxis, :] if name == B else trained[:, np.newaxis]
        sent[site] = weight_of[site] * update
        expected += sent[site]
        divisor += weight_of[site] * trained
    expected /= divisor[np.newaxis, :] if name == B else divisor[:, np.newaxis]
    mean = mean_update(plan, *opened(plan, sent, round_number=round_number))
    assert set(mean) == {name}
    assert np.abs(mean[name] - expected).max() < 1e-6
    assert update_norm(mean) == pytest.approx(float(np.linalg.norm(expected)), abs=1e-5)


def test_clamp_shows_in_the_columns_that_fewer_sites_train() -> None:
    plan = plan_of()
    update = np.zeros((6, 4))
    update[:, 2:] = 1.0  # the clamp itself, in the columns of c and d alone
    facts, found = opened(plan, {"a": np.zeros((6, 4)), "b": np.zeros((6, 4)), "c": update, "d": update})
    assert clamped_share(plan, facts, found) == 0.5


def test_update_norm_is_over_all_tensors() -> None:
    assert update_norm({A: np.array([[3.0]]), B: np.array([[4.0]])}) == 5.0


@pytest.mark.parametrize("survivors", [("a", "b", "c"), ("a", "b"), ("c",), ()])
def test_column_with_too_few_survivors_is_never_applied(survivors: Sequence[str]) -> None:
    plan = plan_of()
    facts, found = opened(plan, {site: np.zeros((6, 4)) for site in RANKS})
    short = CohortSum(total=found.total, survivors=tuple(survivors))
    with pytest.raises(ProtocolError) as caught:
        mean_update(plan, facts, short)
    assert caught.value.code == "ROUND_VOID"
    assert mean_update(plan, facts, CohortSum(total=found.total, survivors=("c", "d")))


# ---------------------------------------------------------------------------------------------------- noise


def test_known_variance_is_that_of_simulated_noise() -> None:
    for clip_norm in (0.1, 3.0):
        plan = plan_of(
            secagg={"weights": "declared"},
            privacy={"noise_multiplier": 2.0, "clip_norm": clip_norm},
            training={"sample_rate": 0.05, "steps_per_round": 7, "learning_rate": 0.3},
        )
        mean, divisor = np.zeros((40_000, 4)), np.zeros(4)
        for i, rank in enumerate(RANKS.values()):
            nominal, weight = 100 * (i + 1), (i + 1) / 4
            for step in range(7):
                # One step: rate η/C, noise σC on the sum, divided by L = q·N₀.
                gradient = 2.0 * clip_norm * drawn(100 * i + step, 40_000, rank) / (0.05 * nominal)
                mean[:, :rank] -= weight * 0.3 / clip_norm * gradient
            divisor[:rank] += weight
        found = round_noise_variance(plan, tuple(RANKS))
        assert (mean / divisor).var(axis=0) == pytest.approx(found, rel=0.04)


NOT_KNOWN: dict[str, dict[str, Any]] = {
    "no privacy": {"privacy": {"mode": "none"}},
    "no noise yet": {"privacy": {"noise_multiplier": None}},
    "local adamw": {"training": {"optimizer": "adamw"}},
    "switched off": {"server": {"noise_correction": False}},
}


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_unknown_variance_counts_as_none(name: str) -> None:
    assert round_noise_variance(plan_of(), tuple(RANKS)).all()
    assert not round_noise_variance(plan_of(**NOT_KNOWN[name]), tuple(RANKS)).any()


# ---------------------------------------------------------------------------------------------------- optimisers


def test_federated_average_adds_the_mean_times_its_rate_and_remembers_nothing() -> None:
    adapter = {A: np.ones((4, 9), np.float32), B: np.full((6, 4), 2, np.float32)}
    after, moments = FedAvg(learning_rate=0.5).step(adapter, {B: np.full((6, 4), -4.0)}, NO_NOISE, {})
    assert after[B].dtype == np.float32
    assert (after[B] == 0).all()
    assert after[A] is adapter[A]
    assert moments == {}


def adam_by_hand(means: Sequence[float], noises: Sequence[float], *, rate: float, beta1: float, beta2: float) -> float:
    """One number's way under Adam, with the noise's variance taken off; DP-AdamBC in scalars."""
    value = m = v = nu = 0.0
    for t, (g, noise) in enumerate(zip(means, noises, strict=True), start=1):
        m, v, nu = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g, beta2 * nu + (1 - beta2) * noise
        m_hat, v_hat, nu_hat = m / (1 - beta1**t), v / (1 - beta2**t), nu / (1 - beta2**t)
        value += rate * m_hat / math.sqrt(max(v_hat - nu_hat, max(1e-16, 0.1 * nu_hat)))
    return value


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 0.99),
    st.floats(0, 0.999),
)
def test_adam_is_that_of_the_paper(means: list[float], noise: float, beta1: float, beta2: float) -> None:
    optimizer = FedAdam(learning_rate=0.25, beta1=beta1, beta2=beta2)
    adapter: adapters.Adapter = {B: np.zeros((1, 2), np.float32)}
    moments: AllMoments = {}
    values = np.zeros(2)
    for number, mean in enumerate(means, start=1):
        before = adapter[B].astype(np.float64)
        adapter, moments = optimizer.step(adapter, {B: np.array([[mean, -mean]])}, np.array([noise, 0.0]), moments)
        values += (adapter[B] - before)[0]
        assert moments[B].num_steps == number
    for index, (sign, variance) in enumerate([(1, noise), (-1, 0.0)]):
        expected = adam_by_hand(
            [sign * mean for mean in means], [variance] * len(means), rate=0.25, beta1=beta1, beta2=beta2
        )
        assert values[index] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def after_many_rounds(*, corrected: bool, signal: float, num_rounds: int = 400) -> tuple[Moments, Matrix]:
    """Moments and last step of 2000 coordinates with one signal in noise of variance 1."""
    optimizer = FedAdam(learning_rate=1.0)
    adapter: adapters.Adapter = {B: np.zeros((2000, 1), np.float32)}
    moments: AllMoments = {}
    variance = np.array([1.0 if corrected else 0.0])
    for number in range(num_rounds):
        before = adapter[B].astype(np.float64)
        adapter, moments = optimizer.step(adapter, {B: signal + drawn(number, 2000, 1)}, variance, moments)
    return moments[B], adapter[B] - before


def test_correction_takes_the_noise_off_the_second_moment() -> None:
    for signal in (0.0, 1.0):
        moments, _ = after_many_rounds(corrected=True, signal=signal)
        begun = 1 - 0.99**moments.num_steps
        plain, corrected = moments.second.mean() / begun, (moments.second - moments.noise).mean() / begun
        assert plain == pytest.approx(signal**2 + 1, rel=0.05)
        assert corrected == pytest.approx(signal**2, abs=0.05)


def test_corrected_step_is_nearer_to_the_one_without_noise() -> None:
    # Without noise Adam steps by its rate, here 1, whatever the signal.
    _, corrected = after_many_rounds(corrected=True, signal=1.0)
    _, plain = after_many_rounds(corrected=False, signal=1.0)
    assert plain.mean() == pytest.approx(1 / math.sqrt(2), rel=0.05)
    assert corrected.mean() == pytest.approx(1.0, rel=0.05)


def test_floor_bounds_the_step_on_pure_noise() -> None:
    _, step = after_many_rounds(corrected=True, signal=0.0)
    # The mean of noise has a deviation of √((1 − β₁)/(1 + β₁)) = 0.23; five of them over √0.1.
    assert np.abs(step).max() < 5 * 0.23 / math.sqrt(0.1)


def test_tensors_that_a_round_did_not_train_keep_their_moments() -> None:
    adapter: adapters.Adapter = {A: np.zeros((4, 9), np.float32), B: np.zeros((6, 4), np.float32)}
    optimizer = FedAdam()
    adapter, first = optimizer.step(adapter, {B: np.ones((6, 4))}, NO_NOISE, {})
    after, second = optimizer.step(adapter, {A: np.ones((4, 9))}, NO_NOISE, first)
    assert second[B] is first[B]
    assert second[A].num_steps == 1
    assert np.array_equal(after[B], adapter[B])
    assert set(first) == {B}, "a step must not change what it was given"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, FedAvg(learning_rate=1.0)),
        ({"learning_rate": 0.3}, FedAvg(learning_rate=0.3)),
        ({"optimizer": "fedadam"}, FedAdam(learning_rate=0.01, beta1=0.9, beta2=0.99)),
        (
            {"optimizer": "fedadam", "learning_rate": 1.0, "beta1": 0.0, "beta2": 0.5},
            FedAdam(learning_rate=1.0, beta1=0.0, beta2=0.5),
        ),
    ],
)
def test_plan_names_the_optimiser(server: dict[str, Any], expected: object) -> None:
    assert server_optimizer(make_plan(server=server)) == expected


# ---------------------------------------------------------------------------------------------------- state


def product(adapter: adapters.Adapter) -> Matrix:
    """B·A in float64."""
    return adapter[B].astype(np.float64) @ adapter[A].astype(np.float64)


EQUAL = dict.fromkeys(RANKS, 4)


def advanced(plan: RunPlan, num_rounds: int) -> list[ServerState]:
    """The states of a run in which every round has another mean."""
    states = [ServerState.start(plan)]
    for number in range(num_rounds):
        mean = {B: 0.1 * drawn(number, 6, 4)}
        states.append(states[-1].advanced(plan, mean, tuple(RANKS)))
    return states


def test_average_without_the_ring_is_exact() -> None:
    for method in ("ffa", "fedsvd"):
        states = advanced(plan_of(lora={"aggregation": method}), 3)
        for number, (before, after) in enumerate(itertools.pairwise(states)):
            expected = 0.1 * drawn(number, 6, 4) @ before.adapter[A].astype(np.float64)
            moved = product(after.adapter) - product(before.adapter)
            assert np.linalg.norm(moved - expected) <= 1e-6 * np.linalg.norm(expected)


def test_turn_moves_the_optimisers_state_with_the_columns() -> None:
    plan = plan_of(lora={"aggregation": "fedsvd"}, server={"optimizer": "fedadam"})
    before, after = advanced(plan, 2)[-2:]
    stepped, moments = server_optimizer(plan).step(
        before.adapter, {B: 0.1 * drawn(1, 6, 4)}, round_noise_variance(plan, tuple(RANKS)), before.moments
    )
    rotation = after.adapter[A].astype(np.float64) @ before.adapter[A].astype(np.float64).T
    assert np.abs(rotation - np.eye(4)).max() > 0.1, "nothing was turned: the test shows nothing"
    assert np.abs(after.moments[B].first - moments[B].first @ rotation.T).max() < 1e-7
    assert np.abs(after.moments[B].second - moments[B].second @ (rotation**2).T).max() < 1e-7
    assert np.abs(after.moments[B].noise - moments[B].noise @ (rotation**2).T).max() < 1e-7
    assert (after.moments[B].second >= 0).all()
    # In the product, the mean of updates points where it pointed.
    assert np.abs(after.moments[B].first @ after.adapter[A] - moments[B].first @ stepped[A]).max() < 1e-6


def test_state_can_be_written_down_and_read_again() -> None:
    plan = plan_of(lora={"aggregation": "fedsvd"}, server={"optimizer": "fedadam"})
    state = advanced(plan, 2)[-1]
    kept = state.moments[B]
    document = json.dumps([kept.num_steps, kept.first.tolist(), kept.second.tolist(), kept.noise.tolist()])
    num_steps, *arrays = json.loads(document)
    first, second, noise = (np.array(array) for array in arrays)
    moments = {B: Moments(num_steps=num_steps, first=first, second=second, noise=noise)}
    again = ServerState(adapter={name: value.copy() for name, value in state.adapter.items()}, moments=moments)
    mean = {B: 0.1 * drawn(9, 6, 4)}
    digests = {
        adapters.adapter_digest(LAYOUT, one.advanced(plan, mean, tuple(RANKS)).adapter) for one in (state, again)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("method", ["ffa", "fedsvd"])
def test_step_beyond_all_numbers_is_refused(method: str) -> None:
    plan = plan_of(lora={"aggregation": method})
    with pytest.raises(RunError, match="diverged"):
        ServerState.start(plan).advanced(plan, {B: np.full((6, 4), 1e300)}, tuple(RANKS))


def test_turn_that_makes_a_column_longer_than_all_numbers_is_refused() -> None:
    plan = plan_of(lora={"aggregation": "fedsvd"})
    each_is_a_number = {B: np.full((6, 4), 3e38)}  # but the first column of the turned B is √24 times as long
    with pytest.raises(RunError, match="diverged"):
        ServerState.start(plan).advanced(plan, each_is_a_number, tuple(RANKS))


def test_noise_beyond_all_numbers_is_infinite_and_no_error() -> None:
    plan = plan_of(training={"learning_rate": 1e160})
    assert np.isposinf(round_noise_variance(plan, tuple(RANKS))).all()
