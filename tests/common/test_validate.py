import math
from collections.abc import Callable

import pytest

from fedward.common import _validate
from fedward.common.errors import ConfigError

REFUSED: list[tuple[Callable[..., None], float]] = [
    (check, value)
    for check, values in [
        (_validate.positive, [0.0, -1.0, math.nan, math.inf, -math.inf]),
        (_validate.non_negative, [-1e-300, math.nan, math.inf, -math.inf]),
        (_validate.probability, [0.0, -0.1, 1.0000001, math.nan, math.inf]),
    ]
    for value in values
]
ACCEPTED: list[tuple[Callable[..., None], float]] = [
    (_validate.positive, 5e-324),
    (_validate.positive, 1),
    (_validate.non_negative, 0.0),
    (_validate.non_negative, 1e308),
    (_validate.probability, 1.0),
    (_validate.probability, 5e-324),
]


@pytest.mark.parametrize(("check", "value"), REFUSED)
def test_value_outside_the_range_is_refused_by_name(check: Callable[..., None], value: float) -> None:
    with pytest.raises(ConfigError, match=r"^second = "):
        check(first=1.0, second=value)


@pytest.mark.parametrize(("check", "value"), ACCEPTED)
def test_value_on_the_edge_of_the_range_passes(check: Callable[..., None], value: float) -> None:
    check(value=value)
