"""Sections that are judged by fixed limits: accounts, optimiser paths, what a server sees, and use.

Invariants: nothing claimed, nothing checked and nothing replayed is never a pass. Not handled here: accounts, paths,
the span attack and the texts themselves; their numbers are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.membership import Control
from fedward.common.evaluation.optimizer_check import OptimizerCheck
from fedward.common.evaluation.utility_statistics import FORGETTING_WARN_NATS
from fedward.common.evaluation.verdicts import Cell, Section, Verdict, unmeasured

MIN_UPDATES = 25
"""Single updates reach a quarter of the tokens by chance."""
RAW_RECALL = 0.95
_TIMES_CHANCE = 3.0
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """One site's.

    Args:
        epsilon: spent at the plan's delta; None where nothing is claimed.
        allowed: the least of plan and policy.
        ledger_holds: whether its ledger verifies.
    """

    epsilon: float | None
    allowed: float
    ledger_holds: bool


def accounting_section(accounts: Mapping[str, Account]) -> Section:
    """Every site within plan and policy, with a ledger that verifies; a site that claims nothing fails."""
    cells = []
    for site, account in accounts.items():
        holds = account.epsilon is not None and account.epsilon <= account.allowed and account.ledger_holds
        note = "" if account.ledger_holds else "the ledger does not verify"
        cells.append(
            Cell(
                metric="epsilon",
                group=site,
                estimate=account.epsilon,
                verdict=Verdict.PASS if holds else Verdict.FAIL,
                note=note or ("no epsilon is claimed" if account.epsilon is None else f"at most {account.allowed:g}"),
            )
        )
    return Section(section_id="accounting", cells=tuple(cells))


def optimizer_section(checks: Mapping[str, OptimizerCheck]) -> Section:
    """Every path within all its tolerances; what is outside is named."""
    cells = []
    for path, check in checks.items():
        for name, ratio in (("noise", check.noise), ("clip", check.clip), ("mu", check.mu)):
            cells.append(
                Cell(
                    metric=name,
                    group=path,
                    estimate=ratio.value,
                    verdict=Verdict.PASS if ratio.holds else Verdict.FAIL,
                    note=f"must be within {ratio.tolerance:.3f} of 1",
                )
            )
        bound = max(check.bounds.pure.epsilon, check.bounds.gdp.epsilon)
        verdict = Verdict.PASS if check.is_within_claim else Verdict.FAIL
        cells.append(Cell(metric="bound", group=path, estimate=bound, verdict=verdict))
    notes = tuple(f"{path}: outside in {', '.join(c.failures)}" for path, c in checks.items() if c.failures)
    return Section(section_id="optimizer", cells=tuple(cells), notes=notes)


def inversion_section(
    recalls: ArrayLike, noise_recalls: ArrayLike, *, chance: float, raw_recall: float, view: str
) -> Section:
    """The protected view: at most three times k/V, and no better than fresh noise of the view's shape.

    Args:
        recalls: (n,) recall of the true tokens from the protected view, 25 updates or more.
        noise_recalls: (n,) the same from fresh noise: tokens cluster, so chance is not k/V.
        chance: k/V.
        raw_recall: of the unprotected view; below 0.95 the attack itself is broken.
        view: what was looked at.
    """
    seen, noise = np.asarray(recalls, float), np.asarray(noise_recalls, float)
    control = Control(name="raw update", interval=None, holds=raw_recall >= RAW_RECALL, note=f"recall {raw_recall:.3f}")
    if min(seen.size, noise.size) < MIN_UPDATES:
        cell = unmeasured("recall", view, f"needs {MIN_UPDATES} updates", num_in=seen.size, num_out=noise.size)
        return Section(section_id="inversion", cells=(cell,), controls=(control,))
    mean, error = float(seen.mean()), float(seen.std(ddof=1)) / math.sqrt(seen.size)
    both = math.hypot(error, float(noise.std(ddof=1)) / math.sqrt(noise.size))
    excess = {"chance": (mean - _TIMES_CHANCE * chance, error), "noise": (mean - float(noise.mean()), both)}
    if excess["chance"][0] <= 0 and excess["noise"][0] <= _STANDARD_ERRORS * both:
        verdict = Verdict.PASS
    else:
        is_proven = all(over > _STANDARD_ERRORS * spread for over, spread in excess.values())
        verdict = Verdict.FAIL if is_proven else Verdict.INCONCLUSIVE
    cell = Cell(
        metric="recall",
        group=view,
        estimate=mean,
        low=mean - 1.96 * error,
        high=mean + 1.96 * error,
        num_in=seen.size,
        num_out=noise.size,
        verdict=verdict,
        note=f"three times chance {_TIMES_CHANCE * chance:.4f}, fresh noise {float(noise.mean()):.4f}",
    )
    return Section(section_id="inversion", cells=(cell,), controls=(control,))


def utility_section(
    *,
    forgetting: Interval | None,
    retention: float | None,
    min_retention: float | None,
    review_alarms: Sequence[str] = (),
) -> Section:
    """Forgetting above 0.1 nats warns, retention below what the plan asks fails, alarms of two reviewers warn.

    Args:
        forgetting: in nats on public text; None where it was not measured.
        retention: share of the gain kept; None where it has no value.
        min_retention: of the plan; None asks for nothing.
        review_alarms: items by id.
    """
    cells = [_forgetting_cell(forgetting)]
    if min_retention is not None and retention is None:
        cells.append(unmeasured("retention", "", "the gain of the non-private model is too small to share"))
    elif retention is not None:
        verdict = Verdict.FAIL if min_retention is not None and not retention >= min_retention else Verdict.PASS
        cells.append(Cell(metric="retention", group="", estimate=retention, verdict=verdict))
    if review_alarms:
        note = f"items {', '.join(review_alarms)}"
        count = float(len(review_alarms))
        cells.append(Cell(metric="review", group="", estimate=count, verdict=Verdict.WARN, note=note))
    return Section(section_id="utility", cells=tuple(cells))


def _forgetting_cell(forgetting: Interval | None) -> Cell:
    if forgetting is None:
        return unmeasured("forgetting", "public", "not measured")
    return Cell(
        metric="forgetting",
        group="public",
        estimate=forgetting.value,
        low=forgetting.low,
        high=forgetting.high,
        verdict=Verdict.WARN if not forgetting.value <= FORGETTING_WARN_NATS else Verdict.PASS,
    )


__all__ = [
    "Account",
    "accounting_section",
    "inversion_section",
    "MIN_UPDATES",
    "optimizer_section",
    "RAW_RECALL",
    "utility_section",
]
