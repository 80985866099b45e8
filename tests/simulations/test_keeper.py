"""What a simulation keeps at rest: sealed records, ledgers that add up, a run that is shredded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedward.client.ledger_files import VerifyLevel, judge_file
from fedward.common.config import COORDINATOR
from fedward.common.desensitize.value_search import scan_for_values
from fedward.common.errors import ConfigError, VaultError
from fedward.common.identity import Identity
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.simulations import driver, keeper
from fedward.simulations.at_rest_report import line
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, simulate
from fedward.simulations.keeper import Keeper
from fedward.simulations.parties import (
    KEY_FILE,
    SERVER,
    SITES,
    folder_of,
    open_coordinator,
    open_site,
    simulation_secret,
)
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome
from tests.simulations.conftest import PARTIES, Writer

LEDGER = Path("ledger/ledger.db")


def run(recipe: Path, out: Path) -> tuple[Outcome, dict[str, Any]]:
    outcome = simulate(read_recipe(recipe), Options(data_root=recipe.parent, out=out), Silent())
    return outcome, json.loads((out / "report.json").read_text("utf-8"))


def site_of(out: Path, site_id: str) -> Any:  # noqa: ANN401
    return open_site(out, site_id, Identity.simulated(simulation_secret(out), site_id))


def test_no_text_of_a_record_lies_in_the_clear_and_the_vault_gives_it_back(recipe_file: Writer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(recipe_file(), out)
    words = ["chest pain, BP", "Plan: review."]
    assert list(scan_for_values([out], words)) == []
    with site_of(out, "site-0") as site:
        (found,) = site.vault.find(Kind.TRAINING, "train")
        text = site.vault.read(found.object_id, principal=site.principal(Role.DAEMON)).decode()
    assert "Plan: review." in text


def test_every_partys_ledger_holds_and_says_what_was_done(recipe_file: Writer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, report = run(recipe_file(), out)
    for folder in (out / SERVER, *(out / SITES / f"site-{place}" for place in range(3))):
        assert judge_file(folder / LEDGER, VerifyLevel.BUDGET).verdict.is_good
    with site_of(out, "site-0") as site:
        kinds = [entry.kind for entry in site.trail.entries()]
    order = ["dataset.imported", "plan.accepted", "budget.reserve", "budget.charge", "heads.recorded", "shred.done"]
    assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order
    assert set(report["at_rest"]["shredded"]) == {"server", "site-0", "site-1", "site-2"}
    with open_coordinator(out, Identity.simulated(simulation_secret(out), COORDINATOR)) as server:
        rounds = [entry.fields["round"] for entry in server.trail.entries() if entry.kind == "round.opened"]
    assert rounds == [1, 2]


def test_budgets_add_up_over_the_runs_of_one_folder(recipe_file: Writer, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", recipe_file()
    first, second = (run(recipe, out)[1]["at_rest"]["account_epsilon"] for _ in range(2))
    assert all(second[site] > first[site] > 0 for site in first)


def test_records_that_are_imported_anew_take_the_place_of_the_old(recipe_file: Writer, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", recipe_file()
    run(recipe, out)
    run(recipe, out)
    with site_of(out, "site-1") as site:
        assert sorted(info.name for info in site.vault.find(Kind.TRAINING)) == ["heldout", "train"]


def test_an_adapter_is_sealed_and_released_and_a_site_has_its_charges(recipe_file: Writer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome, _ = run(recipe_file(), out)
    with open_coordinator(out, Identity.simulated(simulation_secret(out), COORDINATOR)) as server:
        (found,) = server.vault.find(Kind.ADAPTER)
        assert found.is_released
        sealed = server.vault.read(found.object_id, principal=server.principal(Role.STEWARD))
    assert sealed == (out / "adapter" / "adapter_model.safetensors").read_bytes()
    with site_of(out, "site-2") as site:
        (found,) = site.vault.find(Kind.REPORT, "charges")
        charges = json.loads(site.vault.read(found.object_id, principal=site.principal(Role.STEWARD)))
    assert charges["run_id"] == outcome.job.run_id_hex
    assert 0 < charges["epsilon"] <= 5.0


def test_a_site_trains_on_what_its_vault_gives(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = Keeper.patients

    def counted(self: Keeper, site_id: str, given: Any) -> Any:  # noqa: ANN401
        opened.append(site_id)
        found = original(self, site_id, given)
        assert found is not given
        assert found.train == given.train
        return found

    monkeypatch.setattr(Keeper, "patients", counted)
    run(recipe_file(), tmp_path / "out")
    assert opened == ["site-0", "site-1", "site-2"]


def test_a_run_that_fails_before_its_rounds_leaves_no_folder(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise VaultError("the disk is full")

    monkeypatch.setattr(driver, "tokenise", crash)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept", "utf-8")
    with pytest.raises(VaultError):
        run(recipe_file(), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_second_run_that_fails_early_leaves_the_folders_of_the_first(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, recipe = tmp_path / "out", recipe_file()
    _, report = run(recipe, out)

    def crash(*_: object, **__: object) -> None:
        raise VaultError("the disk is full")

    monkeypatch.setattr(driver, "tokenise", crash)
    with pytest.raises(VaultError):
        run(recipe, out)
    assert {path.name for path in out.iterdir()} == {"adapter", "report.json", *PARTIES}
    assert judge_file(out / SERVER / LEDGER, VerifyLevel.BUDGET).verdict.is_good
    assert report["at_rest"]["plaintext_medium"] in {"memory", "disk"}


def test_more_sites_than_folders_are_kept_in_memory_by_the_same_code(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_FOLDERS", 2)
    _, report = run(recipe_file(), tmp_path / "out")
    assert report["at_rest"] is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"adapter", "report.json"}


def test_an_id_that_is_no_plain_name_of_a_file_gets_a_folder_that_is(tmp_path: Path) -> None:
    for site_id in ("../x", "a/b", ".", "a" * 64, "Spital:Süd"):
        folder = folder_of(tmp_path, site_id)
        assert folder.parent == tmp_path / SITES
        assert folder.name.replace("-", "").isalnum()


def test_a_run_that_fails_early_leaves_what_was_there_before_it(recipe_file: Writer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mine = out / SITES / "site-1" / "train.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious", "utf-8")
    with pytest.raises(ConfigError, match="site-1 is there"):
        run(recipe_file(), out)
    assert [path for path in out.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text("utf-8") == "precious"


def test_other_folders_beside_the_sites_outlive_a_run_that_fails_early(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise VaultError("the disk is full")

    monkeypatch.setattr(driver, "tokenise", crash)
    mine = tmp_path / "out" / SITES / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious", "utf-8")
    with pytest.raises(VaultError):
        run(recipe_file(), tmp_path / "out")
    assert list((tmp_path / "out").rglob("*")) == [mine.parent, mine]


def test_parties_without_their_simulations_secret_are_refused_and_stay(recipe_file: Writer, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", recipe_file()
    run(recipe, out)
    (out / KEY_FILE).unlink()
    with pytest.raises(ConfigError, match=r"simulation\.key is not"):
        run(recipe, out)
    assert judge_file(out / SERVER / LEDGER, VerifyLevel.BUDGET).verdict.is_good
    assert {path.name for path in out.iterdir()} == {"adapter", "report.json", *PARTIES} - {KEY_FILE}


def test_a_missing_key_file_is_named_with_a_hint(recipe_file: Writer, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", recipe_file()
    run(recipe, out)
    (out / SITES / "site-0.key").unlink()
    with pytest.raises(ConfigError, match=r"site-0\.key is missing") as caught:
        run(recipe, out)
    assert "another --out" in caught.value.advice


def test_a_site_is_not_kept_where_another_has_its_key_file(tmp_path: Path) -> None:
    assert folder_of(tmp_path, "a.key") != folder_of(tmp_path, "a").with_name("a.key")
    assert folder_of(tmp_path, "a.key.next").parent == tmp_path / SITES
    assert folder_of(tmp_path, "a.key.next").name.startswith("site-")


def test_a_second_simulation_in_one_folder_is_refused_and_takes_nothing_away(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out, seen = recipe_file(), tmp_path / "out", list[str]()
    original = driver.tokenise_all

    def with_a_second(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        before = sorted(out.rglob("*"))
        with pytest.raises(ConfigError, match="another simulation works in"):
            Keeper.open(read_recipe(recipe), out, in_process=True)
        assert sorted(out.rglob("*")) == before
        seen.append("second")
        return original(*arguments, **named)

    monkeypatch.setattr(driver, "tokenise_all", with_a_second)
    run(recipe, out)
    assert seen == ["second"]


def test_a_site_that_is_called_server_has_its_own_certificate(recipe_file: Writer, tmp_path: Path) -> None:
    def rename(document: dict[str, Any]) -> None:
        document["sites"][0]["id"] = "server"

    _, report = run(recipe_file(rename), tmp_path / "out")
    parties = {"coordinator", "server", "site-1", "site-2"}
    assert set(report["at_rest"]["shredded"]) == set(report["at_rest"]["ledger_heads"]) == parties


def test_what_an_account_has_spent_is_stated_with_its_own_delta(recipe_file: Writer, tmp_path: Path) -> None:
    outcome, report = run(recipe_file(), tmp_path / "out")
    (account,) = judge_file(tmp_path / "out" / SITES / "site-0" / LEDGER, VerifyLevel.BUDGET).accounts
    assert report["at_rest"]["account_delta"] == account.delta != report["privacy"]["delta"]
    assert report["at_rest"]["account_epsilon"]["site-0"] == pytest.approx(account.epsilon)
    assert f"ε = {account.epsilon:.2f} at δ = {account.delta:g}" in line(outcome.at_rest)
