"""The scan in parts: each rule is in one of them, and begins there where it begins by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from fedward.common.desensitize.detectors import rules
from fedward.common.desensitize.detectors.rules import PARTS, finder, part_shapes, scan_patterns
from tests.common.desensitize.detectors.test_scan_properties import texts

NAMES = [name for part in PARTS for name in part]
SHAPES = dict(rules._SHAPES) | {"passport": rules.PASSPORT}


def test_every_shape_is_in_exactly_one_part() -> None:
    assert sorted(NAMES) == sorted(SHAPES)


def test_every_part_can_say_which_of_its_shapes_a_hit_is() -> None:
    for part, match in zip(PARTS, part_shapes("re2"), strict=True):
        pattern = match.__self__.groupindex  # type: ignore[attr-defined]
        assert set(part) <= set(pattern)


def test_only_shapes_are_shortened() -> None:
    assert set(rules._BEGINNINGS) <= set(SHAPES)


@pytest.mark.parametrize("number", range(len(PARTS)))
@given(text=texts)
def test_a_part_finds_each_place_where_one_of_its_shapes_begins(number: int, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    _, shapes = scan_patterns(bare_passports=True, engine="re2")
    span = finder(shapes[number], "re2")(data, 0)
    # a token of digits alone is a number
    exact_shapes = SHAPES | {"token": rules._TOKEN_HEAD}
    exact = re.compile(rules._bytes("|".join(exact_shapes[name] for name in PARTS[number]))).search(data)
    assert exact is None or (span is not None and span[0] <= exact.start())
