"""The same plan under `flwr run` with Ray: same bits without privacy, same epsilon with it, nothing left running."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedward.client.ledger_files import VerifyLevel, judge_file
from fedward.common.errors import RunError
from fedward.common.vault.folder import LEDGER
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, Runtime, simulate
from fedward.simulations.flower_files import EventLog, RunFolder
from fedward.simulations.flower_runtime import StartedProcesses, _follow
from fedward.simulations.job import SimulationJob
from fedward.simulations.parties import folder_of
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome, headline
from tests.simulations.conftest import PARTIES, Writer

pytestmark = [pytest.mark.slow, pytest.mark.flower]


def _run(recipe: Path, out: Path, runtime: Runtime, **changes: object) -> Outcome:
    options = Options(data_root=recipe.parent, out=out, runtime=runtime)
    return simulate(read_recipe(recipe, changes), options, Silent())


def _a_fourth_site(document: dict[str, Any]) -> None:
    document["sites"].append({**document["sites"][0], "id": "site-3"})


def _flower_processes() -> set[int]:
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if process.pid != os.getpid() and any(name in words for name in ("flower-", "flwr", "raylet", "gcs_server")):
            found.add(process.pid)
    return found


@pytest.mark.parametrize("method", ["ffa", "fedsvd", "alternate", "naive"])
def test_both_runtimes_give_the_same_bits_without_privacy(method: str, recipe_file: Writer, tmp_path: Path) -> None:
    """And masks change none of them."""
    before, recipe = _flower_processes(), recipe_file(_a_fourth_site)
    changes = {"privacy.mode": "none", "secagg.profile": "resilient", "lora.aggregation": method}
    here = _run(recipe, tmp_path / "here", "inprocess", **changes)
    bare = _run(recipe, tmp_path / "bare", "inprocess", **changes | {"secagg.profile": "plain_ring"})
    ray = _run(recipe, tmp_path / "ray", "flwr", **changes)
    assert ray.result.model_digest == here.result.model_digest == bare.result.model_digest
    names = ("here", "bare", "ray")
    assert len({(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in names}) == 1
    # The first round has a trip for keys besides.
    assert [record.trips for record in ray.result.rounds] == [record.trips for record in here.result.rounds] == [3, 2]
    assert not any(record.dropped for record in ray.result.rounds)
    assert _flower_processes() <= before
    for name in names:
        for place in range(4):
            path = folder_of(tmp_path / name, f"site-{place}").joinpath(*LEDGER)
            assert judge_file(path, VerifyLevel.BUDGET).verdict.is_good


@pytest.mark.parametrize("profile", ["strict", "resilient-malicious"])
def test_other_masked_profiles_run_under_flower(profile: str, recipe_file: Writer, tmp_path: Path) -> None:
    before, recipe = _flower_processes(), recipe_file(_a_fourth_site)
    outcome = _run(recipe, tmp_path / "ray", "flwr", **{"secagg.profile": profile})
    trips = {"strict": [2, 1], "resilient-malicious": [4, 3]}[profile]
    assert [record.trips for record in outcome.result.rounds] == trips
    assert all(len(record.survivors) == 4 for record in outcome.result.rounds)
    assert _flower_processes() <= before


@pytest.mark.parametrize("clip_norm", [1.0, "auto"])
def test_both_runtimes_charge_the_same_epsilon(clip_norm: object, recipe_file: Writer, tmp_path: Path) -> None:
    before, recipe = _flower_processes(), recipe_file()
    changes = {"privacy.clip_norm": clip_norm}
    here = _run(recipe, tmp_path / "here", "inprocess", **changes)
    ray = _run(recipe, tmp_path / "ray", "flwr", **changes)
    assert None not in (ray.result.clip_norm, here.result.clip_norm)
    assert headline(ray)["epsilon_max"] == headline(here)["epsilon_max"]
    assert dict(ray.result.events) == dict(here.result.events)
    assert _flower_processes() <= before


def test_a_failing_run_says_why_and_leaves_nothing_running(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _flower_processes()
    original = SimulationJob.to_file

    def spoil(self: SimulationJob, path: Path) -> None:
        original(self.model_copy(update={"base_digest": "0" * 64}), path)

    monkeypatch.setattr(SimulationJob, "to_file", spoil)
    # The base on disk is not the one that the job names, so no simulated site comes to life.
    with pytest.raises(RunError, match=r"0 sites accept the plan.*TRANSPORT:relay"):
        _run(recipe_file(), tmp_path / "out", "flwr")
    assert {path.name for path in (tmp_path / "out").iterdir()} == PARTIES
    assert _flower_processes() <= before


def test_a_run_of_which_nothing_is_heard_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "superlink.log").write_text("waiting", "utf-8")
    with subprocess.Popen(["sleep", "60"]) as silent:
        try:
            with pytest.raises(RunError, match="nothing was heard"):
                _follow(RunFolder(tmp_path), silent, EventLog(tmp_path / "seen"), StartedProcesses("x"), silence_s=0.3)
        finally:
            silent.kill()
