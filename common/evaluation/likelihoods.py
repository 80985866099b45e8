"""Token likelihoods of texts under a causal language model, as membership scores and exposure need them.

Invariants: from float32 log-softmax; every token after the first is scored once, given all before it; one text's
softmax at a time, so that memory is that of a batch's logits. Not handled here: tokenising, and the scores
(``scores``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedward.common import _validate
from fedward.common.errors import DataError, TrainingError
from fedward.common.evaluation.scores import TokenLikelihoods
from fedward.common.evaluation.text_batches import evaluating, text_batches, text_logits, vocabulary_of

if TYPE_CHECKING:
    import torch


def token_likelihoods(
    model: torch.nn.Module,
    token_ids: Sequence[Sequence[int]],
    *,
    pad_token_id: int,
    secrets: Sequence[slice | None] | None = None,
    max_batch_tokens: int = 8192,
) -> list[TokenLikelihoods]:
    """The ln p of each token, with mean and deviation of ln p over the vocabulary at its step.

    Args:
        model: as for ``utility.score_texts``.
        token_ids: per text, a begin token as context, then one token or more.
        pad_token_id: any token of the model; masked.
        secrets: per text, where the secret's tokens stand among the scored ones; None for no secret.
        max_batch_tokens: B x T at most.

    Returns:
        One per text, in the order given.

    Raises:
        DataError: lengths differ, a text without a scored token, or a token the model does not know.
        TrainingError: the model gives a likelihood that is not finite.
    """
    _validate.positive(max_batch_tokens=max_batch_tokens)
    places = [None] * len(token_ids) if secrets is None else list(secrets)
    if len(places) != len(token_ids) or any(len(ids) < 2 for ids in token_ids):
        raise DataError("each text needs one token to score, and each a place of its secret or None")
    vocab_size = vocabulary_of(model, token_ids, pad_token_id)
    results: list[TokenLikelihoods | None] = [None] * len(token_ids)
    with evaluating(model):
        for batch in text_batches([len(ids) for ids in token_ids], max_batch_tokens, vocab_size):
            texts = [token_ids[index] for index in batch]
            for index, (logits, targets) in zip(batch, text_logits(model, texts, pad_token_id), strict=True):
                results[index] = _of_text(logits, targets, places[index])
    return [result for result in results if result is not None]


def _of_text(logits: torch.Tensor, targets: torch.Tensor, secret: slice | None) -> TokenLikelihoods:
    """From logits (T, V) and targets (T,)."""
    import torch

    log_p = torch.log_softmax(logits.float(), dim=-1)
    p = log_p.exp()
    # A token that cannot follow (p = 0) weighs nothing; 0 times -inf would be NaN.
    mean = torch.where(p > 0, p * log_p, 0.0).sum(-1)
    variance = torch.where(p > 0, p * (log_p - mean[:, None]) ** 2, 0.0).sum(-1)
    chosen = log_p.gather(1, targets[:, None])[:, 0]
    if not bool(torch.isfinite(chosen).all()):
        raise TrainingError("the model gives likelihoods that are not finite", hint="Lower the learning rate.")
    return TokenLikelihoods(
        log_p=chosen.double().cpu().numpy(),
        mean=mean.double().cpu().numpy(),
        deviation=variance.sqrt().double().cpu().numpy(),
        secret=secret,
    )


__all__ = ["token_likelihoods"]
