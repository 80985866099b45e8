"""Whole runs with private weights and a metric: what is opened, under all profiles, with lost sites and retries."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from fedward.common.agreement import round_event, run_events
from fedward.common.auxiliary_terms import coordinates, metric_events, weight_events
from fedward.common.config import Weighting
from fedward.common.errors import RunError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import round_noise_variance
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import history_from_json
from fedward.common.privacy.ring_figures import loss_steps, sigma_steps
from fedward.server.rounds import RunResult
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import Federation, Wrap, trained
from tests.masked_federation import MASKED, POLICY, WITHOUT_DP, lost, masked_federation

ALLOWING = POLICY.model_copy(update={"allowed_metrics": ("unit_loss",), "weights": get_args(Weighting)})
METRIC = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}
RIDING = {"weights": "private", "metrics": [METRIC]}
COUNTS = {"alpha": 120, "beta": 37, "gamma": 290, "delta": 401}
"""The last is above the largest nominal number, 400."""
WAYS: list[tuple[str, dict[str, object]]] = [*((profile, {}) for profile in MASKED), ("strict", {"late_cohort": True})]
WAY_NAMES = [*MASKED, "strict, late cohort"]
WITH_PLAIN = [*MASKED, "plain_ring"]


def federation_of(profile: str, secagg: dict[str, Any] | None = None, **changes: Any) -> Federation:  # noqa: ANN401
    federation = masked_federation(profile, policy=ALLOWING, secagg={**RIDING, **(secagg or {})}, **changes)
    for place, (site, trainer) in enumerate(federation.trainers.items()):
        trainer.num_units = COUNTS[site]
        trainer.losses = np.array([2.0, 3.0 + place, 100.0])
    return federation


def figures(result: RunResult) -> list[object]:
    return [record.figures for record in result.rounds]


# ---------------------------------------------------------------------------------------------------- what is opened


@pytest.mark.parametrize("profile", WITH_PLAIN)
def test_without_privacy_the_total_weight_is_opened_exactly(profile: str) -> None:
    result = federation_of(profile, privacy=WITHOUT_DP).run()
    assert [record.figures.total_weight for record in result.rounds] == [120 + 37 + 290 + 400] * 3


@pytest.mark.parametrize("profile", WITH_PLAIN)
def test_the_mean_is_weighted_by_the_private_weights(profile: str) -> None:
    federation = federation_of(profile, privacy=WITHOUT_DP, rounds=1)
    movements = [np.array([0.1, -0.2, 0.3, 0.0, 0.5, place / 8], np.float32) for place in range(4)]
    for movement, trainer in zip(movements, federation.trainers.values(), strict=True):
        trainer.move, trainer.movement = None, movement
    weights = [120, 37, 290, 400]
    expected = sum(w * m.astype(float) for w, m in zip(weights, movements, strict=True)) / sum(weights)
    assert trained(federation.run()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("profile", WITH_PLAIN)
def test_without_privacy_the_metric_is_the_clamped_sum_over_the_expected_draw(profile: str) -> None:
    result = federation_of(profile, privacy=WITHOUT_DP, rounds=1).run()
    (metric,) = result.rounds[0].figures.metrics
    exact = sum(2.0 + 3.0 + place + 8.0 for place in range(4))
    assert metric.value == pytest.approx(exact / (0.05 * (100 + 200 + 300 + 400)))
    assert metric.noise_deviation == 0.0


@pytest.mark.parametrize("mode", ["private", "exact"])
@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_masked_rounds_open_what_plain_ones_do(profile: str, secagg: dict[str, Any], mode: str) -> None:
    changes = {"privacy": WITHOUT_DP} if mode == "exact" else {}
    masked = federation_of(profile, secagg, **changes).run()
    bare = federation_of("plain_ring", **changes).run()
    assert figures(masked) == figures(bare)
    assert len({str(found) for found in figures(bare)}) > (0 if mode == "exact" else 1)
    assert masked.model_digest == bare.model_digest


def test_metrics_go_with_declared_weights_mixed_ranks_and_a_probe() -> None:
    sites = [{"id": s, "nominal_units": n} for s, n in (("alpha", 100), ("beta", 300), ("gamma", 50), ("delta", 70))]
    sites[3]["rank"] = 1
    changes: dict[str, Any] = {"sites": sites, "privacy": {"clip_norm": "auto"}}
    secagg = {"weights": "declared"}
    masked = federation_of("resilient", secagg, **changes).run()
    bare = federation_of("plain_ring", secagg, **changes).run()
    assert figures(masked) == figures(bare)
    assert (masked.model_digest, masked.clip_norm) == (bare.model_digest, bare.clip_norm)


def test_a_plan_without_them_opens_nothing_besides_the_model() -> None:
    result = masked_federation("resilient").run()
    assert all((r.figures.total_weight, r.figures.metrics) == (None, ()) for r in result.rounds)


def test_auxiliary_coordinates_are_not_counted_as_trained() -> None:
    assert {record.trained_parameters for record in federation_of("resilient").run().rounds} == {6}


# ---------------------------------------------------------------------------------------------------- noise


def test_a_weight_is_drawn_once_and_is_the_same_in_every_round() -> None:
    federation = federation_of("resilient", rounds=4)
    totals = {record.figures.total_weight for record in federation.run().rounds}
    assert len(totals) == 1
    assert totals != {120 + 37 + 290 + 400}
    assert {trainer.counted for trainer in federation.trainers.values()} == {1}


def test_noise_in_a_metric_is_the_stated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "epsilon", lambda *_: 0.0)  # what 80 rounds cost is not asked here
    federation = federation_of("plain_ring", {"weights": "uniform"}, rounds=80, privacy={"epsilon": 1000.0})
    federation.policy = ALLOWING.model_copy(update={"max_epsilon": 1000.0, "account_epsilon": 1000.0})
    metrics = [record.figures.metrics[0] for record in federation.run().rounds]
    (riding,) = coordinates(federation.plan)
    sums = (loss_steps(t.losses, clamp=8.0, steps=riding.steps) for t in federation.trainers.values())
    exact = riding.value(sum(sums)) / 50
    stated = riding.value(2 * sigma_steps(4.0, riding.steps)) / 50
    assert [metric.noise_deviation for metric in metrics] == pytest.approx([stated] * 80)
    noise = np.array([metric.value for metric in metrics]) - exact
    assert abs(noise.mean()) < 5 * stated / np.sqrt(80)
    assert 0.6 * stated < noise.std() < 1.4 * stated


def test_the_server_optimiser_knows_no_noise_under_private_weights() -> None:
    plan = federation_of("resilient").plan
    assert not round_noise_variance(plan, ("alpha", "beta", "gamma", "delta")).any()
    declared = federation_of("resilient", {"weights": "declared"}).plan
    assert round_noise_variance(declared, ("alpha", "beta", "gamma", "delta")).all()


# ---------------------------------------------------------------------------------------------------- lost sites


@pytest.mark.parametrize("profile", ["resilient", "resilient-malicious", "plain_ring"])
def test_a_lost_site_is_in_neither_the_total_nor_the_metric(profile: str) -> None:
    result = federation_of(profile, privacy=WITHOUT_DP, rounds=1).run({"gamma": lost(pb.TRAIN, 1)})
    found = result.rounds[0].figures
    assert found.total_weight == 120 + 37 + 400
    assert found.metrics[0].value == pytest.approx((2 * 3 + 3 + 4 + 6 + 24.0) / (0.05 * (100 + 200 + 400)))


@pytest.mark.parametrize("profile", ["strict", "resilient", "plain_ring"])
def test_a_retry_draws_no_new_weight_but_a_new_metric(profile: str) -> None:
    federation = federation_of(profile, rounds=1, privacy={"epsilon": 50.0})
    federation.policy = ALLOWING.model_copy(update={"max_epsilon": 50.0, "account_epsilon": 50.0})
    # The sum is void when its last vectors are missing, after the first site has sent its own.
    lost_sites = {"strict": ["delta"], "resilient": ["gamma", "delta"], "plain_ring": ["gamma", "delta"]}[profile]
    result = federation.run({site: lost(pb.TRAIN, 1, 0) for site in lost_sites})
    assert result.rounds[0].attempt == 1
    trainer, plan = federation.trainers["alpha"], federation.plan
    assert (trainer.counted, len(trainer.metric_permits)) == (1, 2)
    expected = (*weight_events(plan), *(round_event(plan), *metric_events(plan)) * 2)
    assert sorted(history_from_json(result.events["alpha"]), key=str) == sorted(expected, key=str)


def test_a_run_is_charged_what_the_plan_says() -> None:
    federation = federation_of("resilient", privacy={"clip_norm": "auto"})
    events = federation.run().events
    expected = sorted(run_events(federation.plan), key=str)
    assert all(sorted(history_from_json(raw), key=str) == expected for raw in events.values())


# ---------------------------------------------------------------------------------------------------- no other channel


def body_of(raw: bytes) -> codec.Body:
    envelope = pb.Envelope.FromString(raw)
    return codec.TYPES[envelope.type].FromString(envelope.body)


@pytest.mark.parametrize("profile", MASKED)
def test_replies_are_as_long_whatever_the_counts_and_losses(profile: str) -> None:
    def lengths(num_units: int, losses: list[float]) -> list[int]:
        found: list[int] = []
        federation = federation_of(profile, rounds=2)
        federation.trainers["alpha"].num_units = num_units
        federation.trainers["alpha"].losses = np.array(losses)

        def weigh(honest: Handler) -> Handler:
            def handle(request: bytes) -> bytes:
                reply = honest(request)
                found.append(len(reply))
                return reply

            return handle

        federation.run({"alpha": weigh})
        return found

    assert lengths(1, []) == lengths(399, [7.0] * 50)


@pytest.mark.parametrize("profile", MASKED)
def test_a_vector_reply_says_nothing_of_counts_and_losses_but_in_the_masked_words(profile: str) -> None:
    """All fields but the vector, its hash and what is signed over it are the same for other private figures."""
    dependent = {"vector_hash", "proof", "next"}

    def fields(num_units: int) -> tuple[list[dict[str, object]], list[bytes]]:
        bodies: list[dict[str, object]] = []
        tails: list[bytes] = []
        federation = federation_of(profile, rounds=1)
        federation.trainers["alpha"].num_units = num_units

        def spy(honest: Handler) -> Handler:
            def handle(request: bytes) -> bytes:
                reply = honest(request)
                body = body_of(reply)
                if isinstance(body, pb.TrainReply):
                    listed = {field.name: value for field, value in body.ListFields() if field.name not in dependent}
                    bodies.append({**listed, "cohort_digest": len(body.cohort_digest)})
                    tails.append(pb.Envelope.FromString(reply).vector[-8:])
                return reply

            return handle

        wraps: dict[str, Wrap] = {"alpha": spy}
        federation.run(wraps)
        return bodies, tails

    few, tails = fields(5)
    many, _ = fields(300)
    assert few == many
    assert set(few[0]) == {"header", "cohort_digest"}
    assert len(tails[0]) == 8


def test_without_masks_the_words_would_be_read() -> None:
    """The control of the test before: what stands in the last words is the count itself."""
    federation = federation_of("plain_ring", rounds=1, privacy=WITHOUT_DP, secagg={"metrics": []})
    seen: list[int] = []

    def spy(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = honest(request)
            if isinstance(body_of(reply), pb.TrainReply):
                seen.append(int(np.frombuffer(pb.Envelope.FromString(reply).vector[-4:], "<i4")[0]))
            return reply

        return handle

    federation.run({"beta": spy})
    assert seen == [37]


# ---------------------------------------------------------------------------------------------------- policy


def test_a_site_whose_policy_allows_no_metric_takes_no_part() -> None:
    federation = federation_of("resilient")
    federation.policy = ALLOWING.model_copy(update={"allowed_metrics": ()})
    with pytest.raises(RunError, match="POLICY_REFUSED/metrics"):
        federation.run()
