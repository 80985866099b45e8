"""What a run cost in privacy: by site, by patient, across sites; and what a reader must be warned of.

Every epsilon is composed once from the events that sites state; epsilons are never added.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fedward.common.agreement import probe_events, round_event
from fedward.common.auxiliary_terms import metric_events, weight_events
from fedward.common.config import PrivacyUnit, RunPlan
from fedward.common.distributed_terms import is_distributed, is_planned_event
from fedward.common.errors import FedwardError
from fedward.common.privacy import accounting, clip_probe
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent
from fedward.common.privacy.patients import PatientBound, patient_epsilon
from fedward.simulations import auxiliary_report

_RECOMMENDED_EPSILON = (1.0, 5.0)

History = tuple[PrivacyEvent, ...]
Statements = Mapping[str, bytes]
"""Site id to what the site says it was charged, as JSON."""


def stated(plan: RunPlan, statement: bytes | None) -> History | None:
    """A site's events, if they can be this run's: a stranger's statement is not worth accounting for."""
    if not plan.is_private or statement is None:
        return None
    try:
        history = accounting.history_from_json(statement)
    except FedwardError:
        return None
    attempts = plan.secagg.max_attempts
    of_rounds, others = _parted(plan, history)
    likely, beside = _parted(plan, metric_events(plan) * plan.rounds * attempts)
    # The weight is drawn once, and charged with it in one transaction: never twice.
    most = Counter(dict.fromkeys(probe_events(plan), attempts)) + Counter(weight_events(plan)) + beside
    return history if history and of_rounds <= plan.rounds * attempts + likely and others <= most else None


def _parted(plan: RunPlan, history: Iterable[PrivacyEvent]) -> tuple[int, Counter[PrivacyEvent]]:
    """How many events look like a round's training, for a metric may cost the same, and the others."""
    others = Counter(history)
    of_rounds = {event: count for event, count in others.items() if _is_of_round(plan, event)}
    for event in of_rounds:
        del others[event]
    return sum(of_rounds.values()), others


def _is_of_round(plan: RunPlan, event: PrivacyEvent) -> bool:
    return is_planned_event(plan, event) if is_distributed(plan) else event == round_event(plan)


def credible(plan: RunPlan, statements: Statements, cohorts: Iterable[Collection[str]]) -> Statements:
    """The statements that can be true: the coordinator knows in how many sums a site's vector was.

    Args:
        cohorts: the survivors of each round.
    """
    added = Counter(site for survivors in cohorts for site in survivors)
    known = {site: stated(plan, statement) for site, statement in statements.items()}
    return {
        site: statements[site]
        for site, history in known.items()
        if history is not None and _covers(plan, history, added[site])
    }


def _covers(plan: RunPlan, history: Iterable[PrivacyEvent], num_sums: int) -> bool:
    """Whether a site was charged for its part in so many sums; its probe's sum is not among them."""
    of_rounds, others = _parted(plan, history)
    likely, beside = _parted(plan, metric_events(plan) * num_sums)
    least = beside + Counter(weight_events(plan) if num_sums else ())
    return of_rounds >= num_sums + likely and least <= others


def site_figures(plan: RunPlan, statement: bytes | None) -> dict[str, Any]:
    """A site's epsilons; None where the site says nothing credible."""
    history = stated(plan, statement)
    known = history is not None
    figures: dict[str, Any] = {
        "epsilon": accounting.epsilon(history or (), plan.privacy.delta) if known else None,
        "epsilon_rdp": accounting.epsilon_rdp(history or (), plan.privacy.delta) if known else None,
    }
    if plan.is_private and plan.privacy.unit is PrivacyUnit.RECORD:
        bound = _patient(plan, history) if history is not None else None
        figures["epsilon_patient"] = bound and _finite(bound.epsilon)
        figures["epsilon_patient_method"] = bound and bound.method.value
    return figures


def across_sites(plan: RunPlan, statements: Statements, *, releases: int | None = None) -> History:
    """The events of the costliest sites, as many as one person may be at; empty if no site says anything credible.

    In mode ``distributed`` the sites of a round book one and the same sum, each for a person who may be at all of them:
    more events than sums were released do not count.

    Args:
        releases: sums that the run released, void attempts included; None: as many as the plan allows.
    """
    found = [stated(plan, statement) for statement in statements.values()]
    histories = sorted(
        (history for history in found if history is not None),
        key=lambda history: accounting.epsilon(history, plan.privacy.delta),
        reverse=True,
    )
    together = [event for history in histories[: plan.privacy.max_sites_per_unit] for event in history]
    if not is_distributed(plan):
        return tuple(together)
    most = plan.rounds * plan.secagg.max_attempts if releases is None else releases
    likely, _ = _parted(plan, metric_events(plan))
    most *= 1 + likely
    sums = [event for event in together if isinstance(event, PoissonGaussian) and _is_of_round(plan, event)]
    sums.sort(key=lambda event: event.noise_multiplier)
    return (*(event for event in together if not _is_of_round(plan, event)), *sums[:most])


def run_figures(plan: RunPlan, statements: Statements, *, releases: int | None = None) -> dict[str, Any]:
    """The run's worst epsilons: of a unit at one site, at ``max_sites_per_unit`` sites, and of a whole patient.

    Args:
        releases: see ``across_sites``.
    """
    if not plan.is_private:
        return {"epsilon_max": None}
    delta = plan.privacy.delta
    known = [history for statement in statements.values() if (history := stated(plan, statement)) is not None]
    figures: dict[str, Any] = {"epsilon_max": max((accounting.epsilon(one, delta) for one in known), default=None)}
    together = across_sites(plan, statements, releases=releases)
    if plan.privacy.max_sites_per_unit > 1:
        figures["epsilon_across_sites"] = accounting.epsilon(together, delta) if together else None
    if plan.privacy.unit is PrivacyUnit.RECORD:
        bound = _patient(plan, together) if together else None
        figures["epsilon_patient"] = bound and _finite(bound.epsilon)
        figures["epsilon_patient_method"] = bound and bound.method.value
    return figures


def plan_warnings(plan: RunPlan) -> list[str]:
    """What can be said before a run begins."""
    if not plan.is_private:
        none = "privacy: none. The plan's privacy.mode is 'none'; the adapter may hold its training records."
        return [none, *auxiliary_report.warnings(plan)]
    found = auxiliary_report.warnings(plan)
    low, high = _RECOMMENDED_EPSILON
    if not low <= plan.privacy.epsilon <= high:
        found.append(f"epsilon {plan.privacy.epsilon:g} is outside the recommended range {low:g} to {high:g}.")
    nominal = sum(site.nominal_units for site in plan.sites)
    if plan.privacy.needs_probe and nominal < clip_probe.COARSE_BELOW_UNITS:
        found.append(
            f"clip_norm auto is too coarse for {nominal:,} {plan.privacy.unit.value}s: below "
            f"{clip_probe.COARSE_BELOW_UNITS:,} the probe's noise drowns the counts. Set privacy.clip_norm to a number."
        )
    if plan.privacy.unit is PrivacyUnit.RECORD:
        found.append(
            "unit of privacy: record, which is weaker. Epsilon protects one record; epsilon_patient is for a whole "
            f"patient with up to {plan.training.max_records_per_unit} records."
        )
    if plan.privacy.delta * max(site.nominal_units for site in plan.sites) > 1 / 10:
        found.append(f"delta is above a tenth of 1 over the number of {plan.privacy.unit.value}s of a site.")
    return found


def sharing_warnings(plan: RunPlan, *, shared_patients: int, most_sites: int) -> list[str]:
    """What patient ids at several sites mean for the printed epsilons."""
    allowed = plan.privacy.max_sites_per_unit
    if not shared_patients or most_sites <= allowed:
        return []
    return [
        f"{shared_patients:,} patient ids occur at several sites, up to {most_sites}: if these are the same people, "
        f"no printed epsilon covers them. Set privacy.max_sites_per_unit to {most_sites} (now {allowed}): the events "
        "of so many sites are then composed into one epsilon."
    ]


def patient_warnings(plan: RunPlan, statements: Statements, *, records_left_out: int) -> list[str]:
    """The patient-level epsilon beside a record-level one, in words."""
    if not plan.is_private or plan.privacy.unit is not PrivacyUnit.RECORD:
        return []
    limit = plan.training.max_records_per_unit
    figures = run_figures(plan, statements)
    epsilon = figures["epsilon_patient"]
    said = f"epsilon {epsilon:.3f}" if epsilon is not None else "no known bound"
    if epsilon is not None and figures["epsilon_patient_method"] != "pld":
        said += f" (a loose bound: {figures['epsilon_patient_method']})"
    found = [f"a whole patient with up to {limit} records: {said} at delta {plan.privacy.delta:g}."]
    if records_left_out:
        found.append(f"{records_left_out:,} records were left out: more than {limit} of one patient.")
    return found


def _patient(plan: RunPlan, history: Sequence[PrivacyEvent]) -> PatientBound:
    return patient_epsilon(history, plan.privacy.delta, plan.training.max_records_per_unit)


def _finite(value: float) -> float | None:
    """JSON has no infinity; a bound that is infinite is none."""
    return value if math.isfinite(value) else None


__all__ = [
    "across_sites",
    "credible",
    "patient_warnings",
    "plan_warnings",
    "run_figures",
    "sharing_warnings",
    "site_figures",
    "stated",
]
