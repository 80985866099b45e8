import dataclasses
from typing import Any

import numpy as np
import pytest

from fedward.common.errors import ConfigError, DataError
from fedward.common.evaluation.audit import audit, gaussian_limits
from fedward.common.evaluation.membership import positive_control
from fedward.common.evaluation.sections import (
    ScoredGroup,
    audit_section,
    extraction_section,
    membership_section,
)
from fedward.common.evaluation.thresholds import DEFAULTS, with_changes
from fedward.common.evaluation.verdicts import Section, Verdict
from tests.evaluations import flips, normals

COINS = flips(3, 400)
HOLDS = positive_control(normals(1, 50) + 2, normals(2, 50))


def tokens(shift: float, *, reserve: int = 1000, group: str = "token") -> ScoredGroup:
    """Canaries that an adapter ranks ``shift`` higher when they were in."""
    base = {"loss": normals(11, 400), "zlib": normals(12, 400)}
    return ScoredGroup(
        group=group,
        included=COINS,
        scores={name: values + 0.3 * normals(13, 400) + shift * COINS for name, values in base.items()},
        base_scores=base,
        headline="loss",
        reserve=dict.fromkeys(base, 1.05 * normals(14, reserve)),
    )


def test_non_private_adapter_fails_by_every_number() -> None:
    section = membership_section([tokens(4.0)], seed=1, controls=[HOLDS])
    assert section.verdict is Verdict.FAIL
    assert {cell.verdict for cell in section.cells} == {Verdict.FAIL}
    estimates = {(cell.metric, cell.score): cell.estimate or 0 for cell in section.cells}
    assert estimates["auc", "loss"] > 0.95
    assert estimates["accuracy", "loss"] > 0.85
    assert estimates["tpr", "loss"] > 0.5


def test_private_adapter_passes_and_its_base_says_nothing() -> None:
    section = membership_section([tokens(0.1)], seed=1, controls=[HOLDS], claim=gaussian_limits(8.0))
    assert section.verdict is Verdict.PASS
    assert len(section.cells) == 6
    assert all(control.holds for control in section.controls)


def test_leak_below_the_threshold_and_above_the_claim_fails() -> None:
    leak = [tokens(1.1)]
    assert membership_section(leak, seed=1, claim=gaussian_limits(0.1)).verdict is Verdict.FAIL
    assert membership_section(leak, seed=1).verdict is not Verdict.FAIL


def test_section_without_enough_reserve_is_inconclusive_by_that_cell() -> None:
    section = membership_section([tokens(0.1, reserve=999)], seed=1, controls=[HOLDS])
    assert section.verdict is Verdict.INCONCLUSIVE
    assert {cell.metric for cell in section.cells if cell.verdict is Verdict.INCONCLUSIVE} == {"tpr"}


def test_one_leaking_score_fails_the_section_whatever_the_headline_says() -> None:
    group = tokens(0.0)
    leaking = dataclasses.replace(group, scores={**group.scores, "zlib": normals(12, 400) + 4 * COINS})
    assert membership_section([leaking], seed=1).verdict is Verdict.FAIL


def test_members_that_a_base_can_tell_apart_are_no_control() -> None:
    group = tokens(0.0)
    uneven = dataclasses.replace(
        group, base_scores={name: np.asarray(values) + COINS for name, values in group.base_scores.items()}
    )
    assert membership_section([uneven], seed=1, controls=[HOLDS]).verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert not all(control.holds for control in membership_section([uneven], seed=1).controls)


def test_no_group_is_inconclusive() -> None:
    assert membership_section([], seed=1, controls=[HOLDS]).verdict is Verdict.INCONCLUSIVE


def test_broken_attack_is_inconclusive() -> None:
    broken = positive_control(normals(1, 50), normals(2, 50))
    assert membership_section([tokens(0.0)], seed=1, controls=[broken]).verdict is Verdict.INCONCLUSIVE


def test_groups_that_do_not_fit_are_refused() -> None:
    group = tokens(0.0)
    changes: list[dict[str, Any]] = [{"headline": "slot"}, {"base_scores": {}}, {"included": COINS[:5]}, {"scores": {}}]
    for change in changes:
        with pytest.raises(DataError):
            dataclasses.replace(group, **change)


def an_audit(shift: float, count: int = 400) -> Section:
    coins = flips(5, count)
    return audit_section(audit(normals(6, count) + shift * coins, coins), 8.0, is_gaussian=True)


def test_audit_of_a_private_run_passes() -> None:
    assert an_audit(0.1).verdict is Verdict.PASS


def test_bound_above_the_claim_fails() -> None:
    coins = flips(5, 400)
    result = audit(normals(6, 400) + 4 * coins, coins)
    assert audit_section(result, 2.0, is_gaussian=True).verdict is Verdict.FAIL
    assert audit_section(result, float("nan"), is_gaussian=True).verdict is Verdict.FAIL


def test_gaussian_bound_is_not_held_against_another_mechanism() -> None:
    coins = flips(5, 400)
    result = audit(normals(6, 400) + 3 * coins, coins)
    between = (result.pure.epsilon + result.gdp.epsilon) / 2
    assert result.pure.epsilon < between < result.gdp.epsilon
    assert audit_section(result, between, is_gaussian=True).verdict is Verdict.FAIL
    assert audit_section(result, between, is_gaussian=False).verdict is not Verdict.FAIL


@pytest.mark.parametrize("count", [100, 199])
def test_few_canaries_are_inconclusive(count: int) -> None:
    assert an_audit(0.1, count).verdict is Verdict.INCONCLUSIVE


def test_bound_without_power_is_inconclusive() -> None:
    coins = flips(5, 400)
    weak = audit(normals(6, 400), coins, delta=1e-2)
    section = audit_section(weak, 8.0, is_gaussian=True)
    assert section.verdict is Verdict.INCONCLUSIVE
    assert "perfect attack" in section.cells[0].note


def test_exposed_secrets_fail_and_hidden_ones_pass() -> None:
    hidden = np.abs(normals(1, 60)), [1.0] * 60
    twins = np.abs(normals(2, 100)), [1.0] * 100
    exposed = np.full(60, 6.0), [400_000.0] * 60
    assert extraction_section({"secret": hidden}, twins, seed=1).verdict is Verdict.PASS
    section = extraction_section({"secret": hidden, "secret_x6": exposed}, twins, seed=1)
    assert {(cell.group, cell.metric) for cell in section.cells if cell.verdict is Verdict.FAIL} == {
        ("secret_x6", "bits"),
        ("secret_x6", "advantage"),
    }


def test_advantage_that_the_twins_show_as_well_warns() -> None:
    bits = np.abs(normals(1, 60))
    section = extraction_section({"secret": (bits, [5_000.0] * 60)}, (np.abs(normals(2, 60)), [4_000.0] * 60), seed=1)
    assert section.verdict is Verdict.WARN


def test_secrets_without_twins_are_inconclusive() -> None:
    section = extraction_section({"secret": ([1.0] * 30, [1.0] * 30)}, ([], []), seed=1)
    assert section.verdict is Verdict.INCONCLUSIVE


def test_tighter_limits_are_taken_and_looser_ones_listed() -> None:
    limits, deviations = with_changes(
        {"membership.token.auc": {"passes": 0.6}, "membership.records.tpr": {"passes": 0.2, "fails": 0.2}}
    )
    assert limits["membership.token.auc"].passes == 0.6
    assert limits["membership.token.auc"].fails == DEFAULTS["membership.token.auc"].fails
    assert deviations == ("membership.records.tpr.passes: 0.2 in place of 0.06",)


@pytest.mark.parametrize(
    "change",
    [
        {"membership.other": {"passes": 0.1}},
        {"prompts.leak": {"estimate": 1.0}},
        {"prompts.leak": {"passes": float("nan")}},
    ],
)
def test_unknown_limits_are_refused(change: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ConfigError):
        with_changes(change)
