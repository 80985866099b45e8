"""Sessions: which factors move in a round, prefixes, the known noise, and adapters that PEFT loads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from fedward.client.training.local import LocalTrainer
from fedward.client.training.session import AdapterSession
from fedward.client.training.trainer import Units
from fedward.common.agreement import round_event
from fedward.common.config import Aggregation, RunPlan
from fedward.common.errors import ProtocolError
from fedward.common.ledger.budget import BudgetAccount
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import pairs, starting_adapter, trained_layout
from fedward.common.model_state import ServerState, round_noise_variance
from fedward.common.privacy.noise import Entropy
from tests.client.training import tiny
from tests.federation_simulator import make_plan

pytestmark = pytest.mark.filterwarnings(tiny.PEFT_WARNING)

METHODS: tuple[Aggregation, ...] = get_args(Aggregation)
BASE_DIGEST = "0" * 64


class Tokenizer:
    """As much of one as a session needs."""

    pad_token_id = 0

    def __len__(self) -> int:
        return tiny.VOCABULARY


def plan_of(lora: dict[str, Any], *, rank: int | None = None, **changes: Any) -> RunPlan:  # noqa: ANN401
    """One full and one other site on a tiny Llama."""
    return make_plan(
        lora={"rank": 4, "targets": ["q_proj", "v_proj"], **lora},
        layout=[],
        sites=[{"id": "alpha", "nominal_units": 50, "rank": rank}, {"id": "beta", "nominal_units": 100}],
        secagg={"min_cohort": 1},
        base={"digest": BASE_DIGEST, "max_length_tokens": 16},
        **changes,
    )


def session_of(draft: RunPlan) -> tuple[AdapterSession, RunPlan]:
    """A session and the final plan."""
    base: Any = tiny.base("llama")
    session = AdapterSession(base, Tokenizer(), draft)  # type: ignore[arg-type]
    return session, draft.model_copy(update={"layout": session.layout})


def movement(
    session: AdapterSession,
    plan: RunPlan,
    adapter: adapters.Adapter,
    *,
    round_number: int = 1,
    units: Units | None = None,
    seed: int = 1,
) -> dict[str, adapters.Vector]:
    """What site alpha's trained tensors move by."""
    account = BudgetAccount(epsilon_cap=1e9, delta=1e-5)
    permit = account.reserve(round_event(plan), clip_norm=plan.privacy.resolved_clip_norm, purpose="train")
    records = tiny.patients() if units is None else units
    trainer = LocalTrainer(site_id="alpha", session=session, base_digest=BASE_DIGEST, units=records)
    vector = trainer.update(
        plan, adapter, round_number=round_number, permit=permit, entropy=Entropy.seeded(bytes([seed]) * 32)
    )
    return adapters.unflatten(trained_layout(plan.lora.aggregation, plan.layout, round_number), vector)


# ---------------------------------------------------------------------------------------------------- factors


@pytest.mark.parametrize("round_number", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_round_moves_the_factors_of_its_method_and_no_other(method: Aggregation, round_number: int) -> None:
    session, plan = session_of(plan_of({"aggregation": method}))
    start = starting_adapter(plan)
    moved = movement(session, plan, start, round_number=round_number)
    after = session.read()
    trained = {spec.name for spec in trained_layout(method, plan.layout, round_number)}
    assert set(moved) == trained
    assert {name for name in start if not np.array_equal(after[name], start[name])} == trained


def test_probe_proves_both_factors_of_alternate_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    session, plan = session_of(plan_of({"aggregation": "alternate"}))
    proven: list[set[str]] = []

    def probe(model: Any, **_: object) -> float:  # noqa: ANN401
        proven.append({name.replace(".default.", ".") for name, p in model.named_parameters() if p.requires_grad})
        return 0.0

    monkeypatch.setattr("fedward.client.training.session.parity_probe", probe)
    for round_number in (1, 2):
        movement(session, plan, starting_adapter(plan), round_number=round_number)
    assert proven == [{spec.name for spec in plan.layout}]


def test_longer_records_are_probed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = session_of(plan_of({}))
    widths: list[int] = []
    monkeypatch.setattr(
        "fedward.client.training.session.parity_probe",
        lambda model, *, max_length_tokens, **_: widths.append(max_length_tokens),
    )
    for length in (None, 16, 12, 20, 20):
        session.probe(length)
    assert widths == [16, 20]


@pytest.mark.parametrize("method", METHODS)
def test_site_of_a_lower_rank_moves_its_prefix_alone(method: Aggregation) -> None:
    session, plan = session_of(plan_of({"aggregation": method}, rank=3))
    start = starting_adapter(plan)
    for round_number in (1, 2):
        for name, moved in movement(session, plan, start, round_number=round_number).items():
            columns = moved if ".lora_B." in name else moved.T
            assert columns[:, :3].any(axis=0).all()
            assert not columns[:, 3:].any()


# ---------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("clip_norm", [0.1, 5.0])
def test_movement_of_a_site_without_patients_has_the_variance_that_the_server_takes_off(clip_norm: float) -> None:
    changes: dict[str, Any] = {
        "privacy": {"noise_multiplier": 2.0, "clip_norm": clip_norm},
        "training": {"sample_rate": 0.05, "steps_per_round": 3, "learning_rate": 0.2, "max_records_per_unit": 2},
    }
    session, plan = session_of(plan_of({"aggregation": "ffa"}, **changes))
    found = [movement(session, plan, starting_adapter(plan), units=[], seed=seed) for seed in range(1, 9)]
    columns = np.concatenate([part for moved in found for part in moved.values()]).astype(np.float64)
    # Alpha alone: the mean of one update.
    known = round_noise_variance(plan, ("alpha",))
    num_values = columns.size
    assert columns.var() == pytest.approx(known[0], rel=5 * math.sqrt(2 / num_values))


# ---------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("rank_stabilised", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_adapter_of_every_method_loads_in_peft_and_gives_the_sessions_logits(
    tmp_path: Path, method: Aggregation, rank_stabilised: bool
) -> None:
    from peft import PeftModel

    session, plan = session_of(plan_of({"aggregation": method, "rank_stabilised": rank_stabilised}))
    state = ServerState.start(plan)
    for round_number in (1, 2):
        moved = movement(session, plan, state.adapter, round_number=round_number)
        mean = {name: 10 * value.astype(np.float64) for name, value in moved.items()}
        state = state.advanced(plan, mean, ("alpha",))
    adapters.save_peft(tmp_path / "adapter", plan, state.adapter, base_path="tiny")
    plain: Any = tiny.base("llama")
    loaded: Any = PeftModel.from_pretrained(tiny.base("llama"), str(tmp_path / "adapter"))
    loaded.eval()
    plain.eval()
    session.load(state.adapter)
    session.model.eval()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        expected, got, base = (m(input_ids=tokens).logits for m in (session.model, loaded, plain))
    assert torch.equal(got, expected)
    assert float((got - base).abs().max()) > 1e-4
    factor = plan.lora.alpha / (2 if rank_stabilised else 4)
    spec_a, spec_b = pairs(plan.layout)[0]
    module = loaded.get_submodule(spec_a.name.split(".lora_A.")[0])
    weight = torch.from_numpy(state.adapter[spec_b.name] @ state.adapter[spec_a.name])
    assert torch.allclose(module.get_delta_weight("default"), factor * weight, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"lora": {"aggregation": "alternate"}},
        {"lora": {"alpha": 999.0}},
        {"lora": {"rank_stabilised": True}},
        {"training": {"gradient_checkpointing": True}},
    ],
)
def test_a_session_made_for_another_adapter_refuses_the_plan(change: dict[str, dict[str, Any]]) -> None:
    session, plan = session_of(plan_of({}))
    trainer = LocalTrainer(site_id="alpha", session=session, base_digest=BASE_DIGEST, units=[])
    trainer.check(plan)
    ((part, values),) = change.items()
    other = plan.model_copy(update={part: getattr(plan, part).model_copy(update=values)})
    with pytest.raises(ProtocolError, match="put on for another plan"):
        trainer.check(other)
