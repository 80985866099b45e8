"""What rides behind the model: words, clamps, digests, and that masked and plain vectors are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg import auxiliary, ring
from fedward.common.secagg.auxiliary import Coordinate

WEIGHT = Coordinate(name="weight", steps=1, unit=1.0, low=1, high=300)
LOSS = Coordinate(name="unit_loss", steps=1 << 10, unit=8.0, low=-4096, high=4096, sigma_steps=1 << 12)
BOTH = (WEIGHT, LOSS)
LAYOUT = b"\x77" * 32


def total_of(*sums: int) -> ring.RingVector:
    return auxiliary.appended(np.arange(5, dtype="<u4"), sums)


def test_a_value_stands_for_its_share_of_the_unit() -> None:
    assert (WEIGHT.value(7), LOSS.value(512), LOSS.value(-1024)) == (7.0, 4.0, -8.0)


@pytest.mark.parametrize(("steps", "word"), [(-5000, -4096), (-4096, -4096), (0, 0), (4096, 4096), (4097, 4096)])
def test_a_word_stays_within_its_clamp(steps: int, word: int) -> None:
    assert LOSS.clamped(steps) == word


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"unit": 0.0}, {"unit": float("nan")}, {"unit": float("inf")}, {"low": 5000}, {"sigma_steps": -1}],
)
def test_a_coordinate_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="unit_loss"):
        replace(LOSS, **change)


@pytest.mark.parametrize("bound", [{"high": 1 << 12}, {"low": -(1 << 12)}])
def test_a_clamp_above_the_vectors_is_refused(bound: dict[str, Any]) -> None:
    coordinate = replace(LOSS, **bound)
    coordinate.check_fits(12)
    with pytest.raises(ConfigError, match="room for 2\\^11"):
        coordinate.check_fits(11)


# ---------------------------------------------------------------------------------------------------- digest


def test_a_layout_without_auxiliary_coordinates_keeps_its_digest() -> None:
    assert auxiliary.layout_digest(LAYOUT, ()) == LAYOUT


@pytest.mark.parametrize(
    "other",
    [
        (),
        (WEIGHT,),
        (LOSS, WEIGHT),
        (replace(WEIGHT, name="weights"), LOSS),
        (replace(WEIGHT, high=301), LOSS),
        (replace(WEIGHT, low=0), LOSS),
        (WEIGHT, replace(LOSS, unit=8.000000000000002)),
        (WEIGHT, replace(LOSS, steps=1 << 11)),
        (WEIGHT, replace(LOSS, sigma_steps=0)),
    ],
)
def test_every_part_of_the_description_is_in_the_digest(other: tuple[Coordinate, ...]) -> None:
    assert auxiliary.layout_digest(LAYOUT, other) != auxiliary.layout_digest(LAYOUT, BOTH)


# ---------------------------------------------------------------------------------------------------- vectors


@given(st.integers(1, 12), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4), st.integers(1, 5))
@settings(deadline=None)
def test_a_vector_written_in_chunks_is_the_quantised_update_with_its_tail(
    size: int, tail: list[int], chunk: int
) -> None:
    quantiser = ring.Quantiser(scale_log2=20, clamp_log2=20)
    update, key = np.linspace(-1, 1, size, dtype=np.float32), bytes(range(32))
    whole = auxiliary.appended(quantiser.quantise(update, dither_key=key), tail)
    write = auxiliary.with_tail(quantiser.writer(update, dither_key=key), tail, num_model=size)()
    out = np.zeros(size + len(tail), "<u4")
    step = 4 * chunk  # a stream begins at words divisible by four
    for start in range(0, out.size, step):
        write(start, out[start : start + step])
    assert np.array_equal(out, whole)
    assert out[size:].view(np.int32).tolist() == tail


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(-4096, 4096)), min_size=1, max_size=6))
def test_sums_of_honest_words_are_opened_exactly(words: list[tuple[int, int]]) -> None:
    total = np.zeros(2, "<u4")
    for pair in words:
        ring.add_into(total, auxiliary.words(pair))
    expected = (sum(first for first, _ in words), sum(second for _, second in words))
    assert auxiliary.opened_steps(BOTH, np.concatenate([np.ones(3, "<u4"), total]), len(words)) == expected


@pytest.mark.parametrize("sums", [(2, 0), (901, 0), (3, 3 * 4096 + 1), (3, -3 * 4096 - 1), (-1, 0)])
def test_a_sum_that_three_sites_cannot_have_is_refused(sums: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError) as caught:
        auxiliary.opened_steps(BOTH, total_of(*sums), 3)
    assert caught.value.code == "SUM_OUT_OF_RANGE"


@pytest.mark.parametrize("sums", [(3, 3 * 4096), (900, -3 * 4096)])
def test_a_sum_at_the_clamps_is_opened(sums: tuple[int, int]) -> None:
    assert auxiliary.opened_steps(BOTH, total_of(*sums), 3) == sums
