import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg.floors import MAX_SITES, Floors, honest_sites
from fedward.common.secagg.thresholds import Profile, min_honest_sites, shamir_threshold

STRICT, RESILIENT, MALICIOUS = Profile.STRICT, Profile.RESILIENT, Profile.RESILIENT_MALICIOUS


def refusal_code(floors: Floors, num_cohort: int, **numbers: int) -> str:
    """Of the numbers of a cohort that is all its holders; without numbers, of its size."""

    def check() -> None:
        if numbers:
            floors.check_floor(num_cohort=num_cohort, num_holders=num_cohort, **numbers)
        else:
            floors.check_cohort(num_cohort, num_cohort)

    with pytest.raises(ProtocolError) as caught:
        check()
    return caught.value.code


@pytest.mark.parametrize(
    ("count", "threshold", "least", "resilient", "malicious"),
    [
        (4, 3, 3, 2, 2),
        (5, 4, 4, 3, 3),
        (7, 5, 6, 5, 5),
        (10, 7, 9, 7, 7),
        (20, 14, 18, 13, 14),
        (50, 34, 45, 32, 35),
        (64, 43, 58, 42, 46),
    ],
)
def test_numbers_are_those_of_the_design(
    count: int, threshold: int, least: int, resilient: int, malicious: int
) -> None:
    floors = Floors(profile=RESILIENT)
    assert shamir_threshold(count) == threshold
    assert floors.min_survivors(count, count) == least
    numbers = {
        "num_cohort": count,
        "num_holders": count,
        "min_survivors": least,
        "colluders": floors.colluders(count),
    }
    # The table's rows for ten sites and more assume their default colluders.
    assert honest_sites(RESILIENT, **numbers) == resilient
    assert honest_sites(MALICIOUS, **numbers) == malicious


@given(st.integers(4, MAX_SITES), st.sampled_from(list(Profile)), st.data())
def test_numbers_agree_with_the_thresholds_of_a_whole_cohort(count: int, profile: Profile, data: st.DataObject) -> None:
    colluders = data.draw(st.integers(0, count - 1))
    dropouts = 0 if profile is STRICT else data.draw(st.integers(0, count - shamir_threshold(count)))
    own = honest_sites(
        profile, num_cohort=count, num_holders=count, min_survivors=count - dropouts, colluders=colluders
    )
    try:
        theirs = min_honest_sites(profile, num_sites=count, max_dropouts=dropouts, assumed_colluders=colluders)
    except ConfigError:
        return
    assert own == theirs


def openable(count: int, least: int, colluders: int) -> int:
    """The fewest honest sites in a sum that a lying server can open, by trying every story it can tell."""
    threshold = shamir_threshold(count)
    honest = range(count - colluders)
    stories = [
        [
            set(story)
            for size in range(least, count + 1)
            for story in itertools.combinations(range(count), size)
            if i in story
        ]
        for i in honest
    ]
    fewest = count
    for told in itertools.product(*stories):
        seeds = [colluders + sum(i in story for story in told) for i in honest]
        gone = [colluders + sum(i not in story for story in told) for i in honest]
        # In the sum: its seed is had. Out of it: its mask key is had. Neither: no sum with it or without it.
        if all(seed >= threshold or key >= threshold for seed, key in zip(seeds, gone, strict=True)):
            inside = sum(key < threshold for key in gone)
            fewest = min(fewest, inside) if inside else fewest
    return fewest


@pytest.mark.parametrize(
    ("count", "least", "colluders"), [(4, 3, 1), (4, 4, 1), (5, 4, 1), (5, 5, 1), (5, 4, 2), (6, 5, 1)]
)
def test_no_story_opens_a_sum_of_fewer_honest_sites(count: int, least: int, colluders: int) -> None:
    bound = honest_sites(RESILIENT, num_cohort=count, num_holders=count, min_survivors=least, colluders=colluders)
    assert openable(count, least, colluders) >= max(bound, 1)


@pytest.mark.parametrize("profile", list(Profile))
def test_one_and_two_sites_are_too_small(profile: Profile) -> None:
    assert refusal_code(Floors(profile=profile), 1) == "COHORT_TOO_SMALL"
    assert refusal_code(Floors(profile=profile), 2) == "COHORT_TOO_SMALL"


def test_two_sites_pass_under_strict_where_they_are_allowed() -> None:
    floors = Floors(profile=STRICT, min_cohort=2, allow_two_sites=True)
    floors.check_cohort(2, 2)
    floors.check_floor(num_cohort=2, num_holders=2, min_survivors=2, stated_colluders=0)
    assert refusal_code(Floors(profile=RESILIENT, min_cohort=2, allow_two_sites=True), 2) == "COHORT_TOO_SMALL"
    assert refusal_code(Floors(profile=STRICT, min_cohort=3, allow_two_sites=True), 2) == "COHORT_TOO_SMALL"


def test_cohort_below_the_policy_is_too_small() -> None:
    assert refusal_code(Floors(profile=STRICT, min_cohort=6), 5) == "COHORT_TOO_SMALL"
    Floors(profile=STRICT, min_cohort=6).check_cohort(6, 6)


def test_three_sites_are_for_strict() -> None:
    assert refusal_code(Floors(profile=RESILIENT), 3) == "THRESHOLD_UNUSABLE"
    Floors(profile=STRICT).check_cohort(3, 3)


@pytest.mark.parametrize("profile", [RESILIENT, MALICIOUS])
def test_threshold_that_colluders_defeat_is_unusable(profile: Profile) -> None:
    """2t ≤ n + n_C: both kinds of share of one site could be had."""
    assert refusal_code(Floors(profile=profile, assumed_colluders=4), 10) == "THRESHOLD_UNUSABLE"
    assert refusal_code(Floors(profile=profile), 10, min_survivors=9, stated_colluders=4) == "THRESHOLD_UNUSABLE"
    Floors(profile=profile, assumed_colluders=3).check_cohort(10, 10)


@pytest.mark.parametrize(
    ("min_survivors", "stated_colluders"), [(8, 2), (6, 2), (0, 2), (11, 2), (9, 1), (9, 0), (9, 10), (9, 2**32 - 1)]
)
def test_numbers_below_the_sites_own_are_refused(min_survivors: int, stated_colluders: int) -> None:
    code = refusal_code(Floors(profile=RESILIENT), 10, min_survivors=min_survivors, stated_colluders=stated_colluders)
    assert code == "HONEST_FLOOR"


def test_numbers_above_the_sites_own_pass() -> None:
    floors = Floors(profile=RESILIENT)
    floors.check_floor(num_cohort=10, num_holders=10, min_survivors=10, stated_colluders=3)


def test_sites_own_wish_for_honest_company_binds() -> None:
    assert refusal_code(Floors(profile=RESILIENT, min_honest=8), 10, min_survivors=9, stated_colluders=2) == (
        "HONEST_FLOOR"
    )
    Floors(profile=RESILIENT, min_honest=7).check_floor(
        num_cohort=10, num_holders=10, min_survivors=9, stated_colluders=2
    )


def test_strict_among_colluders_needs_two_honest_sites() -> None:
    assert refusal_code(Floors(profile=STRICT), 5, min_survivors=5, stated_colluders=4) == "HONEST_FLOOR"
    Floors(profile=STRICT).check_floor(num_cohort=5, num_holders=5, min_survivors=5, stated_colluders=3)


def test_smaller_cohort_keeps_the_threshold_of_its_holders() -> None:
    floors = Floors(profile=RESILIENT)
    assert floors.min_survivors(8, 10) == 7
    assert floors.min_survivors(7, 10) == 7
    assert honest_sites(RESILIENT, num_cohort=5, num_holders=50, min_survivors=5, colluders=34) == 0


def test_survivors_that_the_plan_asks_for_besides_bind() -> None:
    floors = Floors(profile=RESILIENT)
    numbers = {"num_cohort": 10, "num_holders": 10, "stated_colluders": 2, "required": 10}
    floors.check_floor(min_survivors=10, **numbers)
    with pytest.raises(ProtocolError) as caught:
        floors.check_floor(min_survivors=9, **numbers)
    assert caught.value.code == "HONEST_FLOOR"
