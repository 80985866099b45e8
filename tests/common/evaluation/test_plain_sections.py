import numpy as np
import pytest

from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.plain_sections import (
    Account,
    accounting_section,
    inversion_section,
    optimizer_section,
    utility_section,
)
from fedward.common.evaluation.report import build, parse
from fedward.common.evaluation.verdicts import Section, Verdict
from tests.common.evaluation.test_optimizer_check import CLAIMS, run_path
from tests.common.evaluation.test_report import FACTS
from tests.evaluations import normals

GOOD = Account(epsilon=2.0, allowed=8.0, ledger_holds=True)


@pytest.mark.parametrize(
    "account",
    [
        Account(epsilon=None, allowed=8.0, ledger_holds=True),
        Account(epsilon=8.1, allowed=8.0, ledger_holds=True),
        Account(epsilon=float("nan"), allowed=8.0, ledger_holds=True),
        Account(epsilon=2.0, allowed=8.0, ledger_holds=False),
    ],
    ids=["no claim", "beyond", "not a number", "ledger"],
)
def test_one_bad_account_fails_the_run(account: Account) -> None:
    section = accounting_section({"north": GOOD, "south": account})
    assert section.verdict is Verdict.FAIL
    assert [cell.group for cell in section.cells if cell.verdict is Verdict.FAIL] == ["south"]


def test_accounts_within_plan_and_policy_pass_and_none_are_inconclusive() -> None:
    assert accounting_section({"north": GOOD}).verdict is Verdict.PASS
    assert accounting_section({}).verdict is Verdict.INCONCLUSIVE


def test_optimizer_section_names_the_path_and_what_is_outside() -> None:
    good, bad = run_path(CLAIMS[2]), run_path(CLAIMS[2], clip=2.0)
    assert optimizer_section({"fused": good}).verdict is Verdict.PASS
    section = optimizer_section({"fused": good, "hooks": bad})
    assert section.verdict is Verdict.FAIL
    assert "hooks: outside in clip" in section.notes[0]
    assert optimizer_section({}).verdict is Verdict.INCONCLUSIVE


def an_inversion(mean: float, *, raw: float = 0.99, count: int = 40, noise: float = 0.05) -> Section:
    return inversion_section(
        mean + 0.02 * normals(1, count), noise + 0.02 * normals(2, count), chance=0.03, raw_recall=raw, view="sum"
    )


def test_view_like_noise_passes_and_one_that_tells_tokens_fails() -> None:
    assert an_inversion(0.05).verdict is Verdict.PASS
    assert an_inversion(0.6).verdict is Verdict.FAIL


def test_one_limit_broken_is_inconclusive() -> None:
    assert an_inversion(0.2, noise=0.2).verdict is Verdict.INCONCLUSIVE


def test_broken_attack_and_few_updates_are_inconclusive() -> None:
    assert an_inversion(0.05, raw=0.9).verdict is Verdict.INCONCLUSIVE
    assert an_inversion(0.05, count=24).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("value", "retention", "asked", "alarms", "verdict"),
    [
        (0.05, 0.9, 0.8, (), Verdict.PASS),
        (0.11, 0.9, 0.8, (), Verdict.WARN),
        (0.05, 0.7, 0.8, (), Verdict.FAIL),
        (0.05, None, 0.8, (), Verdict.INCONCLUSIVE),
        (0.05, None, None, (), Verdict.PASS),
        (0.05, 0.9, 0.8, ("item-007",), Verdict.WARN),
    ],
)
def test_utility_is_judged_as_the_plan_says(
    value: float, retention: float | None, asked: float | None, alarms: tuple[str, ...], verdict: Verdict
) -> None:
    forgetting = Interval(value=value, low=value - 0.01, high=value + 0.01)
    section = utility_section(forgetting=forgetting, retention=retention, min_retention=asked, review_alarms=alarms)
    assert section.verdict is verdict


def test_forgetting_that_was_not_measured_is_inconclusive() -> None:
    assert utility_section(forgetting=None, retention=None, min_retention=None).verdict is Verdict.INCONCLUSIVE


def test_all_sections_make_a_report_that_reads_back() -> None:
    sections = [
        accounting_section({"north": GOOD, "south": Account(epsilon=None, allowed=8.0, ledger_holds=True)}),
        optimizer_section({"fused": run_path(CLAIMS[8])}),
        an_inversion(0.05),
        utility_section(forgetting=None, retention=0.9, min_retention=None),
    ]
    report = parse(build(sections, **FACTS).to_bytes())
    assert report.gate.blocking == ("accounting", "utility")
    assert np.isfinite([cell.estimate for cell in report.sections[1].cells if cell.estimate is not None]).all()
