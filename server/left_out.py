"""Who is left out of a cohort, so that one site's failure costs the others one attempt and not the run.

A void attempt is paid for by all who sent a vector in it. So a retry goes without the sites that failed in the attempt
before, and a site by which attempts became void in several rounds, one after the other, is left out of 0, 1, 3, 7 …
rounds after them: over R rounds it costs about log2 R attempts, whatever its reason is, and is never given up.

Pure. Not handled here: whether a cohort would do without them; where it would not, they are asked after all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fedward.server.exchange import LATE, TRANSPORT

_MENDED = frozenset({"MODEL_MISMATCH", "PREKEY_UNKNOWN"})
"""Of a site that has lost its state, or the secrets of its bundle: the next attempt gives it both."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """A site is asked up to a round, and then from another one on."""

    after: int
    until: int
    code: str


@dataclass(kw_only=True, slots=True)
class LeftOut:
    """Of one run.

    Args:
        max_attempts: of a round.
    """

    max_attempts: int
    _accused: dict[str, str] = field(init=False, default_factory=dict)
    """In this round: site to why."""
    _rests: dict[str, _Rest] = field(init=False, default_factory=dict)
    _strikes: Counter[str] = field(init=False, default_factory=Counter)
    """Rounds in which an attempt was void by a site, since its last vector that counted."""

    def new_round(self) -> None:
        """Whoever is accused has another try."""
        self._accused.clear()

    def accuse(self, site_id: str, code: str) -> None:
        """With this site in it, a retry would fare like what went before."""
        self._accused.setdefault(site_id, code)

    def took_part(self, survivors: Iterable[str]) -> None:
        """Their vectors are in a sum that was opened: whoever was asked after all, while it rested, rests no more."""
        for site_id in survivors:
            self._strikes.pop(site_id, None)
            self._rests.pop(site_id, None)

    def void(self, round_number: int, attempt: int, failed: Mapping[str, str]) -> None:
        """An attempt has no sum.

        Args:
            round_number: whose.
            attempt: from 0.
            failed: site to why its vector is none.
        """
        for site_id, code in failed.items():
            rest = self._rests.get(site_id)
            is_again = rest is not None and rest.after == round_number
            if not is_again:
                self._strikes[site_id] += 1
                until = round_number + (1 << self._strikes[site_id] - 1)
                self._rests[site_id] = _Rest(round_number, until, code)
            # The last attempt is no time to try again, and whoever was given all that once needs something else.
            if is_again or code not in _MENDED or attempt + 2 >= self.max_attempts:
                self.accuse(site_id, code)

    def choices(self, round_number: int) -> Iterator[dict[str, str]]:
        """Sites to leave out, and why, the best choice first; the last one leaves out nobody.

        Where not all can be spared, one that was lost by accident once is asked again rather than one that fails in
        every round; but one that refused, or lied, would do so again.
        """
        resting = {site: rest.code for site, rest in self._rests.items() if rest.after < round_number < rest.until}
        yield {**resting, **self._accused}
        yield {**resting, **{site: code for site, code in self._accused.items() if not _is_accident(code)}}
        yield dict(self._accused)
        yield {}


def _is_accident(code: str) -> bool:
    """Whether nothing came, for a reason of time or of the network."""
    return code == LATE or code.startswith(f"{TRANSPORT}:")


__all__ = ["LeftOut"]
