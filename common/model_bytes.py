"""A model's state as bytes and as a digest, and what is published of a round: its sum, and the turns that go with it.

Every length follows from the plan and a round's number, so nothing in the bytes says how to read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common.config import RunPlan, TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import Turns, pairs, sent_layout, trained_layout, whole_adapter
from fedward.common.lora.orthogonal import Turn
from fedward.common.messages.envelope import Vector
from fedward.common.model_state import Moments, ServerState
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.transcript import Field, digest

_FLOAT64 = 8


def state_digest(plan: RunPlan, state: ServerState) -> bytes:
    """32 bytes over all that the next round depends on: the adapter's digest, where the optimiser remembers nothing."""
    of_adapter = adapters.adapter_digest(plan.layout, state.adapter)
    fields: list[Field] = [of_adapter]
    for spec in plan.layout:
        kept = state.moments.get(spec.name)
        if kept is not None:
            values = hashlib.sha256()
            for array in (kept.first, kept.second, kept.noise):
                values.update(_le(array))
            fields += [spec.name, kept.num_steps, values.digest()]
    return digest("fedward/lora/v1/state", *fields) if len(fields) > 1 else of_adapter


def state_to_bytes(plan: RunPlan, state: ServerState) -> bytes:
    """The tensors that are not drawn from the seed, little-endian float32, and the moments, float64."""
    parts = [adapters.vector_to_bytes(adapters.flatten(sent_layout(plan.lora.aggregation, plan.layout), state.adapter))]
    for spec in plan.layout:
        kept = state.moments.get(spec.name)
        if kept is not None:
            parts += [_le(kept.first), _le(kept.second), _le(kept.noise)]
    return b"".join(parts)


def state_from_bytes(plan: RunPlan, round_number: int, raw: bytes) -> ServerState:
    """The inverse of ``state_to_bytes``.

    Args:
        plan: of the run.
        round_number: of the last round in it.
        raw: any bytes.

    Raises:
        ConfigError: another length than that of such a state, or a value that is not finite.
    """
    sent = sent_layout(plan.lora.aggregation, plan.layout)
    size = 4 * adapters.num_coordinates(sent)
    counts = num_steps(plan, round_number)
    if len(raw) != state_num_bytes(plan, round_number):
        raise ConfigError(f"{len(raw)} bytes are no state of round {round_number}")
    adapter = whole_adapter(plan, adapters.vector_from_bytes(raw[:size], size // 4))
    numbers = np.frombuffer(raw[size:], "<f8")
    if not np.isfinite(numbers).all():
        raise ConfigError("a moment is not finite")
    moments: dict[str, Moments] = {}
    start = 0
    for spec in plan.layout:
        if spec.name in counts:
            count, rank = spec.shape[0] * spec.shape[1], plan.lora.rank
            first, second, noise = np.split(numbers[start : start + 2 * count + rank], [count, 2 * count])
            start += 2 * count + rank
            moments[spec.name] = Moments(
                num_steps=counts[spec.name],
                first=first.reshape(spec.shape).astype(np.float64),
                second=second.reshape(spec.shape).astype(np.float64),
                noise=noise.astype(np.float64),
            )
    return ServerState(adapter=adapter, moments=moments)


def state_num_bytes(plan: RunPlan, round_number: int) -> int:
    """Length of ``state_to_bytes`` after a round."""
    remembered = num_steps(plan, round_number)
    moments = sum(2 * s.shape[0] * s.shape[1] + plan.lora.rank for s in plan.layout if s.name in remembered)
    return 4 * adapters.num_coordinates(sent_layout(plan.lora.aggregation, plan.layout)) + _FLOAT64 * moments


def num_steps(plan: RunPlan, round_number: int) -> Mapping[str, int]:
    """Rounds up to this one in which each tensor was trained, where the optimiser remembers it."""
    if plan.server.optimizer != "fedadam":
        return {}
    found: dict[str, int] = {}
    # The layouts of rounds 1 and 2 take turns.
    for first, count in ((1, (round_number + 1) // 2), (2, round_number // 2)):
        for spec in trained_layout(plan.lora.aggregation, plan.layout, first) if count else ():
            found[spec.name] = found.get(spec.name, 0) + count
    return found


def _le(array: NDArray[np.float64]) -> bytes:
    return array.astype("<f8", copy=False).tobytes()


# ---------------------------------------------------------------------------------------------------- publishing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Published:
    """What travels beside an ``OpenedRound``."""

    total: RingVector = field(repr=False)
    """(L,) the opened sum, all its coordinates."""
    turns: Turns
    published_hash: bytes
    """SHA-256 of sum and turns."""
    checkpoint: bytes = field(default=b"", repr=False)
    """The state before the round, for a site that may lack it."""


def published_bytes(plan: RunPlan, total: RingVector, turns: Turns) -> bytes:
    """Sum and turns: 4 bytes a coordinate, and for ``fedsvd`` 16·r² bytes a pair of factors."""
    matrices = [_le(matrix) for spec in _turned(plan) for matrix in (turns[spec.name].of_b, turns[spec.name].of_a)]
    return b"".join([total.astype("<u4", copy=False).tobytes(), *matrices])


def read_published(plan: RunPlan, round_number: int, num_words: int, vector: Vector) -> Published:
    """The inverse of ``published_bytes``, with a checkpoint behind or without one.

    Args:
        plan: of the run.
        round_number: that the sum is of.
        num_words: L.
        vector: any bytes.

    Raises:
        ConfigError: another length.
    """
    rank, size = plan.lora.rank, 4 * num_words
    turned = list(_turned(plan))
    end = size + len(turned) * 2 * rank * rank * _FLOAT64
    if len(vector) not in (end, end + state_num_bytes(plan, round_number - 1)):
        raise ConfigError(f"{len(vector)} bytes are no sum of round {round_number}")
    view = memoryview(vector)
    matrices = np.frombuffer(vector[size:end], "<f8").astype(np.float64).reshape(-1, 2, rank, rank)
    turns = {spec.name: Turn(of_b=pair[0], of_a=pair[1]) for spec, pair in zip(turned, matrices, strict=True)}
    return Published(
        total=np.frombuffer(view[:size], "<u4"),
        turns=turns,
        published_hash=hashlib.sha256(view[:end]).digest(),
        checkpoint=bytes(vector[end:]),
    )


def _turned(plan: RunPlan) -> Iterator[TensorSpec]:
    """The tensors B of the pairs that are turned after a round."""
    if plan.lora.aggregation == "fedsvd":
        yield from (spec_b for _, spec_b in pairs(plan.layout))


__all__ = [
    "num_steps",
    "Published",
    "published_bytes",
    "read_published",
    "state_digest",
    "state_from_bytes",
    "state_num_bytes",
    "state_to_bytes",
]
