"""False shares among true ones: found as long as the true ones are enough to tell, and at a bounded price."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.secagg.decoding import agreeing
from fedward.common.secagg.recovery import Recovery
from fedward.common.secagg.shares import SHARE_BYTES, evaluate, random_coefficients, split
from tests.secagg_cohort import stream_of

PRIME = 257


@given(
    polynomial=st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=6),
    num_spare=st.integers(0, 7),
    lies=st.lists(st.tuples(st.integers(0, 12), st.integers(1, PRIME - 1)), max_size=3),
)
@settings(deadline=None)
def test_half_of_the_spare_shares_may_be_false(
    polynomial: list[int], num_spare: int, lies: list[tuple[int, int]]
) -> None:
    xs = range(1, len(polynomial) + num_spare + 1)
    values = {x: evaluate(polynomial, x, prime=PRIME) for x in xs}
    false = {}
    for place, by in lies[: num_spare // 2]:
        false[xs[place % len(xs)]] = by
    for x, by in false.items():
        values[x] = (values[x] + by) % PRIME
    assert agreeing(values, len(polynomial), prime=PRIME) == set(xs) - set(false)


@given(st.data())
@settings(deadline=None)
def test_what_is_found_is_a_polynomial_that_so_many_points_lie_on(data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, 4))
    values = data.draw(st.dictionaries(st.integers(1, 10), st.integers(0, PRIME - 1), max_size=9))
    found = agreeing(values, threshold, prime=PRIME)
    assert found <= set(values)
    assert not found or len(found) >= len(values) - (len(values) - threshold) // 2


def test_zero_is_a_secret_like_any_other() -> None:
    assert agreeing({1: 0, 2: 0, 3: 9, 4: 0, 5: 0}, 2) == {1, 2, 4, 5}


def dealt(num_holders: int, threshold: int) -> tuple[bytes, dict[str, bytes], Recovery]:
    secret = bytes(range(32))
    shares = split(secret, num_shares=num_holders, coefficients=random_coefficients(threshold, stream_of("dealer")))
    names = [f"site-{number:02d}" for number in range(num_holders)]
    places = {name: place for place, name in enumerate(names, 1)}
    return secret, dict(zip(names, shares, strict=True)), Recovery(threshold=threshold, places=places)


@pytest.mark.parametrize(("num_holders", "threshold", "num_false"), [(20, 14, 3), (50, 34, 8), (64, 43, 10)])
def test_as_many_liars_as_large_cohorts_reckon_with_are_named_and_the_secret_is_right(
    num_holders: int, threshold: int, num_false: int
) -> None:
    secret, shares, recovery = dealt(num_holders, threshold)
    # The worst place for them: all among those that are tried first.
    liars = sorted(shares)[1 : num_false + 1]
    for liar in liars:
        shares[liar] = hashlib.sha256(liar.encode()).digest().rjust(SHARE_BYTES, b"\0")
    assert recovery.rebuild("dealer", shares, lambda found: found == secret) == secret
    assert recovery.faults == {("dealer", liar) for liar in liars}


def test_shares_that_give_nothing_are_not_searched_again_until_more_come() -> None:
    _, shares, recovery = dealt(6, 4)
    tries: list[bytes] = []

    def never(found: bytes) -> bool:
        tries.append(found)
        return False

    late = shares.popitem()
    assert recovery.rebuild("dealer", shares, never) is None
    once = len(tries)
    assert recovery.rebuild("dealer", dict(shares), never) is None
    assert len(tries) == once
    recovery.rebuild("dealer", {**shares, late[0]: late[1]}, never)
    assert len(tries) > once
