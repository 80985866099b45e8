import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ConfigError, DataError, EmptyDataError
from fedward.common.evaluation.canaries import CanarySheet, Group
from fedward.common.evaluation.canary_texts import SecretCanary, secret_canaries
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.exposure import (
    advantage,
    difference_of_medians,
    digits_hit,
    discoverable,
    exposure_bits,
    exposure_table,
    measure_exposure,
)
from tests.evaluations import normals

SEED = bytes(range(32))
SHEET = CanarySheet(
    run_id=b"r",
    site_id="north",
    plan_digest=bytes(32),
    token_list_digest=bytes(32),
    seed=SEED,
    counts={Group.SECRET: 40, Group.TWINS: 40},
)
CANARIES = secret_canaries(SHEET)


def test_best_of_all_has_six_bits_and_worst_none() -> None:
    assert exposure_bits([1.0, 0.0], np.stack([np.zeros(63), np.ones(63)])).tolist() == [6.0, 0.0]


def test_ties_count_against_the_attack() -> None:
    assert exposure_bits([0.0], np.zeros((1, 63))).tolist() == [0.0]


def test_without_memorisation_bits_are_as_rare_as_they_must_be() -> None:
    bits = exposure_bits(normals(1, 20_000), normals(2, 20_000, 63))
    for level in range(1, 7):
        assert np.mean(bits >= level) <= 2.0**-level + 5 * math.sqrt(2.0**-level / 20_000)


@given(scores=st.lists(st.integers(-3, 3), min_size=2, max_size=30), factor=st.floats(0.1, 9))
def test_bits_depend_on_order_alone(scores: list[int], factor: float) -> None:
    true, others = [float(scores[0])], [[float(score) for score in scores[1:]]]
    bits = exposure_bits(true, others)
    assert 0 <= bits[0] <= math.log2(len(scores)) + 1e-12
    assert exposure_bits(np.array(true) * factor, np.array(others) * factor).tolist() == bits.tolist()


def model_that_knows(known: set[str]) -> object:
    def likelihood(canary: SecretCanary, secrets: tuple[str, ...]) -> list[float]:
        return [
            0.0 if secret in known and secret == canary.secret else -float(int(secret) % 997) - 1 for secret in secrets
        ]

    return likelihood


def test_model_that_memorised_exposes_members_and_not_twins() -> None:
    known = {canary.secret for canary in CANARIES[Group.SECRET]}
    members = measure_exposure(CANARIES[Group.SECRET], SEED, model_that_knows(known))  # type: ignore[arg-type]
    twins = measure_exposure(CANARIES[Group.TWINS], SEED, model_that_knows(known))  # type: ignore[arg-type]
    table = exposure_table(members, twins, Draws(1, "exposure"))
    assert (table.median_in, table.max_in) == (6.0, 6.0)
    assert table.median_out < 2
    assert table.difference.low > 2
    assert table.p_value < 1e-9


def test_model_that_memorised_nothing_has_no_difference() -> None:
    members = measure_exposure(CANARIES[Group.SECRET], SEED, model_that_knows(set()))  # type: ignore[arg-type]
    twins = measure_exposure(CANARIES[Group.TWINS], SEED, model_that_knows(set()))  # type: ignore[arg-type]
    table = exposure_table(members, twins, Draws(1, "exposure"))
    assert table.difference.low <= 0 <= table.difference.high
    assert table.difference.high <= 2


def test_an_exposure_that_counts_ties_for_the_attack_would_be_noticed() -> None:
    flat = np.zeros(200), np.zeros((200, 63))
    wrong = np.log2(64 / (1 + (flat[1] > flat[0][:, None]).sum(axis=1)))
    assert wrong.mean() == 6.0  # a model that says nothing would look like one that memorised all
    assert exposure_bits(*flat).mean() == 0.0


def test_interval_of_a_difference_of_medians_covers_it() -> None:
    hits = 0
    for seed in range(100):
        found = difference_of_medians(normals(seed, 60) + 1, normals(900 + seed, 50), Draws(seed, "m"), num_draws=500)
        hits += found.low <= 1 <= found.high
    assert hits >= 89  # 99 % of Bin(100, 0.95)


def test_advantage_and_discovery_are_the_known_answers() -> None:
    assert advantage(math.log(1e-6)) == pytest.approx(1.0)
    assert discoverable(math.log(0.02), 100) == pytest.approx(0.86738, abs=1e-5)
    assert discoverable(-math.inf, 10**6) == 0.0
    assert discoverable(0.0, 1) == 1.0
    assert discoverable(-46.0, 100) == pytest.approx(100 * math.exp(-46.0), rel=1e-9)  # no cancellation


@pytest.mark.parametrize(
    ("output", "hits"), [("123456", 6), (" 是123456。", 6), ("123999", 3), ("none", 0), ("", 0), ("12-3456", 2)]
)
def test_digits_are_compared_by_position(output: str, hits: int) -> None:
    assert digits_hit(output, "123456") == hits


def test_impossible_input_is_refused() -> None:
    calls: list[Callable[[], object]] = [
        lambda: exposure_bits([1.0], np.zeros((1, 0))),
        lambda: exposure_bits([1.0], np.zeros((2, 3))),
        lambda: exposure_bits([math.nan], np.zeros((1, 3))),
        lambda: measure_exposure(CANARIES[Group.SECRET], SEED, lambda canary, secrets: [0.0]),
    ]
    for call in calls:
        with pytest.raises(DataError):
            call()
    for refused in (math.nan, 0.1):
        with pytest.raises(ConfigError):
            advantage(refused)
    with pytest.raises(ConfigError):
        discoverable(-1.0, 0)
    with pytest.raises(EmptyDataError):
        exposure_table([1.0], [], Draws(1, "x"))
    with pytest.raises(EmptyDataError):
        difference_of_medians([], [1.0], Draws(1, "x"))
