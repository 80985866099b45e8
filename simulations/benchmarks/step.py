"""CPU time of private training against the same steps without privacy, on the embedded base with LoRA."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fedward.common.config import RunPlan, to_json, validated

if TYPE_CHECKING:
    from fedward.client.training.session import AdapterSession

_NUM_UNITS = 16
_NUM_TOKENS = 64
_STEPS = 8


def measure(*, repeats: int) -> dict[str, float | int | str]:
    """Seconds of CPU per step of three arms, taken in turns in one process and on one thread.

    The arms: an ordinary LoRA step with autograd, the same again (how far the machine can be trusted), and a private
    step with per-sample gradients, clipping and CSPRNG noise, its share of attaching the engine once a round of eight
    steps included. All take 16 patients of one record of 64 tokens.
    """
    import torch

    from fedward.client.training.base_model import load_base, resolve_base
    from fedward.client.training.session import AdapterSession
    from fedward.simulations.base import embedded_base_dir

    torch.set_num_threads(1)
    model, tokenizer = load_base(resolve_base("embedded", embedded=embedded_base_dir()))
    session = AdapterSession(model, tokenizer, _plan())
    session.probe()
    units = [[[2 + (7 * unit + 3 * token) % 500 for token in range(_NUM_TOKENS)]] for unit in range(_NUM_UNITS)]
    arms = {"plain": _plain(session, units), "plain_again": _plain(session, units), "private": _private(session, units)}
    seconds = _in_turns(arms, repeats)
    ratios = [a / b for a, b in zip(seconds["private"], seconds["plain"], strict=True)]
    control = [a / b for a, b in zip(seconds["plain_again"], seconds["plain"], strict=True)]
    return {
        "patients": _NUM_UNITS,
        "tokens": _NUM_TOKENS,
        "plain_cpu_s_per_step": statistics.median(seconds["plain"]) / _STEPS,
        "private_cpu_s_per_step": statistics.median(seconds["private"]) / _STEPS,
        "ratio": statistics.median(ratios),
        "control_ratio": statistics.median(control),
        "verdict": "ok" if abs(statistics.median(control) - 1) <= 0.03 else "INCONCLUSIVE: the control is off",
    }


def _plan() -> RunPlan:
    document = {
        "schema": "fedward.plan/1",
        "name": "benchmark",
        "privacy": {"noise_multiplier": 1.0},
        "training": {"sample_rate": 1.0, "steps_per_round": _STEPS, "learning_rate": 1e-3},
        "secagg": {"min_cohort": 1},
        "sites": [{"id": "one", "nominal_units": _NUM_UNITS}],
    }
    return validated(RunPlan, to_json(document, "the benchmark's plan"), "the benchmark's plan")


def _private(session: AdapterSession, units: list[list[list[int]]]) -> Callable[[], None]:
    from fedward.client.training.session import training_spec
    from fedward.client.training.trainer import train
    from fedward.common.agreement import round_event
    from fedward.common.ledger.budget import BudgetAccount
    from fedward.common.privacy.noise import Entropy

    plan = _plan()
    spec = training_spec(plan, _NUM_UNITS, int(session.tokenizer.pad_token_id))

    def run() -> None:
        account = BudgetAccount(epsilon_cap=1e6, delta=1e-5)
        permit = account.reserve(round_event(plan), clip_norm=plan.privacy.clip_norm, purpose="benchmark")
        train(session.model, units, spec, permit=permit, entropy=Entropy.system())

    return run


def _plain(session: AdapterSession, units: list[list[list[int]]]) -> Callable[[], None]:
    import torch

    from fedward.client.training.losses import causal_logits, record_losses

    ids = torch.tensor([records[0] for records in units])
    parameters = [p for p in session.model.parameters() if p.requires_grad]

    def run() -> None:
        session.model.train()
        optimizer = torch.optim.SGD(parameters, lr=1e-3)
        for _ in range(_STEPS):
            logits = causal_logits(session.model, ids, torch.ones_like(ids))
            record_losses(logits, ids).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

    return run


def _in_turns(arms: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats + 1):  # the first turn warms up and is dropped
        for name, run in arms.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return {name: values[1:] for name, values in seconds.items()}
