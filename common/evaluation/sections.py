"""Sections of a report from scores, bounds, exposures and answers: what is judged together, and by which controls.

Invariants: every score of a group counts, not the best-looking one; the headline alone may fail by its estimate; a
rate that cannot be measured stays in the section as a cell without a number. Not handled here: where the scores come
from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import DataError, EvaluationError
from fedward.common.evaluation.audit import AuditResult, ClaimLimits
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.exposure import difference_of_medians
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.membership import Control, balanced_accuracy, controlled_auc, null_control, tpr_at_fpr
from fedward.common.evaluation.prompts import Attempt, leak_rates
from fedward.common.evaluation.thresholds import DEFAULTS
from fedward.common.evaluation.verdicts import Cell, Limits, Measure, Section, Verdict, judge, unmeasured

MIN_AUDIT_CANARIES = 200
ENOUGH_POWER = 3.0
"""A bound that could show an epsilon of 3 is worth reading, whatever is claimed."""
MIN_PROMPT_SECRETS = 75
_ADVANTAGE_PASS, _ADVANTAGE_FAIL, _ADVANTAGE_OVER_TWINS = 100.0, 1_000.0, 10.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredGroup:
    """One group of probes, scored by the adapter and by its base.

    Args:
        group: records or token.
        included: (n,) the coins.
        scores: by name, (n,) of the adapter.
        base_scores: by name, (n,) of the base: the control variate, and the null control.
        headline: the registered one.
        reserve: by name, scores of never-inserted canaries, for rates at low error; may lack a name.
    """

    group: str
    included: NDArray[np.bool_]
    scores: Mapping[str, ArrayLike]
    base_scores: Mapping[str, ArrayLike]
    headline: str
    reserve: Mapping[str, ArrayLike]

    def __post_init__(self) -> None:
        if not self.scores or self.scores.keys() != self.base_scores.keys() or self.headline not in self.scores:
            raise DataError(f"{self.group}: adapter and base need the same scores, the headline among them")
        for name in self.scores:
            if {np.shape(self.scores[name]), np.shape(self.base_scores[name])} != {np.shape(self.included)}:
                raise DataError(f"{self.group}: score {name} must have one number for each coin")


def membership_section(
    groups: Sequence[ScoredGroup],
    *,
    seed: int,
    controls: Sequence[Control] = (),
    limits: Mapping[str, Limits] = DEFAULTS,
    claim: ClaimLimits | None = None,
) -> Section:
    """AUC, accuracy and rate at 1 % of every score of every group, and the base's own AUC as a control.

    Args:
        groups: at least one, else the section is inconclusive.
        seed: of the splits; recorded.
        controls: positive control and whatever else must hold.
        limits: by ``membership.<group>.<metric>``.
        claim: the most that the claim of epsilon allows.
    """
    num_cells = 3 * sum(len(group.scores) for group in groups)
    cells: list[Cell] = []
    nulls: list[Control] = []
    for group in groups:
        for name in group.scores:
            cells += _score_cells(group, name, num_cells, seed, limits, claim)
            base = np.asarray(group.base_scores[name], float)
            nulls.append(null_control(f"base, {group.group} by {name}", base[group.included], base[~group.included]))
    return Section(section_id="membership", cells=tuple(cells), controls=(*nulls, *controls))


def _score_cells(
    group: ScoredGroup,
    name: str,
    num_cells: int,
    seed: int,
    limits: Mapping[str, Limits],
    claim: ClaimLimits | None,
) -> list[Cell]:
    values, base = np.asarray(group.scores[name], float), np.asarray(group.base_scores[name], float)
    coins = group.included
    members, others = values[coins], values[~coins]
    purpose = f"{group.group}/{name}"
    reserve = np.asarray(group.reserve.get(name, ()), float)

    def at(metric: str, allowed: float | None) -> Limits:
        found = limits[f"membership.{group.group}.{metric}"]
        return found if allowed is None else replace(found, claim=allowed)

    def cell(metric: str, measure: Measure, allowed: float | None, num_out: int) -> Cell:
        return judge(
            measure,
            at(metric, allowed),
            metric=metric,
            group=group.group,
            score=name,
            num_in=members.size,
            num_out=num_out,
            cells_in_section=num_cells,
            headline=name == group.headline,
        )

    return [
        cell(
            "auc",
            lambda level: controlled_auc(members, others, base[coins], base[~coins], level),
            claim.auc if claim else None,
            others.size,
        ),
        cell(
            "accuracy",
            lambda level: balanced_accuracy(members, others, Draws(seed, purpose), level),
            claim.accuracy if claim else None,
            others.size,
        ),
        _rate_cell(cell, group, name, members, reserve, claim),
    ]


def _rate_cell(
    cell: Callable[[str, Measure, float | None, int], Cell],
    group: ScoredGroup,
    name: str,
    members: NDArray[np.float64],
    reserve: NDArray[np.float64],
    claim: ClaimLimits | None,
) -> Cell:
    try:
        tpr_at_fpr(members, reserve if reserve.size else np.zeros(1))
    except EvaluationError as error:
        return unmeasured("tpr", group.group, error.message, score=name, num_in=members.size, num_out=reserve.size)
    allowed = claim.tpr_at_1_percent if claim else None
    return cell("tpr", lambda level: tpr_at_fpr(members, reserve, level=level), allowed, reserve.size)


def audit_section(result: AuditResult, claim_epsilon: float, *, is_gaussian: bool) -> Section:
    """The larger bound against the accountant's epsilon at the audit's delta.

    Args:
        result: of fair coins only.
        claim_epsilon: at ``result.delta``; the largest of the sites whose canaries are pooled.
        is_gaussian: whether the mechanism is of the Gaussian family; else the Gaussian bound is not applied.
    """
    bound = max(result.pure.epsilon, result.gdp.epsilon) if is_gaussian else result.pure.epsilon
    needed = min(claim_epsilon, ENOUGH_POWER)
    note = ""
    if not claim_epsilon >= bound:  # this way round a claim of NaN fails
        verdict = Verdict.FAIL
    elif result.m < MIN_AUDIT_CANARIES:
        verdict, note = Verdict.INCONCLUSIVE, f"{result.m} canaries, needs {MIN_AUDIT_CANARIES}"
    elif result.power.pure < needed:
        verdict, note = (
            Verdict.INCONCLUSIVE,
            f"a perfect attack would have shown {result.power.pure:.2f} of {needed:.2f}",
        )
    else:
        verdict = Verdict.PASS
    cell = Cell(
        metric="epsilon_lower_bound",
        group="token",
        estimate=bound,
        low=bound,
        high=None,
        num_in=result.num_included,
        num_out=result.m - result.num_included,
        limits=Limits(passes=min(claim_epsilon, 1e9), fails=min(claim_epsilon, 1e9)) if claim_epsilon >= 0 else None,
        headline=True,
        verdict=verdict,
        note=note,
    )
    notes = (
        f"epsilon_pure {result.pure.epsilon:.4f}: {result.pure.correct} of {result.pure.guesses} guesses right",
        f"epsilon_gdp {result.gdp.epsilon:.4f}: {result.gdp.correct} of {result.gdp.guesses} guesses right",
        f"largest bounds possible with {result.m} canaries: {result.power.pure:.2f} and {result.power.gdp:.2f}",
    )
    return Section(section_id="audit", cells=(cell,), notes=notes)


def extraction_section(
    members: Mapping[str, tuple[ArrayLike, Sequence[float]]],
    twins: tuple[ArrayLike, Sequence[float]],
    *,
    seed: int,
    limits: Mapping[str, Limits] = DEFAULTS,
) -> Section:
    """Exposure and advantage of each group of secrets against the twins.

    Args:
        members: by group (secret, secret_x6), bits of exposure and advantages p |S| of the included ones.
        twins: the same of the never-inserted ones.
        seed: of the bootstrap.
        limits: with ``extraction.bits``.
    """
    cells: list[Cell] = []
    twin_bits = np.asarray(twins[0], float)
    for group, (bits, advantages) in members.items():
        inside = np.asarray(bits, float)
        if not inside.size or not twin_bits.size:
            cells.append(unmeasured("bits", group, "needs included secrets and twins"))
            continue
        cells.append(
            judge(
                lambda level, inside=inside, group=group: difference_of_medians(  # type: ignore[misc]
                    inside, twin_bits, Draws(seed, f"bits/{group}"), level
                ),
                limits["extraction.bits"],
                metric="bits",
                group=group,
                num_in=inside.size,
                num_out=twin_bits.size,
                cells_in_section=len(members),
            )
        )
        cells.append(_advantage_cell(group, advantages, twins[1]))
    return Section(section_id="extraction", cells=tuple(cells))


def _advantage_cell(group: str, members: Sequence[float], twins: Sequence[float]) -> Cell:
    """The largest advantage: at most 100 passes; above 1,000 and ten times the twins' fails; else it warns."""
    if not members or not twins:
        return unmeasured("advantage", group, "needs included secrets and twins")
    largest, of_twins = max(members), max(twins)
    if largest > _ADVANTAGE_FAIL and largest > _ADVANTAGE_OVER_TWINS * of_twins:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.PASS if largest <= _ADVANTAGE_PASS else Verdict.WARN
    return Cell(
        metric="advantage",
        group=group,
        estimate=largest,
        low=largest,
        high=largest,
        num_in=len(members),
        num_out=len(twins),
        verdict=verdict,
        note=f"largest of the twins: {of_twins:.3g}",
    )


def prompt_section(
    members: Sequence[Attempt], twins: Sequence[Attempt], *, limits: Mapping[str, Limits] = DEFAULTS
) -> Section:
    """Secrets that leak by any family, members minus twins; families are listed in the notes.

    Raises:
        EmptyDataError: no member or no twin.
        DataError: members and twins were tried with different families.
    """
    shown = leak_rates(members, twins)
    overall = shown[0]

    def measure(level: float) -> Interval:
        return leak_rates(members, twins, level)[0].difference

    cell = judge(
        measure,
        limits["prompts.leak"],
        metric="leak",
        group="secret",
        num_in=overall.num_members,
        num_out=overall.num_twins,
        cells_in_section=1,
        min_probes=MIN_PROMPT_SECRETS,
    )
    notes = tuple(
        f"{rate.family}: {rate.members.value:.4f} of secrets, {rate.twins.value:.4f} of twins" for rate in shown[1:]
    )
    return Section(section_id="prompts", cells=(cell,), notes=notes)


__all__ = [
    "audit_section",
    "ENOUGH_POWER",
    "extraction_section",
    "membership_section",
    "MIN_AUDIT_CANARIES",
    "MIN_PROMPT_SECRETS",
    "prompt_section",
    "ScoredGroup",
]
