"""Auxiliary coordinates: figures that ride in a round's ring vector, behind the model's coordinates.

Each has a name, a scale and a clamp of its own, all public, and counts in whole ring steps, so nothing is rounded on
the way. Their description is part of the layout digest: sites that were told different ones have masks that do not
cancel. No clamp is above the vector's, so the vector's bound against overflow holds for each of them.

Not handled here: which figures a plan has (``common.auxiliary_terms``), and the noise in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg.ring import RingVector, Writer, WriterFactory
from fedward.common.secagg.transcript import digest

_LABEL = "fedward/secagg/v1/auxiliary"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coordinate:
    """One figure."""

    name: str
    steps: int
    """Ring steps of one ``unit``."""
    unit: float
    """In the figure's own measure."""
    low: int
    high: int
    """A site's word lies from ``low`` to ``high``, in steps."""
    sigma_steps: int = 0
    """Standard deviation of the noise that each site adds in each round; 0: none."""

    def __post_init__(self) -> None:
        if not (self.steps >= 1 and 0 < self.unit < float("inf") and self.low <= self.high and self.sigma_steps >= 0):
            raise ConfigError(f"{self.name}: a scale, a clamp or a noise that cannot be")

    def clamped(self, steps: int) -> int:
        """A site's word."""
        return min(max(steps, self.low), self.high)

    def value(self, steps: float) -> float:
        """Steps in the figure's own measure."""
        return steps / self.steps * self.unit

    def check_fits(self, clamp_log2: int) -> None:
        """Refuse a clamp above the vector's.

        Raises:
            ConfigError: so it is.
        """
        if not max(-self.low, self.high) <= 1 << clamp_log2:
            raise ConfigError(
                f"{self.name} needs {self.high} ring steps a site, there is room for 2^{clamp_log2}",
                hint="Lower the largest nominal_units, or take other weights.",
            )


def layout_digest(layout: bytes, coordinates: Sequence[Coordinate]) -> bytes:
    """The digest of a round's layout with what rides along; without coordinates ``layout`` itself."""
    if not coordinates:
        return layout
    described = (
        (c.name, str(c.steps), float(c.unit).hex(), str(c.low), str(c.high), str(c.sigma_steps)) for c in coordinates
    )
    return digest(_LABEL, layout, *[part for parts in described for part in parts])


def words(tail: Sequence[int]) -> RingVector:
    """Whole steps as ring words, in their order."""
    return np.asarray(tail, np.int64).astype("<i4").view("<u4")


def appended(vector: RingVector, tail: Sequence[int]) -> RingVector:
    """A model's ring vector with the auxiliary words behind it."""
    return np.concatenate([vector, words(tail)]) if tail else vector


def with_tail(model: WriterFactory, tail: Sequence[int], *, num_model: int) -> WriterFactory:
    """The writer of a whole vector: the model's first ``num_model`` words by ``model``, then the auxiliary ones."""
    behind = words(tail)

    def start_writing() -> Writer:
        write_model = model()

        def write(start: int, out: RingVector) -> None:
            count = min(max(num_model - start, 0), out.size)
            if count:
                write_model(start, out[:count])
            first = start + count - num_model
            out[count:] = behind[first : first + out.size - count]

        return write

    return start_writing if tail else model


def opened_steps(coordinates: Sequence[Coordinate], total: RingVector, num_sites: int) -> tuple[int, ...]:
    """The sums of the auxiliary coordinates, in steps, from the whole vector's ring sum over ``num_sites`` sites.

    Raises:
        ProtocolError: ``SUM_OUT_OF_RANGE`` for one that no honest words sum to.
    """
    sums = tuple(int(value) for value in total.view(np.int32)[total.size - len(coordinates) :])
    for coordinate, value in zip(coordinates, sums, strict=True):
        if not num_sites * coordinate.low <= value <= num_sites * coordinate.high:
            raise ProtocolError("SUM_OUT_OF_RANGE", f"the sum of {coordinate.name} is beyond the survivors' clamps")
    return sums


__all__ = ["appended", "Coordinate", "layout_digest", "opened_steps", "with_tail", "words"]
