"""``fedward bench dp``: its figures, its verdict, its rows for CUDA, and that the gradient check can fail."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.common.errors import ConfigError
from fedward.simulations import bench_cli
from fedward.simulations.benchmarks import dp, dp_audit
from fedward.simulations.benchmarks.dp_architectures import architecture_works, check_gradients
from fedward.simulations.benchmarks.dp_arms import ARMS, CLIP_NORM, quiet
from fedward.simulations.benchmarks.dp_models import Work, base, build, full_batch, ragged_patients

HEADLINE = {
    "cpu_ratio_nonprivate",
    "cpu_ratio_opacus_hooks",
    "cpu_ratio_noise_floor",
    "flops_ratio",
    "peak_memory_ratio",
    "max_relative_gradient_error",
    "architectures",
}
TINY = Work(architecture="llama", targets="all-linear", width=64, tokens=16, rows=4)
SCOPE = dp.Scope(
    shapes=(TINY,),
    architectures=(Work(architecture="gpt2", targets="q,v", width=64, tokens=16, rows=4), TINY),
    repeats=2,
    training_call=False,
)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return dp.measure(SCOPE)


# ---------------------------------------------------------------------------------------------------- figures


def test_the_object_has_the_promised_keys_and_is_json(figures: dict[str, Any]) -> None:
    assert set(json.loads(json.dumps(figures))) >= HEADLINE


def test_operations_and_bytes_of_the_engine_are_those_of_a_plain_step(figures: dict[str, Any]) -> None:
    row = figures["shapes"][0]
    assert row["flops_ratio"]["noise_floor"] == row["peak_memory_ratio"]["noise_floor"] == 1.0
    assert 1.0 < figures["flops_ratio"] < 1.02  # a tiny model: the norms weigh more than at full size
    assert row["flops_ratio"]["fused"] < row["flops_ratio"]["opacus_hooks"] < row["flops_ratio"]["opacus_ghost"]
    assert 0.9 < figures["peak_memory_ratio"] < 1.2


def test_the_largest_gradient_error_is_that_of_the_worst_row(figures: dict[str, Any]) -> None:
    errors = [row["relative_gradient_error"] for row in figures["architectures"]]
    assert figures["max_relative_gradient_error"] == max(errors) <= 1e-5
    assert all(row["rolled_units_error"] > 0.1 for row in figures["architectures"])


def test_the_headline_time_is_the_worst_shapes(figures: dict[str, Any]) -> None:
    assert figures["cpu_ratio_nonprivate"] == max(row["cpu_ratio"]["fused"]["median"] for row in figures["shapes"])


def test_every_headline_figure_is_defined(figures: dict[str, Any]) -> None:
    assert {name for name, value in figures.items() if isinstance(value, float)} <= set(dp.DEFINITIONS)


def test_the_full_scope_is_the_design_pages_shapes_and_six_architectures_with_both_targets() -> None:
    scope = dp.Scope.full(15)
    assert [(w.architecture, w.width, w.tokens, w.targets, w.rows) for w in scope.shapes] == [
        ("gpt2", 256, 128, "q,v", 16),
        ("llama", 256, 128, "all-linear", 16),
        ("llama", 128, 512, "all-linear", 16),
    ]
    assert len({(w.architecture, w.targets) for w in scope.architectures}) == 12


GOOD = {
    "cpu_ratio_nonprivate": 1.04,
    "cpu_ratio_noise_floor": 0.98,
    "flops_ratio": 1.001,
    "peak_memory_ratio": 1.01,
    "max_relative_gradient_error": 1e-6,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ok"),
        ({"cpu_ratio_nonprivate": 1.06}, "FAIL: cpu_ratio_nonprivate"),
        ({"cpu_ratio_noise_floor": 1.031}, "INCONCLUSIVE"),
        ({"cpu_ratio_noise_floor": 0.969, "cpu_ratio_nonprivate": 1.2}, "INCONCLUSIVE"),
        ({"flops_ratio": 1.006}, "FAIL: flops_ratio"),
        ({"peak_memory_ratio": 1.06}, "FAIL: peak_memory_ratio"),
        ({"max_relative_gradient_error": 2e-5, "cpu_ratio_noise_floor": 2.0}, "FAIL: max_relative_gradient_error"),
        ({"max_relative_gradient_error": float("nan")}, "FAIL: max_relative_gradient_error"),
    ],
)
def test_the_verdict(changes: dict[str, float], expected: str) -> None:
    assert dp.verdict({**GOOD, **changes}).startswith(expected)


def test_a_cuda_row_over_its_limit_fails_the_verdict() -> None:
    rows: list[dict[str, Any]] = [{"name": "bf16", "passed": True}, {"name": "nf4", "skipped": "not run"}]
    assert dp.verdict(GOOD, cuda=rows) == "ok" == dp.verdict(GOOD, cuda="not run: no CUDA device")
    assert dp.verdict(GOOD, cuda=[*rows, {"name": "nf4", "passed": False}]) == "FAIL: cuda nf4"


def test_small_models_are_judged_by_what_is_counted_and_not_by_time() -> None:
    assert not dp.Scope.quick(7).judges_time
    assert dp.verdict({**GOOD, "cpu_ratio_nonprivate": 1.5}, judges_time=False).startswith("ok, but")
    assert dp.verdict({**GOOD, "flops_ratio": 1.5}, judges_time=False).startswith("FAIL: flops_ratio")


# ---------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("work", architecture_works(width=64, tokens=24, rows=2), ids=lambda work: work.name)
def test_gradients_of_every_architecture_are_those_of_a_loop(work: Work) -> None:
    with quiet():
        check = check_gradients(build(work), max_tokens=24)
    assert check.error <= 1e-5
    assert check.control > 0.1


def test_the_gradient_check_notices_rolled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LoraGradSampleHooks.set_units

    def rolled(self: LoraGradSampleHooks, units: Tensor | int) -> None:
        right(self, units if isinstance(units, int) else units.roll(1))

    monkeypatch.setattr(LoraGradSampleHooks, "set_units", rolled)
    with quiet():
        assert check_gradients(build(TINY), max_tokens=16).error > 0.1


def test_the_gradient_check_notices_an_error_of_one_in_ten_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LoraGradSampleHooks.loss_scale.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(LoraGradSampleHooks, "loss_scale", property(lambda self: right(self) * (1 + 1e-4)))
    with quiet():
        assert check_gradients(build(TINY), max_tokens=16).error > 1e-5


def test_ragged_patients_have_one_two_and_three_records() -> None:
    units = ragged_patients(7, max_tokens=37)
    assert {len(unit) for unit in units} == {1, 2, 3}
    assert len({len(record) for unit in units for record in unit}) > 5


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of gpt2"):
        base(Work(architecture="mamba", targets="q,v", width=64, tokens=16))


# ---------------------------------------------------------------------------------------------------- arms


def gradients_after(arm: str, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the arm's optimiser stepped with, noise turned off."""
    from fedward.simulations.benchmarks import dp_arms

    monkeypatch.setattr(dp_arms, "NOISE_MULTIPLIER", 0.0)
    with quiet():
        model, batch = build(TINY), full_batch(TINY)
        before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
        ARMS[arm](model, batch).step()
    after = [p.detach() for p in model.parameters() if p.requires_grad]
    return [(a - b) / dp_arms.LEARNING_RATE for a, b in zip(after, before, strict=True)]


@pytest.mark.parametrize("arm", ["opacus_hooks", "opacus_ghost"])
def test_the_private_arms_do_the_same_work(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = gradients_after("fused", monkeypatch), gradients_after(arm, monkeypatch)
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).norm() / b.norm()) < 0.05  # weights of float32 less their neighbours
    assert float(torch.cat([g.flatten() for g in ours]).norm()) <= CLIP_NORM * 1.01


def test_an_arm_that_is_detached_leaves_the_model_to_the_next() -> None:
    with quiet():
        model, batch = build(TINY), full_batch(TINY)
        for name in ("fused", "nonprivate", "fused"):
            arm = ARMS[name](model, batch)
            arm.step()
            arm.detach()
    assert not any("forward" in vars(module) for module in model.modules())


# ---------------------------------------------------------------------------------------------------- CUDA


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_its_rows_say_so(figures: dict[str, Any]) -> None:
    assert figures["cuda"] == "not run: no CUDA device"


def small_load(monkeypatch: pytest.MonkeyPatch, device: str) -> list[dict[str, Any]]:
    from transformers import LlamaConfig

    from fedward.simulations.benchmarks.dp_cuda import Load, measure_cuda

    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    return measure_cuda(config, Load(rows=2, tokens=16, rank=4, steps_per_block=1, blocks=2), device)


def test_the_code_of_the_cuda_rows_runs_on_a_cpu_in_the_devices_stead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1000)
    rows = small_load(monkeypatch, "cpu")
    assert [row["name"] for row in rows] == ["bf16", "bf16 checkpointing", "nf4"]
    assert rows[0]["time_ratio"]["fused"] > 0
    assert rows[2]["skipped"] == "not run: bitsandbytes is not installed"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_cuda_rows_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = small_load(monkeypatch, "cuda")
    assert all(row["peak_bytes"]["fused"] > 0 for row in rows[:2])


# ---------------------------------------------------------------------------------------------------- command line


def test_the_command_prints_one_json_object_as_its_last_line(
    monkeypatch: pytest.MonkeyPatch, figures: dict[str, Any]
) -> None:
    monkeypatch.setattr(dp, "measure", lambda scope, ui: {**figures, "verdict": "ok", "passed": True})
    done = CliRunner().invoke(bench_cli.bench_app, ["dp", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout.strip().splitlines()[-1])["verdict"] == "ok"
    assert "gpt2" in done.stderr


def test_a_failed_verdict_is_a_failed_command(monkeypatch: pytest.MonkeyPatch, figures: dict[str, Any]) -> None:
    monkeypatch.setattr(dp, "measure", lambda scope, ui: {**figures, "verdict": "FAIL: flops_ratio", "passed": False})
    assert figures["passed"] is not figures["verdict"].startswith("FAIL")
    done = CliRunner().invoke(bench_cli.bench_app, ["dp", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout.strip().splitlines()[-1])["verdict"] == "FAIL: flops_ratio"


def audit_figures(passed: bool) -> dict[str, Any]:
    path = {
        "mu_ratio": 1.0 if passed else 5.0,
        "noise_ratio": 1.0,
        "idle_noise_ratio": 1.0,
        "is_torch_generator_untouched": True,
        "cpu_s": 1.0,
        "passed": passed,
    }
    return {"mu_theory": 1.07, "tolerance": 0.2, "paths": {"fused": path}, "passed": passed}


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_the_audit_fails_as_a_command_if_a_path_is_off(
    passed: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dp_audit, "measure", lambda ui: audit_figures(passed))
    done = CliRunner().invoke(bench_cli.bench_app, ["dp", "--audit", "--json"])
    assert done.exit_code == code
    assert json.loads(done.stdout.strip().splitlines()[-1])["passed"] is passed


@pytest.mark.slow
def test_the_training_call_on_the_embedded_base_is_timed() -> None:
    found = dp._training_call(2, lambda: None)
    assert set(found["cpu_s"]) == {"nonprivate", "noise_floor", "fused"}
