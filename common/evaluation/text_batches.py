"""Texts through a causal language model in batches of bounded memory, each with the logits of its scored tokens.

Invariants: every token after the first is scored, given all before it; what is padding is said by the attention mask,
never by a token id (with pad = end token an id test would drop real end tokens); the model's training flags and
dropout are as before afterwards. Not handled here: cutting long texts, and what becomes of the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fedward.common.errors import DataError

if TYPE_CHECKING:
    import torch

# Logits of one batch: 2^27 float32 numbers are 512 MiB. Kept small by smaller batches, not by applying the output
# layer piecewise: some models scale or cap their logits after it.
MAX_BATCH_LOGITS = 2**27


def vocabulary_of(model: torch.nn.Module, token_ids: Sequence[Sequence[int]], pad_token_id: int) -> int:
    """The size of the model's vocabulary, which every token is in.

    Raises:
        DataError: a text without any token, or a token the model does not know.
    """
    config: Any = model.config
    vocab_size = int(config.vocab_size)
    if not all(token_ids):
        raise DataError("a text without any token", hint="Every text starts with a begin token.")
    # Checked here: on a GPU an unknown token stops the whole process.
    if not all(min(ids) >= 0 and max(ids) < vocab_size for ids in (*token_ids, [pad_token_id])):
        raise DataError(f"a token outside the model's vocabulary of {vocab_size}")
    return vocab_size


def text_batches(lengths: Sequence[int], max_batch_tokens: int, vocab_size: int) -> Iterator[list[int]]:
    """Indices of texts of similar length, longest first; B x T within ``max_batch_tokens`` and the bound on logits."""
    limit_tokens = min(max_batch_tokens, MAX_BATCH_LOGITS // vocab_size)
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        # The first of a batch is its longest.
        if batch and lengths[batch[0]] * (len(batch) + 1) > limit_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def text_logits(
    model: torch.nn.Module, texts: Sequence[Sequence[int]], pad_token_id: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Per text of one batch, logits (T, V) and targets (T,) on one device; T may be 0.

    Text by text: a softmax of the whole batch would need the memory of its logits again.
    """
    import torch

    width = max(map(len, texts))
    if width == 1:  # nothing but context
        yield from ((torch.zeros(0, 1), torch.zeros(0, dtype=torch.long)) for _ in texts)
        return
    ids = torch.tensor([[*text, *[pad_token_id] * (width - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    device = next(model.parameters()).device
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    for row, text in enumerate(texts):
        yield logits[row, : len(text) - 1], ids[row, 1 : len(text)].to(logits.device)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch off dropout and gradients; restore the flag of every module, for frozen parts may differ."""
    import torch

    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in flags:
            module.training = training


__all__ = ["evaluating", "MAX_BATCH_LOGITS", "text_batches", "text_logits", "vocabulary_of"]
