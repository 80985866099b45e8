"""Rebuilding secrets from shares of which some may be false, and naming who gave them.

Every rebuilt secret is checked against what its dealer signed. If the first shares do not pass, others are tried,
leaving out one holder, then two, and so on. Once a secret has passed, each share off its polynomial is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fedward.common.secagg.shares import SHARE_BYTES, Basis

MAX_TRIES = 2000
"""Sets of shares that are tried for one secret."""


@dataclass(kw_only=True, slots=True)
class Recovery:
    """The secrets of one round.

    Args:
        threshold: shares that a secret needs.
        places: site id of each holder to its x-coordinate.
    """

    threshold: int
    places: Mapping[str, int]
    suspects: set[str] = field(init=False, default_factory=set)
    """Holders that gave a false share; theirs are tried last."""
    faults: set[tuple[str, str]] = field(init=False, default_factory=set)
    """Dealer and holder of each share that is not on the polynomial of a secret that passed."""
    _bases: dict[tuple[tuple[int, ...], int], Basis] = field(init=False, default_factory=dict)

    def rebuild(self, dealer: str, shares: Mapping[str, bytes], is_right: Callable[[bytes], bool]) -> bytes | None:
        """The secret of ``dealer``; None if no set of these shares gives one that passes.

        Args:
            dealer: for the record of faults.
            shares: by holder.
            is_right: whether a candidate is what the dealer committed to.
        """
        given = sorted(shares, key=lambda holder: (holder in self.suspects, self.places[holder]))
        for number, chosen in enumerate(self._sets(given)):
            if number == MAX_TRIES:
                break
            secret = self._basis(chosen).join([shares[holder] for holder in chosen])
            if secret is not None and is_right(secret):
                if number:
                    self._name(dealer, shares, chosen)
                return secret
        return None

    def _sets(self, given: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Sets of as many holders as are needed, the most trusted first."""
        for num_left_out in range(len(given) - self.threshold + 1):
            # Leaving out one that would not be among the first gives a set that was tried.
            for left_out in itertools.combinations(given[: self.threshold + num_left_out], num_left_out):
                chosen = tuple([holder for holder in given if holder not in left_out][: self.threshold])
                if chosen[-1] == given[self.threshold + num_left_out - 1]:
                    yield chosen

    def _basis(self, holders: Sequence[str], at: int = 0) -> Basis:
        xs = tuple(self.places[holder] for holder in holders)
        known = self._bases.get((xs, at))
        if known is None:
            known = self._bases[xs, at] = Basis.of(xs, at=at)
        return known

    def _name(self, dealer: str, shares: Mapping[str, bytes], chosen: Sequence[str]) -> None:
        values = [int.from_bytes(shares[holder], "big") for holder in chosen]
        for holder, share in shares.items():
            right = self._basis(chosen, self.places[holder]).combine(values)
            if share != right.to_bytes(SHARE_BYTES, "big"):
                self.faults.add((dealer, holder))
                self.suspects.add(holder)


__all__ = ["MAX_TRIES", "Recovery"]
