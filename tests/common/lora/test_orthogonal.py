import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.config import TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.orthogonal import (
    Turn,
    Turned,
    check_turn,
    exact_product,
    orthonormal_rows,
    turn,
    turn_mean,
    turn_variance,
)

Matrix = NDArray[np.float64]


def drawn(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers that repeat."""
    return np.random.default_rng(seed).standard_normal(shape)  # noqa: TID251 - no privacy hangs on it


@st.composite
def factors(draw: st.DrawFn) -> tuple[Matrix, Matrix]:
    """(B, A) of any shape with r ≤ d_in; B of any rank, A with orthonormal rows."""
    rank = draw(st.integers(1, 6))
    num_outputs, num_inputs = draw(st.integers(1, 9)), draw(st.integers(rank, 9))
    seed, rank_of_b = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, rank))
    b = drawn(seed, num_outputs, rank_of_b) @ drawn(seed + 1, rank_of_b, rank)
    return b * 10.0 ** draw(st.integers(-6, 3)), orthonormal_rows(drawn(seed + 2, rank, num_inputs))


def off_identity(matrix: Matrix) -> float:
    return float(np.abs(matrix - np.eye(len(matrix))).max())


# ---------------------------------------------------------------------------------------------------- start


@given(factors())
def test_rows_become_orthonormal(pair: tuple[Matrix, Matrix]) -> None:
    assert off_identity(pair[1] @ pair[1].T) < 1e-12


@pytest.mark.parametrize("num_columns", [5, 8, 33])
def test_orthonormal_rows_span_the_same_space(num_columns: int) -> None:
    rows = drawn(1, 5, num_columns)
    out = orthonormal_rows(rows)
    assert np.abs(rows @ out.T @ out - rows).max() < 1e-12


def test_rows_that_are_nearly_parallel_become_orthonormal_too() -> None:
    rows = np.ones((4, 50)) + 1e-5 * drawn(2, 4, 50)
    out = orthonormal_rows(rows)
    assert off_identity(out @ out.T) < 1e-12


def test_more_rows_than_columns_are_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="3 rows of 2 numbers") as caught:
        orthonormal_rows(drawn(0, 3, 2))
    assert "lora.rank" in caught.value.advice


@pytest.mark.parametrize("factor", [1.0, 0.0, 1 + 1e-9])
def test_rows_that_depend_on_one_another_are_refused(factor: float) -> None:
    row = drawn(0, 1, 6)
    with pytest.raises(ConfigError, match="depend"):
        orthonormal_rows(np.concatenate([row, factor * row]))


def test_orthonormal_start_does_not_change_its_argument() -> None:
    rows = drawn(0, 3, 7)
    before = rows.copy()
    orthonormal_rows(rows)
    assert np.array_equal(rows, before)


def sequential_rows(rows: Matrix) -> Matrix:
    """The same algorithm, number by number in Python floats, which are IEEE-754 doubles everywhere."""

    def folded(values: list[float]) -> float:
        while len(values) > 1:
            half = len(values) // 2
            values = [values[i] + values[half + i] for i in range(half)] + values[2 * half :]
        return values[0]

    out = [[float(value) for value in row] for row in rows]
    for _ in range(2):
        for index, row in enumerate(out):
            length = math.sqrt(folded([value * value for value in row]))
            row[:] = [value / length for value in row]
            for rest in out[index + 1 :]:
                dot = folded([a * b for a, b in zip(rest, row, strict=True)])
                rest[:] = [a - dot * b for a, b in zip(rest, row, strict=True)]
    return np.array(out)


@pytest.mark.parametrize(("rank", "num_columns"), [(1, 1), (3, 3), (4, 17), (16, 130)])
def test_vectorised_start_has_the_bits_of_plain_double_arithmetic(rank: int, num_columns: int) -> None:
    rows = drawn(rank, rank, num_columns)
    assert orthonormal_rows(rows).tobytes() == sequential_rows(rows).tobytes()


# Written once, on x86-64 with numpy 2: another machine that draws another A must fail here.
PINNED = "124474a4c17cbb10ab2adb7280a928dbef0751adb8076bdfc41bbf2ee81e610a"


def test_orthonormal_start_of_an_adapter_is_pinned_to_the_bit() -> None:
    layout = (
        TensorSpec(name="x.lora_A.weight", shape=(8, 200)),
        TensorSpec(name="x.lora_B.weight", shape=(30, 8)),
    )
    start = adapters.initial_adapter(layout, 7, orthonormal=True)
    factor = start["x.lora_A.weight"]
    assert factor.dtype == np.float32
    assert off_identity(factor.astype(np.float64) @ factor.T) < 1e-6
    assert not start["x.lora_B.weight"].any()
    assert hashlib.sha256(factor.tobytes()).hexdigest() == PINNED


# ---------------------------------------------------------------------------------------------------- turn


@given(factors())
def test_turn_keeps_the_product(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    turned = turn(b, a)
    assert np.linalg.norm(turned.b @ turned.a - b @ a) <= 1e-13 * np.linalg.norm(b)


@given(factors())
def test_turned_rows_are_orthonormal_whatever_the_rank_of_b(pair: tuple[Matrix, Matrix]) -> None:
    turned = turn(*pair)
    assert off_identity(turned.a @ turned.a.T) < 1e-12


@given(factors())
def test_turned_columns_are_orthogonal_and_descend_in_length(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    if not b.any():
        return
    gram = turn(b, a).b.T @ turn(b, a).b
    scale = gram.max()
    lengths = np.diag(gram)
    assert np.abs(gram - np.diag(lengths)).max() <= 1e-12 * scale
    assert (lengths[1:] <= lengths[:-1] + 1e-12 * scale).all()
    singular = np.linalg.svd(b @ a, compute_uv=False)[: len(lengths)]
    assert np.allclose(np.sqrt(lengths[: len(singular)]), singular, atol=1e-12 * np.sqrt(scale))


@given(factors())
def test_largest_entry_of_each_turned_row_is_positive(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    turned = turn(b, a)
    if b.any():
        rows = np.arange(len(a))
        assert (turned.a[rows, np.abs(turned.a).argmax(axis=1)] > 0).all()


@given(factors())
def test_turn_leaves_the_space_of_a_rows(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    turned = turn(b, a)
    assert np.abs(turned.a.T @ turned.a - a.T @ a).max() < 1e-12


@given(factors())
def test_rotation_turns_b_and_is_orthogonal(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    turned = turn(b, a)
    assert off_identity(turned.rotation @ turned.rotation.T) < 1e-12
    assert np.linalg.norm(b @ turned.rotation.T - turned.b) <= 1e-12 * np.linalg.norm(b)
    assert np.abs(turned.rotation @ a - turned.a).max() < 1e-12


@given(factors())
def test_two_small_matrices_are_the_whole_turn(pair: tuple[Matrix, Matrix]) -> None:
    b, a = pair
    turned = turn(b, a)
    assert np.array_equal(turned.turn.turned_b(b), turned.b)
    assert np.array_equal(turned.turn.turned_a(a), turned.a)
    assert off_identity(turned.turn.of_b @ turned.turn.of_a) < 1e-12


@given(factors())
def test_an_honest_turn_passes_the_check_after_rounding(pair: tuple[Matrix, Matrix]) -> None:
    b, a = (factor.astype(np.float32).astype(np.float64) for factor in pair)
    turned = turn(b, a)
    check_turn(turned.turn, *(factor.astype(np.float32).astype(np.float64) for factor in (turned.b, turned.a)))


def test_a_turn_that_is_off_by_more_than_rounding_is_refused() -> None:
    b, a = drawn(1, 12, 4), orthonormal_rows(drawn(2, 4, 20))
    found = turn(b, a)
    rotation = turn(drawn(3, 9, 4), orthonormal_rows(drawn(4, 4, 9))).rotation
    changed = {
        "a product off by a millionth": Turn(of_b=found.turn.of_b * (1 + 1e-6), of_a=found.turn.of_a),
        "rows that are not of length one": Turn(of_b=found.turn.of_b / 1.001, of_a=found.turn.of_a * 1.001),
        "columns that are not at right angles": Turn(
            of_b=found.turn.of_b @ rotation.T, of_a=rotation @ found.turn.of_a
        ),
        "no number": Turn(of_b=found.turn.of_b * np.nan, of_a=found.turn.of_a),
    }
    check_turn(found.turn, found.b, found.a)
    for other in changed.values():
        with pytest.raises(ConfigError, match="not a turn"):
            check_turn(other, other.turned_b(b), other.turned_a(a))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_exact_product_adds_in_order(rows: int, inner: int, columns: int, seed: int) -> None:
    left, right = drawn(seed, rows, inner), drawn(seed + 1, inner, columns)
    for i in range(rows):
        for j in range(columns):
            total = float(left[i, 0]) * float(right[0, j])
            for k in range(1, inner):
                total += float(left[i, k]) * float(right[k, j])
            assert exact_product(left, right)[i, j] == total


def test_zero_b_keeps_both_factors() -> None:
    a = orthonormal_rows(drawn(3, 3, 8))
    turned = turn(np.zeros((5, 3)), a)
    assert np.array_equal(turned.a, a)
    assert not turned.b.any()
    assert np.array_equal(turned.rotation, np.eye(3))


def test_second_turn_changes_nothing_but_rounding() -> None:
    once = turn(drawn(1, 12, 4), orthonormal_rows(drawn(2, 4, 20)))
    twice = turn(once.b, once.a)
    assert np.abs(twice.a - once.a).max() < 1e-13
    assert np.abs(twice.b - once.b).max() < 1e-12
    assert off_identity(twice.rotation) < 1e-12


def test_turn_orthonormalises_an_a_that_was_not() -> None:
    b, a = drawn(1, 12, 4), drawn(2, 4, 20)
    turned = turn(b, a)
    assert off_identity(turned.a @ turned.a.T) < 1e-12
    assert np.abs(turned.b @ turned.a - b @ a).max() < 1e-12


def test_first_columns_are_the_best_approximation_of_their_rank() -> None:
    b, a = drawn(1, 12, 4), orthonormal_rows(drawn(2, 4, 20))
    turned, singular = turn(b, a), np.linalg.svd(b @ a, compute_uv=False)
    for rank in range(1, 4):
        missing = np.linalg.norm(turned.b[:, :rank] @ turned.a[:rank] - b @ a)
        assert missing == pytest.approx(np.linalg.norm(singular[rank:]))


def wide_in(b: Matrix, a: Matrix) -> Turned:
    return turn(b, a[:, :2])


BAD: dict[str, Callable[[Matrix, Matrix], Turned]] = {
    "NaN in B": lambda b, a: turn(np.where(b == b.max(), np.nan, b), a),
    "infinity in B": lambda b, a: turn(np.where(b == b.max(), np.inf, b), a),
    "NaN in A": lambda b, a: turn(b, a * np.nan),
    "rank above the inputs": wide_in,
}


@pytest.mark.parametrize("name", BAD)
def test_factors_that_cannot_be_turned_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        BAD[name](drawn(1, 5, 3), drawn(2, 3, 7))


# ---------------------------------------------------------------------------------------------------- moments


@given(factors(), st.integers(0, 1000))
def test_turned_mean_is_the_mean_of_turned_movements(pair: tuple[Matrix, Matrix], seed: int) -> None:
    b, a = pair
    moves = drawn(seed, 5, *b.shape)
    rotation = turn(b, a).rotation
    assert np.abs(turn_mean(moves.mean(axis=0), rotation) - (moves @ rotation.T).mean(axis=0)).max() < 1e-12


@given(factors(), st.integers(0, 1000))
def test_turned_variance_is_never_negative_and_keeps_its_sum(pair: tuple[Matrix, Matrix], seed: int) -> None:
    b, a = pair
    second = drawn(seed, *b.shape) ** 2
    turned = turn_variance(second, turn(b, a).rotation)
    assert (turned >= 0).all()
    assert np.allclose(turned.sum(axis=1), second.sum(axis=1), rtol=1e-12)


def test_turned_variance_is_that_of_turned_independent_noise() -> None:
    rotation = turn(drawn(1, 12, 4), orthonormal_rows(drawn(2, 4, 20))).rotation
    variance = np.array([1.0, 4.0, 0.25, 9.0])
    noise = drawn(5, 200_000, 4) * np.sqrt(variance)
    assert (noise @ rotation.T).var(axis=0) == pytest.approx(turn_variance(variance, rotation), rel=0.02)
