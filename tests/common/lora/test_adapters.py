from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.config import RunPlan, TensorSpec
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters

PREFIX = "base_model.model.model.layers.0.self_attn"
LAYOUT = (
    TensorSpec(name=f"{PREFIX}.q_proj.lora_A.weight", shape=(2, 5)),
    TensorSpec(name=f"{PREFIX}.q_proj.lora_B.weight", shape=(3, 2)),
    TensorSpec(name=f"{PREFIX}.v_proj.lora_A.weight", shape=(2, 5)),
    TensorSpec(name=f"{PREFIX}.v_proj.lora_B.weight", shape=(4, 2)),
)
SIZE = 10 + 6 + 10 + 8


@st.composite
def layouts(draw: st.DrawFn) -> tuple[TensorSpec, ...]:
    names = draw(st.lists(st.text("abé.", max_size=6), max_size=4, unique=True))
    sizes = st.integers(1, 6)
    return adapters.ordered(
        TensorSpec(name=f"{name}.lora_{factor}.weight", shape=(draw(sizes), draw(sizes)))
        for name in names
        for factor in "AB"
    )


def numbered(layout: adapters.Layout) -> adapters.Adapter:
    return adapters.unflatten(layout, np.arange(adapters.num_coordinates(layout), dtype=np.float32))


@given(layouts())
def test_unflatten_undoes_flatten(layout: tuple[TensorSpec, ...]) -> None:
    adapter = numbered(layout)
    vector = adapters.flatten(layout, adapter)
    back = adapters.unflatten(layout, vector)
    assert vector.dtype == np.float32
    assert vector.tolist() == list(range(adapters.num_coordinates(layout)))
    assert all(np.array_equal(back[spec.name], adapter[spec.name]) for spec in layout)
    assert all(back[spec.name].shape == spec.shape for spec in layout)


def test_unflattened_arrays_are_copies() -> None:
    vector = np.zeros(SIZE, np.float32)
    adapter = adapters.unflatten(LAYOUT, vector)
    vector += 1
    assert not any(value.any() for value in adapter.values())


@pytest.mark.parametrize("shape", [(SIZE - 1,), (SIZE + 1,), (0,), (SIZE, 1)])
def test_vector_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        adapters.unflatten(LAYOUT, np.zeros(shape, np.float32))


# ---------------------------------------------------------------------------------------------------- layout


def test_tensors_are_ordered_bytewise() -> None:
    assert adapters.ordered(reversed(LAYOUT)) == LAYOUT


BAD_LAYOUTS = {
    "twice": (*LAYOUT, LAYOUT[0]),
    "empty shape": (TensorSpec(name="x.lora_A.weight", shape=(0, 3)),),
    "no factor": (TensorSpec(name="x.weight", shape=(2, 3)),),
    "both factors": (TensorSpec(name="x.lora_A.lora_B.weight", shape=(2, 3)),),
    "too many": (TensorSpec(name="x.lora_A.weight", shape=(1 << 13, (1 << 13) + 1)),),
}


@pytest.mark.parametrize("name", BAD_LAYOUTS)
def test_layout_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        adapters.ordered(BAD_LAYOUTS[name])


def test_most_coordinates_are_allowed() -> None:
    assert adapters.ordered([TensorSpec(name="x.lora_A.weight", shape=(1 << 13, 1 << 13))])


CHANGED_LAYOUTS = {
    "name": (LAYOUT[0].model_copy(update={"name": LAYOUT[0].name + "x"}), *LAYOUT[1:]),
    "shape": (LAYOUT[0].model_copy(update={"shape": (5, 2)}), *LAYOUT[1:]),
    "fewer": LAYOUT[1:],
    "order": tuple(reversed(LAYOUT)),
    "none": (),
}


@pytest.mark.parametrize("name", CHANGED_LAYOUTS)
def test_any_change_of_the_layout_changes_its_digest(name: str) -> None:
    assert adapters.layout_digest(CHANGED_LAYOUTS[name]) != adapters.layout_digest(LAYOUT)


@pytest.mark.parametrize("position", range(SIZE))
def test_any_changed_number_changes_the_adapter_digest(position: int) -> None:
    vector = np.arange(SIZE, dtype=np.float32)
    before = adapters.adapter_digest(LAYOUT, adapters.unflatten(LAYOUT, vector))
    vector[position] = np.nextafter(vector[position], np.float32(99))
    assert adapters.adapter_digest(LAYOUT, adapters.unflatten(LAYOUT, vector)) != before


def test_names_and_shapes_are_part_of_the_adapter_digest() -> None:
    square = (TensorSpec(name="x.lora_A.weight", shape=(2, 3)),)
    turned = (TensorSpec(name="x.lora_A.weight", shape=(3, 2)),)
    renamed = (TensorSpec(name="y.lora_A.weight", shape=(2, 3)),)
    assert len({adapters.adapter_digest(layout, numbered(layout)) for layout in (square, turned, renamed)}) == 3


# ---------------------------------------------------------------------------------------------------- start


def test_start_is_the_same_on_every_call_and_depends_on_the_seed() -> None:
    first, again, other = (adapters.initial_adapter(LAYOUT, seed) for seed in (1, 1, 2))
    assert adapters.adapter_digest(LAYOUT, first) == adapters.adapter_digest(LAYOUT, again)
    assert adapters.adapter_digest(LAYOUT, first) != adapters.adapter_digest(LAYOUT, other)


# Computed without the project's code, from SHA-256 and AES alone.
PINNED_START = "309c1ebd5831923e5c0f78be8844acbe"


def test_start_is_pinned_to_the_bit() -> None:
    layout = (TensorSpec(name="x.lora_A.weight", shape=(1, 4)),)
    assert adapters.initial_adapter(layout, 7)["x.lora_A.weight"].tobytes().hex() == PINNED_START


def test_start_that_a_caller_changes_is_not_the_next_ones() -> None:
    expected = adapters.adapter_digest(LAYOUT, adapters.initial_adapter(LAYOUT, 5))
    for value in adapters.initial_adapter(LAYOUT, 5).values():
        value += 1
    assert adapters.adapter_digest(LAYOUT, adapters.initial_adapter(LAYOUT, 5)) == expected


def test_start_with_orthonormal_rows_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def counted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        calls.append(rows.shape)
        return rows

    monkeypatch.setattr(adapters, "orthonormal_rows", counted)
    for _ in range(3):
        adapters.initial_adapter(LAYOUT, 987_654, orthonormal=True)
    assert calls == [(2, 5), (2, 5)]


def test_tensors_of_the_same_shape_start_differently() -> None:
    start = adapters.initial_adapter(LAYOUT, 0)
    assert not np.array_equal(start[LAYOUT[0].name], start[LAYOUT[2].name])


def test_start_is_zero_in_b_and_uniform_within_its_bound_in_a() -> None:
    layout = (
        TensorSpec(name="x.lora_A.weight", shape=(64, 100)),
        TensorSpec(name="x.lora_B.weight", shape=(100, 64)),
    )
    start = adapters.initial_adapter(layout, 3)
    factor = start["x.lora_A.weight"]
    bound = 1 / math.sqrt(100)
    assert not start["x.lora_B.weight"].any()
    assert np.abs(factor).max() <= np.float32(bound)
    assert abs(factor.mean()) < 5 * bound / math.sqrt(3 * factor.size)
    assert abs(factor.std() / bound - 1 / math.sqrt(3)) < 0.02


# ---------------------------------------------------------------------------------------------------- bytes


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=8))
def test_bytes_and_back_is_the_identity(values: list[float]) -> None:
    vector = np.array(values, np.float32)
    raw = adapters.vector_to_bytes(vector)
    assert np.array_equal(adapters.vector_from_bytes(raw, len(values)), vector)


@pytest.mark.parametrize("size", [0, 7, 9, 12])
def test_bytes_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="not 2 numbers"):
        adapters.vector_from_bytes(bytes(size), 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        adapters.vector_from_bytes(np.array([0, value], "<f4").tobytes(), 2)


# ---------------------------------------------------------------------------------------------------- PEFT


def test_target_modules_are_the_last_names() -> None:
    assert adapters.target_modules(LAYOUT) == ("q_proj", "v_proj")


def plan_for(layout: adapters.Layout, rank: int) -> RunPlan:
    document = {
        "schema": "fedward.plan/1",
        "name": "test",
        "lora": {"rank": rank, "alpha": 8.0},
        "secagg": {"profile": "plain_ring", "min_cohort": 1},
        "sites": [{"id": "a", "nominal_units": 10}],
        "layout": [spec.model_dump() for spec in layout],
    }
    return RunPlan.from_bytes(json.dumps(document).encode())


def tiny_llama() -> Any:  # noqa: ANN401
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
    )
    model: Any = LlamaForCausalLM(config)
    return model.eval()


# peft 0.21 asks transformers 5.23 by an old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_saved_folder_loads_in_peft_and_gives_the_same_logits(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict

    config = LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
    tuned: Any = get_peft_model(tiny_llama(), config)
    tuned.eval()
    shapes = {name: tuple(value.shape) for name, value in get_peft_model_state_dict(tuned).items()}
    layout = adapters.ordered(TensorSpec(name=name, shape=shape) for name, shape in shapes.items())
    vector = np.sin(np.arange(adapters.num_coordinates(layout))).astype(np.float32)
    adapter = adapters.unflatten(layout, vector)

    folder = tmp_path / "adapter"
    adapters.save_peft(folder, plan_for(layout, 3), adapter, base_path="tiny")
    loaded: Any = PeftModel.from_pretrained(tiny_llama(), str(folder))
    loaded.eval()
    state = {name.replace(".weight", ".default.weight"): torch.from_numpy(value) for name, value in adapter.items()}
    missing = tuned.load_state_dict(state, strict=False)
    assert missing.unexpected_keys == []

    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        expected, got, plain = (model(input_ids=tokens).logits for model in (tuned, loaded, tiny_llama()))
    assert torch.equal(got, expected)
    assert not torch.allclose(got, plain)


def test_saved_folder_holds_two_files_and_replaces_an_older_one(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "old").touch()
    adapters.save_peft(folder, plan_for(LAYOUT, 2), numbered(LAYOUT), base_path="tiny", fan_in_fan_out=True)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (2, 8.0, True)
    assert config["use_rslora"] is False
