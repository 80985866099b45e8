"""What a report says of the noise of mode ``distributed``: how it was cut, and what its epsilon rests on."""

from __future__ import annotations

from typing import Any

from fedward.common.config import RunPlan
from fedward.common.distributed_terms import GUARANTEE, agreed_colluders, cohort_mechanism, is_distributed
from fedward.server.rounds import RunResult


def figures(plan: RunPlan, result: RunResult) -> dict[str, Any]:
    """Under ``distributed_noise`` in the report's ``privacy``; empty in other modes. One entry a size of cohort."""
    if not is_distributed(plan):
        return {}
    alternates = plan.lora.aggregation == "alternate"
    shapes = dict.fromkeys(
        (len(record.cohort), 2 - record.round_number % 2 if alternates else 1) for record in result.rounds
    )
    return {
        "distributed_noise": {
            "guarantee": GUARANTEE,
            "max_sites_per_unit": plan.privacy.max_sites_per_unit,
            "cohorts": [_cohort(plan, *shape) for shape in shapes],
        }
    }


def _cohort(plan: RunPlan, num_sites: int, round_number: int) -> dict[str, Any]:
    made = cohort_mechanism(plan, round_number, num_sites)
    return {
        "sites": num_sites,
        "assumed_colluders": agreed_colluders(plan, num_sites),
        "honest_shares": made.num_honest,
        "noise_multiplier_effective": made.effective_noise_multiplier,
        "sigma_steps_of_a_site": made.sigma_steps,
        "steps_per_clip_norm": 2**made.scale_log2,
        "over_noise": num_sites / made.num_honest,
    }


def line(plan: RunPlan, result: RunResult) -> str:
    """For the summary on the terminal; empty in other modes."""
    found = figures(plan, result).get("distributed_noise", {}).get("cohorts", [])
    if not found:
        return ""
    last = found[-1]
    return (
        f"Noise in shares: {last['honest_shares']} of {last['sites']} sites are counted on, "
        f"{last['assumed_colluders']} may collude; epsilon holds for the sum alone\n"
    )


def warnings(plan: RunPlan) -> list[str]:
    """What a reader must not overlook."""
    if not is_distributed(plan):
        return []
    found = [f"privacy.mode distributed: {GUARANTEE}."]
    if not plan.secagg.is_masked:
        found.append("privacy.mode distributed without masks: the coordinator could read vectors that are not private.")
    if not agreed_colluders(plan, len(plan.sites)):
        found.append(
            "privacy.mode distributed with secagg.assumed_colluders 0: no epsilon holds against the sites themselves. "
            "Each is told the sums and can take its own share of the noise off. Set secagg.assumed_colluders to 1 or "
            "more."
        )
    return found


__all__ = ["figures", "line", "warnings"]
