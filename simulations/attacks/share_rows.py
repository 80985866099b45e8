"""Packets, shares and dealers that lie, against the real coordinator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import bundles, statements
from fedward.common.secagg.bundles import Bundle, Dealing
from fedward.common.secagg.keys import AgreementKey, SharePair
from fedward.common.secagg.opening import Opening
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.shares import SHARE_BYTES
from fedward.simulations.attacks.bundle_rows import LOWERED, lowered_shelf
from fedward.simulations.attacks.cohort import FIRST
from fedward.simulations.attacks.coordinator_rows import ABSTAINS, LOST, by_site, is_right, note
from fedward.simulations.attacks.holes import Hole, instead, opened
from fedward.simulations.attacks.plays import Outcome, play
from fedward.simulations.attacks.scene import Scene
from fedward.simulations.attacks.table import SHARED, Attack, Play

PACKETS, SHARES = "share packets swapped between sites", "a false share, a false dealer"
_split = bundles._split


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


def lie_in_bundle(scene: Scene, commitment: bytes) -> None:
    """The accomplice deals as it should and signs a bundle that commits to something else."""
    honest, dealer = scene.cohort.shelf(), scene.accomplice
    site = scene.cohort.sites[dealer]
    own = site.state.armed[FIRST]
    draft = replace(own.bundle, commitment=commitment)
    signature = statements.sign(scene.cohort.identity(dealer), "BUNDLE", draft.digest())
    false = replace(draft, signature=signature)
    shelf = PrekeyShelf(terms=scene.cohort.terms, target=honest.target)
    for name in honest.ready:
        packets = tuple(honest.packet(name, holder) for holder in honest.ready if holder != name)
        bundle = false if name == dealer else honest.bundle(name)
        shelf.put(name, Dealing(bundle=bundle, packets=packets).to_wire())
    site.state = replace(site.state, armed={FIRST: replace(own, bundle=false)})
    scene.keep(shelf)


def false_dealer(scene: Scene) -> bool:
    """A dealer commits to another seed than it has dealt; passed if it is not named."""
    lie_in_bundle(scene, scene.random_bytes(32))
    scene.get_vectors()
    return is_unnamed(scene, play(scene.cohort, scene.coordinator(), scene.sealed))


def false_key(scene: Scene) -> bool:
    """A dealer deals another mask key than its own and sends no vector; passed if it is not named."""

    def split(bundle: Bundle, mask: AgreementKey, *others: Any) -> Any:  # noqa: ANN401
        lie = AgreementKey.generate(scene.random_bytes)
        return _split(bundle, lie if bundle.site_id == scene.accomplice else mask, *others)

    with opened([instead(bundles, "_split", split, "a dealer that deals another key")]):
        scene.keep(scene.cohort.shelf())
    scene.get_vectors()
    arrived = {name: scene.sealed[name] for name in scene.names if name != scene.accomplice}
    return is_unnamed(scene, play(scene.cohort, scene.coordinator(), arrived))


def is_unnamed(scene: Scene, outcome: Outcome) -> bool:
    """Whether nobody knows that the accomplice has lied."""
    is_named = outcome.faults == [(scene.accomplice, "")]
    scene.code = "SHARE_INCONSISTENT" if is_named else ""
    return not is_named


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


def _shared(
    name: str, part: str, act: Play, expected: str, *holes: Hole, attacker: str = "site", gain: str = LOST
) -> Attack:
    return replace(by_site(name, part, act, expected, *holes, attacker=attacker, gain=gain), profiles=SHARED)


ANY_SEED = instead(Opening, "_is_seed_of", lambda self, dealer: lambda seed: True, "a coordinator that checks no seed")
ANY_KEY = instead(Opening, "_is_key_of", lambda self, dealer: lambda secret: True, "a coordinator that checks no key")
UNNAMED = "a false share that nobody is named for"

ATTACKS = (
    _shared(
        "share packets swapped on their way to the victim",
        PACKETS,
        packets_swapped,
        "SHARE_UNREADABLE",
        instead(bundles, "open_packet", unauthenticated, "packets without authentication"),
        attacker="server",
        gain="swapped shares that nobody complains of",
    ),
    _shared(
        "fewer than t sites answer Unmask",
        ABSTAINS,
        too_few_shares,
        "ROUND_VOID",
        LOWERED,
        attacker="server",
        gain="a sum that fewer than t sites opened",
    ),
    _shared("a holder gives false shares", SHARES, false_share, "SHARE_INCONSISTENT", ANY_SEED, gain=UNNAMED),
    _shared("a dealer commits to another seed", SHARES, false_dealer, "SHARE_INCONSISTENT", ANY_SEED, gain=UNNAMED),
    _shared(
        "a dealer deals another mask key and drops out",
        SHARES,
        false_key,
        "SHARE_INCONSISTENT",
        ANY_KEY,
        gain=UNNAMED,
    ),
)

__all__ = ["ATTACKS"]
