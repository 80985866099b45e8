"""A state's bytes and digest, and known answers: the same plan and sums give the same state on every machine."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.agreement import cohort_facts, planned_train
from fedward.common.config import RunPlan
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import Turns
from fedward.common.lora.orthogonal import Turn
from fedward.common.model_bytes import (
    num_steps,
    published_bytes,
    read_published,
    state_digest,
    state_from_bytes,
    state_num_bytes,
    state_to_bytes,
)
from fedward.common.model_state import ServerState, followed_state, next_state, repeated
from fedward.common.secagg.aggregator import CohortSum
from tests.federation_simulator import Federation, make_plan
from tests.known_answers import model_state_vectors
from tests.verified_federation import same_state

METHODS = ("ffa", "fedsvd", "alternate", "naive")


def plan_of(method: str, optimizer: str, **changes: Any) -> RunPlan:  # noqa: ANN401
    return make_plan(lora={"rank": 2, "aggregation": method}, server={"optimizer": optimizer}, **changes)


def words_of(round_number: int, size: int) -> Any:  # noqa: ANN401
    """(size,) uint32 within three clamps: a sum that looks random and is the same everywhere."""
    raw = hashlib.shake_256(f"round {round_number}".encode()).digest(4 * size)
    return (np.frombuffer(raw, "<i4") >> 8).astype("<i4").view("<u4")


def round_of(plan: RunPlan, round_number: int) -> tuple[Any, CohortSum]:
    federation = Federation(plan)
    sites = tuple(site.id for site in plan.sites)
    facts = cohort_facts(
        federation.position(round_number), planned_train(plan, federation.position(round_number), sites, bytes(32))
    )
    total = words_of(round_number, facts.num_coordinates)
    return facts, CohortSum(total=total, survivors=sites if round_number != 2 else sites[1:])


def states_of(plan: RunPlan, num_rounds: int) -> list[ServerState]:
    states = [ServerState.start(plan)]
    for number in range(1, num_rounds + 1):
        states.append(next_state(plan, states[-1], *round_of(plan, number)).state)
    return states


# ---------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("optimizer", ["fedavg", "fedadam"])
@pytest.mark.parametrize("method", METHODS)
def test_a_state_can_be_written_down_and_read_again(method: str, optimizer: str) -> None:
    plan = plan_of(method, optimizer)
    for number, state in enumerate(states_of(plan, 4)):
        raw = state_to_bytes(plan, state)
        assert len(raw) == state_num_bytes(plan, number)
        again = state_from_bytes(plan, number, raw)
        assert same_state(again, state)
        assert state_digest(plan, again) == state_digest(plan, state)


@pytest.mark.parametrize("method", METHODS)
def test_steps_of_each_tensor_follow_from_the_round(method: str) -> None:
    plan = plan_of(method, "fedadam")
    for number, state in enumerate(states_of(plan, 5)):
        assert num_steps(plan, number) == {name: kept.num_steps for name, kept in state.moments.items()}
    assert num_steps(plan_of(method, "fedavg"), 5) == {}


@pytest.mark.parametrize("change", [-4, -1, 1, 8])
def test_bytes_of_another_length_are_no_state(change: int) -> None:
    plan = plan_of("ffa", "fedadam")
    raw = state_to_bytes(plan, states_of(plan, 2)[-1]) + bytes(8)
    with pytest.raises(ConfigError, match="no state"):
        state_from_bytes(plan, 2, raw[: len(raw) - 8 + change] if change < 0 else raw[:-8] + bytes(change))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_no_state(value: float) -> None:
    plan = plan_of("ffa", "fedadam")
    raw = state_to_bytes(plan, states_of(plan, 2)[-1])
    with pytest.raises(ConfigError, match="finite"):
        state_from_bytes(plan, 2, raw[:-8] + np.array([value]).tobytes())
    with pytest.raises(ConfigError, match="finite"):
        state_from_bytes(plan, 2, np.array([value], "<f4").tobytes() + raw[4:])


@settings(deadline=None)
@given(st.data())
def test_any_flipped_bit_is_another_digest(data: st.DataObject) -> None:
    plan = plan_of("alternate", "fedadam")
    state = states_of(plan, 3)[-1]
    raw = bytearray(state_to_bytes(plan, state))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = state_from_bytes(plan, 3, bytes(raw))
    except ConfigError:  # no number any more
        return
    assert state_digest(plan, other) != state_digest(plan, state)


def test_the_digest_covers_how_often_a_tensor_was_trained() -> None:
    plan = plan_of("ffa", "fedadam")
    state = states_of(plan, 2)[-1]
    moments = {name: replace(kept, num_steps=kept.num_steps + 1) for name, kept in state.moments.items()}
    assert state_digest(plan, replace(state, moments=moments)) != state_digest(plan, state)


def test_without_moments_the_digest_is_the_adapters() -> None:
    plan = plan_of("ffa", "fedavg")
    state = states_of(plan, 2)[-1]
    assert state_digest(plan, state) == adapters.adapter_digest(plan.layout, state.adapter)


# ---------------------------------------------------------------------------------------------------- publishing


@pytest.mark.parametrize("method", METHODS)
def test_what_is_published_can_be_read_with_and_without_a_state_behind(method: str) -> None:
    plan = plan_of(method, "fedadam")
    before = states_of(plan, 1)[-1]
    facts, opened = round_of(plan, 2)
    step = next_state(plan, before, facts, opened)
    raw = published_bytes(plan, opened.total, step.turns)
    state = state_to_bytes(plan, before)
    for behind in (b"", state):
        found = read_published(plan, 2, facts.num_coordinates, raw + behind)
        assert np.array_equal(found.total, opened.total)
        assert found.checkpoint == behind
        assert found.published_hash == hashlib.sha256(raw).digest()
        assert same_state(followed_state(plan, before, facts, opened, found.turns), step.state)
    for wrong in (raw[:-1], raw + state[:-1], raw + state + b"x"):
        with pytest.raises(ConfigError, match="no sum"):
            read_published(plan, 2, facts.num_coordinates, wrong)


# ---------------------------------------------------------------------------------------------------- known answers


def eighth_turn(plan: RunPlan) -> Turns:
    """Exact in binary: the columns change places, one of them its sign. No machine's own factorisation is in it."""
    swap = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return {spec.name: Turn(of_b=swap.T, of_a=swap) for spec in plan.layout if ".lora_B." in spec.name}


@pytest.mark.parametrize(
    "vector", model_state_vectors(), ids=lambda vector: f"{vector['method']}-{vector['optimizer']}"
)
def test_three_rounds_give_the_known_state(vector: dict[str, Any]) -> None:
    plan = plan_of(vector["method"], vector["optimizer"], seed=7, secagg={"weights": "declared"})
    state = ServerState.start(plan)
    digests = []
    for number in (1, 2, 3):
        facts, opened = round_of(plan, number)
        stepped = followed_state(plan, state, facts, opened, {})
        state = stepped.turned(plan, eighth_turn(plan)) if vector["method"] == "fedsvd" else stepped
        digests.append(hashlib.sha256(state_to_bytes(plan, state)).hexdigest())
    assert digests == vector["sha256_of_state"]
    assert state_digest(plan, state).hex() == vector["state_digest"]


def single(value: float) -> float:
    """Rounded to float32, by the standard library."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


@pytest.mark.parametrize("optimizer", ["fedavg", "fedadam"])
def test_the_state_is_that_of_plain_arithmetic_one_number_at_a_time(optimizer: str) -> None:
    """Three sites of weights ⅓, ⅔ and 1; no array library is asked for anything but the sum's words."""
    plan = plan_of("ffa", optimizer, seed=7, secagg={"weights": "declared"})
    value, m, v, nu, beta1, beta2 = [0.0] * 6, [0.0] * 6, [0.0] * 6, 0.0, 0.9, 0.99
    decay1 = decay2 = 1.0
    for number in (1, 2, 3):
        facts, opened = round_of(plan, number)
        weights = [(i + 1) * 100 / 300 for i in range(3)][3 - len(opened.survivors) :]
        total_weight = variance = 0.0
        for weight in weights:
            total_weight += weight
        for weight in weights:
            part = weight / (total_weight * (0.05 * (weight * 300)))
            variance += part * part
        noise = variance * 2 * (0.5 * 2.0 * (0.5 * 2.0))
        decay1, decay2, nu = decay1 * beta1, decay2 * beta2, beta2 * nu + (1 - beta2) * noise
        for place, word in enumerate(opened.total.view(np.int32).tolist()):
            mean = math.ldexp(word, -facts.scale_log2) / total_weight
            if optimizer == "fedavg":
                value[place] = single(value[place] + 1.0 * mean)
                continue
            m[place] = beta1 * m[place] + (1 - beta1) * mean
            v[place] = beta2 * v[place] + (1 - beta2) * mean * mean
            floor = max(1e-16, 0.1 * (nu / (1 - decay2)))
            scale = math.sqrt(max(v[place] / (1 - decay2) - nu / (1 - decay2), floor))
            value[place] = single(value[place] + 0.01 * (m[place] / (1 - decay1) / scale))
    state = states_of(plan, 3)[-1]
    name = next(spec.name for spec in plan.layout if ".lora_B." in spec.name)
    assert state.adapter[name].reshape(-1).tolist() == value
    if optimizer == "fedadam":
        assert state.moments[name].first.reshape(-1).tolist() == m
        assert state.moments[name].second.reshape(-1).tolist() == v
        assert state.moments[name].noise.tolist() == [nu, nu]
    raw = hashlib.sha256(state_to_bytes(plan, state)).hexdigest()
    known = next(x for x in model_state_vectors() if (x["method"], x["optimizer"]) == ("ffa", optimizer))
    assert raw == known["sha256_of_state"][-1]


@given(st.floats(0, 0.9999), st.integers(0, 60))
def test_repeated_products_are_powers_to_rounding(factor: float, times: int) -> None:
    assert repeated(factor, times) == pytest.approx(factor**times, rel=1e-13, abs=1e-300)
