"""Whether enough sites answer for every secret of a cohort that may have to be rebuilt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class Quorum:
    """Of one cohort.

    Args:
        threshold: shares that a secret needs.
        holders: by dealer, where they differ: on a sparse graph. None: every site holds shares of every dealer.
    """

    threshold: int
    holders: Mapping[str, frozenset[str]] | None = None
    _lacking: str | None = field(init=False, default=None)
    """The dealer that lacked holders the last time: looked at first, so that waiting for the last costs little."""
    _known: tuple[frozenset[str], bool] | None = field(init=False, default=None)

    def is_met(self, sites: Collection[str]) -> bool:
        """Whether these sites can open every dealer's secrets between them."""
        if self.holders is None:
            return len(sites) >= self.threshold
        given = frozenset(sites)
        if self._lacking is not None and len(self.holders[self._lacking] & given) < self.threshold:
            return False
        if self._known is None or self._known[0] != given:
            self._lacking = next((d for d, near in self.holders.items() if len(near & given) < self.threshold), None)
            self._known = given, self._lacking is None
        return self._known[1]

    def of(self, dealer: str, sites: Collection[str]) -> int:
        """How many of these sites hold shares of ``dealer``."""
        return len(sites) if self.holders is None else len(self.holders[dealer] & frozenset(sites))


__all__ = ["Quorum"]
