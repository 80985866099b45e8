"""The seed of a run's mask graph, which no one chooses: every site commits to 32 bytes before any site shows its own.

A site's contribution follows from its transport key, so it needs no place of its own on disk. It signs the commitment
with its acceptance of the plan, and shows the contribution for one list of commitments only, ever. The list is fixed
then, so whoever wrote it could not know this contribution, and the seed is as random as it.

Not all may be shown: a site may be lost, or withhold. What is missing is left out, with its site, up to
``graph_parameters.max_withheld``: as many graphs as there are such choices are reckoned with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import statements
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_floors import parameters_for
from fedward.common.secagg.graph_parameters import max_withheld
from fedward.common.secagg.keys import AgreementKey, derive
from fedward.common.secagg.statements import in_order, is_ordered
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.transcript import Field, digest, transcript

CONTRIBUTION_BYTES = 32


@dataclass(frozen=True, slots=True)
class Commitment:
    """As a site's ``PlanAccept`` states it."""

    value: bytes
    signature: bytes


def contribution(transport: AgreementKey, *, run_id: bytes, site_id: str) -> bytes:
    """A site's 32 bytes: ``HKDF`` of its secret transport key, so the same after a restart."""
    return derive(transport.secret, salt=run_id, info=transcript("fedward/secagg/v1/graph-contribution", site_id))


def commitment_to(shown: bytes, *, run_id: bytes, site_id: str) -> bytes:
    """``H(graph-commit, run id, id, contribution)``."""
    return digest("fedward/secagg/v1/graph-commit", run_id, site_id, shown)


def commitment_statement(terms: Terms, site_id: str, commitment: bytes) -> bytes:
    """That ``site_id`` commits to its part in the graph of this run."""
    return digest(
        "fedward/secagg/v1/graph-member", terms.run_id, terms.roster.hash, terms.plan_digest, site_id, commitment
    )


def list_hash(run_id: bytes, commitments: Mapping[str, bytes]) -> bytes:
    """``H(graph-list, run id, id, commitment, …)``, by id."""
    fields: list[Field] = [run_id]
    for site_id in in_order(commitments):
        fields += [site_id, commitments[site_id]]
    return digest("fedward/secagg/v1/graph-list", *fields)


def seed_of(run_id: bytes, shown: Mapping[str, bytes]) -> bytes:
    """``H(graph-seed, run id, id, contribution, …)``, by id."""
    fields: list[Field] = [run_id]
    for site_id in in_order(shown):
        fields += [site_id, shown[site_id]]
    return digest("fedward/secagg/v1/graph-seed", *fields)


def checked_members(terms: Terms, members: Sequence[pb.GraphMember], *, own_id: str, own: bytes) -> dict[str, bytes]:
    """The commitments of a list, by site; all signed, this site's own among them.

    Raises:
        ProtocolError: ``COHORT_MALFORMED``, ``UNKNOWN_SITE``, ``COHORT_TOO_SMALL``, ``GRAPH_MISMATCH``,
            ``BAD_SIGNATURE``.
    """
    site_ids = [member.site_id for member in members]
    if not is_ordered(site_ids):
        raise ProtocolError("COHORT_MALFORMED", "sites unsorted or repeated")
    if not set(site_ids) <= set(terms.roster.members):
        raise ProtocolError("UNKNOWN_SITE", "a site that is not in the roster")
    if len(site_ids) < terms.floors.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", f"a run of {len(site_ids)}")
    found = {member.site_id: member.commitment for member in members}
    if found.get(own_id) != own:
        raise ProtocolError("GRAPH_MISMATCH", "this site's commitment is missing, or another")
    parameters_for(terms.floors, num_committed=len(found), num_sites=len(found))
    for member in members:
        if member.site_id != own_id:
            check_commitment(terms, member.site_id, Commitment(member.commitment, member.signature))
    return found


def check_commitment(terms: Terms, site_id: str, stated: Commitment) -> None:
    """Refuse a commitment that its site did not sign.

    Raises:
        ProtocolError: ``BAD_SIGNATURE``.
    """
    statement = commitment_statement(terms, site_id, stated.value)
    if not statements.holds(terms.roster.members[site_id], stated.signature, "GRAPH", statement):
        raise ProtocolError("BAD_SIGNATURE", "a part in the mask graph is not signed by its site")


def checked_graph(
    terms: Terms, reveals: Sequence[pb.GraphReveal], *, pinned: bytes, own_id: str, own: bytes
) -> MaskGraph:
    """The graph that these contributions give.

    Args:
        terms: of the run.
        reveals: by id; each a contribution, or the commitment of a site that did not show its own.
        pinned: hash of the list of commitments for which this site showed its contribution.
        own_id: this site.
        own: its contribution.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``: this site's contribution is missing, one does not match its commitment, or
            too many are missing. ``HONEST_FLOOR``: the site reckons with more colluders than the graph does.
    """
    if not is_ordered(reveal.site_id for reveal in reveals):
        raise ProtocolError("GRAPH_MISMATCH", "contributions unsorted or repeated")
    shown = {reveal.site_id: reveal.shown for reveal in reveals if reveal.shown}
    if shown.get(own_id) != own:
        raise ProtocolError("GRAPH_MISMATCH", "this site's contribution to the mask graph is missing, or another")
    commitments = {
        reveal.site_id: commitment_to(reveal.shown, run_id=terms.run_id, site_id=reveal.site_id)
        if reveal.shown
        else reveal.commitment
        for reveal in reveals
    }
    if not pinned or list_hash(terms.run_id, commitments) != pinned:
        raise ProtocolError("GRAPH_MISMATCH", "a contribution to the mask graph does not match its commitment")
    graph = graph_of(terms, shown, num_committed=len(commitments))
    if terms.floors.colluders(len(commitments)) > graph.assumed_colluders:
        raise ProtocolError("HONEST_FLOOR", "the mask graph reckons with fewer colluders than this site does")
    return graph


def graph_of(terms: Terms, shown: Mapping[str, bytes], *, num_committed: int) -> MaskGraph:
    """The graph of the sites that showed their contribution.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``: too many did not. ``THRESHOLD_UNUSABLE``: no graph protects the others.
    """
    colluders = terms.floors.agreed_colluders(num_committed)
    if num_committed - len(shown) > max_withheld(num_committed, colluders):
        raise ProtocolError(
            "GRAPH_MISMATCH",
            f"{num_committed - len(shown)} of {num_committed} sites did not show their part in the mask graph",
            hint="Begin the run anew, without the sites that were lost.",
        )
    parameters = parameters_for(terms.floors, num_committed=num_committed, num_sites=len(shown))
    return MaskGraph.drawn(seed_of(terms.run_id, shown), tuple(shown), parameters, assumed_colluders=colluders)


def reveals_of(shown: Mapping[str, bytes], commitments: Mapping[str, bytes]) -> Iterable[pb.GraphReveal]:
    """As they travel beside a ``Prekey``: of all that committed."""
    for site_id in in_order(commitments):
        if site_id in shown:
            yield pb.GraphReveal(site_id=site_id, shown=shown[site_id])
        else:
            yield pb.GraphReveal(site_id=site_id, commitment=commitments[site_id])


__all__ = [
    "check_commitment",
    "checked_graph",
    "checked_members",
    "Commitment",
    "commitment_statement",
    "commitment_to",
    "contribution",
    "CONTRIBUTION_BYTES",
    "graph_of",
    "list_hash",
    "reveals_of",
    "seed_of",
]
