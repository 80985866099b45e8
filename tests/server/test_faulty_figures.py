"""Private weights and a metric in runs in which sites are lost at any point: what is opened, and what is charged."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.agreement import round_event
from fedward.common.auxiliary_terms import coordinates, metric_events, weight_events
from fedward.common.errors import RunError
from fedward.common.privacy import clip_probe
from fedward.common.privacy.ring_figures import loss_steps
from fedward.server.rounds import RunResult
from tests.federation_simulator import Federation, Wrap
from tests.masked_federation import MASKED, NAMES, POLICY, WITHOUT_DP, masked_federation
from tests.verified_federation import VerifiedRun, any_faults

COUNTS = dict(zip(NAMES[:5], (120, 37, 290, 401, 66), strict=True))
METRIC = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}
ROOMY = POLICY.model_copy(
    update={"allowed_metrics": ("unit_loss",), "max_epsilon": 80.0, "account_epsilon": 80.0, "max_attempts": 3}
)


def federation_of(profile: str, is_private: bool, late: bool, method: str, clip_norm: object) -> Federation:
    federation = masked_federation(
        profile,
        5,
        policy=ROOMY,
        rounds=4,
        lora={"aggregation": method},
        privacy={"epsilon": 80.0, "clip_norm": clip_norm} if is_private else WITHOUT_DP,
        secagg={
            "max_attempts": 3,
            "weights": "private",
            "metrics": [METRIC],
            "late_cohort": late and profile == "strict",
        },
    )
    for place, (site, trainer) in enumerate(federation.trainers.items()):
        trainer.num_units = COUNTS[site]
        trainer.losses = np.array([2.0, 3.0 + place, 100.0])
    return federation


ANY_RUN: dict[str, st.SearchStrategy[Any]] = {
    "faults": any_faults(),
    "profile": st.sampled_from(MASKED),
    "is_private": st.booleans(),
    "late": st.booleans(),
    "method": st.sampled_from(["ffa", "fedsvd", "alternate"]),
    "clip_norm": st.sampled_from([1.0, "auto"]),
    "seed": st.integers(0, 3),
}


@settings(deadline=None, max_examples=12)
@given(**ANY_RUN)
def test_whoever_is_lost_figures_are_those_of_the_survivors_and_nothing_is_used_unpaid(**drawn: Any) -> None:  # noqa: ANN401
    play_with_faults(**drawn)


@pytest.mark.slow
@settings(deadline=None, max_examples=250)
@given(**ANY_RUN)
def test_the_same_of_many_more_runs(**drawn: Any) -> None:  # noqa: ANN401
    play_with_faults(**drawn)


def play_with_faults(*, faults: dict[str, Wrap], seed: int, **kind: Any) -> None:  # noqa: ANN401
    federation = federation_of(**kind)
    run = VerifiedRun(federation)
    try:
        result = run.run(faults, seed=seed)
    except RunError:  # void too often, before the first sum
        assert max(run.states) == 0
    else:
        assert run.is_sound(result)
        check_figures(federation, run, result)
    check_charges(federation, run)


def check_figures(federation: Federation, run: VerifiedRun, result: RunResult) -> None:
    """Each round's total weight is that of its survivors, and without privacy the metric is theirs to the bit."""
    metric = next(riding for riding in coordinates(federation.plan) if riding.name == "unit_loss")
    units = {site.id: site.nominal_units for site in federation.plan.sites}
    for record in result.rounds:
        weights = [run.agents[site]._run.drawn_weight for site in record.survivors]  # type: ignore[union-attr]
        assert record.figures.total_weight == sum(weights)  # type: ignore[arg-type]
        if not federation.plan.is_private:
            trainers = [federation.trainers[site] for site in record.survivors]
            steps = sum(loss_steps(trainer.losses, clamp=8.0, steps=metric.steps) for trainer in trainers)
            expected = metric.value(steps) / (0.05 * sum(units[site] for site in record.survivors))
            assert record.figures.metrics[0].value == pytest.approx(expected, rel=1e-12)


def check_charges(federation: Federation, run: VerifiedRun) -> None:
    """Every reading of records is booked, once or more; the weight once; no permit serves two times."""
    plan = federation.plan
    for site, trainer in federation.trainers.items():
        booked = Counter(map(str, run.agents[site].history))
        assert trainer.counted <= 1
        if plan.is_private:
            used = Counter({str(round_event(plan)): len(trainer.calls)})
            used.update({str(event): len(trainer.metric_permits) for event in metric_events(plan)})
            used.update({str(event): trainer.counted for event in weight_events(plan)})
            used.update({str(clip_probe.EVENT): len(trainer.probes)})  # the same event as a weight's, as it happens
            assert used <= booked
            permits = [*trainer.metric_permits, *(permit for _, permit in trainer.calls)]
            assert all(one is not other for one, other in itertools.combinations(permits, 2))
        else:
            assert not booked
