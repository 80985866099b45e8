"""A session's clipped sum: the layout's order, the clip, the permit that a booked hair of noise more is on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.client.training.local import LocalTrainer
from fedward.client.training.session import AdapterSession
from fedward.client.training.trainer import Units
from fedward.common.config import RunPlan
from fedward.common.distributed_terms import cohort_mechanism
from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import starting_adapter, trained_layout
from fedward.common.privacy.noise import Entropy
from tests.client.training import tiny
from tests.client.training.test_session import BASE_DIGEST, Tokenizer
from tests.distributed_federation import MODE
from tests.federation_simulator import make_plan

pytestmark = pytest.mark.filterwarnings(tiny.PEFT_WARNING)

RECORDS = tiny.patients()


def made(*, clip_norm: float = 1e6, rank: int | None = None, aggregation: str = "ffa", sites_per_unit: int = 1) -> Any:  # noqa: ANN401
    """A session whose layout has another order than its model, and the final plan."""
    draft = make_plan(
        lora={"rank": 4, "targets": ["q_proj", "k_proj"], "aggregation": aggregation},
        layout=[],
        sites=[
            {"id": name, "nominal_units": 50, "rank": rank if name == "alpha" else None}
            for name in ("alpha", "beta", "gamma", "delta")
        ],
        base={"digest": BASE_DIGEST, "max_length_tokens": 16},
        privacy={**MODE["privacy"], "clip_norm": clip_norm, "max_sites_per_unit": sites_per_unit},
        training={"steps_per_round": 1, "sample_rate": 1.0, "max_records_per_unit": 9},
        secagg={"min_cohort": 2, **MODE["secagg"]},
    )
    base: Any = tiny.base("llama")
    session = AdapterSession(base, Tokenizer(), draft)  # type: ignore[arg-type]
    return session, RunPlan.from_bytes(draft.model_copy(update={"layout": session.layout}).to_bytes())


def permit_of(plan: RunPlan, round_number: int = 1) -> Permit:
    event = cohort_mechanism(plan, round_number, 4).event(plan.training.resolved_sample_rate)
    account = BudgetAccount(epsilon_cap=1e9, delta=1e-5)
    return account.reserve(event, clip_norm=plan.privacy.resolved_clip_norm, purpose="train")


def start_of(plan: RunPlan) -> adapters.Adapter:
    """With a B that is not zero, so that A has a gradient too."""
    return {name: value + np.float32(0.05) for name, value in starting_adapter(plan).items()}


def sum_of(
    session: AdapterSession,
    plan: RunPlan,
    *,
    units: Units = RECORDS,
    round_number: int = 1,
    permit: Permit | None = None,
) -> NDArray[np.float64]:
    trainer = LocalTrainer(site_id="alpha", session=session, base_digest=BASE_DIGEST, units=units)
    return trainer.clipped_sum(
        plan,
        start_of(plan),
        round_number=round_number,
        permit=permit_of(plan, round_number) if permit is None else permit,
        entropy=Entropy.seeded(bytes(32)),
    )


@pytest.mark.parametrize(("aggregation", "round_number"), [("ffa", 1), ("alternate", 2), ("naive", 1)])
def test_the_sum_lies_in_the_layouts_order_which_is_not_the_models(aggregation: str, round_number: int) -> None:
    session, plan = made(aggregation=aggregation)
    found = sum_of(session, plan, round_number=round_number)
    session.load(start_of(plan))
    names = [name.replace(".default.", ".") for name, p in session.model.named_parameters() if p.requires_grad]
    gradients = tiny.reference_gradients(session.model, RECORDS)
    pooled = {name: grad.double().sum(0).numpy() for name, grad in zip(names, gradients, strict=True)}
    trained = trained_layout(plan.lora.aggregation, plan.layout, round_number)
    assert [spec.name for spec in trained] != names, "the test needs two orders"
    expected = np.concatenate([pooled[spec.name].reshape(-1) for spec in trained])
    assert np.linalg.norm(expected) > 1e-3
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
    assert found.dtype == np.float64


def test_each_unit_is_clipped() -> None:
    session, plan = made(clip_norm=1e-3)
    norms = [float(np.linalg.norm(sum_of(session, plan, units=[unit]))) for unit in RECORDS]
    assert max(norms) <= 1e-3
    assert min(norms) > 0.99e-3


def test_a_clip_that_is_not_applied_would_show() -> None:
    session, plan = made(clip_norm=1e6)
    norms = [float(np.linalg.norm(sum_of(session, plan, units=[unit]))) for unit in RECORDS]
    assert min(norms) > 1.2e-3


def test_a_lower_rank_sums_its_prefix_alone() -> None:
    session, plan = made(rank=3)
    parts = adapters.unflatten(trained_layout("ffa", plan.layout, 1), sum_of(session, plan))
    for part in parts.values():
        assert part[:, :3].any()
        assert not part[:, 3:].any()


def test_the_permit_of_a_unit_at_two_sites_is_for_one_step_all_the_same() -> None:
    session, plan = made(sites_per_unit=2)
    permit = permit_of(plan)
    assert sum_of(session, plan, permit=permit).any()
    with pytest.raises(PrivacyError, match="one use"):
        sum_of(session, plan, permit=permit)


def test_a_permit_for_other_sampling_is_refused() -> None:
    session, plan = made()
    other = BudgetAccount(epsilon_cap=1e9, delta=1e-5).reserve(
        cohort_mechanism(plan, 1, 4).event(0.5), clip_norm=1e6, purpose="train"
    )
    with pytest.raises(PrivacyError, match="another mechanism"):
        sum_of(session, plan, permit=other)
