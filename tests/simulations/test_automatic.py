"""Whole simulations with the embedded base in which clip norm, sample rate or unit are not the plain ones."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedward.common.agreement import round_event, run_events
from fedward.common.errors import PlanError
from fedward.common.privacy import clip_probe, patients
from fedward.common.privacy.accounting import epsilon, history_from_json
from fedward.simulations import driver
from fedward.simulations.console import RoundProgress, Silent
from fedward.simulations.driver import Options, simulate
from fedward.simulations.flower_files import EventLog, EventReader, RunFolder
from fedward.simulations.privacy_report import stated
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome
from tests.federation_simulator import Federation, Notes, make_plan
from tests.simulations.conftest import Writer


class Told(Silent):
    """Remembers the lines, and what came when."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.order: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.order.append(text)

    @contextmanager
    def bar(self, title: str, total: float) -> Any:  # noqa: ANN401
        self.order.append(title)
        yield lambda done, note="": None


def run(recipe: Path, out: Path, changes: dict[str, object]) -> tuple[Outcome, dict[str, Any], Told]:
    ui = Told()
    outcome = simulate(read_recipe(recipe, changes), Options(data_root=recipe.parent, out=out), ui)
    return outcome, json.loads((out / "report.json").read_text("utf-8")), ui


def test_an_automatic_clip_is_found_charged_and_reported(recipe_file: Writer, tmp_path: Path) -> None:
    changes: dict[str, object] = {"privacy.clip_norm": "auto", "training.sample_rate": "auto"}
    outcome, report, ui = run(recipe_file(), tmp_path / "out", changes)
    plan = outcome.job.plan
    assert plan.training.sample_rate == 0.1
    expected = run_events(plan)
    assert expected[0] == clip_probe.EVENT
    assert len(expected) == 1 + plan.rounds
    for raw in outcome.result.events.values():
        assert history_from_json(raw) == expected
    assert report["headline"]["epsilon_max"] == epsilon(expected, plan.privacy.delta) <= 5.0
    assert clip_probe.is_clip(report["privacy"]["clip_norm"])
    assert report["privacy"]["clip_norm"] == outcome.result.clip_norm
    assert any("Clip norm" in line for line in ui.lines)
    assert any("too coarse" in line for line in report["warnings"])  # 60 patients


class _StopError(Exception):
    pass


@pytest.mark.parametrize("target", [8.0, 0.5])
def test_an_unusual_epsilon_is_warned_of_before_anything_is_read(
    target: float, recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise _StopError

    monkeypatch.setattr(driver, "read_all", stop)
    ui, recipe = Told(), recipe_file()
    options = Options(data_root=recipe.parent, out=tmp_path / "out")
    with pytest.raises(_StopError):
        simulate(read_recipe(recipe, {"privacy.epsilon": target}), options, ui)
    (line,) = ui.order
    assert f"epsilon {target:g} is outside the recommended range 1 to 5" in line


def test_records_as_units_are_bounded_and_reported_for_the_patient(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patients, "_POINTS", 2_500)  # coarser, and faster
    changes: dict[str, object] = {"privacy.unit": "record", "privacy.noise_multiplier": 4.0, "privacy.epsilon": 5.0}
    outcome, report, _ = run(recipe_file(), tmp_path / "out", changes)
    for data, site in zip(outcome.sites, report["sites"], strict=True):
        assert all(len(unit) == 1 for unit in data.units)
        # One in three patients has three records, of which two may enter.
        assert 0 < site["records_left_out"] <= site["train_patients"]
        assert site["train_patients"] < site["train_records"] <= 2 * site["train_patients"]
        assert site["epsilon_patient"] > site["epsilon"]
    assert report["headline"]["epsilon_patient"] > report["headline"]["epsilon_max"]


def test_a_person_at_two_sites_is_composed_if_the_plan_says_so(recipe_file: Writer, tmp_path: Path) -> None:
    def same_file(document: dict[str, Any]) -> None:
        document["sites"][1]["path"] = document["sites"][0]["path"]

    outcome, report, _ = run(recipe_file(same_file), tmp_path / "out", {"privacy.max_sites_per_unit": 2})
    both = [event for raw in list(outcome.result.events.values())[:2] for event in history_from_json(raw)]
    assert report["headline"]["epsilon_across_sites"] == epsilon(both, outcome.job.plan.privacy.delta)
    assert not any("occur at several sites" in line for line in report["warnings"])


def test_a_target_that_the_probe_alone_passes_is_refused_by_its_name(recipe_file: Writer, tmp_path: Path) -> None:
    changes: dict[str, object] = {"privacy.clip_norm": "auto", "privacy.epsilon": 0.1}
    with pytest.raises(PlanError, match="clip_norm auto: its probe alone costs"):
        run(recipe_file(), tmp_path / "out", changes)


def test_the_clip_crosses_the_folder_of_a_flower_run(tmp_path: Path) -> None:
    fed = Federation(make_plan(privacy={"clip_norm": "auto"}, rounds=1))
    folder, seen = RunFolder(tmp_path), Notes()
    log = EventLog(folder.events)
    fed.notes = log  # type: ignore[assignment]  # any observer
    result = fed.run()
    folder.write_result(result)
    assert folder.read_result().clip_norm == result.clip_norm
    assert EventReader(folder.events, seen).replay()
    assert seen.clips == [result.clip_norm]


def test_a_statement_that_is_no_text_does_not_end_a_flower_run(tmp_path: Path) -> None:
    fed, folder = Federation(make_plan(rounds=1)), RunFolder(tmp_path)
    result = fed.run()
    folder.write_result(replace(result, events={**result.events, "beta": b"\xff\xfe"}))
    events = folder.read_result().events
    assert events["alpha"] == result.events["alpha"]
    assert stated(fed.plan, events["beta"]) is None


def test_answers_to_the_probe_do_not_move_the_bar_of_the_rounds() -> None:
    done: list[float] = []
    progress = RoundProgress(Silent(), lambda at, note="": done.append(at), num_rounds=2, num_sites=3)
    for site in ("a", "b", "c"):
        progress.site_answered(0, site, "ok")
    progress.site_answered(1, "a", "ok")
    assert done == [0.0, 0.0, 0.0, 1.0]


def test_spare_attempts_leave_room_in_the_budget_for_a_round_that_is_void(recipe_file: Writer, tmp_path: Path) -> None:
    outcome, _, _ = run(recipe_file(), tmp_path / "out", {"secagg.spare_attempts": 2})
    plan = outcome.job.plan
    all_attempts = [round_event(plan)] * (plan.rounds + 2)
    assert 0.999 * plan.privacy.epsilon < epsilon(all_attempts, plan.privacy.delta) <= plan.privacy.epsilon
