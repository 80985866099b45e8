from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.errors import ProtocolError
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.plain import PROFILE, PlainCoordinator, PlainRing, quantiser_of
from fedward.common.secagg.ring import Quantiser, RingVector
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts

SITES = ("alpha", "beta", "gamma")
FACTS = CohortFacts(
    run_id=bytes(16),
    roster_hash=ZERO_HASH,
    plan_digest=ZERO_HASH,
    profile=PROFILE,
    round_number=1,
    attempt=0,
    model_digest=ZERO_HASH,
    layout_digest=ZERO_HASH,
    num_coordinates=4,
    ring_bits=32,
    scale_log2=20,
    clamp_log2=24,
    min_survivors=2,
    bundles=dict.fromkeys(SITES, ZERO_HASH),
)


def site_vector(site_id: str, facts: CohortFacts = FACTS) -> RingVector:
    update = np.full(facts.num_coordinates, len(site_id) / 7, np.float32)
    participant = PlainRing().participant(site_id)
    return participant.vector(facts, update, weight=0.5, dither_key=site_id.encode().ljust(32, b"."))


def refusal_code(coordinator: PlainCoordinator, site_id: str, vector: RingVector) -> str:
    with pytest.raises(ProtocolError) as caught:
        coordinator.add(site_id, vector)
    return caught.value.code


def test_plain_ring_is_an_aggregator() -> None:
    aggregator: Aggregator = PlainRing()
    assert aggregator.profile == "plain_ring"


@given(st.permutations(SITES), st.integers(2, 3))
def test_sum_of_the_survivors_does_not_depend_on_their_order(order: list[str], count: int) -> None:
    coordinator = PlainRing().coordinator(FACTS)
    for site_id in order[:count]:
        coordinator.add(site_id, site_vector(site_id))
    opened = coordinator.open()
    expected = np.sum([site_vector(site_id).view(np.int32).astype(np.int64) for site_id in order[:count]], axis=0)
    assert np.array_equal(opened.total.view(np.int32), expected)
    assert opened.survivors == tuple(sorted(order[:count]))


def test_participant_gives_the_quantised_update_and_nothing_else() -> None:
    update = np.array([0.1, -0.2, 3.0, 99.0], np.float32)
    vector = PlainRing().participant("alpha").vector(FACTS, update, weight=0.25, dither_key=bytes(32))
    alone = Quantiser(scale_log2=20, clamp_log2=24).quantise(update, dither_key=bytes(32), weight=0.25)
    assert np.array_equal(vector, alone)


def test_second_vector_of_a_site_is_refused_and_the_sum_unchanged() -> None:
    coordinator = PlainRing().coordinator(FACTS)
    for site_id in SITES:
        coordinator.add(site_id, site_vector(site_id))
    before = coordinator.open().total.copy()
    assert refusal_code(coordinator, "beta", site_vector("beta")) == "DUPLICATE_VECTOR"
    assert np.array_equal(coordinator.open().total, before)


def test_stranger_is_refused() -> None:
    assert refusal_code(PlainRing().coordinator(FACTS), "mallory", site_vector("alpha")) == "UNKNOWN_SITE"


BAD_VECTORS = {
    "too long": np.zeros(5, "<u4"),
    "too short": np.zeros(3, "<u4"),
    "one coordinate": np.zeros(1, "<u4"),
    "beyond the clamp": np.array([0, 0, 0, 2**24 + 1], "<u4"),
    "beyond the clamp below": np.array([0, 0, 0, -(2**24) - 1], np.int32).view(np.uint32),
}


@pytest.mark.parametrize("name", BAD_VECTORS)
def test_vector_that_no_honest_site_sends_is_refused(name: str) -> None:
    coordinator = PlainRing().coordinator(FACTS)
    assert refusal_code(coordinator, "alpha", BAD_VECTORS[name]) == "BAD_VECTOR"
    coordinator.add("alpha", site_vector("alpha"))
    coordinator.add("beta", site_vector("beta"))
    assert coordinator.open().survivors == ("alpha", "beta")


@pytest.mark.parametrize(("min_survivors", "arrived"), [(2, 1), (3, 2), (0, 0), (1, 0)])
def test_too_few_survivors_void_the_round(min_survivors: int, arrived: int) -> None:
    coordinator = PlainRing().coordinator(replace(FACTS, min_survivors=min_survivors))
    for site_id in SITES[:arrived]:
        coordinator.add(site_id, site_vector(site_id))
    with pytest.raises(ProtocolError) as caught:
        coordinator.open()
    assert caught.value.code == "ROUND_VOID"


IMPOSSIBLE = {
    "another ring": replace(FACTS, ring_bits=16),
    "clamp above the ring": replace(FACTS, clamp_log2=31),
    "sum could overflow": replace(FACTS, clamp_log2=30),
    "scale out of reach": replace(FACTS, scale_log2=100),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_ring_parameters_that_do_not_fit_the_cohort_are_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        PlainRing().coordinator(IMPOSSIBLE[name])
    assert caught.value.code == "PLAN_MISMATCH"


def test_largest_clamp_that_fits_is_accepted() -> None:
    facts = replace(FACTS, clamp_log2=30, bundles={"alpha": ZERO_HASH})
    assert quantiser_of(facts).clamp_log2 == 30


def test_vector_lies_apart_from_the_callers_update() -> None:
    update: NDArray[np.float32] = np.ones(4, np.float32)
    PlainRing().participant("alpha").vector(FACTS, update, weight=1.0, dither_key=bytes(32))
    assert (update == 1).all()
