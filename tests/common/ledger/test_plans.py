"""What a chain tells of plans, policies, approvals and declared numbers of people."""

from __future__ import annotations

from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.plans import PlanReplay, Waiting
from tests.ledgers import accepted, account, chained, clock

RUN, PLAN = "22" * 16, "44" * 32


def refused(code: str = "POLICY_REFUSED", rule: str = "noise", *, plan: str = PLAN, who: str = "c") -> Draft:
    fields: dict[str, Value] = {"run": RUN, "plan": plan, "coordinator": who, "code": code, "rule": rule}
    return Draft(kind="plan.refused", fields=fields)


def imported(units: Value, name: str = "default") -> Draft:
    return Draft(kind="dataset.imported", fields={"account": name, "nominal_units": units})


def replayed(*drafts: Draft) -> PlanReplay:
    plans = PlanReplay()
    for entry in chained(drafts):
        plans.take(entry)
    return plans


def test_the_last_policy_is_the_one_that_was_set_last() -> None:
    first, last = (Draft(kind="policy.set", fields={"sha256": digits * 32}) for digits in ("aa", "bb"))
    assert replayed().policy == ""
    assert replayed(first, account(), last).policy == "bb" * 32


def test_plans_are_counted_by_who_offered_them_and_when() -> None:
    plans = replayed(refused(), refused(), refused(plan="55" * 32), refused(plan="66" * 32, who="d"), accepted())
    assert plans.judged_since(clock() - 1, "c") == {(RUN, "55" * 32)}  # the other was accepted, for nobody's account
    assert plans.judged_since(clock() - 1, "d") == {(RUN, "66" * 32)}
    assert plans.judged_since(clock(), "c") == frozenset()


def test_a_plan_over_the_limit_was_not_judged() -> None:
    assert replayed(refused("PLAN_LIMIT")).judged_since(0, "c") == frozenset()


def test_a_plan_waits_from_the_first_time_and_is_approved_by_its_digest() -> None:
    plans = replayed(refused("APPROVAL_MISSING", ""), refused("APPROVAL_MISSING", "", plan="55" * 32))
    assert plans.waiting[RUN, PLAN] == Waiting(run_id=RUN, plan=PLAN, since_ms=clock())
    assert set(plans.waiting) == {(RUN, PLAN), (RUN, "55" * 32)}
    assert replayed(Draft(kind="plan.approved", fields={"run": RUN, "plan": PLAN})).approved == {(RUN, PLAN)}


def test_refusals_are_told_apart_by_their_words() -> None:
    plans = replayed(refused())
    assert plans.has_refusal(refused())
    assert not plans.has_refusal(refused(rule="clip"))
    assert not plans.has_refusal(refused(plan="55" * 32))
    assert plans.num_refusals_since(clock() - 1) == 1


def test_declared_numbers_of_an_account_add_up_until_a_data_set_goes() -> None:
    assert replayed().declared_units("default") is None
    several = [imported(200), imported(50), imported(7, "other")]
    assert replayed(*several).declared_units("default") == 250
    assert replayed(*several, Draft(kind="dataset.removed", fields={"imported": 1})).declared_units("default") == 50


def test_a_number_that_is_none_declares_nothing() -> None:
    assert replayed(imported(True), imported("9"), imported(0), imported(-4)).declared_units("default") is None
