"""A site against a hostile coordinator: each request that it must refuse, with its code, and what it may never give."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import statements
from fedward.common.secagg.bundles import Bundle
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.frozen import to_wire
from fedward.common.secagg.journal import EntryKind, SqliteJournal
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.participant import Participant, Step
from fedward.common.secagg.state import MAX_ANSWERS, MAX_ARMED, Phase, State, restored
from fedward.common.secagg.statements import Survivor
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import CohortFacts
from tests.secagg_cohort import FIRST, MODEL, PROFILES, SECRET, Cohort, Site, unchecked

COUNT = 5
STRANGER = Identity.simulated(SECRET, "mallory")
LOW_ORDER = bytes(32)


class Scene:
    """A cohort in which everybody has laid in a bundle, and its victim. Use copies of its messages only."""

    def __init__(self, profile: Profile) -> None:
        self.cohort = Cohort(profile, COUNT)
        self.shelf = self.cohort.shelf()
        self.victim = self.shelf.ready[1]
        self.peer = self.shelf.ready[2]
        self.armed = {name: site.state for name, site in self.cohort.sites.items()}
        self.coordinator: RoundCoordinator = self.cohort.coordinator(self.shelf, upcoming=None)
        self.vectors = self.cohort.vectors(self.coordinator)
        self.sent = {name: site.state for name, site in self.cohort.sites.items()}

    @property
    def participant(self) -> Participant:
        return self.cohort.sites[self.victim].participant

    @property
    def train(self) -> pb.Train:
        return self.coordinator.train_for(self.victim)

    def survivors(self, *left_out: str) -> tuple[Survivor, ...]:
        found = []
        for name in self.shelf.ready:
            body = self.cohort.opened(name, self.vectors[name]).body
            assert isinstance(body, pb.TrainReply)
            if name not in left_out:
                found.append(Survivor(site_id=name, vector_hash=body.vector_hash, proof=body.proof))
        return tuple(found)

    def confirm(self, *left_out: str) -> pb.Confirm:
        return pb.Confirm(
            header=self.cohort.header(),
            cohort_digest=self.coordinator.facts.digest(),
            survivors=to_wire(self.survivors(*left_out)),
        )

    def confirmations(self, *left_out: str) -> list[pb.Confirmation]:
        agreed = statements.survivors_hash(self.survivors(*left_out))
        statement = statements.confirm_statement(self.coordinator.facts.digest(), agreed)
        return [
            pb.Confirmation(site_id=name, signature=statements.sign(self.cohort.identity(name), "CONFIRM", statement))
            for name in self.shelf.ready
            if name not in left_out
        ]

    def unmask(self, *left_out: str) -> pb.Unmask:
        body = pb.Unmask(
            header=self.cohort.header(),
            cohort_digest=self.coordinator.facts.digest(),
            survivors=to_wire(self.survivors(*left_out)),
        )
        if self.cohort.profile is Profile.RESILIENT_MALICIOUS:
            body.confirmations.extend(self.confirmations(*left_out))
        return body

    def before_unmask(self, *left_out: str) -> State:
        """The victim's state when an ``Unmask`` may come."""
        state = self.sent[self.victim]
        if self.cohort.profile is Profile.RESILIENT_MALICIOUS:
            state = self.receive(state, self.confirm(*left_out)).state
        return state

    def receive(self, state: State, body: codec.Body) -> Step:
        return self.participant.receive(state, self.cohort.sealed(body), check=unchecked)

    def resigned(self, name: str, wire: pb.Bundle) -> pb.Bundle:
        """A bundle that its owner signed as it now stands."""
        bundle = Bundle.from_wire(name, wire)
        signature = statements.sign(self.cohort.identity(name), "BUNDLE", bundle.digest())
        return replace(bundle, signature=signature).to_wire()


@cache
def scene(profile: Profile) -> Scene:
    return Scene(profile)


@pytest.fixture(params=PROFILES)
def stage(request: pytest.FixtureRequest) -> Scene:
    return scene(request.param)


@pytest.fixture(params=[Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
def resilient(request: pytest.FixtureRequest) -> Scene:
    return scene(request.param)


def refusal_code(act: Callable[[], object]) -> str:
    with pytest.raises(ProtocolError) as caught:
        act()
    return caught.value.code


def place(stage: Scene, name: str) -> int:
    return stage.shelf.ready.index(name)


# ------------------------------------------------------------------------------------------------ Train


def swap_peer_key(stage: Scene, body: pb.Train) -> None:
    body.bundles[place(stage, stage.peer)].mask_key = AgreementKey.generate(os.urandom).public


def alter_own(stage: Scene, body: pb.Train) -> None:
    body.bundles[place(stage, stage.victim)].mask_key = AgreementKey.generate(os.urandom).public


def resign(change: Callable[[pb.Bundle], None]) -> Callable[[Scene, pb.Train], None]:
    """The peer itself helps, and signs the changed bundle."""

    def apply(stage: Scene, body: pb.Train) -> None:
        bundle = body.bundles[place(stage, stage.peer)]
        change(bundle)
        bundle.CopyFrom(stage.resigned(stage.peer, bundle))

    return apply


def older_round(bundle: pb.Bundle) -> None:
    bundle.round = 0


def other_attempt(bundle: pb.Bundle) -> None:
    bundle.attempt = 1


def other_run(bundle: pb.Bundle) -> None:
    bundle.run_id = b"\x12" * 16


def other_roster(bundle: pb.Bundle) -> None:
    bundle.roster_hash = b"\x12" * 32


def other_holders(bundle: pb.Bundle) -> None:
    bundle.holders_hash = b"\x12" * 32


def low_order_key(bundle: pb.Bundle) -> None:
    bundle.mask_key = LOW_ORDER


def short_key(bundle: pb.Bundle) -> None:
    bundle.mask_key = bytes(31)


def key_of_another(stage: Scene, body: pb.Train) -> None:
    body.bundles[place(stage, stage.peer)].mask_key = body.bundles[place(stage, stage.victim)].mask_key


def keep(*places: int) -> Callable[[Scene, pb.Train], None]:
    def apply(_: Scene, body: pb.Train) -> None:
        cohort, bundles, packets = list(body.cohort), list(body.bundles), list(body.packets)
        body.ClearField("bundles")
        body.cohort[:] = [cohort[i] for i in places]
        body.bundles.extend(bundles[i] for i in places)
        body.packets[:] = [packets[i] for i in places] if packets else []

    return apply


def rename_peer(stage: Scene, body: pb.Train) -> None:
    names = list(body.cohort)
    names[place(stage, stage.peer)] = stage.peer + "~"
    body.cohort[:] = names


def set_field(name: str, value: object) -> Callable[[Scene, pb.Train], None]:
    return lambda _, body: setattr(body, name, value)


def lower_min_survivors(_: Scene, body: pb.Train) -> None:
    body.min_survivors -= 1


def drop_bundle(_: Scene, body: pb.Train) -> None:
    del body.bundles[-1]


HOSTILE_TRAINS: dict[str, tuple[Callable[[Scene, pb.Train], None], str]] = {
    "peer's mask key swapped": (swap_peer_key, "BAD_SIGNATURE"),
    "own bundle changed": (alter_own, "OWN_BUNDLE_ALTERED"),
    "peer's bundle of an older round": (resign(older_round), "PREKEY_STALE"),
    "peer's bundle of another attempt": (resign(other_attempt), "PREKEY_STALE"),
    "peer's bundle of another run": (resign(other_run), "PREKEY_STALE"),
    "peer's bundle under another roster": (resign(other_roster), "ROSTER_MISMATCH"),
    "peer's bundle for other holders": (resign(other_holders), "HOLDERS_MISMATCH"),
    "peer's key of low order": (resign(low_order_key), "KEY_INVALID"),
    "peer's key too short": (resign(short_key), "KEY_INVALID"),
    "two sites with one key": (key_of_another, "KEY_INVALID"),
    "cohort of one": (keep(1), "COHORT_TOO_SMALL"),
    "cohort of two": (keep(1, 2), "COHORT_TOO_SMALL"),
    "a site twice": (keep(0, 1, 2, 2, 3), "COHORT_MALFORMED"),
    "sites out of order": (keep(1, 0, 2, 3, 4), "COHORT_MALFORMED"),
    "this site missing": (keep(0, 2, 3, 4), "COHORT_MALFORMED"),
    "a stranger": (rename_peer, "UNKNOWN_SITE"),
    "a bundle short": (drop_bundle, "BAD_ENCODING"),
    "fewer survivors": (lower_min_survivors, "HONEST_FLOOR"),
    "more survivors than sites": (set_field("min_survivors", COUNT + 1), "HONEST_FLOOR"),
    "colluders understated": (set_field("assumed_colluders", 0), "HONEST_FLOOR"),
    "colluders overstated": (set_field("assumed_colluders", COUNT), "HONEST_FLOOR"),
    "another graph": (set_field("graph_hash", b"\x01" * 32), "GRAPH_MISMATCH"),
    "another layout": (set_field("layout_digest", b"\x01" * 32), "PLAN_MISMATCH"),
    "another length": (set_field("num_coordinates", 6), "PLAN_MISMATCH"),
    "another scale": (set_field("scale_log2", -24), "PLAN_MISMATCH"),
    "another clamp": (set_field("clamp_log2", 23), "PLAN_MISMATCH"),
}


@pytest.mark.parametrize("name", HOSTILE_TRAINS)
def test_hostile_train_is_refused_before_any_data_is_read(stage: Scene, name: str) -> None:
    change, code = HOSTILE_TRAINS[name]
    body = stage.train
    change(stage, body)
    step = lambda: stage.participant.receive(  # noqa: E731
        stage.armed[stage.victim], stage.cohort.sealed(body), check=lambda _: pytest.fail("read data")
    )
    assert refusal_code(step) == code


def test_the_same_train_unchanged_is_accepted(stage: Scene) -> None:
    step = stage.receive(stage.armed[stage.victim], stage.train)
    assert step.state.phase is Phase.TRAINING
    assert [entry.kind for entry in step.entries] == [EntryKind.ACCEPTED]
    assert step.reply is None


@pytest.mark.parametrize("change", ["roster", "plan", "run", "profile"])
def test_header_for_another_run_is_refused(stage: Scene, change: str) -> None:
    codes = {"roster": "ROSTER_MISMATCH", "profile": "PROFILE_FORBIDDEN"}
    names = {"roster": "roster_hash", "plan": "plan_digest", "run": "run_id", "profile": "profile"}
    body = stage.train
    value = getattr(body.header, names[change])
    setattr(body.header, names[change], "plain_ring" if change == "profile" else bytes(len(value)))
    assert refusal_code(lambda: stage.receive(stage.armed[stage.victim], body)) == codes.get(change, "PLAN_MISMATCH")


def test_forged_request_is_refused(stage: Scene) -> None:
    raw = codec.seal(STRANGER, stage.train)
    assert (
        refusal_code(lambda: stage.participant.receive(stage.armed[stage.victim], raw, check=unchecked))
        == "BAD_SIGNATURE"
    )


def test_message_that_is_for_coordinators_is_refused(stage: Scene) -> None:
    body = pb.RunEnd(header=stage.cohort.header())
    assert refusal_code(lambda: stage.receive(stage.armed[stage.victim], body)) == "BAD_ENCODING"


@pytest.mark.parametrize("profile", PROFILES)
def test_site_that_no_shares_were_dealt_to_is_refused(profile: Profile) -> None:
    cohort = Cohort(profile, 6)
    names = tuple(sorted(cohort.names, key=str.encode))
    cohort.shelf(names=names[:5])
    site = cohort.sites[names[1]]
    body = cohort.train()
    body.cohort[:] = names
    act = lambda: site.participant.receive(site.state, cohort.sealed(body), check=unchecked)  # noqa: E731
    assert refusal_code(act) == "COHORT_MALFORMED"


def test_callers_refusal_leaves_everything_as_it_was(stage: Scene) -> None:
    seen: list[CohortFacts] = []

    def check(facts: CohortFacts) -> None:
        seen.append(facts)
        raise ProtocolError("MODEL_MISMATCH", "another model")

    raw = stage.cohort.sealed(stage.train)
    assert (
        refusal_code(lambda: stage.participant.receive(stage.armed[stage.victim], raw, check=check)) == "MODEL_MISMATCH"
    )
    assert seen[0].model_digest == MODEL
    assert stage.receive(stage.armed[stage.victim], stage.train).entries


def test_train_without_a_bundle_is_refused(stage: Scene) -> None:
    assert refusal_code(lambda: stage.receive(State(), stage.train)) == "PREKEY_UNKNOWN"


def test_train_again_gets_the_same_reply_and_no_entry(stage: Scene) -> None:
    state = stage.sent[stage.victim]
    step = stage.receive(state, stage.train)
    assert (step.reply, step.entries, step.state) == (stage.vectors[stage.victim], (), state)


def test_another_train_for_the_same_position_is_refused(stage: Scene) -> None:
    body = stage.train
    body.model_digest = b"\x01" * 32
    assert refusal_code(lambda: stage.receive(stage.sent[stage.victim], body)) == "REPLAY_CONFLICT"


def test_train_again_while_training_is_refused(stage: Scene) -> None:
    state = stage.receive(stage.armed[stage.victim], stage.train).state
    assert refusal_code(lambda: stage.receive(state, stage.train)) == "REPLAY_CONFLICT"


def test_older_round_is_refused(stage: Scene) -> None:
    state = replace(stage.armed[stage.victim], last=(2, 0))
    assert refusal_code(lambda: stage.receive(state, stage.train)) == "ROUND_ORDER"


@pytest.mark.parametrize(
    ("round_number", "attempt", "code"), [(0, 5, "ROUND_ORDER"), (6, 0, "ROUND_ORDER"), (1, 2, "ATTEMPT_LIMIT")]
)
def test_position_that_the_plan_does_not_have_is_refused(
    stage: Scene, round_number: int, attempt: int, code: str
) -> None:
    body = stage.train
    body.header.round, body.header.attempt = round_number, attempt
    assert refusal_code(lambda: stage.receive(stage.armed[stage.victim], body)) == code


def test_two_sites_are_a_cohort_only_where_the_site_allows_it() -> None:
    floors = Floors(profile=Profile.STRICT, min_cohort=2, assumed_colluders=0, allow_two_sites=True)
    cohort = Cohort(Profile.STRICT, 2, floors=floors)
    coordinator = cohort.coordinator(cohort.shelf())
    assert len(cohort.vectors(coordinator)) == 2


# ------------------------------------------------------------------------------------------------ vector


def test_only_one_vector_is_made_for_a_cohort(stage: Scene) -> None:
    participant = stage.participant
    code = refusal_code(lambda: participant.send(stage.sent[stage.victim], np.zeros(5, "<u4")))
    assert code == "ATTEMPT_CLOSED"


def test_nothing_is_sent_without_a_cohort(stage: Scene) -> None:
    participant = stage.participant
    assert refusal_code(lambda: participant.send(stage.armed[stage.victim], np.zeros(5, "<u4"))) == "ATTEMPT_CLOSED"


def test_vector_of_another_length_is_not_sent(stage: Scene) -> None:
    state = stage.receive(stage.armed[stage.victim], stage.train).state
    with pytest.raises(ConfigError, match="6 for a cohort of 5"):
        stage.participant.send(state, np.zeros(6, "<u4"))


def test_abandoned_attempt_sends_nothing_and_answers_nothing(resilient: Scene) -> None:
    state = resilient.receive(resilient.armed[resilient.victim], resilient.train).state.abandoned()
    assert refusal_code(lambda: resilient.participant.send(state, np.zeros(5, "<u4"))) == "ATTEMPT_CLOSED"
    assert refusal_code(lambda: resilient.receive(state, resilient.unmask())) == "ATTEMPT_CLOSED"


def test_vector_is_journaled_with_its_hash_before_it_leaves(stage: Scene) -> None:
    state = stage.receive(stage.armed[stage.victim], stage.train).state
    step = stage.participant.send(state, np.zeros(5, "<u4"))
    assert step.reply is not None
    opened = stage.cohort.opened(stage.victim, step.reply)
    sent = [entry for entry in step.entries if entry.kind is EntryKind.SENT]
    assert [(entry.digest, entry.detail) for entry in sent] == [
        (stage.coordinator.facts.digest(), codec.vector_hash(opened.vector))
    ]


def test_reply_holds_nothing_beside_vector_proof_and_complaints(stage: Scene) -> None:
    body = stage.cohort.opened(stage.victim, stage.vectors[stage.victim]).body
    assert [field.name for field, _ in body.ListFields()] == ["header", "cohort_digest", "vector_hash", "proof"]


def test_site_told_another_story_makes_the_sum_uniform() -> None:
    """Another model for one site: no refusal, for it cannot know; but its masks do not cancel."""
    stage = scene(Profile.STRICT)
    body = stage.train
    body.model_digest = b"\x66" * 32
    state = stage.receive(stage.armed[stage.victim], body).state
    told_otherwise = stage.participant.send(state, np.zeros(5, "<u4"))
    assert told_otherwise.reply is not None
    vectors = [
        np.frombuffer(stage.cohort.opened(name, stage.vectors[name]).vector, "<u4")
        for name in stage.shelf.ready
        if name != stage.victim
    ]
    own = np.frombuffer(stage.cohort.opened(stage.victim, told_otherwise.reply).vector, "<u4")
    total = np.zeros(own.size, "<u4")
    for vector in (*vectors, own):
        total += vector
    ring_terms = stage.cohort.terms.ring(1, COUNT)
    assert not ring_terms.quantiser.in_range(total, COUNT)


# ------------------------------------------------------------------------------------------------ Unmask, Confirm

Trip = Callable[[Scene], "pb.Unmask | pb.Confirm"]


def asked(stage: Scene, *left_out: str) -> pb.Unmask | pb.Confirm:
    """The first trip that names survivors."""
    is_confirmed = stage.cohort.profile is Profile.RESILIENT_MALICIOUS
    return stage.confirm(*left_out) if is_confirmed else stage.unmask(*left_out)


def reorder(body: pb.Unmask | pb.Confirm, places: list[int]) -> None:
    survivors = list(body.survivors)
    body.ClearField("survivors")
    body.survivors.extend(survivors[i] for i in places)


def test_survivors_out_of_order_or_repeated_are_refused(resilient: Scene) -> None:
    for places in ([1, 0, 2, 3, 4], [0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 4]):
        body = asked(resilient)
        reorder(body, places)
        assert refusal_code(lambda body=body: resilient.receive(resilient.sent[resilient.victim], body)) == (  # type: ignore[misc]
            "SURVIVORS_INVALID"
        )


def test_stranger_among_the_survivors_is_refused(resilient: Scene) -> None:
    body = asked(resilient)
    body.survivors[-1].site_id = "zz-stranger"
    assert refusal_code(lambda: resilient.receive(resilient.sent[resilient.victim], body)) == "SURVIVORS_INVALID"


def test_fewer_survivors_than_agreed_are_refused(resilient: Scene) -> None:
    body = asked(resilient, resilient.shelf.ready[0], resilient.shelf.ready[4])
    assert refusal_code(lambda: resilient.receive(resilient.sent[resilient.victim], body)) == "SURVIVORS_TOO_FEW"


def test_survivors_without_the_site_itself_are_refused(resilient: Scene) -> None:
    body = asked(resilient, resilient.victim)
    assert refusal_code(lambda: resilient.receive(resilient.sent[resilient.victim], body)) == "SELF_NOT_IN_SURVIVORS"


@pytest.mark.parametrize("forged", ["proof", "vector_hash", "own hash"])
def test_survivor_that_sent_no_such_vector_is_refused(resilient: Scene, forged: str) -> None:
    body = asked(resilient)
    if forged == "own hash":
        body.survivors[1].vector_hash = bytes(32)
    else:
        setattr(body.survivors[2], forged, bytes(64 if forged == "proof" else 32))
    assert refusal_code(lambda: resilient.receive(resilient.sent[resilient.victim], body)) == "SURVIVOR_UNPROVEN"


def test_another_digest_is_refused(resilient: Scene) -> None:
    body = asked(resilient)
    body.cohort_digest = bytes(32)
    assert refusal_code(lambda: resilient.receive(resilient.sent[resilient.victim], body)) == "DIGEST_MISMATCH"


def test_survivors_before_a_vector_was_sent_are_refused(resilient: Scene) -> None:
    state = resilient.receive(resilient.armed[resilient.victim], resilient.train).state
    assert refusal_code(lambda: resilient.receive(state, asked(resilient))) == "DIGEST_MISMATCH"
    assert refusal_code(lambda: resilient.receive(resilient.armed[resilient.victim], asked(resilient))) == (
        "DIGEST_MISMATCH"
    )


def test_each_peer_gets_one_kind_of_share(resilient: Scene) -> None:
    gone = resilient.shelf.ready[4]
    state = resilient.before_unmask(gone)
    step = resilient.receive(state, resilient.unmask(gone))
    assert step.reply is not None
    body = resilient.cohort.opened(resilient.victim, step.reply).body
    assert isinstance(body, pb.UnmaskReply)
    engagement = state.engagement
    assert engagement is not None
    assert engagement.secrets is not None
    shares = engagement.secrets.shares
    alive = resilient.shelf.ready[:4]
    assert list(body.seed_shares) == [shares[name].seed for name in alive]
    assert list(body.key_shares) == [shares[gone].mask_key]


def test_second_set_of_survivors_is_refused_for_ever(resilient: Scene) -> None:
    gone, other = resilient.shelf.ready[4], resilient.shelf.ready[3]
    state = resilient.receive(resilient.before_unmask(gone), resilient.unmask(gone)).state
    assert refusal_code(lambda: resilient.receive(state, resilient.unmask(other))) == "SURVIVORS_CHANGED"
    assert refusal_code(lambda: resilient.receive(state, resilient.unmask())) == "SURVIVORS_CHANGED"


def test_the_same_unmask_gets_the_same_shares(resilient: Scene) -> None:
    step = resilient.receive(resilient.before_unmask(), resilient.unmask())
    again = resilient.receive(step.state, resilient.unmask())
    assert (again.reply, again.entries, again.state) == (step.reply, (), step.state)


def test_same_survivors_in_another_request_get_nothing_after_the_release(resilient: Scene) -> None:
    step = resilient.receive(resilient.before_unmask(), resilient.unmask())
    body = resilient.unmask()
    body.next.CopyFrom(resilient.cohort.target((2, 0)))
    assert refusal_code(lambda: resilient.receive(step.state, body)) == "ATTEMPT_CLOSED"


def test_secrets_are_gone_after_the_release(resilient: Scene) -> None:
    state = resilient.receive(resilient.before_unmask(), resilient.unmask()).state
    assert state.phase is Phase.RELEASED
    assert state.engagement is not None
    assert state.engagement.secrets is None
    assert FIRST not in state.armed


def test_mask_keys_are_gone_once_the_vector_is_made(resilient: Scene) -> None:
    engagement = resilient.sent[resilient.victim].engagement
    assert engagement is not None
    assert engagement.secrets is not None
    assert (engagement.secrets.plus, engagement.secrets.minus) == ((), ())


def test_strict_keeps_no_secret_beyond_the_vector() -> None:
    stage = scene(Profile.STRICT)
    state = stage.sent[stage.victim]
    assert state.phase is Phase.RELEASED
    assert state.engagement is not None
    assert state.engagement.secrets is None


@pytest.mark.parametrize("kind", ["unmask", "confirm"])
def test_strict_has_no_second_trip(kind: str) -> None:
    stage = scene(Profile.STRICT)
    body = stage.unmask() if kind == "unmask" else stage.confirm()
    assert refusal_code(lambda: stage.receive(stage.sent[stage.victim], body)) == "BAD_ENCODING"


def test_two_trip_profile_has_no_confirmations() -> None:
    stage = scene(Profile.RESILIENT)
    state = stage.sent[stage.victim]
    assert refusal_code(lambda: stage.receive(state, stage.confirm())) == "BAD_ENCODING"
    body = stage.unmask()
    body.confirmations.extend(stage.confirmations())
    assert refusal_code(lambda: stage.receive(state, body)) == "BAD_ENCODING"


def test_unmask_before_confirm_is_refused() -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    assert refusal_code(lambda: stage.receive(stage.sent[stage.victim], stage.unmask())) == "CONFIRM_MISSING"


def test_other_survivors_than_confirmed_are_refused() -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    state = stage.before_unmask()
    gone = stage.shelf.ready[4]
    assert refusal_code(lambda: stage.receive(state, stage.confirm(gone))) == "SURVIVORS_CHANGED"
    assert refusal_code(lambda: stage.receive(state, stage.unmask(gone))) == "SURVIVORS_CHANGED"


def test_confirming_again_signs_the_same() -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    first = stage.receive(stage.sent[stage.victim], stage.confirm())
    again = stage.receive(replace(first.state, answers={}), stage.confirm())
    assert (again.reply, again.entries) == (first.reply, ())


def test_survivors_confirmed_in_ever_new_words_do_not_fill_the_memory() -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    state, body = stage.sent[stage.victim], stage.confirm()
    own = next(survivor for survivor in body.survivors if survivor.site_id == stage.victim)
    for number in range(2 * MAX_ANSWERS):
        own.proof = number.to_bytes(64, "big")  # the site knows its own vector without its proof
        state = stage.receive(state, body).state
    assert len(state.answers) == MAX_ANSWERS
    assert stage.receive(state, body).state is state


def test_unmask_that_is_a_confirm_by_its_bytes_gets_no_confirm_for_an_answer() -> None:
    """Without confirmations the two bodies are the same bytes; only their types differ."""
    stage = scene(Profile.RESILIENT_MALICIOUS)
    body = stage.unmask()
    body.ClearField("confirmations")
    assert body.SerializeToString(deterministic=True) == stage.confirm().SerializeToString(deterministic=True)
    assert refusal_code(lambda: stage.receive(stage.before_unmask(), body)) == "CONFIRM_QUORUM"


def too_few(stage: Scene, body: pb.Unmask) -> None:
    del body.confirmations[3:]


def none_at_all(stage: Scene, body: pb.Unmask) -> None:
    body.ClearField("confirmations")


def one_twice(stage: Scene, body: pb.Unmask) -> None:
    del body.confirmations[3:]
    body.confirmations.append(body.confirmations[2])


def mixed(stage: Scene, body: pb.Unmask) -> None:
    body.confirmations[0].CopyFrom(stage.confirmations(stage.shelf.ready[4])[0])


def of_a_stranger(stage: Scene, body: pb.Unmask) -> None:
    body.confirmations[4].site_id = "zz-stranger"


@pytest.mark.parametrize("change", [too_few, none_at_all, one_twice, mixed, of_a_stranger])
def test_unmask_without_a_quorum_is_refused(change: Callable[[Scene, pb.Unmask], None]) -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    body = stage.unmask()
    change(stage, body)
    assert refusal_code(lambda: stage.receive(stage.before_unmask(), body)) == "CONFIRM_QUORUM"


def test_quorum_without_the_rest_is_enough() -> None:
    stage = scene(Profile.RESILIENT_MALICIOUS)
    body = stage.unmask()
    del body.confirmations[4:]
    assert stage.receive(stage.before_unmask(), body).reply is not None


def test_dropped_sites_cannot_be_listed(resilient: Scene) -> None:
    assert [field.name for field in pb.Unmask.DESCRIPTOR.fields] == [
        "header",
        "cohort_digest",
        "survivors",
        "confirmations",
        "next",
    ]


# ------------------------------------------------------------------------------------------------ packets


def test_swapped_packets_are_complained_about_and_the_vector_is_the_same(resilient: Scene) -> None:
    body = resilient.train
    packets = list(body.packets)
    packets[2], packets[3] = packets[3], packets[2]
    body.packets[:] = packets
    state = resilient.receive(resilient.armed[resilient.victim], body).state
    assert state.engagement is not None
    assert state.engagement.complaints == (resilient.shelf.ready[2], resilient.shelf.ready[3])
    assert state.engagement.digest == resilient.coordinator.facts.digest()


def test_unreadable_packet_gives_an_empty_share(resilient: Scene) -> None:
    body = resilient.train
    body.packets[2] = bytes(82)
    state = resilient.receive(resilient.armed[resilient.victim], body).state
    state = resilient.participant.send(state, np.zeros(5, "<u4")).state
    engagement = state.engagement
    assert engagement is not None
    assert engagement.secrets is not None
    assert resilient.shelf.ready[2] not in engagement.secrets.shares


# ------------------------------------------------------------------------------------------------ Prekey


def fresh(profile: Profile) -> tuple[Cohort, Participant, str]:
    cohort = Cohort(profile, COUNT)
    name = sorted(cohort.names, key=str.encode)[1]
    return cohort, cohort.sites[name].participant, name


def lower_threshold(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.threshold -= 1


def swap_transport_key(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders[2].transport_key = AgreementKey.generate(os.urandom).public


def swap_own_key(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders[1].transport_key = AgreementKey.generate(os.urandom).public


def short_transport_key(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders[2].transport_key = bytes(31)


def shared_transport_key(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders[2].transport_key = body.target.holders[3].transport_key


def strange_holder(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders[4].site_id = "zz-stranger"


def holders_out_of_order(cohort: Cohort, body: pb.Prekey) -> None:
    body.target.holders.reverse()


def without_me(cohort: Cohort, body: pb.Prekey) -> None:
    del body.target.holders[1]


def two_holders(cohort: Cohort, body: pb.Prekey) -> None:
    del body.target.holders[2:]


def other_header(cohort: Cohort, body: pb.Prekey) -> None:
    body.header.attempt = 1


def far_round(cohort: Cohort, body: pb.Prekey) -> None:
    body.header.round = body.target.round = 6


def many_attempts(cohort: Cohort, body: pb.Prekey) -> None:
    body.header.attempt = body.target.attempt = 2


HOSTILE_PREKEYS: dict[str, tuple[Callable[[Cohort, pb.Prekey], None], str]] = {
    "threshold lowered": (lower_threshold, "THRESHOLD_MISMATCH"),
    "transport key swapped": (swap_transport_key, "BAD_SIGNATURE"),
    "own transport key swapped": (swap_own_key, "HOLDERS_MISMATCH"),
    "transport key too short": (short_transport_key, "KEY_INVALID"),
    "one transport key for two": (shared_transport_key, "KEY_INVALID"),
    "a strange holder": (strange_holder, "UNKNOWN_SITE"),
    "holders out of order": (holders_out_of_order, "COHORT_MALFORMED"),
    "this site no holder": (without_me, "COHORT_MALFORMED"),
    "two holders": (two_holders, "COHORT_TOO_SMALL"),
    "header of another position": (other_header, "BAD_ENCODING"),
    "a round beyond the plan": (far_round, "ROUND_ORDER"),
    "too many attempts": (many_attempts, "ATTEMPT_LIMIT"),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", HOSTILE_PREKEYS)
def test_hostile_prekey_is_refused(profile: Profile, name: str) -> None:
    cohort, participant, _ = fresh(profile)
    change, code = HOSTILE_PREKEYS[name]
    body = cohort.prekey()
    change(cohort, body)
    assert refusal_code(lambda: participant.receive(State(), cohort.sealed(body), check=unchecked)) == code


def test_holder_with_a_signed_key_of_low_order_is_refused(resilient: Scene) -> None:
    cohort, participant, _ = fresh(resilient.cohort.profile)
    body = cohort.prekey()
    holder = body.target.holders[2]
    holder.transport_key = LOW_ORDER
    statement = statements.transport_statement(
        run_id=cohort.terms.run_id,
        roster_hash=cohort.terms.roster.hash,
        plan_digest=cohort.terms.plan_digest,
        site_id=holder.site_id,
        transport_key=LOW_ORDER,
    )
    holder.signature = statements.sign(cohort.identity(holder.site_id), "TRANSPORT", statement)
    assert refusal_code(lambda: participant.receive(State(), cohort.sealed(body), check=unchecked)) == "KEY_INVALID"


def test_transport_key_of_a_site_cannot_change_within_a_run(stage: Scene) -> None:
    cohort = stage.cohort
    body = cohort.prekey((2, 0))
    holder = body.target.holders[2]
    new = AgreementKey.generate(os.urandom).public
    statement = statements.transport_statement(
        run_id=cohort.terms.run_id,
        roster_hash=cohort.terms.roster.hash,
        plan_digest=cohort.terms.plan_digest,
        site_id=holder.site_id,
        transport_key=new,
    )
    holder.transport_key = new
    holder.signature = statements.sign(cohort.identity(holder.site_id), "TRANSPORT", statement)
    assert refusal_code(lambda: stage.receive(stage.armed[stage.victim], body)) == "HOLDERS_MISMATCH"


def test_second_bundle_for_a_position_is_refused(stage: Scene) -> None:
    body = stage.cohort.prekey()
    del body.target.holders[4]
    body.target.threshold = 3
    assert refusal_code(lambda: stage.receive(stage.armed[stage.victim], body)) == "PREKEY_EXISTS"


def test_same_prekey_gets_the_same_bundle(stage: Scene) -> None:
    step = stage.receive(stage.armed[stage.victim], stage.cohort.prekey())
    assert step.reply is not None
    assert step.entries == ()
    body = stage.cohort.opened(stage.victim, step.reply).body
    assert isinstance(body, pb.PrekeyReply)
    assert Bundle.from_wire(stage.victim, body.dealing.bundle) == stage.shelf.bundle(stage.victim)


def test_bundle_for_a_position_that_has_passed_is_refused(stage: Scene) -> None:
    state = replace(stage.sent[stage.victim], answers={})
    assert refusal_code(lambda: stage.receive(state, stage.cohort.prekey())) == "ROUND_ORDER"


def test_bundle_for_a_retry_closes_the_attempt_before_it(resilient: Scene) -> None:
    state = resilient.receive(resilient.sent[resilient.victim], resilient.cohort.prekey((1, 1))).state
    assert refusal_code(lambda: resilient.receive(state, resilient.unmask())) == "ATTEMPT_CLOSED"
    assert state.engagement is not None
    assert state.engagement.secrets is None


def test_next_bundle_must_be_for_a_later_position(resilient: Scene) -> None:
    body = resilient.unmask()
    body.next.CopyFrom(resilient.cohort.target((1, 0)))
    state = resilient.before_unmask()
    assert refusal_code(lambda: resilient.receive(state, body)) == "ROUND_ORDER"


def test_two_trip_train_carries_no_next_target(resilient: Scene) -> None:
    body = resilient.train
    body.next.CopyFrom(resilient.cohort.target((2, 0)))
    assert refusal_code(lambda: resilient.receive(resilient.armed[resilient.victim], body)) == "BAD_ENCODING"


def test_retry_has_new_keys_and_a_new_vector(stage: Scene) -> None:
    cohort = Cohort(stage.cohort.profile, COUNT)
    seen = []
    for at in ((1, 0), (1, 1)):
        shelf = cohort.shelf(at)
        vectors = cohort.vectors(cohort.coordinator(shelf))
        seen.append((shelf.bundle(stage.victim), cohort.opened(stage.victim, vectors[stage.victim]).vector))
    assert seen[0][0].mask_key != seen[1][0].mask_key
    assert seen[0][1] != seen[1][1]


def test_coordinator_that_asks_for_bundle_after_bundle_gets_no_store_of_them() -> None:
    cohort, participant, _ = fresh(Profile.STRICT)
    state = State()
    for number in range(1, 6):
        for attempt in range(2):
            state = participant.receive(state, cohort.sealed(cohort.prekey((number, attempt))), check=unchecked).state
    assert len(state.armed) == MAX_ARMED
    assert len(state.prekeyed) == 10


# ------------------------------------------------------------------------------------------------ the end, restarts


def test_closed_site_answers_nothing(stage: Scene) -> None:
    state = stage.sent[stage.victim].closed()
    assert state.phase is Phase.VOID
    assert refusal_code(lambda: stage.receive(state, stage.train)) == "REPLAY_CONFLICT"
    if stage.cohort.profile is not Profile.STRICT:
        assert refusal_code(lambda: stage.receive(state, stage.unmask())) == "ATTEMPT_CLOSED"


def test_restarted_site_repeats_no_position(stage: Scene) -> None:
    entries = stage.cohort.sites[stage.victim].journal.entries(stage.cohort.terms.run_id)
    state = restored(entries)
    assert state.last == FIRST
    assert refusal_code(lambda: stage.receive(state, stage.train)) == "REPLAY_CONFLICT"
    if stage.cohort.profile is not Profile.STRICT:
        assert refusal_code(lambda: stage.receive(state, stage.unmask())) == "ATTEMPT_CLOSED"
    assert stage.receive(state, stage.cohort.prekey((2, 0))).reply is not None


def test_site_restarted_before_training_asks_for_a_new_bundle(stage: Scene) -> None:
    journal = stage.cohort.sites[stage.victim].journal.entries(stage.cohort.terms.run_id)
    state = restored([entry for entry in journal if entry.kind is EntryKind.PREKEY])
    assert refusal_code(lambda: stage.receive(state, stage.train)) == "PREKEY_UNKNOWN"
    assert refusal_code(lambda: stage.receive(state, stage.cohort.prekey())) == "PREKEY_EXISTS"
    assert stage.receive(state, stage.cohort.prekey((1, 1))).reply is not None


def after_a_crash(cohort: Cohort, site: Site, journal: SqliteJournal) -> None:
    """Another process: the state is what the journal gives, and nothing that was in memory."""
    site.state = restored(journal.entries(cohort.terms.run_id))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("crash_after", [1, 2, 3, 4, 5])
def test_crash_after_any_durable_write_gives_no_second_vector_and_no_other_shares(
    profile: Profile, crash_after: int, tmp_path: Path
) -> None:
    """Each step is written down, and then the site is gone before the reply leaves; the coordinator asks again."""
    journal = SqliteJournal(tmp_path / "journal.db")
    stage = scene(profile)
    cohort, site = stage.cohort, Site(stage.participant)
    replies = []
    num_writes = 0

    def write(step: Step) -> None:
        nonlocal num_writes
        journal.append(step.entries)
        site.state = step.state
        num_writes += 1
        if num_writes == crash_after:
            after_a_crash(cohort, site, journal)
        elif step.reply is not None:
            replies.append(cohort.opened(stage.victim, step.reply).body)

    for at in (FIRST, FIRST, (1, 1)):
        requests: list[codec.Body] = [cohort.prekey(at)]
        if at == FIRST:
            requests += [stage.train, stage.confirm(), stage.unmask()]
        for body in requests:
            with suppress(ProtocolError):
                step = site.participant.receive(site.state, cohort.sealed(body), check=unchecked)
                write(step) if step.entries else None
            if site.state.phase is Phase.TRAINING:
                write(site.participant.send(site.state, np.zeros(5, "<u4")))
    kinds = [(entry.round_number, entry.attempt, entry.kind) for entry in journal.entries(cohort.terms.run_id)]
    assert len(kinds) == len(set(kinds))
    vectors = [body for body in replies if isinstance(body, pb.TrainReply)]
    sent = [kind for kind in kinds if kind[2] is EntryKind.SENT]
    # Never a vector that is not written down; at most one that is.
    assert len(vectors) <= len(sent) <= 1
    assert sum(isinstance(body, pb.UnmaskReply) for body in replies) <= 1
    # After the crash the site takes part again, with new keys.
    assert (1, 1, EntryKind.PREKEY) in kinds
    journal.close()


def test_secrets_do_not_show_in_representations(stage: Scene) -> None:
    for state in (stage.armed[stage.victim], stage.sent[stage.victim]):
        text = repr((state, stage.participant, stage.receive(state, stage.train)))
        own = stage.armed[stage.victim].armed[FIRST]
        for secret in (own.mask.secret, own.seed or b"none", stage.participant.transport.secret):
            assert repr(secret)[2:-1] not in text


# ------------------------------------------------------------------------------------------------ bits


@pytest.mark.parametrize("kind", ["train", "unmask", "prekey"])
def test_every_flipped_bit_of_a_request_is_refused(kind: str) -> None:
    stage = scene(Profile.RESILIENT)
    bodies: dict[str, tuple[codec.Body, State]] = {
        "train": (stage.train, stage.armed[stage.victim]),
        "unmask": (stage.unmask(), stage.sent[stage.victim]),
        "prekey": (stage.cohort.prekey((2, 0)), stage.armed[stage.victim]),
    }
    body, state = bodies[kind]
    raw = stage.cohort.sealed(body)
    for bit in range(0, 8 * len(raw), 7):  # 7 and 8 have no common divisor, so every bit of a byte has its turn
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        code = refusal_code(lambda changed=changed: stage.participant.receive(state, bytes(changed), check=unchecked))  # type: ignore[misc]
        assert code in {"BAD_ENCODING", "BAD_SIGNATURE"}, f"bit {bit}"


def test_every_flipped_bit_of_a_cohort_signed_by_the_coordinator_is_refused_or_changes_the_digest() -> None:
    """The coordinator itself is the attacker: it signs what it has changed."""
    stage = scene(Profile.RESILIENT)
    state, honest = stage.armed[stage.victim], stage.coordinator.facts.digest()
    raw = stage.train.SerializeToString(deterministic=True)
    unchanged = set()
    for bit in range(0, 8 * len(raw), 11):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        body = bytes(changed)
        signature = stage.cohort.chief.sign("secagg", "TRAIN", codec.vector_hash(body))
        envelope = pb.Envelope(version=codec.VERSION, type=pb.TRAIN, body=body, signature=signature)
        try:
            step = stage.participant.receive(state, envelope.SerializeToString(deterministic=True), check=unchecked)
        except ProtocolError:
            continue
        assert step.state.engagement is not None
        if step.state.engagement.digest == honest:
            unchanged.add(step.state.engagement.complaints)
    # What may change without the digest is a share packet, and then the site complains about its dealer.
    assert unchanged <= {(name,) for name in stage.shelf.ready if name != stage.victim}
    assert unchanged


def test_keys_are_fresh_for_every_bundle() -> None:
    cohort = Cohort(Profile.RESILIENT, 4)
    shelves = [cohort.shelf((number, 0)) for number in (1, 2)]
    keys = [shelf.bundle(name).mask_key for shelf in shelves for name in cohort.names]
    commitments = [shelf.bundle(name).commitment for shelf in shelves for name in cohort.names]
    assert len(set(keys)) == len(set(commitments)) == 8
