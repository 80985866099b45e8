"""Lying sites and lying messengers against the real coordinator, and two stories told to the sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import bundles, coordinator, statements
from fedward.common.secagg.actions import Rejected
from fedward.common.secagg.bundles import Dealing
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.keys import SharePair
from fedward.common.secagg.opening import Opening
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.ring import Quantiser, RingVector, from_bytes
from fedward.common.secagg.shares import SHARE_BYTES
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.bundle_rows import LOWERED, lowered_shelf
from fedward.simulations.attacks.cohort import DEADLINES, FIRST, Outcome, play
from fedward.simulations.attacks.cohort_rows import accomplice, keep, site, victim
from fedward.simulations.attacks.holes import Hole, instead, opened, without
from fedward.simulations.attacks.scene import COUNT, SIZE, Change, Scene
from fedward.simulations.attacks.table import SHARED, Attack, Play

STORIES, PACKETS = "two stories, each validly signed", "share packets swapped between sites"
ABSTAINS, VECTORS = "NaN in an update, too few shares", "a wrong, a second, a late vector"
SHARES, GARBAGE = "a false share, a false dealer", "garbage in range from a member"
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


def other_story(scene: Scene, change: Change) -> None:
    """The victim hears something else than its peers; everything is validly signed."""
    scene.get_vectors(scene.peers)
    scene.get_vectors([scene.victim], change=change)


def story_told(change: Change) -> Play:
    """The vector under another digest comes to an honest coordinator."""

    def act(scene: Scene) -> bool:
        other_story(scene, change)
        return judged(scene, scene.victim, scene.vectors[scene.victim])

    return act


def story_forced(scene: Scene) -> bool:
    """The server adds it all the same; passed if what comes out is taken for a sum."""
    other_story(scene, other_model)
    with opened([without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR")]):
        outcome = play(scene.cohort, scene.coordinator(), scene.sealed)
    return note(scene, outcome).total is not None


# ------------------------------------------------------------------------------------------------ packets, shares


def unauthenticated(packet: bytes, key: bytes) -> SharePair | None:
    """A packet decrypted by the cipher alone, without its tag."""
    nonce = (1).to_bytes(4, "little") + bytes(12)
    plain = Cipher(algorithms.ChaCha20(key, nonce), mode=None).decryptor().update(packet[: 2 * SHARE_BYTES])
    return SharePair(plain[:SHARE_BYTES], plain[SHARE_BYTES:])


def packets_swapped(scene: Scene) -> bool:
    """Two packets change places on the way; passed if the victim does not notice, or the sum is another."""

    def change(scene: Scene, body: pb.Train) -> None:
        packets = list(body.packets)
        packets[2], packets[3] = packets[3], packets[2]
        body.packets[:] = packets

    scene.get_vectors(scene.peers)
    scene.get_vectors([scene.victim], change=change)
    complaints = list(scene.vectors[scene.victim].body.complaints)
    if complaints == [scene.names[2], scene.names[3]]:
        scene.code = "SHARE_UNREADABLE"
    return not scene.code or not is_right(scene, play(scene.cohort, scene.coordinator(), scene.sealed))


def false_share(scene: Scene) -> bool:
    """A holder gives shares of its own making; passed if it is not named or the sum is another."""
    liar = scene.names[0]

    def lie(name: str, raw: bytes) -> bytes:
        body = scene.cohort.opened(name, raw).body
        if name != liar or not isinstance(body, pb.UnmaskReply):
            return raw
        body.seed_shares[:] = [bytes(32) + b"\x07" for _ in body.seed_shares]
        return codec.seal(scene.cohort.identity(name), body)

    scene.get_vectors()
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed, forge=lie)
    is_named = {holder for _, holder in outcome.faults} == {liar}
    scene.code = "SHARE_INCONSISTENT" if is_named else ""
    return not is_named or not is_right(scene, outcome)


def false_dealer(scene: Scene) -> bool:
    """A dealer commits to another seed than it has dealt; passed if a sum opens and the dealer is not named."""
    honest, dealer = scene.cohort.shelf(), scene.accomplice
    site = scene.cohort.sites[dealer]
    own = site.state.armed[FIRST]
    draft = replace(own.bundle, commitment=scene.random_bytes(32))
    signature = statements.sign(scene.cohort.identity(dealer), "BUNDLE", draft.digest())
    false = replace(draft, signature=signature)
    shelf = PrekeyShelf(terms=scene.cohort.terms, target=honest.target)
    for name in honest.ready:
        packets = tuple(honest.packet(name, holder) for holder in honest.ready if holder != name)
        bundle = false if name == dealer else honest.bundle(name)
        shelf.put(name, Dealing(bundle=bundle, packets=packets).to_wire())
    site.state = replace(site.state, armed={FIRST: replace(own, bundle=false)})
    scene.keep(shelf)
    scene.get_vectors()
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed)
    is_named = outcome.faults == [(dealer, "")]
    scene.code = "SHARE_INCONSISTENT" if is_named else ""
    return outcome.total is not None and not is_named


def too_few_shares(scene: Scene) -> bool:
    """Three of five sites answer at the end, after the server asked for a threshold of three in the beginning."""
    try:
        scene.keep(lowered_shelf(scene, 3))
    except ProtocolError as error:
        if error.code != "THRESHOLD_MISMATCH":
            raise
    scene.get_vectors()
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed, unmask_silent=scene.names[3:])
    return note(scene, outcome).total is not None


# ------------------------------------------------------------------------------------------------ vectors


def not_a_number(scene: Scene) -> bool:
    """The victim's training has gone wrong; passed if a vector leaves all the same."""
    scene.cohort.accept(scene.victim, scene.train())
    site = scene.cohort.sites[scene.victim]
    update = np.zeros(SIZE, np.float32)
    update[3] = np.nan
    quantiser = Quantiser(scale_log2=24, clamp_log2=24)
    with np.errstate(invalid="ignore"):
        writer = quantiser.writer(update, dither_key=bytes(32))
        step = site.participant.send(site.state, np.empty(SIZE, "<u4"), writer=writer)
    return site.take(step) is not None


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
        return judged(scene, name, cohort.opened(name, codec.seal(cohort.identity(name), body, vector=vector)))

    return act


def lenient(raw: bytes | memoryview, num_coordinates: int) -> RingVector:
    """Whatever its length."""
    return from_bytes(bytes(raw[: 4 * num_coordinates]).ljust(4 * num_coordinates, b"\0"), num_coordinates)


def changed_on_its_way(scene: Scene) -> bool:
    """Whoever carries a vector adds to it."""
    scene.get_vectors()
    name = scene.victim
    envelope = pb.Envelope.FromString(scene.sealed[name])
    envelope.vector = bytes([envelope.vector[0] ^ 1]) + envelope.vector[1:]
    return judged(scene, name, scene.cohort.opened(name, envelope.SerializeToString(deterministic=True)))


def unproven(scene: Scene) -> bool:
    """A vector with a proof over another cohort: useless to convince the other sites of it later."""
    scene.get_vectors()
    name, body = scene.accomplice, pb.TrainReply()
    body.CopyFrom(scene.vectors[name].body)
    statement = statements.vector_statement(bytes(32), name, body.vector_hash)
    body.proof = statements.sign(scene.cohort.identity(name), "VECTOR", statement)
    sealed = codec.seal(scene.cohort.identity(name), body, vector=scene.vectors[name].vector)
    return judged(scene, name, scene.cohort.opened(name, sealed))


def second_vector(scene: Scene) -> bool:
    """A site's vector twice in one sum."""
    scene.get_vectors()
    asked = scene.coordinator()
    judged(scene, scene.accomplice, scene.vectors[scene.accomplice], asked)
    return judged(scene, scene.accomplice, scene.vectors[scene.accomplice], asked)


def late_vector(scene: Scene) -> bool:
    """A vector after the survivors were frozen would be in the sum and not among them."""
    scene.get_vectors()
    asked = scene.coordinator()
    for name in scene.peers:
        judged(scene, name, scene.vectors[name], asked)
    asked.on_time(DEADLINES.train_s + 1)
    return judged(scene, scene.victim, scene.vectors[scene.victim], asked)


def garbage(scene: Scene) -> bool:
    """A member's vector is noise within the clamp; passed if the sum opens."""
    scene.get_vectors(scene.peers[:-1])
    last = scene.coordinator()
    for name in (scene.victim, scene.peers[-1]):
        scene.get_vector(name, last.train_for(name), "garbage" if name != scene.victim else "")
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed)
    return outcome.total is not None and not is_right(scene, outcome)


def _site(name: str, part: str, act: Play, expected: str, *holes: Hole, attacker: str = "site") -> Attack:
    return Attack(name=name, part=part, play=act, expected=expected, holes=holes, charges=1, attacker=attacker)


def _shared(name: str, part: str, act: Play, expected: str, *holes: Hole, attacker: str = "site") -> Attack:
    return replace(_site(name, part, act, expected, *holes, attacker=attacker), profiles=SHARED)


ANY_SEED = instead(Opening, "_is_seed_of", lambda self, dealer: lambda seed: True, "a coordinator that checks no seed")
ANY_LENGTH = instead(coordinator, "from_bytes", lenient, "a coordinator that takes any length")

ATTACKS = (
    _site(
        "another model for the victim, seen by an honest coordinator",
        STORIES,
        story_told(other_model),
        "DIGEST_MISMATCH",
        without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"),
        attacker="server",
    ),
    _site(
        "another cohort for the victim, seen by an honest coordinator",
        STORIES,
        story_told(keep(site(0), victim, site(2), accomplice)),
        "DIGEST_MISMATCH",
        without(RoundCoordinator, TAKE, "DIGEST_MISMATCH", "BAD_VECTOR"),
        attacker="server",
    ),
    replace(
        _site(
            "the same, the vector forced into the sum",
            STORIES,
            story_forced,
            "SUM_OUT_OF_RANGE",
            instead(Quantiser, "in_range", lambda *_, **__: True, "a coordinator that takes any sum"),
            attacker="server",
        ),
        profiles=(Profile.STRICT,),
    ),
    _shared(
        "share packets swapped on their way to the victim",
        PACKETS,
        packets_swapped,
        "SHARE_UNREADABLE",
        instead(bundles, "open_packet", unauthenticated, "packets without authentication"),
        attacker="server",
    ),
    replace(
        _site(
            "NaN in the victim's update",
            ABSTAINS,
            not_a_number,
            "ABSTAIN",
            without(Quantiser, "_quantise_chunk", "ConfigError"),
        ),
        charges=0,
    ),
    _shared("fewer than t sites answer Unmask", ABSTAINS, too_few_shares, "ROUND_VOID", LOWERED, attacker="server"),
    _site("a vector too short", VECTORS, of_length(lambda raw: raw[:-4]), "BAD_VECTOR", ANY_LENGTH),
    _site("a vector too long", VECTORS, of_length(lambda raw: raw + bytes(4)), "BAD_VECTOR", ANY_LENGTH),
    _site(
        "a vector without its site's word for it",
        VECTORS,
        unproven,
        "BAD_VECTOR",
        without(RoundCoordinator, TAKE, "BAD_VECTOR"),
    ),
    _site(
        "a vector changed on its way",
        VECTORS,
        changed_on_its_way,
        ENCODING,
        without(codec, "_check_vector", ENCODING),
        attacker="network",
    ),
    _site(
        "a second vector",
        VECTORS,
        second_vector,
        "DUPLICATE_VECTOR",
        without(RoundCoordinator, TAKE, "DUPLICATE_VECTOR", "LATE"),
    ),
    _site("a late vector", VECTORS, late_vector, "LATE", without(RoundCoordinator, TAKE, "LATE")),
    _shared("a holder gives false shares", SHARES, false_share, "SHARE_INCONSISTENT", ANY_SEED),
    _shared("a dealer commits to another seed", SHARES, false_dealer, "SHARE_INCONSISTENT", ANY_SEED),
    replace(_site("garbage within the clamp", GARBAGE, garbage, ""), is_known_limit=True),
)

__all__ = ["ATTACKS"]
