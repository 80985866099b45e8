"""What a site demands of a cohort on a sparse mask graph.

The floors of ``floors`` hold where everybody shares with everybody. Here shares are of a neighbourhood, and what
protects is the graph: chosen by no one, with a degree and threshold that fail once in 2^40 (``graph_parameters``).
A sum lacks at most a tenth of the sites of the run, the absent among them, so it holds n − n/10 − n_C honest ones as
long as all sites are told the same survivors. h_min, which counts what a server can open that tells them different
ones, does not hold here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.secagg.floors import MAX_SITES, Floors
from fedward.common.secagg.graph_parameters import MAX_GRAPH_SITES, GraphParameters, dropouts_of, find_parameters
from fedward.common.secagg.thresholds import MIN_HONEST, Profile

if TYPE_CHECKING:  # plans are judged before identities, on which a graph depends, can be imported
    from fedward.common.secagg.graph import MaskGraph


def parameters_for(floors: Floors, *, num_committed: int, num_sites: int) -> GraphParameters:
    """Degree and threshold for a run.

    Args:
        floors: the plan's.
        num_committed: sites that committed; colluders are counted among them.
        num_sites: of them, those that showed their contribution.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``: too many sites. ``THRESHOLD_UNUSABLE``: no graph protects them.
    """
    if num_committed > MAX_GRAPH_SITES:
        raise ProtocolError("GRAPH_MISMATCH", f"more than {MAX_GRAPH_SITES} sites")
    colluders = floors.agreed_colluders(num_committed)
    try:
        return find_parameters(num_sites, colluders=colluders, dropouts=dropouts_of(num_sites), extra_bits=colluders)
    except ConfigError as error:
        raise ProtocolError("THRESHOLD_UNUSABLE", error.message, hint=error.advice) from error


def least_survivors(num_sites: int) -> int:
    """u_min of a run of so many sites."""
    return num_sites - dropouts_of(num_sites)


def check_profile(floors: Floors) -> None:
    """Refuse a profile that has no sparse graph.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``.
    """
    if floors.profile is Profile.STRICT:
        raise ProtocolError(
            "GRAPH_MISMATCH",
            f"more than {MAX_SITES} sites need a sparse mask graph, which the profile strict has not",
            hint="Take the profile resilient or resilient-malicious.",
        )


def check_cohort(floors: Floors, graph: MaskGraph, num_cohort: int) -> None:
    """Refuse a cohort by its size alone.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH`` or ``COHORT_TOO_SMALL``.
    """
    check_profile(floors)
    least = max(floors.min_cohort, least_survivors(len(graph.ring)))
    if num_cohort < least:
        raise ProtocolError("COHORT_TOO_SMALL", f"a cohort of {num_cohort} of {len(graph.ring)} sites")


def check_floor(
    floors: Floors, graph: MaskGraph, *, num_cohort: int, min_survivors: int, stated_colluders: int, required: int = 0
) -> None:
    """Refuse numbers that would let a sum of too few honest sites be opened. See ``Floors.check_floor``.

    Raises:
        ProtocolError: ``HONEST_FLOOR``.
    """
    if stated_colluders != graph.assumed_colluders:
        raise ProtocolError("HONEST_FLOOR", f"{stated_colluders} colluders stated, the graph reckons with others")
    if not max(required, least_survivors(len(graph.ring))) <= min_survivors <= num_cohort:
        raise ProtocolError("HONEST_FLOOR", f"{min_survivors} survivors of {num_cohort} would do")
    honest = min_survivors - stated_colluders
    if honest < max(MIN_HONEST, floors.min_honest):
        raise ProtocolError("HONEST_FLOOR", f"{honest} honest sites in a sum, {floors.min_honest} wanted")


def check_run(floors: Floors, num_sites: int, *, agreed: Floors | None = None, required: int = 0) -> GraphParameters:
    """Refuse a run of so many sites, before there is a graph; give the parameters that it would have.

    Args:
        floors: the plan's, or a site's own.
        num_sites: that would take part, all of them.
        agreed: the plan's, where ``floors`` are a site's.
        required: survivors that the plan asks for besides.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``, ``THRESHOLD_UNUSABLE``, ``COHORT_TOO_SMALL`` or ``HONEST_FLOOR``.
    """
    check_profile(floors)
    parameters = parameters_for(agreed or floors, num_committed=num_sites, num_sites=num_sites)
    colluders = (agreed or floors).agreed_colluders(num_sites)
    if num_sites < floors.min_cohort:
        raise ProtocolError("COHORT_TOO_SMALL", f"a run of {num_sites}")
    if floors.colluders(num_sites) > colluders:
        raise ProtocolError("HONEST_FLOOR", f"{colluders} colluders stated, {floors.colluders(num_sites)} assumed here")
    survivors = max(required, least_survivors(num_sites))
    honest = survivors - colluders
    if not (survivors <= num_sites and honest >= max(MIN_HONEST, floors.min_honest)):
        raise ProtocolError("HONEST_FLOOR", f"{survivors} survivors of {num_sites}, {honest} of them honest")
    return parameters


__all__ = ["check_cohort", "check_floor", "check_profile", "check_run", "least_survivors", "parameters_for"]
