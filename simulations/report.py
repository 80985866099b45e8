"""``report.json`` (schema ``fedward.report/1``) and the summary on the terminal."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedward import __version__
from fedward.common.agreement import site_rank
from fedward.common.config import PrivacyUnit, RunPlan, digest_of
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import sent_layout, trained_layout
from fedward.common.privacy import accounting
from fedward.server.rounds import RunResult
from fedward.simulations import at_rest_report, noise_report, scrub_report, secagg_report
from fedward.simulations.job import SimulationJob
from fedward.simulations.keeper import AtRest
from fedward.simulations.measure import Sample, Utility
from fedward.simulations.privacy_report import (
    credible,
    patient_warnings,
    plan_warnings,
    run_figures,
    sharing_warnings,
    site_figures,
    stated,
)
from fedward.simulations.sites import SiteData

SCHEMA = "fedward.report/1"
_VERSIONS = (
    "torch",
    "transformers",
    "peft",
    "opacus",
    "flwr",
    "dp-accounting",
    "cryptography",
    "numpy",
    "tokenizers",
    "safetensors",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """All that a simulation found out."""

    job: SimulationJob
    runtime: str
    result: RunResult
    sites: Sequence[SiteData]
    before: Utility
    after: Utility
    samples: Sequence[Sample] = field(default=(), repr=False)
    shared_patients: int = 0
    """Patient ids that occur at several sites."""
    most_sites: int = 1
    """At how many sites one patient id occurs, at most."""
    seconds: Mapping[str, float]
    """Stage to seconds; ``total`` among them."""
    at_rest: AtRest = field(default_factory=AtRest, repr=False)
    """What the parties kept, and what was shredded."""

    statements: Mapping[str, bytes] = field(init=False, repr=False)
    """What sites say they were charged, where it can be true."""

    def __post_init__(self) -> None:
        cohorts = [record.survivors for record in self.result.rounds]
        object.__setattr__(self, "statements", credible(self.job.plan, self.result.events, cohorts))


def report(outcome: Outcome) -> dict[str, Any]:
    """The whole report as plain values."""
    plan = outcome.job.plan
    return {
        "schema": SCHEMA,
        "fedward": __version__,
        "name": plan.name,
        "headline": headline(outcome),
        "warnings": warnings(outcome),
        "privacy": _privacy(outcome, plan),
        "sites": [_site(outcome, plan, data) for data in outcome.sites],
        "desensitisation": scrub_report.figures(plan, outcome.sites),
        "secure_aggregation": secagg_report.figures(plan, outcome.result),
        "not_taking_part": dict(outcome.result.refusals),
        "rounds": [asdict(record) for record in outcome.result.rounds],
        "ended_early": outcome.result.ended_early or None,
        "at_rest": at_rest_report.figures(outcome.at_rest),
        "adapter": _adapter(outcome, plan),
        "run_id": outcome.job.run_id_hex,
        "runtime": outcome.runtime,
        "seeds": {"plan": plan.seed, "noise": "plan" if outcome.job.is_repeatable else "operating system"},
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "versions": _versions(),
        "plan_digest": digest_of(outcome.job.plan_bytes).hex(),
        "plan": json.loads(outcome.job.plan_json),
    }


def statement(outcome: Outcome, site_id: str) -> dict[str, Any]:
    """What one site was charged: for its own vault."""
    figures = site_figures(outcome.job.plan, outcome.statements.get(site_id))
    return {"schema": "fedward.charges/1", "run_id": outcome.job.run_id_hex, "site": site_id, **figures}


def headline(outcome: Outcome) -> dict[str, Any]:
    """The figures that everybody asks for first."""
    plan = outcome.job.plan
    return {
        "rounds": len(outcome.result.rounds),
        "sites": len(outcome.sites) - len(outcome.result.refusals),
        **run_figures(plan, outcome.statements, releases=_releases(outcome)),
        "delta": plan.privacy.delta if plan.is_private else None,
        "noise": _noise(outcome),
        "ppl_base": outcome.before.perplexity,
        "ppl_final": outcome.after.perplexity,
        "seconds": round(outcome.seconds["total"], 3),
    }


def warnings(outcome: Outcome) -> list[str]:
    """What a reader must not overlook."""
    plan = outcome.job.plan
    found = [
        *secagg_report.warning(plan),
        *scrub_report.warnings([data for data in outcome.sites if data.site_id not in outcome.result.refusals]),
    ]
    found += _of_the_run(outcome)
    found += plan_warnings(plan)
    if not plan.is_private:
        return found
    found += noise_report.warnings(plan)
    if outcome.job.seeded_noise:
        found.append("noise: drawn from the plan's seed. Whoever knows the seed can take it off: no privacy.")
    left_out = sum(data.records_left_out for data in outcome.sites)
    found += patient_warnings(plan, outcome.statements, records_left_out=left_out)
    found += sharing_warnings(plan, shared_patients=outcome.shared_patients, most_sites=outcome.most_sites)
    taking_part = [data.site_id for data in outcome.sites if data.site_id not in outcome.result.refusals]
    silent = [site for site in taking_part if stated(plan, outcome.statements.get(site)) is None]
    return found + [
        f"site {site} gave no credible statement of what it was charged: no printed epsilon covers it."
        for site in silent
    ]


def _of_the_run(outcome: Outcome) -> list[str]:
    found = []
    if outcome.result.ended_early:
        found.append(f"the run ended early: {outcome.result.ended_early}")
    if any(record.clamped_share > 0 for record in outcome.result.rounds):
        found.append("updates reach the ring's clamp: lower training.learning_rate.")
    before, after = outcome.before.perplexity, outcome.after.perplexity
    if before is not None and after is not None and after > before:
        noisy = ", or the noise outweighs so few patients: more patients, fewer steps or a larger epsilon help"
        private = outcome.job.plan.is_private
        found.append(f"perplexity rose: training.learning_rate is too high{noisy if private else ''}.")
    return found


def _releases(outcome: Outcome) -> int:
    """Attempts at sums, void ones included; of a round that was given up, all that the plan allows."""
    given_up = outcome.job.plan.secagg.max_attempts if outcome.result.ended_early else 0
    return sum(record.attempt + 1 for record in outcome.result.rounds) + given_up


def _noise(outcome: Outcome) -> str:
    if not outcome.job.plan.is_private:
        return "none"
    return "seed of the plan: no privacy" if outcome.job.seeded_noise else "operating system"


def _privacy(outcome: Outcome, plan: RunPlan) -> dict[str, Any]:
    if not plan.is_private:
        return {"mode": plan.privacy.mode.value}
    unit = plan.privacy.unit
    return {
        "mode": plan.privacy.mode.value,
        "unit": unit.value,
        "neighbours": f"add or remove one {unit.value} with all that belongs to it",
        "max_records_per_patient": plan.training.max_records_per_unit if unit is PrivacyUnit.RECORD else None,
        "max_sites_per_unit": plan.privacy.max_sites_per_unit,
        "epsilon_target": plan.privacy.epsilon,
        "delta": plan.privacy.delta,
        "covers": "what one site sent in this run; epsilon_across_sites, where max_sites_per_unit is above 1, what so "
        "many sites sent. Not what further sites hold of the same person, not earlier runs on the same patients, and "
        "not the counts and perplexities under `sites`, which the simulation measured on the sites' records",
        "patient_ids_at_several_sites": outcome.shared_patients,
        "accountant": "PLD of Poisson-subsampled Gaussian steps, composed over all rounds with the probe, private "
        "weights and metrics, where the plan has them (dp-accounting); its "
        f"Rényi bound above {accounting.MAX_PLD_EPSILON:g}",
        "noise_multiplier": plan.privacy.noise_multiplier,
        "clip_norm": outcome.result.clip_norm if plan.privacy.needs_probe else plan.privacy.clip_norm,
        "clip_norm_from": "private probe of the sites" if plan.privacy.needs_probe else "plan",
        "sample_rate": plan.training.sample_rate,
        "planned_steps": plan.training.steps_per_round * plan.rounds,
        "noise_source": _noise(outcome),
        **noise_report.figures(plan, outcome.result),
    }


def _site(outcome: Outcome, plan: RunPlan, data: SiteData) -> dict[str, Any]:
    before, after = outcome.before.by_site[data.site_id], outcome.after.by_site[data.site_id]
    entry: dict[str, Any] = {
        "id": data.site_id,
        **site_figures(plan, outcome.statements.get(data.site_id)),
        "delta": plan.privacy.delta if plan.is_private else None,
        "nominal_units": plan.site(data.site_id).nominal_units,
        "rank": site_rank(plan, data.site_id),
        "train_patients": data.num_patients,
        "train_records": data.num_records,
        "records_left_out": data.records_left_out,
        "heldout_records": len(data.heldout),
        "ppl_base": before and before[0],
        "ppl_final": after and after[0],
        "bits_per_byte_base": before and before[1],
        "bits_per_byte_final": after and after[1],
    }
    return entry


def trained_by_round(plan: RunPlan) -> tuple[int, int]:
    """Numbers that a site of full rank trains in odd and in even rounds."""
    odd, even = (
        adapters.num_coordinates(trained_layout(plan.lora.aggregation, plan.layout, number)) for number in (1, 2)
    )
    return odd, even


def _adapter(outcome: Outcome, plan: RunPlan) -> dict[str, Any]:
    odd, even = trained_by_round(plan)
    return {
        "folder": "adapter",
        "digest": outcome.result.model_digest.hex(),
        "parameters": adapters.num_coordinates(plan.layout),
        "trained_parameters": max(odd, even),
        "trained_in_odd_rounds": odd,
        "trained_in_even_rounds": even,
        "sent_to_sites": adapters.num_coordinates(sent_layout(plan.lora.aggregation, plan.layout)),
        "aggregation": plan.lora.aggregation,
        "a_start": "orthonormal" if plan.lora.starts_orthonormal else "random",
        "server_optimizer": plan.server.optimizer,
        "server_learning_rate": plan.server.step_length,
        "base": {"name": outcome.job.base_name, "digest": outcome.job.base_digest},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def dumps(document: Mapping[str, Any]) -> bytes:
    """JSON for people and machines: indented, no NaN.

    Raises:
        ConfigError: a figure that is not finite.
    """
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise ConfigError("the report holds a figure that is not finite", hint="The training diverged.") from error
