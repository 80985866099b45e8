"""Finding the polynomial that most of a set of shares lie on: Reed–Solomon decoding (Gao 2003).

Of r shares of a polynomial of t coefficients any ⌊(r − t) / 2⌋ may be false, whatever stands in them; trying sets of
shares would take more time than there is from some ten holders on.

Not handled here: whether the polynomial is the dealer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedward.common.secagg.shares import PRIME, evaluate

Polynomial = list[int]
"""Coefficients, the constant first; none at the end is zero."""


def agreeing(values: Mapping[int, int], threshold: int, *, prime: int = PRIME) -> frozenset[int]:
    """The points on the one polynomial of ``threshold`` coefficients that all but ⌊(r − t) / 2⌋ points lie on.

    Args:
        values: value by x-coordinate, r of them.
        threshold: t.
        prime: of the field.

    Returns:
        x-coordinates; empty if there is no such polynomial.
    """
    if len(values) < threshold:
        return frozenset()
    xs = sorted(values)
    older, newer = _vanishing(xs, prime), _interpolated(xs, values, prime)
    # newer = … · older + locator · _interpolated: cut off where the locator is still short, their quotient decodes.
    before: Polynomial = []
    locator: Polynomial = [1]
    while 2 * (len(newer) - 1) >= len(xs) + threshold:
        quotient, rest = _divided(older, newer, prime)
        older, newer = newer, rest
        before, locator = locator, _minus_product(before, quotient, locator, prime)
    found, rest = _divided(newer, locator, prime)
    if rest or len(found) > threshold:
        return frozenset()
    return frozenset(x for x in xs if evaluate(found, x, prime=prime) == values[x])


def _vanishing(xs: Sequence[int], prime: int) -> Polynomial:
    """Π (X − x)."""
    product: Polynomial = [1]
    for x in xs:
        product = [(low - x * high) % prime for low, high in zip([0, *product], [*product, 0], strict=True)]
    return product


def _interpolated(xs: Sequence[int], values: Mapping[int, int], prime: int) -> Polynomial:
    """The polynomial through all points, by divided differences."""
    inverses: dict[int, int] = {}
    differences = [values[x] for x in xs]
    for order in range(1, len(xs)):
        for place in range(len(xs) - 1, order - 1, -1):
            gap = xs[place] - xs[place - order]
            if gap not in inverses:
                inverses[gap] = pow(gap, -1, prime)
            differences[place] = (differences[place] - differences[place - 1]) * inverses[gap] % prime
    through: Polynomial = []
    for x, difference in zip(reversed(xs), reversed(differences), strict=True):
        # through · (X − x) + difference
        through = [(low - x * high) % prime for low, high in zip([0, *through], [*through, 0], strict=True)]
        through[0] = (through[0] + difference) % prime
    return _trimmed(through)


def _divided(number: Polynomial, divisor: Polynomial, prime: int) -> tuple[Polynomial, Polynomial]:
    """Quotient and rest."""
    rest, size = list(number), len(divisor)
    inverse = pow(divisor[-1], -1, prime)
    quotient = [0] * max(0, len(rest) - size + 1)
    for shift in range(len(quotient) - 1, -1, -1):
        factor = quotient[shift] = rest[shift + size - 1] * inverse % prime
        for place, coefficient in enumerate(divisor, shift):
            rest[place] = (rest[place] - factor * coefficient) % prime
    return _trimmed(quotient), _trimmed(rest)


def _minus_product(first: Polynomial, left: Polynomial, right: Polynomial, prime: int) -> Polynomial:
    """The first, less left times right."""
    out = [*first, *[0] * (len(left) + len(right))]
    for place, factor in enumerate(left):
        for shift, coefficient in enumerate(right, place):
            out[shift] = (out[shift] - factor * coefficient) % prime
    return _trimmed(out)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial


__all__ = ["agreeing"]
