"""A site's whole training call on the embedded base, against the same steps by plain autograd.

Besides the step this holds what the product does around it: attaching and detaching the engine once a call, drawing
the units, packing them, the guard that the adapter has moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedward.common.config import RunPlan, to_json, validated
from fedward.simulations.benchmarks.dp_arms import CLIP_NORM, LEARNING_RATE, NOISE_MULTIPLIER, non_private
from fedward.simulations.benchmarks.dp_models import batch_of

if TYPE_CHECKING:
    from fedward.client.training.session import AdapterSession

NUM_UNITS = 16
NUM_TOKENS = 64
STEPS_PER_CALL = 8


def training_calls() -> dict[str, Callable[[], None]]:
    """The arms ``nonprivate``, ``noise_floor`` and ``fused``, each a call of eight steps."""
    from fedward.client.training.base_model import load_base, resolve_base
    from fedward.client.training.session import AdapterSession
    from fedward.simulations.base import embedded_base_dir

    model, tokenizer = load_base(resolve_base("embedded", embedded=embedded_base_dir()))
    session = AdapterSession(model, tokenizer, _plan())
    session.probe()
    units = [[[2 + (7 * unit + 3 * token) % 500 for token in range(NUM_TOKENS)]] for unit in range(NUM_UNITS)]
    plain = _plain(session, units)
    return {"nonprivate": plain, "noise_floor": plain, "fused": _private(session, units)}


def _plan() -> RunPlan:
    document = {
        "schema": "fedward.plan/1",
        "name": "benchmark",
        "privacy": {"noise_multiplier": NOISE_MULTIPLIER, "clip_norm": CLIP_NORM},
        "training": {"sample_rate": 1.0, "steps_per_round": STEPS_PER_CALL, "learning_rate": LEARNING_RATE},
        "secagg": {"profile": "plain_ring", "min_cohort": 1},
        "sites": [{"id": "one", "nominal_units": NUM_UNITS}],
    }
    return validated(RunPlan, to_json(document, "the benchmark's plan"), "the benchmark's plan")


def _private(session: AdapterSession, units: list[list[list[int]]]) -> Callable[[], None]:
    from fedward.client.training.session import training_spec
    from fedward.client.training.trainer import train
    from fedward.common.agreement import round_event
    from fedward.common.ledger.budget import BudgetAccount
    from fedward.common.privacy.noise import Entropy

    plan = _plan()
    spec = training_spec(plan, NUM_UNITS, int(session.tokenizer.pad_token_id))

    def call() -> None:
        account = BudgetAccount(epsilon_cap=1e6, delta=1e-5)
        permit = account.reserve(round_event(plan), clip_norm=CLIP_NORM, purpose="benchmark")
        train(session.model, units, spec, permit=permit, entropy=Entropy.system())

    return call


def _plain(session: AdapterSession, units: list[list[list[int]]]) -> Callable[[], None]:
    arm = non_private(session.model, batch_of(units))

    def call() -> None:
        session.model.train()
        for _ in range(STEPS_PER_CALL):
            arm.step()

    return call
