"""The grid of privacy modes: a small one for real, and what is said of differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedward.common.errors import ConfigError
from fedward.simulations.benchmarks import modes
from fedward.simulations.benchmarks.modes import ARMS, Row, Scope, recipe_of
from fedward.simulations.console import Silent


def _row(arm: str, seed: int, loss: float) -> Row:
    return Row(
        arm=arm,
        seed=seed,
        rate=0.1,
        steps_per_round=1,
        noise_multiplier=1.0,
        honest_shares=None,
        loss_nats=loss,
        loss_base_nats=5.0,
    )


@pytest.mark.parametrize(
    ("gaps", "within", "better"),
    [
        ([0.01, 0.01, 0.01], True, False),
        ([0.3, 0.31, 0.29], False, False),
        ([-0.3, -0.31, -0.29], False, True),
        ([0.3, -0.3, 0.1], True, False),
    ],
)
def test_a_difference_is_paired_by_seed(gaps: list[float], within: bool, better: bool) -> None:
    rows = [_row("distributed", seed, 3.0 + gap + seed) for seed, gap in enumerate(gaps)]
    rows += [_row("central", seed, 3.0 + seed) for seed in range(len(gaps))]
    found = modes._compared("distributed", "central", rows)
    assert found["by_seed_nats"] == pytest.approx(gaps)
    assert (found["within_noise"], found["first_is_better"]) == (within, better)


def test_all_arms_share_steps_rate_epsilon_and_records() -> None:
    scope = Scope()
    for ways in ARMS.values():
        for way in ways:
            plan = recipe_of(scope, way, 0.1, 1).draft_plan()
            assert plan.rounds * plan.training.steps_per_round == scope.num_steps
            assert sum(site.nominal_units for site in plan.sites) == 5 * scope.patients_per_site
            assert (plan.privacy.epsilon, plan.privacy.delta) == (scope.epsilon, scope.delta)
            assert plan.training.sample_rate == scope.sample_rate


@pytest.mark.slow
def test_a_small_grid_repeats_and_goes_on_from_its_rows(tmp_path: Path) -> None:
    arms = ("central", "distributed", "distributed-strict", "distributed-all-honest")
    scope = Scope(
        patients_per_site=20, heldout_records=3, num_steps=4, sample_rate=0.2, seeds=(1, 2), epsilon=8.0, arms=arms
    )
    rows = tmp_path / "rows.jsonl"
    figures = modes.measure(scope, Silent(), rows_file=rows)
    kept = rows.read_text("utf-8").splitlines()
    rows.write_text("".join(f"{line}\n" for line in kept[:-3]), "utf-8")
    assert modes.measure(scope, Silent(), rows_file=rows) == figures
    assert rows.read_text("utf-8").splitlines() == kept
    with pytest.raises(ConfigError, match="another size"):
        modes.measure(replace(scope, num_steps=5), Silent(), rows_file=rows)
    shares = {line["arm"]: line["honest_shares"] for line in figures["table"]}
    assert (shares["distributed"], shares["distributed-strict"], shares["central"]) == (3, 4, None)
    assert shares["distributed-all-honest"] == 5
