"""Whole attempts: every drop pattern gives the plain sum bit for bit, or is refused by the stated rule."""

import itertools
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common import _keystream as keystream
from fedward.common.errors import ProtocolError
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.thresholds import Profile, shamir_threshold
from tests.secagg_cohort import PROFILES, Cohort, Outcome, play, unchecked
from tests.strategies import site_ids

CHUNK = keystream.CHUNK_WORDS


@cache
def after_training(profile: Profile, count: int) -> tuple[Cohort, PrekeyShelf, dict[str, bytes]]:
    """A cohort all of whose sites have made their vector; every test goes on from here."""
    cohort = Cohort(profile, count)
    shelf = cohort.shelf()
    return cohort, shelf, cohort.vectors(cohort.coordinator(shelf))


def is_enough(profile: Profile, count: int, arrived: int, answering: int) -> bool:
    """The rule of the design: enough vectors, and then enough shares."""
    if profile is Profile.STRICT:
        return arrived == count
    threshold = shamir_threshold(count)
    least = max(threshold, count - max(1, count // 10))
    return arrived >= least and answering >= threshold


def check(profile: Profile, count: int, lost: Iterable[str], silent: Iterable[str]) -> None:
    cohort, shelf, vectors = after_training(profile, count)
    arrived = {name: reply for name, reply in vectors.items() if name not in set(lost)}
    answering = set(arrived) - set(silent)
    outcome = play(cohort, cohort.coordinator(shelf), arrived, silent=silent)
    if is_enough(profile, count, len(arrived), len(answering)):
        assert outcome.total is not None, outcome.void
        assert set(outcome.total.survivors) == set(arrived)
        assert np.array_equal(outcome.total.total, cohort.plain_sum(arrived, count))
    else:
        assert (outcome.total, outcome.void) == (None, "ROUND_VOID")


CASES = [(profile, count) for profile in PROFILES for count in range(3, 7) if profile is Profile.STRICT or count > 3]


def subsets(names: Iterable[str]) -> list[tuple[str, ...]]:
    pool = tuple(names)
    return [chosen for size in range(len(pool) + 1) for chosen in itertools.combinations(pool, size)]


@pytest.mark.parametrize(("profile", "count"), CASES)
def test_every_set_of_lost_vectors_gives_the_plain_sum_or_a_void_round(profile: Profile, count: int) -> None:
    for lost in subsets(after_training(profile, count)[0].names):
        check(profile, count, lost, ())


@pytest.mark.parametrize(("profile", "count"), [case for case in CASES if case[0] is not Profile.STRICT])
def test_every_set_of_sites_lost_after_their_vector_gives_the_plain_sum_or_a_void_round(
    profile: Profile, count: int
) -> None:
    for silent in subsets(after_training(profile, count)[0].names):
        check(profile, count, (), silent)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "count"), [case for case in CASES if case[0] is not Profile.STRICT])
def test_every_mixture_of_losses_gives_the_plain_sum_or_a_void_round(profile: Profile, count: int) -> None:
    names = after_training(profile, count)[0].names
    for lost in subsets(names):
        for silent in subsets([name for name in names if name not in lost]):
            check(profile, count, lost, silent)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(PROFILES), st.lists(site_ids, min_size=4, max_size=6, unique=True), st.integers(0, 9), st.data())
def test_names_and_length_of_the_vector_do_not_matter(
    profile: Profile, names: list[str], size: int, data: st.DataObject
) -> None:
    cohort = Cohort(profile, len(names), size=size, named=tuple(names))
    coordinator = cohort.coordinator(cohort.shelf())
    vectors = cohort.vectors(coordinator)
    if profile is not Profile.STRICT:
        del vectors[data.draw(st.sampled_from(names))]
    outcome = play(cohort, coordinator, vectors)
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(vectors, len(names)))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("count", [1, 2])
def test_one_site_or_two_are_no_cohort(profile: Profile, count: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        Cohort(profile, count).shelf()
    assert caught.value.code == "COHORT_TOO_SMALL"


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
def test_three_sites_cannot_do_without_one(profile: Profile) -> None:
    with pytest.raises(ProtocolError) as caught:
        Cohort(profile, 3).shelf()
    assert caught.value.code == "THRESHOLD_UNUSABLE"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, CHUNK - 1, CHUNK, CHUNK + 1])
def test_length_of_the_vector_does_not_matter(profile: Profile, size: int) -> None:
    cohort = Cohort(profile, 4, size=size)
    coordinator = cohort.coordinator(cohort.shelf())
    vectors = cohort.vectors(coordinator)
    if profile is not Profile.STRICT:
        vectors.pop(cohort.names[1])
    outcome = play(cohort, coordinator, vectors)
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(vectors, 4))


def test_order_in_which_vectors_come_does_not_matter() -> None:
    cohort, shelf, vectors = after_training(Profile.RESILIENT, 4)
    sums = []
    for order in itertools.permutations(vectors):
        coordinator, outcome = cohort.coordinator(shelf), Outcome()
        for name in order:
            sends = outcome.note(coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0))
        for send in reversed(sends):
            step = cohort.sites[send.site_id].participant.receive(
                cohort.sites[send.site_id].state, cohort.sealed(send.body), check=unchecked
            )
            assert step.reply is not None
            outcome.note(coordinator.on_reply(send.site_id, cohort.opened(send.site_id, step.reply), now_s=2.0))
        assert outcome.total is not None
        sums.append(outcome.total.total)
    assert all(np.array_equal(found, sums[0]) for found in sums)


@pytest.mark.parametrize("profile", PROFILES)
def test_bundles_in_the_last_reply_carry_a_run_without_extra_trips(profile: Profile) -> None:
    cohort = Cohort(profile, 4)
    shelf = cohort.shelf((1, 0))
    for number in range(1, 4):
        upcoming = cohort.target((number + 1, 0)) if number < 3 else None
        coordinator = cohort.coordinator(shelf, upcoming=upcoming)
        vectors = cohort.vectors(coordinator)
        states = {name: site.state for name, site in cohort.sites.items()}
        outcome = play(cohort, coordinator, vectors, states=states)
        assert outcome.total is not None
        assert np.array_equal(outcome.total.total, cohort.plain_sum(cohort.names, 4))
        for name, site in cohort.sites.items():
            site.state = states[name]
        if upcoming is not None:
            shelf = PrekeyShelf(terms=cohort.terms, target=upcoming)
            for name, dealing in outcome.bundles.items():
                shelf.put(name, dealing)
            assert shelf.ready == tuple(sorted(cohort.names, key=str.encode))


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
def test_cohort_may_be_a_part_of_the_holders(profile: Profile) -> None:
    cohort = Cohort(profile, 6)
    shelf = cohort.shelf()
    members = [name for name in shelf.ready if name != cohort.names[2]]
    coordinator = cohort.coordinator(shelf, members)
    outcome = play(cohort, coordinator, cohort.vectors(coordinator))
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(members, 5))


@pytest.mark.parametrize("profile", PROFILES)
def test_masked_vector_is_not_the_quantised_one(profile: Profile) -> None:
    cohort, _, vectors = after_training(profile, 5)
    for name, reply in vectors.items():
        masked = np.frombuffer(cohort.opened(name, reply).vector, "<u4")
        assert not np.any(masked == cohort.plain_sum([name], 5))


def test_sites_that_train_a_part_raise_the_number_of_survivors() -> None:
    """The plan asks for all six, so the sum of five is not opened."""
    cohort = Cohort(Profile.RESILIENT, 6, required=6)
    coordinator = cohort.coordinator(cohort.shelf())
    vectors = cohort.vectors(coordinator)
    assert coordinator.facts.min_survivors == 6
    del vectors[cohort.names[0]]
    assert play(cohort, coordinator, vectors).void == "ROUND_VOID"


def test_probe_before_the_rounds_has_the_position_of_round_zero() -> None:
    cohort = Cohort(Profile.RESILIENT, 4, first_round=0)
    coordinator = cohort.coordinator(cohort.shelf((0, 0)))
    assert play(cohort, coordinator, cohort.vectors(coordinator)).total is not None
