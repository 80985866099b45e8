import itertools
import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.secagg import shares
from fedward.common.secagg.shares import PRIME, Basis, evaluate, is_share, split
from tests.known_answers import secagg_vectors
from tests.strategies import keys

field_elements = st.integers(0, PRIME - 1)


@st.composite
def dealt(draw: st.DrawFn) -> tuple[bytes, int, tuple[bytes, ...]]:
    """A secret, its threshold, and its shares."""
    threshold = draw(st.integers(1, 6))
    num_shares = draw(st.integers(threshold, 9))
    coefficients = draw(st.lists(field_elements, min_size=threshold - 1, max_size=threshold - 1))
    secret = draw(keys)
    return secret, threshold, split(secret, num_shares=num_shares, coefficients=coefficients)


def is_prime(number: int) -> bool:
    """Miller and Rabin's test with the first 24 primes as bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89):
        powers = [pow(base, odd << k, number) for k in range(twos)]
        if powers[0] != 1 and number - 1 not in powers:
            return False
    return True


@pytest.mark.parametrize("vector", secagg_vectors("shamir"), ids=lambda vector: vector["name"])
def test_share_is_the_known_answer(vector: dict[str, object]) -> None:
    inputs = vector["inputs"]
    assert isinstance(inputs, dict)
    coefficients = [int(text, 16) for text in inputs["coefficients"]]
    dealt_shares = split(bytes.fromhex(inputs["secret"]), num_shares=inputs["x"], coefficients=coefficients)
    assert dealt_shares[-1].hex() == vector["expected"]


def test_prime_is_the_first_above_the_secrets() -> None:
    assert is_prime(PRIME)
    assert not any(is_prime((1 << 256) + k) for k in range(1, 297, 2))


@given(dealt(), st.randoms())
def test_any_threshold_of_shares_gives_the_secret(case: tuple[bytes, int, tuple[bytes, ...]], order: object) -> None:
    secret, threshold, dealt_shares = case
    xs = list(range(1, len(dealt_shares) + 1))
    order.shuffle(xs)  # type: ignore[attr-defined]
    chosen = xs[:threshold]
    assert Basis.of(chosen).join([dealt_shares[x - 1] for x in chosen]) == secret


@given(dealt(), st.data())
def test_shares_also_give_every_other_share(case: tuple[bytes, int, tuple[bytes, ...]], data: st.DataObject) -> None:
    _, threshold, dealt_shares = case
    other = data.draw(st.integers(1, len(dealt_shares)))
    basis = Basis.of(range(1, threshold + 1), at=other)
    value = basis.combine([int.from_bytes(share, "big") for share in dealt_shares[:threshold]])
    assert value.to_bytes(33, "big") == dealt_shares[other - 1]


@pytest.mark.parametrize(("prime", "threshold"), [(5, 2), (7, 3), (5, 4)])
def test_one_share_too_few_says_nothing_about_the_secret(prime: int, threshold: int) -> None:
    """Over a small field, exhaustively: the shares of any secret are distributed alike."""
    holders = (1, 2, 3, 4)
    for seen_by in itertools.combinations(holders, threshold - 1):
        views = []
        for secret in range(prime):
            polynomials = itertools.product([secret], *[range(prime)] * (threshold - 1))
            views.append(Counter(tuple(evaluate(p, x, prime=prime) for x in seen_by) for p in polynomials))
        assert all(view == views[0] for view in views)
        assert len(views[0]) == prime ** (threshold - 1)


@pytest.mark.parametrize(("prime", "threshold"), [(5, 2), (7, 3)])
def test_enough_shares_over_a_small_field_give_the_secret(prime: int, threshold: int) -> None:
    basis = Basis.of(range(1, threshold + 1), prime=prime)
    for polynomial in itertools.product(*[range(prime)] * threshold):
        values = [evaluate(polynomial, x, prime=prime) for x in basis.xs]
        assert basis.combine(values) == polynomial[0]


@given(dealt(), st.data())
def test_one_changed_share_changes_the_secret(case: tuple[bytes, int, tuple[bytes, ...]], data: st.DataObject) -> None:
    secret, threshold, dealt_shares = case
    chosen = list(dealt_shares[:threshold])
    place = data.draw(st.integers(0, threshold - 1))
    chosen[place] = data.draw(field_elements.map(lambda x: x.to_bytes(33, "big")).filter(lambda s: s != chosen[place]))
    assert Basis.of(range(1, threshold + 1)).join(chosen) != secret


def test_a_sum_outside_the_secrets_is_none() -> None:
    assert Basis.of([1]).join([(1 << 256).to_bytes(33, "big")]) is None
    assert Basis.of([1]).join([((1 << 256) - 1).to_bytes(33, "big")]) == b"\xff" * 32


@pytest.mark.parametrize("xs", [(), (1, 1), (0, 1), (-1, 2)], ids=str)
def test_basis_of_impossible_points_is_refused(xs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="x-coordinates"):
        Basis.of(xs)


@pytest.mark.parametrize(("secret", "num_shares", "coefficients"), [(31, 3, 1), (33, 3, 1), (32, 2, 2), (32, 0, 0)])
def test_impossible_splits_are_refused(secret: int, num_shares: int, coefficients: int) -> None:
    with pytest.raises(ValueError, match="a secret has 32 bytes"):
        split(bytes(secret), num_shares=num_shares, coefficients=[1] * coefficients)


def test_wrong_number_of_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        Basis.of([1, 2]).join([bytes(33)])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (bytes(33), True),
        ((PRIME - 1).to_bytes(33, "big"), True),
        (PRIME.to_bytes(33, "big"), False),
        (b"\xff" * 33, False),
        (bytes(32), False),
        (bytes(34), False),
        (b"", False),
    ],
)
def test_a_share_is_a_field_element_of_33_bytes(raw: bytes, expected: bool) -> None:
    assert is_share(raw) is expected


def test_coefficients_take_48_fresh_bytes_each() -> None:
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    coefficients = shares.random_coefficients(5, source)
    assert asked == [48] * 4
    assert len(set(coefficients)) == 4
    assert all(0 <= c < PRIME for c in coefficients)


def test_threshold_of_one_has_no_coefficients() -> None:
    assert shares.random_coefficients(1, os.urandom) == ()
    assert split(b"\x07" * 32, num_shares=2, coefficients=()) == (b"\0" + b"\x07" * 32,) * 2
