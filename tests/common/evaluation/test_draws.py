import numpy as np
import pytest

from fedward.common.errors import ConfigError
from fedward.common.evaluation.draws import BLOCK_DRAWS, Draws


def test_the_same_seed_and_purpose_give_the_same_draws_in_the_same_order() -> None:
    first, second = Draws(3, "auc"), Draws(3, "auc")
    assert [first.below(5, 100).tolist() for _ in range(3)] == [second.below(5, 100).tolist() for _ in range(3)]


def test_calls_seeds_and_purposes_differ() -> None:
    draws = Draws(3, "auc")
    values = [draws.words(2), draws.words(2), Draws(4, "auc").words(2), Draws(3, "tpr").words(2)]
    assert len({tuple(value.tolist()) for value in values}) == len(values)


def test_draws_below_a_bound_are_even() -> None:
    counts = np.bincount(Draws(1, "x").below(60_000, 6), minlength=6)
    assert counts.shape == (6,)
    assert np.abs(counts - 10_000).max() < 500  # 5.5 standard deviations


def test_a_permutation_has_every_number_once() -> None:
    order = Draws(1, "x").permutation(1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))


def test_resamples_come_in_blocks_of_bounded_memory() -> None:
    size = BLOCK_DRAWS // 3
    blocks = list(Draws(1, "x").resamples(size, 7))
    assert [block.shape for block in blocks] == [(3, size), (3, size), (1, size)]


@pytest.mark.parametrize("bound", [0, -1, 2**54])
def test_impossible_bounds_are_refused(bound: int) -> None:
    with pytest.raises(ConfigError):
        Draws(1, "x").below(1, bound)
