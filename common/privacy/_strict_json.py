"""JSON read strictly: no repeated key, no NaN, no number of another type, no field too few or too many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fedward.common.errors import PrivacyError


def parse(raw: bytes, what: str) -> Any:  # noqa: ANN401 - whatever JSON holds; the callers check it
    """The value of ``raw``.

    Raises:
        PrivacyError: not UTF-8, not JSON, a repeated key, NaN or an infinity.
    """
    try:
        return json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise PrivacyError(f"{what} is not strict JSON") from error


def fields(value: object, kinds: Mapping[str, type], what: str) -> dict[str, Any]:
    """``value`` as a dictionary with exactly the fields of ``kinds``, each of exactly that type.

    Raises:
        PrivacyError: anything else.
    """
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise PrivacyError(f"{what} must have exactly the fields {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(value[name]) is not kind:  # isinstance would take true for 1
            raise PrivacyError(f"{what}: {name} must be {kind.__name__}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("repeated key")
    return result


def _no_constant(name: str) -> float:
    raise ValueError(name)
