"""``fedward bench dp``: what a private step costs, side by side with the same step without privacy and with Opacus.

One process, one thread, the same model, batch and losses in every arm, the arms in turns. The non-private arm runs
twice; how far its second copy is from the first tells what the machine can resolve, and where that is more than three
percent the verdict is INCONCLUSIVE rather than a figure to quote.
"""

from __future__ import annotations

import copy
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fedward.simulations.benchmarks.dp_architectures import MAX_TOKENS, architecture_works, check_gradients
from fedward.simulations.benchmarks.dp_arms import ARMS, Attach, quiet
from fedward.simulations.benchmarks.dp_models import Work, build, full_batch
from fedward.simulations.console import Interface, Silent

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor

    from fedward.client.training.packing import PackedBatch

SHAPES = (
    Work(architecture="gpt2", targets="q,v", width=256, tokens=128),
    Work(architecture="llama", targets="all-linear", width=256, tokens=128),
    Work(architecture="llama", targets="all-linear", width=128, tokens=512),
)
QUICK_SHAPES = (
    Work(architecture="gpt2", targets="q,v", width=64, tokens=32, rows=4),
    Work(architecture="llama", targets="all-linear", width=64, tokens=32, rows=4),
)
MIN_REPEATS = 7
MAX_CPU_RATIO = 1.05
MAX_FLOPS_RATIO = 1.005
MAX_MEMORY_RATIO = 1.05
MAX_GRADIENT_ERROR = 1e-5
MAX_FLOOR = 0.03
"""By how much the second non-private arm may differ from the first."""

DEFINITIONS: Mapping[str, str] = {
    "cpu_ratio_*": "CPU time of an arm over that of the non-private step in the same turn; the median over the turns, "
    "then the largest over the shapes (for the noise floor the one farthest from 1)",
    "cpu_ratio_nonprivate": "our engine (fused path, clipping and CSPRNG noise included) over the non-private step",
    "cpu_ratio_opacus_hooks": "Opacus' module hooks with its DPOptimizer over the non-private step",
    "cpu_ratio_opacus_ghost": "Opacus' ghost clipping over the non-private step",
    "cpu_ratio_noise_floor": "the non-private step again over the non-private step: what the machine can resolve",
    "cpu_ratio_training_call": "train() on the embedded base, attaching and packing included, over the same steps by "
    "plain autograd",
    "cpu_ratio_architectures": "our engine over the non-private step, the median over the architectures' medians",
    "flops_ratio": "our engine over the non-private step, the largest over shapes and architectures; counted",
    "peak_memory_ratio": "the same of the bytes of tensors alive at once, attaching included, the model and the batch "
    "left out; counted",
    "max_relative_gradient_error": "per-unit gradients against one backward for each record, ragged patients, relative "
    "L2 error of a tensor, the largest over tensors, architectures and targets",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is measured."""

    shapes: tuple[Work, ...]
    """With all five arms; the headline figures of time come from these."""
    architectures: tuple[Work, ...]
    """With the engine and the non-private step."""
    repeats: int
    training_call: bool = True
    """Whether to time a site's whole training call too."""
    judges_time: bool = True
    """Whether the verdict is about time too."""
    cuda: bool = True
    """Whether to measure on a CUDA device, if there is one."""

    @property
    def architecture_repeats(self) -> int:
        """Twelve rows that only show that no architecture falls out of line take fewer turns."""
        return min(self.repeats, MIN_REPEATS)

    @classmethod
    def full(cls, repeats: int) -> Scope:
        """The shapes of the design page, and six architectures of the same size."""
        works = architecture_works(width=256, tokens=128, rows=16)
        return cls(shapes=SHAPES, architectures=tuple(works), repeats=repeats)

    @classmethod
    def quick(cls, repeats: int) -> Scope:
        """Small models: operations, bytes and gradients count as much as at full size, times say little."""
        works = architecture_works(width=64, tokens=32, rows=4)
        return cls(shapes=QUICK_SHAPES, architectures=tuple(works), repeats=repeats, judges_time=False)


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        scope: what to measure.
        ui: shows progress.

    Returns:
        A JSON object: the headline figures, ``verdict``, ``definitions``, and all rows behind them.
    """
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    turns = scope.repeats * (len(scope.shapes) + scope.training_call)
    turns += scope.architecture_repeats * len(scope.architectures)
    with (ui or Silent()).bar("private step against plain step", turns) as tick, quiet():
        done = 0

        def turn() -> None:
            nonlocal done
            done += 1
            tick(done)

        shapes = [measure_row(work, ARMS, scope.repeats, turn) for work in scope.shapes]
        short = {name: ARMS[name] for name in ("nonprivate", "noise_floor", "fused")}
        few = scope.architecture_repeats
        architectures = [_architecture_row(work, short, few, turn) for work in scope.architectures]
        call = _training_call(scope.repeats, turn) if scope.training_call else None
    return _summary(scope, shapes, architectures, call)


def measure_row(
    work: Work, arms: Mapping[str, Attach], repeats: int, on_turn: Callable[[], None] | None = None
) -> dict[str, Any]:
    """All measures of one shape.

    Args:
        work: the shape.
        arms: by name; ``nonprivate`` must be among them.
        repeats: turns that are timed.
        on_turn: called after each.

    Returns:
        For each arm: ``cpu_s`` (median), ``flops``, ``peak_bytes``, and the ratios of all to ``nonprivate``.
    """
    from fedward.simulations.benchmarks import dp_meters

    model, batch = build(work), full_batch(work)
    operations = {name: dp_meters.flops(attach(copy.deepcopy(model), batch).step) for name, attach in arms.items()}
    peaks = {name: _peak(attach, copy.deepcopy(model), batch) for name, attach in arms.items()}
    steps = {name: attach(copy.deepcopy(model), batch).step for name, attach in arms.items()}
    seconds = dp_meters.cpu_seconds(steps, repeats=repeats, on_turn=on_turn)
    times = _times(seconds)
    return {
        "name": work.name,
        **times,
        "flops": operations,
        "flops_ratio": {name: count / operations["nonprivate"] for name, count in operations.items()},
        "peak_bytes": peaks,
        "peak_memory_ratio": {name: count / peaks["nonprivate"] for name, count in peaks.items()},
    }


def _peak(attach: Attach, model: PeftModel, batch: PackedBatch) -> int:
    from fedward.simulations.benchmarks.dp_meters import peak_bytes

    return peak_bytes(lambda: attach(model, batch).step, _resting(model, batch))


def _resting(model: PeftModel, batch: PackedBatch) -> Iterable[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    yield from (batch.token_ids, batch.attention_mask, batch.labels)


def _times(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    from statistics import median

    from fedward.simulations.benchmarks.dp_meters import ratio

    ratios = {name: ratio(values, seconds["nonprivate"]) for name, values in seconds.items() if name != "nonprivate"}
    return {
        "cpu_s": {name: median(values) for name, values in seconds.items()},
        "cpu_ratio": {name: asdict(value) for name, value in ratios.items()},
        "is_conclusive": abs(ratios["noise_floor"].median - 1) <= MAX_FLOOR,
    }


def _architecture_row(
    work: Work, arms: Mapping[str, Attach], repeats: int, on_turn: Callable[[], None]
) -> dict[str, Any]:
    check = check_gradients(build(work), max_tokens=min(MAX_TOKENS, work.tokens))
    row = measure_row(work, arms, repeats, on_turn)
    return {
        "architecture": work.architecture,
        "targets": work.targets,
        "relative_gradient_error": check.error,
        "rolled_units_error": check.control,
        **row,
    }


def _training_call(repeats: int, on_turn: Callable[[], None]) -> dict[str, Any]:
    from fedward.simulations.benchmarks.dp_embedded import training_calls
    from fedward.simulations.benchmarks.dp_meters import cpu_seconds

    return _times(cpu_seconds(training_calls(), repeats=repeats, on_turn=on_turn))


def _summary(
    scope: Scope, shapes: list[dict[str, Any]], architectures: list[dict[str, Any]], call: dict[str, Any] | None
) -> dict[str, Any]:
    from statistics import median

    def worst_time(arm: str) -> float:
        return max(float(row["cpu_ratio"][arm]["median"]) for row in shapes)

    floors = [float(row["cpu_ratio"]["noise_floor"]["median"]) for row in shapes]
    rows = shapes + architectures
    figures: dict[str, Any] = {
        "cpu_ratio_nonprivate": worst_time("fused"),
        "cpu_ratio_noise_floor": max(floors, key=lambda value: abs(value - 1)),
        "cpu_ratio_opacus_hooks": worst_time("opacus_hooks"),
        "cpu_ratio_opacus_ghost": worst_time("opacus_ghost"),
        "cpu_ratio_architectures": median(row["cpu_ratio"]["fused"]["median"] for row in architectures),
        "cpu_ratio_training_call": call["cpu_ratio"]["fused"]["median"] if call else None,
        "flops_ratio": max(row["flops_ratio"]["fused"] for row in rows),
        "peak_memory_ratio": max(row["peak_memory_ratio"]["fused"] for row in rows),
        "max_relative_gradient_error": max(row["relative_gradient_error"] for row in architectures),
    }
    cuda = _cuda() if scope.cuda else "not run"
    figures["verdict"] = verdict(figures, judges_time=scope.judges_time, cuda=cuda)
    return {
        **figures,
        "passed": not figures["verdict"].startswith("FAIL"),
        "repeats": scope.repeats,
        "architecture_repeats": scope.architecture_repeats,
        "shapes": shapes,
        "architectures": architectures,
        "training_call": call,
        "cuda": cuda,
        "definitions": dict(DEFINITIONS),
        "device": {"processor": platform.machine(), "threads": 1},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "opacus", "peft", "transformers")},
    }


def verdict(
    figures: Mapping[str, float], *, judges_time: bool = True, cuda: str | Sequence[Mapping[str, Any]] = ()
) -> str:
    """``ok``, ``FAIL: …`` with what is over its limit, or ``INCONCLUSIVE: …`` if only the time cannot be told.

    Args:
        figures: the headline.
        judges_time: False leaves time out of it.
        cuda: the rows of a CUDA device, which are judged by themselves; or why there are none.
    """
    limits = {
        "flops_ratio": MAX_FLOPS_RATIO,
        "peak_memory_ratio": MAX_MEMORY_RATIO,
        "max_relative_gradient_error": MAX_GRADIENT_ERROR,
    }
    over = [f"{name} > {limit:g}" for name, limit in limits.items() if not figures[name] <= limit]
    is_conclusive = abs(figures["cpu_ratio_noise_floor"] - 1) <= MAX_FLOOR
    if judges_time and is_conclusive and not figures["cpu_ratio_nonprivate"] <= MAX_CPU_RATIO:
        over.append(f"cpu_ratio_nonprivate > {MAX_CPU_RATIO:g}")
    over += [f"cuda {row['name']}" for row in cuda if not isinstance(row, str) and row.get("passed") is False]
    if over:
        return "FAIL: " + ", ".join(over)
    if not judges_time:
        return "ok, but small models: times are not judged"
    return "ok" if is_conclusive else "INCONCLUSIVE: the second non-private arm is off by more than 3 %"


def _cuda() -> Any:  # noqa: ANN401 - rows, or why there are none
    import torch

    if not torch.cuda.is_available():
        return "not run: no CUDA device"
    from fedward.simulations.benchmarks.dp_cuda import measure_cuda

    return measure_cuda()
