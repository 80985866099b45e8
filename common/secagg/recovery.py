"""Rebuilding secrets from shares of which some may be false, and naming who gave them.

Every rebuilt secret is checked against what its dealer signed. If the first shares do not pass, the polynomial that
most of them lie on is computed, which up to half of the spare shares may be off; then others are tried, leaving out one
holder, then two, and so on. Once a secret has passed, each share off its polynomial is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fedward.common.secagg.decoding import agreeing
from fedward.common.secagg.shares import SHARE_BYTES, Basis

MAX_TRIES = 4000
"""Sets of shares that are tried for one secret, at most."""
_MAX_WORK = 800_000
"""Tries times threshold squared, which is what a new set costs: a second or two, so that lies cannot take hours."""


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
    _known: dict[str, tuple[dict[str, bytes], bytes | None]] = field(init=False, default_factory=dict, repr=False)
    """By dealer, what came of which shares: as long as no more have come, they are not tried again."""
    _bases: dict[tuple[tuple[int, ...], int], Basis] = field(init=False, default_factory=dict)

    def rebuild(self, dealer: str, shares: Mapping[str, bytes], is_right: Callable[[bytes], bool]) -> bytes | None:
        """The secret of ``dealer``; None if no set of these shares gives one that passes.

        Args:
            dealer: for the record of faults.
            shares: by holder.
            is_right: whether a candidate is what the dealer committed to.
        """
        tried, secret = self._known.get(dealer, ({}, None))
        if tried != shares:
            secret = self._rebuilt(dealer, shares, is_right)
            self._known[dealer] = dict(shares), secret
        return secret

    def _rebuilt(self, dealer: str, shares: Mapping[str, bytes], is_right: Callable[[bytes], bool]) -> bytes | None:
        given = sorted(shares, key=self.places.__getitem__)
        given.sort(key=self.suspects.__contains__)  # last, and among themselves in order still
        most = max(1, min(MAX_TRIES, _MAX_WORK // self.threshold**2))
        for number, chosen in enumerate(itertools.islice(self._candidates(given, shares), most)):
            secret = self._basis(chosen).join([shares[holder] for holder in chosen])
            if secret is not None and is_right(secret):
                if number:
                    self._name(dealer, shares, chosen)
                return secret
        return None

    def _candidates(self, given: Sequence[str], shares: Mapping[str, bytes]) -> Iterator[tuple[str, ...]]:
        """Sets of holders to try, the likeliest first."""
        sets = self._sets(given)
        yield from itertools.islice(sets, 1)
        values = {self.places[holder]: int.from_bytes(shares[holder], "big") for holder in given}
        right = agreeing(values, self.threshold)
        if right:
            yield tuple([holder for holder in given if self.places[holder] in right][: self.threshold])
        yield from sets

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
