"""Mode ``distributed`` through whole runs: sums to the bit, dropouts, retries, the step, the noise, what is booked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.client import ring_share
from fedward.common.config import PrivacyMode, SitePolicy
from fedward.common.distributed_mean import denominators, descent_noise_variance
from fedward.common.errors import RunError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import ServerState
from fedward.common.privacy.accounting import PoissonGaussian, epsilon, history_from_json
from fedward.common.privacy.distributed import RingMechanism, noisy_ring_vector, round_to_ring
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.ring import RingVector
from tests.distributed_federation import (
    NUM_COORDINATES,
    PROFILES,
    SHARED_NOISE,
    distributed_federation,
    gradient_of,
    mechanism_of,
    opened_sums,
    sum_of,
)
from tests.federation_simulator import Federation, trained
from tests.masked_federation import MASKED, POLICY, lost

BEARS_LOSS = ("resilient", "resilient-malicious", "plain_ring")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_opened_sums_are_the_sites_noisy_vectors_to_the_bit(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation(profile, rounds=2), opened_sums(monkeypatch)
    federation.run()
    made = mechanism_of(federation)
    for number, (_, survivors, total) in enumerate(sums, start=1):
        assert np.array_equal(total, sum_of(federation, survivors, made, number))
    assert [len(survivors) for _, survivors, _ in sums] == [5, 5]


def test_masks_change_nothing_in_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = opened_sums(monkeypatch)
    for profile in ("resilient-malicious", "plain_ring"):
        distributed_federation(profile, rounds=1).run()
    (_, _, masked), (_, _, plain) = sums
    assert np.array_equal(masked, plain)


@pytest.mark.parametrize("profile", BEARS_LOSS)
def test_a_lost_site_takes_its_noise_along_and_no_more(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation(profile, rounds=1), opened_sums(monkeypatch)
    result = federation.run({"beta": lost(pb.TRAIN, 1)})
    ((_, survivors, total),) = sums
    assert survivors == ("alpha", "delta", "epsilon", "gamma")
    assert np.array_equal(total, sum_of(federation, survivors, mechanism_of(federation)))
    assert len(result.rounds) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_a_sum_with_too_little_noise_is_never_opened(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation(profile, rounds=1), opened_sums(monkeypatch)
    # A strict retry goes without the site that was lost: it takes another one to void that too.
    attempts = {"beta": 0, "gamma": 1} if profile == "strict" else {"beta": None, "gamma": None}
    with pytest.raises(RunError, match="void 2 times"):
        federation.run({site: lost(pb.TRAIN, 1, attempt) for site, attempt in attempts.items()})
    assert sums == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_retry_has_new_noise_and_is_booked_again(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation(profile, rounds=1), opened_sums(monkeypatch)
    gone = ("beta",) if profile == "strict" else ("beta", "gamma")
    result = federation.run({site: lost(pb.TRAIN, 1, 0) for site in gone})
    ((facts, survivors, total),) = sums
    made = mechanism_of(federation, len(facts.bundles))
    assert facts.attempt == 1
    assert np.array_equal(total, sum_of(federation, survivors, made, 1, 1))
    assert not np.array_equal(total, sum_of(federation, survivors, made, 1, 0))
    assert all(
        len(history_from_json(result.events[site])) == len(trainer.calls)
        for site, trainer in federation.trainers.items()
        if site not in gone
    )
    assert sum(len(trainer.calls) for trainer in federation.trainers.values()) > len(survivors)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_smaller_cohort_adds_larger_shares_and_books_its_own_noise(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, sums = distributed_federation(profile, rounds=1), opened_sums(monkeypatch)
    result = federation.run(offline=("beta",))
    ((facts, survivors, total),) = sums
    assert len(facts.bundles) == len(survivors) == 4
    whole, part = mechanism_of(federation), mechanism_of(federation, 4)
    assert part.sigma_steps > whole.sigma_steps
    assert np.array_equal(total, sum_of(federation, survivors, part))
    assert history_from_json(result.events["alpha"]) == (part.event(0.05),)


def test_where_a_holder_is_absent_all_still_add_the_same_share(monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation("resilient", rounds=2), opened_sums(monkeypatch)
    federation.run({"beta": lost(pb.UNMASK, 1)})
    facts, survivors, total = sums[1]
    assert (len(facts.bundles), facts.min_survivors) == (4, 4)
    assert np.array_equal(total, sum_of(federation, survivors, mechanism_of(federation, 4), 2))


# ---------------------------------------------------------------------------------------------------- the booking


@pytest.mark.parametrize("profile", PROFILES)
def test_each_site_books_one_step_with_the_noise_of_the_honest(profile: str) -> None:
    federation = distributed_federation(profile)
    events = federation.run().events
    made = mechanism_of(federation)
    for site in federation.trainers:
        history = history_from_json(events[site])
        assert history == (made.event(federation.plan.training.resolved_sample_rate),) * 3
        assert all(isinstance(event, PoissonGaussian) and event.noise_multiplier >= 2.0 for event in history)
    assert epsilon(history, 1e-5) <= 5.0


def test_the_permit_that_a_trainer_gets_books_what_is_added() -> None:
    federation = distributed_federation("resilient", rounds=1)
    federation.run()
    ((_, permit),) = federation.trainers["alpha"].calls
    assert permit is not None
    assert permit.event == mechanism_of(federation).event(0.05)
    assert permit.clip_norm == 0.5


# ---------------------------------------------------------------------------------------------------- the step


def quiet(patch: pytest.MonkeyPatch) -> None:
    """All but no noise, and no other rounding than the ring's: the arithmetic alone shows."""

    def silent(clipped_sum: NDArray[np.float64], mechanism: RingMechanism, *, entropy: Entropy) -> RingVector:
        return round_to_ring(clipped_sum, mechanism, dither_key=entropy.words(4).tobytes())

    patch.setattr(ring_share, "noisy_ring_vector", silent)


@pytest.mark.parametrize("profile", ["resilient", "plain_ring"])
def test_the_server_steps_against_the_mean_gradient_in_clip_norms(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    federation = distributed_federation(profile, rounds=1, server={"learning_rate": 0.25})
    moved = trained(federation.run())
    pooled = np.sum([gradient_of(index)(1, None) for index in range(5)], axis=0)
    units = sum(site.nominal_units for site in federation.plan.sites)
    # η/C · ĝ with L = q·ΣN₀ over all survivors, whatever a site's own weight; down the gradient.
    assert moved == pytest.approx(-0.25 / 0.5 * pooled / (0.05 * units), rel=1e-4, abs=1e-7)


def test_descent_goes_down_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    federation = distributed_federation("resilient", rounds=6, server={"optimizer": "fedadam", "learning_rate": 0.5})
    target = np.linspace(-2, 2, NUM_COORDINATES)

    def gradient(_: int, adapter: Any) -> NDArray[np.float64]:  # noqa: ANN401
        distance = adapter["base_model.model.q_proj.lora_B.weight"].reshape(-1) - target
        return np.asarray(0.4 * distance, np.float64)

    for trainer in federation.trainers.values():
        trainer.gradient = gradient
    assert np.linalg.norm(trained(federation.run()) - target) < 0.5 * np.linalg.norm(target)


def test_a_lost_site_leaves_the_denominator(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    federation = distributed_federation("resilient", rounds=1, server={"learning_rate": 1.0})
    moved = trained(federation.run({"beta": lost(pb.TRAIN, 1)}))
    left = [index for index in range(5) if index != 1]
    pooled = np.sum([gradient_of(index)(1, None) for index in left], axis=0)
    units = sum(federation.plan.sites[index].nominal_units for index in left)
    assert moved == pytest.approx(-2 * pooled / (0.05 * units), rel=1e-4, abs=1e-7)


def test_a_site_of_a_lower_rank_counts_for_its_columns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    sites = [
        {"id": site, "nominal_units": 100, "rank": 1 if site == "alpha" else 2}
        for site in ("alpha", "beta", "gamma", "delta", "epsilon")
    ]
    federation = distributed_federation(
        "resilient", rounds=1, server={"learning_rate": 1.0}, sites=sites, secagg={"min_cohort": 3}
    )
    moved = trained(federation.run()).reshape(3, 2)
    parts = np.array([gradient_of(index)(1, None) for index in range(5)]).reshape(5, 3, 2)
    assert moved[:, 0] == pytest.approx(-2 * parts[:, :, 0].sum(0) / (0.05 * 500), rel=1e-4)
    assert moved[:, 1] == pytest.approx(-2 * parts[1:, :, 1].sum(0) / (0.05 * 400), rel=1e-4)
    assert denominators(federation.plan, federation.trainers).tolist() == [25.0, 20.0]


# ---------------------------------------------------------------------------------------------------- the noise

WIDE = 100_000


def noise_of_run(profile: str, patch: pytest.MonkeyPatch, *, drop: bool) -> tuple[float, RingMechanism, Federation]:
    """Variance in steps of what a run's sum holds beside the sites' gradients, over a wide adapter."""
    layout = [
        {"name": "base_model.model.q_proj.lora_A.weight", "shape": [2, 4]},
        {"name": "base_model.model.q_proj.lora_B.weight", "shape": [WIDE // 2, 2]},
    ]
    federation, sums = distributed_federation(profile, rounds=1, layout=layout), opened_sums(patch)
    for trainer in federation.trainers.values():
        trainer.gradient = lambda number, adapter: np.full(WIDE, 1e-3)
    made = mechanism_of(federation)
    federation.run({"beta": lost(pb.TRAIN, 1)} if drop else None)
    ((_, survivors, total),) = sums
    signed = total.view(np.int32).astype(np.float64)
    return float((signed - len(survivors) * 1e-3 * made.scale).var()), made, federation


@pytest.mark.parametrize("profile", ["resilient", "resilient-malicious"])
def test_with_one_dropout_the_sum_has_the_noise_of_the_survivors(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, made, _ = noise_of_run(profile, monkeypatch, drop=True)
    assert found == pytest.approx(4 * made.sigma_steps**2, rel=0.05)
    # What is booked is what h honest ones give, so it is there with a site more to spare.
    assert found >= (made.effective_noise_multiplier * made.sensitivity_steps) ** 2 * 4 / 3 * 0.95


def planted_silence(patch: pytest.MonkeyPatch) -> None:
    """One site forgets its noise."""
    honest, calls = noisy_ring_vector, [0]

    def forgetful(clipped_sum: NDArray[np.float64], mechanism: RingMechanism, *, entropy: Entropy) -> RingVector:
        calls[0] += 1
        if calls[0] == 1:
            return round_to_ring(clipped_sum, mechanism, dither_key=entropy.words(4).tobytes())
        return honest(clipped_sum, mechanism, entropy=entropy)

    patch.setattr(ring_share, "noisy_ring_vector", forgetful)


def planted_cohort(patch: pytest.MonkeyPatch) -> None:
    """Shares cut for n sites instead of h."""
    honest = noisy_ring_vector

    def thin(clipped_sum: NDArray[np.float64], mechanism: RingMechanism, *, entropy: Entropy) -> RingVector:
        return honest(clipped_sum, replace(mechanism, num_honest=mechanism.num_sites), entropy=entropy)

    patch.setattr(ring_share, "noisy_ring_vector", thin)


@pytest.mark.parametrize("bug", [planted_silence, planted_cohort])
def test_the_variance_shows_a_planted_bug(bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    bug(monkeypatch)
    found, made, _ = noise_of_run("resilient", monkeypatch, drop=True)
    assert found < 0.95 * 4 * made.sigma_steps**2


@pytest.mark.parametrize("profile", ["resilient", "plain_ring"])
def test_the_server_takes_off_the_noise_that_is_there(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, made, federation = noise_of_run(profile, monkeypatch, drop=False)
    variance = noted_variance(federation, monkeypatch)
    steps_per_move = made.scale * made.clip_norm * float(denominators(federation.plan, federation.trainers)[0])
    assert variance == pytest.approx([found / steps_per_move**2] * 2, rel=0.05)


def noted_variance(federation: Federation, patch: pytest.MonkeyPatch) -> NDArray[np.float64]:
    """What the round loop hands its optimiser."""
    seen: list[NDArray[np.float64]] = []
    honest = ServerState.stepped

    def spy(self: ServerState, plan: Any, mean: Any, survivors: Any, facts: Any) -> ServerState:  # noqa: ANN401
        seen.append(descent_noise_variance(plan, facts, survivors))
        return honest(self, plan, mean, survivors, facts)

    patch.setattr(ServerState, "stepped", spy)
    federation.run()
    return seen[0]


# ---------------------------------------------------------------------------------------------------- the probe


@pytest.mark.parametrize("profile", PROFILES)
def test_a_clip_that_a_probe_finds_scales_the_ring(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = distributed_federation(profile, rounds=1, privacy={**SHARED_NOISE, "clip_norm": "auto"})
    sums = opened_sums(monkeypatch)
    result = federation.run()
    assert result.clip_norm is not None
    made = replace(mechanism_without_clip(federation), clip_norm=result.clip_norm)
    ((_, survivors, total),) = sums
    # The entropy of round 1 is not that of the probe.
    assert np.array_equal(total, sum_of(federation, survivors, made))
    assert len(history_from_json(result.events["alpha"])) == 2


def mechanism_without_clip(federation: Federation) -> RingMechanism:
    from fedward.common.distributed_terms import cohort_mechanism

    return cohort_mechanism(federation.plan, 1, 5)


# ---------------------------------------------------------------------------------------------------- who takes part


@pytest.mark.parametrize("profile", MASKED)
def test_no_site_takes_part_by_default(profile: str) -> None:
    federation = distributed_federation(profile, policy=POLICY.model_copy(update={"privacy_modes": ("local",)}))
    with pytest.raises(RunError, match="privacy_mode"):
        federation.run()
    assert SitePolicy().privacy_modes == (PrivacyMode.LOCAL,)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_site_that_fears_more_colluders_takes_no_part(profile: str) -> None:
    federation = distributed_federation(profile, policy=POLICY.model_copy(update={"assumed_colluders": 2}))
    with pytest.raises(RunError, match="HONEST_FLOOR"):
        federation.run()
    assert not any(trainer.calls for trainer in federation.trainers.values())


def test_a_failed_training_adds_no_vector_and_stays_booked(monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation("resilient", rounds=1), opened_sums(monkeypatch)
    federation.trainers["beta"].error = ValueError("a record's text")
    result = federation.run()
    ((_, survivors, _),) = sums
    assert "beta" not in survivors
    assert len(history_from_json(result.events["beta"])) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sum_that_is_not_finite_is_not_sent(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, sums = distributed_federation("resilient", rounds=1), opened_sums(monkeypatch)
    federation.trainers["beta"].gradient = lambda number, adapter: np.full(NUM_COORDINATES, bad)
    result = federation.run()
    assert result.rounds[0].dropped["beta"] == "ABSTAIN"
    assert "beta" not in sums[0][1]
