"""Attacks over more than one message: replays, retries, and all that a server and its accomplices hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fedward.common.identity import Identity
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Envelope, open_envelope, seal_envelope
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.state import Phase, State
from fedward.common.secagg.terms import RoundPosition
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.bundle_rows import NO_UNIQUENESS
from fedward.simulations.attacks.cohort import (
    FIRST,
    PROFILES,
    Cohort,
    expected,
)
from fedward.simulations.attacks.cohort_rows import MEMBERS, SMALL, keep
from fedward.simulations.attacks.holes import instead, without
from fedward.simulations.attacks.plays import Outcome, play
from fedward.simulations.attacks.scene import COUNT, SIZE, Scene
from fedward.simulations.attacks.table import Attack, Play

MODELS, AGAIN = "another model, a false common sum", "Train again, with another cohort, of an older round"
RETRY, POOLED = "a retry without one site", "everything that server and colluders hold"
SCANNED = "the reply scanned for counts, losses, times"
STRICT = (Profile.STRICT,)
_HERE = sys.modules[__name__]


# ------------------------------------------------------------------------------------------------ positions


def keeps_bundles(self: State, position: RoundPosition) -> State:
    """As ``State._at``, without taking used bundles away."""
    return replace(self, phase=Phase.TRAINING, last=position, engagement=None, pending=None, answers={})


FORGETFUL = (
    instead(State, "_at", keeps_bundles, "a site that uses a bundle twice"),
    instead(State, "answered", lambda self, request, reply: self, "a site that keeps no replies"),
    *NO_UNIQUENESS,
)


def same_train_again(scene: Scene) -> bool:
    """Passed if the same request gets a second vector under the same masks: their difference has none."""
    body = scene.train()
    first = scene.get_vector(scene.victim, body).vector
    reply = scene.cohort.tell(scene.victim, scene.cohort.sealed(body))
    if reply is None:
        reply = scene.cohort.send(scene.victim, "trained again")
    return scene.cohort.opened(scene.victim, reply).vector != first


def other_cohort(scene: Scene) -> bool:
    """Another cohort for a position that has been used."""
    scene.get_vector(scene.victim, scene.train())
    body = scene.train()
    keep(*[lambda _, name=name: name for name in scene.names[:4]])(scene, body)
    scene.get_vector(scene.victim, body)
    return True


def older_round(scene: Scene) -> bool:
    """Round 1 after round 2."""
    first = scene.train(FIRST)
    scene.get_vector(scene.victim, scene.train((2, 0)))
    scene.get_vector(scene.victim, first)
    return True


# ------------------------------------------------------------------------------------------------ a late cohort


def late(profile: Profile) -> Scene:
    """Sites that train first and hear of their cohort later."""
    return Scene(profile, Cohort(profile, COUNT, size=SIZE, late_cohort=True))


def told_late(*changes: Callable[[Scene, pb.Mask], None]) -> Play:
    """All train; then the victim is told its cohort, as often as there are changes."""

    def act(scene: Scene) -> bool:
        cohort, body = scene.cohort, scene.cohort.train()
        body.next.CopyFrom(cohort.target())
        shelf = PrekeyShelf(terms=cohort.terms, target=body.next)
        for name in scene.names:
            site = cohort.sites[name]
            cohort.accept(name, body)
            reply = expected(bytes, site.take(site.participant.ready(site.state)))
            shelf.put(name, expected(pb.Ready, cohort.opened(name, reply).body).dealing)
        scene.keep(shelf)
        for change in changes:
            mask = cohort.coordinator(shelf).mask_for()
            change(scene, mask)
            scene.look(scene.victim, mask)
        return True

    return act


def honest_mask(_: Scene, __: pb.Mask) -> None:
    """As it should be."""


def another_model(_: Scene, mask: pb.Mask) -> None:
    """Not the one that was trained on."""
    mask.model_digest = b"\x66" * 32


def alone(scene: Scene, mask: pb.Mask) -> None:
    """A cohort of the victim."""
    own = mask.bundles[scene.place(scene.victim) - 1]
    mask.cohort[:], kept = [scene.victim], pb.Bundle.FromString(own.SerializeToString())
    mask.ClearField("bundles")
    mask.bundles.append(kept)
    mask.min_survivors = mask.assumed_colluders = 1


# ------------------------------------------------------------------------------------------------ pooling, scanning


def pool(scene: Scene) -> bool:
    """An honest round; passed if one word of the best guess at the victim's vector is right."""
    scene.get_vectors()

    def overhear(name: str, raw: bytes) -> bytes:
        body = scene.cohort.opened(name, raw).body
        if isinstance(body, pb.UnmaskReply):
            scene.loot.add_reply(seen.bundles, scene.names, dict.fromkeys(seen.bundles, scene.place(name)), body)
        return raw

    seen = scene.sightings[-1]
    outcome = play(scene.cohort, scene.coordinator(), scene.sealed, forge=overhear)
    expected(np.ndarray, outcome.total and outcome.total.total)
    scene.loot.rebuild(seen.bundles.values())
    return bool(np.any(scene.loot.guess(seen) == seen.truth))


_seal = codec.seal


def chatty(identity: Identity, body: codec.Body, *, vector: bytes = b"") -> bytes:
    """A site that tells its loss where names of dealers belong."""
    if isinstance(body, pb.TrainReply):
        body.complaints.append("loss=0.31")
    return _seal(identity, body, vector=vector)


def scan(scene: Scene) -> bool:
    """Passed if the reply holds anything beside what the protocol needs, or is longer for one site than for another."""
    body = scene.get_vector(scene.victim, scene.train()).body
    allowed = {"header", "cohort_digest", "vector_hash", "proof"}
    return not {field.name for field, _ in body.ListFields()} <= allowed


def extra_field(scene: Scene) -> bool:
    """A site adds a field of its own to its reply; passed if the coordinator takes it."""
    scene.get_vectors()
    name, cohort = scene.accomplice, scene.cohort
    envelope = expected(Envelope, open_envelope(scene.sealed[name]))
    body = bytes(envelope.body) + bytes([15 << 3 | 2, 4]) + b"loss"
    signature = cohort.identity(name).sign("secagg", "TRAIN_REPLY", codec.vector_hash(body))
    opened = cohort.opened(name, seal_envelope(replace(envelope, body=body, signature=signature)))
    outcome = Outcome()
    outcome.note(scene.coordinator().on_reply(name, opened, now_s=1.0))
    return not outcome.rejected


ATTACKS = (
    Attack(
        name="another model in Mask than in Train",
        part=MODELS,
        play=told_late(another_model),
        expected="MODEL_MISMATCH",
        holes=[without(Participant, "_on_mask", "MODEL_MISMATCH")],
        profiles=STRICT,
        scene=late,
    ),
    Attack(
        name="a late cohort of the victim alone",
        part=MEMBERS,
        play=told_late(alone),
        expected="COHORT_TOO_SMALL",
        holes=SMALL,
        profiles=STRICT,
        scene=late,
        vector_in=STRICT,
    ),
    Attack(
        name="the same Train again, byte for byte",
        part=AGAIN,
        play=same_train_again,
        expected="",
        holes=[*FORGETFUL, without(Participant, "_require_new", "REPLAY_CONFLICT")],
        charges=1,
    ),
    Attack(
        name="another cohort for the same position",
        part=AGAIN,
        play=other_cohort,
        expected="REPLAY_CONFLICT",
        holes=[*FORGETFUL, without(Participant, "_require_new", "REPLAY_CONFLICT")],
        charges=1,
    ),
    Attack(
        name="a second late cohort",
        part=AGAIN,
        play=told_late(honest_mask, another_model),
        expected="REPLAY_CONFLICT",
        holes=[
            *FORGETFUL,
            without(Participant, "_on_mask", "REPLAY_CONFLICT", "PREKEY_UNKNOWN", "MODEL_MISMATCH"),
        ],
        profiles=STRICT,
        scene=late,
        charges=1,
    ),
    Attack(
        name="an older round",
        part=AGAIN,
        play=older_round,
        expected="ROUND_ORDER",
        holes=[*FORGETFUL, without(Participant, "_require_new", "ROUND_ORDER")],
        charges=1,
    ),
    Attack(
        name="server and a colluder pool all they hold",
        part=POOLED,
        play=pool,
        expected="",
        holes=[instead(Scene, "colluders", property(lambda scene: scene.peers), "all sites but the victim collude")],
        vector_in=PROFILES,
        charges=1,
    ),
    Attack(
        name="the reply scanned for anything of use",
        part=SCANNED,
        play=scan,
        expected="",
        holes=[instead(codec, "seal", chatty, "a site that tells its loss")],
        charges=1,
        gain="a loss in the reply",
    ),
    Attack(
        name="a field of its own in a site's reply",
        part=SCANNED,
        play=extra_field,
        expected="BAD_ENCODING",
        holes=[without(codec, "strict", "BAD_ENCODING")],
        attacker="site",
        charges=1,
        party="coordinator",
        gain="a field of the site's own, taken",
    ),
)

__all__ = ["ATTACKS"]
