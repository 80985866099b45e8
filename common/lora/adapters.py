"""LoRA adapters as named float32 arrays and as flat vectors. No torch here: the coordinator needs none.

An adapter is a mapping from PEFT tensor name to a float32 array; the plan's ``layout`` fixes names and shapes. Tensors
are ordered bytewise by name wherever order matters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedward.common import _keystream as keystream
from fedward.common.atomic import replace_directory
from fedward.common.config import RunPlan, TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora.orthogonal import orthonormal_rows
from fedward.common.secagg.transcript import digest

Number = TypeVar("Number", np.float32, np.float64, np.uint32)
Vector = NDArray[np.float32]
Adapter = Mapping[str, Vector]
"""Tensor name to float32 array of the layout's shape."""

Layout = Sequence[TensorSpec]

FACTOR_A = ".lora_A."
FACTOR_B = ".lora_B."
MAX_COORDINATES = 1 << 26


def ordered(layout: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The tensors bytewise by name.

    Raises:
        ConfigError: a repeated name, an empty shape, a tensor that is no LoRA factor, or too many coordinates.
    """
    tensors = tuple(sorted(layout, key=lambda spec: spec.name.encode()))
    if len({spec.name for spec in tensors}) != len(tensors):
        raise ConfigError("the layout names a tensor twice")
    for spec in tensors:
        if min(spec.shape) < 1 or (FACTOR_A in spec.name) == (FACTOR_B in spec.name):
            raise ConfigError(f"the layout's tensor {spec.name!r} is not a LoRA factor")
    if num_coordinates(tensors) > MAX_COORDINATES:
        raise ConfigError(f"the adapter has more than {MAX_COORDINATES} coordinates", hint="Lower lora.rank.")
    return tensors


def num_coordinates(layout: Layout) -> int:
    """Numbers in all tensors together."""
    return sum(spec.shape[0] * spec.shape[1] for spec in layout)


def layout_digest(layout: Layout) -> bytes:
    """32 bytes over names and shapes in order."""
    fields: list[bytes | str | int] = []
    for spec in layout:
        fields += [spec.name, *spec.shape]
    return digest("fedward/lora/v1/layout", *fields)


def adapter_digest(layout: Layout, adapter: Adapter) -> bytes:
    """32 bytes over the layout and the exact little-endian float32 values."""
    values = hashlib.sha256()
    for spec in layout:
        values.update(adapter[spec.name].astype("<f4", copy=False).tobytes())
    return digest("fedward/lora/v1/adapter", layout_digest(layout), values.digest())


def initial_adapter(layout: Layout, seed: int, *, orthonormal: bool = False) -> Adapter:
    """B = 0, A uniform in ±1/√d_in (as PEFT's Kaiming start), from a keystream of the public seed.

    Every operation is exactly rounded, so all machines draw the same A and nobody needs to send it.

    Args:
        orthonormal: make the rows of A orthonormal. They are then of length 1, where the uniform ones have about 1/√3:
            with the same B the adapter does √3 times as much.

    Raises:
        ConfigError: ``orthonormal`` with a rank above a tensor's number of inputs.
    """
    # Copies: what a caller does to its adapter must not reach the next one's.
    return {name: value.copy() for name, value in _initial(tuple(layout), seed, orthonormal).items()}


@lru_cache(maxsize=2)
def _initial(layout: tuple[TensorSpec, ...], seed: int, orthonormal: bool) -> Adapter:
    """Remembered, since every site asks for it in every round: orthonormal rows of rank 64 take 10 s (measured)."""
    start = {spec.name: _start(spec, seed) for spec in layout}
    if not orthonormal:
        return start
    return {name: _orthonormal(value) if FACTOR_A in name else value for name, value in start.items()}


def _orthonormal(factor: Vector) -> Vector:
    return orthonormal_rows(factor.astype(np.float64)).astype(np.float32)


def _start(spec: TensorSpec, seed: int) -> Vector:
    if FACTOR_B in spec.name:
        return np.zeros(spec.shape, np.float32)
    key = digest("fedward/lora/v1/init", seed, spec.name)
    words = keystream.words(key, spec.shape[0] * spec.shape[1])
    unit = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return (unit * np.float32(1 / math.sqrt(spec.shape[1]))).reshape(spec.shape)


def flatten(layout: Layout, adapter: Adapter) -> Vector:
    """The tensors of ``layout`` one behind the other: (L,) float32."""
    if not layout:
        return np.zeros(0, np.float32)
    return np.concatenate([adapter[spec.name].reshape(-1) for spec in layout]).astype(np.float32, copy=False)


def unflatten(layout: Layout, vector: NDArray[Number]) -> dict[str, NDArray[Number]]:
    """The inverse of ``flatten``; the arrays are copies, of the vector's type.

    Raises:
        ConfigError: another length than the layout's.
    """
    return {name: part.copy() for name, part in parts_of(layout, vector).items()}


def parts_of(layout: Layout, vector: NDArray[Number]) -> dict[str, NDArray[Number]]:
    """``unflatten`` without copies: views of the vector.

    Raises:
        ConfigError: another length than the layout's.
    """
    if vector.shape != (num_coordinates(layout),):
        raise ConfigError(f"{vector.size} values do not fit a layout of {num_coordinates(layout)}")
    out: dict[str, NDArray[Number]] = {}
    start = 0
    for spec in layout:
        stop = start + spec.shape[0] * spec.shape[1]
        out[spec.name] = vector[start:stop].reshape(spec.shape)
        start = stop
    return out


def vector_to_bytes(vector: Vector) -> bytes:
    """Four bytes a number, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()


def vector_from_bytes(raw: bytes | memoryview, size: int) -> Vector:
    """The inverse of ``vector_to_bytes``.

    Raises:
        ConfigError: another length, or a value that is not finite.
    """
    if len(raw) != 4 * size:
        raise ConfigError(f"{len(raw)} bytes are not {size} numbers")
    vector = np.frombuffer(raw, "<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ConfigError("an adapter holds a value that is not finite")
    return vector


def target_modules(layout: Layout) -> tuple[str, ...]:
    """Last names of the adapted modules, for ``adapter_config.json``."""
    names = {spec.name.split(FACTOR_A)[0].split(FACTOR_B)[0].rsplit(".", 1)[-1] for spec in layout}
    return tuple(sorted(names))


def to_safetensors(adapter: Adapter) -> bytes:
    """The weights as PEFT keeps them."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(value) for name, value in adapter.items()}, metadata={"format": "pt"})


def save_peft(folder: Path, plan: RunPlan, adapter: Adapter, *, base_path: str, fan_in_fan_out: bool = False) -> None:
    """Write a plain PEFT directory that ``PeftModel.from_pretrained`` loads; whole or not at all.

    Args:
        folder: is replaced if it exists.
        base_path: what ``base_model_name_or_path`` shall say.
        fan_in_fan_out: True for GPT-2's transposed linear layers.
    """
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_path,
        "r": plan.lora.rank,
        "lora_alpha": plan.lora.alpha,
        "use_rslora": plan.lora.rank_stabilised,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "inference_mode": True,
        "target_modules": list(target_modules(plan.layout)),
    }
    weights = to_safetensors(adapter)
    with replace_directory(folder) as fresh:
        (fresh / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (fresh / "adapter_model.safetensors").write_bytes(weights)
