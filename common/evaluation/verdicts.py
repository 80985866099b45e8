"""PASS, WARN, FAIL or INCONCLUSIVE: from an estimate with its interval to a cell, a section and a run.

Invariants: a missing number, an empty section and an interval that straddles the limit are never a PASS; a NaN is no
number; the worst cell decides its section and the worst section the run. A control that does not hold takes every
PASS and WARN of its section away and leaves a FAIL as it is: an attack that can be made to look broken must not turn
what every site has to sign for into what one auditor may. Not handled here: limits (``thresholds``), and reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fedward.common.errors import ConfigError
from fedward.common.evaluation.intervals import LEVEL, Interval
from fedward.common.evaluation.membership import Control

ONE_SIDED = 0.05
MIN_PROBES = 20


class Verdict(StrEnum):
    """What a cell, a section or a run is."""

    PASS = "PASS"  # noqa: S105 - a verdict
    WARN = "WARN"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


_ORDER = (Verdict.PASS, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.FAIL)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """FAIL before INCONCLUSIVE before WARN before PASS; of nothing, INCONCLUSIVE."""
    return max(verdicts, key=_ORDER.index, default=Verdict.INCONCLUSIVE)


def worst_first(verdicts: Sequence[Verdict]) -> list[int]:
    """Places of the verdicts, the worst ones first and otherwise in their order."""
    return sorted(range(len(verdicts)), key=lambda index: -_ORDER.index(verdicts[index]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where a metric of which little is good passes and fails.

    Args:
        passes: upper end at most this passes.
        fails: headline above it, or lower end above it, fails.
        claim: the most that the claim of epsilon allows; a lower end above it fails.
        estimate: an estimate above it does not pass, however narrow its interval.
    """

    passes: float
    fails: float
    claim: float = math.inf
    estimate: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.passes) and math.isfinite(self.fails) and self.claim >= 0):
            raise ConfigError("limits: expected finite numbers, and a claim of at least 0")
        if math.isnan(self.estimate):
            raise ConfigError("limits: expected a number for the estimate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One number of a section, judged.

    Args:
        metric: auc, accuracy, tpr and so on.
        group: whose.
        score: by which score; empty where there is one only.
        estimate: None where it could not be measured.
        low: two-sided 95 % interval, for the reader.
        high: its other end.
        upper: one-sided 95 % upper end; at most ``limits.passes`` passes.
        lower: one-sided lower end at 5 % over the cells of the section; above ``limits.fails`` fails.
        num_in: members.
        num_out: non-members.
        headline: whether its estimate alone may fail it.
        note: why it is not measured, or what would decide it.
    """

    metric: str
    group: str
    score: str = ""
    estimate: float | None
    low: float | None = None
    high: float | None = None
    upper: float | None = None
    lower: float | None = None
    num_in: int = 0
    num_out: int = 0
    limits: Limits | None = None
    headline: bool = False
    verdict: Verdict
    note: str = ""


Measure = Callable[[float], Interval]
"""From a two-sided level to an interval of one metric."""


def judge(
    measure: Measure,
    limits: Limits,
    *,
    metric: str,
    group: str,
    score: str = "",
    num_in: int,
    num_out: int,
    cells_in_section: int,
    headline: bool = False,
    min_probes: int = MIN_PROBES,
) -> Cell:
    """Measure a metric of which little is good, and judge it.

    Raises:
        ConfigError: no cell in the section.
    """
    if cells_in_section < 1:
        raise ConfigError("a section has one cell or more")
    shown = measure(LEVEL)
    upper = measure(1 - 2 * ONE_SIDED).high
    lower = measure(1 - 2 * ONE_SIDED / cells_in_section).low
    verdict = rejudge(shown.value, lower, upper, limits, headline=headline)
    note = ""
    if verdict in (Verdict.PASS, Verdict.WARN) and min(num_in, num_out) < min_probes:
        verdict, note = Verdict.INCONCLUSIVE, f"needs {min_probes} members and non-members"
    elif verdict is Verdict.INCONCLUSIVE:
        note = _what_decides(shown.value, lower, upper, limits.passes, num_in)
    return Cell(
        metric=metric,
        group=group,
        score=score,
        estimate=shown.value,
        low=shown.low,
        high=shown.high,
        upper=upper,
        lower=lower,
        num_in=num_in,
        num_out=num_out,
        limits=limits,
        headline=headline,
        verdict=verdict,
        note=note,
    )


def unmeasured(metric: str, group: str, reason: str, *, score: str = "", num_in: int = 0, num_out: int = 0) -> Cell:
    """A number that could not be had: inconclusive, with the reason."""
    return Cell(
        metric=metric,
        group=group,
        score=score,
        estimate=None,
        num_in=num_in,
        num_out=num_out,
        verdict=Verdict.INCONCLUSIVE,
        note=reason,
    )


def is_better(one: Verdict, other: Verdict) -> bool:
    """Whether the first says less than the second."""
    return _ORDER.index(one) < _ORDER.index(other)


def rejudge(value: float, lower: float, upper: float, limits: Limits, *, headline: bool) -> Verdict:
    """The verdict that an estimate and its one-sided ends bear; too few probes may make it worse."""
    if not lower <= upper or not math.isfinite(value):  # this way round NaN is inconclusive
        return Verdict.INCONCLUSIVE
    if (headline and value > limits.fails) or lower > min(limits.fails, limits.claim):
        return Verdict.FAIL
    if upper <= limits.passes and value <= limits.estimate:
        return Verdict.PASS
    return Verdict.WARN if lower > limits.passes else Verdict.INCONCLUSIVE


def _what_decides(value: float, lower: float, upper: float, passes: float, num_in: int) -> str:
    """How many members would bring the nearer end to the limit, intervals shrinking with the root of their number."""
    width, distance = (upper - value, passes - value) if value <= passes else (value - lower, value - passes)
    if not (distance > 0 and width > 0 and num_in > 0):
        return "the estimate stands on the limit: no number of members is sure to decide"
    return f"about {math.ceil(num_in * (width / distance) ** 2)} members would decide"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Cells that answer one question, and the controls that say whether they can.

    Args:
        section_id: accounting, optimizer, membership and so on.
        cells: what was measured.
        controls: what must hold for the cells to mean anything.
        notes: for the reader.
        cpu_s: what it cost.
    """

    section_id: str
    cells: tuple[Cell, ...] = ()
    controls: tuple[Control, ...] = ()
    notes: tuple[str, ...] = ()
    cpu_s: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst cell; inconclusive without a cell, and where a control does not hold and no cell fails."""
        found = worst([cell.verdict for cell in self.cells])
        if found is not Verdict.FAIL and not all(control.holds for control in self.controls):
            return Verdict.INCONCLUSIVE
        return found


__all__ = [
    "Cell",
    "is_better",
    "judge",
    "Limits",
    "Measure",
    "MIN_PROBES",
    "ONE_SIDED",
    "rejudge",
    "Section",
    "unmeasured",
    "Verdict",
    "worst",
    "worst_first",
]
