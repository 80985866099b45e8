"""What reports and terminals say of private weights and metrics, and which statements of charges are believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedward.common.agreement import round_event, run_events
from fedward.common.auxiliary_terms import metric_events, weight_events
from fedward.common.config import RunPlan
from fedward.common.errors import PlanError
from fedward.common.privacy.accounting import PrivacyEvent, history_to_json
from fedward.simulations import auxiliary_report, secagg_report
from fedward.simulations.flower_files import RunFolder
from fedward.simulations.privacy_report import credible, plan_warnings, stated
from fedward.simulations.sites import _check_room
from tests.federation_simulator import SITES, make_plan
from tests.masked_federation import WITHOUT_DP
from tests.server.test_auxiliary_rounds import federation_of

METRIC = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}
PLAN = make_plan(secagg={"weights": "private", "metrics": [METRIC]})


def plan_of(**changes: Any) -> RunPlan:  # noqa: ANN401
    secagg = {"weights": "private", "metrics": [METRIC], **changes.pop("secagg", {})}
    return make_plan(secagg=secagg, **changes)


# ---------------------------------------------------------------------------------------------------- figures


def test_a_report_holds_what_was_opened_and_the_noise_in_it() -> None:
    federation = federation_of("resilient", rounds=2)
    result = federation.run()
    found = secagg_report.figures(federation.plan, result)
    totals = [record.figures.total_weight for record in result.rounds]
    assert found["weights"] == {"rule": "private", "largest": 400, "noise_deviation": 21, "totals": totals}
    (metric,) = found["metrics"]
    assert metric["values"] == [record.figures.metrics[0].value for record in result.rounds]
    assert metric["noise_deviations"] == [pytest.approx(2 * 4.0 * 8.0 / 50, rel=1e-3)] * 2
    text = secagg_report.lines(federation.plan, result)
    assert f"Weights: private, {totals[-1]} patients in all, noise ±21 a site" in text
    assert f"Metric unit_loss: {metric['values'][0]:.3f} → {metric['values'][1]:.3f}, noise ±1.280 a round" in text


def test_a_run_without_them_says_no_more_than_the_rule() -> None:
    federation = federation_of("resilient", {"weights": "uniform", "metrics": []}, rounds=1)
    result = federation.run()
    found = secagg_report.figures(federation.plan, result)
    assert (found["weights"], found["metrics"]) == ({"rule": "uniform"}, [])
    assert auxiliary_report.lines(federation.plan, result.rounds) == ""


def test_without_privacy_the_noise_is_none() -> None:
    federation = federation_of("plain_ring", rounds=1, privacy=WITHOUT_DP)
    result = federation.run()
    found = secagg_report.figures(federation.plan, result)
    assert found["weights"]["noise_deviation"] == 0
    assert found["metrics"][0]["noise_deviations"] == [0.0]
    assert found["metrics"][0]["noise_multiplier"] is None


# ---------------------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (plan_of(privacy={"mode": "none", "noise_multiplier": None}), "sums are exact"),
        (
            plan_of(sites=[{"id": site, "nominal_units": 30} for site in SITES]),
            "noise of ±21 is large for a site of 30",
        ),
        (plan_of(secagg={"metrics": [{**METRIC, "noise_multiplier": 8.0}]}), "drowns values of up to 8"),
        (
            plan_of(training={"sample_rate": "auto"}, secagg={"metrics": [{**METRIC, "noise_multiplier": 50.0}]}),
            "drowns",
        ),
    ],
    ids=["exact", "small sites", "loud metric", "rate not found yet"],
)
def test_what_a_reader_must_know_is_said_beforehand(plan: RunPlan, said: str) -> None:
    assert any(said in line for line in plan_warnings(plan))


@pytest.mark.parametrize(
    "plan",
    [make_plan(), plan_of(sites=[{"id": site, "nominal_units": 10_000} for site in SITES])],
    ids=["none", "large"],
)
def test_quiet_plans_get_no_warning(plan: RunPlan) -> None:
    assert auxiliary_report.warnings(plan) == []


# ---------------------------------------------------------------------------------------------------- statements


def test_weight_and_metrics_are_part_of_what_a_site_states() -> None:
    assert stated(PLAN, history_to_json(run_events(PLAN))) == run_events(PLAN)


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("two weights", [*run_events(PLAN), *weight_events(PLAN)]),
        ("more metrics than attempts", [*metric_events(PLAN)] * 7),
    ],
)
def test_events_that_cannot_be_are_void(name: str, events: list[PrivacyEvent]) -> None:
    assert stated(PLAN, history_to_json(events)) is None


@pytest.mark.parametrize(
    ("name", "events", "is_believed"),
    [
        ("all", (*weight_events(PLAN), *(round_event(PLAN), *metric_events(PLAN)) * 2), True),
        ("no weight", (round_event(PLAN), *metric_events(PLAN)) * 2, False),
        ("one metric too few", (*weight_events(PLAN), *metric_events(PLAN), *[round_event(PLAN)] * 2), False),
    ],
)
def test_a_site_in_two_sums_was_charged_for_all_of_both(
    name: str, events: tuple[PrivacyEvent, ...], is_believed: bool
) -> None:
    statements = {"alpha": history_to_json(events)}
    assert ("alpha" in credible(PLAN, statements, [SITES, SITES])) == is_believed


def test_figures_that_leave_nothing_for_the_training_are_refused_in_words() -> None:
    loud = plan_of(secagg={"weight_noise_multiplier": 0.3}, privacy={"epsilon": 1.0})
    with pytest.raises(PlanError, match="private weights and metrics alone"):
        _check_room(loud)
    _check_room(PLAN)


# ---------------------------------------------------------------------------------------------------- other processes


def test_what_was_opened_comes_through_the_files_of_another_process(tmp_path: Path) -> None:
    federation = federation_of("resilient", rounds=2)
    result = federation.run()
    folder = RunFolder(tmp_path)
    folder.write_result(result)
    assert [record.figures for record in folder.read_result().rounds] == [record.figures for record in result.rounds]
