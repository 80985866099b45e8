"""Lying sites and lying messengers against the real coordinator, and two stories told to the sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Envelope, open_envelope, seal_envelope
from fedward.common.secagg import coordinator, statements
from fedward.common.secagg.actions import Rejected
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.ring import Quantiser, RingVector, from_bytes
from fedward.simulations.attacks.cohort import DEADLINES, expected
from fedward.simulations.attacks.cohort_rows import UNPROVEN, accomplice, keep, set_field, site, victim
from fedward.simulations.attacks.holes import Hole, instead, opened, without
from fedward.simulations.attacks.plays import Outcome, conclude, play
from fedward.simulations.attacks.scene import COUNT, Change, Scene
from fedward.simulations.attacks.table import Attack, Play

STORIES = "two stories, each validly signed"
ABSTAINS, VECTORS = "NaN in an update, too few shares", "a wrong, a second, a late vector"
GARBAGE = "garbage in range from a member"
TAKE, ENCODING = "_take_vector", "BAD_ENCODING"


def judged(scene: Scene, name: str, reply: codec.Opened[Any], asked: RoundCoordinator | None = None) -> bool:
    """Give the coordinator a reply; passed if it takes it."""
    actions = (asked or scene.coordinator()).on_reply(name, reply, now_s=1.0)
    scene.code = next((action.code for action in actions if isinstance(action, Rejected)), "")
    return not scene.code


def note(scene: Scene, outcome: Outcome) -> Outcome:
    """What a coordinator's attempt ended with, as a code."""
    scene.code = outcome.void
    return outcome


def is_right(scene: Scene, outcome: Outcome) -> bool:
    """Whether the sum is that of all sites."""
    right = scene.cohort.plain_sum(scene.names, COUNT)
    return outcome.total is not None and np.array_equal(outcome.total.total, right)


# ------------------------------------------------------------------------------------------------ two stories


def other_model(_: Scene, body: pb.Train) -> None:
    """Of a later round, say."""
    body.model_digest = b"\x66" * 32


def spoils(scene: Scene, name: str, raw: bytes) -> bool:
    """Put this in the place of a site's vector; passed if the coordinator takes it and has no right sum in the end."""
    if not judged(scene, name, scene.cohort.opened(name, raw)):
        return False
    return not is_right(scene, play(scene.cohort, scene.coordinator(), {**scene.sealed, name: raw}))


def other_story(scene: Scene, change: Change) -> None:
    """The victim hears something else than its peers; everything is validly signed."""
    scene.get_vectors(scene.peers)
    scene.get_vectors([scene.victim], change=change)


def story_told(change: Change) -> Play:
    """The vector under another digest comes to an honest coordinator."""

    def act(scene: Scene) -> bool:
        other_story(scene, change)
        return spoils(scene, scene.victim, scene.sealed[scene.victim])

    return act


def story_forced(scene: Scene) -> bool:
    """The server adds it all the same, and the sites look away; passed if what comes out is taken for the sum."""
    other_story(scene, other_model)
    with opened([without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"), UNPROVEN]):
        outcome = play(scene.cohort, scene.coordinator(), scene.sealed)
    return note(scene, outcome).total is not None and not is_right(scene, outcome)


# ------------------------------------------------------------------------------------------------ vectors


def of_length(change: Callable[[bytes], bytes]) -> Play:
    """A vector of another length, with its site's signature."""

    def act(scene: Scene) -> bool:
        scene.get_vectors()
        name, cohort = scene.accomplice, scene.cohort
        given = scene.vectors[name]
        body, vector = pb.TrainReply(), change(bytes(given.vector))
        body.CopyFrom(given.body)
        body.vector_hash = codec.vector_hash(vector)
        statement = statements.vector_statement(body.cohort_digest, name, body.vector_hash)
        body.proof = statements.sign(cohort.identity(name), "VECTOR", statement)
        return spoils(scene, name, codec.seal(cohort.identity(name), body, vector=vector))

    return act


def lenient(raw: bytes | memoryview, num_coordinates: int) -> RingVector:
    """Whatever its length."""
    return from_bytes(bytes(raw[: 4 * num_coordinates]).ljust(4 * num_coordinates, b"\0"), num_coordinates)


def changed_on_its_way(scene: Scene) -> bool:
    """Whoever carries a vector adds to it."""
    scene.get_vectors()
    name = scene.victim
    envelope = expected(Envelope, open_envelope(scene.sealed[name]))
    vector = bytes([envelope.vector[0] ^ 1]) + envelope.vector[1:]
    return spoils(scene, name, seal_envelope(replace(envelope, vector=vector)))


def unproven(scene: Scene) -> bool:
    """A vector with a proof over another cohort: useless to convince the other sites of it later."""
    scene.get_vectors()
    name, body = scene.accomplice, pb.TrainReply()
    body.CopyFrom(scene.vectors[name].body)
    statement = statements.vector_statement(bytes(32), name, body.vector_hash)
    body.proof = statements.sign(scene.cohort.identity(name), "VECTOR", statement)
    sealed = codec.seal(scene.cohort.identity(name), body, vector=scene.vectors[name].vector)
    if not judged(scene, name, scene.cohort.opened(name, sealed)):
        return False
    outcome = play(scene.cohort, scene.coordinator(), {**scene.sealed, name: sealed})
    return outcome.total is None or name in outcome.total.survivors


def second_vector(scene: Scene) -> bool:
    """A site's vector twice in one sum; passed if the sum is spoilt by that."""
    scene.get_vectors()
    asked, name = scene.coordinator(), scene.accomplice
    judged(scene, name, scene.vectors[name], asked)
    outcome = play(scene.cohort, asked, scene.sealed)
    scene.code = outcome.rejected.get(name, "")
    return not is_right(scene, outcome)


def late_vector(scene: Scene) -> bool:
    """A vector after the survivors were frozen; passed if it is taken, and spoils their sum where there is one."""
    scene.get_vectors()
    asked, outcome = scene.coordinator(), Outcome()
    for name in scene.peers:
        judged(scene, name, scene.vectors[name], asked)
    sends = outcome.note(asked.on_time(DEADLINES.train_s + 1))
    if not judged(scene, scene.victim, scene.vectors[scene.victim], asked):
        return False
    total = conclude(scene.cohort, asked, outcome, sends).total
    right = scene.cohort.plain_sum(scene.peers, COUNT)
    return scene.is_strict or total is None or not np.array_equal(total.total, right)


def garbage(scene: Scene) -> bool:
    """A member's vector is noise within the clamp; passed if the sum opens."""
    scene.get_vectors(scene.peers[:-1])
    last = scene.coordinator()
    for name in (scene.victim, scene.peers[-1]):
        scene.get_vector(name, last.train_for(name), "garbage" if name != scene.victim else "")
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed)
    return outcome.total is not None and not is_right(scene, outcome)


LOST, WRONG_SUM = "a round spoilt or void", "a wrong sum that opens"


def by_site(
    name: str, part: str, act: Play, expected: str, *holes: Hole, attacker: str = "site", gain: str = LOST
) -> Attack:
    """A row that the coordinator must see through; ``gain`` is what ``act`` measures."""
    return Attack(
        name=name,
        part=part,
        play=act,
        expected=expected,
        holes=holes,
        charges=1,
        attacker=attacker,
        party="coordinator",
        gain=gain,
    )


ANY_LENGTH = instead(coordinator, "from_bytes", lenient, "a coordinator that takes any length")

ATTACKS = (
    by_site(
        "another model for the victim, seen by an honest coordinator",
        STORIES,
        story_told(other_model),
        "DIGEST_MISMATCH",
        without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"),
        attacker="server",
    ),
    by_site(
        "another cohort for the victim, seen by an honest coordinator",
        STORIES,
        story_told(keep(site(0), victim, site(2), accomplice)),
        "DIGEST_MISMATCH",
        without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"),
        attacker="server",
    ),
    by_site(
        "another number of colluders for the victim, seen by an honest coordinator",
        STORIES,
        story_told(set_field("assumed_colluders", 2)),
        "DIGEST_MISMATCH",
        without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"),
        attacker="server",
    ),
    by_site(
        "a vector under another model forced into the sum",
        STORIES,
        story_forced,
        "SUM_OUT_OF_RANGE",
        instead(Quantiser, "in_range", lambda *_, **__: True, "a coordinator that takes any sum"),
        attacker="server",
        gain=WRONG_SUM,
    ),
    by_site("a vector too short", VECTORS, of_length(lambda raw: raw[:-4]), "BAD_VECTOR", ANY_LENGTH),
    by_site("a vector too long", VECTORS, of_length(lambda raw: bytes(4) + raw), "BAD_VECTOR", ANY_LENGTH),
    by_site(
        "a vector without its site's word for it",
        VECTORS,
        unproven,
        "BAD_VECTOR",
        without(RoundCoordinator, TAKE, "BAD_VECTOR"),
        gain="a vector in the sum that nobody answers for",
    ),
    by_site(
        "a vector changed on its way",
        VECTORS,
        changed_on_its_way,
        ENCODING,
        without(codec, "_check_vector", ENCODING),
        attacker="network",
    ),
    by_site(
        "a second vector",
        VECTORS,
        second_vector,
        "DUPLICATE_VECTOR",
        without(RoundCoordinator, TAKE, "DUPLICATE_VECTOR", "LATE"),
    ),
    by_site(
        "a late vector",
        VECTORS,
        late_vector,
        "LATE",
        without(RoundCoordinator, TAKE, "LATE"),
        gain="a vector after the survivors were frozen",
    ),
    replace(by_site("garbage within the clamp", GARBAGE, garbage, "", gain=WRONG_SUM), is_known_limit=True),
)

__all__ = ["ABSTAINS", "ATTACKS", "by_site", "is_right", "LOST", "note"]
