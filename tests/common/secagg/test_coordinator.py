"""The coordinator's machine: what it takes, what it turns down, whom it names, and that it can go on after a crash."""

import hashlib
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import ring, statements
from fedward.common.secagg.actions import Action, Finished, Persist, Prekeyed, Rejected, Send, Voided
from fedward.common.secagg.bundles import Bundle, Dealing, open_dealt, shares_hash
from fedward.common.secagg.coordinator import CoordinatorPhase, RoundCoordinator
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.frozen import FrozenSum
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.keys import AgreementKey, pair_key, seal_packet, self_key
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.recovery import Recovery
from fedward.common.secagg.shares import split
from fedward.common.secagg.state import State
from fedward.common.secagg.thresholds import Profile
from tests.secagg_cohort import DEADLINES, FIRST, PROFILES, Cohort, Outcome, dither_of, play, unchecked, update_of

COUNT = 5
TRIPS = {Profile.STRICT: 1, Profile.RESILIENT: 2, Profile.RESILIENT_MALICIOUS: 3}


@cache
def trained(profile: Profile, count: int = COUNT) -> tuple[Cohort, PrekeyShelf, dict[str, bytes]]:
    cohort = Cohort(profile, count)
    shelf = cohort.shelf()
    return cohort, shelf, cohort.vectors(cohort.coordinator(shelf))


def states_of(cohort: Cohort) -> dict[str, State]:
    return {name: site.state for name, site in cohort.sites.items()}


def rejection(actions: Iterable[Action]) -> str:
    return next(action.code for action in actions if isinstance(action, Rejected))


def changed_reply(
    cohort: Cohort, name: str, raw: bytes, change: Callable[[pb.TrainReply], None], vector: bytes | None = None
) -> codec.Opened[codec.Body]:
    """A vector's reply, changed and signed by its own site."""
    opened = cohort.opened(name, raw)
    body = opened.body
    assert isinstance(body, pb.TrainReply)
    sent = opened.vector if vector is None else vector
    body.vector_hash = codec.vector_hash(sent)
    change(body)
    return cohort.opened(name, codec.seal(cohort.identity(name), body, vector=sent))


def proven(cohort: Cohort, name: str, digest: bytes) -> Callable[[pb.TrainReply], None]:
    """Sign the vector for this cohort, as a site that lies would."""

    def change(body: pb.TrainReply) -> None:
        statement = statements.vector_statement(digest, name, body.vector_hash)
        body.cohort_digest = digest
        body.proof = statements.sign(cohort.identity(name), "VECTOR", statement)

    return change


# ------------------------------------------------------------------------------------------------ vectors


@pytest.mark.parametrize("profile", PROFILES)
def test_vectors_that_cannot_be_used_are_turned_down_with_their_code(profile: Profile) -> None:
    cohort, shelf, vectors = trained(profile)
    name = shelf.ready[0]

    def outcome(opened: codec.Opened[codec.Body], site_id: str = name) -> str:
        return rejection(cohort.coordinator(shelf).on_reply(site_id, opened, now_s=1.0))

    def other_digest(body: pb.TrainReply) -> None:
        body.cohort_digest = bytes(32)

    def no_proof(body: pb.TrainReply) -> None:
        body.proof = bytes(64)

    def strange_complaint(body: pb.TrainReply) -> None:
        body.complaints.append("zz-stranger")

    digest = cohort.coordinator(shelf).facts.digest()
    raw = vectors[name]
    assert outcome(changed_reply(cohort, name, raw, other_digest)) == "DIGEST_MISMATCH"
    assert outcome(changed_reply(cohort, name, raw, no_proof)) == "BAD_VECTOR"
    assert outcome(changed_reply(cohort, name, raw, strange_complaint)) == "BAD_ENCODING"
    for size in (0, 19, 24):
        short = changed_reply(cohort, name, raw, proven(cohort, name, digest), vector=bytes(size))
        assert outcome(short) == "BAD_VECTOR"
    assert outcome(cohort.opened(name, raw), "zz-stranger") == "UNKNOWN_SITE"


def test_proof_of_another_site_is_no_proof() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    first, second = shelf.ready[:2]
    coordinator = cohort.coordinator(shelf)
    lied = changed_reply(cohort, first, vectors[first], proven(cohort, second, coordinator.facts.digest()))
    assert rejection(coordinator.on_reply(first, lied, now_s=1.0)) == "BAD_VECTOR"


def test_second_vector_is_turned_down_and_the_sum_unchanged() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    total = np.empty(cohort.size, "<u4")
    coordinator = cohort.coordinator(shelf, total=total)
    name = shelf.ready[0]
    coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0)
    before = total.copy()
    again = coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0)
    assert rejection(again) == "DUPLICATE_VECTOR"
    assert np.array_equal(total, before)


def test_vector_after_the_survivors_were_frozen_is_late() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    coordinator = cohort.coordinator(shelf)
    *early, late = shelf.ready
    for name in early:
        coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0)
    actions = coordinator.on_time(DEADLINES.train_s)
    assert coordinator.phase is CoordinatorPhase.UNMASKING
    assert [action.site_id for action in actions if isinstance(action, Send)] == early
    assert rejection(coordinator.on_reply(late, cohort.opened(late, vectors[late]), now_s=101.0)) == "LATE"


def test_too_few_vectors_at_the_deadline_void_the_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    coordinator = cohort.coordinator(shelf)
    for name in shelf.ready[:3]:
        coordinator.on_reply(name, cohort.opened(name, vectors[name]), now_s=1.0)
    assert coordinator.on_time(DEADLINES.train_s - 1) == ()
    assert coordinator.on_time(DEADLINES.train_s) == (Voided("ROUND_VOID"),)
    assert coordinator.on_time(DEADLINES.train_s + 1) == ()


def test_strict_ends_with_the_first_lost_site() -> None:
    cohort, shelf, _ = trained(Profile.STRICT)
    coordinator = cohort.coordinator(shelf)
    assert coordinator.on_failure(shelf.ready[0], now_s=1.0) == (Voided("ROUND_VOID"),)


def test_reply_of_another_position_is_turned_down_and_does_not_count() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    name = shelf.ready[0]

    def other_round(body: pb.TrainReply) -> None:
        body.header.round = 2

    coordinator = cohort.coordinator(shelf)
    opened = changed_reply(cohort, name, vectors[name], other_round)
    assert rejection(coordinator.on_reply(name, opened, now_s=1.0)) == "REPLAY_CONFLICT"
    assert name in coordinator.waiting


# ------------------------------------------------------------------------------------------------ the sum


@pytest.mark.parametrize("profile", PROFILES)
def test_masks_that_do_not_cancel_are_noticed(profile: Profile) -> None:
    """A site that masked for another cohort and claims this one."""
    cohort, shelf, vectors = trained(profile)
    coordinator = cohort.coordinator(shelf)
    name = shelf.ready[0]
    site = cohort.sites[name]
    armed = Cohort(profile, COUNT)
    armed.shelf()
    body = coordinator.train_for(name)
    body.model_digest = b"\x66" * 32
    state = armed.sites[name].participant.receive(armed.sites[name].state, cohort.sealed(body), check=unchecked).state
    other = site.participant.send(state, np.zeros(cohort.size, "<u4")).reply
    assert other is not None
    lied = changed_reply(cohort, name, other, proven(cohort, name, coordinator.facts.digest()))
    resealed = codec.seal(cohort.identity(name), lied.body, vector=lied.vector)
    states = states_of(cohort)
    outcome = play(cohort, coordinator, {**vectors, name: resealed}, states=states, silent=[name])
    assert (outcome.total, outcome.void) == (None, "SUM_OUT_OF_RANGE")


def test_survivors_are_written_down_before_anything_is_asked_of_them() -> None:
    for profile, first in ((Profile.RESILIENT, pb.Unmask), (Profile.RESILIENT_MALICIOUS, pb.Confirm)):
        cohort, shelf, vectors = trained(profile)
        coordinator = cohort.coordinator(shelf)
        actions: tuple[Action, ...] = ()
        for name, raw in vectors.items():
            assert not any(isinstance(action, Send) for action in actions)
            actions = coordinator.on_reply(name, cohort.opened(name, raw), now_s=1.0)
        assert isinstance(actions[0], Persist)
        assert actions[0].entry.kind is EntryKind.FROZEN
        assert all(isinstance(action, Send) and isinstance(action.body, first) for action in actions[1:])


def test_bundle_that_comes_after_the_sum_is_open_is_kept() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    coordinator = cohort.coordinator(shelf, upcoming=cohort.target((2, 0)))
    outcome = play(cohort, coordinator, vectors)
    assert outcome.total is not None
    assert set(outcome.bundles) == set(shelf.ready)
    assert outcome.rejected == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_trips_of_a_round_are_as_many_as_the_profile_states(profile: Profile) -> None:
    cohort, shelf, vectors = trained(profile)
    outcome = play(cohort, cohort.coordinator(shelf), vectors)
    kinds = {type(send.body) for send in outcome.sent}
    assert 1 + len(kinds) == TRIPS[profile]


def test_accumulator_of_another_length_is_refused() -> None:
    cohort, shelf, _ = trained(Profile.STRICT)
    with pytest.raises(ConfigError, match="accumulator of 6"):
        cohort.coordinator(shelf, total=np.empty(6, "<u4"))


def test_cohort_that_sites_would_refuse_is_not_asked() -> None:
    cohort, shelf, _ = trained(Profile.RESILIENT)
    with pytest.raises(ProtocolError) as caught:
        cohort.coordinator(shelf, shelf.ready[:3])
    assert caught.value.code == "HONEST_FLOOR"


@pytest.mark.parametrize("count", [4, 12])
def test_memory_does_not_grow_with_the_number_of_sites(count: int) -> None:
    size = 1 << 18
    cohort = Cohort(Profile.RESILIENT, count, size=size)
    coordinator = cohort.coordinator(cohort.shelf())
    vectors = {name: cohort.opened(name, raw) for name, raw in cohort.vectors(coordinator).items()}
    tracemalloc.start()
    try:
        for name, opened in vectors.items():
            actions = coordinator.on_reply(name, opened, now_s=1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(actions[0], Persist)
    assert peak < 4.5 * size  # the record of the frozen sum, and small things


# ------------------------------------------------------------------------------------------------ false shares


def lying(liars: Iterable[str], cohort: Cohort, *, everywhere: bool = True) -> Callable[[str, bytes], bytes]:
    """Sites that give false shares, signed by themselves."""

    def forge(name: str, raw: bytes) -> bytes:
        body = cohort.opened(name, raw).body
        if name not in set(liars) or not isinstance(body, pb.UnmaskReply):
            return raw
        seeds = [b"\0" * 32 + b"\x07" for _ in body.seed_shares]
        body.seed_shares[:] = seeds if everywhere else [seeds[0], *body.seed_shares[1:]]
        return codec.seal(cohort.identity(name), body)

    return forge


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
@pytest.mark.parametrize("everywhere", [True, False])
def test_false_share_is_found_and_its_holder_named(profile: Profile, everywhere: bool) -> None:
    cohort, shelf, vectors = trained(profile)
    liar = shelf.ready[0]
    outcome = play(cohort, cohort.coordinator(shelf), vectors, forge=lying([liar], cohort, everywhere=everywhere))
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(cohort.names, COUNT))
    assert {holder for _, holder in outcome.faults} == {liar}
    assert shelf.ready[0] in {dealer for dealer, _ in outcome.faults}


def test_more_false_shares_than_can_be_spared_void_the_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    outcome = play(cohort, cohort.coordinator(shelf), vectors, forge=lying(shelf.ready[:2], cohort))
    assert (outcome.total, outcome.void) == (None, "ROUND_VOID")
    assert set(outcome.faults) == {(dealer, "") for dealer in shelf.ready}


def with_false_dealer(wrong: str) -> tuple[Cohort, PrekeyShelf, str]:
    """A shelf on which one bundle states a commitment or a mask key that its shares do not give."""
    cohort = Cohort(Profile.RESILIENT, COUNT)
    honest = cohort.shelf()
    dealer = honest.ready[2]
    site = cohort.sites[dealer]
    own = site.state.armed[FIRST]
    other = AgreementKey.from_secret(bytes(range(32)))
    bundle = (
        replace(own.bundle, commitment=bytes(32))
        if wrong == "commitment"
        else replace(own.bundle, mask_key=other.public)
    )
    shelf = PrekeyShelf(terms=cohort.terms, target=honest.target)
    for name in honest.ready:
        packets = [honest.packet(name, holder) for holder in honest.ready if holder != name]
        stated = honest.bundle(name)
        if name == dealer:
            holders = [holder for holder in honest.ready if holder != name]
            packets = [
                again(cohort, stated, bundle, packet, holder) for packet, holder in zip(packets, holders, strict=True)
            ]
            bundle = replace(bundle, shares_hash=shares_hash(packets))
            signature = statements.sign(cohort.identity(name), "BUNDLE", bundle.digest())
            bundle = stated = replace(bundle, signature=signature)
        shelf.put(name, Dealing(bundle=stated, packets=tuple(packets)).to_wire())
    site.state = replace(site.state, armed={FIRST: replace(own, bundle=bundle)})
    return cohort, shelf, dealer


def again(cohort: Cohort, old: Bundle, new: Bundle, packet: bytes, holder: str) -> bytes:
    """The shares of one packet, sealed for another bundle."""
    dealer, reader = (cohort.sites[name].participant.transport for name in (old.site_id, holder))
    pair = open_dealt(old, packet, holder=holder, own=reader, dealer_key=dealer.public)
    assert pair is not None
    return seal_packet(pair, new.address(holder).key(dealer, reader.public))


@pytest.mark.parametrize("wrong", ["commitment", "mask_key"])
def test_dealer_of_another_secret_is_named(wrong: str) -> None:
    """A false mask key shows when its dealer drops out."""
    cohort, shelf, dealer = with_false_dealer(wrong)
    coordinator = cohort.coordinator(shelf)
    vectors = cohort.vectors(coordinator)
    if wrong == "mask_key":
        del vectors[dealer]
    outcome = play(cohort, coordinator, vectors)
    assert (outcome.total, outcome.void) == (None, "ROUND_VOID")
    assert outcome.faults == [(dealer, "")]


def complained(cohort: Cohort, shelf: PrekeyShelf, dealer: str, holders: Iterable[str]) -> Outcome:
    """An attempt in which the packets from one dealer to some holders are spoilt on their way."""
    coordinator = cohort.coordinator(shelf)
    vectors = {}
    for name in coordinator.facts.bundles:
        body = coordinator.train_for(name)
        if name in set(holders):
            body.packets[list(body.cohort).index(dealer)] = bytes(82)
        cohort.accept(name, body)
        vectors[name] = cohort.send(name)
    return play(cohort, coordinator, vectors)


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
def test_packet_that_one_holder_cannot_read_does_no_harm(profile: Profile) -> None:
    cohort = Cohort(profile, COUNT)
    shelf = cohort.shelf()
    outcome = complained(cohort, shelf, shelf.ready[0], [shelf.ready[3]])
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(cohort.names, COUNT))
    assert outcome.faults == []


def test_dealer_whose_packets_too_many_cannot_read_voids_the_round() -> None:
    cohort = Cohort(Profile.RESILIENT, COUNT)
    shelf = cohort.shelf()
    outcome = complained(cohort, shelf, shelf.ready[0], shelf.ready[3:])
    assert (outcome.total, outcome.void, outcome.sent) == (None, "ROUND_VOID", [])
    assert outcome.faults == [(shelf.ready[0], "")]


def unmask_reply(cohort: Cohort, name: str, raw: bytes, change: Callable[[pb.UnmaskReply], None]) -> bytes:
    body = cohort.opened(name, raw).body
    assert isinstance(body, pb.UnmaskReply)
    change(body)
    return codec.seal(cohort.identity(name), body)


def a_share_too_many(body: pb.UnmaskReply) -> None:
    body.key_shares.append(bytes(33))


def other_survivors(body: pb.UnmaskReply) -> None:
    body.survivors_hash = bytes(32)


def above_the_prime(body: pb.UnmaskReply) -> None:
    body.seed_shares[0] = b"\xff" * 33


def short_share(body: pb.UnmaskReply) -> None:
    body.seed_shares[0] = bytes(32)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (a_share_too_many, "DIGEST_MISMATCH"),
        (other_survivors, "DIGEST_MISMATCH"),
        (above_the_prime, "BAD_ENCODING"),
        (short_share, "BAD_ENCODING"),
    ],
)
def test_shares_that_cannot_be_are_turned_down_and_the_rest_is_enough(
    change: Callable[[pb.UnmaskReply], None], code: str
) -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    liar = shelf.ready[0]
    outcome = play(
        cohort,
        cohort.coordinator(shelf),
        vectors,
        forge=lambda name, raw: unmask_reply(cohort, name, raw, change) if name == liar else raw,
    )
    assert outcome.rejected == {liar: code}
    assert outcome.total is not None


def test_confirmation_of_other_survivors_is_turned_down() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT_MALICIOUS)
    liar = shelf.ready[0]

    def forge(name: str, raw: bytes) -> bytes:
        body = cohort.opened(name, raw).body
        if name != liar or not isinstance(body, pb.ConfirmReply):
            return raw
        body.survivors_hash = bytes(32)
        return codec.seal(cohort.identity(name), body)

    outcome = play(cohort, cohort.coordinator(shelf), vectors, forge=forge)
    assert outcome.rejected == {liar: "DIGEST_MISMATCH"}
    assert outcome.total is not None
    assert {send.site_id for send in outcome.sent if isinstance(send.body, pb.Unmask)} == set(shelf.ready) - {liar}


def test_too_few_confirmations_void_the_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT_MALICIOUS)
    outcome = play(cohort, cohort.coordinator(shelf), vectors, silent=shelf.ready[:2])
    assert (outcome.total, outcome.void) == (None, "ROUND_VOID")
    assert not any(isinstance(send.body, pb.Unmask) for send in outcome.sent)


def test_too_few_confirmations_at_the_deadline_void_the_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT_MALICIOUS)
    coordinator = cohort.coordinator(shelf)
    for name, raw in vectors.items():
        coordinator.on_reply(name, cohort.opened(name, raw), now_s=1.0)
    assert coordinator.phase is CoordinatorPhase.CONFIRMING
    assert coordinator.on_time(1.0 + DEADLINES.reply_s - 0.1) == ()
    assert coordinator.on_time(1.0 + DEADLINES.reply_s) == (Voided("ROUND_VOID"),)


def test_too_few_shares_at_the_deadline_void_the_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    coordinator = cohort.coordinator(shelf)
    for name, raw in vectors.items():
        coordinator.on_reply(name, cohort.opened(name, raw), now_s=1.0)
    assert coordinator.on_time(1.0 + DEADLINES.reply_s - 0.1) == ()
    assert coordinator.on_time(1.0 + DEADLINES.reply_s) == (Voided("ROUND_VOID"),)


def test_confirmation_that_its_site_did_not_sign_is_turned_down() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT_MALICIOUS)
    liar = shelf.ready[0]

    def forge(name: str, raw: bytes) -> bytes:
        body = cohort.opened(name, raw).body
        if name != liar or not isinstance(body, pb.ConfirmReply):
            return raw
        body.signature = bytes(64)
        return codec.seal(cohort.identity(name), body)

    outcome = play(cohort, cohort.coordinator(shelf), vectors, forge=forge)
    assert outcome.rejected == {liar: "BAD_SIGNATURE"}
    assert outcome.total is not None


def test_reply_that_no_trip_has_is_turned_down() -> None:
    cohort, shelf, _ = trained(Profile.RESILIENT)
    name = shelf.ready[0]
    body = pb.RunEndReply(header=cohort.terms.position(FIRST).header(name))
    opened = cohort.opened(name, codec.seal(cohort.identity(name), body))
    assert rejection(cohort.coordinator(shelf).on_reply(name, opened, now_s=1.0)) == "BAD_ENCODING"


@pytest.mark.parametrize("kind", [pb.ConfirmReply, pb.UnmaskReply])
def test_reply_of_a_later_trip_comes_too_early(kind: type[pb.ConfirmReply] | type[pb.UnmaskReply]) -> None:
    cohort, shelf, _ = trained(Profile.RESILIENT)
    name = shelf.ready[0]
    body = kind(header=cohort.terms.position(FIRST).header(name), survivors_hash=bytes(32))
    if isinstance(body, pb.ConfirmReply):
        body.cohort_digest, body.signature = bytes(32), bytes(64)
    opened = cohort.opened(name, codec.seal(cohort.identity(name), body))
    assert rejection(cohort.coordinator(shelf).on_reply(name, opened, now_s=1.0)) == "LATE"


# ------------------------------------------------------------------------------------------------ recovery


def dealt(num_holders: int, threshold: int) -> tuple[bytes, dict[str, bytes], Recovery]:
    secret = bytes(range(32))
    names = [f"h{i:02d}" for i in range(num_holders)]
    shares = split(secret, num_shares=num_holders, coefficients=range(5, 5 + threshold - 1))
    places = {name: place for place, name in enumerate(names, 1)}
    return secret, dict(zip(names, shares, strict=True)), Recovery(threshold=threshold, places=places)


@pytest.mark.parametrize("liars", [(), (0,), (3,), (0, 1), (1, 4)])
def test_secret_is_rebuilt_around_false_shares(liars: tuple[int, ...]) -> None:
    secret, shares, recovery = dealt(6, 4)
    for liar in liars:
        shares[f"h{liar:02d}"] = bytes(33)
    assert recovery.rebuild("dealer", shares, lambda found: found == secret) == secret
    named = {holder for _, holder in recovery.faults}
    # A liar whose share was not needed is not looked at, unless another one was found out.
    assert named <= {f"h{liar:02d}" for liar in liars}
    assert bool(named) == any(liar < 4 for liar in liars)


def test_holder_that_lied_once_is_trusted_last() -> None:
    secret, shares, recovery = dealt(20, 14)
    lied = {**shares, "h03": bytes(33)}
    recovery.rebuild("first", lied, lambda found: found == secret)
    tried = []

    def is_right(found: bytes) -> bool:
        tried.append(found)
        return found == secret

    assert recovery.rebuild("second", lied, is_right) == secret
    assert len(tried) == 1


def test_search_for_the_right_shares_ends() -> None:
    _, shares, recovery = dealt(30, 15)
    # No two on one polynomial, so that every set of them gives another secret.
    shares = {holder: b"\0" + hashlib.sha256(holder.encode()).digest() for holder in shares}
    tries = []

    def never(found: bytes) -> bool:
        tries.append(found)
        return False

    assert recovery.rebuild("dealer", shares, never) is None
    assert 1000 < len(tries) <= 4000
    assert len(set(tries)) == len(tries)


def test_too_few_shares_give_nothing() -> None:
    secret, shares, recovery = dealt(6, 4)
    few = dict(list(shares.items())[:3])
    assert recovery.rebuild("dealer", few, lambda found: found == secret) is None


# ------------------------------------------------------------------------------------------------ crashes


def resumed(
    cohort: Cohort, written: Iterable[JournalEntry], states: dict[str, State], silent: Iterable[str] = ()
) -> Outcome:
    """Another process goes on from what was written."""
    total = np.empty(cohort.size, "<u4")
    coordinator, actions = RoundCoordinator.resume(
        terms=cohort.terms,
        entries={entry.kind: entry for entry in written},
        total=total,
        deadlines=DEADLINES,
        now_s=0.0,
    )
    outcome = Outcome()
    sends = outcome.note(actions)
    while sends:
        send = sends.pop(0)
        step = cohort.sites[send.site_id].participant.receive(
            states[send.site_id], cohort.sealed(send.body), check=unchecked
        )
        assert step.reply is not None
        states[send.site_id] = step.state
        if send.site_id in set(silent):
            sends += outcome.note(coordinator.on_failure(send.site_id, now_s=1.0))
            continue
        opened = cohort.opened(send.site_id, step.reply)
        sends += outcome.note(coordinator.on_reply(send.site_id, opened, now_s=1.0))
    return outcome


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
@pytest.mark.parametrize("upto", [1, 2])
def test_coordinator_that_crashed_after_a_write_goes_on_to_the_same_sum(profile: Profile, upto: int) -> None:
    cohort, shelf, vectors = trained(profile)
    arrived = {name: raw for name, raw in vectors.items() if name != shelf.ready[2]}
    states = states_of(cohort)
    coordinator = cohort.coordinator(shelf, upcoming=cohort.target((2, 0)))
    before = play(cohort, coordinator, arrived, states=states)
    assert before.total is not None
    # The sites have answered everything already; what was written is all that is left of the coordinator.
    outcome = resumed(cohort, before.written[:upto], states)
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(arrived, COUNT))
    assert set(outcome.bundles) == set(arrived)


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
def test_coordinator_that_crashed_before_it_asked_goes_on(profile: Profile) -> None:
    cohort, shelf, vectors = trained(profile)
    first = play(cohort, cohort.coordinator(shelf), vectors, silent=shelf.ready)
    assert first.void == "ROUND_VOID"
    outcome = resumed(cohort, first.written, states_of(cohort), silent=[shelf.ready[1]])
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(vectors, COUNT))


def test_nothing_written_gives_a_void_round() -> None:
    cohort, _, _ = trained(Profile.RESILIENT)
    with pytest.raises(ProtocolError) as caught:
        resumed(cohort, [], {})
    assert caught.value.code == "ROUND_VOID"


def test_record_of_another_length_gives_a_void_round() -> None:
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    written = play(cohort, cohort.coordinator(shelf), vectors).written[0]
    for entry in (replace(written, bulk=written.bulk[:-4]), replace(written, kind=EntryKind.SENT)):
        with pytest.raises(ProtocolError) as caught:
            FrozenSum.from_entry(entry, np.empty(cohort.size, "<u4"))
        assert caught.value.code == "ROUND_VOID"


# ------------------------------------------------------------------------------------------------ the shelf


def shelf_and_dealing(profile: Profile) -> tuple[Cohort, PrekeyShelf, str, pb.Dealing]:
    cohort, shelf, _ = trained(profile)
    name = shelf.ready[0]
    others = [holder for holder in shelf.ready if holder != name]
    packets = () if profile is Profile.STRICT else tuple(shelf.packet(name, holder) for holder in others)
    fresh = PrekeyShelf(terms=cohort.terms, target=shelf.target)
    return cohort, fresh, name, Dealing(bundle=shelf.bundle(name), packets=packets).to_wire()


def put_code(shelf: PrekeyShelf, name: str, dealing: pb.Dealing) -> str:
    with pytest.raises(ProtocolError) as caught:
        shelf.put(name, dealing)
    return caught.value.code


@pytest.mark.parametrize("profile", PROFILES)
def test_shelf_takes_a_bundle_once(profile: Profile) -> None:
    _, shelf, name, dealing = shelf_and_dealing(profile)
    shelf.put(name, dealing)
    shelf.put(name, dealing)
    assert shelf.ready == (name,)


def test_shelf_turns_down_what_sites_would_refuse() -> None:
    cohort, shelf, name, dealing = shelf_and_dealing(Profile.RESILIENT)
    assert put_code(shelf, "zz-stranger", dealing) == "UNKNOWN_SITE"
    assert put_code(shelf, cohort.names[0] if cohort.names[0] != name else cohort.names[1], dealing) == "BAD_SIGNATURE"
    short = pb.Dealing(bundle=dealing.bundle, packets=dealing.packets[:-1])
    assert put_code(shelf, name, short) == "BAD_ENCODING"
    swapped = pb.Dealing(bundle=dealing.bundle, packets=list(dealing.packets)[::-1])
    assert put_code(shelf, name, swapped) == "BAD_ENCODING"
    stale = pb.Dealing()
    stale.CopyFrom(dealing)
    stale.bundle.attempt = 1
    assert put_code(shelf, name, stale) == "PREKEY_STALE"
    assert shelf.ready == ()


def test_shelf_turns_down_a_second_bundle_and_a_key_that_another_has() -> None:
    cohort, shelf, name, dealing = shelf_and_dealing(Profile.STRICT)
    shelf.put(name, dealing)

    def signed(owner: str, **changes: bytes) -> pb.Dealing:
        bundle = replace(Bundle.from_wire(owner, dealing.bundle), **changes)  # type: ignore[arg-type]
        signature = statements.sign(cohort.identity(owner), "BUNDLE", bundle.digest())
        return pb.Dealing(bundle=replace(bundle, signature=signature).to_wire())

    assert put_code(shelf, name, signed(name, mask_key=b"\x09" + bytes(31))) == "PREKEY_EXISTS"
    other = next(site for site in cohort.names if site != name)
    assert put_code(shelf, other, signed(other)) == "KEY_INVALID"


# ------------------------------------------------------------------------------------------------ what is not learnt


def test_server_and_one_colluder_learn_the_sum_and_not_a_vector() -> None:
    """They pool all that they hold; the masks among honest sites stay on. With those keys, all would be known."""
    cohort = Cohort(Profile.RESILIENT, COUNT, size=200)
    coordinator = cohort.coordinator(cohort.shelf())
    armed = {}
    for name in coordinator.facts.bundles:
        cohort.accept(name, coordinator.train_for(name))
        armed[name] = cohort.sites[name].state
    vectors = {name: cohort.send(name) for name in armed}
    outcome = play(cohort, coordinator, vectors)
    assert outcome.total is not None
    victim, colluder, *honest = cohort.names
    digest = coordinator.facts.digest()
    vector = np.frombuffer(cohort.opened(victim, vectors[victim]).vector, "<u4").copy()
    own = {name: armed[name].engagement.secrets.own for name in armed}  # type: ignore[union-attr]

    def take_off(keys: list[tuple[bool, bytes]]) -> ring.RingVector:
        rest = vector.copy()
        apply_masks(
            rest, plus=[key for is_plus, key in keys if not is_plus], minus=[key for is_plus, key in keys if is_plus]
        )
        return rest

    def pair(peer: str) -> tuple[bool, bytes]:
        key = pair_key(own[peer].mask, own[victim].mask.public, cohort=digest, own_id=peer, peer_id=victim)
        return victim.encode() < peer.encode(), key

    known = [(True, self_key(own[victim].seed, cohort=digest, site_id=victim)), pair(colluder)]
    quantiser = ring.Quantiser(scale_log2=coordinator.facts.scale_log2, clamp_log2=coordinator.facts.clamp_log2)
    truth = quantiser.quantise(update_of(victim, 200), dither_key=dither_of(victim))
    guess = take_off(known)
    assert not np.any(guess == truth)
    assert np.abs(guess.view(np.int32) / 2.0**31).mean() > 0.4  # uniform: 0.5; the truth: below 2^−7
    assert np.array_equal(take_off([*known, *map(pair, honest)]), truth)


def test_key_shares_of_a_living_site_stay_below_the_threshold() -> None:
    """Of a survivor's mask key the server holds the colluders' shares and not one more."""
    cohort, shelf, vectors = trained(Profile.RESILIENT)
    seen: list[pb.UnmaskReply] = []

    def forge(name: str, raw: bytes) -> bytes:
        body = cohort.opened(name, raw).body
        assert isinstance(body, pb.UnmaskReply)
        seen.append(body)
        return raw

    play(cohort, cohort.coordinator(shelf), vectors, forge=forge)
    assert len(seen) == COUNT
    assert all(len(body.key_shares) == 0 and len(body.seed_shares) == COUNT for body in seen)


def test_more_than_64_sites_are_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="more than 64 sites need a sparse mask graph") as caught:
        Floors(profile=Profile.RESILIENT).check_cohort(65, 65)
    assert caught.value.code == "GRAPH_MISMATCH"


def test_actions_say_what_they_are() -> None:
    assert {Finished, Persist, Prekeyed, Rejected, Send, Voided} <= set(Action.__args__)
