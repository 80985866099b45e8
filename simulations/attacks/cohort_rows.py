"""Hostile ``Train`` messages: keys, members, numbers, layout, header."""

from __future__ import annotations

from collections.abc import Callable

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import FIRST, PROFILES, SECRET, Cohort
from fedward.simulations.attacks.holes import Hole, instead, without
from fedward.simulations.attacks.scene import COUNT, SIZE, Scene
from fedward.simulations.attacks.table import SHARED, Attack, Play

LOW_ORDER = bytes(32)
UNSIGNED_BUNDLE = without(cohort_checks, "check_bundles", "BAD_SIGNATURE")
UNPROVEN = without(cohort_checks, "checked_survivors", "SURVIVOR_UNPROVEN")


def told(*changes: Callable[[Scene, pb.Train], None]) -> Play:
    """Tell the victim a changed cohort; passed if it sends a vector for it."""

    def play(scene: Scene) -> bool:
        body = scene.train()
        for change in changes:
            change(scene, body)
        scene.get_vector(scene.victim, body)
        return True

    return play


def told_and_betrayed(*changes: Callable[[Scene, pb.Train], None]) -> Play:
    """The same, and then its peers are asked for its seed."""

    def play(scene: Scene) -> bool:
        told(*changes)(scene)
        scene.betray()
        return False

    return play


def and_betrayal(*holes: Hole) -> Callable[[Profile], tuple[Hole, ...]]:
    """Where there are shares, the peers must fall for a survivor that sent them nothing."""
    return lambda profile: holes if profile is Profile.STRICT else (*holes, UNPROVEN)


def index(scene: Scene, name: str) -> int:
    """Place in a cohort of all."""
    return scene.place(name) - 1


# ------------------------------------------------------------------------------------------------ keys


def swap_peer_keys(scene: Scene, body: pb.Train) -> None:
    for name in scene.peers:
        own = AgreementKey.generate(scene.random_bytes)
        scene.loot.add_key(own)
        body.bundles[index(scene, name)].mask_key = own.public


def forge_request(scene: Scene) -> bool:
    """Whoever carries the messages makes one: the victim's budget would be spent, at the least."""
    stranger = Identity.simulated(SECRET, "mallory")
    scene.cohort.tell(scene.victim, codec.seal(stranger, scene.train()))
    scene.cohort.send(scene.victim)
    return True


def sign_by_accomplice(change: Callable[[Scene, pb.Bundle], None]) -> Callable[[Scene, pb.Train], None]:
    """The accomplice signs a bundle that is not as it should be."""

    def apply(scene: Scene, body: pb.Train) -> None:
        bundle = body.bundles[index(scene, scene.accomplice)]
        change(scene, bundle)
        bundle.CopyFrom(scene.resigned(scene.accomplice, bundle))

    return apply


def low_order(_: Scene, bundle: pb.Bundle) -> None:
    bundle.mask_key = LOW_ORDER


def copied_key(scene: Scene, bundle: pb.Bundle) -> None:
    bundle.mask_key = scene.shelf().bundle(scene.names[0]).mask_key


def other_holders(_: Scene, bundle: pb.Bundle) -> None:
    bundle.holders_hash = b"\x12" * 32


def other_roster(_: Scene, bundle: pb.Bundle) -> None:
    bundle.roster_hash = b"\x12" * 32


def old_bundle(at: tuple[int, int]) -> Play:
    """A peer's bundle of the first position, genuine as it is, in a cohort of a later one."""

    def play(scene: Scene) -> bool:
        old = scene.shelf(FIRST).bundle(scene.accomplice)
        body = scene.train(at)
        body.bundles[index(scene, scene.accomplice)].CopyFrom(old.to_wire())
        scene.get_vector(scene.victim, body)
        return True

    return play


def alter_own(scene: Scene, body: pb.Train) -> None:
    own = AgreementKey.generate(scene.random_bytes)
    body.bundles[index(scene, scene.victim)].mask_key = own.public


def agree_with_anything(self: AgreementKey, peer: bytes) -> bytes:
    """X25519 as the primitive gives it: zero for a key of low order."""
    try:
        return AGREE(self, peer)
    except ProtocolError:
        return bytes(32)


AGREE = AgreementKey.agree


# ------------------------------------------------------------------------------------------------ members


def keep(*chosen: Callable[[Scene], str]) -> Callable[[Scene, pb.Train], None]:
    """A cohort of these, one entry each time a site is named."""

    def apply(scene: Scene, body: pb.Train) -> None:
        places = sorted(index(scene, choose(scene)) for choose in chosen)
        cohort, bundles, packets = list(body.cohort), list(body.bundles), list(body.packets)
        body.ClearField("bundles")
        body.cohort[:] = [cohort[i] for i in places]
        body.bundles.extend(bundles[i] for i in places)
        body.packets[:] = [packets[i] for i in places] if packets else []
        body.assumed_colluders = scene.cohort.terms.floors.colluders(len(places))
        body.min_survivors = len(places)

    return apply


def victim(scene: Scene) -> str:
    """For ``keep``."""
    return scene.victim


def accomplice(scene: Scene) -> str:
    """For ``keep``."""
    return scene.accomplice


def site(number: int) -> Callable[[Scene], str]:
    """For ``keep``: by place."""
    return lambda scene: scene.names[number]


# ------------------------------------------------------------------------------------------------ numbers, layout


def set_field(name: str, value: object) -> Callable[[Scene, pb.Train], None]:
    """One field of the request changed."""
    return lambda _, body: setattr(body, name, value)


def one_survivor_less(_: Scene, body: pb.Train) -> None:
    body.min_survivors -= 1


def many_colluders(_: Scene, body: pb.Train) -> None:
    """So many that twice the threshold is no more than holders and colluders: both kinds of share could be had."""
    body.assumed_colluders, body.min_survivors = 3, COUNT


def set_header(name: str, value: object) -> Callable[[Scene, pb.Train], None]:
    """One field of the header changed."""
    return lambda _, body: setattr(body.header, name, value)


def wary(profile: Profile) -> Scene:
    """Sites whose policy wants all five."""
    return Scene(profile, Cohort(profile, COUNT, size=SIZE, floors=Floors(profile=profile, min_cohort=COUNT)))


def other_profile(scene: Scene) -> bool:
    """The same run under a profile that this site did not agree to."""
    others = {Profile.STRICT: Profile.RESILIENT, Profile.RESILIENT: Profile.STRICT}
    return told(set_header("profile", others.get(scene.profile, Profile.RESILIENT).value))(scene)


KEYS, MEMBERS = "a peer's key swapped, a request forged", "a cohort too small, a site twice"
NUMBERS, PLAN = "thresholds lowered, colluders understated", "the plan changed, a weaker profile"
OLD, NO_KEY = "an old bundle, the own bundle changed", "a key that is none, or another site's"
HOLDERS, STRANGERS = "other holders, another transport key, another graph", "a site of the server's, another roster"
SMALL = (
    without(Floors, "check_cohort", "COHORT_TOO_SMALL"),
    without(Floors, "check_floor", "HONEST_FLOOR"),
)
STALE = without(cohort_checks, "check_bundles", "PREKEY_STALE")
TWICE = without(cohort_checks, "_check_keys", "KEY_INVALID")
MALFORMED = without(cohort_checks, "_check_ids", "COHORT_MALFORMED")
FLOOR = without(Floors, "check_floor", "HONEST_FLOOR")
RING, POSITION = without(Terms, "check_ring", "PLAN_MISMATCH"), "check_position"


def _plan(name: str, change: Callable[[Scene, pb.Train], None], hole: Hole = RING) -> Attack:
    return Attack(name=name, part=PLAN, play=told(change), expected="PLAN_MISMATCH", holes=[hole])


ATTACKS = (
    Attack(
        name="every peer's mask key swapped for one of the server's",
        part=KEYS,
        play=told_and_betrayed(swap_peer_keys),
        expected="BAD_SIGNATURE",
        holes=and_betrayal(UNSIGNED_BUNDLE),
        vector_in=PROFILES,
    ),
    Attack(
        name="a request forged by whoever carries it",
        part=KEYS,
        play=forge_request,
        expected="BAD_SIGNATURE",
        holes=[without(codec, "open_message", "BAD_SIGNATURE")],
        attacker="network",
    ),
    Attack(
        name="another roster in the header",
        part=STRANGERS,
        play=told(set_header("roster_hash", b"\x12" * 32)),
        expected="ROSTER_MISMATCH",
        holes=[without(Terms, POSITION, "ROSTER_MISMATCH")],
    ),
    Attack(
        name="another roster in a colluder's bundle",
        part=STRANGERS,
        play=told(sign_by_accomplice(other_roster)),
        expected="ROSTER_MISMATCH",
        holes=[without(cohort_checks, "check_bundles", "ROSTER_MISMATCH")],
    ),
    Attack(
        name="a bundle of an older round",
        part=OLD,
        play=old_bundle((2, 0)),
        expected="PREKEY_STALE",
        holes=[STALE],
    ),
    Attack(
        name="a bundle of an older attempt",
        part=OLD,
        play=old_bundle((1, 1)),
        expected="PREKEY_STALE",
        holes=[STALE],
    ),
    Attack(
        name="the victim's own bundle changed",
        part=OLD,
        play=told(alter_own),
        expected="OWN_BUNDLE_ALTERED",
        holes=[without(cohort_checks, "checked_cohort", "OWN_BUNDLE_ALTERED")],
    ),
    Attack(
        name="a mask key of low order, so that its mask is known",
        part=NO_KEY,
        play=told(sign_by_accomplice(low_order)),
        expected="KEY_INVALID",
        holes=[instead(AgreementKey, "agree", agree_with_anything, "AgreementKey.agree takes a zero result")],
    ),
    Attack(
        name="two sites with one mask key",
        part=NO_KEY,
        play=told(sign_by_accomplice(copied_key)),
        expected="KEY_INVALID",
        holes=[TWICE],
    ),
    Attack(
        name="a cohort of the victim alone",
        part=MEMBERS,
        play=told_and_betrayed(keep(victim)),
        expected="COHORT_TOO_SMALL",
        holes=and_betrayal(*SMALL),
        vector_in=PROFILES,
    ),
    Attack(
        name="a cohort of the victim and a colluder",
        part=MEMBERS,
        play=told_and_betrayed(keep(victim, accomplice)),
        expected="COHORT_TOO_SMALL",
        holes=and_betrayal(*SMALL),
        vector_in=PROFILES,
    ),
    Attack(
        name="a cohort below the victim's policy",
        part=MEMBERS,
        play=told(keep(site(0), victim, site(2), accomplice)),
        expected="COHORT_TOO_SMALL",
        holes=[without(Floors, "check_cohort", "COHORT_TOO_SMALL")],
        scene=wary,
    ),
    Attack(
        name="a cohort of two, filled up by naming the colluder four times",
        part=MEMBERS,
        play=told_and_betrayed(keep(victim, *[accomplice] * 4)),
        expected="COHORT_MALFORMED",
        holes=and_betrayal(MALFORMED),
        vector_in=PROFILES,
    ),
    Attack(
        name="u_min lowered by one",
        part=NUMBERS,
        play=told(one_survivor_less),
        expected="HONEST_FLOOR",
        holes=[FLOOR],
    ),
    Attack(
        name="colluders understated",
        part=NUMBERS,
        play=told(set_field("assumed_colluders", 0)),
        expected="HONEST_FLOOR",
        holes=[FLOOR],
    ),
    Attack(
        name="so many colluders that both kinds of share could be had",
        part=NUMBERS,
        play=told(many_colluders),
        expected="THRESHOLD_UNUSABLE",
        holes=[without(Floors, "check_threshold", "THRESHOLD_UNUSABLE")],
        profiles=SHARED,
    ),
    _plan("another scale", set_field("scale_log2", 30)),
    _plan("another clamp in the ring", set_field("clamp_log2", 23)),
    _plan("another layout", set_field("layout_digest", b"\x12" * 32)),
    _plan("fewer coordinates", set_field("num_coordinates", SIZE // 2)),
    _plan(
        "another plan, that is another clip, noise or weight rule",
        set_header("plan_digest", b"\x12" * 32),
        without(Terms, POSITION, "PLAN_MISMATCH"),
    ),
    _plan("another run", set_header("run_id", b"\x12" * 16), without(Terms, POSITION, "PLAN_MISMATCH")),
    Attack(
        name="another masked profile",
        part=PLAN,
        play=other_profile,
        expected="PROFILE_FORBIDDEN",
        holes=[without(Terms, POSITION, "PROFILE_FORBIDDEN")],
    ),
    Attack(
        name="plain_ring, that is no masks",
        part=PLAN,
        play=told(set_header("profile", "plain_ring")),
        expected="PROFILE_FORBIDDEN",
        holes=[without(Terms, POSITION, "PROFILE_FORBIDDEN")],
    ),
    Attack(
        name="a colluder's bundle for other holders",
        part=HOLDERS,
        play=told(sign_by_accomplice(other_holders)),
        expected="HOLDERS_MISMATCH",
        holes=[without(cohort_checks, "check_bundles", "HOLDERS_MISMATCH")],
    ),
    Attack(
        name="another mask graph",
        part=HOLDERS,
        play=told(set_field("graph_hash", b"\x12" * 32)),
        expected="GRAPH_MISMATCH",
        holes=[without(cohort_checks, "checked_cohort", "GRAPH_MISMATCH")],
    ),
)

__all__ = ["accomplice", "ATTACKS", "index", "keep", "site", "told", "UNPROVEN", "UNSIGNED_BUNDLE", "victim"]
