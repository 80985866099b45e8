import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from fedward.common.errors import ConfigError, DataError, EmptyDataError, TrainingError
from fedward.common.evaluation import text_batches
from fedward.common.evaluation.utility import TextScore, bits_per_byte, perplexity, score_texts

VOCAB_SIZE = 37
TEXTS = [[1, 5, 9, 2], [1, 2], [1, 7, 7, 7, 30, 36, 0, 2], [1], [1, 2, 2, 2, 2]]
BYTES = [9, 0, 20, 0, 4]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        attention_dropout=0.5,  # scores would differ from call to call if it stayed on
        initializer_range=0.5,  # far from uniform
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def uniform_model(model: LlamaForCausalLM) -> LlamaForCausalLM:
    uniform = LlamaForCausalLM(model.config)
    with torch.no_grad():
        uniform.lm_head.weight.zero_()
    return uniform


def naive_nll(model: LlamaForCausalLM, ids: Sequence[int]) -> float:
    """One text, one token at a time, without any batch, pad or mask."""
    total = 0.0
    model.train(False)
    for end in range(1, len(ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:end]])).logits[0, -1].double()
        total -= float(logits.log_softmax(-1)[ids[end]])
    return total


def test_known_answer_of_two_texts() -> None:
    scores = [TextScore(10.0, 10, 25), TextScore(6.0, 2, 5)]
    assert perplexity(scores) == pytest.approx(3.79367, abs=5e-6)
    assert bits_per_byte(scores) == pytest.approx(0.76944, abs=5e-6)
    mean_per_text = sum(perplexity([score]) for score in scores) / 2
    assert mean_per_text == pytest.approx(11.402, abs=5e-4)  # the wrong answer, far from ours


@pytest.mark.parametrize("pad_token_id", [0, 2, 36])
@pytest.mark.parametrize("max_batch_tokens", [1, 8, 20, 8192])
def test_uniform_model_has_the_perplexity_of_its_vocabulary(
    uniform_model: LlamaForCausalLM, pad_token_id: int, max_batch_tokens: int
) -> None:
    scores = score_texts(uniform_model, TEXTS, BYTES, pad_token_id=pad_token_id, max_batch_tokens=max_batch_tokens)
    assert perplexity(scores) == pytest.approx(VOCAB_SIZE, rel=1e-6)
    assert [score.num_tokens for score in scores] == [3, 1, 7, 0, 4]
    assert [score.num_bytes for score in scores] == BYTES


def test_scores_are_those_of_the_naive_loop(model: LlamaForCausalLM) -> None:
    scores = score_texts(model, TEXTS, BYTES, pad_token_id=2)
    assert [score.nll_nats for score in scores] == pytest.approx([naive_nll(model, ids) for ids in TEXTS], abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=1, max_size=12), min_size=1, max_size=6),
    max_batch_tokens=st.integers(1, 80),
    pad_token_id=st.integers(0, VOCAB_SIZE - 1),
    random=st.randoms(use_true_random=False),
)
def test_order_batch_size_and_padding_change_nothing(
    model: LlamaForCausalLM,
    texts: list[list[int]],
    max_batch_tokens: int,
    pad_token_id: int,
    random: object,
) -> None:
    alone = [score_texts(model, [ids], [0], pad_token_id=0)[0].nll_nats for ids in texts]
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    together = score_texts(
        model,
        [texts[index] for index in order],
        [0] * len(texts),
        pad_token_id=pad_token_id,
        max_batch_tokens=max_batch_tokens,
    )
    assert [score.nll_nats for score in together] == pytest.approx(
        [alone[index] for index in order], abs=1e-5, rel=1e-6
    )


def test_a_longer_neighbour_which_adds_padding_changes_nothing(model: LlamaForCausalLM) -> None:
    text = [1, 2, 2, 9, 2]  # ends in tokens that look like padding
    alone = score_texts(model, [text], [5], pad_token_id=2)[0]
    for num_pads in (1, 10, 40):
        neighbour = [1] * (len(text) + num_pads)
        padded = score_texts(model, [text, neighbour], [5, 5], pad_token_id=2)[0]
        assert padded.nll_nats == pytest.approx(alone.nll_nats, abs=1e-5)


def test_flags_of_all_modules_are_restored_after_success_and_after_failure(model: LlamaForCausalLM) -> None:
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    score_texts(model, TEXTS, BYTES, pad_token_id=0)
    assert [module.training for module in model.modules()] == before

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_texts(model, TEXTS, BYTES, pad_token_id=0, on_batch=interrupt)
    assert [module.training for module in model.modules()] == before


def test_progress_ends_with_all_texts(model: LlamaForCausalLM) -> None:
    seen: list[tuple[int, int]] = []
    score_texts(model, TEXTS, BYTES, pad_token_id=0, max_batch_tokens=8, on_batch=lambda *state: seen.append(state))
    assert seen == [(1, 5), (2, 5), (4, 5), (5, 5)]


def test_no_batch_passes_the_bound_on_logits(model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    handle = model.register_forward_hook(lambda _module, _args, output: sizes.append(output.logits.numel()))
    monkeypatch.setattr(text_batches, "MAX_BATCH_LOGITS", 10 * VOCAB_SIZE)
    score_texts(model, [[1, 2, 3, 4]] * 5, [0] * 5, pad_token_id=0)
    handle.remove()
    assert sizes == [8 * VOCAB_SIZE, 8 * VOCAB_SIZE, 4 * VOCAB_SIZE]


def test_nothing_to_score_gives_no_scores(model: LlamaForCausalLM) -> None:
    assert score_texts(model, [], [], pad_token_id=0) == []


def test_likelihood_that_is_not_finite_is_refused(uniform_model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        uniform_model.lm_head.weight.fill_(math.nan)
    with pytest.raises(TrainingError):
        score_texts(uniform_model, TEXTS, BYTES, pad_token_id=0)


@pytest.mark.parametrize(
    ("token_ids", "num_bytes", "pad_token_id"),
    [
        ([[1, 2]], [], 0),
        ([[1, 2], []], [1, 1], 0),
        ([[1, 2]], [-1], 0),
        ([[1, VOCAB_SIZE]], [1], 0),
        ([[1, -1]], [1], 0),
        ([[1, 2]], [1], VOCAB_SIZE),
    ],
    ids=["lengths differ", "empty text", "negative bytes", "token too large", "token below zero", "pad too large"],
)
def test_impossible_input_is_refused(
    model: LlamaForCausalLM, token_ids: list[list[int]], num_bytes: list[int], pad_token_id: int
) -> None:
    with pytest.raises(DataError):
        score_texts(model, token_ids, num_bytes, pad_token_id=pad_token_id)


def test_batch_of_no_tokens_is_refused(model: LlamaForCausalLM) -> None:
    with pytest.raises(ConfigError):
        score_texts(model, TEXTS, BYTES, pad_token_id=0, max_batch_tokens=0)


def test_no_scored_token_has_no_perplexity() -> None:
    with pytest.raises(EmptyDataError):
        perplexity([TextScore(0.0, 0, 5)])


def test_no_scored_byte_has_no_bits_per_byte() -> None:
    with pytest.raises(EmptyDataError):
        bits_per_byte([TextScore(0.0, 5, 0)])


def test_hopeless_model_has_infinite_perplexity() -> None:
    assert perplexity([TextScore(800.0, 1, 1)]) == math.inf
