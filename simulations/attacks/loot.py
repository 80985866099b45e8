"""What a hostile server has got hold of, and the best guess at one site's vector that can be made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import keys, shares
from fedward.common.secagg.bundles import Bundle, self_commitment
from fedward.common.secagg.keys import AgreementKey, SharePair
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.statements import in_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A masked vector of one site, with what the server told the site and what was in the vector."""

    site_id: str
    digest: bytes
    bundles: Mapping[str, Bundle]
    vector: RingVector
    truth: RingVector
    """The same without masks: to judge a guess by, never to make one."""


@dataclass(kw_only=True, slots=True)
class Loot:
    """Secrets and shares, by the public value that they belong to."""

    mask_keys: dict[bytes, AgreementKey] = field(default_factory=dict)
    """By public mask key: the server's own, colluders', rebuilt ones."""
    seeds: dict[bytes, bytes] = field(default_factory=dict)
    """By commitment."""
    key_shares: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    """By public mask key and x-coordinate."""
    seed_shares: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    """By commitment and x-coordinate."""

    def add_key(self, key: AgreementKey) -> None:
        """A private mask key."""
        self.mask_keys[key.public] = key

    def add_pair(self, dealer: Bundle, x: int, pair: SharePair | None) -> None:
        """Both shares that a holder has of a dealer."""
        if pair is not None:
            self.seed_shares.setdefault(dealer.commitment, {})[x] = pair.seed
            self.key_shares.setdefault(dealer.mask_key, {})[x] = pair.mask_key

    def add_reply(
        self,
        bundles: Mapping[str, Bundle],
        survivors: Iterable[str],
        places: Mapping[str, int],
        reply: pb.UnmaskReply,
    ) -> None:
        """The shares that a holder released; ``places`` are its x-coordinates, by dealer."""
        alive = in_order(set(survivors) & set(bundles))
        gone = [site_id for site_id in in_order(bundles) if site_id not in alive]
        for site_id, share in zip(alive, reply.seed_shares, strict=True):
            self.seed_shares.setdefault(bundles[site_id].commitment, {})[places[site_id]] = share
        for site_id, share in zip(gone, reply.key_shares, strict=True):
            self.key_shares.setdefault(bundles[site_id].mask_key, {})[places[site_id]] = share

    def rebuild(self, bundles: Iterable[Bundle]) -> None:
        """Every secret of these bundles that the shares give; a threshold need not be known, the check tells."""
        for bundle in bundles:
            for seed in _candidates(self.seed_shares.get(bundle.commitment, {})):
                made = self_commitment(bundle.run_id, bundle.round_number, bundle.attempt, bundle.site_id, seed)
                if made == bundle.commitment:
                    self.seeds[bundle.commitment] = seed
            for secret in _candidates(self.key_shares.get(bundle.mask_key, {})):
                key = AgreementKey.from_secret(secret)
                if key.public == bundle.mask_key:
                    self.add_key(key)

    def guess(self, seen: Sighting) -> RingVector:
        """The vector with every mask taken off whose key can be had."""
        own = seen.bundles[seen.site_id]
        plus: list[bytes] = []
        minus: list[bytes] = []
        if own.commitment in self.seeds:
            minus.append(keys.self_key(self.seeds[own.commitment], cohort=seen.digest, site_id=seen.site_id))
        for peer, bundle in seen.bundles.items():
            key = None if peer == seen.site_id else self._pair_key(seen, bundle)
            if key is not None:
                (minus if keys.is_lower(seen.site_id, peer) else plus).append(key)
        guess = seen.vector.copy()
        apply_masks(guess, plus=plus, minus=minus)
        return guess

    def _pair_key(self, seen: Sighting, peer: Bundle) -> bytes | None:
        own = seen.bundles[seen.site_id]
        ends: Sequence[tuple[Bundle, Bundle]] = ((peer, own), (own, peer))
        for known, other in ends:
            private = self.mask_keys.get(known.mask_key)
            if private is not None:
                return keys.pair_key(
                    private, other.mask_key, cohort=seen.digest, own_id=known.site_id, peer_id=other.site_id
                )
        return None


def _candidates(by_x: Mapping[int, bytes]) -> Iterable[bytes]:
    """What the first one, two, three … shares join to."""
    given = [(x, share) for x, share in sorted(by_x.items()) if share]
    for count in range(1, len(given) + 1):
        chosen = given[:count]
        secret = shares.Basis.of(x for x, _ in chosen).join([share for _, share in chosen])
        if secret is not None:
            yield secret


__all__ = ["Loot", "Sighting"]
