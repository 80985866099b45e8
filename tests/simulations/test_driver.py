"""Whole simulations with the embedded base: small, real, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedward.client.training import probe
from fedward.common.errors import DataError, RunError, UnsupportedModelError
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, simulate
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome
from tests.simulations.conftest import PARTIES, Writer


def run(
    recipe: Path, out: Path, changes: dict[str, object] | None = None, *, seeded_noise: bool = False
) -> tuple[Outcome, dict[str, Any]]:
    options = Options(data_root=recipe.parent, out=out, seeded_noise=seeded_noise)
    outcome = simulate(read_recipe(recipe, changes), options, Silent())
    return outcome, json.loads((out / "report.json").read_text("utf-8"))


def test_a_private_run_reports_epsilon_per_site_and_writes_a_peft_adapter(recipe_file: Writer, tmp_path: Path) -> None:
    outcome, report = run(recipe_file(), tmp_path / "out")
    assert report["schema"] == "fedward.report/1"
    assert [site["epsilon"] for site in report["sites"]] == [report["headline"]["epsilon_max"]] * 3
    assert 4.9 < report["headline"]["epsilon_max"] <= 5.0
    assert report["privacy"]["unit"] == "patient"
    assert report["seeds"]["noise"] == "operating system"
    assert len(report["rounds"]) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"adapter", "report.json", *PARTIES}
    _assert_loads(tmp_path / "out" / "adapter", outcome)


def _assert_loads(folder: Path, outcome: Outcome) -> None:
    from peft import PeftModel, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(outcome.job.base_path), folder)
    state = get_peft_model_state_dict(model)
    assert set(state) == set(outcome.result.adapter)
    for name, value in outcome.result.adapter.items():
        assert np.array_equal(state[name].numpy(), value)
    moved = [name for name, value in outcome.result.adapter.items() if "lora_B" in name and value.any()]
    assert len(moved) == len(outcome.result.adapter) // 2


def test_no_record_text_and_no_patient_id_stands_in_the_report(recipe_file: Writer, tmp_path: Path) -> None:
    run(recipe_file(), tmp_path / "out")
    text = (tmp_path / "out" / "report.json").read_text("utf-8")
    assert "palpitations" not in text
    assert "site-0p" not in text
    assert "咳嗽" not in text


def test_without_privacy_the_same_seed_gives_the_same_bits(recipe_file: Writer, tmp_path: Path) -> None:
    recipe = recipe_file()
    first, report = run(recipe, tmp_path / "a", {"privacy.mode": "none"})
    second, _ = run(recipe, tmp_path / "b", {"privacy.mode": "none"})
    assert first.result.model_digest == second.result.model_digest
    assert report["headline"]["epsilon_max"] is None
    assert any("privacy: none" in line for line in report["warnings"])


def test_private_runs_differ_unless_the_noise_is_seeded(recipe_file: Writer, tmp_path: Path) -> None:
    recipe = recipe_file()
    digests = [run(recipe, tmp_path / str(i))[0].result.model_digest for i in range(2)]
    seeded = [run(recipe, tmp_path / f"s{i}", seeded_noise=True) for i in range(2)]
    assert digests[0] != digests[1]
    assert seeded[0][0].result.model_digest == seeded[1][0].result.model_digest
    assert any("no privacy" in line for line in seeded[0][1]["warnings"])


def test_another_seed_starts_from_another_a(recipe_file: Writer, tmp_path: Path) -> None:
    recipe = recipe_file()
    digests = {run(recipe, tmp_path / str(seed), {"seed": seed})[0].result.model_digest for seed in (1, 2)}
    assert len(digests) == 2


def test_enough_training_without_privacy_lowers_held_out_perplexity(recipe_file: Writer, tmp_path: Path) -> None:
    changes: dict[str, object] = {"privacy.mode": "none", "training.steps_per_round": 12, "training.learning_rate": 2.0}
    _, report = run(recipe_file(), tmp_path / "out", changes)
    assert report["headline"]["ppl_final"] < 0.9 * report["headline"]["ppl_base"]


def test_an_existing_result_is_replaced_whole(recipe_file: Writer, tmp_path: Path) -> None:
    recipe, out = recipe_file(), tmp_path / "out"
    _, first = run(recipe, out)
    _, second = run(recipe, out)
    assert first["run_id"] != second["run_id"]
    assert json.loads((out / "report.json").read_text("utf-8"))["run_id"] == second["run_id"]
    assert {path.name for path in out.iterdir()} == {"adapter", "report.json", *PARTIES}


def test_a_run_that_cannot_go_on_leaves_its_budgets_and_nothing_else(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedward.client.training.local import LocalTrainer

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("record 17 of Jane Doe")

    monkeypatch.setattr(LocalTrainer, "update", fail)
    with pytest.raises(RunError, match="ABSTAIN") as caught:
        run(recipe_file(), tmp_path / "out")
    assert "Jane" not in str(caught.value)
    # What was reserved stays counted: the ledgers say so.
    assert {path.name for path in (tmp_path / "out").iterdir()} == PARTIES


def test_a_missing_site_costs_its_share_only(recipe_file: Writer, tmp_path: Path) -> None:
    def two_of_three(document: dict[str, Any]) -> None:
        document["secagg"] = {"profile": "plain_ring", "min_cohort": 2}
        document["evaluation"]["heldout_share"] = 0.0

    _, report = run(recipe_file(two_of_three), tmp_path / "out")
    assert report["headline"]["ppl_base"] is None
    assert report["headline"]["sites"] == 3


def test_one_person_at_two_sites_is_counted(recipe_file: Writer, tmp_path: Path) -> None:
    def same_file(document: dict[str, Any]) -> None:
        document["sites"][1]["path"] = document["sites"][0]["path"]

    outcome, report = run(recipe_file(same_file), tmp_path / "out")
    assert report["privacy"]["patient_ids_at_several_sites"] == outcome.sites[0].num_patients > 0


def test_a_site_whose_file_is_wrong_is_named(recipe_file: Writer, tmp_path: Path) -> None:
    recipe = recipe_file()
    (tmp_path / "site-1.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(DataError, match="site 'site-1'"):
        run(recipe, tmp_path / "out")


def test_a_base_that_the_engine_cannot_prove_says_why_before_any_site_is_asked(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_worst", lambda *_: 1.0)
    with pytest.raises(UnsupportedModelError, match="gradients are wrong"):
        run(recipe_file(), tmp_path / "out")
