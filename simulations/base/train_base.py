"""Train the embedded base model: a byte-level tokenizer and a tiny Llama, on public synthetic texts alone.

::

    OMP_NUM_THREADS=1 python -m fedward.simulations.base.train_base --out DIR

The texts come from ``fedward.simulations.hospitals.public_notes``: nothing is downloaded and no record is read. On one
machine with one thread the same seed gives the same weights; another processor may round otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fedward.common.atomic import replace_directory
from fedward.common.errors import TrainingError
from fedward.simulations.hospitals import public_notes

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

MAX_WEIGHTS_BYTES = 4_000_000
MAX_POSITIONS = 512
MAX_TOKEN_BYTES = 9  # three Chinese characters: longer tokens would be whole phrases of the grammar
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>")  # ids 0, 1, 2
_HELDOUT_SEED_OFFSET = 1_000_003


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecipe:
    """Everything that decides what the weights become."""

    seed: int = 20260
    num_texts: int = 30_000
    vocab_size: int = 2560
    hidden_size: int = 128
    intermediate_size: int = 320
    num_layers: int = 2
    num_heads: int = 4
    num_steps: int = 600
    batch_rows: int = 24
    row_tokens: int = 128
    peak_learning_rate: float = 4e-3
    warmup_steps: int = 50
    label_smoothing: float = 0.05
    num_heldout_texts: int = 200


def train_base(out: Path, recipe: BaseRecipe, console: Console, *, command: str = "") -> dict[str, Any]:
    """Train and write the model folder ``out`` (replaced as a whole); returns what ``provenance.json`` holds.

    Raises:
        TrainingError: the loss is not finite, or the weights are larger than the package may carry.
    """
    import torch

    torch.manual_seed(recipe.seed)
    console.print(f"Writing {recipe.num_texts} public texts")
    texts = [note.text for note in public_notes(seed=recipe.seed, count=recipe.num_texts)]
    tokenizer = train_tokenizer(texts, recipe.vocab_size)
    rows = pack(texts, tokenizer, recipe.row_tokens)
    console.print(f"{rows.numel()} tokens, {len(tokenizer)} in the vocabulary")
    model: Any = build_model(recipe)  # transformers wraps `to` in a way that hides its types
    losses = _train(model, rows, recipe, console)
    model.to(torch.float16)  # measure what is stored, not what was trained
    heldout = [n.text for n in public_notes(seed=recipe.seed + _HELDOUT_SEED_OFFSET, count=recipe.num_heldout_texts)]
    perplexity = measure_perplexity(model.to(torch.float32), tokenizer, heldout)
    console.print(f"perplexity of {len(heldout)} held-out public texts: {perplexity:.2f}")
    with replace_directory(out) as folder:
        model.to(torch.float16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for path in folder.iterdir():
            path.chmod(0o644)  # the weights come out readable by their owner alone
        provenance = _provenance(folder, recipe, losses, perplexity, command)
        (folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", "utf-8")
    return provenance


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE without normalisation: every text comes back byte for byte.

    Digits stand alone, so that numbers never seen before cost the model no more than those it has seen.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_BYTES,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    pad, bos, eos = SPECIAL_TOKENS
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, SPECIAL_TOKENS.index(bos))]
    )
    wrapper: Any = PreTrainedTokenizerFast  # its constructor is not typed
    tokenizer: PreTrainedTokenizerFast = wrapper(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
        padding_side="right",
    )
    return tokenizer


def pack(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, row_tokens: int) -> Tensor:
    """Return (rows, ``row_tokens``) int64: ``<s> text </s>`` one after the other, without padding, the rest cut off."""
    import torch

    stream = [token for ids in tokenizer(list(texts))["input_ids"] for token in (*ids, tokenizer.eos_token_id)]
    num_rows = len(stream) // row_tokens
    return torch.tensor(stream[: num_rows * row_tokens]).view(num_rows, row_tokens)


def build_model(recipe: BaseRecipe) -> LlamaForCausalLM:
    """Return the untrained model, float32."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    special: dict[str, Any] = {f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos"))}
    config = LlamaConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        num_key_value_heads=recipe.num_heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        initializer_range=0.05,
        **special,
    )
    model = LlamaForCausalLM(config)
    generation: Any = GenerationConfig  # its constructor is not typed
    model.generation_config = generation(**special, max_new_tokens=64)
    return model


def measure_perplexity(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> float:
    """Return exp of the mean negative log-likelihood per token, ``</s>`` included, text by text."""
    import torch

    total, count = 0.0, 0
    model.train(False)
    with torch.no_grad():
        for text in texts:
            row = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])[:, :MAX_POSITIONS]
            total += float(model(input_ids=row, labels=row).loss) * (row.shape[1] - 1)
            count += row.shape[1] - 1
    return math.exp(total / count)


def _train(model: LlamaForCausalLM, rows: Tensor, recipe: BaseRecipe, console: Console) -> list[float]:
    """AdamW with warm-up and cosine decay; returns the loss of every step, in nats per token."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak_learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate_factor(step, recipe))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(recipe.seed))
    losses: list[float] = []
    model.train()
    columns = (TextColumn("loss {task.fields[loss]:.3f}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=recipe.num_steps, loss=math.nan)
        for step in range(recipe.num_steps):
            batch = rows[order[torch.arange(step * recipe.batch_rows, (step + 1) * recipe.batch_rows) % len(rows)]]
            loss = _loss(model, batch, recipe.label_smoothing)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise TrainingError(f"the loss of step {step + 1} is not finite")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, loss=losses[-1])
    return losses


def _loss(model: LlamaForCausalLM, batch: Tensor, label_smoothing: float) -> Tensor:
    """Return the mean cross-entropy; smoothed labels keep the model from certainty about texts of another kind."""
    import torch

    logits = model(input_ids=batch).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch[:, 1:].flatten(), label_smoothing=label_smoothing
    )


def _learning_rate_factor(step: int, recipe: BaseRecipe) -> float:
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.num_steps - recipe.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _provenance(
    folder: Path, recipe: BaseRecipe, losses: list[float], perplexity: float, command: str
) -> dict[str, Any]:
    weights = folder / "model.safetensors"
    if weights.stat().st_size > MAX_WEIGHTS_BYTES:
        raise TrainingError(
            f"the weights are {weights.stat().st_size} bytes, the package may carry {MAX_WEIGHTS_BYTES}"
        )
    tenth = max(1, len(losses) // 10)
    return {
        "command": command,
        "data": "fedward.simulations.hospitals.public_notes, synthetic; no record of a person",
        "recipe": asdict(recipe),
        "loss_nats_per_token": [round(sum(part) / len(part), 4) for part in _chunks(losses, tenth)],
        "heldout_public_perplexity": round(perplexity, 3),
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())},
    }


def _chunks(values: list[float], size: int) -> list[list[float]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def main() -> None:
    """Parse the command line and train."""
    import torch
    from transformers.utils import logging

    silence: Callable[[], None] = logging.disable_progress_bar
    silence()  # of the one file that is saved; ours stays
    parser = argparse.ArgumentParser(description="Train the embedded base model on public synthetic texts.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model; replaced as a whole")
    parser.add_argument("--seed", type=int, default=BaseRecipe().seed)
    parser.add_argument("--steps", type=int, default=BaseRecipe().num_steps)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, depends on the number of threads
    command = f"python -m fedward.simulations.base.train_base --seed {options.seed} --steps {options.steps}"
    recipe = BaseRecipe(seed=options.seed, num_steps=options.steps)
    train_base(options.out, recipe, Console(), command=f"{command} --out DIR")


if __name__ == "__main__":
    main()
