"""Perplexity and bits per byte of texts under a causal language model.

Invariants: every token after the first is scored once, given all before it; what is padding is said by the attention
mask, never by a token id (with pad = end token an id test would drop real end tokens); sums are float64 over tokens,
never a mean over batches or texts.
Not handled here: cutting long texts (the caller does) and intervals over units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedward.common import _validate
from fedward.common.errors import DataError, EmptyDataError, TrainingError

if TYPE_CHECKING:
    import torch

# Logits of one batch: 2^27 float32 numbers are 512 MiB. Kept small by smaller batches, not by applying the output
# layer piecewise: some models scale or cap their logits after it.
MAX_BATCH_LOGITS = 2**27


@dataclass(frozen=True)
class TextScore:
    """What one text costs.

    Args:
        nll_nats: sum of the negative log-likelihoods of the scored tokens.
        num_tokens: scored tokens; the first token of a text is context only.
        num_bytes: UTF-8 bytes of what was scored.
    """

    nll_nats: float
    num_tokens: int
    num_bytes: int


def score_texts(
    model: torch.nn.Module,
    token_ids: Sequence[Sequence[int]],
    num_bytes: Sequence[int],
    *,
    pad_token_id: int,
    max_batch_tokens: int = 8192,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[TextScore]:
    """Score each text; the model is in evaluation mode meanwhile and gets its training flags back.

    Args:
        model: returns logits of shape (B, T, V) and has ``config.vocab_size``.
        token_ids: per text, a begin token as context, then the tokens to score.
        num_bytes: per text, UTF-8 bytes scored; of a cut text those of the part kept.
        pad_token_id: any token of the model; it fills the right side and is masked.
        max_batch_tokens: B x T at most, padding included; a longer text makes a batch alone. Batches are smaller
            still where B x T x V would pass ``MAX_BATCH_LOGITS``.
        on_batch: is told after each batch how many texts are done, and of how many.

    Returns:
        One score per text, in the order given.

    Raises:
        DataError: lengths differ, a text without a token, or a token the model does not know.
        TrainingError: the model gives a likelihood that is not finite.
    """
    _validate.positive(max_batch_tokens=max_batch_tokens)
    config: Any = model.config
    vocab_size = int(config.vocab_size)
    _check(token_ids, num_bytes, pad_token_id, vocab_size)
    limit_tokens = min(max_batch_tokens, MAX_BATCH_LOGITS // vocab_size)
    losses = [0.0] * len(token_ids)
    done = 0
    with _evaluating(model):
        for batch in _batches([len(ids) for ids in token_ids], limit_tokens):
            texts = [token_ids[index] for index in batch]
            for index, loss in zip(batch, _batch_losses(model, texts, pad_token_id), strict=True):
                losses[index] = loss
            done += len(batch)
            if on_batch is not None:
                on_batch(done, len(token_ids))
    if not all(map(math.isfinite, losses)):
        raise TrainingError("the model gives likelihoods that are not finite", hint="Lower the learning rate.")
    return [
        TextScore(nll_nats=loss, num_tokens=len(ids) - 1, num_bytes=size)
        for loss, ids, size in zip(losses, token_ids, num_bytes, strict=True)
    ]


def perplexity(scores: Sequence[TextScore]) -> float:
    """Return exp(sum of nll / number of tokens) over all texts; inf where that is beyond float64.

    Raises:
        EmptyDataError: no token was scored.
    """
    num_tokens = sum(score.num_tokens for score in scores)
    if num_tokens == 0:
        raise EmptyDataError("no token was scored")
    try:
        return math.exp(math.fsum(score.nll_nats for score in scores) / num_tokens)
    except OverflowError:
        return math.inf


def bits_per_byte(scores: Sequence[TextScore]) -> float:
    """Return sum of nll / (ln 2 x number of UTF-8 bytes): comparable across tokenizers and languages.

    Raises:
        EmptyDataError: no byte was scored.
    """
    num_bytes = sum(score.num_bytes for score in scores)
    if num_bytes == 0:
        raise EmptyDataError("no byte was scored")
    return math.fsum(score.nll_nats for score in scores) / (math.log(2) * num_bytes)


def _check(token_ids: Sequence[Sequence[int]], num_bytes: Sequence[int], pad_token_id: int, vocab_size: int) -> None:
    if len(token_ids) != len(num_bytes):
        raise DataError(f"{len(token_ids)} texts but {len(num_bytes)} byte counts")
    if any(size < 0 for size in num_bytes):
        raise DataError("a byte count is negative")
    if not all(token_ids):
        raise DataError("a text without any token", hint="Every text starts with a begin token.")
    # Checked here: on a GPU an unknown token stops the whole process.
    if not all(min(ids) >= 0 and max(ids) < vocab_size for ids in (*token_ids, [pad_token_id])):
        raise DataError(f"a token outside the model's vocabulary of {vocab_size}")


def _batches(lengths: Sequence[int], limit_tokens: int) -> Iterator[list[int]]:
    """Yield the indices of texts of similar length, longest first, at most ``limit_tokens`` with padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        # The first of a batch is its longest.
        if batch and lengths[batch[0]] * (len(batch) + 1) > limit_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch_losses(model: torch.nn.Module, texts: Sequence[Sequence[int]], pad_token_id: int) -> list[float]:
    """Return each text's summed negative log-likelihood in nats."""
    import torch

    width = max(map(len, texts))
    if width == 1:  # nothing but context
        return [0.0] * len(texts)
    ids = torch.tensor([[*text, *[pad_token_id] * (width - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    device = next(model.parameters()).device
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    # Text by text: a softmax of the whole batch would need the memory of its logits again.
    return [_text_loss(logits[row, : len(text) - 1], ids[row, 1 : len(text)]) for row, text in enumerate(texts)]


def _text_loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Sum -ln softmax(logits)[target]; logits (T, V), targets (T,), T may be 0."""
    import torch

    losses = torch.nn.functional.cross_entropy(logits.float(), targets.to(logits.device), reduction="none")
    return float(losses.double().sum())


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
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
