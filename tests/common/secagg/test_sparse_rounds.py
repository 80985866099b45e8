"""Whole attempts on a sparse graph: the plain sum bit for bit, or a void round; and what a site is told."""

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pytest

from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import statements
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_parameters import dropouts_of
from fedward.common.secagg.journal import EntryKind
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.thresholds import Profile
from tests.secagg_cohort import DEADLINES, FIRST, Cohort, Outcome, play, unchecked

SHARED = (Profile.RESILIENT, Profile.RESILIENT_MALICIOUS)
FEW = 24
"""Few sites, for speed; the rules are those of more than 64."""


@cache
def after_training(profile: Profile, count: int) -> tuple[Cohort, PrekeyShelf, dict[str, bytes]]:
    """A cohort all of whose sites have made their vector; every test goes on from here."""
    group = Cohort(profile, count, is_sparse=True)
    shelf = group.shelf()
    return group, shelf, group.vectors(group.coordinator(shelf))


def graph_of(group: Cohort) -> MaskGraph:
    assert group.graph is not None
    return group.graph


def outcome_of(profile: Profile, count: int, *, lost: Iterable[str] = (), silent: Iterable[str] = ()) -> Outcome:
    group, shelf, vectors = after_training(profile, count)
    arrived = {name: reply for name, reply in vectors.items() if name not in set(lost)}
    return play(group, group.coordinator(shelf), arrived, silent=silent)


def is_the_plain_sum(profile: Profile, count: int, outcome: Outcome, lost: Iterable[str] = ()) -> bool:
    group = after_training(profile, count)[0]
    assert outcome.total is not None, outcome.void
    arrived = set(group.names) - set(lost)
    assert set(outcome.total.survivors) == arrived
    return np.array_equal(outcome.total.total, group.plain_sum(arrived, count))


def drop_patterns(group: Cohort) -> dict[str, tuple[str, ...]]:
    """As many as may be lost, in places that are hard for a ring."""
    ring, most = graph_of(group).ring, dropouts_of(group.count)
    return {
        "none": (),
        "one": ring[:1],
        "next to each other": ring[:most],
        "opposite each other": tuple(ring[(i * len(ring)) // most] for i in range(most)),
        "the first by id": in_order(ring)[:most],
        "around one site": tuple(ring[(i if i % 2 else -i) % len(ring)] for i in range(1, most + 1)),
    }


# ---------------------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize("profile", SHARED)
@pytest.mark.parametrize("pattern", drop_patterns(Cohort(Profile.RESILIENT, FEW, is_sparse=True)))
def test_sum_is_the_plain_one_whoever_is_lost(profile: Profile, pattern: str) -> None:
    lost = drop_patterns(after_training(profile, FEW)[0])[pattern]
    assert is_the_plain_sum(profile, FEW, outcome_of(profile, FEW, lost=lost), lost)


@pytest.mark.parametrize(
    "profile", [Profile.RESILIENT, pytest.param(Profile.RESILIENT_MALICIOUS, marks=pytest.mark.slow)]
)
def test_above_64_sites_the_graph_is_sparse_and_the_sum_the_plain_one(profile: Profile) -> None:
    group = after_training(profile, 66)[0]
    assert Cohort(profile, 65).terms.is_sparse
    assert not Cohort(profile, 64).terms.is_sparse
    assert graph_of(group).degree < 65
    lost = drop_patterns(group)["around one site"]
    assert is_the_plain_sum(profile, 66, outcome_of(profile, 66, lost=lost), lost)


@pytest.mark.slow
@pytest.mark.parametrize("profile", SHARED)
@pytest.mark.parametrize("count", [65, 80, 100])
def test_every_pattern_at_more_sizes(profile: Profile, count: int) -> None:
    for lost in drop_patterns(after_training(profile, count)[0]).values():
        assert is_the_plain_sum(profile, count, outcome_of(profile, count, lost=lost), lost)


@pytest.mark.slow
@pytest.mark.parametrize("profile", SHARED)
def test_random_losses_of_vectors_and_of_replies_give_the_plain_sum_or_a_void_round(profile: Profile) -> None:
    group, opened = after_training(profile, 70)[0], 0
    for roll in range(24):
        names = sorted(group.names, key=lambda name: hash_of(roll, name))
        num_lost, num_silent = roll % 9, roll % 25
        lost, silent = names[:num_lost], names[num_lost : num_lost + num_silent]
        outcome = outcome_of(profile, 70, lost=lost, silent=silent)
        answering = set(group.names) - set(lost) - set(silent)
        graph = graph_of(group)
        is_enough = all(len(set(graph.neighbours(d)) & answering) >= graph.threshold for d in group.names)
        if num_lost <= dropouts_of(70) and is_enough:
            opened += 1
            assert is_the_plain_sum(profile, 70, outcome, lost)
        else:
            assert (outcome.total, outcome.void) == (None, "ROUND_VOID")
    assert 6 < opened < 24


def hash_of(roll: int, name: str) -> bytes:
    return statements.vector_statement(bytes([roll]), name, b"")


# ---------------------------------------------------------------------------------------------------- void rounds


@pytest.mark.parametrize("profile", SHARED)
def test_more_losses_than_a_tenth_make_the_round_void(profile: Profile) -> None:
    names = after_training(profile, FEW)[0].names
    assert outcome_of(profile, FEW, lost=names[: dropouts_of(FEW) + 1]).void == "ROUND_VOID"


@pytest.mark.parametrize("profile", SHARED)
def test_neighbourhood_with_fewer_answers_than_the_threshold_makes_the_round_void(profile: Profile) -> None:
    group = after_training(profile, FEW)[0]
    graph = graph_of(group)
    spare = graph.degree - graph.threshold
    near = graph.neighbours(graph.ring[0])
    assert is_the_plain_sum(profile, FEW, outcome_of(profile, FEW, silent=near[:1]))
    outcome = outcome_of(profile, FEW, silent=near[: spare + 1])
    assert (outcome.total, outcome.void) == (None, "ROUND_VOID")


def test_absent_sites_count_among_the_losses() -> None:
    group = Cohort(Profile.RESILIENT, FEW, is_sparse=True)
    shelf, names = group.shelf(), group.names
    coordinator = group.coordinator(shelf, cohort=names[1:])
    vectors = group.vectors(coordinator)
    assert coordinator.facts.min_survivors == FEW - dropouts_of(FEW)
    outcome = play(group, coordinator, {name: vectors[name] for name in names[2:]})
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, group.plain_sum(names[2:], FEW - 1))
    again = group.coordinator(shelf, cohort=names[1:])
    assert play(group, again, {name: vectors[name] for name in names[3:]}).void == "ROUND_VOID"
    with pytest.raises(ProtocolError) as caught:
        group.coordinator(shelf, cohort=names[3:])
    assert caught.value.code == "COHORT_TOO_SMALL"


# ---------------------------------------------------------------------------------------------------- faults


def test_false_share_is_named_and_the_sum_is_right() -> None:
    group, shelf, vectors = after_training(Profile.RESILIENT, FEW)
    graph = graph_of(group)
    liar = graph.ring[4]
    dealer = next(name for name in graph.around(liar, graph.ring) if name != liar)

    def forge(name: str, raw: bytes) -> bytes:
        body = group.opened(name, raw).body
        if name != liar or not isinstance(body, pb.UnmaskReply):
            return raw
        place = graph.around(liar, graph.ring).index(dealer)
        body.seed_shares[place] = bytes(33)
        return codec.seal(group.identity(name), body)

    outcome = play(group, group.coordinator(shelf), vectors, forge=forge)
    assert is_the_plain_sum(Profile.RESILIENT, FEW, outcome)
    assert set(outcome.faults) <= {(dealer, liar)}


@pytest.mark.parametrize("profile", SHARED)
def test_crash_after_the_vectors_costs_nothing(profile: Profile) -> None:
    group, shelf, vectors = after_training(profile, FEW)
    lost = group.names[0]
    coordinator = group.coordinator(shelf)
    written = Outcome()
    for name in coordinator.facts.bundles:
        opened = group.opened(name, vectors[name])
        actions = (
            coordinator.on_failure(name, now_s=1.0) if name == lost else coordinator.on_reply(name, opened, now_s=1.0)
        )
        written.note(actions)
    entries = {entry.kind: entry for entry in written.written}
    assert EntryKind.FROZEN in entries
    again, actions = RoundCoordinator.resume(
        terms=group.terms,
        entries=entries,
        total=np.empty(group.size, "<u4"),
        deadlines=DEADLINES,
        now_s=0.0,
        graph=group.graph,
    )
    outcome, states = Outcome(), {name: site.state for name, site in group.sites.items()}
    sends = outcome.note(actions)
    while sends:
        send = sends.pop(0)
        participant = group.sites[send.site_id].participant
        step = participant.receive(states[send.site_id], group.sealed(send.body), check=unchecked)
        states[send.site_id] = step.state
        assert step.reply is not None
        sends += outcome.note(again.on_reply(send.site_id, group.opened(send.site_id, step.reply), now_s=2.0))
    assert is_the_plain_sum(profile, FEW, outcome, (lost,))


# ---------------------------------------------------------------------------------------------------- what is told


def test_site_is_told_bundles_of_neighbours_and_digests_of_the_rest() -> None:
    group, shelf, _ = after_training(Profile.RESILIENT, FEW)
    graph, coordinator = graph_of(group), group.coordinator(shelf)
    name = graph.ring[3]
    body = coordinator.train_for(name)
    near = graph.around(name, graph.ring)
    assert len(body.bundles) == len(body.packets) == len(near) == graph.degree + 1
    assert len(body.bundle_digests) == FEW - len(near)
    assert body.graph_hash == graph.hash
    assert all(not packet for packet, site in zip(body.packets, near, strict=True) if site == name)


def refused(name: str, group: Cohort, body: pb.Train) -> str:
    site = group.sites[name]
    with pytest.raises(ProtocolError) as caught:
        site.participant.receive(site.state, group.sealed(body), check=unchecked)
    return caught.value.code


def a_digest_less(body: pb.Train) -> None:
    del body.bundle_digests[0]


def a_digest_more(body: pb.Train) -> None:
    body.bundle_digests.append(bytes(32))


def no_graph(body: pb.Train) -> None:
    body.graph_hash = bytes(32)


def fewer_survivors(body: pb.Train) -> None:
    body.min_survivors -= 1


def fewer_colluders(body: pb.Train) -> None:
    body.assumed_colluders -= 1


def a_bundle_less(body: pb.Train) -> None:
    del body.bundles[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (a_digest_less, "BAD_ENCODING"),
        (a_digest_more, "BAD_ENCODING"),
        (a_bundle_less, "BAD_ENCODING"),
        (no_graph, "GRAPH_MISMATCH"),
        (fewer_survivors, "HONEST_FLOOR"),
        (fewer_colluders, "HONEST_FLOOR"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_cohort_that_is_not_right_is_refused(change: Callable[[pb.Train], None], code: str) -> None:
    group, shelf = before_training()
    name = graph_of(group).ring[3]
    body = group.coordinator(shelf).train_for(name)
    change(body)
    assert refused(name, group, body) == code


@cache
def before_training() -> tuple[Cohort, PrekeyShelf]:
    group = Cohort(Profile.RESILIENT, FEW, is_sparse=True)
    return group, group.shelf()


def test_other_digest_of_a_stranger_gives_masks_that_do_not_cancel() -> None:
    group = Cohort(Profile.RESILIENT, FEW, is_sparse=True)
    coordinator = group.coordinator(group.shelf())
    name = graph_of(group).ring[3]
    body = coordinator.train_for(name)
    body.bundle_digests[0] = bytes(32)
    group.accept(name, body)
    vector = group.opened(name, group.send(name))
    rejected = coordinator.on_reply(name, vector, now_s=1.0)
    assert "DIGEST_MISMATCH" in str(rejected)


def test_survivor_without_proof_is_refused_by_its_neighbours_alone() -> None:
    group, shelf, vectors = after_training(Profile.RESILIENT, FEW)
    coordinator, outcome = group.coordinator(shelf), Outcome()
    sends = []
    for name in coordinator.facts.bundles:
        sends += outcome.note(coordinator.on_reply(name, group.opened(name, vectors[name]), now_s=1.0))
    graph = graph_of(group)
    doubtful = graph.ring[0]
    codes = {}
    for send in sends:
        assert isinstance(send.body, pb.Unmask)
        body = pb.Unmask()
        body.CopyFrom(send.body)
        for survivor in body.survivors:
            if survivor.site_id == doubtful:
                survivor.proof = bytes(64)
        site = group.sites[send.site_id]
        try:
            site.participant.receive(site.state, group.sealed(body), check=unchecked)
        except ProtocolError as error:
            codes[send.site_id] = error.code
    assert codes == dict.fromkeys(graph.neighbours(doubtful), "SURVIVOR_UNPROVEN")


def test_bytes_to_a_site_grow_by_less_than_fifty_for_each_site_that_is_no_neighbour() -> None:
    group, shelf, vectors = after_training(Profile.RESILIENT, FEW)
    coordinator, outcome = group.coordinator(shelf), Outcome()
    name = graph_of(group).ring[0]
    sends = []
    for site in coordinator.facts.bundles:
        sends += outcome.note(coordinator.on_reply(site, group.opened(site, vectors[site]), now_s=1.0))
    train = coordinator.train_for(name)
    strangers = FEW - graph_of(group).degree - 1
    assert sum(len(digest) + 2 for digest in train.bundle_digests) == 34 * strangers
    unmask = next(send.body for send in sends if send.site_id == name)
    told = [entry for entry in unmask.survivors if not entry.proof]
    assert len(told) == strangers
    assert all(entry.ByteSize() + 2 < 50 for entry in told)


def test_request_for_bundles_names_the_neighbours_alone() -> None:
    group = before_training()[0]
    graph = graph_of(group)
    name = graph.ring[2]
    body = group.prekey(FIRST, to=name)
    assert tuple(holder.site_id for holder in body.target.holders) == graph.around(name, graph.ring)
    assert body.target.threshold == graph.threshold
