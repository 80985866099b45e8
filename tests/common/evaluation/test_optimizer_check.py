import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from fedward.common.errors import ConfigError, DataError
from fedward.common.evaluation.optimizer_check import CANARIES, RAW_NORM, Claim, OptimizerCheck, check_optimizer
from tests.evaluations import Vector, flips

CLAIMS = {
    2: Claim(clip_norm=0.7, noise_multiplier=2.26, epsilon=2.0),
    8: Claim(clip_norm=0.7, noise_multiplier=0.937, epsilon=8.0),
}


def run_path(
    claim: Claim, *, seed: int = 1, clip: float = 1.0, noise: Callable[[int], float] = lambda step: 1.0
) -> OptimizerCheck:
    """A path in numpy: ``clip`` and ``noise`` are factors of what is claimed."""
    rng = np.random.default_rng(seed)  # noqa: TID251 - a fake path
    coins = flips(seed + 50, CANARIES)
    update: Vector = np.zeros(CANARIES)
    for step in range(claim.num_steps):
        drawn = (rng.random(CANARIES) < claim.sample_rate) & coins
        update += drawn * min(RAW_NORM, clip) * claim.clip_norm
        update += noise(step) * claim.noise_multiplier * claim.clip_norm * rng.standard_normal(CANARIES)
    return check_optimizer(update, coins, claim)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: f"epsilon {claim.epsilon}")
@pytest.mark.parametrize("seed", range(5))
def test_correct_path_holds(claim: Claim, seed: int) -> None:
    assert run_path(claim, seed=seed).failures == ()


BUGS = [
    ("half noise", {"noise": lambda step: 0.5}, "noise"),
    ("no clipping", {"clip": math.inf}, "clip"),
    ("doubled clip norm", {"clip": 2.0}, "clip"),
    ("noise missing in every fourth step", {"noise": lambda step: float(step % 4 > 0)}, "noise"),
    ("too much noise", {"noise": lambda step: 1.2}, "noise"),
    ("a tenth of the noise", {"noise": lambda step: 0.1}, "bound"),
]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: f"epsilon {claim.epsilon}")
@pytest.mark.parametrize(("bug", "named"), [case[1:] for case in BUGS], ids=[case[0] for case in BUGS])
def test_planted_bug_is_named(claim: Claim, bug: dict[str, float], named: str) -> None:
    assert named in run_path(claim, **bug).failures  # type: ignore[arg-type]


def test_half_noise_is_invisible_to_the_bounds_alone() -> None:
    assert run_path(CLAIMS[8], noise=lambda step: 0.5).is_within_claim


def test_path_without_any_noise_fails_everywhere() -> None:
    found = run_path(CLAIMS[2], noise=lambda step: 0.0)
    assert set(found.failures) == {"noise", "mu", "bound"}


def test_tolerances_follow_from_the_claim() -> None:
    found = run_path(CLAIMS[2])
    assert found.noise.tolerance == pytest.approx(0.063, abs=0.002)
    wide = dataclasses.replace(CLAIMS[2], num_steps=25)
    assert run_path(wide).clip.tolerance == pytest.approx(2 * found.clip.tolerance, rel=0.01)


@pytest.mark.parametrize("coins", [[True] * 30, [True] * 29 + [False]])
def test_one_sided_coins_are_refused(coins: list[bool]) -> None:
    with pytest.raises(DataError):
        check_optimizer(np.arange(30.0), coins, CLAIMS[2])


@pytest.mark.parametrize("change", [{"clip_norm": 0.0}, {"noise_multiplier": math.nan}, {"sample_rate": 2.0}])
def test_impossible_claims_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(CLAIMS[2], **change)  # type: ignore[arg-type]
