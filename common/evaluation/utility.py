"""Perplexity and bits per byte of texts under a causal language model.

Invariants: every token after the first is scored once, given all before it; what is padding is said by the attention
mask, never by a token id (with pad = end token an id test would drop real end tokens); sums are float64 over tokens,
never a mean over batches or texts.
Not handled here: cutting long texts (the caller does) and intervals over units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedward.common import _validate
from fedward.common.errors import DataError, EmptyDataError, TrainingError
from fedward.common.evaluation.text_batches import evaluating, text_batches, text_logits, vocabulary_of

if TYPE_CHECKING:
    import torch


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
            still where B x T x V would pass ``text_batches.MAX_BATCH_LOGITS``.
        on_batch: is told after each batch how many texts are done, and of how many.

    Returns:
        One score per text, in the order given.

    Raises:
        DataError: lengths differ, a text without a token, or a token the model does not know.
        TrainingError: the model gives a likelihood that is not finite.
    """
    _validate.positive(max_batch_tokens=max_batch_tokens)
    if len(token_ids) != len(num_bytes):
        raise DataError(f"{len(token_ids)} texts but {len(num_bytes)} byte counts")
    if any(size < 0 for size in num_bytes):
        raise DataError("a byte count is negative")
    vocab_size = vocabulary_of(model, token_ids, pad_token_id)
    losses = [0.0] * len(token_ids)
    done = 0
    with evaluating(model):
        for batch in text_batches([len(ids) for ids in token_ids], max_batch_tokens, vocab_size):
            texts = [token_ids[index] for index in batch]
            for index, (logits, targets) in zip(batch, text_logits(model, texts, pad_token_id), strict=True):
                losses[index] = _text_loss(logits, targets)
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


def _text_loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Sum -ln softmax(logits)[target]; logits (T, V), targets (T,), T may be 0."""
    import torch

    losses = torch.nn.functional.cross_entropy(logits.float(), targets.to(logits.device), reduction="none")
    return float(losses.double().sum())
