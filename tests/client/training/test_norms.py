"""The site's part of the probe: every unit's norm, once, whatever its gradient; noise and permit as booked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedward.client.training import trainer
from fedward.client.training.norms import noisy_norms
from fedward.client.training.trainer import TrainingSpec, Units, gradient_norms
from fedward.common.errors import PrivacyError, TrainingError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import Gaussian, PrivacyEvent
from fedward.common.privacy.noise import Entropy
from tests.client.training import tiny

pytestmark = pytest.mark.filterwarnings(tiny.PEFT_WARNING)

ALL_RECORDS = {"max_records_per_unit": 99}


def norms_of(model: Any, units: Units, spec: TrainingSpec | None = None) -> NDArray[np.float64]:  # noqa: ANN401
    settings = spec or tiny.spec(**ALL_RECORDS)
    parts = list(gradient_norms(model, units, settings, entropy=Entropy.seeded(b"s" * 32)))
    return np.concatenate(parts) if parts else np.empty(0)


def permit_for(event: PrivacyEvent = clip_probe.EVENT) -> Permit:
    account = BudgetAccount(epsilon_cap=100.0, delta=1e-5)
    return account.reserve(event, clip_norm=clip_probe.SENSITIVITY, purpose="clip_probe")


@pytest.mark.parametrize(
    ("name", "gradients"), [("gpt2", "fused"), ("llama", "fused"), ("opt", "fused"), ("llama", "hooks")]
)
def test_norms_are_those_of_one_backward_for_each_unit(name: str, gradients: str) -> None:
    model, units = tiny.adapted(name), tiny.patients()
    reference = tiny.reference_gradients(model, units)
    expected = torch.sqrt(sum((g.double().flatten(1) ** 2).sum(dim=1) for g in reference)).numpy()  # type: ignore[arg-type]
    found = norms_of(model, units, tiny.spec(gradients=gradients, **ALL_RECORDS))
    assert np.sort(found) == pytest.approx(np.sort(expected), rel=1e-4)


def test_a_rank_prefix_counts_only_what_the_site_trains() -> None:
    model, units = tiny.adapted(), tiny.patients()
    whole = norms_of(model, units)
    part = norms_of(model, units, tiny.spec(trained_rank=2, **ALL_RECORDS))
    assert (part < whole).all()


def test_every_unit_is_counted_once_however_many_are_packed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model, units = tiny.adapted(), tiny.patients(11)
    at_once = norms_of(model, units)
    monkeypatch.setattr(trainer, "_UNITS_AT_ONCE", 3)
    piecemeal = norms_of(model, units)
    assert len(at_once) == len(piecemeal) == 11
    assert np.sort(piecemeal) == pytest.approx(np.sort(at_once), rel=1e-4)


def test_one_patient_more_moves_one_bin_by_one() -> None:
    model, units = tiny.adapted(), tiny.patients()
    with_all = clip_probe.histogram(norms_of(model, units))
    for left_out in range(len(units)):
        moved = with_all - clip_probe.histogram(norms_of(model, units[:left_out] + units[left_out + 1 :]))
        assert sorted(np.abs(moved)) == [0.0] * 33 + [1.0]


def test_a_gradient_that_is_not_finite_is_above_all_edges_and_harms_no_other() -> None:
    model, units = tiny.adapted(), tiny.patients()
    clean = clip_probe.histogram(norms_of(model, units))
    poison = tiny.VOCABULARY - 1
    units = [[[token % poison for token in record] for record in unit] for unit in units]
    before = clip_probe.histogram(norms_of(model, units))
    with torch.no_grad():
        model.get_input_embeddings().weight[poison] = float("nan")
    after = clip_probe.histogram(norms_of(model, [*units, [[1, poison, 2]]]))
    assert clean.sum() == before.sum() == 8
    assert (after - before).tolist() == [0.0] * 33 + [1.0]


def test_a_patient_without_a_usable_record_is_left_out() -> None:
    model, units = tiny.adapted(), tiny.patients(3)
    assert len(norms_of(model, [*units, [[5]], [[1, tiny.VOCABULARY + 7]]])) == 3


def test_a_site_without_patients_answers_like_any_other() -> None:
    out = noisy_norms(tiny.adapted(), [], tiny.spec(), permit=permit_for(), entropy=Entropy.system())
    assert out.shape == (34,)
    assert np.isfinite(out).all()


def test_the_model_is_left_as_it_was() -> None:
    model = tiny.adapted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    noisy_norms(model, tiny.patients(), tiny.spec(), permit=permit_for(), entropy=Entropy.system())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and getattr(p, "grad_sample", None) is None for p in model.parameters())


def test_the_released_counts_are_the_histogram_and_the_booked_noise() -> None:
    model, units, seed = tiny.adapted(), tiny.patients(), b"k" * 32
    out = noisy_norms(model, units, tiny.spec(), permit=permit_for(), entropy=Entropy.seeded(seed))
    again = Entropy.seeded(seed)
    norms = np.concatenate(list(gradient_norms(model, units, tiny.spec(), entropy=again)))
    noise = again.normals(34).astype(np.float64)
    assert out == pytest.approx(clip_probe.histogram(norms) + 20.0 * noise, abs=1e-4)


def test_a_permit_serves_one_probe() -> None:
    model, permit = tiny.adapted(), permit_for()
    noisy_norms(model, tiny.patients(), tiny.spec(), permit=permit, entropy=Entropy.system())
    with pytest.raises(PrivacyError, match="one use"):
        noisy_norms(model, tiny.patients(), tiny.spec(), permit=permit, entropy=Entropy.system())


class Unread(list[Any]):
    """Units that nobody may read."""

    def __getitem__(self, index: object) -> Any:  # noqa: ANN401
        raise AssertionError("private data was read")

    __iter__ = None  # type: ignore[assignment]


def test_a_permit_for_something_else_is_refused_before_data_is_read() -> None:
    permit = permit_for(Gaussian(noise_multiplier=1.0, num_releases=1))
    with pytest.raises(PrivacyError, match="not reserved for a probe"):
        noisy_norms(tiny.adapted(), Unread(), tiny.spec(), permit=permit, entropy=Entropy.system())


def test_norms_are_not_to_be_had_from_an_optimiser_that_steps() -> None:
    from fedward.client.training.engine import FedwardPrivacyEngine

    model = tiny.adapted()
    hooks, optimizer = FedwardPrivacyEngine(entropy=Entropy.system()).attach(
        model,
        torch.optim.SGD(tiny.trainable(model), lr=0.1),
        sample_rate=0.5,
        num_steps=1,
        noise_multiplier=1.0,
        clip_norm=1.0,
        expected_units=4.0,
    )
    with pytest.raises((PrivacyError, TrainingError), match="distributed"):
        optimizer.take_norms()
    hooks.cleanup()
