"""Which factor is trained in a round, and what the server does with the sum.

W = W₀ + γ·B·A. Averaging A and B apart is wrong by mean((Bᵢ − B̄)(Aᵢ − Ā)), and noise on both factors multiplies; so in
every round one factor is common and only the other is trained, noised and summed: linear, and exact under secure
aggregation. ``ffa`` (Sun et al. 2024, "Improving LoRA in Privacy-preserving Federated Learning") freezes A from the
start.
"""

from __future__ import annotations

from typing import Literal

from fedward.common.config import TensorSpec
from fedward.common.lora.adapters import FACTOR_B, Layout


def trained_layout(method: Literal["ffa"], layout: Layout) -> tuple[TensorSpec, ...]:
    """The tensors that sites train and send, in the layout's order."""
    return tuple(spec for spec in layout if FACTOR_B in spec.name)
