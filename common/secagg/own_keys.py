"""What a site makes of its own secrets and of a cohort's bundles: mask keys, and shares of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import keys
from fedward.common.secagg.bundles import Bundle, OwnBundle, open_dealt
from fedward.common.secagg.keys import AgreementKey, SharePair
from fedward.common.secagg.state import Secrets
from fedward.common.secagg.statements import in_order


def mask_keys(
    own: OwnBundle, bundles: Mapping[str, Bundle], cohort: bytes
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Keys of the masks that the owner adds to its vector, and of those that it takes away.

    Raises:
        ProtocolError: ``KEY_INVALID`` for a peer's key of low order.
    """
    site_id = own.bundle.site_id
    plus: list[bytes] = []
    minus: list[bytes] = []
    if own.seed:
        plus.append(keys.self_key(own.seed, cohort=cohort, site_id=site_id))
    for peer, bundle in bundles.items():
        if peer != site_id:
            key = keys.pair_key(own.mask, bundle.mask_key, cohort=cohort, own_id=site_id, peer_id=peer)
            (plus if keys.is_lower(site_id, peer) else minus).append(key)
    return tuple(plus), tuple(minus)


def open_packets(
    own: OwnBundle, transport: AgreementKey, bundles: Mapping[str, Bundle], packets: Sequence[bytes]
) -> tuple[dict[str, SharePair], tuple[str, ...]]:
    """The shares by dealer, and the dealers whose packet does not open.

    ``packets`` are by dealer; ``strict`` has none.
    """
    site_id = own.bundle.site_id
    shares: dict[str, SharePair] = {}
    complaints = []
    for dealer, packet in zip(in_order(bundles), packets, strict=False):
        if dealer == site_id:
            pair = own.own_shares
            if own.holders.common_hash:  # no holder of its own secrets
                continue
        else:
            dealer_key = own.holders.transport_keys[dealer]
            pair = open_dealt(bundles[dealer], packet, holder=site_id, own=transport, dealer_key=dealer_key)
        if pair is None:
            complaints.append(dealer)
        else:
            shares[dealer] = pair
    return shares, tuple(complaints)


def add_shares(reply: pb.UnmaskReply, bundles: Mapping[str, Bundle], secrets: Secrets, survivors: set[str]) -> None:
    """Put one kind of share for each member of the cohort into ``reply``: a member is alive, or it is not."""
    for dealer in in_order(bundles):
        pair = secrets.shares.get(dealer)
        if dealer in survivors:
            reply.seed_shares.append(pair.seed if pair is not None else b"")
        else:
            reply.key_shares.append(pair.mask_key if pair is not None else b"")


__all__ = ["add_shares", "mask_keys", "open_packets"]
