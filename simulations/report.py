"""``report.json`` (schema ``fedward.report/1``) and the summary on the terminal."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedward import __version__
from fedward.common.config import RunPlan, digest_of
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import trained_layout
from fedward.common.privacy import accounting
from fedward.server.rounds import RunResult
from fedward.simulations.job import SimulationJob
from fedward.simulations.measure import Sample, Utility
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
_RECOMMENDED_EPSILON = (1.0, 5.0)


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
    seconds: Mapping[str, float]
    """Stage to seconds; ``total`` among them."""


def site_epsilon(plan: RunPlan, statement: bytes | None) -> tuple[float | None, float | None]:
    """(PLD, RDP) epsilon of the events that a site says it was charged; None without privacy or statement."""
    if not plan.is_private or statement is None:
        return None, None
    history = accounting.history_from_json(statement)
    delta = plan.privacy.delta
    return accounting.epsilon(history, delta), accounting.epsilon_rdp(history, delta)


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
        "not_taking_part": dict(outcome.result.refusals),
        "rounds": [asdict(record) for record in outcome.result.rounds],
        "adapter": _adapter(outcome, plan),
        "run_id": outcome.job.run_id_hex,
        "runtime": outcome.runtime,
        "seeds": {"plan": plan.seed, "noise": "plan" if outcome.job.is_repeatable else "operating system"},
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "versions": _versions(),
        "plan_digest": digest_of(outcome.job.plan_bytes).hex(),
        "plan": json.loads(outcome.job.plan_json),
    }


def headline(outcome: Outcome) -> dict[str, Any]:
    """The figures that everybody asks for first."""
    plan = outcome.job.plan
    epsilons = [site_epsilon(plan, outcome.result.events.get(data.site_id))[0] for data in outcome.sites]
    known = [value for value in epsilons if value is not None]
    return {
        "rounds": len(outcome.result.rounds),
        "sites": len(outcome.sites) - len(outcome.result.refusals),
        "epsilon_max": max(known) if known else None,
        "delta": plan.privacy.delta if plan.is_private else None,
        "ppl_base": outcome.before.perplexity,
        "ppl_final": outcome.after.perplexity,
        "seconds": round(outcome.seconds["total"], 3),
    }


def warnings(outcome: Outcome) -> list[str]:
    """What a reader must not overlook."""
    plan = outcome.job.plan
    found = [
        "secure aggregation: none. The profile plain_ring adds in the ring without masks; masks come with version 0.2.",
        "desensitisation: none. Records are trained on as they are; replacement of identifiers comes with version 0.2.",
    ]
    if not plan.is_private:
        return [*found, "privacy: none. The plan's privacy.mode is 'none'; this adapter may hold its training records."]
    low, high = _RECOMMENDED_EPSILON
    if not low <= plan.privacy.epsilon <= high:
        found.append(f"epsilon {plan.privacy.epsilon:g} is outside the recommended range {low:g} to {high:g}.")
    if outcome.job.seeded_noise:
        found.append("noise: drawn from the plan's seed. Whoever knows the seed can take it off: no privacy.")
    if plan.privacy.delta > 1 / max(site.nominal_units for site in plan.sites):
        found.append("delta is above 1 over the number of patients of a site: too weak.")
    missing = {data.site_id for data in outcome.sites} - set(outcome.result.events) - set(outcome.result.refusals)
    found += [f"site {site} gave no statement of what it was charged." for site in sorted(missing)]
    return found


def _privacy(outcome: Outcome, plan: RunPlan) -> dict[str, Any]:
    if not plan.is_private:
        return {"mode": plan.privacy.mode.value}
    unit = plan.privacy.unit
    return {
        "mode": plan.privacy.mode.value,
        "unit": unit.value,
        "neighbours": f"add or remove one {unit.value} with all that belongs to it",
        "epsilon_target": plan.privacy.epsilon,
        "delta": plan.privacy.delta,
        "accountant": "PLD (dp-accounting), Poisson-subsampled Gaussian, composed over all steps of all rounds",
        "noise_multiplier": plan.privacy.noise_multiplier,
        "clip_norm": plan.privacy.clip_norm,
        "sample_rate": plan.training.sample_rate,
        "steps": plan.training.steps_per_round * plan.rounds,
        "noise_source": "seed of the plan" if outcome.job.seeded_noise else "operating system (AES-256-CTR)",
    }


def _site(outcome: Outcome, plan: RunPlan, data: SiteData) -> dict[str, Any]:
    epsilon, epsilon_rdp = site_epsilon(plan, outcome.result.events.get(data.site_id))
    before, after = outcome.before.by_site[data.site_id], outcome.after.by_site[data.site_id]
    entry: dict[str, Any] = {
        "id": data.site_id,
        "epsilon": epsilon,
        "epsilon_rdp": epsilon_rdp,
        "delta": plan.privacy.delta if plan.is_private else None,
        "nominal_units": plan.site(data.site_id).nominal_units,
        "train_patients": data.num_patients,
        "train_records": data.num_records,
        "heldout_records": len(data.heldout),
        "ppl_base": before and before[0],
        "ppl_final": after and after[0],
        "bits_per_byte_base": before and before[1],
        "bits_per_byte_final": after and after[1],
    }
    return entry


def _adapter(outcome: Outcome, plan: RunPlan) -> dict[str, Any]:
    return {
        "folder": "adapter",
        "digest": outcome.result.model_digest.hex(),
        "parameters": adapters.num_coordinates(plan.layout),
        "trained_parameters": adapters.num_coordinates(trained_layout(plan.lora.aggregation, plan.layout)),
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
