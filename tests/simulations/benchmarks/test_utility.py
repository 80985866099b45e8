"""The grid of utility runs: what it says of differences, that it goes on where it was, and one small grid for real."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.common.errors import ConfigError
from fedward.simulations.bench_cli import bench_app
from fedward.simulations.benchmarks import utility
from fedward.simulations.benchmarks.utility import Grid, Row, measure
from fedward.simulations.console import Silent
from tests.simulations.conftest import Writer


def _row(arm: str, seed: int, loss: float, *, epsilon: float = 3.0, rate: float = 0.5) -> Row:
    return Row(
        arm=arm,
        epsilon=epsilon,
        seed=seed,
        learning_rate=rate,
        loss_nats=loss,
        loss_base_nats=5.0,
        worst_site_perplexity=9.0,
    )


def _verdict(gaps: list[float]) -> str:
    rows = [_row("ffa", seed, 4.0 + gap) for seed, gap in enumerate(gaps)]
    rows += [_row("naive", seed, 4.0) for seed in range(len(gaps))]
    found = utility._comparisons(rows)
    assert [(pair["first"], pair["second"]) for pair in found] == [("ffa", "naive")]
    return str(found[0]["first_is"])


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([-0.30, -0.31, -0.29], "better"),
        ([0.30, 0.31, 0.29], "worse"),
        ([-0.30, 0.31, 0.29], "not worse"),
        ([0.0, 0.0, 0.0], "not worse"),
        ([0.02, 0.10, 0.30], "undecided"),
        ([1e-9, 1.1e-9, 0.9e-9], "not worse"),
    ],
)
def test_a_difference_is_called_by_sign_size_and_spread(gaps: list[float], verdict: str) -> None:
    assert _verdict(gaps) == verdict


def test_the_table_averages_losses_and_shows_every_seed() -> None:
    (line,) = utility._table([_row("ffa", 1, math.log(100.0)), _row("ffa", 2, math.log(400.0))])
    assert line["perplexity"] == pytest.approx(200.0)
    assert line["perplexity_by_seed"] == pytest.approx([100.0, 400.0])


def test_an_unknown_arm_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="fedavg2"):
        Grid(recipe=Path("r.toml"), data_root=Path(), arms=("fedavg2",), changes={})


def test_the_tuning_seed_is_not_evaluated() -> None:
    with pytest.raises(ConfigError, match="tuned"):
        Grid(recipe=Path("r.toml"), data_root=Path(), seeds=(utility.TUNING_SEED,), changes={})


def test_a_stopped_grid_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, float, int]] = []

    def run(grid: Grid, arm: str, epsilon: float, seed: int, rate: float | None, ui: object) -> Row:
        ran.append((arm, epsilon, seed))
        return _row(arm, seed, 4.0, epsilon=epsilon, rate=0.5 if rate is None else rate)

    monkeypatch.setattr(utility, "_run", run)
    grid = Grid(recipe=Path("r.toml"), data_root=Path(), arms=("ffa", "naive"), seeds=(1, 2), changes={})
    first = measure(grid, rows_file=tmp_path / "rows.jsonl", ui=Silent())
    assert len(ran) == 2 * 3 * 2
    assert measure(grid, rows_file=tmp_path / "rows.jsonl", ui=Silent()) == first
    assert len(ran) == 2 * 3 * 2
    json.dumps(first, allow_nan=False)


def test_the_rate_with_the_least_loss_on_the_tuning_seed_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(grid: Grid, arm: str, epsilon: float, seed: int, rate: float | None, ui: object) -> Row:
        assert rate is not None
        return _row(arm, seed, 4.0 + abs(rate - 2.0), epsilon=epsilon, rate=rate)

    monkeypatch.setattr(utility, "_run", run)
    grid = Grid(
        recipe=Path("r.toml"), data_root=Path(), arms=("ffa",), seeds=(1,), epsilons=(3.0,), rates=(1.0, 2.0, 4.0),
        changes={},
    )  # fmt: skip
    found = measure(grid, rows_file=tmp_path / "rows.jsonl", ui=Silent())
    assert [row["learning_rate"] for row in found["rows"]] == [2.0]


def test_a_foreign_file_of_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"arm": "ffa"}\n')
    grid = Grid(recipe=Path("r.toml"), data_root=Path(), changes={})
    with pytest.raises(ConfigError, match="line 1"):
        measure(grid, rows_file=tmp_path / "rows.jsonl", ui=Silent())


@pytest.mark.slow
def test_a_small_grid_runs_all_ways_of_aggregating(recipe_file: Writer, tmp_path: Path) -> None:
    path = recipe_file()
    changes: dict[str, Any] = {"training.learning_rate": 0.2}
    grid = Grid(recipe=path, data_root=path.parent, seeds=(1, 2), epsilons=(8.0, utility.NO_PRIVACY), changes=changes)
    found = measure(grid, rows_file=tmp_path / "rows.jsonl", ui=Silent())
    losses = {(row["arm"], row["epsilon"], row["seed"]): row["loss_nats"] for row in found["rows"]}
    assert len(losses) == len(utility.ARMS) * 2 * 2
    for seed in (1, 2):  # the theorem: plain SGD cannot tell fedsvd from ffa with an orthonormal A
        assert losses["fedsvd", None, seed] == pytest.approx(losses["ffa-orthonormal", None, seed], abs=1e-3)
    assert len({round(losses[arm, None, 1], 6) for arm in ("ffa", "alternate", "naive", "fedsvd")}) == 4


def test_the_command_prints_two_tables_and_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(grid: Grid, arm: str, epsilon: float, seed: int, rate: float | None, ui: object) -> Row:
        return _row(arm, seed, 4.0 + (arm == "naive"), epsilon=epsilon)

    monkeypatch.setattr(utility, "_run", run)
    arguments = ["utility", "r.toml", "--rows", str(tmp_path / "rows.jsonl"), "--arms", "ffa,naive", "--json"]
    done = CliRunner().invoke(bench_app, [*arguments, "--epsilons", "3,inf"])
    assert done.exit_code == 0
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert [line["epsilon"] for line in found["table"]] == [3.0, 3.0, None, None]
    assert "standard error" in done.stderr


@pytest.mark.parametrize("seeds", ["a", "1.5", "nan", "-1"])
def test_seeds_that_are_no_whole_numbers_are_refused(seeds: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(bench_app, ["utility", "r.toml", "--rows", str(tmp_path / "x"), "--seeds", seeds])
    assert isinstance(done.exception, ConfigError)
