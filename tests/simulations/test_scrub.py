"""Sites desensitise before they train: what a simulation reads, reports and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import RunError
from fedward.simulations import scrub_report
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, read_all, simulate
from fedward.simulations.recipe import Recipe, read_recipe
from fedward.simulations.sites import SitePatients
from tests.simulations.conftest import Writer, small_recipe

PHONE = "13800138000"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Three sites whose records hold a phone number each."""
    for site in range(3):
        lines = [
            json.dumps(
                {"patient": f"s{site}-p{number:04d}", "text": f"电话{PHONE}，第{number}次复诊。"}, ensure_ascii=False
            )
            for number in range(20)
        ]
        (tmp_path / f"site-{site}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def recipe(**changes: Any) -> Recipe:  # noqa: ANN401
    return Recipe.model_validate_json(json.dumps({**small_recipe(), **changes}))


def read(found: Recipe, root: Path, **options: Any) -> dict[str, SitePatients]:  # noqa: ANN401
    return read_all(found, Options(data_root=root, out=root / "out", **options), Silent())


def texts(found: dict[str, SitePatients]) -> list[str]:
    return [r.text for site in found.values() for side in (site.train, site.heldout) for rs in side for r in rs]


def test_no_number_of_a_record_reaches_training_or_evaluation(notes: Path) -> None:
    found = texts(read(recipe(), notes))
    assert len(found) == 60
    assert not any(PHONE in text for text in found)


def test_sites_give_one_number_different_surrogates(notes: Path) -> None:
    found = read(recipe(), notes)
    numbers = {text.split("，")[0] for text in texts(found)}
    assert len(numbers) == 60  # every patient of every site its own


def test_two_runs_share_no_surrogate_unless_they_are_to_be_repeatable(notes: Path) -> None:
    assert texts(read(recipe(), notes)) != texts(read(recipe(), notes))
    assert texts(read(recipe(), notes, seeded_noise=True)) == texts(read(recipe(), notes, seeded_noise=True))


def test_recipe_may_do_without_and_says_so(notes: Path) -> None:
    found = read(recipe(desensitize={"required": False}), notes)
    assert all(PHONE in text for text in texts(found))
    assert {site.scrubbed for site in found.values()} == {None}


def test_report_tells_counts_recall_and_share(recipe_file: Writer, tmp_path: Path) -> None:
    path = recipe_file()
    outcome = simulate(read_recipe(path), Options(data_root=path.parent, out=tmp_path / "out"), Silent())
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["desensitisation"]
    assert report["required"]
    assert report["sites_desensitised"] == 3
    assert {site["policy_digest"] for site in report["sites"]} == {outcome.job.recipe.scrub.digest}
    assert {row["type"] for row in report["canaries"]} >= {"PHONE", "EMAIL"}
    assert all(0 <= row["low"] <= row["recall"] <= row["high"] <= 1 for row in report["canaries"])
    assert 0 <= report["over_scrub_share"] <= 1
    assert scrub_report.line(outcome.sites).startswith("Desensitised first: ")


def test_raw_records_are_a_warning_of_the_report(recipe_file: Writer, tmp_path: Path) -> None:
    path = recipe_file()
    changes = {"desensitize.required": False}
    simulate(read_recipe(path, changes), Options(data_root=path.parent, out=tmp_path / "out"), Silent())
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["desensitisation"] == {"required": False, "sites_desensitised": 0}
    assert any("trained on as they are" in line for line in report["warnings"])


def test_plan_that_asks_for_more_than_the_sites_did_ends_before_training(recipe_file: Writer, tmp_path: Path) -> None:
    path = recipe_file()
    changes = {"desensitize.least_profile": "max-recall"}
    with pytest.raises(RunError, match="POLICY_REFUSED/desensitization"):
        simulate(read_recipe(path, changes), Options(data_root=path.parent, out=tmp_path / "out"), Silent())


def test_default_plan_asks_for_what_the_default_policy_does() -> None:
    document = small_recipe()
    del document["desensitize"], document["scrub"]
    found = Recipe.model_validate_json(json.dumps(document))
    assert found.desensitize.required
    assert found.scrub == DesensitizePolicy()
    assert found.desensitize.least_profile == found.scrub.profile
