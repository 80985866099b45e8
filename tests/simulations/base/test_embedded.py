"""The shipped model as users meet it. The texts are drawn from seeds that the training has not seen."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedward.simulations import base as module
from fedward.simulations.base import embedded_base_dir
from fedward.simulations.base.train_base import MAX_WEIGHTS_BYTES, BaseRecipe, measure_perplexity
from fedward.simulations.hospitals import generate_hospitals, public_notes

# Perplexity per token. A uniform guess over the vocabulary has 2560.
PUBLIC_BOUND, PRIVATE_FLOOR, PRIVATE_BOUND = 5.0, 30.0, 400.0


@dataclass(frozen=True)
class Loaded:
    model: Any  # LlamaForCausalLM; the Auto classes promise no more than their union
    tokenizer: Any


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AutoModelForCausalLM.from_pretrained(embedded_base_dir(), local_files_only=True, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(embedded_base_dir(), local_files_only=True)
    yield Loaded(model, tokenizer)
    torch.set_num_threads(threads)


def test_exported_names_exist() -> None:
    assert module.__all__ == ["embedded_base_dir"]
    assert embedded_base_dir().is_dir()


def test_weights_are_small_and_half_precision() -> None:
    assert (embedded_base_dir() / "model.safetensors").stat().st_size <= MAX_WEIGHTS_BYTES
    assert json.loads((embedded_base_dir() / "config.json").read_text("utf-8"))["dtype"] == "float16"


def test_files_are_those_of_the_provenance() -> None:
    provenance = json.loads((embedded_base_dir() / "provenance.json").read_text("utf-8"))
    present = {path.name for path in embedded_base_dir().iterdir()} - {"provenance.json"}
    digests = {name: hashlib.sha256(_bytes(name)).hexdigest() for name in present}
    assert provenance["sha256"] == digests
    assert {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json"} <= present


def test_provenance_holds_the_present_recipe() -> None:
    provenance = json.loads((embedded_base_dir() / "provenance.json").read_text("utf-8"))
    assert BaseRecipe(**provenance["recipe"]) == BaseRecipe()
    assert provenance["loss_nats_per_token"][0] > provenance["loss_nats_per_token"][-1]


def test_special_tokens_agree_in_model_and_tokenizer(loaded: Loaded) -> None:
    ids = (0, 1, 2)
    for owner in (loaded.tokenizer, loaded.model.config, loaded.model.generation_config):
        assert (owner.pad_token_id, owner.bos_token_id, owner.eos_token_id) == ids
    assert len(loaded.tokenizer) == loaded.model.config.vocab_size


def test_texts_begin_with_the_begin_token_once(loaded: Loaded) -> None:
    ids = loaded.tokenizer("患者 stable")["input_ids"]
    assert ids[0] == loaded.tokenizer.bos_token_id
    assert ids.count(loaded.tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    "text", ["【主诉】胸闷3天，HR 88次/分。", "BP 120/80 mmHg , don't  stop .", " \n\té😀\u200b𠮷"]
)
def test_known_texts_come_back(loaded: Loaded, text: str) -> None:
    assert _round_trip(loaded, text) == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text("患者主诉，。【】 \nABCxyz0123456789/<s>"))
def test_every_text_comes_back_byte_for_byte(loaded: Loaded, text: str) -> None:
    assert _round_trip(loaded, text).encode() == text.encode()


def test_base_knows_public_texts_and_has_yet_to_learn_those_of_hospitals(loaded: Loaded) -> None:
    public = [note.text for note in public_notes(seed=987_654, count=60)]
    sites = generate_hospitals(seed=987_654, patients_per_site=1, heldout_patients_per_site=6)
    private = [note.text for site in sites for note in site.heldout[:15]]
    assert measure_perplexity(loaded.model, loaded.tokenizer, public) < PUBLIC_BOUND
    assert PRIVATE_FLOOR < measure_perplexity(loaded.model, loaded.tokenizer, private) < PRIVATE_BOUND


def _round_trip(loaded: Loaded, text: str) -> str:
    ids = loaded.tokenizer(text, split_special_tokens=True)["input_ids"]
    return str(loaded.tokenizer.decode(ids[1:]))


def _bytes(name: str) -> bytes:
    path: Path = embedded_base_dir() / name
    return path.read_bytes()
