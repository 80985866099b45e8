"""What a site demands of a run and of a cohort on a sparse graph; and whose answers open every secret."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.client.policy import Proposal, judge
from fedward.common.config import SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import ProtocolError
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.quorum import Quorum
from fedward.common.secagg.thresholds import Profile
from tests.masked_federation import POLICY, WITHOUT_DP, masked_federation

FLOORS = Floors(profile=Profile.RESILIENT)
COUNT = 100
LEAST, COLLUDERS = 90, 20


def graph() -> MaskGraph:
    parameters = graph_floors.parameters_for(FLOORS, num_committed=COUNT, num_sites=COUNT)
    return MaskGraph.drawn(bytes(32), [f"s{i}" for i in range(COUNT)], parameters, assumed_colluders=COLLUDERS)


def floor_code(numbers: dict[str, int], floors: Floors = FLOORS) -> str:
    stated = {"num_cohort": COUNT, "min_survivors": LEAST, "stated_colluders": COLLUDERS, **numbers}
    try:
        graph_floors.check_floor(floors, graph(), **stated)
    except ProtocolError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ({}, ""),
        ({"min_survivors": LEAST + 1}, ""),
        ({"min_survivors": LEAST - 1}, "HONEST_FLOOR"),
        ({"min_survivors": COUNT + 1}, "HONEST_FLOOR"),
        ({"num_cohort": LEAST, "min_survivors": LEAST}, ""),
        ({"num_cohort": LEAST, "min_survivors": LEAST + 1}, "HONEST_FLOOR"),
        ({"stated_colluders": COLLUDERS - 1}, "HONEST_FLOOR"),
        ({"stated_colluders": COLLUDERS + 1}, "HONEST_FLOOR"),
        ({"required": LEAST + 5}, "HONEST_FLOOR"),
        ({"required": LEAST + 5, "min_survivors": LEAST + 5}, ""),
    ],
)
def test_numbers_of_a_cohort_are_those_of_the_graph(numbers: dict[str, int], code: str) -> None:
    assert floor_code(numbers) == code


def test_site_may_ask_for_more_honest_ones() -> None:
    assert floor_code({}, replace(FLOORS, min_honest=LEAST - COLLUDERS)) == ""
    assert floor_code({}, replace(FLOORS, min_honest=LEAST - COLLUDERS + 1)) == "HONEST_FLOOR"


@pytest.mark.parametrize(("count", "code"), [(LEAST, ""), (LEAST - 1, "COHORT_TOO_SMALL")])
def test_cohort_lacks_at_most_a_tenth_of_the_run(count: int, code: str) -> None:
    try:
        graph_floors.check_cohort(FLOORS, graph(), count)
        found = ""
    except ProtocolError as error:
        found = error.code
    assert found == code


@pytest.mark.parametrize(
    ("floors", "count", "code"),
    [
        (Floors(profile=Profile.STRICT), 100, "GRAPH_MISMATCH"),
        (FLOORS, 1025, "GRAPH_MISMATCH"),
        (replace(FLOORS, assumed_colluders=90), 100, "THRESHOLD_UNUSABLE"),
        (replace(FLOORS, min_cohort=101), 100, "COHORT_TOO_SMALL"),
        (replace(FLOORS, min_honest=71), 100, "HONEST_FLOOR"),
        (replace(FLOORS, least_colluders=21), 100, "HONEST_FLOOR"),
    ],
)
def test_run_that_no_graph_protects_is_refused_with_a_way_out(floors: Floors, count: int, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        graph_floors.check_run(floors, count)
    assert caught.value.code == code
    assert caught.value.advice


@pytest.mark.parametrize("count", [65, 70, 100, 333, 1000, 1024])
def test_default_numbers_do_for_every_size(count: int) -> None:
    found = graph_floors.check_run(FLOORS, count)
    assert found.threshold < found.degree < count


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        (POLICY, ()),
        (POLICY.model_copy(update={"assumed_colluders": 14}), ("honest_floor",)),
        (POLICY.model_copy(update={"min_honest": 48}), ("honest_floor",)),
        (POLICY.model_copy(update={"min_honest": 47}), ()),
    ],
)
def test_sites_policy_judges_a_plan_of_66_sites(policy: SitePolicy, rules: tuple[str, ...]) -> None:
    federation = masked_federation("resilient", 66, privacy=WITHOUT_DP)
    plan = federation.plan
    proposal = Proposal(
        plan=plan, roster=federation.roster, run_epsilon=0.0, total_epsilon=0.0, desensitized=DesensitizePolicy()
    )
    assert tuple(rule.name for rule in judge(proposal, policy)) == rules


# ---------------------------------------------------------------------------------------------------- quorum


@given(st.integers(1, 9), st.sets(st.sampled_from("abcdefgh")))
def test_where_all_hold_shares_of_all_their_number_counts(threshold: int, sites: set[str]) -> None:
    assert Quorum(threshold=threshold).is_met(sites) == (len(sites) >= threshold)


@given(st.lists(st.sets(st.integers(0, 19)), max_size=8))
def test_on_a_graph_every_neighbourhood_counts_whatever_was_asked_before(asked: list[set[int]]) -> None:
    names = [f"s{i}" for i in range(20)]
    parameters = replace(graph().parameters, degree=4)
    small = MaskGraph.drawn(hashlib.sha256(b"q").digest(), names, parameters, assumed_colluders=1)
    holders = {name: frozenset(small.neighbours(name)) for name in names}
    quorum = Quorum(threshold=3, holders=holders)
    for gone in [*asked, set(), {0}]:
        sites = {name for place, name in enumerate(names) if place not in gone}
        assert quorum.is_met(sites) == all(len(near & sites) >= 3 for near in holders.values())
        assert quorum.of(names[0], sites) == len(holders[names[0]] & sites)
