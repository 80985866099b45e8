from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.config import Aggregation, TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import (
    along_rank,
    apply_turns,
    check_layout,
    check_turns,
    ever_trained_layout,
    find_turns,
    only_prefix,
    pairs,
    sent_layout,
    starting_adapter,
    trained_layout,
    whole_adapter,
)
from fedward.common.lora.orthogonal import orthonormal_rows, turn
from tests.federation_simulator import make_plan

Matrix = NDArray[np.float64]

METHODS: tuple[Aggregation, ...] = get_args(Aggregation)
Q_A, Q_B, V_A, V_B = LAYOUT = (
    TensorSpec(name="m.q_proj.lora_A.weight", shape=(3, 7)),
    TensorSpec(name="m.q_proj.lora_B.weight", shape=(5, 3)),
    TensorSpec(name="m.v_proj.lora_A.weight", shape=(3, 9)),
    TensorSpec(name="m.v_proj.lora_B.weight", shape=(2, 3)),
)
SIZE = 21 + 15 + 27 + 6
PLAN_LAYOUT = [spec.model_dump(mode="json") for spec in LAYOUT]


def drawn(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers that repeat."""
    return np.random.default_rng(seed).standard_normal(shape)  # noqa: TID251 - no privacy hangs on it


def adapter_of(seed: int) -> adapters.Adapter:
    return adapters.unflatten(LAYOUT, drawn(seed, SIZE).astype(np.float32))


# ---------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    ("method", "odd", "even"),
    [
        ("ffa", (Q_B, V_B), (Q_B, V_B)),
        ("fedsvd", (Q_B, V_B), (Q_B, V_B)),
        ("alternate", (Q_B, V_B), (Q_A, V_A)),
        ("naive", LAYOUT, LAYOUT),
    ],
)
def test_each_method_trains_its_factors(
    method: Aggregation, odd: tuple[TensorSpec, ...], even: tuple[TensorSpec, ...]
) -> None:
    assert [trained_layout(method, LAYOUT, number) for number in range(1, 5)] == [odd, even, odd, even]
    assert set(ever_trained_layout(method, LAYOUT)) == set(odd) | set(even)


@pytest.mark.parametrize("method", METHODS)
def test_all_that_any_round_changes_is_sent(method: Aggregation) -> None:
    changes = set(LAYOUT) if method == "fedsvd" else set(ever_trained_layout(method, LAYOUT))
    assert set(sent_layout(method, LAYOUT)) == changes


@pytest.mark.parametrize("method", METHODS)
def test_what_was_sent_gives_the_whole_adapter_again(method: Aggregation) -> None:
    plan = make_plan(lora={"rank": 3, "aggregation": method}, layout=PLAN_LAYOUT)
    sent = sent_layout(method, LAYOUT)
    adapter = {**starting_adapter(plan), **{spec.name: adapter_of(1)[spec.name] for spec in sent}}
    vector = adapters.flatten(sent, adapter)
    back = whole_adapter(plan, vector)
    assert adapters.adapter_digest(LAYOUT, back) == adapters.adapter_digest(LAYOUT, adapter)


@pytest.mark.parametrize("method", METHODS)
def test_vector_of_another_length_is_no_adapter(method: Aggregation) -> None:
    plan = make_plan(lora={"rank": 3, "aggregation": method}, layout=PLAN_LAYOUT)
    size = adapters.num_coordinates(sent_layout(method, LAYOUT))
    for wrong in {0, size - 1, size + 1, SIZE + size}:
        with pytest.raises(ConfigError):
            whole_adapter(plan, np.zeros(wrong, np.float32))


@pytest.mark.parametrize(
    ("lora", "is_orthonormal"),
    [
        ({"aggregation": "ffa"}, False),
        ({"aggregation": "ffa", "a_init": "orthonormal"}, True),
        ({"aggregation": "fedsvd"}, True),
        ({"aggregation": "alternate"}, False),
    ],
)
def test_start_is_orthonormal_where_the_plan_asks_for_it(lora: dict[str, str], is_orthonormal: bool) -> None:
    start = starting_adapter(make_plan(lora={"rank": 3, **lora}, layout=PLAN_LAYOUT))
    for spec_a, spec_b in pairs(LAYOUT):
        a = start[spec_a.name].astype(np.float64)
        assert (np.abs(a @ a.T - np.eye(3)).max() < 1e-6) == is_orthonormal
        assert not start[spec_b.name].any()


BAD_LAYOUTS = {
    "B alone": (Q_B,),
    "A alone": (Q_A, V_A, V_B),
    "two ranks in a pair": (Q_A, TensorSpec(name=Q_B.name, shape=(5, 2))),
    "another rank than the plan's": (
        TensorSpec(name=Q_A.name, shape=(2, 7)),
        TensorSpec(name=Q_B.name, shape=(5, 2)),
    ),
}


@pytest.mark.parametrize("name", BAD_LAYOUTS)
def test_layout_that_is_not_made_of_pairs_of_one_rank_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_layout(BAD_LAYOUTS[name], 3)


def test_layout_of_pairs_is_accepted() -> None:
    check_layout(LAYOUT, 3)
    assert pairs(LAYOUT) == ((Q_A, Q_B), (V_A, V_B))


# ---------------------------------------------------------------------------------------------------- prefixes


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_beyond_the_prefix_an_update_is_zero_and_within_it_the_same(rank: int) -> None:
    update = drawn(1, SIZE).astype(np.float32)
    before, after = adapters.unflatten(LAYOUT, update), adapters.unflatten(LAYOUT, only_prefix(LAYOUT, update, rank))
    for spec_a, spec_b in pairs(LAYOUT):
        assert np.array_equal(after[spec_a.name][:rank], before[spec_a.name][:rank])
        assert np.array_equal(after[spec_b.name][:, :rank], before[spec_b.name][:, :rank])
        assert not after[spec_a.name][rank:].any()
        assert not after[spec_b.name][:, rank:].any()


def test_prefix_of_an_update_is_a_copy_and_fits_the_layout() -> None:
    update = np.ones(SIZE, np.float32)
    only_prefix(LAYOUT, update, 1)
    assert update.all()
    with pytest.raises(ConfigError):
        only_prefix(LAYOUT, update[1:], 1)


def test_values_by_rank_meet_columns_of_b_and_rows_of_a() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert (np.ones(Q_B.shape) * along_rank(Q_B.name, values))[0].tolist() == [1, 2, 3]
    assert (np.ones(Q_A.shape) * along_rank(Q_A.name, values))[:, 0].tolist() == [1, 2, 3]


# ---------------------------------------------------------------------------------------------------- identities


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_averaging_factors_apart_is_wrong_by_the_product_of_their_deviations(num_sites: int, seed: int) -> None:
    b, a = drawn(seed, num_sites, 5, 3), drawn(seed + 1, num_sites, 3, 7)
    wrong = (b @ a).mean(axis=0) - b.mean(axis=0) @ a.mean(axis=0)
    deviations = ((b - b.mean(axis=0)) @ (a - a.mean(axis=0))).mean(axis=0)
    assert np.abs(wrong - deviations).max() < 1e-12


@given(st.integers(2, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_with_one_common_factor_the_mean_of_products_is_the_product_of_means(
    num_sites: int, seed: int, common_a: bool
) -> None:
    b, a = drawn(seed, num_sites, 5, 3), drawn(seed + 1, num_sites, 3, 7)
    if common_a:
        a[:] = a[0]
    else:
        b[:] = b[0]
    assert np.abs((b @ a).mean(axis=0) - b.mean(axis=0) @ a.mean(axis=0)).max() < 1e-12


def test_noise_on_both_factors_multiplies() -> None:
    noise_b, noise_a = 0.3 * drawn(1, 20_000, 1, 4), 0.5 * drawn(2, 20_000, 4, 1)
    assert (noise_b @ noise_a).var() == pytest.approx(4 * 0.3**2 * 0.5**2, rel=0.05)


# ---------------------------------------------------------------------------------------------------- after a round


@pytest.mark.parametrize("method", ["ffa", "alternate", "naive"])
def test_most_methods_leave_the_adapter_as_it_is(method: Aggregation) -> None:
    adapter = adapter_of(1)
    turns = find_turns(method, LAYOUT, adapter)
    assert turns == {}
    assert apply_turns(LAYOUT, adapter, turns) is adapter


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_fedsvd_keeps_every_product_within_float32(scale: float) -> None:
    adapter = adapter_of(1)
    adapter = {name: value * np.float32(scale) if ".lora_B." in name else value for name, value in adapter.items()}
    turns = find_turns("fedsvd", LAYOUT, adapter)
    after = apply_turns(LAYOUT, adapter, turns)
    assert set(turns) == {Q_B.name, V_B.name}
    for spec_a, spec_b in pairs(LAYOUT):
        before = adapter[spec_b.name].astype(np.float64) @ adapter[spec_a.name]
        now = after[spec_b.name].astype(np.float64) @ after[spec_a.name]
        assert np.linalg.norm(now - before) <= 1e-6 * np.linalg.norm(before)
        assert after[spec_a.name].dtype == after[spec_b.name].dtype == np.float32
        gram = after[spec_a.name].astype(np.float64) @ after[spec_a.name].T
        assert np.abs(gram - np.eye(3)).max() < 1e-6
    check_turns(LAYOUT, after, turns)


def test_fedsvd_keeps_the_start_as_long_as_b_is_zero() -> None:
    start = starting_adapter(make_plan(lora={"rank": 3, "aggregation": "fedsvd"}, layout=PLAN_LAYOUT))
    after = apply_turns(LAYOUT, start, find_turns("fedsvd", LAYOUT, start))
    assert adapters.adapter_digest(LAYOUT, after) == adapters.adapter_digest(LAYOUT, start)


def test_adapter_that_diverged_is_refused() -> None:
    adapter = {**adapter_of(1), Q_B.name: np.full(Q_B.shape, np.inf, np.float32)}
    with pytest.raises(ConfigError, match="not finite"):
        find_turns("fedsvd", LAYOUT, adapter)


# ---------------------------------------------------------------------------------------------------- trajectories


def trajectory(*, turns: bool, num_rounds: int = 25) -> list[tuple[Matrix, Matrix]]:
    """DP-SGD on B of a linear model, by hand in float64: (B, A) after each round.

    The noise is coupled: drawn for the columns of the starting A, and turned along with them.
    """
    d_out, d_in, rank, num_units, clip = 6, 11, 3, 20, 0.5
    a, b, turned_by = orthonormal_rows(drawn(0, rank, d_in)), np.zeros((d_out, rank)), np.eye(rank)
    inputs, targets = drawn(1, num_units, d_in), drawn(2, num_units, d_out)
    noise = drawn(3, num_rounds, d_out, rank)
    found = []
    for number in range(num_rounds):
        residuals = inputs @ (b @ a).T - targets
        per_unit = residuals[:, :, np.newaxis] * (inputs @ a.T)[:, np.newaxis, :]
        norms = np.linalg.norm(per_unit, axis=(1, 2), keepdims=True)
        clipped = (per_unit * np.minimum(1, clip / norms)).sum(axis=0)
        b = b - 0.3 / num_units * (clipped + clip * noise[number] @ turned_by.T)
        if turns:
            now = turn(b, a)
            b, a, turned_by = now.b, now.a, now.rotation @ turned_by
        found.append((b, a))
    return found


def test_fedsvd_is_ffa_with_an_orthonormal_a_under_plain_sgd_and_isotropic_noise() -> None:
    for (b, a), (turned_b, turned_a) in zip(trajectory(turns=False), trajectory(turns=True), strict=True):
        assert np.linalg.norm(turned_b @ turned_a - b @ a) <= 1e-12 * np.linalg.norm(b @ a)


def test_fedsvd_never_leaves_the_starting_subspace() -> None:
    history = trajectory(turns=True)
    start, last = history[0][1], history[-1][1]
    assert np.abs(last.T @ last - start.T @ start).max() < 1e-12
    assert np.abs(last - start).max() > 0.1, "the rows themselves must have turned, or the test shows nothing"
