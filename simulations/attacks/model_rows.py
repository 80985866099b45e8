"""Attacks on the model: another one for one site, a false sum for all, a false state for a site that was away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedward.client import replica
from fedward.client.replica import Replica
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_bytes import state_digest, state_to_bytes
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.holes import Hole, without
from fedward.simulations.attacks.table import SHARED, Attack
from fedward.simulations.attacks.wired import WiredScene, away

MODELS = "another model, a false common sum"
ANY_MODEL = without(Replica, "follow", "MODEL_MISMATCH")
ANY_WORD = without(Replica, "_check_own_word", "SURVIVORS_CHANGED", "DIGEST_MISMATCH")


def _evidence(*codes: str) -> Hole:
    return without(replica, "check_evidence", *codes)


def _sum(*codes: str) -> Hole:
    return without(replica, "check_sum", *codes)


def other_model(scene: WiredScene) -> bool:
    """Another model for the victim, beside the honest sum."""
    body, vector = scene.train()
    body.model_digest = b"\x66" * 32
    return scene.tell(body, vector)


def false_sum(clamps: int) -> Callable[[WiredScene], bool]:
    """A sum of the server's own, told to all alike: hash and model agree with it; each coordinate is so many clamps."""

    def act(scene: WiredScene) -> bool:
        body, vector = scene.train()
        clamp = 1 << scene.opened(body).facts.clamp_log2
        false = np.full(len(vector) // 4, clamps * clamp, np.int32).view("<u4").tobytes()
        scene.restate(body, false, scene.state_of(scene.victim))
        return scene.tell(body, false)

    return act


def older_sum(scene: WiredScene) -> bool:
    """The sum before the last one, with all that was said of it: the victim would train on an old model again."""
    body, _ = scene.train()
    older, vector = scene.train(scene.seen[2])
    body.previous.CopyFrom(older.previous)
    body.previous_sum_hash, body.model_digest = older.previous_sum_hash, older.model_digest
    return scene.tell(body, vector)


def fewer_survivors(scene: WiredScene) -> bool:
    """A survivor less than the sum has, so that each site takes too long a step."""
    body, vector = scene.train()
    del body.previous.survivors[0]
    scene.restate(body, vector, scene.state_of(scene.victim))
    return scene.tell(body, vector)


def other_cohort(scene: WiredScene) -> bool:
    """Another cohort for the last round, signed for by nobody: it would have had other rules."""
    body, vector = scene.train()
    body.previous.bundle_digests[0] = b"\x66" * 32
    scene.restate(body, vector, scene.state_of(scene.victim))
    return scene.tell(body, vector)


def false_state(*, signers: Callable[[WiredScene], tuple[str, ...]] | None) -> Callable[[WiredScene], bool]:
    """A state of the server's own for a site that was away; with signatures, the last round states that very state."""

    def act(scene: WiredScene) -> bool:
        body, vector = scene.train()
        false = scene.other_state(body, vector)
        if signers is not None:
            body.previous.model_digest = state_digest(scene.plan, false)
            signed = scene.signed_by(signers(scene), body)
            kept = {entry.site_id: entry for entry in signed}
            del body.previous.survivors[:]
            body.previous.survivors.extend(kept[name] for name in sorted(kept, key=str.encode))
        told = _sum_of(scene, body, vector) + state_to_bytes(scene.plan, false)
        scene.restate(body, told, false)
        return scene.tell(body, told)

    return act


def _sum_of(scene: WiredScene, body: pb.Train, vector: bytes) -> bytes:
    """Without the state behind it."""
    return vector[: 4 * scene.opened(body).facts.num_coordinates]


def unsigned(scene: WiredScene) -> bool:
    """As many survivors as it takes for a false state, with the signatures of the true one."""
    body, vector = scene.train()
    false = scene.other_state(body, vector)
    body.previous.model_digest = state_digest(scene.plan, false)
    told = _sum_of(scene, body, vector) + state_to_bytes(scene.plan, false)
    scene.restate(body, told, false)
    return scene.tell(body, told)


def _too_few(scene: WiredScene) -> tuple[str, ...]:
    """Enough for a mean, and fewer than ever agree to a sum: all of them help the server."""
    return tuple(name for name in scene.agents if name != scene.victim)[:3]


FEWER = (ANY_WORD, _evidence("SURVIVORS_TOO_FEW"))


ATTACKS = (
    Attack(
        name="another model for the victim, beside the honest sum",
        part=MODELS,
        play=other_model,
        expected="MODEL_MISMATCH",
        holes=[ANY_MODEL],
        scene=WiredScene,
    ),
    Attack(
        name="a false common sum, longer than its survivors' updates can be",
        part=MODELS,
        play=false_sum(3),
        expected="SUM_IMPLAUSIBLE",
        holes=[_sum("SUM_IMPLAUSIBLE")],
        scene=WiredScene,
    ),
    Attack(
        name="the sum before the last one again",
        part=MODELS,
        play=older_sum,
        expected="MODEL_MISMATCH",
        holes=[ANY_MODEL],
        scene=WiredScene,
    ),
    Attack(
        name="the last sum with a survivor less",
        part=MODELS,
        play=fewer_survivors,
        expected="SURVIVORS_CHANGED",
        holes=FEWER,
        profiles=SHARED,
        scene=WiredScene,
    ),
    Attack(
        name="the last sum with a survivor less, under strict",
        part=MODELS,
        play=fewer_survivors,
        expected="SURVIVORS_TOO_FEW",
        holes=FEWER,
        profiles=(Profile.STRICT,),
        scene=WiredScene,
    ),
    Attack(
        name="another cohort for the last sum than the victim answered",
        part=MODELS,
        play=other_cohort,
        expected="DIGEST_MISMATCH",
        holes=[ANY_WORD, _evidence("SURVIVOR_UNPROVEN")],
        scene=WiredScene,
    ),
    Attack(
        name="a false state for a site that was away",
        part=MODELS,
        play=false_state(signers=None),
        expected="MODEL_MISMATCH",
        holes=[without(Replica, "_before", "MODEL_MISMATCH")],
        scene=away,
    ),
    Attack(
        name="a false state that too few signed for",
        part=MODELS,
        play=false_state(signers=_too_few),
        expected="SURVIVORS_TOO_FEW",
        holes=[_evidence("SURVIVORS_TOO_FEW")],
        scene=away,
    ),
    Attack(
        name="a false state with the signatures of the true one",
        part=MODELS,
        play=unsigned,
        expected="SURVIVOR_UNPROVEN",
        holes=[_evidence("SURVIVOR_UNPROVEN")],
        scene=away,
    ),
)

__all__ = ["ATTACKS"]
