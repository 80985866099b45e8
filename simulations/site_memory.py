"""The memory of a simulated site as bytes, so that it may move between the processes of one simulation.

Simulation only: these are the secrets that a real site's process never gives away and loses with its end. Values are
written by their class; reading makes nothing but the classes named here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from fedward.client.duties import Contribution
from fedward.client.masked_run import Memory
from fedward.client.ring_share import RingShare
from fedward.common.errors import ConfigError
from fedward.common.secagg.bundles import Bundle, Holders, OwnBundle
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_parameters import GraphParameters
from fedward.common.secagg.keys import AgreementKey, SharePair
from fedward.common.secagg.state import Engagement, NextBundle, Pending, Phase, Secrets, State
from fedward.common.secagg.transcript import CohortFacts

_CLASSES: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Bundle,
        CohortFacts,
        Contribution,
        Engagement,
        GraphParameters,
        Holders,
        MaskGraph,
        Memory,
        NextBundle,
        OwnBundle,
        Pending,
        RingShare,
        Secrets,
        SharePair,
        State,
    )
}


def memory_to_bytes(memory: Memory) -> bytes:
    """As JSON. Replies that were given are left out: a repeated request is then refused, not answered again."""
    return json.dumps(_plain(memory)).encode()


def memory_from_bytes(raw: bytes) -> Memory:
    """The inverse of ``memory_to_bytes``.

    Raises:
        ConfigError: something else.
    """
    found = _value(json.loads(raw))
    if not isinstance(found, Memory):
        raise ConfigError("not the memory of a simulated site")
    return found


def _plain(value: object) -> object:
    """What JSON can hold: atoms as they are, all else as a pair of a tag and its parts."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return ["Phase", str(value.value)]
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, AgreementKey):
        return ["AgreementKey", _plain(value.secret)]
    if isinstance(value, np.ndarray):
        return ["float32", base64.b64encode(value.astype("<f4").tobytes()).decode()]
    if isinstance(value, tuple):
        return ["tuple", [_plain(part) for part in value]]
    if isinstance(value, frozenset):
        return ["frozenset", [_plain(part) for part in sorted(value)]]
    if isinstance(value, Mapping):
        return ["dict", [[_plain(key), _plain(part)] for key, part in value.items()]]
    return _of_class(value)


def _of_class(value: object) -> object:
    name = type(value).__name__
    if not is_dataclass(value) or _CLASSES.get(name) is not type(value):
        raise ConfigError(f"a simulated site's memory holds a {name}")
    left_out = {"answers"} if isinstance(value, State) else set()
    parts = {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name not in left_out}
    return [name, parts]


def _value(plain: Any) -> Any:  # noqa: ANN401 - whatever was written
    if not isinstance(plain, list):
        return plain
    tag, parts = plain
    if tag in _CLASSES:
        return _CLASSES[tag](**{name: _value(part) for name, part in parts.items()})
    if tag == "Phase":
        return Phase(parts)
    if tag == "bytes":
        return base64.b64decode(parts)
    if tag == "AgreementKey":
        return AgreementKey.from_secret(_value(parts))
    if tag == "float32":
        return np.frombuffer(base64.b64decode(parts), "<f4").astype(np.float32)
    if tag == "tuple":
        return tuple(_value(part) for part in parts)
    if tag == "frozenset":
        return frozenset(_value(part) for part in parts)
    if tag == "dict":
        return {_value(key): _value(part) for key, part in parts}
    raise ConfigError(f"a simulated site's memory holds a {tag}")


__all__ = ["memory_from_bytes", "memory_to_bytes"]
