"""The one place that draws the fiction: a reproducible random stream per purpose.

Not for privacy and not for secrecy. Whoever knows the seed knows every synthetic patient, and that is the point.
"""

from __future__ import annotations

from random import Random  # noqa: TID251  # reproducible fiction, nothing is protected by it


def stream(purpose: str, seed: int, *numbers: int) -> Random:
    """Return a stream that depends on all of the arguments; other arguments give another stream.

    A text seed is hashed by SHA-512, so neighbouring numbers do not give similar streams, and the result does not
    depend on ``PYTHONHASHSEED``.
    """
    return Random(":".join((purpose, str(seed), *map(str, numbers))))  # noqa: S311  # see the module


__all__ = ["Random", "stream"]
