"""Hostile ``Confirm`` and ``Unmask`` messages: who is said to be in the sum, and to whom."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks, own_keys, statements
from fedward.common.secagg.bundles import Bundle, OwnBundle
from fedward.common.secagg.floors import honest_sites
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.state import State
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.bundle_rows import LOWERED, NO_UNIQUENESS, lowered_shelf
from fedward.simulations.attacks.cohort_rows import FLOOR, NUMBERS, UNPROVEN, set_field
from fedward.simulations.attacks.holes import Hole, instead, without
from fedward.simulations.attacks.scene import Change, Scene
from fedward.simulations.attacks.table import SHARED, Attack, Play

WRONG, SILENT, OTHER = "survivors that cannot be", "a survivor that sent nothing", "other survivors"
BOTH, CONFIRMED = "a site both alive and dropped", "confirmations missing, too few or mixed"
CLOSED = "shares for another cohort, or after the erasure"
MALICIOUS = (Profile.RESILIENT_MALICIOUS,)

NO_QUORUM = without(cohort_checks, "check_confirmations", "CONFIRM_QUORUM")
KEEPS_SECRETS = instead(
    State, "without_secrets", lambda self, phase: replace(self, phase=phase), "a site that erases nothing"
)
NEVER_CLOSED = (
    KEEPS_SECRETS,
    without(Participant, "_engaged", "ATTEMPT_CLOSED"),
    without(Participant, "_require_open", "ATTEMPT_CLOSED"),
    *NO_UNIQUENESS,
)
_mask_keys = own_keys.mask_keys


def only_pair_masks(
    own: OwnBundle, bundles: Mapping[str, Bundle], cohort: bytes
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """As if a site put no mask of its own on its vector."""
    return _mask_keys(replace(own, seed=b""), bundles, cohort)


def unchanged(_: Scene, __: pb.Train) -> None:
    """An honest cohort."""


def isolated(named: Callable[[Scene, str], Sequence[str]], change: Change = unchanged) -> Play:
    """Tell each site survivors of its own: all of them give their share of the victim's seed, and of others' keys."""

    def play(scene: Scene) -> bool:
        scene.get_vectors(change=change)
        for name in scene.names:
            survivors = scene.survivors(named(scene, name))
            scene.open_with([name], survivors)
        return False

    return play


def with_the_victim(scene: Scene, name: str) -> Sequence[str]:
    """The victim and the site that is asked."""
    return sorted({name, scene.victim})


def filled_up(scene: Scene, name: str) -> Sequence[str]:
    """The same, filled up to u_min by naming one of them often."""
    return [scene.victim, name, name, name]


def and_quorum(*holes: Hole) -> Callable[[Profile], tuple[Hole, ...]]:
    """Where survivors are confirmed, one confirmation must do."""
    return lambda profile: (*holes, NO_QUORUM) if profile in MALICIOUS else holes


def both_kinds(scene: Scene) -> bool:
    """First the victim is alive, then it is not."""
    scene.get_vectors()
    scene.open_with(scene.names, scene.survivors(scene.names))
    scene.open_with(scene.peers, scene.survivors(scene.peers))
    return False


def declared_dropped(scene: Scene) -> bool:
    """The victim's vector is there, but its peers are told that it is not, and give its mask key."""
    scene.get_vectors()
    scene.open_with(scene.peers, scene.survivors(scene.peers))
    return False


def split_stories(scene: Scene) -> bool:
    """Half of the sites hear that the victim is alive; passed if a sum of fewer honest sites than h_min could open."""
    try:
        scene.keep(lowered_shelf(scene, 2))
    except ProtocolError as error:
        if error.code != "THRESHOLD_MISMATCH":
            raise
    threshold = scene.shelf().holders.threshold
    scene.get_vectors()
    first = scene.names[:3]
    rest = tuple(name for name in scene.names if name not in first)
    scene.open_with(first, scene.survivors(scene.names))
    scene.open_with(rest, scene.survivors(scene.peers))
    least = honest_sites(scene.profile, num_cohort=5, num_holders=5, min_survivors=4, colluders=1)
    return scene.profile is Profile.RESILIENT and fewest_honest(scene, threshold) < least


def fewest_honest(scene: Scene, threshold: int) -> int:
    """The honest sites in the smallest sum that opens, whatever survivors each honest site is told.

    Each names the whole cohort or leaves out one site, as u_min allows; the accomplice gives both kinds of share.
    """
    honest = tuple(name for name in scene.names if name != scene.accomplice)
    stories = [[None, *(name for name in scene.names if name != holder)] for holder in honest]
    fewest = len(honest)
    for left_out in itertools.product(*stories):
        gone = {name: left_out.count(name) + 1 for name in scene.names}
        alive = {name: len(honest) - left_out.count(name) + 1 for name in scene.names}
        for size in range(1, fewest):
            if any(_opens(chosen, honest, alive, gone, threshold) for chosen in itertools.combinations(honest, size)):
                fewest = size
                break
    return fewest


def _opens(
    chosen: Collection[str], honest: Sequence[str], alive: Mapping[str, int], gone: Mapping[str, int], threshold: int
) -> bool:
    """Whether the masks of exactly these honest sites can be taken off their sum."""
    outside = [name for name in honest if name not in chosen]
    return all(alive[name] >= threshold for name in chosen) and all(
        gone[name] >= threshold or gone[other] >= threshold for name in chosen for other in outside
    )


def asked(change: Callable[[Scene, list[pb.Survivor]], list[pb.Survivor]]) -> Play:
    """The victim is asked once, for survivors that are not what they should be."""

    def play(scene: Scene) -> bool:
        scene.get_vectors()
        survivors = change(scene, scene.survivors(scene.names))
        if scene.is_confirmed:
            return bool(scene.get_confirmation(scene.victim, survivors).signature)
        return bool(scene.get_shares(scene.victim, survivors).survivors_hash)

    return play


def with_a_stranger(_: Scene, survivors: list[pb.Survivor]) -> list[pb.Survivor]:
    survivors[-1].site_id = "zz-stranger"
    return survivors


def without_me(scene: Scene, survivors: list[pb.Survivor]) -> list[pb.Survivor]:
    return [entry for entry in survivors if entry.site_id != scene.victim]


def sent_nothing(scene: Scene) -> bool:
    """A peer is said to be alive that never answered."""
    silent = scene.names[-1]
    scene.get_vectors(scene.names[:-1])
    survivors = scene.survivors(scene.names[:-1])
    survivors.append(pb.Survivor(site_id=silent, vector_hash=scene.random_bytes(32), proof=scene.random_bytes(64)))
    if scene.is_confirmed:
        return bool(scene.get_confirmation(scene.victim, survivors).signature)
    return bool(scene.get_shares(scene.victim, survivors).survivors_hash)


def confirmed_by(change: Callable[[Scene, list[pb.Confirmation]], list[pb.Confirmation]], *, asks: bool = True) -> Play:
    """All but the victim have confirmed; then it is asked for shares, with what ``change`` makes of that."""

    def play(scene: Scene) -> bool:
        scene.get_vectors()
        survivors = scene.survivors(scene.names)
        given = [scene.get_confirmation(name, survivors) for name in scene.peers]
        if asks:
            scene.get_confirmation(scene.victim, survivors)
        return bool(scene.get_shares(scene.victim, survivors, change(scene, given)).survivors_hash)

    return play


def too_few(_: Scene, given: list[pb.Confirmation]) -> list[pb.Confirmation]:
    return given[:3]


def mixed(scene: Scene, given: list[pb.Confirmation]) -> list[pb.Confirmation]:
    """One is the accomplice's, for other survivors."""
    entries = scene.survivors(scene.peers)
    others = [statements.Survivor(site_id=e.site_id, vector_hash=e.vector_hash, proof=e.proof) for e in entries]
    digest = scene.sightings[-1].digest
    statement = statements.confirm_statement(digest, statements.survivors_hash(others))
    for entry in given:
        if entry.site_id == scene.accomplice:
            entry.signature = statements.sign(scene.cohort.identity(scene.accomplice), "CONFIRM", statement)
    return given


def other_digest(scene: Scene) -> bool:
    """Shares of a cohort that the victim did not answer."""
    scene.get_vectors()
    survivors = scene.survivors(scene.names)
    body: codec.Body = (
        scene.confirm(scene.victim, survivors) if scene.is_confirmed else scene.unmask(scene.victim, survivors)
    )
    body.cohort_digest = scene.random_bytes(32)  # type: ignore[union-attr]
    return bool(scene.cohort.ask(scene.victim, body))


def after_erasure(scene: Scene) -> bool:
    """The next attempt has begun at the victim; the shares of the one before would still open it."""
    scene.get_vectors()
    scene.ask_bundle(scene.victim, scene.cohort.prekey((1, 1)))
    scene.open_with(scene.names, scene.survivors(scene.names))
    return True


def second_list(scene: Scene) -> bool:
    """``Unmask`` with a list of dropped sites beside that of survivors, as an older protocol had it."""
    scene.get_vectors()
    survivors = scene.survivors(scene.names)
    confirmations = [scene.get_confirmation(name, survivors) for name in scene.names] if scene.is_confirmed else []
    listed = scene.victim.encode()
    raw = scene.unmask(scene.victim, survivors, confirmations).SerializeToString(deterministic=True)
    raw += bytes([6 << 3 | 2, len(listed)]) + listed
    signature = scene.cohort.chief.sign("secagg", "UNMASK", hashlib.sha256(raw).digest())
    envelope = pb.Envelope(version=codec.VERSION, type=pb.UNMASK, body=raw, signature=signature)
    return scene.cohort.tell(scene.victim, envelope.SerializeToString(deterministic=True)) is not None


def _row(name: str, part: str, play: Play, expected: str, *holes: Hole) -> Attack:
    return Attack(name=name, part=part, play=play, expected=expected, holes=holes, profiles=SHARED, charges=1)


ATTACKS = (
    Attack(
        name="u_min lowered to one, then each site told survivors of its own",
        part=NUMBERS,
        play=isolated(with_the_victim, set_field("min_survivors", 1)),
        expected="HONEST_FLOOR",
        holes=and_quorum(FLOOR),
        profiles=SHARED,
        vector_in=SHARED,
    ),
    _row(
        "a second list, of dropped sites",
        BOTH,
        second_list,
        "BAD_ENCODING",
        without(codec, "strict", "BAD_ENCODING"),
    ),
    Attack(
        name="both kinds of share: alive first, then dropped",
        part=BOTH,
        play=both_kinds,
        expected="SURVIVORS_CHANGED",
        holes=[*NEVER_CLOSED, without(Participant, "_survivors", "SURVIVORS_CHANGED")],
        profiles=SHARED,
        vector_in=SHARED,
        charges=1,
    ),
    Attack(
        name="a live site declared dropped",
        part=BOTH,
        play=declared_dropped,
        expected="",
        holes=[instead(own_keys, "mask_keys", only_pair_masks, "a site without a mask of its own")],
        profiles=SHARED,
        vector_in=SHARED,
        charges=1,
    ),
    _row(
        "a stranger among the survivors",
        WRONG,
        asked(with_a_stranger),
        "SURVIVORS_INVALID",
        without(cohort_checks, "checked_survivors", "SURVIVORS_INVALID", "SURVIVOR_UNPROVEN"),
    ),
    Attack(
        name="a survivor named three times, so that two seem to be enough",
        part=WRONG,
        play=isolated(filled_up),
        expected="SURVIVORS_INVALID",
        holes=and_quorum(without(cohort_checks, "checked_survivors", "SURVIVORS_INVALID")),
        profiles=SHARED,
        vector_in=SHARED,
        charges=1,
    ),
    Attack(
        name="fewer survivors than agreed, others for each site",
        part=WRONG,
        play=isolated(with_the_victim),
        expected="SURVIVORS_TOO_FEW",
        holes=and_quorum(without(cohort_checks, "checked_survivors", "SURVIVORS_TOO_FEW")),
        profiles=SHARED,
        vector_in=SHARED,
        charges=1,
    ),
    _row(
        "the victim itself not among the survivors",
        WRONG,
        asked(without_me),
        "SELF_NOT_IN_SURVIVORS",
        without(cohort_checks, "checked_survivors", "SELF_NOT_IN_SURVIVORS"),
    ),
    _row("a survivor that sent nothing", SILENT, sent_nothing, "SURVIVOR_UNPROVEN", UNPROVEN),
    Attack(
        name="different survivors for different sites",
        part=OTHER,
        play=split_stories,
        expected="",
        holes=[LOWERED],
        profiles=(Profile.RESILIENT,),
        vector_in=(Profile.RESILIENT,),
        charges=1,
    ),
    Attack(
        name="different survivors for different sites",
        part=OTHER,
        play=split_stories,
        expected="CONFIRM_QUORUM",
        holes=[LOWERED],
        profiles=MALICIOUS,
        vector_in=MALICIOUS,
        charges=1,
    ),
    Attack(
        name="Unmask without Confirm",
        part=CONFIRMED,
        play=confirmed_by(lambda _, given: given, asks=False),
        expected="CONFIRM_MISSING",
        holes=[without(Participant, "_on_unmask", "CONFIRM_MISSING")],
        profiles=MALICIOUS,
        charges=1,
    ),
    Attack(
        name="too few confirmations",
        part=CONFIRMED,
        play=confirmed_by(too_few),
        expected="CONFIRM_QUORUM",
        holes=[NO_QUORUM],
        profiles=MALICIOUS,
        charges=1,
    ),
    Attack(
        name="a confirmation of other survivors among them",
        part=CONFIRMED,
        play=confirmed_by(mixed),
        expected="CONFIRM_QUORUM",
        holes=[NO_QUORUM],
        profiles=MALICIOUS,
        charges=1,
    ),
    _row(
        "shares under another cohort digest",
        CLOSED,
        other_digest,
        "DIGEST_MISMATCH",
        without(Participant, "_engaged", "DIGEST_MISMATCH"),
    ),
    _row("shares after the next attempt has begun", CLOSED, after_erasure, "ATTEMPT_CLOSED", *NEVER_CLOSED),
)

__all__ = ["ATTACKS"]
