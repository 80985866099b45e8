from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from fedward.common.errors import TrainingError
from fedward.simulations.base import train_base as module
from fedward.simulations.base.train_base import (
    BaseRecipe,
    build_model,
    measure_perplexity,
    pack,
    train_base,
    train_tokenizer,
)
from fedward.simulations.hospitals import public_notes

TINY = BaseRecipe(
    num_texts=200, vocab_size=400, hidden_size=16, intermediate_size=32, num_layers=1, num_heads=2, num_steps=12,
    batch_rows=4, row_tokens=32, warmup_steps=2, num_heldout_texts=4,
)  # fmt: skip


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_same_seed_gives_the_same_weights_and_the_loss_falls(tmp_path: Path) -> None:
    first = train_base(tmp_path / "a", TINY, quiet())
    second = train_base(tmp_path / "b", TINY, quiet())
    assert first["sha256"] == second["sha256"]
    assert first["loss_nats_per_token"][-1] < first["loss_nats_per_token"][0] < math.log(TINY.vocab_size) + 0.5


def test_provenance_is_beside_the_weights(tmp_path: Path) -> None:
    returned = train_base(tmp_path / "a", TINY, quiet(), command="as tested")
    stored = json.loads((tmp_path / "a/provenance.json").read_text("utf-8"))
    assert stored == json.loads(json.dumps(returned))
    assert stored["command"] == "as tested"
    weights = load_file(tmp_path / "a/model.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in weights.values())


def test_weights_that_are_too_large_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WEIGHTS_BYTES", 1000)
    with pytest.raises(TrainingError, match="bytes"):
        train_base(tmp_path / "a", TINY, quiet())
    assert not list(tmp_path.iterdir())


def test_rows_hold_whole_texts_between_their_marks() -> None:
    texts = [note.text for note in public_notes(seed=1, count=50)]
    tokenizer = train_tokenizer(texts, 400)
    rows = pack(texts, tokenizer, 16)
    stream = rows.flatten().tolist()
    assert rows.shape[1] == 16
    assert stream[0] == tokenizer.bos_token_id
    ends = [place for place, token in enumerate(stream[:-1]) if token == tokenizer.eos_token_id]
    assert ends
    assert all(stream[place + 1] == tokenizer.bos_token_id for place in ends)
    assert tokenizer.decode(stream[1 : ends[0]]) == texts[0]


def test_perplexity_of_a_model_that_knows_nothing_is_the_size_of_the_vocabulary() -> None:
    texts = [note.text for note in public_notes(seed=1, count=50)]
    tokenizer = train_tokenizer(texts, 400)
    model = build_model(TINY)
    torch.nn.init.zeros_(model.model.embed_tokens.weight)  # tied to the output: all logits are zero
    assert measure_perplexity(model, tokenizer, texts[:3]) == pytest.approx(TINY.vocab_size, rel=1e-4)
