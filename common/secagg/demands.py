"""The numbers that a cohort must have, on either graph: of ``floors`` where all share with all, else ``graph_floors``.

One place for the site that refuses and for the coordinator that does not ask for what would be refused.
"""

from __future__ import annotations

from collections.abc import Collection

from fedward.common.secagg import graph_floors
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.transcript import ZERO_HASH


def check_size(terms: Terms, graph: MaskGraph | None, *, num_cohort: int, num_holders: int) -> None:
    """Refuse a cohort by its size alone; see ``Floors.check_cohort`` and ``graph_floors.check_cohort``.

    Raises:
        ProtocolError: their codes.
    """
    if graph is None:
        terms.floors.check_cohort(num_cohort, num_holders)
    else:
        graph_floors.check_cohort(terms.floors, graph, num_cohort)


def check_numbers(
    terms: Terms,
    graph: MaskGraph | None,
    cohort: Collection[str],
    *,
    num_holders: int,
    min_survivors: int,
    stated_colluders: int,
) -> None:
    """Refuse numbers that would let a sum of too few honest sites be opened.

    Raises:
        ProtocolError: the codes of ``Floors.check_floor`` and ``graph_floors.check_floor``.
    """
    required = terms.required_survivors(cohort)
    if graph is None:
        terms.floors.check_floor(
            num_cohort=len(cohort),
            num_holders=num_holders,
            min_survivors=min_survivors,
            stated_colluders=stated_colluders,
            required=required,
        )
        return
    graph_floors.check_floor(
        terms.floors,
        graph,
        num_cohort=len(cohort),
        min_survivors=min_survivors,
        stated_colluders=stated_colluders,
        required=required,
    )


def least_survivors(terms: Terms, graph: MaskGraph | None, cohort: Collection[str], num_holders: int) -> int:
    """The least u_min that sites accept."""
    if graph is None:
        least = terms.floors.min_survivors(len(cohort), num_holders)
    else:
        least = graph_floors.least_survivors(len(graph.ring))
    return max(terms.required_survivors(cohort), least)


def colluders(terms: Terms, graph: MaskGraph | None, cohort: Collection[str]) -> int:
    """The n_C that sites accept."""
    return terms.floors.colluders(len(cohort)) if graph is None else graph.assumed_colluders


def graph_hash(graph: MaskGraph | None) -> bytes:
    """What a cohort is told: 32 zero bytes where everybody shares a mask with everybody."""
    return ZERO_HASH if graph is None else graph.hash


__all__ = ["check_numbers", "check_size", "colluders", "graph_hash", "least_survivors"]
