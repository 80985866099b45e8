import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ConfigError
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.membership import Control, auc, balanced_accuracy, controlled_auc, positive_control
from fedward.common.evaluation.verdicts import Cell, Limits, Section, Verdict, judge, unmeasured, worst
from tests.evaluations import normals

LIMITS = Limits(passes=0.7, fails=0.8)
GOOD = Control(name="base", interval=None, holds=True)
BAD = Control(name="base", interval=None, holds=False)


def a_cell(value: float, half: float, *, headline: bool = False, limits: Limits = LIMITS, num: int = 400) -> Cell:
    """A cell whose interval reaches ``half`` to both sides at every level."""
    interval = Interval(value=value, low=value - half, high=value + half)
    return judge(
        lambda level: interval,
        limits,
        metric="auc",
        group="token",
        num_in=num,
        num_out=num,
        cells_in_section=5,
        headline=headline,
    )


CASES = [
    ("well below", a_cell(0.55, 0.05), Verdict.PASS),
    ("end on the limit", a_cell(0.5, 0.2), Verdict.PASS),
    ("straddles the pass limit", a_cell(0.68, 0.05), Verdict.INCONCLUSIVE),
    ("above pass, below fail", a_cell(0.75, 0.03), Verdict.WARN),
    ("above fail", a_cell(0.9, 0.05), Verdict.FAIL),
    ("headline above fail, wide", a_cell(0.82, 0.3, headline=True), Verdict.FAIL),
    ("not the headline, wide", a_cell(0.82, 0.3), Verdict.INCONCLUSIVE),
    ("above the claim", a_cell(0.66, 0.02, limits=Limits(passes=0.7, fails=0.8, claim=0.6)), Verdict.FAIL),
    (
        "estimate above what may pass",
        a_cell(0.5, 0.01, limits=Limits(passes=0.7, fails=0.8, estimate=0.4)),
        Verdict.INCONCLUSIVE,
    ),
    ("too few probes", a_cell(0.5, 0.01, num=19), Verdict.INCONCLUSIVE),
    ("too few probes and a leak", a_cell(0.95, 0.01, num=19), Verdict.FAIL),
    ("not a number", a_cell(math.nan, 0.1), Verdict.INCONCLUSIVE),
    ("not measured", unmeasured("tpr", "token", "no reserve"), Verdict.INCONCLUSIVE),
]


@pytest.mark.parametrize(("cell", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_cell_is_judged(cell: Cell, verdict: Verdict) -> None:
    assert cell.verdict is verdict


def test_inconclusive_cell_says_what_would_decide_it() -> None:
    assert a_cell(0.68, 0.05).note == "about 2501 members would decide"  # 400 · (0.05 / 0.02)², rounded up
    assert "stands on the limit" in a_cell(0.7, 0.05).note


def test_lower_end_pays_for_all_cells_of_its_section() -> None:
    levels: list[float] = []

    def measure(level: float) -> Interval:
        levels.append(level)
        return Interval(value=0.5, low=0.4, high=0.6)

    judge(measure, LIMITS, metric="auc", group="token", num_in=50, num_out=50, cells_in_section=5)
    assert levels == pytest.approx([0.95, 0.9, 0.98])


@given(verdicts=st.lists(st.sampled_from(Verdict)))
def test_worst_is_never_better_than_any(verdicts: list[Verdict]) -> None:
    order = [Verdict.PASS, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.FAIL]
    found = worst(verdicts)
    assert all(order.index(found) >= order.index(verdict) for verdict in verdicts)
    assert found in (verdicts or [Verdict.INCONCLUSIVE])


def test_section_without_a_cell_is_inconclusive() -> None:
    assert Section(section_id="audit").verdict is Verdict.INCONCLUSIVE
    assert Section(section_id="audit", controls=(GOOD,)).verdict is Verdict.INCONCLUSIVE


def test_failed_control_takes_a_pass_away_and_leaves_a_failure() -> None:
    fine, leak = a_cell(0.5, 0.05), a_cell(0.9, 0.05)
    assert Section(section_id="membership", cells=(fine,), controls=(GOOD,)).verdict is Verdict.PASS
    assert Section(section_id="membership", cells=(fine,), controls=(GOOD, BAD)).verdict is Verdict.INCONCLUSIVE
    assert Section(section_id="membership", cells=(fine, leak), controls=(BAD,)).verdict is Verdict.FAIL


def membership_section(shift: float, *, broken: bool = False) -> Section:
    """The membership battery on simulated scores: an adapter that ranks members ``shift`` higher."""
    base_in, base_out = normals(1, 400), normals(2, 400)
    members, others = base_in + 0.3 * normals(3, 400) + shift, base_out + 0.3 * normals(4, 400)
    shadow_in, shadow_out = normals(5, 50) + 2, normals(6, 50)
    if broken:  # the attack's scores are noise, whatever the model
        members, others, shadow_in, shadow_out = normals(7, 400), normals(8, 400), normals(9, 50), normals(10, 50)
    shared: dict[str, Any] = {
        "group": "token",
        "score": "loss",
        "num_in": 400,
        "num_out": 400,
        "cells_in_section": 2,
        "headline": True,
    }
    cells = (
        judge(lambda level: controlled_auc(members, others, base_in, base_out, level), LIMITS, metric="auc", **shared),
        judge(
            lambda level: balanced_accuracy(members, others, Draws(1, "split"), level),
            Limits(passes=0.65, fails=0.8),
            metric="accuracy",
            **shared,
        ),
    )
    return Section(section_id="membership", cells=cells, controls=(positive_control(shadow_in, shadow_out),))


def test_non_private_model_fails() -> None:
    assert membership_section(4.0).verdict is Verdict.FAIL


def test_private_model_passes() -> None:
    assert membership_section(0.1).verdict is Verdict.PASS


def test_broken_attack_is_inconclusive_and_no_pass() -> None:
    assert membership_section(4.0, broken=True).verdict is Verdict.INCONCLUSIVE


def test_attack_whose_answers_are_turned_round_does_not_pass_for_safe() -> None:
    section = Section(
        section_id="membership",
        cells=membership_section(-4.0).cells,
        controls=(positive_control(-normals(5, 50) - 2, -normals(6, 50)),),
    )
    assert section.verdict is Verdict.INCONCLUSIVE


def test_interval_that_covers_the_headline_limit_still_fails_by_its_estimate() -> None:
    members, others = normals(1, 25) + 1.6, normals(2, 25)
    cell = judge(
        lambda level: auc(members, others, level),
        LIMITS,
        metric="auc",
        group="token",
        num_in=25,
        num_out=25,
        cells_in_section=40,
        headline=True,
    )
    assert np.isfinite(cell.lower or math.nan)
    assert (cell.lower or 0) < 0.8 < (cell.estimate or 0)
    assert cell.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "limits", [(math.nan, 0.8, math.inf), (0.7, math.inf, math.inf), (0.7, 0.8, -1.0), (0.7, 0.8, math.nan)]
)
def test_impossible_limits_are_refused(limits: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError):
        Limits(passes=limits[0], fails=limits[1], claim=limits[2])


def test_section_of_no_cells_cannot_be_judged() -> None:
    with pytest.raises(ConfigError):
        judge(
            lambda level: Interval(value=0, low=0, high=0),
            LIMITS,
            metric="a",
            group="b",
            num_in=1,
            num_out=1,
            cells_in_section=0,
        )
