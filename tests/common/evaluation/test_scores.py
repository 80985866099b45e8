import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import DataError, EmptyDataError
from fedward.common.evaluation.scores import (
    TokenLikelihoods,
    loss,
    mink,
    minkpp,
    per_unit,
    reference,
    slot,
    zlib_ratio,
)

LOG_P = np.array([-1.0, -9.0, -2.0, -3.0, -5.0, -0.5, -0.5, -0.5, -0.5, -8.0])


def test_loss_is_the_mean() -> None:
    assert loss(TokenLikelihoods(log_p=LOG_P)) == -3.0


def test_zlib_ratio_divides_by_compressed_bits() -> None:
    text = "the same again " * 9
    assert zlib_ratio(TokenLikelihoods(log_p=LOG_P), text) == -30.0 / (8 * len(zlib.compress(text.encode())))


def test_mink_takes_the_lowest_fifth() -> None:
    assert mink(TokenLikelihoods(log_p=LOG_P)) == -8.5


@pytest.mark.parametrize("length", [1, 4, 5, 9])
def test_mink_takes_one_token_of_a_short_text(length: int) -> None:
    assert mink(TokenLikelihoods(log_p=LOG_P[:length])) == LOG_P[:length].min()


def test_minkpp_standardises_each_step_and_bounds_the_deviation() -> None:
    text = TokenLikelihoods(
        log_p=np.array([-1.0, -2.0, -3.0, -4.0, -5.0]),
        mean=np.array([-1.0, -2.0, -3.0, -4.0, -4.0]),
        deviation=np.array([1.0, 1.0, 1.0, 1.0, 0.0]),
    )
    assert minkpp(text) == pytest.approx(-1000.0)


def test_slot_sums_the_tokens_of_the_secret() -> None:
    assert slot(TokenLikelihoods(log_p=LOG_P, secret=slice(1, 4))) == -14.0


@given(shift=st.floats(-5, 5))
def test_reference_takes_out_what_the_models_share(shift: float) -> None:
    base = np.array([1.0, 2.0, 3.0])
    assert reference(base + shift, [base]) == pytest.approx([shift] * 3)


def test_reference_is_the_mean_of_several() -> None:
    assert reference([5.0], [[1.0], [2.0]]).tolist() == [3.5]


def test_score_of_a_unit_is_the_mean_of_its_records() -> None:
    assert per_unit([1.0, 3.0, 10.0], [0, 0, 1], 2).tolist() == [2.0, 10.0]


@pytest.mark.parametrize("log_p", [[], [math.nan], [-math.inf], [[-1.0]]])
def test_impossible_likelihoods_are_refused(log_p: list[float]) -> None:
    with pytest.raises(DataError):
        TokenLikelihoods(log_p=np.array(log_p, float))


def test_what_a_score_needs_and_has_not_is_refused() -> None:
    text = TokenLikelihoods(log_p=LOG_P)
    for call in (
        lambda: minkpp(text),
        lambda: slot(text),
        lambda: slot(TokenLikelihoods(log_p=LOG_P, secret=slice(3, 3))),
        lambda: TokenLikelihoods(log_p=LOG_P, mean=LOG_P[:3]),
        lambda: reference([1.0], [[1.0, 2.0]]),
        lambda: per_unit([1.0], [0, 1], 2),
        lambda: per_unit([1.0], [-1], 1),
        lambda: per_unit([1.0], [0], 2),
        lambda: per_unit([1.0], [3], 2),
    ):
        with pytest.raises(DataError):
            call()
    with pytest.raises(EmptyDataError):
        reference([1.0], [])
