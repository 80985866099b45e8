"""From the survivors' shares to the masks that still stand in their sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import keys
from fedward.common.secagg.bundles import Bundle, self_commitment
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_views import NeighbourhoodRecovery
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.recovery import Recovery
from fedward.common.secagg.statements import in_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """One cohort's.

    Args:
        bundles: of the cohort, by site id.
        digest: of the cohort.
        recovery: of this round.
        graph: of the run, where it is sparse.
    """

    bundles: Mapping[str, Bundle]
    digest: bytes
    recovery: Recovery | NeighbourhoodRecovery
    graph: MaskGraph | None = None
    _members: tuple[str, ...] = field(init=False, repr=False)
    """In order: each reply gives shares for them."""

    def __post_init__(self) -> None:
        """Sort the cohort once."""
        object.__setattr__(self, "_members", in_order(self.bundles))

    def around(self, site_id: str) -> tuple[str, ...]:
        """The members of the cohort of whose secrets a site may hold shares, in order: for each it gives one."""
        return self._members if self.graph is None else self.graph.around(site_id, self.bundles)

    @property
    def faults(self) -> tuple[tuple[str, str], ...]:
        """Dealer and holder of every false share that was found."""
        return tuple(sorted(self.recovery.faults))

    def rebuild(
        self, survivors: Sequence[str], replies: Mapping[str, pb.UnmaskReply]
    ) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """Each survivor's seed and each dropped site's private mask key; and dealers whose shares do not suffice."""
        alive = set(survivors)
        seeds: dict[str, dict[str, bytes]] = {dealer: {} for dealer in survivors}
        mask_keys: dict[str, dict[str, bytes]] = {d: {} for d in self._members if d not in alive}
        for holder, reply in replies.items():
            given = self.around(holder)
            for dealer, share in zip((d for d in given if d in alive), reply.seed_shares, strict=True):
                seeds[dealer][holder] = share
            for dealer, share in zip((d for d in given if d not in alive), reply.key_shares, strict=True):
                mask_keys[dealer][holder] = share
        secrets: dict[str, bytes] = {}
        missing: list[str] = []
        for dealer, shares in seeds.items():
            self._rebuild_one(dealer, shares, self._is_seed_of(dealer), secrets, missing)
        for dealer, shares in mask_keys.items():
            self._rebuild_one(dealer, shares, self._is_key_of(dealer), secrets, missing)
        return secrets, tuple(missing)

    def remaining_masks(
        self, survivors: Sequence[str], secrets: Mapping[str, bytes]
    ) -> tuple[list[bytes], list[bytes]]:
        """Keys of the masks to add to the sum and to take away from it.

        One for each survivor, and one for each pair of a survivor and a dropped site; those among survivors cancel.
        """
        plus: list[bytes] = []
        minus = [keys.self_key(secrets[site_id], cohort=self.digest, site_id=site_id) for site_id in survivors]
        for gone in in_order(secrets):
            if gone in survivors:
                continue
            private = AgreementKey.from_secret(secrets[gone])
            for site_id in survivors:
                if self.graph is not None and not self.graph.are_neighbours(gone, site_id):
                    continue
                public = self.bundles[site_id].mask_key
                key = keys.pair_key(private, public, cohort=self.digest, own_id=gone, peer_id=site_id)
                # The lower of the two added it, so it is taken away where the survivor is the lower one.
                (minus if keys.is_lower(site_id, gone) else plus).append(key)
        return plus, minus

    def _rebuild_one(
        self,
        dealer: str,
        shares: Mapping[str, bytes],
        is_right: Callable[[bytes], bool],
        secrets: dict[str, bytes],
        missing: list[str],
    ) -> None:
        # A holder that could not read its packet gives an empty share.
        secret = self.recovery.rebuild(dealer, {holder: share for holder, share in shares.items() if share}, is_right)
        if secret is None:
            missing.append(dealer)
        else:
            secrets[dealer] = secret

    def _is_seed_of(self, dealer: str) -> Callable[[bytes], bool]:
        bundle = self.bundles[dealer]
        return lambda seed: (
            self_commitment(bundle.run_id, bundle.round_number, bundle.attempt, dealer, seed) == bundle.commitment
        )

    def _is_key_of(self, dealer: str) -> Callable[[bytes], bool]:
        bundle = self.bundles[dealer]
        return lambda secret: AgreementKey.from_secret(secret).public == bundle.mask_key


__all__ = ["Opening"]
