"""Every way to aggregate through a whole simulation: real base, real training, mixed ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from fedward.common.config import Aggregation
from fedward.common.errors import ConfigError
from fedward.simulations.console import Silent
from fedward.simulations.driver import Options, Runtime, simulate
from fedward.simulations.recipe import read_recipe
from fedward.simulations.report import Outcome, report
from tests.simulations.conftest import Writer

METHODS: tuple[Aggregation, ...] = get_args(Aggregation)


def mixed(document: dict[str, Any]) -> None:
    """Ranks 1, 2, 2 where one site may not be alone with the second column."""
    document["sites"][0]["rank"] = 1
    document["secagg"] = {"profile": "strict", "min_cohort": 2}


def run(
    recipe: Path, out: Path, method: str, *, rounds: int = 2, runtime: Runtime = "inprocess", **changes: object
) -> Outcome:
    settings = {"lora.aggregation": method, "rounds": rounds, **changes}
    options = Options(data_root=recipe.parent, out=out, runtime=runtime)
    return simulate(read_recipe(recipe, settings), options, Silent())


@pytest.mark.parametrize("method", METHODS)
def test_a_private_run_with_mixed_ranks_moves_what_its_method_trains(
    method: Aggregation, recipe_file: Writer, tmp_path: Path
) -> None:
    outcome = run(recipe_file(mixed), tmp_path / "out", method)
    document, adapter = report(outcome), outcome.result.adapter
    assert document["adapter"]["aggregation"] == method
    assert [site["rank"] for site in document["sites"]] == [1, 2, 2]
    assert [entry["trained_parameters"] for entry in document["rounds"]] == [
        document["adapter"]["trained_in_odd_rounds"],
        document["adapter"]["trained_in_even_rounds"],
    ]
    assert all(value.any() for value in adapter.values())
    if method == "fedsvd":
        gram = [value.astype(np.float64) @ value.T for name, value in adapter.items() if ".lora_A." in name]
        assert max(np.abs(found - np.eye(2)).max() for found in gram) < 1e-6


def test_rank_above_the_modules_inputs_is_refused_before_training(recipe_file: Writer, tmp_path: Path) -> None:
    def wide(document: dict[str, Any]) -> None:
        document["lora"]["rank"] = 256

    with pytest.raises(ConfigError, match=r"lora.rank 256 is above the \d+ inputs of"):
        run(recipe_file(wide), tmp_path / "out", "fedsvd")


@pytest.mark.slow
@pytest.mark.flower
def test_both_runtimes_give_the_same_bits_with_alternate_and_mixed_ranks(recipe_file: Writer, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"privacy.mode": "none"}
    recipe = recipe_file(mixed)
    here = run(recipe, tmp_path / "here", "alternate", rounds=3, **changes)
    ray = run(recipe, tmp_path / "ray", "alternate", rounds=3, runtime="flwr", **changes)
    assert ray.result.model_digest == here.result.model_digest
