import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fedward.common.errors import ConfigError, DataError, TrainingError
from fedward.common.evaluation import scores
from fedward.common.evaluation.likelihoods import token_likelihoods
from fedward.common.evaluation.utility import score_texts

VOCAB_SIZE = 37
TEXTS = [[1, 5, 9, 2], [1, 2], [1, 7, 7, 7, 30, 36, 0, 2], [1, 2, 2, 2, 2]]


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            attention_dropout=0.5,  # figures would differ from call to call if it stayed on
            initializer_range=0.5,
        )
    )


@pytest.mark.parametrize("max_batch_tokens", [1, 12, 8192])
def test_sums_are_the_losses_of_the_utility(model: LlamaForCausalLM, max_batch_tokens: int) -> None:
    found = token_likelihoods(model, TEXTS, pad_token_id=2, max_batch_tokens=max_batch_tokens)
    losses = [score.nll_nats for score in score_texts(model, TEXTS, [0] * 4, pad_token_id=0)]
    assert [-text.log_p.sum() for text in found] == pytest.approx(losses, abs=1e-5)
    assert [text.log_p.size for text in found] == [3, 1, 7, 4]


def test_mean_and_deviation_are_over_the_vocabulary(model: LlamaForCausalLM) -> None:
    (found,) = token_likelihoods(model, TEXTS[:1], pad_token_id=0)
    model.train(False)
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor(TEXTS[:1])).logits[0, :-1].double().log_softmax(-1).numpy()
    p = np.exp(log_p)
    mean = (p * log_p).sum(-1)
    assert found.mean == pytest.approx(mean, abs=1e-5)
    assert found.deviation == pytest.approx(np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(-1)), abs=1e-5)


def test_uniform_model_has_no_deviation(model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (found,) = token_likelihoods(model, TEXTS[:1], pad_token_id=0)
    assert found.log_p == pytest.approx([-math.log(VOCAB_SIZE)] * 3, abs=1e-6)
    assert scores.minkpp(found) == pytest.approx(0.0, abs=1e-2)


def test_tokens_of_a_secret_are_scored_alone(model: LlamaForCausalLM) -> None:
    secrets = [slice(1, 3), None, slice(0, 7), None]
    found = token_likelihoods(model, TEXTS, pad_token_id=0, secrets=secrets)
    assert scores.slot(found[0]) == pytest.approx(found[0].log_p[1:3].sum())
    assert scores.slot(found[2]) == pytest.approx(found[2].log_p.sum())
    with pytest.raises(DataError):
        scores.slot(found[1])


def test_nothing_to_score_gives_nothing(model: LlamaForCausalLM) -> None:
    assert token_likelihoods(model, [], pad_token_id=0) == []


def test_training_flags_come_back(model: LlamaForCausalLM) -> None:
    model.train()
    token_likelihoods(model, TEXTS, pad_token_id=0)
    assert all(module.training for module in model.modules())


def test_impossible_input_is_refused(model: LlamaForCausalLM) -> None:
    for texts, secrets in (([[1]], None), ([[]], None), ([[1, VOCAB_SIZE]], None), ([[1, 2]], [None, None])):
        with pytest.raises(DataError):
            token_likelihoods(model, texts, pad_token_id=0, secrets=secrets)
    with pytest.raises(ConfigError):
        token_likelihoods(model, TEXTS, pad_token_id=0, max_batch_tokens=0)


def test_likelihood_that_is_not_finite_is_refused(model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    with pytest.raises(TrainingError):
        token_likelihoods(model, TEXTS, pad_token_id=0)
