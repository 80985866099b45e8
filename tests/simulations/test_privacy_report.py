"""What a report says of privacy: by site, across sites, by patient, with a probe; and the warnings beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fedward.common.agreement import round_event, run_events
from fedward.common.config import RunPlan
from fedward.common.privacy import clip_probe, patients
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, PrivacyEvent, epsilon, history_to_json
from fedward.common.privacy.patients import BoundMethod, PatientBound, patient_epsilon
from fedward.simulations import privacy_report
from fedward.simulations import report as reports
from fedward.simulations.privacy_report import (
    plan_warnings,
    run_figures,
    sharing_warnings,
    site_figures,
    stated,
)
from fedward.simulations.summary import show
from tests.federation_simulator import make_plan
from tests.simulations.test_report import outcome

PLAN = make_plan()
AUTO = make_plan(privacy={"clip_norm": "auto"})
RECORD = make_plan(privacy={"unit": "record", "noise_multiplier": 8.0}, training={"max_records_per_unit": 2})
DELTA = PLAN.privacy.delta


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the points of a patient's losses: the figures are compared with each other, not with known ones."""
    monkeypatch.setattr(patients, "_POINTS", 2_500)


def statement(*events: PrivacyEvent) -> bytes:
    return history_to_json(events)


# ---------------------------------------------------------------------------------------------------- statements


def test_a_probe_is_part_of_what_a_site_states() -> None:
    history = run_events(AUTO)
    assert stated(AUTO, statement(*history)) == history
    assert site_figures(AUTO, statement(*history))["epsilon"] == epsilon(history, DELTA)


@pytest.mark.parametrize(
    ("name", "plan", "events"),
    [
        ("a probe that the plan does not have", PLAN, [clip_probe.EVENT, round_event(PLAN)]),
        ("more probes than attempts", AUTO, [clip_probe.EVENT] * 3),
        ("more rounds than attempts", AUTO, [round_event(AUTO)] * 7),
        ("another noise", AUTO, [Gaussian(noise_multiplier=19.0, num_releases=1)]),
        ("rounds merged into one event", PLAN, [PoissonGaussian(sample_rate=0.05, noise_multiplier=2.0, num_steps=4)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_events_that_cannot_be_this_runs_are_void(name: str, plan: RunPlan, events: list[PrivacyEvent]) -> None:
    assert stated(plan, statement(*events)) is None
    assert site_figures(plan, statement(*events))["epsilon"] is None


# ---------------------------------------------------------------------------------------------------- several sites


def test_the_costliest_sites_are_composed_once_and_never_added() -> None:
    plan = make_plan(privacy={"max_sites_per_unit": 2})
    one = round_event(plan)
    statements = {"alpha": statement(one), "beta": statement(one, one, one), "gamma": statement(one, one)}
    figures = run_figures(plan, statements)
    assert figures["epsilon_across_sites"] == epsilon([one] * 5, DELTA)
    assert figures["epsilon_max"] == epsilon([one] * 3, DELTA)
    assert figures["epsilon_across_sites"] < epsilon([one] * 3, DELTA) + epsilon([one] * 2, DELTA)


def test_one_site_a_person_needs_no_composition_across_sites() -> None:
    assert "epsilon_across_sites" not in run_figures(PLAN, {"alpha": statement(round_event(PLAN))})


def test_more_sites_a_person_than_there_are_is_all_of_them() -> None:
    plan = make_plan(privacy={"max_sites_per_unit": 9})
    one = round_event(plan)
    assert run_figures(plan, {"a": statement(one), "b": statement(one)})["epsilon_across_sites"] == epsilon(
        [one] * 2, DELTA
    )


@pytest.mark.parametrize("statements", [{}, {"alpha": b"{"}], ids=["nobody", "nothing credible"])
def test_no_credible_statement_gives_no_figure(statements: dict[str, bytes]) -> None:
    plan = make_plan(privacy={"max_sites_per_unit": 2, "unit": "record"})
    assert run_figures(plan, statements) == {
        "epsilon_max": None,
        "epsilon_across_sites": None,
        "epsilon_patient": None,
        "epsilon_patient_method": None,
    }


def test_shared_ids_are_warned_of_only_beyond_what_the_plan_composes() -> None:
    covered = make_plan(privacy={"max_sites_per_unit": 3})
    assert sharing_warnings(covered, shared_patients=7, most_sites=3) == []
    (line,) = sharing_warnings(covered, shared_patients=7, most_sites=4)
    assert "max_sites_per_unit to 4 (now 3)" in line
    assert sharing_warnings(PLAN, shared_patients=0, most_sites=1) == []


# ---------------------------------------------------------------------------------------------------- records


def test_a_record_level_report_has_the_patients_epsilon_too() -> None:
    history = [round_event(RECORD)] * 2
    expected = patient_epsilon(history, DELTA, 2)
    report = reports.report(outcome(RECORD))
    assert report["privacy"]["unit"] == "record"
    assert report["privacy"]["max_records_per_patient"] == 2
    assert report["headline"]["epsilon_max"] == epsilon(history, DELTA)
    assert report["headline"]["epsilon_patient"] == expected.epsilon > report["headline"]["epsilon_max"]
    assert [site["epsilon_patient"] for site in report["sites"]] == [expected.epsilon] * 3
    assert report["sites"][0]["epsilon_patient_method"] == expected.method.value
    assert any("weaker" in line for line in report["warnings"])
    assert any(f"epsilon {expected.epsilon:.3f}" in line for line in report["warnings"])


def test_a_patient_level_report_has_no_second_epsilon() -> None:
    report = reports.report(outcome())
    assert "epsilon_patient" not in report["headline"]
    assert "epsilon_patient" not in report["sites"][0]


def test_a_patient_at_several_sites_has_the_events_of_all_of_them() -> None:
    plan = RECORD.model_copy(update={"privacy": RECORD.privacy.model_copy(update={"max_sites_per_unit": 2})})
    one = round_event(plan)
    figures = run_figures(plan, {"alpha": statement(one), "beta": statement(one)})
    assert figures["epsilon_patient"] == patient_epsilon([one] * 2, DELTA, 2).epsilon


def test_a_patient_without_a_bound_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    none = PatientBound(epsilon=math.inf, method=BoundMethod.ALL_RECORDS)
    monkeypatch.setattr(privacy_report, "patient_epsilon", lambda *_: none)
    report = reports.report(outcome(RECORD))
    assert report["headline"]["epsilon_patient"] is None
    assert any("no known bound" in line for line in report["warnings"])
    reports.dumps(report)  # JSON has no infinity


def test_a_loose_bound_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = PatientBound(epsilon=12.5, method=BoundMethod.GROUP)
    monkeypatch.setattr(privacy_report, "patient_epsilon", lambda *_: loose)
    assert any("a loose bound: group" in line for line in reports.report(outcome(RECORD))["warnings"])


def test_records_that_were_left_out_are_counted() -> None:
    done = outcome(RECORD)
    done = replace(done, sites=[replace(done.sites[0], records_left_out=5), *done.sites[1:]])
    report = reports.report(done)
    assert [site["records_left_out"] for site in report["sites"]] == [5, 0, 0]
    assert any("5 records were left out" in line for line in report["warnings"])


# ---------------------------------------------------------------------------------------------------- the probe


def test_the_report_has_the_clip_that_was_found_and_where_it_is_from() -> None:
    found = reports.report(outcome(AUTO, clip_norm=0.625))["privacy"]
    assert (found["clip_norm"], found["clip_norm_from"]) == (0.625, "private probe of the sites")
    fixed = reports.report(outcome(PLAN, clip_norm=1.0))["privacy"]
    assert (fixed["clip_norm"], fixed["clip_norm_from"]) == (1.0, "plan")


# ---------------------------------------------------------------------------------------------------- beforehand


@pytest.mark.parametrize(("target", "warned"), [(8.0, True), (0.5, True), (0.999, True), (1.0, False), (5.0, False)])
def test_an_epsilon_outside_of_one_to_five_is_warned_of(target: float, warned: bool) -> None:
    plan = make_plan(privacy={"epsilon": target})
    assert any("outside the recommended range 1 to 5" in line for line in plan_warnings(plan)) is warned


@pytest.mark.parametrize(("nominal", "warned"), [(999, True), (1000, False)])
def test_auto_with_few_patients_is_warned_of(nominal: int, warned: bool) -> None:
    sites = [{"id": "alpha", "nominal_units": nominal - 100}, {"id": "beta", "nominal_units": 100}]
    plan = make_plan(privacy={"clip_norm": "auto"}, sites=sites)
    assert any("too coarse" in line for line in plan_warnings(plan)) is warned
    assert not any("too coarse" in line for line in plan_warnings(make_plan(sites=sites)))


def test_a_plan_without_privacy_is_told_so_and_nothing_else() -> None:
    (line,) = plan_warnings(make_plan(privacy={"mode": "none", "epsilon": 9.0}))
    assert "privacy: none" in line


def test_the_summary_names_the_epsilons_beyond_one_unit_and_the_clip(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    from rich.console import Console

    plan = make_plan(
        privacy={"unit": "record", "noise_multiplier": 8.0, "max_sites_per_unit": 2, "clip_norm": "auto"},
        training={"max_records_per_unit": 2},
    )
    show(outcome(plan, clip_norm=0.625), Path("out"), Console(width=200))
    text = capsys.readouterr().out
    assert "A record at 2 sites" in text
    assert "A whole patient with up to 2 records" in text
    assert "Clip norm 0.625, found by a private probe" in text


def test_what_is_warned_of_beforehand_is_in_the_report_too() -> None:
    plan = make_plan(privacy={"epsilon": 8.0, "clip_norm": "auto"})
    lines = reports.report(outcome(plan, clip_norm=1.0))["warnings"]
    assert set(plan_warnings(plan)) <= set(lines)
