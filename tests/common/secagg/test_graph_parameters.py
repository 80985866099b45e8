"""Degree and threshold: the published cells, the conditions they stand for, and draws that keep them."""

import hashlib
import math
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import ConfigError
from fedward.common.secagg.graph import shuffled
from fedward.common.secagg.graph_parameters import (
    FAILURE_BITS,
    SECURITY_BITS,
    GraphParameters,
    dropouts_of,
    find_parameters,
    max_withheld,
)


@pytest.mark.parametrize(
    ("corrupt", "lost", "count", "degree", "threshold"),
    [
        (10, 10, 100, 32, 22),
        (10, 10, 200, 56, 39),
        (10, 10, 500, 82, 57),
        (10, 10, 1000, 96, 67),
        (20, 10, 100, 42, 32),
        (20, 10, 1000, 140, 104),
    ],
)
def test_numbers_without_extra_bits_are_those_of_the_design(
    corrupt: int, lost: int, count: int, degree: int, threshold: int
) -> None:
    found = find_parameters(count, colluders=count * corrupt // 100, dropouts=count * lost // 100)
    assert (found.degree, found.threshold) == (degree, threshold)


@pytest.mark.parametrize(
    ("count", "degree", "threshold"),
    [(65, 26, 20), (100, 42, 32), (200, 80, 61), (500, 166, 130), (1000, 272, 218)],
)
def test_numbers_of_a_run_with_the_default_colluders(count: int, degree: int, threshold: int) -> None:
    found = of_a_run(count)
    assert (found.degree, found.threshold) == (degree, threshold)


def of_a_run(count: int) -> GraphParameters:
    return find_parameters(count, colluders=count // 5, dropouts=dropouts_of(count), extra_bits=count // 5)


def tail(population: int, marked: int, drawn: int, *, above: int) -> Fraction:
    """P(more than ``above`` marked), by the definition."""
    ways = sum(comb(marked, x) * comb(population - marked, drawn - x) for x in range(above + 1, min(marked, drawn) + 1))
    return Fraction(ways, comb(population, drawn))


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 400), st.data())
def test_every_answer_meets_the_conditions_and_the_next_smaller_does_not(count: int, data: st.DataObject) -> None:
    colluders = data.draw(st.integers(1, count // 5))
    extra = data.draw(st.integers(0, colluders))
    lost = dropouts_of(count)
    found = find_parameters(count, colluders=colluders, dropouts=lost, extra_bits=extra)
    bound = Fraction(1, 1 << (SECURITY_BITS + 1 + extra))
    k, near = found.degree, found.colluding_neighbours
    assert count * tail(count - 1, colluders, k, above=near) <= bound
    assert 2 * found.threshold > k + near
    few = tail(count - 1, lost, k, above=k - found.threshold)  # so many neighbours lost that t are not left
    assert count * few <= Fraction(1, 1 << FAILURE_BITS)
    if k < count - 1:
        assert k % 2 == 0
        gone = colluders + lost
        assert count * (count - k - 1) // 2 * Fraction(comb(gone, k), comb(count, k)) < bound
        assert count * count // 2 * tail(count, colluders, k, above=found.gap_colluders) <= bound
    if near:
        assert count * tail(count - 1, colluders, k, above=near - 1) > bound


@pytest.mark.parametrize("count", [65, 70, 100, 150, 300, 700, 1000])
def test_losses_that_are_allowed_leave_more_survivors_in_two_runs_than_colluders(count: int) -> None:
    # So an honest run is never void for the sake of ``holds_together``, wherever its losses are.
    found = of_a_run(count)
    assert found.degree - dropouts_of(count) > found.gap_colluders


def test_more_colluders_never_need_fewer_neighbours() -> None:
    degrees = [find_parameters(200, colluders=c, dropouts=20, extra_bits=c).degree for c in range(1, 60)]
    assert degrees == sorted(degrees)


def test_few_sites_share_with_everybody() -> None:
    found = find_parameters(6, colluders=2, dropouts=1, extra_bits=2)
    assert (found.degree, found.gap_colluders) == (5, 0)
    assert 2 * found.threshold > 5 + 2


@pytest.mark.parametrize(
    ("count", "colluders", "lost"), [(100, 85, 10), (4, 1, 1), (1, 0, 0), (10, 10, 1), (10, -1, 1)]
)
def test_numbers_that_no_graph_bears_are_refused(count: int, colluders: int, lost: int) -> None:
    with pytest.raises(ConfigError):
        find_parameters(count, colluders=colluders, dropouts=lost)


@given(st.integers(2, 300), st.integers(0, 60))
def test_choices_of_missing_contributions_fit_the_extra_bits(count: int, bits: int) -> None:
    missing = max_withheld(count, bits)
    assert sum(math.comb(count, j) for j in range(missing + 1)) <= 1 << bits
    if missing < count - 1:
        assert sum(math.comb(count, j) for j in range(missing + 2)) > 1 << bits


def test_drawn_orders_keep_the_numbers_where_they_can_be_seen() -> None:
    # With a bound that can be broken in a test, drawn orders break it about as often as it says, not more.
    count, colluders, degree, worst, rolls = 60, 12, 12, 7, 1500
    names = tuple(f"{place:02}" for place in range(count))
    often = count * tail(count - 1, colluders, degree, above=worst)
    seen = 0
    for roll in range(rolls):
        ring = shuffled(names, hashlib.sha256(roll.to_bytes(2, "big")).digest())
        is_bad = [name < f"{colluders:02}" for name in ring]
        near = [sum(is_bad[(p + s) % count] for s in range(-6, 7) if s) for p in range(count) if not is_bad[p]]
        seen += any(found > worst for found in near)
    assert 0 < seen / rolls <= often
