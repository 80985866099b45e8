"""What a site checks before it believes a target or a cohort; each refusal has its code, the cheapest checks first.

Pure: messages and pinned values go in, checked values or a ``ProtocolError`` come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import demands
from fedward.common.secagg.bundles import Bundle, Holders, OwnBundle
from fedward.common.secagg.graph import MaskGraph, own_neighbours_suffice
from fedward.common.secagg.keys import KEY_BYTES
from fedward.common.secagg.statements import (
    Survivor,
    confirm_statement,
    holds,
    is_ordered,
    survivors_hash,
    transport_statement,
    vector_statement,
)
from fedward.common.secagg.terms import CohortMessage, RoundPosition, Terms, packets_of
from fedward.common.secagg.thresholds import Profile, shamir_threshold
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts


def _check_ids(terms: Terms, site_ids: Sequence[str], own_id: str) -> None:
    if not is_ordered(site_ids) or own_id not in site_ids:
        raise ProtocolError("COHORT_MALFORMED", "sites unsorted or repeated, or this one is missing")
    if not set(site_ids) <= set(terms.roster.members if terms.named is None else terms.named):
        raise ProtocolError("UNKNOWN_SITE", "a site that is not in the roster, or not in the plan")


def _check_keys(keys: Sequence[bytes]) -> None:
    if any(len(key) != KEY_BYTES for key in keys) or len(set(keys)) != len(keys):
        raise ProtocolError("KEY_INVALID", "a key of another length, or two sites with one key")


def checked_holders(
    terms: Terms,
    target: pb.Target,
    *,
    own_id: str,
    own_key: bytes,
    pinned: Mapping[str, bytes],
    graph: MaskGraph | None = None,
) -> Holders:
    """The holders that a new bundle is asked for.

    Args:
        terms: of the run.
        target: what the coordinator asks.
        own_id: this site.
        own_key: its public transport key.
        pinned: transport keys that were seen before.
        graph: of the run, where it is sparse: the holders are then the site's neighbours.

    Raises:
        ProtocolError: ``COHORT_MALFORMED``, ``UNKNOWN_SITE``, ``COHORT_TOO_SMALL``, ``GRAPH_MISMATCH``,
            ``THRESHOLD_UNUSABLE``, ``THRESHOLD_MISMATCH``, ``HOLDERS_MISMATCH``, ``KEY_INVALID``, ``BAD_SIGNATURE``.
    """
    site_ids = [holder.site_id for holder in target.holders]
    _check_ids(terms, site_ids, own_id)
    if graph is None:
        terms.floors.check_cohort(len(site_ids), len(site_ids))
        if target.threshold != shamir_threshold(len(site_ids)):
            raise ProtocolError("THRESHOLD_MISMATCH", f"{target.threshold} of {len(site_ids)} shares")
    else:
        _check_neighbourhood(graph, target, own_id)
    keys = {holder.site_id: holder.transport_key for holder in target.holders}
    if keys[own_id] != own_key or any(pinned.get(site_id, key) != key for site_id, key in keys.items()):
        raise ProtocolError("HOLDERS_MISMATCH", "a transport key is not the one that its site accepted the plan with")
    _check_keys(list(keys.values()))
    for holder in target.holders:
        if pinned.get(holder.site_id) != holder.transport_key:
            check_transport_key(terms, holder.site_id, holder.transport_key, holder.signature)
    if graph is None:
        return Holders(threshold=target.threshold, transport_keys=keys)
    del keys[own_id]
    return Holders(threshold=target.threshold, transport_keys=keys, common_hash=graph.holders_hash)


def _check_neighbourhood(graph: MaskGraph, target: pb.Target, own_id: str) -> None:
    if target.threshold != graph.threshold:
        raise ProtocolError("GRAPH_MISMATCH", f"{target.threshold} shares, in the graph it is {graph.threshold}")
    if tuple(holder.site_id for holder in target.holders) != graph.around(own_id, graph.ring):
        raise ProtocolError("GRAPH_MISMATCH", "the holders are not this site's neighbours")


def check_transport_key(terms: Terms, site_id: str, key: bytes, signature: bytes) -> None:
    """Refuse a transport key that is not signed by its site.

    Raises:
        ProtocolError: ``BAD_SIGNATURE``.
    """
    statement = transport_statement(
        run_id=terms.run_id,
        roster_hash=terms.roster.hash,
        plan_digest=terms.plan_digest,
        site_id=site_id,
        transport_key=key,
    )
    if not holds(terms.roster.members[site_id], signature, "TRANSPORT", statement):
        raise ProtocolError("BAD_SIGNATURE", "a transport key is not signed by its site")


def checked_cohort(
    terms: Terms, at: RoundPosition, body: CohortMessage, *, own: OwnBundle, graph: MaskGraph | None = None
) -> tuple[CohortFacts, dict[str, Bundle]]:
    """The cohort that a ``Train`` or a ``Mask`` names, with its bundles; on a sparse graph, those of neighbours.

    Raises:
        ProtocolError: see the codes in the body, in their order.
    """
    own_id, site_ids, holders = own.bundle.site_id, list(body.cohort), own.holders
    _check_ids(terms, site_ids, own_id)
    if not set(site_ids) <= set(holders.transport_keys if graph is None else graph.ring):
        raise ProtocolError("COHORT_MALFORMED", "a site that no shares were dealt to")
    demands.check_size(terms, graph, num_cohort=len(site_ids), num_holders=len(holders.transport_keys))
    near = tuple(site_ids) if graph is None else graph.around(own_id, site_ids)
    num_packets = 0 if terms.profile is Profile.STRICT else len(near)
    if len(body.bundles) != len(near) or len(packets_of(body)) != num_packets:
        raise ProtocolError("BAD_ENCODING", "not one bundle and one packet for each site")
    if (body.graph_hash or ZERO_HASH) != demands.graph_hash(graph):
        raise ProtocolError("GRAPH_MISMATCH", "not the mask graph of the run")
    bundles = {site: Bundle.from_wire(site, wire) for site, wire in zip(near, body.bundles, strict=True)}
    if bundles[own_id] != own.bundle:
        raise ProtocolError("OWN_BUNDLE_ALTERED", "this site's bundle is not the one it made")
    check_bundles(terms, at, bundles, holders_hash=own.bundle.holders_hash, verified=own_id)
    demands.check_numbers(
        terms,
        graph,
        site_ids,
        num_holders=len(holders.transport_keys),
        min_survivors=body.min_survivors,
        stated_colluders=body.assumed_colluders,
    )
    terms.check_ring(at, body)
    facts = terms.facts(
        at,
        body,
        holders_hash=own.bundle.holders_hash,
        bundles=bundles,
        digests=_digests_of_others(body, bundles),
    )
    return facts, bundles


def _digests_of_others(body: CohortMessage, bundles: Mapping[str, Bundle]) -> dict[str, bytes]:
    """Of the bundles that are not told, by site: all of the cohort are in its digest."""
    others = [site_id for site_id in body.cohort if site_id not in bundles]
    digests = body.bundle_digests if isinstance(body, pb.Train) else ()
    if len(digests) != len(others):
        raise ProtocolError("BAD_ENCODING", "not one digest for each bundle that is not told")
    return dict(zip(others, digests, strict=True))


def check_bundles(
    terms: Terms, at: RoundPosition, bundles: Mapping[str, Bundle], *, holders_hash: bytes, verified: str = ""
) -> None:
    """Refuse bundles that are not for this position and these holders, or not their sites'.

    Args:
        terms: of the run.
        at: round and attempt.
        bundles: by site id.
        holders_hash: that all must name.
        verified: a site whose signature needs no check.

    Raises:
        ProtocolError: ``PREKEY_STALE``, ``ROSTER_MISMATCH``, ``HOLDERS_MISMATCH``, ``KEY_INVALID`` or
            ``BAD_SIGNATURE``.
    """
    roster_hash = terms.roster.hash
    for bundle in bundles.values():
        if (bundle.run_id, bundle.round_number, bundle.attempt) != (terms.run_id, *at):
            raise ProtocolError("PREKEY_STALE", "a bundle of another run, round or attempt")
        if bundle.roster_hash != roster_hash:
            raise ProtocolError("ROSTER_MISMATCH", "a bundle under another roster")
        if bundle.holders_hash != holders_hash:
            raise ProtocolError("HOLDERS_MISMATCH", "a bundle for other holders")
    _check_keys([bundle.mask_key for bundle in bundles.values()])
    for site_id, bundle in bundles.items():
        if site_id != verified and not bundle.is_signed_by(terms.roster.members[site_id]):
            raise ProtocolError("BAD_SIGNATURE", "a bundle is not signed by its site")


def checked_survivors(
    terms: Terms,
    facts: CohortFacts,
    digest: bytes,
    message: Sequence[pb.Survivor],
    *,
    own_id: str,
    own_hash: bytes,
    graph: MaskGraph | None = None,
) -> tuple[Survivor, ...]:
    """The survivors that a ``Confirm`` or ``Unmask`` names, each proven by its own signature.

    On a sparse graph only this site's neighbours are proven to it: the others are to theirs, who else give nothing.

    Raises:
        ProtocolError: ``SURVIVORS_INVALID``, ``SURVIVORS_TOO_FEW``, ``SELF_NOT_IN_SURVIVORS``, ``SURVIVOR_UNPROVEN``.
    """
    named = tuple(
        Survivor(site_id=entry.site_id, vector_hash=entry.vector_hash, proof=entry.proof) for entry in message
    )
    site_ids = [survivor.site_id for survivor in named]
    if not is_ordered(site_ids) or not set(site_ids) <= set(facts.bundles):
        raise ProtocolError("SURVIVORS_INVALID", "survivors unsorted, repeated or outside the cohort")
    if len(site_ids) < facts.min_survivors:
        raise ProtocolError("SURVIVORS_TOO_FEW", f"{len(site_ids)} survivors, agreed: {facts.min_survivors}")
    if own_id not in site_ids:
        raise ProtocolError("SELF_NOT_IN_SURVIVORS", "this site's own vector is left out")
    if graph is not None:
        _check_graph_of(graph, own_id, site_ids)
    for survivor in named:
        if survivor.site_id == own_id:
            if survivor.vector_hash != own_hash:
                raise ProtocolError("SURVIVOR_UNPROVEN", "a vector that this site did not send")
            continue
        if graph is not None and not graph.are_neighbours(own_id, survivor.site_id):
            continue
        statement = vector_statement(digest, survivor.site_id, survivor.vector_hash)
        if not holds(terms.roster.members[survivor.site_id], survivor.proof, "VECTOR", statement):
            raise ProtocolError("SURVIVOR_UNPROVEN", "a survivor that did not sign a vector for this cohort")
    return named


def _check_graph_of(graph: MaskGraph, own_id: str, survivors: Sequence[str]) -> None:
    if not own_neighbours_suffice(graph, own_id, set(survivors)):
        raise ProtocolError("SURVIVORS_TOO_FEW", "too few of this site's neighbours survive")
    if not graph.holds_together(survivors):
        raise ProtocolError("SURVIVORS_TOO_FEW", "the honest survivors may fall into parts that share no masks")


def check_confirmations(
    terms: Terms,
    digest: bytes,
    survivors: Sequence[Survivor],
    confirmations: Sequence[pb.Confirmation],
    *,
    threshold: int,
    own_id: str = "",
    graph: MaskGraph | None = None,
) -> None:
    """Refuse an ``Unmask`` whose survivors fewer than ``threshold`` of them have confirmed: on a graph, of neighbours.

    Raises:
        ProtocolError: ``CONFIRM_QUORUM``.
    """
    site_ids = [confirmation.site_id for confirmation in confirmations]
    known = {survivor.site_id for survivor in survivors}
    if graph is not None:
        known &= set(graph.neighbours(own_id))
    if not is_ordered(site_ids) or not set(site_ids) <= known or len(site_ids) < threshold:
        raise ProtocolError("CONFIRM_QUORUM", f"{len(site_ids)} confirmations, {threshold} are needed")
    statement = confirm_statement(digest, survivors_hash(survivors))
    for confirmation in confirmations:
        if not holds(terms.roster.members[confirmation.site_id], confirmation.signature, "CONFIRM", statement):
            raise ProtocolError("CONFIRM_QUORUM", "a confirmation of other survivors")


__all__ = [
    "check_bundles",
    "check_confirmations",
    "check_transport_key",
    "checked_cohort",
    "checked_holders",
    "checked_survivors",
]
