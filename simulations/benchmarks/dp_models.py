"""Randomly initialised language models with LoRA, and synthetic batches, for the benchmarks of the DP engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fedward.client.training.guards import PROVEN_ARCHITECTURES
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import GPT2Config

    from fedward.client.training.packing import PackedBatch

TARGETS: tuple[Literal["q,v", "all-linear"], ...] = ("q,v", "all-linear")
VOCABULARY = 1000
_ATTENTION = {"gpt2": ["c_attn"], "bert": ["query", "value"]}
_HEAD_WIDTH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one step computes: a model of two layers and the shape of its batch."""

    architecture: str
    targets: Literal["q,v", "all-linear"]
    """``q,v``: the projections of queries and values (in GPT-2 the one matrix that holds them); or all linear layers
    but the head."""
    width: int
    tokens: int
    rows: int = 16
    layers: int = 2
    rank: int = 8

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.architecture} d={self.width} T={self.tokens} B={self.rows} {self.targets}"


def attention_of(architecture: str) -> list[str]:
    """Names of the modules that the targets ``q,v`` mean."""
    return _ATTENTION.get(architecture, ["q_proj", "v_proj"])


def build(work: Work, *, seed: int = 0) -> PeftModel:
    """A random base with an adapter, in training mode, without dropout; B is not zero, so that dA is not either."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch import nn

    everywhere = work.targets == "all-linear"
    config = LoraConfig(
        r=work.rank,
        lora_alpha=2 * work.rank,
        target_modules="all-linear" if everywhere else attention_of(work.architecture),
        task_type="CAUSAL_LM",
        fan_in_fan_out=work.architecture == "gpt2",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(base(work), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.02)
    return model.train()


def base(work: Work) -> nn.Module:
    """The base alone, from torch's generator.

    Raises:
        ConfigError: an architecture that the benchmark does not know.
    """
    import transformers as tf

    d, heads = work.width, max(1, work.width // _HEAD_WIDTH)
    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": d,
        "num_hidden_layers": work.layers,
        "num_attention_heads": heads,
        "max_position_embeddings": work.tokens,
    }
    gated = {**common, "intermediate_size": 16 * (d // 6), "num_key_value_heads": max(1, heads // 2)}
    match work.architecture:
        case "gpt2":
            return tf.GPT2LMHeadModel(_gpt2(work, heads))
        case "llama":
            return tf.LlamaForCausalLM(tf.LlamaConfig(**gated))
        case "qwen2":
            return tf.Qwen2ForCausalLM(tf.Qwen2Config(**gated, tie_word_embeddings=True))
        case "qwen3":
            return tf.Qwen3ForCausalLM(tf.Qwen3Config(**gated, head_dim=d // heads))
        case "opt":
            return tf.OPTForCausalLM(tf.OPTConfig(**common, ffn_dim=4 * d, word_embed_proj_dim=d, dropout=0.0))
        case "bert":
            rates: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
            return tf.BertLMHeadModel(tf.BertConfig(**common, intermediate_size=4 * d, is_decoder=True, **rates))
    raise ConfigError(f"architecture = {work.architecture!r}: expected one of {', '.join(PROVEN_ARCHITECTURES)}")


def _gpt2(work: Work, heads: int) -> GPT2Config:
    """Its configuration has names of its own."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=work.width,
        n_layer=work.layers,
        n_head=heads,
        n_positions=work.tokens,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def batch_of(units: Sequence[Sequence[Sequence[int]]]) -> PackedBatch:
    """All patients in one physical batch, by the product's own packer: ordered by their longest record."""
    from fedward.client.training.packing import pack

    (batch,) = pack(units, max_batch_tokens=1 << 40, max_units=len(units), pad_token_id=0)
    return batch


def full_batch(work: Work, *, seed: int = 1) -> PackedBatch:
    """``work.rows`` patients of one record of ``work.tokens`` tokens each."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY, (work.rows, work.tokens), generator=generator)
    return batch_of([[record] for record in ids.tolist()])


def ragged_patients(num_units: int, *, max_tokens: int, max_records: int = 3, seed: int = 2) -> list[list[list[int]]]:
    """Patients with 1 to ``max_records`` records of 5 to ``max_tokens`` tokens; the first ones have 1, 2, … of them."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    def record() -> list[int]:
        return [number(2, VOCABULARY - 1) for _ in range(number(5, max_tokens))]

    counts = [*range(1, max_records + 1), *(number(1, max_records) for _ in range(num_units - max_records))]
    return [[record() for _ in range(count)] for count in counts[:num_units]]
