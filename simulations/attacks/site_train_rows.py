"""A ``Train`` that is not the accepted plan's, sent to a site's agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedward.client import site
from fedward.client.accepted_run import AcceptedRun
from fedward.client.replica import Replica
from fedward.common.agreement import ring_terms
from fedward.common.config import digest_of
from fedward.common.ledger.budget import BudgetEntry
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.simulations.attacks.cohort import FIRST
from fedward.simulations.attacks.cohort_rows import KEYS, PLAN, RING
from fedward.simulations.attacks.holes import Hole, instead, without
from fedward.simulations.attacks.scene import COUNT
from fedward.simulations.attacks.site_cohort import Changes, attacked_plan
from fedward.simulations.attacks.site_replays import PLAN as OTHER_PLAN
from fedward.simulations.attacks.site_scene import SiteScene, sites
from fedward.simulations.attacks.table import Attack, Play

ForTrain = Callable[[SiteScene, pb.Train], None]
PROBE: RoundPosition = (0, 0)
PROBED: Changes = {"privacy": {"clip_norm": "auto"}}
"""The clip is to be found before the first round."""
OTHER_CLIP = "an update clipped otherwise than agreed"
MODELS = "another model, a false common sum"


def stated(clip_norm: float, *, fits: bool = True) -> ForTrain:
    """Another clip, and the digest that holds it made to fit."""

    def change(scene: SiteScene, body: pb.Train) -> None:
        plan, profile = scene.cohort.plan, scene.profile.value
        body.clip_norm = clip_norm
        if fits:
            own = ring_terms(plan, body.header.round, COUNT, clip_norm=clip_norm, profile=profile)
            body.layout_digest = own.layout_digest

    return change


def unchanged(_: SiteScene, __: pb.Train) -> None:
    """As the plan has it."""


def under(changes: Changes) -> ForTrain:
    """The header names a plan that the site never saw."""

    def change(scene: SiteScene, body: pb.Train) -> None:
        cohort = scene.cohort
        body.header.plan_digest = digest_of(
            attacked_plan(scene.profile.value, cohort.names, cohort.size, changes).to_bytes()
        )

    return change


def sent(change: ForTrain, *, at: RoundPosition = FIRST, after: tuple[RoundPosition, ...] = ()) -> Play:
    """Honest requests at the positions before, then a changed one; passed if the victim answers it with a vector."""

    def play(scene: SiteScene) -> bool:
        for before in after:
            scene.get_vector(scene.victim, scene.train(before))
        body = scene.train(at)
        change(scene, body)
        scene.get_vector(scene.victim, body)
        return True

    return play


def clipped(clip_norm: float, *, fits: bool = True, **where: object) -> Play:
    """The same for a clip; passed only if the victim's training was given that clip."""

    def play(scene: SiteScene) -> bool:
        sent(stated(clip_norm, fits=fits), **where)(scene)  # type: ignore[arg-type]
        return str(scene.site.hospital.clips[-1]) == str(clip_norm)  # as text, for NaN

    return play


def forged(scene: SiteScene) -> bool:
    """Whoever carries the messages makes one: the victim's budget would be spent, at the least."""
    envelope = pb.Envelope.FromString(scene.cohort.sealed(scene.train()))
    body = pb.Train.FromString(envelope.body)
    raw = codec.seal(scene.cohort.identity("mallory"), body, vector=envelope.vector)
    return scene.cohort.tell(scene.victim, raw) is not None


def other_model(scene: SiteScene, body: pb.Train) -> None:
    """Not the one that the seed gives: sites would train on one and agree on another."""
    body.model_digest = b"\x66" * 32


CLIP = without(site, "check_clip", "PLAN_MISMATCH")
ANY_NUMBER = instead(BudgetEntry, "__post_init__", lambda self: None, "an account that takes any clip")
POSITION = without(Terms, "check_position", "PLAN_MISMATCH")


def _row(
    name: str,
    play: Play,
    *holes: Hole,
    expected: str = "PLAN_MISMATCH",
    changes: Changes | None = None,
    charges: int = 0,
    part: str = PLAN,
    gain: str = "",
) -> Attack:
    return Attack(
        name=name,
        part=part,
        play=play,
        expected=expected,
        holes=holes,
        scene=sites(changes),
        charges=charges,
        gain=gain,
    )


_OTHER_PLANS: Mapping[str, Changes] = {
    "less noise": {"privacy": {"noise_multiplier": 1.5}},
    "another clip": {"privacy": {"clip_norm": 2.0}},
    "other weights": {"secagg": {"weights": "declared"}},
}

ATTACKS = (
    _row(
        "a request forged by whoever carries it",
        forged,
        without(codec, "open_message", "BAD_SIGNATURE"),
        expected="BAD_SIGNATURE",
        part=KEYS,
    ),
    _row("the clip reduced in Train", clipped(0.25), CLIP, gain=OTHER_CLIP),
    _row("the clip raised in Train", clipped(8.0), CLIP, gain=OTHER_CLIP),
    _row("a clip in Train that is no number", clipped(float("nan")), CLIP, ANY_NUMBER, gain=OTHER_CLIP),
    _row("the clip raised, and the digest that holds it left", clipped(8.0, fits=False), CLIP, RING, gain=OTHER_CLIP),
    _row(
        "the clip changed from one attempt to the next",
        clipped(4.0, at=(1, 1), after=(PROBE, FIRST)),
        without(AcceptedRun, "clip_norm_of", "PLAN_MISMATCH"),
        changes=PROBED,
        charges=2,
        gain=OTHER_CLIP,
    ),
    _row(
        "a clip that no probe gives",
        clipped(1e9, after=(PROBE,)),
        CLIP,
        changes=PROBED,
        charges=1,
        gain=OTHER_CLIP,
    ),
    _row(
        "Train before the probe that finds its clip",
        sent(unchanged),
        without(AcceptedRun, "require_new", "ROUND_ORDER"),
        expected="ROUND_ORDER",
        changes=PROBED,
    ),
    *(
        _row(f"Train of a plan with {what}", sent(under(changes)), OTHER_PLAN, POSITION)
        for what, changes in _OTHER_PLANS.items()
    ),
    _row(
        "a model that is not the one all sites begin with",
        sent(other_model),
        without(Replica, "follow", "MODEL_MISMATCH"),
        expected="MODEL_MISMATCH",
        part=MODELS,
    ),
)

__all__ = ["ATTACKS", "PROBED", "sent", "unchanged"]
