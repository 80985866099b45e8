"""The local training: permits, sampling, the steps, determinism, failures."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fedward.client.training import trainer
from fedward.client.training.packing import PackedBatch, pack
from fedward.client.training.sampling import draw_records, draw_units
from fedward.client.training.trainer import TrainingSpec, Units, train
from fedward.common.errors import ConfigError, PrivacyError, TrainingError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy.accounting import Gaussian
from fedward.common.privacy.noise import Entropy
from tests.client.training.tiny import (
    PEFT_WARNING,
    adapted,
    flat,
    patients,
    permit_for,
    reference_gradients,
    spec,
    trainable,
)

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

KEY = bytes(range(32))


def moved(settings: TrainingSpec, units: Units, *, key: bytes = KEY, name: str = "llama") -> torch.Tensor:
    """(P,) float64: what training moves from the start weights."""
    model = adapted(name)
    start = flat(trainable(model))
    train(model, units, settings, permit=permit_for(settings), entropy=Entropy.seeded(key))
    return flat(trainable(model)) - start


# ---------------------------------------------------------------------------------------------------- permits


def test_exactly_the_booked_steps_are_taken_and_announced() -> None:
    seen: list[tuple[int, int]] = []
    settings = spec(num_steps=4)
    outcome = train(
        adapted(),
        patients(),
        settings,
        permit=permit_for(settings),
        entropy=Entropy.seeded(KEY),
        on_step=lambda step, steps: seen.append((step, steps)),
    )
    assert outcome.steps_taken == 4
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_permit_is_good_for_one_training() -> None:
    settings = spec()
    permit = permit_for(settings)
    train(adapted(), patients(), settings, permit=permit, entropy=Entropy.seeded(KEY))
    with pytest.raises(PrivacyError, match="one use"):
        train(adapted(), patients(), settings, permit=permit, entropy=Entropy.seeded(KEY))


def test_private_training_without_a_permit_is_refused() -> None:
    with pytest.raises(PrivacyError, match="needs a permit"):
        train(adapted(), patients(), spec(), permit=None, entropy=Entropy.seeded(KEY))


def test_a_permit_made_by_hand_is_refused() -> None:
    real = permit_for(spec())
    assert real is not None
    forged = Permit(event=real.event, clip_norm=real.clip_norm, purpose=real.purpose)
    with pytest.raises(PrivacyError, match="no account"):
        train(adapted(), patients(), spec(), permit=forged, entropy=Entropy.seeded(KEY))


def test_a_permit_in_a_run_without_privacy_is_refused() -> None:
    with pytest.raises(PrivacyError, match="without privacy"):
        train(adapted(), patients(), spec(private=False), permit=permit_for(spec()), entropy=Entropy.seeded(KEY))


@pytest.mark.parametrize(
    "change",
    [{"sample_rate": 0.4}, {"num_steps": 4}, {"noise_multiplier": 0.9}, {"clip_norm": 0.6}],
    ids=lambda change: next(iter(change)),
)
def test_a_permit_for_another_mechanism_is_refused_and_stays_unused(change: dict[str, float]) -> None:
    permit = permit_for(spec())
    assert permit is not None
    with pytest.raises(PrivacyError, match="another mechanism"):
        train(adapted(), patients(), spec(**change), permit=permit, entropy=Entropy.seeded(KEY))
    permit.claim()


def test_a_permit_for_another_kind_of_event_is_refused() -> None:
    account = BudgetAccount(epsilon_cap=100.0, delta=1e-5)
    permit = account.reserve(Gaussian(noise_multiplier=1.0, num_releases=1), clip_norm=0.5, purpose="test")
    with pytest.raises(PrivacyError, match="Poisson"):
        train(adapted(), patients(), spec(), permit=permit, entropy=Entropy.seeded(KEY))


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": float("nan")},
        {"sample_rate": 1.5},
        {"noise_multiplier": 0.0},
        {"clip_norm": float("inf")},
        {"expected_units": 0.0},
        {"num_steps": 0},
        {"optimizer": "lion"},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        spec(**change)


# ---------------------------------------------------------------------------------------------------- the steps


def test_without_privacy_the_training_is_plain_sgd_on_the_same_draws() -> None:
    settings = spec(private=False, max_records_per_unit=2)
    units = patients(12)
    model = adapted()
    entropy = Entropy.seeded(KEY)
    entropy.words(1)
    for _ in range(settings.num_steps):
        chosen = [units[index] for index in draw_units(len(units), settings.sample_rate, entropy)]
        drawn = [[unit[i] for i in draw_records(len(unit), 2, entropy)] for unit in chosen]
        grads = reference_gradients(model, drawn)
        with torch.no_grad():
            for parameter, grad in zip(trainable(model), grads, strict=True):
                parameter.sub_(grad.sum(dim=0) / settings.expected_units, alpha=settings.learning_rate)
    expected = flat(trainable(model)) - flat(trainable(adapted()))
    found = moved(settings, units)
    assert float((found - expected).norm() / expected.norm()) <= 1e-4


def test_a_private_step_is_the_clipped_sum_plus_the_injected_noise_over_the_denominator() -> None:
    settings = spec(num_steps=1, sample_rate=1.0, max_records_per_unit=9)
    units = patients(5)
    grads = torch.cat([g.flatten(1).double() for g in reference_gradients(adapted(), units)], dim=1)
    factors = (settings.clip_norm / grads.norm(dim=1)).clamp(max=1.0)
    assert bool((factors < 1).any())
    entropy = Entropy.seeded(KEY)
    entropy.words(1)
    entropy.words(5)
    noise = torch.from_numpy(entropy.normals(grads.shape[1])).double()
    total = factors @ grads + settings.noise_multiplier * settings.clip_norm * noise
    expected = -(settings.learning_rate / settings.clip_norm) * total / settings.expected_units
    found = moved(settings, units)
    assert float((found - expected).norm() / expected.norm()) <= 1e-4


def test_removing_a_patient_moves_the_sum_by_at_most_the_clip() -> None:
    settings = spec(num_steps=1, sample_rate=1.0, noise_multiplier=0.01, max_records_per_unit=9, learning_rate=0.5)
    units = patients(6)
    to_sum = -settings.expected_units * settings.clip_norm / settings.learning_rate
    whole = moved(settings, units) * to_sum
    differences = [
        float((whole - moved(settings, units[:gone] + units[gone + 1 :]) * to_sum).norm()) for gone in range(6)
    ]
    assert max(differences) <= settings.clip_norm * (1 + 1e-4)
    assert max(differences) > settings.clip_norm * 0.9, "no gradient was clipped: the test would prove nothing"


def test_a_step_without_units_still_releases_noise() -> None:
    settings = spec(num_steps=1)
    found = moved(settings, [])
    deviation = settings.learning_rate * settings.noise_multiplier / settings.expected_units
    assert float(found.std()) == pytest.approx(deviation, rel=5 / (2 * len(found)) ** 0.5)


def test_steps_without_units_are_counted_like_all_others() -> None:
    settings = spec(num_steps=7, sample_rate=1e-9)
    outcome = train(adapted(), patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    assert outcome.steps_taken == 7


def test_each_step_draws_noise_of_its_own() -> None:
    one, two = moved(spec(num_steps=1), []), moved(spec(num_steps=2), [])
    assert float(two.std() / one.std()) == pytest.approx(2**0.5, rel=0.1)


def test_noise_comes_from_the_entropy_and_not_from_torch() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = moved(spec(), patients())
        torch.manual_seed(2)
        second = moved(spec(), patients())
    assert torch.equal(first, second)
    assert not torch.equal(first, moved(spec(), patients(), key=bytes(32)))


def test_training_leaves_torchs_generator_where_it_was() -> None:
    before = torch.random.get_rng_state()
    settings, model = spec(), adapted()
    torch.random.set_rng_state(before)
    train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_two_trainings_with_the_systems_entropy_differ() -> None:
    results = []
    for _ in range(2):
        settings, model = spec(num_steps=1), adapted()
        train(model, [], settings, permit=permit_for(settings), entropy=Entropy.system())
        results.append(flat(trainable(model)))
    assert not torch.equal(results[0], results[1])


def test_physical_batches_do_not_change_the_result() -> None:
    units = patients(10)
    together = moved(spec(max_batch_tokens=100_000, sample_rate=1.0), units)
    apart = moved(spec(max_batch_tokens=8, sample_rate=1.0), units)
    assert float((together - apart).norm() / together.norm()) <= 1e-5


def test_adamw_starts_afresh_in_every_call() -> None:
    settings = spec(optimizer="adamw", learning_rate=1e-3, num_steps=1)
    model = adapted()
    starts = [flat(trainable(model))]
    for _ in range(2):
        train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
        starts.append(flat(trainable(model)))
    for before, after in itertools.pairwise(starts):
        # Adam's first step has the length of the rate in every coordinate.
        assert float((after - before).abs().median()) == pytest.approx(1e-3, rel=1e-2)


def test_only_parameters_that_require_a_gradient_move() -> None:
    model = adapted(train_a=False)
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    settings = spec()
    train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)


# ---------------------------------------------------------------------------------------------------- bad records


def test_records_that_the_model_cannot_read_are_left_out() -> None:
    units = patients(4)
    bad: Units = [[[5]], [[]], [], [[1, 2, 10**6]], [[1, -2, 3]]]
    settings = spec(sample_rate=1.0)
    assert torch.equal(moved(settings, units), moved(settings, [*units, *bad]))


def test_a_long_record_is_cut() -> None:
    settings = spec(sample_rate=1.0, max_length_tokens=6)
    units = patients(3)
    cut = [[record[:6] for record in unit] for unit in units]
    assert torch.equal(moved(settings, units), moved(settings, cut))


def test_whatever_the_records_no_batch_passes_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = spec(sample_rate=1.0, max_records_per_unit=3, max_length_tokens=16, max_batch_tokens=48)
    units: Units = [[[1] * 40] * 7, [[2] * 16, [3] * 2, [4] * 15], *patients(5, max_records=9), [[5] * 1000], [[]]]
    sizes: list[int] = []

    def watched(*args: Any, **kwargs: Any) -> list[PackedBatch]:  # noqa: ANN401
        batches = pack(*args, **kwargs)
        sizes.extend(batch.token_ids.numel() for batch in batches)
        return batches

    monkeypatch.setattr(trainer, "pack", watched)
    moved(settings, units)
    assert max(sizes) == 48


def test_a_unit_whose_gradient_is_not_finite_is_zeroed_and_counted_in_private() -> None:
    settings = spec(sample_rate=1.0, num_steps=1, max_records_per_unit=9)
    poison = 60
    units = [[[token for token in record if token != poison] for record in unit] for unit in patients(4)]
    model = adapted()
    embedding = model.get_input_embeddings().weight
    with torch.no_grad():
        embedding[poison] = float("nan")
    start = flat(trainable(model))
    outcome = train(
        model,
        [*units, [[1, poison, 2]]],
        settings,
        permit=permit_for(settings),
        entropy=Entropy.seeded(KEY),
    )
    assert outcome.nonfinite_units == 1
    assert "nonfinite" not in repr(outcome)
    assert bool((flat(trainable(model)) - start).isfinite().all())


# ---------------------------------------------------------------------------------------------------- failures


class _StopError(Exception):
    pass


def test_after_a_failure_within_a_step_the_model_is_as_clean_as_before() -> None:
    model = adapted().eval()
    before = {name: set(vars(p)) for name, p in model.named_parameters()}
    settings = spec(sample_rate=1.0, max_batch_tokens=8)
    calls: list[int] = []

    def fail_on_the_third(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise _StopError

    handle = model.get_base_model().register_forward_pre_hook(fail_on_the_third)
    with pytest.raises(_StopError):
        train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
    handle.remove()
    assert {name: set(vars(p)) for name, p in model.named_parameters()} == before
    assert not any("forward" in vars(module) or module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_dead_adapter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = spec()
    monkeypatch.setattr(trainer, "_plain_optimizer", lambda model, _: torch.optim.SGD(trainable(model), lr=0.0))
    with pytest.raises(TrainingError, match="did not move"):
        train(adapted(), patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))


# ---------------------------------------------------------------------------------------------------- determinism

_SCRIPT = """
import warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from tests.client.training.test_trainer import fingerprint
print(fingerprint())
"""


def fingerprint() -> str:
    """A digest of what one training moves."""
    return hashlib.sha256(moved(spec(), patients()).numpy().tobytes()).hexdigest()


def test_another_process_with_the_same_key_gets_the_same_bits() -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    there = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert there == fingerprint()
    finally:
        torch.set_num_threads(threads)


def test_dropout_repeats_under_the_same_key() -> None:
    results = []
    for seed in range(2):
        model, settings = adapted("gpt2"), spec()
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        train(model, patients(), settings, permit=permit_for(settings), entropy=Entropy.seeded(KEY))
        results.append(flat(trainable(model)))
    assert torch.equal(results[0], results[1])
