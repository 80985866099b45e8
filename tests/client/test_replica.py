"""A site believes of a model what it has worked out, or what enough sites have signed: one hostile message a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.client.replica import Copy
from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_bytes import state_to_bytes
from fedward.common.model_state import ServerState
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import RUN_ID
from fedward.simulations.attacks.wired import WiredScene, away, wired_plan
from tests.federation_simulator import on_train, reply_of
from tests.masked_federation import agent_of, at_position, masked_federation, on, stopped_at
from tests.site_stores import site_store
from tests.verified_federation import same_state

Spoil = Callable[[WiredScene, pb.Train, bytes], bytes]
"""Changes the honest message, in place, and returns the vector that goes with it."""


def told(scene: WiredScene, spoil: Spoil) -> str:
    """The code of the victim's refusal, or nothing: it has trained."""
    body, vector = scene.train()
    vector = spoil(scene, body, vector)
    try:
        assert scene.tell(body, vector)
    except ProtocolError as error:
        return error.code
    return ""


def honest(_: WiredScene, __: pb.Train, vector: bytes) -> bytes:
    return vector


def set_to(change: Callable[[pb.Train], object]) -> Spoil:
    def spoil(_: WiredScene, body: pb.Train, vector: bytes) -> bytes:
        change(body)
        return vector

    return spoil


def words(vector: bytes, size: int) -> NDArray[np.int32]:
    return np.frombuffer(vector[: 4 * size], "<i4").astype(np.int32)


def one_more(restated: bool) -> Spoil:
    """The sum off by one step in one coordinate; restated as for a whole cohort, or not."""

    def spoil(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
        sums = words(vector, len(vector) // 4)
        sums[0] += 1
        if restated:
            digest = body.model_digest
            scene.restate(body, sums.tobytes(), scene.state_of(scene.victim))
            body.model_digest = digest
        return sums.tobytes()

    return spoil


def beyond_the_clamps(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    sums = words(vector, len(vector) // 4)
    sums[0] = len(body.previous.survivors) * (1 << scene.opened(body).facts.clamp_log2) + 1
    # No state follows from it, so the hash alone is restated.
    return restated_hash(scene, body, sums.tobytes())


def restated_hash(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    body.previous_sum_hash = scene.opened(body).sum_hash(codec.vector_hash(vector))
    return vector


def forged_proof(_: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    body.previous.survivors[0].proof = bytes(64)
    return vector


def stranger(_: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    body.previous.survivors[-1].site_id = "site-9"
    return vector


REFUSED: dict[str, tuple[Spoil, str]] = {
    "another model": (set_to(lambda b: setattr(b, "model_digest", bytes(32))), "MODEL_MISMATCH"),
    "another hash of the sum": (set_to(lambda b: setattr(b, "previous_sum_hash", bytes(32))), "MODEL_MISMATCH"),
    "no hash of the sum": (set_to(lambda b: b.ClearField("previous_sum_hash")), "MODEL_MISMATCH"),
    "no word of the last round": (set_to(lambda b: b.ClearField("previous")), "MODEL_MISMATCH"),
    "the last round's number changed": (set_to(lambda b: setattr(b.previous, "round", 1)), "MODEL_MISMATCH"),
    "a last round to come": (set_to(lambda b: setattr(b.previous, "round", 3)), "MODEL_MISMATCH"),
    "another attempt at it": (set_to(lambda b: setattr(b.previous, "attempt", 1)), "SURVIVOR_UNPROVEN"),
    "an attempt that no plan allows": (set_to(lambda b: setattr(b.previous, "attempt", 9)), "ATTEMPT_LIMIT"),
    "another clip": (set_to(lambda b: setattr(b.previous, "clip_norm", 2.0)), "PLAN_MISMATCH"),
    "a clip that is no number": (set_to(lambda b: setattr(b.previous, "clip_norm", float("nan"))), "PLAN_MISMATCH"),
    "another model before it": (set_to(lambda b: setattr(b.previous, "model_digest", bytes(32))), "DIGEST_MISMATCH"),
    "another sum before it": (set_to(lambda b: setattr(b.previous, "previous_sum_hash", bytes(32))), "DIGEST_MISMATCH"),
    "another floor": (set_to(lambda b: setattr(b.previous, "min_survivors", 1)), "DIGEST_MISMATCH"),
    "a cohort twice as large": (set_to(lambda b: b.previous.cohort.append("site-0")), "COHORT_MALFORMED"),
    "a cohort of nobody": (set_to(lambda b: b.previous.ClearField("cohort")), "COHORT_MALFORMED"),
    "a stranger in the cohort": (set_to(lambda b: b.previous.cohort.append("site-9")), "UNKNOWN_SITE"),
    "a bundle too few": (set_to(lambda b: b.previous.bundle_digests.pop()), "BAD_ENCODING"),
    "survivors unsorted": (set_to(lambda b: b.previous.survivors.reverse()), "SURVIVORS_CHANGED"),
    "a survivor that did not sign": (forged_proof, "SURVIVOR_UNPROVEN"),
    "a survivor from elsewhere": (stranger, "SURVIVORS_CHANGED"),
    "no vector": (lambda *_: b"", "BAD_ENCODING"),
    "a vector too long": (lambda _, __, vector: vector + bytes(4), "BAD_ENCODING"),
    "a vector too short": (lambda _, __, vector: vector[:-4], "BAD_ENCODING"),
    "a sum off by a step": (one_more(restated=False), "MODEL_MISMATCH"),
    "a sum off by a step, its hash restated": (one_more(restated=True), "MODEL_MISMATCH"),
    "a sum beyond the clamps": (beyond_the_clamps, "SUM_OUT_OF_RANGE"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_false_word_of_the_last_round_is_refused_before_anything_is_read_or_charged(name: str) -> None:
    spoil, code = REFUSED[name]
    scene = WiredScene(Profile.RESILIENT)
    before, charged = scene.state_of(scene.victim), len(scene.agents[scene.victim].history)
    assert told(scene, spoil) == code
    assert scene.state_of(scene.victim) is before
    assert len(scene.agents[scene.victim].history) == charged
    # The site is as good as new: the honest request is still answered.
    assert told(scene, honest) == ""


def test_survivors_out_of_order_are_refused_where_the_site_was_not_there_to_know_them() -> None:
    for profile in (Profile.STRICT, Profile.RESILIENT):
        assert told(away(profile), set_to(lambda b: b.previous.survivors.reverse())) == "SURVIVORS_INVALID"
        assert told(away(profile), stranger) == "SURVIVORS_INVALID"


def test_a_plausible_sum_told_to_one_site_alone_gives_it_a_cohort_of_its_own() -> None:
    """The site cannot know; its masks do not cancel, so what it trains on the false model goes into no sum."""
    scene = WiredScene(Profile.RESILIENT)
    honest_digest = scene.train()[0].previous_sum_hash

    def spoil(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
        sums = words(vector, len(vector) // 4)
        sums[0] += 1
        scene.restate(body, sums.tobytes(), scene.state_of(scene.victim))
        assert body.previous_sum_hash != honest_digest
        return sums.tobytes()

    assert told(scene, spoil) == ""


def test_a_retry_with_another_sum_for_the_round_that_was_applied_is_refused() -> None:
    federation = masked_federation("strict", privacy={"epsilon": 50.0})
    agent = agent_of(federation)
    retry = stopped_at(federation, pb.TRAIN, agent, at=at_position(2))
    assert reply_of(agent.handle(retry), pb.TrainReply)
    held = agent.model
    envelope = pb.Envelope.FromString(retry)
    body = pb.Train.FromString(envelope.body)
    replica = agent._replica
    assert replica is not None
    sums = words(envelope.vector, len(envelope.vector) // 4)
    sums[0] += 1
    with pytest.raises(ProtocolError) as caught:
        replica.follow(1, body, sums.tobytes())
    assert caught.value.code == "MODEL_MISMATCH"
    assert replica.follow(1, body, envelope.vector).state is held


# ---------------------------------------------------------------------------------------------------- coming back


@pytest.mark.parametrize("profile", Profile)
def test_a_site_that_was_away_believes_the_state_that_the_survivors_signed_for(profile: Profile) -> None:
    scene = away(profile)
    assert told(scene, honest) == ""
    assert scene.num_charged == 1


def without_state(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    return vector[: 4 * scene.opened(body).facts.num_coordinates]


def state_not_finite(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    return vector[:-8] + np.array([np.nan], "<f8").tobytes()


def state_off_by_a_bit(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    at = 4 * scene.opened(body).facts.num_coordinates
    return vector[:at] + bytes([vector[at] ^ 1]) + vector[at + 1 :]


@pytest.mark.parametrize("spoil", [without_state, state_not_finite, state_off_by_a_bit])
def test_a_site_that_was_away_refuses_what_nobody_signed_for(spoil: Spoil) -> None:
    scene = away(Profile.RESILIENT)
    before = scene.state_of(scene.victim)
    assert told(scene, spoil) == "MODEL_MISMATCH"
    assert scene.state_of(scene.victim) is before
    assert scene.num_charged == 0


def test_a_cohort_below_the_sites_own_floor_is_no_evidence() -> None:
    scene = away(Profile.RESILIENT)

    def two_alone(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
        for part in (body.previous.cohort, body.previous.bundle_digests, body.previous.survivors):
            del part[2:]
        return vector

    assert told(scene, two_alone) == "COHORT_TOO_SMALL"


# ---------------------------------------------------------------------------------------------------- turns


def turned(change: Callable[[NDArray[np.float64]], None]) -> Spoil:
    """The two matrices of the turn changed, hash and model restated for the whole cohort."""

    def spoil(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
        size = 4 * scene.opened(body).facts.num_coordinates
        matrices = np.frombuffer(vector[size:], "<f8").reshape(2, 4, 4).copy()
        change(matrices)
        told_instead = vector[:size] + matrices.tobytes()
        restated_hash(scene, body, told_instead)
        return told_instead

    return spoil


def scaled(matrices: NDArray[np.float64]) -> None:
    matrices[0] *= 2


def stretched(matrices: NDArray[np.float64]) -> None:
    matrices[0] *= 2
    matrices[1] /= 2


def turned_elsewhere(matrices: NDArray[np.float64]) -> None:
    rotation = np.eye(4)
    rotation[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    matrices[0] = matrices[0] @ rotation.T
    matrices[1] = rotation @ matrices[1]


def no_number(matrices: NDArray[np.float64]) -> None:
    matrices[0, 0, 0] = np.nan


@pytest.mark.parametrize("change", [scaled, stretched, turned_elsewhere, no_number])
def test_a_turn_that_is_none_is_refused(
    change: Callable[[NDArray[np.float64]], None],
) -> None:
    scene = WiredScene(Profile.RESILIENT, plan=wired_plan(Profile.RESILIENT, aggregation="fedsvd"))
    assert told(scene, turned(change)) == "MODEL_MISMATCH"
    assert told(scene, honest) == ""


# ---------------------------------------------------------------------------------------------------- the end


def end_changed(change: Callable[[pb.RunEnd], object]) -> Callable[[bytes, Callable[[bytes], bytes]], bytes]:
    def answer(request: bytes, handle: Callable[[bytes], bytes]) -> bytes:
        envelope = pb.Envelope.FromString(request)
        body = pb.RunEnd.FromString(envelope.body)
        change(body)
        return handle(masked_federation("resilient").seal(body, vector=envelope.vector))

    return answer


def test_a_site_with_another_final_model_says_so_and_still_states_its_events() -> None:
    federation = masked_federation("resilient")
    lie = end_changed(lambda body: setattr(body, "model_digest", bytes(32)))
    result = federation.run({"beta": on(pb.RUN_END, lie)})
    assert result.apart == {"beta": "MODEL_MISMATCH"}
    assert set(result.events) == set(federation.trainers)


def test_an_end_that_hides_rounds_from_a_site_is_no_agreement() -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    second = stopped_at(federation, pb.TRAIN, agent, at=at_position(2))
    train = pb.Train.FromString(pb.Envelope.FromString(second).body)
    assert reply_of(agent.handle(second), pb.TrainReply)
    held = agent.model
    body = pb.RunEnd(header=federation.position().header("coordinator"), model_digest=train.model_digest)
    reply = reply_of(agent.handle(federation.seal(body)), pb.RunEndReply).body
    assert reply.code == "MODEL_MISMATCH"
    assert agent.model is held


def test_the_end_may_be_told_twice() -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    ends: list[bytes] = []

    def twice(request: bytes, handle: Callable[[bytes], bytes]) -> bytes:
        ends.extend([handle(request), handle(request)])
        return ends[-1]

    federation.run({"alpha": lambda _: on(pb.RUN_END, twice)(agent.handle)})
    assert ends[0] == ends[1]
    assert reply_of(ends[0], pb.RunEndReply).body.code == ""


def test_without_masks_the_coordinator_sends_the_adapter_and_sites_keep_none() -> None:
    federation = masked_federation("plain_ring", rounds=2)
    vectors: list[int] = []

    def weigh(request: bytes, handle: Callable[[bytes], bytes]) -> bytes:
        vectors.append(len(pb.Envelope.FromString(request).vector))
        return handle(request)

    result = federation.run({"alpha": on_train(weigh)})
    assert vectors == [4 * 6, 4 * 6]
    assert result.apart == {}
    agent = federation.joined()
    assert agent.model is None
    body = pb.RunEnd(header=federation.position().header("coordinator"))
    reply = reply_of(agent.handle(federation.seal(body)), pb.RunEndReply).body
    assert (reply.code, reply.model_digest) == ("", b"")


# ---------------------------------------------------------------------------------------------------- storing


def copy_of(scene: WiredScene) -> Copy:
    replica = scene.agents[scene.victim]._replica
    assert replica is not None
    return replica.copy


def test_a_copy_is_stored_and_read_again() -> None:
    scene = WiredScene(Profile.RESILIENT)
    copy = copy_of(scene)
    again = Copy.from_bytes(scene.plan, RUN_ID, copy.to_bytes(scene.plan, RUN_ID))
    assert (again.round_number, again.digest, again.sum_hash) == (copy.round_number, copy.digest, copy.sum_hash)
    assert copy.round_number == 1
    assert same_state(again.state, copy.state)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2000), st.booleans())
def test_what_is_no_copy_of_this_run_is_the_start(cut: int, other_run: bool) -> None:
    plan = wired_plan(Profile.RESILIENT)
    start = Copy.start(plan)
    raw = start.to_bytes(plan, RUN_ID)
    cut_off = raw[: min(cut, len(raw) - 1)]
    found = Copy.from_bytes(plan, bytes(16) if other_run else RUN_ID, raw if other_run else cut_off)
    assert same_state(found.state, start.state)
    assert found.round_number == 0


def test_a_copy_of_which_any_bit_was_turned_is_the_start() -> None:
    """Of the round's number too: a site that believes in a later round would take no sum before it."""
    scene = WiredScene(Profile.RESILIENT)
    raw = copy_of(scene).to_bytes(scene.plan, RUN_ID)
    for place in range(len(raw)):
        spoiled = raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :]
        found = Copy.from_bytes(scene.plan, RUN_ID, spoiled)
        assert (found.round_number, found.sum_hash) == (0, bytes(32))


def test_a_copy_that_was_spoiled_in_memory_is_not_trained_on() -> None:
    scene = WiredScene(Profile.RESILIENT)
    replica = scene.agents[scene.victim]._replica
    assert replica is not None
    copy = replica.copy
    moved = {name: value + np.float32(1) for name, value in copy.state.adapter.items()}
    replica.keep(replace(copy, state=ServerState(adapter=moved, moments=copy.state.moments)))
    assert told(scene, honest) == "MODEL_MISMATCH"


def test_the_model_is_replaced_in_one_transaction_with_the_journal(tmp_path: Path) -> None:
    store = site_store(tmp_path / "site.db")
    entry = JournalEntry(run_id=RUN_ID, round_number=1, attempt=0, kind=EntryKind.ACCEPTED, digest=bytes(32))
    assert store.load_model() == b""
    store.commit([entry], lambda: b"state 1", model=lambda: b"model 1")
    with pytest.raises(ProtocolError):
        store.commit([entry], lambda: b"state 2", model=lambda: b"model 2")
    assert (store.load(), store.load_model()) == (b"state 1", b"model 1")
    store.commit([], lambda: b"state 3")
    assert (store.load(), store.load_model()) == (b"state 3", b"model 1")


def test_the_model_is_no_part_of_the_state_that_goes_with_every_reply() -> None:
    scene = WiredScene(Profile.RESILIENT)
    size = len(state_to_bytes(scene.plan, scene.state_of(scene.victim)))
    raw = scene.agents[scene.victim].export_state()
    assert len(raw) < size + 4000
    assert b"model" not in raw


def test_a_site_refuses_and_says_nothing_of_its_model() -> None:
    scene = WiredScene(Profile.RESILIENT)
    body, vector = scene.train()
    body.model_digest = bytes(32)
    raw = scene.agents[scene.victim].handle(codec.seal(scene.chief, body, vector=vector))
    refusal = codec.open_message(raw, pb.Refusal, sender=scene.victim, public_key=scene.roster.members[scene.victim])
    named = {field.name for field, _ in refusal.body.ListFields()}
    assert named == {"header", "request_hash", "code"}
