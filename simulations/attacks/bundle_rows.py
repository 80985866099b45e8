"""Hostile ``Prekey`` messages: holders, transport keys, thresholds, positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fedward.client.ledger_store import LedgerStore, StateWriter
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks
from fedward.common.secagg.bundles import Bundle, open_dealt
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.journal import JournalEntry, MemoryJournal
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.member import Member
from fedward.common.secagg.prekeys import PrekeyShelf, TransportKey, target_for
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import FIRST, PROFILES, Cohort
from fedward.simulations.attacks.cohort_rows import HOLDERS, NUMBERS, STRANGERS, UNSIGNED_BUNDLE
from fedward.simulations.attacks.holes import instead, without
from fedward.simulations.attacks.scene import COUNT, SIZE, Scene
from fedward.simulations.attacks.table import SHARED, Attack, Play

UNSIGNED_TRANSPORT = without(cohort_checks, "check_transport_key", "BAD_SIGNATURE")
LOWERED = without(cohort_checks, "checked_holders", "THRESHOLD_MISMATCH")
AGAIN = "a second bundle, a bundle from before a restart"
MANY = "many attempts to average the noise away"
_commit = LedgerStore.commit


def taking_twice(self: LedgerStore, entries: Sequence[JournalEntry], state: StateWriter, **more: Any) -> None:  # noqa: ANN401
    """As if the chain took a second entry for a place: what it would refuse is passed over, and the rest written."""
    free = [entry for entry in entries if not self._ledger.has_place((*entry.place[:3], entry.kind.value))]
    _commit(self, free, state, **more)


NO_UNIQUENESS = (
    instead(MemoryJournal, "append", lambda self, entries: None, "a journal that takes two entries for one place"),
    instead(LedgerStore, "commit", taking_twice, "a ledger that takes two entries for one place"),
)
SECRETS_SURVIVE = instead(
    Scene, "comes_back", staticmethod(lambda state, entries: state), "a site whose secrets survive a restart"
)


def sybils(scene: Scene) -> bool:
    """Four sites of the server's own making are holders and cohort, with the victim."""
    cohort, strangers = scene.cohort, tuple(f"zz-{number}" for number in range(COUNT - 1))
    transport = {name: AgreementKey.generate(scene.random_bytes) for name in strangers}
    own = deal_to_server(scene, FIRST, transport)
    bundles = {scene.victim: own, **{name: invented(scene, name, own) for name in strangers}}
    scene.get_vector(scene.victim, composed(scene, cohort.train(), bundles))
    return False


def deal_to_server(scene: Scene, at: RoundPosition, transport: Mapping[str, AgreementKey]) -> Bundle:
    """Have the victim deal to holders whose transport keys are the server's, and open what it dealt."""
    stated = {name: TransportKey(key.public, bytes(64)) for name, key in transport.items()}
    keys = {**stated, scene.victim: scene.cohort.transport_keys[scene.victim]}
    dealing = scene.ask_bundle(scene.victim, pb.Prekey(header=scene.cohort.header(at), target=target_for(at, keys)))
    own = Bundle.from_wire(scene.victim, dealing.bundle)
    holders = in_order(keys)
    readers = [holder for holder in holders if holder != scene.victim]
    for holder, packet in zip(readers, dealing.packets, strict=not scene.is_strict):
        dealer_key = scene.cohort.transport_keys[scene.victim].key
        pair = open_dealt(own, packet, holder=holder, own=transport[holder], dealer_key=dealer_key)
        scene.loot.add_pair(own, holders.index(holder) + 1, pair)
    return own


def invented(scene: Scene, name: str, like: Bundle) -> Bundle:
    """A bundle of no site, with a key of the server's."""
    key = AgreementKey.generate(scene.random_bytes)
    scene.loot.add_key(key)
    commitment, shares_hash = scene.random_bytes(32), scene.random_bytes(32)
    return replace(like, site_id=name, mask_key=key.public, commitment=commitment, shares_hash=shares_hash)


def composed(scene: Scene, body: pb.Train, bundles: Mapping[str, Bundle]) -> pb.Train:
    """A request with these bundles and no packet that opens."""
    floors = scene.cohort.terms.floors
    body.cohort[:] = in_order(bundles)
    body.bundles.extend(bundles[name].to_wire() for name in body.cohort)
    body.packets[:] = [] if scene.is_strict else [b""] * len(bundles)
    body.min_survivors = floors.min_survivors(len(bundles), len(bundles))
    body.assumed_colluders = floors.colluders(len(bundles))
    return body


def transport_keys_swapped(at: RoundPosition) -> Play:
    """The victim deals its shares to the server, under its peers' names; the rest of the round is honest."""

    def play(scene: Scene) -> bool:
        if at != FIRST:
            scene.shelf(FIRST)  # so that the victim knows its peers' keys
        own = deal_to_server(scene, at, {name: AgreementKey.generate(scene.random_bytes) for name in scene.peers})
        honest = scene.cohort.prekey(at)
        dealt = {name: scene.ask_bundle(name, honest) for name in scene.peers}
        bundles = {name: Bundle.from_wire(name, dealing.bundle) for name, dealing in dealt.items()}
        scene.get_vector(scene.victim, composed(scene, scene.cohort.train(at), {**bundles, scene.victim: own}))
        return scene.is_strict

    return play


def threshold_lowered(threshold: int) -> Play:
    """All deal so that this many shares will do; passed where there is nothing to share."""

    def play(scene: Scene) -> bool:
        scene.keep(lowered_shelf(scene, threshold))
        scene.get_vectors()
        return scene.is_strict

    return play


def lowered_shelf(scene: Scene, threshold: int) -> PrekeyShelf:
    """Bundles of all, for a threshold of the server's."""
    body = scene.cohort.prekey()
    body.target.threshold = threshold
    shelf = PrekeyShelf(terms=scene.cohort.terms, target=body.target)
    for name in scene.names:
        shelf.put(name, scene.ask_bundle(name, body))
    return shelf


def three_sites(profile: Profile) -> Scene:
    """Among three, two thirds and one are all."""
    return Scene(profile, Cohort(profile, 3, size=SIZE))


def any_bundle(scene: Scene) -> bool:
    """Passed if a bundle is made at all."""
    return bool(scene.ask_bundle(scene.victim, scene.cohort.prekey()).bundle.mask_key)


def second_bundle(scene: Scene) -> bool:
    """For one position, among other holders."""
    first = scene.shelf().bundle(scene.victim).mask_key
    body = scene.cohort.prekey()
    del body.target.holders[4]
    body.target.threshold = 3
    return scene.ask_bundle(scene.victim, body).bundle.mask_key != first


def third_attempt(scene: Scene) -> bool:
    """One more than the plan has."""
    return bool(scene.ask_bundle(scene.victim, scene.cohort.prekey((1, 2))).bundle.mask_key)


def train_after_restart(scene: Scene) -> bool:
    """The victim's process was started again since it made the bundle."""
    body = scene.train()
    scene.restart(scene.victim)
    scene.get_vector(scene.victim, body)
    return True


OTHER_HOLDERS = without(cohort_checks, "check_bundles", "HOLDERS_MISMATCH")
ATTACKS = (
    Attack(
        name="four sites of the server's own making around the victim",
        part=STRANGERS,
        play=sybils,
        expected="UNKNOWN_SITE",
        holes=[without(cohort_checks, "_check_ids", "UNKNOWN_SITE"), UNSIGNED_TRANSPORT, UNSIGNED_BUNDLE],
        vector_in=PROFILES,
    ),
    Attack(
        name="every peer's transport key swapped before the victim has seen it",
        part=HOLDERS,
        play=transport_keys_swapped(FIRST),
        expected="BAD_SIGNATURE",
        holes=[UNSIGNED_TRANSPORT, OTHER_HOLDERS],
        vector_in=SHARED,
    ),
    Attack(
        name="every peer's transport key swapped later in the run",
        part=HOLDERS,
        play=transport_keys_swapped((2, 0)),
        expected="HOLDERS_MISMATCH",
        holes=[without(cohort_checks, "checked_holders", "HOLDERS_MISMATCH"), UNSIGNED_TRANSPORT, OTHER_HOLDERS],
        vector_in=SHARED,
    ),
    Attack(
        name="t lowered to one, so that a colluder's shares will do",
        part=NUMBERS,
        play=threshold_lowered(1),
        expected="THRESHOLD_MISMATCH",
        holes=[LOWERED],
        vector_in=SHARED,
    ),
    Attack(
        name="three sites, of whom none may be lost",
        part=NUMBERS,
        play=any_bundle,
        expected="THRESHOLD_UNUSABLE",
        holes=[without(Floors, "check_threshold", "THRESHOLD_UNUSABLE")],
        profiles=SHARED,
        scene=three_sites,
    ),
    Attack(
        name="a second bundle for one position",
        part=AGAIN,
        play=second_bundle,
        expected="PREKEY_EXISTS",
        holes=[without(Member, "_target", "PREKEY_EXISTS"), *NO_UNIQUENESS],
    ),
    Attack(
        name="a bundle from before a restart",
        part=AGAIN,
        play=train_after_restart,
        expected="PREKEY_UNKNOWN",
        holes=[SECRETS_SURVIVE],
    ),
    Attack(
        name="an attempt more than the plan has",
        part=MANY,
        play=third_attempt,
        expected="ATTEMPT_LIMIT",
        holes=[without(Terms, "check_round", "ATTEMPT_LIMIT")],
    ),
)

__all__ = ["ATTACKS", "composed", "LOWERED", "lowered_shelf", "MANY", "NO_UNIQUENESS"]
