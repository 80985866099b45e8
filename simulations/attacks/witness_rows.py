"""A server that lies about ledgers: answers withheld, heads dropped, altered, taken back, two stories, an old file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from fedward.common.config import COORDINATOR
from fedward.common.ledger.heads import Answer, HeadSet, HeadStatement, stated_head
from fedward.common.ledger.witness import SiteWitness
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.witness import CoordinatorPart
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import PROFILES
from fedward.simulations.attacks.holes import instead, without
from fedward.simulations.attacks.table import Attack
from fedward.simulations.attacks.witness_scene import SECOND_RUN, Forge, Stop, WitnessScene

ANSWERS = "answers of witnesses withheld, or of an earlier start"
HEADS = "heads of ledgers dropped, altered or taken back"
STORIES = "two stories of heads"
OLD_FILE = "an old ledger file put back"
_ONE = (Profile.RESILIENT,)
_PARTY = WitnessScene.party
NO_WITNESSES = without(SiteWitness, "require_witnesses", "_MISSING")
NO_VECTOR_IN_SET = without(SiteWitness, "require_in_set", "_MISSING")
_ANSWERED = SiteWitness._answered


def _of_any_start(state: SiteWitness, answers: Iterable[Answer], holds: Callable[[bytes], bool]) -> SiteWitness:
    """Answers whatever their nonce."""
    for answer in answers:
        fresh = _ANSWERED(replace(state, nonce=answer.nonce), [answer], holds)
        state = replace(fresh, nonce=state.nonce)
    return state


ANY_NONCE = instead(SiteWitness, "_answered", _of_any_start, "SiteWitness._answered whatever the nonce")


def _scene(stop: Stop, **parts: object) -> Callable[[Profile], WitnessScene]:
    return lambda profile: WitnessScene(profile, stop, **parts)  # type: ignore[arg-type]


FIRST_TRAIN = _scene(Stop(kind=pb.TRAIN, round_number=1))
AFTER_A_START = _scene(Stop(kind=pb.TRAIN, round_number=1, run_id=SECOND_RUN))
UNMASKING = _scene(Stop(kind=pb.UNMASK, round_number=2))
NEXT_TRAIN = _scene(Stop(kind=pb.TRAIN, round_number=2))


def withhold(scene: WitnessScene) -> bool:
    """No answers."""
    return scene.tell_beside(lambda part: replace(part, answers=()))


def replay_answers(scene: WitnessScene) -> bool:
    """What the witnesses answered to an earlier start of the victim."""
    old = next(part.answers for part in scene.old_parts if part.answers)
    return scene.tell_beside(lambda part: replace(part, answers=old))


def put_back(scene: WitnessScene) -> bool:
    """Nothing is changed on the way: it is the victim's own ledger that is old."""
    return scene.tell_beside(lambda part: part)


def no_set(scene: WitnessScene) -> bool:
    """The victim's head goes to nobody."""
    return scene.tell_beside(lambda part: replace(part, heads=None))


def _heads(part: CoordinatorPart) -> HeadSet:
    if part.heads is None:
        raise RuntimeError("the play is off: no set")
    return part.heads


def _changed(scene: WitnessScene, change: Callable[[HeadStatement], HeadStatement | None]) -> Forge:
    """The set with each statement changed or dropped, signed by the coordinator."""

    def forge(part: CoordinatorPart) -> CoordinatorPart:
        heads = _heads(part)
        kept = [new for one in heads.statements if (new := change(one)) is not None]
        return replace(part, heads=scene.signed(kept, number=heads.number))

    return forge


def drop_victim(scene: WitnessScene) -> bool:
    """A set without the victim's statement."""
    return scene.tell_beside(_changed(scene, lambda one: None if one.site_id == scene.victim else one))


def alter_peer(scene: WitnessScene) -> bool:
    """A set with another head for a peer."""

    def change(one: HeadStatement) -> HeadStatement:
        return replace(one, head=bytes(32)) if one.site_id == scene.accomplice else one

    return scene.tell_beside(_changed(scene, change))


def take_back(scene: WitnessScene) -> bool:
    """A peer's first head in place of its present one: a ledger that was rolled back to there would bear it out."""
    first = next(part.heads.of(scene.accomplice) for part in scene.parts if part.heads is not None)
    return scene.tell_beside(_changed(scene, lambda one: first if one.site_id == scene.accomplice else one))


def other_own_head(scene: WitnessScene) -> Forge:
    """Another head of the coordinator's than the others are told."""

    def change(one: HeadStatement) -> HeadStatement:
        if one.site_id != COORDINATOR:
            return one
        return stated_head(
            scene.chief,
            COORDINATOR,
            ledger_id=one.ledger_id,
            run_id=one.run_id,
            round_number=one.round_number,
            attempt=one.attempt,
            head=bytes(32),
        )

    return _changed(scene, change)


def go_on(scene: WitnessScene) -> bool:
    """After a set of its own for the victim: the next request, with what the others signed."""
    return scene.tell_beside(lambda part: part)


def second_set(scene: WitnessScene) -> bool:
    """Another set under the number of one that the victim has recorded."""
    number = max(part.heads.number for part in scene.parts if part.heads is not None)

    def forge(part: CoordinatorPart) -> CoordinatorPart:
        return replace(part, heads=scene.signed(_heads(part).statements, number=number))

    return scene.tell_beside(forge)


ATTACKS: tuple[Attack, ...] = (
    Attack(
        name="the answers of the witnesses withheld",
        part=ANSWERS,
        party=_PARTY,
        play=withhold,
        expected="WITNESS_MISSING",
        rule="witness",
        holes=[NO_WITNESSES],
        profiles=PROFILES,
        scene=FIRST_TRAIN,
    ),
    Attack(
        name="answers to an earlier start",
        part=ANSWERS,
        party=_PARTY,
        play=replay_answers,
        expected="WITNESS_MISSING",
        rule="witness",
        holes=[ANY_NONCE],
        profiles=_ONE,
        scene=AFTER_A_START,
    ),
    Attack(
        name="an old ledger file put back between two runs",
        part=OLD_FILE,
        party=_PARTY,
        play=put_back,
        expected="LEDGER_ROLLED_BACK",
        holes=[without(SiteWitness, "_answered", "_ROLLED_BACK")],
        profiles=_ONE,
        scene=_scene(Stop(kind=pb.TRAIN, round_number=1, run_id=SECOND_RUN), puts_back=True),
        attacker="the site's owner",
    ),
    Attack(
        name="the set of heads withheld",
        part=HEADS,
        party=_PARTY,
        play=no_set,
        expected="WITNESS_MISSING",
        rule="witness",
        holes=[NO_VECTOR_IN_SET],
        profiles=_ONE,
        scene=UNMASKING,
    ),
    Attack(
        name="a set without the victim's statement",
        part=HEADS,
        party=_PARTY,
        play=drop_victim,
        expected="HEADS_CONFLICT",
        holes=[without(SiteWitness, "_with_own", "_CONFLICT"), NO_VECTOR_IN_SET],
        profiles=_ONE,
        scene=UNMASKING,
    ),
    Attack(
        name="another site's head altered",
        part=HEADS,
        party=_PARTY,
        play=alter_peer,
        expected="BAD_SIGNATURE",
        holes=[without(SiteWitness, "_recorded", "BAD_SIGNATURE")],
        profiles=_ONE,
        scene=UNMASKING,
    ),
    Attack(
        name="another site's head taken back to an older one",
        part=HEADS,
        party=_PARTY,
        play=take_back,
        expected="HEADS_CONFLICT",
        holes=[without(SiteWitness, "_with_peers", "_CONFLICT")],
        profiles=_ONE,
        scene=UNMASKING,
    ),
    Attack(
        name="the victim told another head of the coordinator than the others",
        part=STORIES,
        party=_PARTY,
        play=go_on,
        expected="HEADS_CONFLICT",
        holes=[without(SiteWitness, "_confirmed", "_CONFLICT")],
        profiles=_ONE,
        scene=_scene(Stop(kind=pb.TRAIN, round_number=2), forge=other_own_head),
    ),
    Attack(
        name="two sets under one number",
        part=STORIES,
        party=_PARTY,
        play=second_set,
        expected="HEADS_CONFLICT",
        holes=[without(SiteWitness, "require_sound", "_CONFLICT")],
        profiles=_ONE,
        scene=NEXT_TRAIN,
    ),
)

__all__ = ["ANSWERS", "ATTACKS", "HEADS", "OLD_FILE", "STORIES"]
