"""What a report says of how the updates were added up: the profile, its promise, who was left out, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from fedward.common.agreement import required_survivors
from fedward.common.config import RunPlan
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import MAX_SITES, Floors, honest_sites
from fedward.common.secagg.graph_parameters import SECURITY_BITS
from fedward.server.rounds import RoundRecord, RunResult
from fedward.simulations import auxiliary_report

_NOT_COVERED = (
    "the sum itself, and the differences between sums of rounds with other survivors: only the privacy noise covers "
    "what they show; who takes part and when; false values from a member; a false sum that the coordinator publishes "
    "to all sites alike and that is no longer than an honest one may be"
)

_NOT_COVERED_ON_A_GRAPH = (
    "a mask graph that does not protect, which comes up once in 2^40 draws, one for each run that is begun "
    "anew; smaller sums, if the coordinator tells different sites different survivors under the profile resilient"
)


def warning(plan: RunPlan) -> list[str]:
    """For a run in which the coordinator could read every update."""
    if plan.secagg.is_masked:
        return []
    return [
        "secure aggregation: none. The profile plain_ring adds in the ring without masks: the coordinator could read "
        "every update."
    ]


def figures(plan: RunPlan, result: RunResult) -> dict[str, Any]:
    """Under ``secure_aggregation`` in the report."""
    found: dict[str, Any] = {
        "profile": plan.secagg.profile,
        "masked": plan.secagg.is_masked,
        "trips": [record.trips for record in result.rounds],
        "bytes_to_site": sum(record.bytes_to_site for record in result.rounds),
        "bytes_from_site": sum(record.bytes_from_site for record in result.rounds),
        "left_out": left_out(result.rounds),
        "void_attempts": sum(record.attempt for record in result.rounds),
        "faults": [fault for record in result.rounds for fault in record.faults],
        **auxiliary_report.figures(plan, result.rounds),
    }
    return found | (_promise(plan, result) if plan.secagg.is_masked else {})


def _promise(plan: RunPlan, result: RunResult) -> dict[str, Any]:
    """For a cohort of all sites that took part."""
    sites = [site.id for site in plan.sites if site.id not in result.refusals]
    floors, count = replace(plan.secagg.floors(), num_sites=len(plan.sites)), len(sites)
    if len(plan.sites) > MAX_SITES:
        return _sparse_promise(plan, floors, sites, result)
    survivors = max(floors.min_survivors(count, count), required_survivors(plan, sites))
    colluders = floors.colluders(count)
    honest = honest_sites(
        floors.profile, num_cohort=count, num_holders=count, min_survivors=survivors, colluders=colluders
    )
    return {
        "min_survivors": survivors,
        "assumed_colluders": colluders,
        "honest_sites_in_any_sum": honest,
        "sites_with_another_model": dict(result.apart),
        "not_covered": _NOT_COVERED,
    }


def _sparse_promise(plan: RunPlan, floors: Floors, sites: Sequence[str], result: RunResult) -> dict[str, Any]:
    """The same where masks are shared among neighbours: as long as all sites are told the same survivors."""
    count = len(sites)
    found = graph_floors.parameters_for(floors, num_committed=count, num_sites=count)
    survivors = max(graph_floors.least_survivors(count), required_survivors(plan, sites))
    colluders = floors.agreed_colluders(count)
    return {
        "min_survivors": survivors,
        "assumed_colluders": colluders,
        "honest_sites_in_any_sum": survivors - colluders,
        "sites_with_another_model": dict(result.apart),
        "mask_graph": {
            "neighbours": found.degree,
            "sites": count,
            "threshold": found.threshold,
            "security_bits": SECURITY_BITS,
        },
        "not_covered": f"{_NOT_COVERED}; {_NOT_COVERED_ON_A_GRAPH}",
    }


def left_out(rounds: Sequence[RoundRecord]) -> dict[str, dict[str, str]]:
    """Round to the sites that are not in its sum, and why."""
    return {str(record.round_number): dict(record.dropped) for record in rounds if record.dropped}


def lines(plan: RunPlan, result: RunResult) -> str:
    """For the summary on the terminal."""
    found = figures(plan, result)
    trips = median(found["trips"]) if found["trips"] else 0
    text = f"Secure aggregation: {found['profile']}, {trips:g} trip{'' if trips == 1 else 's'} a round"
    if found["masked"]:
        text += (
            f"; a sum opens with {found['min_survivors']} updates or more, {found['honest_sites_in_any_sum']} of them "
            f"of honest sites if {found['assumed_colluders']} collude"
        )
    if "mask_graph" in found:
        text += f"; masks with {found['mask_graph']['neighbours']} of {found['mask_graph']['sites']} sites"
    for number, sites in found["left_out"].items():
        named = ", ".join(f"{site} ({code})" for site, code in sorted(sites.items()))
        text += f"\nRound {number} without {named}"
    for site, code in sorted(result.apart.items()):
        text += f"\nBy its own reckoning {site} holds another final model ({code})"
    return text + "\n" + auxiliary_report.lines(plan, result.rounds)


__all__ = ["figures", "left_out", "lines", "warning"]
