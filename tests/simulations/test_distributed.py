"""Mode ``distributed`` from recipe to report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedward.common.agreement import round_event
from fedward.common.config import RunPlan
from fedward.common.distributed_terms import GUARANTEE, cohort_mechanism
from fedward.common.errors import ConfigError
from fedward.common.privacy import patients
from fedward.common.privacy.accounting import PrivacyEvent, epsilon, history_from_json, history_to_json
from fedward.simulations import noise_report
from fedward.simulations.console import Silent
from fedward.simulations.demo import demo_recipe
from fedward.simulations.driver import Options, simulate
from fedward.simulations.job import SIMULATION_POLICY
from fedward.simulations.privacy_report import credible, run_figures, stated
from fedward.simulations.recipe import DISTRIBUTED, read_recipe
from fedward.simulations.summary import show
from tests.common.test_distributed_terms import plan_of
from tests.distributed_federation import distributed_federation
from tests.simulations.conftest import Writer

PLAN = plan_of(rounds=2)
BOOKED = cohort_mechanism(PLAN, 1, 5).event(0.05)


def statement(*events: PrivacyEvent) -> bytes:
    return history_to_json(events)


def test_a_recipe_runs_in_shares_and_says_what_its_epsilon_rests_on(recipe_file: Writer, tmp_path: Path) -> None:
    changes: dict[str, Any] = {**DISTRIBUTED, "rounds": 3, "server.optimizer": "fedadam"}
    recipe, out = recipe_file(), tmp_path / "out"
    outcome = simulate(read_recipe(recipe, changes), Options(data_root=recipe.parent, out=out), Silent())
    report = json.loads((out / "report.json").read_text("utf-8"))
    plan = outcome.job.plan
    booked = cohort_mechanism(plan, 1, 3)
    for raw in outcome.result.events.values():
        assert history_from_json(raw) == (booked.event(0.25),) * 3
    assert report["headline"]["epsilon_max"] == epsilon([booked.event(0.25)] * 3, 1e-5) <= 5.0
    noise = report["privacy"]["distributed_noise"]
    assert noise["guarantee"] == GUARANTEE
    assert noise["max_sites_per_unit"] == 1
    (cohort,) = noise["cohorts"]
    assert (cohort["sites"], cohort["honest_shares"], cohort["assumed_colluders"]) == (3, 2, 1)
    assert cohort["noise_multiplier_effective"] >= plan.privacy.noise_multiplier
    assert any(GUARANTEE in line for line in report["warnings"])
    console = Console(file=io.StringIO(), width=200)
    show(outcome, out, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 of 3 sites are counted on" in text


def test_the_demo_has_as_many_steps_in_either_mode() -> None:
    names = [f"hospital-0{number}" for number in range(1, 5)]
    settings: dict[str, Any] = {"seed": 1, "epsilon": None, "rounds": None, "base": "embedded"}
    plans: list[RunPlan] = [
        demo_recipe(names, private=True, distributed=shares, **settings).draft_plan() for shares in (False, True)
    ]
    assert len({plan.rounds * plan.training.steps_per_round for plan in plans}) == 1
    assert [plan.privacy.mode.value for plan in plans] == ["local", "distributed"]
    with pytest.raises(ConfigError, match="without noise"):
        demo_recipe(names, private=False, distributed=True, **settings)


def test_what_a_cohort_booked_is_believed_and_less_noise_is_not() -> None:
    assert stated(PLAN, statement(BOOKED, BOOKED)) == (BOOKED, BOOKED)
    smaller = cohort_mechanism(PLAN, 1, 4).event(0.05)
    assert stated(PLAN, statement(BOOKED, smaller)) == (BOOKED, smaller)
    assert stated(PLAN, statement(*[BOOKED] * 5)) is None, "two rounds of two attempts"
    other = plan_of(privacy={"noise_multiplier": 1.9})
    assert stated(PLAN, statement(round_event(other))) is None


def test_a_site_in_two_sums_cannot_say_it_booked_one() -> None:
    cohorts = [("s000", "s001"), ("s000",)]
    said = {"s000": statement(BOOKED), "s001": statement(BOOKED)}
    assert set(credible(PLAN, said, cohorts)) == {"s001"}


def test_a_person_at_two_sites_is_in_each_sum_once() -> None:
    plan = plan_of(rounds=2, privacy={"max_sites_per_unit": 2})
    booked = cohort_mechanism(plan, 1, 5).event(0.05)
    said = {name: statement(booked, booked) for name in ("s000", "s001", "s002")}
    figures = run_figures(plan, said, releases=2)
    assert figures["epsilon_across_sites"] == figures["epsilon_max"] == epsilon([booked] * 2, 1e-5)
    # Unless they stood in different sums.
    assert run_figures(plan, said, releases=3)["epsilon_across_sites"] == epsilon([booked] * 3, 1e-5)


def test_simulated_sites_take_part_where_nobody_is_reckoned_to_collude_and_the_report_warns() -> None:
    federation = distributed_federation("strict", secagg={"assumed_colluders": 0}, policy=SIMULATION_POLICY)
    result = federation.run()
    assert not result.refusals
    plan = federation.plan
    assert cohort_mechanism(plan, 1, 5).num_honest == 5
    assert any("no epsilon holds against the sites themselves" in line for line in noise_report.warnings(plan))
    assert len(noise_report.warnings(PLAN)) == 1


def test_records_as_units_in_shares_are_booked_and_reported_for_the_patient(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patients, "_POINTS", 2_500)  # coarser, and faster
    changes: dict[str, Any] = {
        **DISTRIBUTED,
        "privacy.unit": "record",
        "privacy.noise_multiplier": 4.0,
        "privacy.max_sites_per_unit": 2,
    }
    recipe, out = recipe_file(), tmp_path / "out"
    outcome = simulate(read_recipe(recipe, changes), Options(data_root=recipe.parent, out=out), Silent())
    headline = json.loads((out / "report.json").read_text("utf-8"))["headline"]
    booked = (cohort_mechanism(outcome.job.plan, 1, 3).event(0.25),) * 2
    assert all(history_from_json(raw) == booked for raw in outcome.result.events.values())
    assert all(len(unit) == 1 for data in outcome.sites for unit in data.units)
    # The parts of two sites are in one event already: composed again they would be counted twice.
    assert headline["epsilon_max"] == headline["epsilon_across_sites"] == epsilon(booked, 1e-5)
    assert headline["epsilon_patient"] == patients.patient_epsilon(booked, 1e-5, 2).epsilon > headline["epsilon_max"]
