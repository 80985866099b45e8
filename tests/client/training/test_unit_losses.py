"""The metric's losses on a real model: values, the draw, permits, and that a unit's loss is its own alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedward.client.training import unit_losses as module
from fedward.client.training.local import LocalTrainer
from fedward.client.training.losses import causal_logits, record_losses
from fedward.client.training.trainer import TrainingSpec, Units
from fedward.client.training.unit_losses import unit_losses
from fedward.common.auxiliary_terms import metric_events
from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.lora.aggregation import starting_adapter
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, PrivacyEvent
from fedward.common.privacy.noise import Entropy
from fedward.common.privacy.ring_figures import loss_steps
from tests.client.training import tiny
from tests.client.training.test_session import BASE_DIGEST, plan_of, session_of

pytestmark = pytest.mark.filterwarnings(tiny.PEFT_WARNING)

ALL = {"sample_rate": 1.0, "max_records_per_unit": 99}


def event_of(spec: TrainingSpec) -> PoissonGaussian:
    return PoissonGaussian(sample_rate=spec.sample_rate, noise_multiplier=4.0, num_steps=1)


def permit_for(event: PrivacyEvent) -> Permit:
    return BudgetAccount(epsilon_cap=1e9, delta=1e-5).reserve(event, clip_norm=8.0, purpose="unit_loss")


def losses_of(model: Any, units: Units, spec: TrainingSpec | None = None) -> NDArray[np.float64]:  # noqa: ANN401
    settings = tiny.spec(**ALL) if spec is None else spec
    permit = permit_for(event_of(settings)) if settings.private else None
    return unit_losses(model, units, settings, permit=permit, entropy=Entropy.seeded(b"s" * 32))


def by_hand(model: Any, unit: Sequence[Sequence[int]]) -> float:  # noqa: ANN401
    """The mean over records of the mean loss over each record's tokens, record by record."""
    found = []
    with torch.no_grad():
        for record in unit:
            ids = torch.tensor([list(record)])
            found.append(float(record_losses(causal_logits(model, ids, torch.ones_like(ids)), ids)))
    return float(np.mean(found))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_losses_are_those_of_the_units_one_by_one(name: str) -> None:
    model, units = tiny.adapted(name), tiny.patients(4)
    assert losses_of(model, units) == pytest.approx([by_hand(model, unit) for unit in units], rel=1e-5)


def test_a_units_loss_does_not_depend_on_the_others_to_the_bit() -> None:
    model, units = tiny.adapted(), tiny.patients(9)
    whole = losses_of(model, units)
    without = losses_of(model, units[:4] + units[5:])
    assert np.array_equal(np.delete(whole, 4), without)


def test_one_unit_more_moves_the_sum_in_the_ring_by_at_most_the_clamp() -> None:
    model, units = tiny.adapted(), tiny.patients(9)
    before = loss_steps(losses_of(model, units[:8]), clamp=2.0, steps=1024)
    after = loss_steps(losses_of(model, units), clamp=2.0, steps=1024)
    assert after - before == 1024  # a random model's loss is above the clamp


def test_the_draw_has_the_plans_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_loss", lambda *_: 1.0)
    model, spec = tiny.adapted(), tiny.spec(sample_rate=0.25, private=False)
    sizes = [
        len(unit_losses(model, [[[1, 2, 3]]] * 400, spec, permit=None, entropy=Entropy.seeded(bytes([seed]) * 32)))
        for seed in range(20)
    ]
    assert abs(np.mean(sizes) - 100) < 5 * np.sqrt(75 / 20)
    assert len(set(sizes)) > 1


def test_nothing_drawn_gives_nothing() -> None:
    assert losses_of(tiny.adapted(), []).shape == (0,)


def test_what_the_model_cannot_read_is_left_out() -> None:
    units = [[[1, 2, 3]], [[tiny.VOCABULARY, 1]], [[5]], [], [[-1, 3]]]
    assert losses_of(tiny.adapted(), units).shape == (1,)


def test_a_loss_that_is_no_number_stays_one_and_counts_as_the_clamp() -> None:
    model = tiny.adapted()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(float("nan"))
    found = losses_of(model, tiny.patients(3))
    assert np.isnan(found).all()
    assert loss_steps(found, clamp=8.0, steps=64) == 3 * 64


def test_the_model_is_as_it_was() -> None:
    model = tiny.adapted()
    before = [p.detach().clone() for p in model.parameters()]
    losses_of(model, tiny.patients())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert model.training


# ---------------------------------------------------------------------------------------------------- permits


def test_a_permit_is_used_up() -> None:
    spec, model = tiny.spec(**ALL), tiny.adapted()
    permit = permit_for(event_of(spec))
    unit_losses(model, [], spec, permit=permit, entropy=Entropy.system())
    with pytest.raises(PrivacyError, match="one use"):
        unit_losses(model, [], spec, permit=permit, entropy=Entropy.system())


@pytest.mark.parametrize(
    "permit",
    [
        None,
        permit_for(Gaussian(noise_multiplier=4.0, num_releases=1)),
        permit_for(PoissonGaussian(sample_rate=0.5, noise_multiplier=4.0, num_steps=1)),
        permit_for(PoissonGaussian(sample_rate=1.0, noise_multiplier=4.0, num_steps=2)),
    ],
    ids=["none", "another mechanism", "another rate", "two steps"],
)
def test_no_record_is_read_under_another_permit(permit: Permit | None) -> None:
    with pytest.raises(PrivacyError):
        unit_losses(tiny.adapted(), tiny.patients(), tiny.spec(**ALL), permit=permit, entropy=Entropy.system())


def test_a_permit_in_a_run_without_privacy_is_refused() -> None:
    spec = tiny.spec(private=False, **ALL)
    with pytest.raises(PrivacyError, match="without privacy"):
        unit_losses(tiny.adapted(), [], spec, permit=permit_for(event_of(spec)), entropy=Entropy.system())


# ---------------------------------------------------------------------------------------------------- a site's trainer


def test_a_sites_trainer_counts_its_units_and_measures_the_rounds_model() -> None:
    metric = {"name": "unit_loss"}
    session, plan = session_of(plan_of({}, training={"sample_rate": 0.5}))
    secagg = type(plan.secagg).model_validate({**plan.secagg.model_dump(), "metrics": (metric,)})
    plan = plan.model_copy(update={"secagg": secagg})
    trainer = LocalTrainer(site_id="alpha", session=session, base_digest=BASE_DIGEST, units=tiny.patients(30))
    assert trainer.count_units() == 30
    (event,) = metric_events(plan)
    start = starting_adapter(plan)
    moved = {name: value + np.float32(0.5) for name, value in start.items()}

    def measured(adapter: Any) -> NDArray[np.float64]:  # noqa: ANN401
        return trainer.unit_losses(plan, adapter, permit=permit_for(event), entropy=Entropy.seeded(b"t" * 32))

    first, other, again = measured(start), measured(moved), measured(start)
    assert len(first) > 0
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
