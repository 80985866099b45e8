import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ConfigError
from fedward.common.secagg import thresholds as module
from fedward.common.secagg.thresholds import Profile, min_honest_sites, shamir_threshold

TABLE = [
    # sites, threshold, drops and colluders by default, honest sites without and with a confirmed list of survivors
    (4, 3, 1, 1, 2, 2),
    (5, 4, 1, 1, 3, 3),
    (7, 5, 1, 1, 5, 5),
    (10, 7, 1, 2, 7, 7),
    (20, 14, 2, 4, 13, 14),
    (50, 34, 5, 10, 32, 35),
    (64, 43, 6, 12, 42, 46),
]
"""As the design's table of small cohorts has it."""


def honest(profile: Profile, sites: int, drops: int, colluders: int) -> int:
    return min_honest_sites(profile, num_sites=sites, max_dropouts=drops, assumed_colluders=colluders)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} sites")
def test_threshold_and_honest_sites_are_those_of_the_design(row: tuple[int, ...]) -> None:
    sites, threshold, drops, colluders, resilient, confirmed = row
    assert shamir_threshold(sites) == threshold
    assert honest(Profile.RESILIENT, sites, drops, colluders) == resilient
    assert honest(Profile.RESILIENT_MALICIOUS, sites, drops, colluders) == confirmed


def test_an_unconfirmed_list_of_survivors_costs_an_honest_site_of_ten() -> None:
    assert honest(Profile.RESILIENT_MALICIOUS, 10, 2, 1) == 7
    assert honest(Profile.RESILIENT, 10, 2, 1) == 6


def test_many_colluders_leave_two_of_ten_at_the_lowest_bar_and_six_at_the_default_one() -> None:
    assert honest(Profile.RESILIENT, 10, 3, 3) == 2
    assert honest(Profile.RESILIENT, 10, 1, 3) == 6
    assert honest(Profile.RESILIENT_MALICIOUS, 10, 1, 3) == 6


@pytest.mark.parametrize(("sites", "colluders", "left"), [(2, 0, 2), (3, 1, 2), (10, 4, 6)])
def test_strict_counts_everyone_but_colluders(sites: int, colluders: int, left: int) -> None:
    assert honest(Profile.STRICT, sites, 0, colluders) == left


@pytest.mark.parametrize(("sites", "most"), [(4, 1), (5, 2), (7, 2), (10, 3), (20, 7), (50, 17), (64, 21)])
def test_one_colluder_more_than_the_design_allows_is_refused(sites: int, most: int) -> None:
    drops = {20: 2, 50: 5, 64: 6}.get(sites, 1)
    assert honest(Profile.RESILIENT_MALICIOUS, sites, drops, most) >= 2
    with pytest.raises(ConfigError):
        honest(Profile.RESILIENT_MALICIOUS, sites, drops, most + 1)


@given(st.integers(4, 100), st.integers(0, 40), st.integers(0, 40))
def test_what_is_accepted_has_two_honest_sites_and_the_server_gains_from_an_unconfirmed_list(
    sites: int, drops: int, colluders: int
) -> None:
    try:
        unconfirmed = honest(Profile.RESILIENT, sites, drops, colluders)
    except ConfigError:
        return
    assert 2 <= unconfirmed <= honest(Profile.RESILIENT_MALICIOUS, sites, drops, colluders)
    assert 2 * shamir_threshold(sites) > sites + colluders
    assert sites - drops >= shamir_threshold(sites)


REFUSED = [
    ("one honest site under strict", Profile.STRICT, 3, 0, 2, "at least 2 are needed"),
    ("a site alone", Profile.STRICT, 1, 0, 0, "at least 2 are needed"),
    ("a dropout under strict", Profile.STRICT, 5, 1, 0, "no dropouts"),
    ("three sites where one may drop out", Profile.RESILIENT, 3, 0, 0, "too few"),
    ("colluders that hold both kinds of share", Profile.RESILIENT_MALICIOUS, 10, 0, 4, "could open"),
    ("fewer survivors than open a sum", Profile.RESILIENT_MALICIOUS, 10, 4, 0, "fewer than the 7"),
    ("fewer than no dropouts", Profile.RESILIENT, 10, -1, 0, "-1 dropouts"),
    ("fewer than no colluders", Profile.STRICT, 10, 0, -1, "-1 colluders"),
    ("nobody but colluders", Profile.STRICT, 10, 0, 10, "10 colluders"),
    ("no sites", Profile.STRICT, 0, 0, 0, "num_sites = 0"),
]


@pytest.mark.parametrize(
    ("profile", "sites", "drops", "colluders", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_numbers_that_guard_nobody_are_refused(
    profile: Profile, sites: int, drops: int, colluders: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        honest(profile, sites, drops, colluders)


def test_exported_names_are_sorted() -> None:
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
