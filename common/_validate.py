"""Checks that name the argument they refuse. Written so that NaN fails: every comparison with NaN is false."""

from __future__ import annotations

import math

from fedward.common.errors import ConfigError


def positive(**values: float) -> None:
    """Refuse, by name, the first value that is not a finite number above zero."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} = {value!r}: expected a finite number > 0")


def non_negative(**values: float) -> None:
    """Refuse, by name, the first value that is not a finite number of at least zero."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} = {value!r}: expected a finite number >= 0")


def probability(**values: float) -> None:
    """Refuse, by name, the first value outside (0, 1]."""
    for name, value in values.items():
        if not (math.isfinite(value) and 0 < value <= 1):
            raise ConfigError(f"{name} = {value!r}: expected a number above 0 and at most 1")
