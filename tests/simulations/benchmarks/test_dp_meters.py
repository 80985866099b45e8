"""The measures of the DP benchmark count what they say, and notice what they are there to notice."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from fedward.simulations.benchmarks.dp_arms import Attached, fused, non_private, quiet
from fedward.simulations.benchmarks.dp_meters import PeakBytes, cpu_seconds, flops, peak_bytes, ratio
from fedward.simulations.benchmarks.dp_models import Work, build, full_batch

TINY = Work(architecture="llama", targets="all-linear", width=64, tokens=16, rows=4)


def layer_step(extra: Tensor | None = None) -> None:
    """Forward and backward of a linear layer 32 → 16 on 8 rows; with ``extra``, one more product of matrices."""
    layer, x = nn.Linear(32, 16, bias=False), torch.ones(8, 32)
    layer(x).sum().backward()
    if extra is not None:
        extra @ extra


# ---------------------------------------------------------------------------------------------------- operations


def test_a_linear_layer_costs_twice_its_multiplications_in_each_direction() -> None:
    assert flops(layer_step) == 2 * (2 * 8 * 32 * 16)  # forward and dW; no input gradient


def test_the_count_notices_one_more_product_of_matrices() -> None:
    assert flops(lambda: layer_step(torch.ones(10, 10))) == flops(layer_step) + 2 * 10**3


def test_norms_and_matrix_vector_products_are_counted_too() -> None:
    matrix, vector, out = torch.ones(6, 5), torch.ones(5), torch.ones(6)
    for operation in (
        lambda: out.addmv_(matrix, vector),
        lambda: torch.mv(matrix, vector),
        lambda: torch.linalg.vector_norm(matrix, dim=1),
    ):
        assert flops(operation) == 2 * 6 * 5


def test_the_ratio_of_counts_notices_a_second_forward() -> None:
    with quiet():
        model, batch = build(TINY), full_batch(TINY)
    arm = non_private(model, batch)

    def wasteful() -> None:
        model(input_ids=batch.token_ids)
        arm.step()

    assert flops(wasteful) / flops(arm.step) > 1.3


# ---------------------------------------------------------------------------------------------------- bytes


def test_bytes_alive_at_once_are_counted_and_those_freed_are_not() -> None:
    with PeakBytes() as meter:
        for _ in range(5):
            torch.empty(1000, dtype=torch.float32).fill_(1.0)
    assert meter.peak == 4000


def test_two_tensors_alive_at_once_count_both() -> None:
    with PeakBytes() as meter:
        first = torch.empty(1000)
        second = torch.empty(500)
        del first, second
        torch.empty(200)
    assert meter.peak == 6000


def test_a_view_counts_nothing() -> None:
    with PeakBytes() as meter:
        torch.empty(1000).view(10, 100).t()
    assert meter.peak == 4000


def test_what_rested_before_counts_nothing_and_a_foreign_array_counts_when_it_is_read() -> None:
    resting, foreign = torch.ones(1000), torch.ones(300)
    with PeakBytes([resting]) as meter:
        resting.add_(1.0)
        foreign.add_(1.0)
    assert meter.peak == 1200


def test_tensors_that_autograd_keeps_count_until_backward_lets_them_go() -> None:
    weight = torch.ones(1000, requires_grad=True)
    with PeakBytes([weight]) as meter:
        kept = (weight.exp().exp().exp()).sum()  # each result is saved for its own backward
        alive = meter.live
        kept.backward()  # type: ignore[no-untyped-call]
        del kept
    assert alive == 3 * 4000 + 4
    assert meter.live == 4000  # the gradient


def attached(batch_copy: bool) -> int:
    with quiet():
        model, batch = build(TINY), full_batch(TINY)
    kept: list[Tensor] = []

    def attach() -> Attached:
        arm = fused(model, batch)

        def step() -> None:
            if batch_copy:
                kept.append(torch.zeros(1 << 16))
            arm.step()

        return Attached(step=step)

    resting = [*model.parameters(), *model.buffers(), batch.token_ids, batch.attention_mask, batch.labels]
    return peak_bytes(lambda: attach().step, resting)


def test_the_peak_of_a_step_repeats_exactly_and_notices_a_copy_that_is_kept() -> None:
    first, again, with_copies = attached(False), attached(False), attached(True)
    assert first == again
    assert with_copies == first + 2 * 4 * (1 << 16)


def test_the_count_of_bytes_is_that_of_the_allocator() -> None:
    with quiet():
        model, batch = build(TINY), full_batch(TINY)
    arm = non_private(model, batch)
    arm.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
        arm.step()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    resting = [*model.parameters(), *model.buffers(), batch.token_ids, batch.attention_mask, batch.labels]
    with PeakBytes(resting) as meter:
        arm.step()
    assert meter.peak == pytest.approx(peak, rel=0.01)


# ---------------------------------------------------------------------------------------------------- time


def test_arms_run_in_turns_that_start_with_another_arm_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    arms = {name: (lambda name=name: order.append(name)) for name in "abc"}
    turns: list[int] = []
    found = cpu_seconds(arms, repeats=3, on_turn=lambda: turns.append(1))
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"  # the first turn warms up
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3, "c": 3}
    assert len(turns) == 3


def test_the_time_is_the_processors_and_not_the_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(time, "process_time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "perf_counter", None)
    assert cpu_seconds({"a": lambda: None}, repeats=2) == {"a": [1.0, 1.0]}


def test_a_ratio_is_the_median_of_the_turns_own_ratios() -> None:
    found = ratio([1.1, 4.0, 3.3], [1.0, 2.0, 3.0])
    assert found.median == pytest.approx(1.1)
    assert found.lower <= found.median <= found.upper
