"""The CUDA rows of ``fedward bench dp``: a random Llama of 1.1 billion parameters, bfloat16, rank 16, all-linear.

Time is wall clock between synchronisations, memory what the allocator held at most, the base included. Each arm is
attached, timed for a block of steps and taken off again, in turns, on one and the same model.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fedward.simulations.benchmarks.dp_arms import Attach, fused, non_private, quiet
from fedward.simulations.benchmarks.dp_models import VOCABULARY, batch_of

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import LlamaConfig, PreTrainedModel

    from fedward.client.training.packing import PackedBatch

ARMS: Mapping[str, Attach] = {"nonprivate": non_private, "noise_floor": non_private, "fused": fused}
MAX_RATIO = 1.10


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How much is computed."""

    rows: int = 8
    tokens: int = 512
    rank: int = 16
    steps_per_block: int = 5
    blocks: int = 5


def one_billion() -> LlamaConfig:
    """The shape of TinyLlama: 1.1 billion parameters."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=32_000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    )


def measure_cuda(
    config: LlamaConfig | None = None, load: Load | None = None, device: str = "cuda"
) -> list[dict[str, Any]]:
    """A row without and one with checkpointing in bfloat16, and one with an nf4 base.

    Args:
        config: of the base.
        load: rows, tokens, steps.
        device: where; it must be a CUDA device.
    """
    shape, amount = config or one_billion(), load or Load()
    rows = []
    for checkpointing in (False, True):
        base = _random_base(shape, device)  # on its device before the adapter
        rows.append(_row("bf16", base, amount, checkpointing=checkpointing))
        del base
        gc.collect()
    try:
        import bitsandbytes  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401 - is it there?
    except ImportError:
        return [*rows, {"name": "nf4", "skipped": "not run: bitsandbytes is not installed"}]
    return [*rows, _row("nf4", _nf4_base(shape, device), amount, checkpointing=True)]


def _random_base(config: LlamaConfig, device: str) -> PreTrainedModel:
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    nn.Module.to(model, device, torch.bfloat16)
    return model


def _nf4_base(config: LlamaConfig, device: str) -> PreTrainedModel:
    """Written to a folder and read back, for that is how transformers quantises."""
    from transformers import AutoModelForCausalLM

    from fedward.client.training.base_model import nf4_options

    with tempfile.TemporaryDirectory() as folder:
        _random_base(config, "cpu").save_pretrained(folder)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, **nf4_options(device)
        )
    return model


def _row(name: str, base: PreTrainedModel, load: Load, *, checkpointing: bool) -> dict[str, Any]:
    from fedward.client.training import modes

    model = _adapted(base, load)
    batch = _batch(load, next(model.parameters()).device)
    with modes.checkpointing(model, wanted=checkpointing):
        seconds, peaks = _in_turns(model, batch, load)
    reference = statistics.median(seconds["nonprivate"])
    ratios = {arm: statistics.median(values) / reference for arm, values in seconds.items() if arm != "nonprivate"}
    memory = peaks["fused"] / peaks["nonprivate"] if peaks["nonprivate"] else 1.0
    return {
        "name": f"{name}{' checkpointing' if checkpointing else ''}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_s": {arm: load.rows * load.tokens / statistics.median(v) for arm, v in seconds.items()},
        "step_s": {arm: statistics.median(values) for arm, values in seconds.items()},
        "time_ratio": ratios,
        "peak_bytes": peaks,
        "peak_memory_ratio": memory,
        "passed": ratios["fused"] <= MAX_RATIO and memory <= MAX_RATIO,
    }


def _adapted(base: PreTrainedModel, load: Load) -> PeftModel:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=load.rank, lora_alpha=2 * load.rank, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0
    )
    with quiet():
        model = get_peft_model(base, config, autocast_adapter_dtype=True)  # the factors stay float32
    return model.train()


def _batch(load: Load, device: torch.device) -> PackedBatch:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, VOCABULARY, (load.rows, load.tokens), generator=generator)
    batch = batch_of([[record] for record in ids.tolist()])
    return replace(
        batch,
        token_ids=batch.token_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        labels=batch.labels.to(device),
    )


def _in_turns(model: PeftModel, batch: PackedBatch, load: Load) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of every step, and the most bytes that the allocator held; a first block warms up and is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    peaks = dict.fromkeys(ARMS, 0)
    for block in range(load.blocks + 1):
        for name, attach in ARMS.items():
            torch.cuda.reset_peak_memory_stats()
            arm = attach(model, batch)
            times = [_timed(arm.step) for _ in range(load.steps_per_block)]
            arm.detach()
            if block:
                seconds[name] += times
                peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated())
    return seconds, peaks


def _timed(step: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start
