"""Which plans a site judges at all, what waits for a person, and the entry of every verdict."""

from __future__ import annotations

import pytest

from fedward.client import plan_desk
from fedward.client.ledger_store import LedgerStore
from fedward.client.site import SiteAgent
from fedward.common.config import COORDINATOR, PrivacyUnit
from fedward.common.errors import LedgerError
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.store import Ledger
from fedward.common.messages import fedward_pb2 as pb
from tests.federation_simulator import POLICY, Federation, make_plan, refusal_of, reply_of
from tests.ledgers import IDENTITY
from tests.site_stores import KEY

DAY_MS = 86_400_000
LOUD = make_plan(privacy={"noise_multiplier": 0.01})


class Desk:
    """A site with a clock of its own, and a coordinator that offers it plans."""

    def __init__(self, **policy: object) -> None:
        self.now_ms = 1_700_000_000_000
        ledger = Ledger.in_memory(identity=IDENTITY, site_id="alpha", clock=lambda: self.now_ms)
        self.store = LedgerStore(ledger, key=KEY)
        self.policy = POLICY.model_copy(update=policy)
        self.agent = self.site()

    def site(self) -> SiteAgent:
        """Its process, from what the ledger has."""
        self.federation = Federation(policy=self.policy)
        return self.federation.agent(store=self.store)

    def offer(self, number: int, plan: object = None) -> bytes:
        """Of a run by its number."""
        federation = Federation(plan or make_plan(), policy=self.policy)  # type: ignore[arg-type]
        federation.run_id = bytes([number]) * 16
        self.federation = federation
        return federation.offer()

    def answer(self, number: int, plan: object = None) -> str:
        """In a word."""
        raw = self.agent.handle(self.offer(number, plan))
        try:
            reply_of(raw, pb.PlanAccept)
        except Exception:  # noqa: BLE001 - then it is a refusal, or the next line fails
            refusal = refusal_of(raw)
            return "/".join(filter(None, (refusal.code, refusal.rule)))
        return "accepted"

    def entries(self, kind: str = "plan.") -> list[dict[str, Value]]:
        """Bodies of one kind."""
        return [entry.fields for entry in self.store._ledger.entries() if entry.kind.startswith(kind)]

    def write(self, kind: str, **fields: Value) -> None:
        """An entry by other hands."""
        ledger = self.store._ledger
        ledger.append([Draft(kind=kind, fields=fields)], expected_head=ledger.head)


# ---------------------------------------------------------------------------------------------------- the limit


def test_the_eleventh_plan_of_a_day_is_not_judged_and_the_next_day_it_is() -> None:
    desk = Desk()
    answers = [desk.answer(number, LOUD) for number in range(1, 12)]
    assert answers == ["POLICY_REFUSED/noise"] * 10 + ["PLAN_LIMIT"]
    assert [fields["code"] for fields in desk.entries()] == ["POLICY_REFUSED"] * 10 + ["PLAN_LIMIT"]
    assert desk.answer(99) == "PLAN_LIMIT"  # a good one neither
    desk.now_ms += DAY_MS
    assert desk.answer(12, LOUD) == "POLICY_REFUSED/noise"


def test_asking_on_all_day_keeps_nobody_out_the_next_day() -> None:
    desk = Desk(max_plans_per_day=1)
    assert desk.answer(1) == "accepted"
    for number in range(2, 30):
        assert desk.answer(number) == "PLAN_LIMIT"
        desk.now_ms += DAY_MS // 40
    desk.now_ms += DAY_MS // 2
    assert desk.answer(30) == "accepted"


def test_the_limit_holds_across_processes_and_counts_accepted_plans() -> None:
    desk = Desk(max_plans_per_day=2)
    assert [desk.answer(1), desk.answer(2, LOUD)] == ["accepted", "POLICY_REFUSED/noise"]
    desk.agent = desk.site()
    assert desk.answer(3) == "PLAN_LIMIT"


def test_the_same_plan_again_is_no_further_plan() -> None:
    desk = Desk(max_plans_per_day=1)
    assert [desk.answer(1, LOUD), desk.answer(1, LOUD), desk.answer(1, LOUD)] == ["POLICY_REFUSED/noise"] * 3
    assert len(desk.entries()) == 1


# ---------------------------------------------------------------------------------------------------- approval


def approved(desk: Desk, number: int = 1) -> None:
    position = desk.federation.position()
    desk.write("plan.approved", run=(bytes([number]) * 16).hex(), plan=position.plan_digest.hex())


def test_a_plan_waits_for_its_approval_and_passes_when_it_is_offered_again() -> None:
    desk = Desk(approve="manual")
    assert desk.answer(1) == "APPROVAL_MISSING"
    assert desk.answer(1) == "APPROVAL_MISSING"
    assert desk.agent.export_state() == b""
    approved(desk)
    assert desk.answer(1) == "accepted"
    assert desk.answer(1) == "accepted"
    assert [fields.get("code", "") for fields in desk.entries()] == ["APPROVAL_MISSING", "", ""]


def test_waiting_uses_up_one_plan_of_the_day() -> None:
    desk = Desk(approve="manual", max_plans_per_day=1)
    assert [desk.answer(1) for _ in range(5)] == ["APPROVAL_MISSING"] * 5
    approved(desk)
    assert desk.answer(1) == "accepted"


def test_an_approval_is_for_one_plan_of_one_run() -> None:
    desk = Desk(approve="manual")
    desk.answer(1)
    approved(desk)
    other = make_plan(rounds=2)
    assert desk.answer(1, other) == "APPROVAL_MISSING"
    assert desk.answer(2) == "APPROVAL_MISSING"


def test_a_plan_that_waited_too_long_is_refused_for_good() -> None:
    desk = Desk(approve="manual", approval_ttl_s=3600.0)
    desk.answer(1)
    desk.now_ms += 3_600_001
    approved(desk)
    assert desk.answer(1) == "APPROVAL_MISSING"


def test_no_approval_lets_a_plan_pass_that_a_rule_refuses() -> None:
    desk = Desk(approve="manual")
    desk.offer(1, LOUD)
    approved(desk)
    assert desk.answer(1, LOUD) == "POLICY_REFUSED/noise"


# ---------------------------------------------------------------------------------------------------- verdicts


def test_an_accepted_plan_is_an_entry_that_says_with_which_noise() -> None:
    desk = Desk()
    desk.answer(1)
    (fields,) = desk.entries()
    expected = {"run": "01" * 16, "mode": "local", "unit": "patient", "profile": "plain_ring"}
    assert {name: fields[name] for name in expected} == expected


def test_a_refusal_names_the_first_rule_or_all_on_the_stewards_word() -> None:
    broken = make_plan(privacy={"noise_multiplier": 0.01, "clip_norm": 99.0}, training={"sample_rate": 0.9})
    assert Desk().answer(1, broken) == "POLICY_REFUSED/clip"
    assert Desk(disclose="all").answer(1, broken) == "POLICY_REFUSED/clip,sample_rate,noise"


def test_a_refused_request_is_an_entry_once_and_a_strangers_none() -> None:
    desk = Desk()
    desk.answer(1)
    early = desk.federation.train(9)
    for _ in range(3):
        assert refusal_of(desk.agent.handle(early)).code == "ROUND_ORDER"
    desk.agent.handle(b"noise")
    desk.agent.handle(early[:-1])
    (fields,) = desk.entries("request.")
    assert (fields["code"], fields["run"]) == ("ROUND_ORDER", "01" * 16)


def test_a_coordinator_that_asks_on_and_on_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_desk, "MAX_REFUSALS_A_DAY", 5)
    desk = Desk(max_plans_per_day=100)
    answers = [desk.answer(number, LOUD) for number in range(1, 20)]
    assert len(desk.entries()) == 5
    # What is written down no more is judged no more: else the day's limit of plans would be none.
    assert answers == ["POLICY_REFUSED/noise"] * 5 + ["PLAN_LIMIT"] * 14
    assert desk.answer(1, LOUD) == "POLICY_REFUSED/noise"
    desk.now_ms += DAY_MS
    assert desk.answer(50) == "accepted"


def test_a_refusal_is_answered_where_it_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def full(*_: object, **__: object) -> None:
        raise LedgerError("the ledger cannot be written")

    monkeypatch.setattr(LedgerStore, "note", full)
    assert desk.answer(1, LOUD) == "POLICY_REFUSED/noise"


def test_a_plan_that_could_not_be_written_down_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def full(*_: object, **__: object) -> None:
        raise LedgerError("the ledger cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerStore, "commit", full)
        assert desk.answer(1) == "ABSTAIN"
        assert desk.answer(1) == "ABSTAIN"
    assert desk.answer(1) == "accepted"
    assert [fields["mode"] for fields in desk.entries("plan.accepted")] == ["local"]


# ---------------------------------------------------------------------------------------------------- policy and data


def with_digest(desk: Desk, digest: bytes) -> SiteAgent:
    federation = desk.federation
    made = federation.agent(store=desk.store)
    return SiteAgent(
        site_id="alpha",
        identity=made._identity,
        roster=federation.roster,
        policy=desk.policy,
        trainer=federation.trainers["alpha"],
        entropy_for=made._duties.entropy_for,
        aggregator=made._aggregator,
        desensitized=made._desensitized,
        store=desk.store,
        policy_digest=digest,
    )


def test_a_policy_that_was_not_set_lets_nothing_in() -> None:
    desk = Desk()
    desk.agent = with_digest(desk, b"\xaa" * 32)
    assert desk.answer(1) == "POLICY_ALTERED"
    desk.write("policy.set", sha256="aa" * 32)
    assert desk.answer(1) == "accepted"
    desk.write("policy.set", sha256="bb" * 32)
    assert refusal_of(desk.agent.handle(desk.federation.train())).code == "POLICY_ALTERED"


@pytest.mark.parametrize(("units", "expected"), [(1000, "accepted"), (2_000_000, "POLICY_REFUSED/account_delta")])
def test_the_accounts_delta_is_judged_by_what_the_import_declared(units: int, expected: str) -> None:
    desk = Desk()
    desk.write("dataset.imported", account="default", nominal_units=units)
    assert desk.answer(1) == expected


def test_a_plan_of_a_weaker_unit_than_the_accounts_is_refused() -> None:
    desk = Desk()
    desk.answer(1)
    desk.agent.handle(desk.federation.train())
    desk.policy = desk.policy.model_copy(update={"units": tuple(PrivacyUnit)})
    desk.agent = desk.site()
    assert desk.answer(2, make_plan(privacy={"unit": "record"})) == "POLICY_REFUSED/unit"
    assert desk.answer(3) == "accepted"
    assert desk.store.budget.accounts["default"].unit == "patient"


def test_a_coordinator_is_counted_by_its_key() -> None:
    desk = Desk()
    desk.answer(1)
    (fields,) = desk.entries()
    plans, who = desk.store.plans, str(fields["coordinator"])
    assert len(plans.judged_since(0, who)) == 1
    assert plans.judged_since(0, COORDINATOR) == frozenset()


def test_a_site_without_a_store_has_a_ledger_in_memory() -> None:
    agent = Federation().joined()
    assert [entry.kind for entry in agent._store._ledger.entries()] == ["genesis", "plan.accepted"]
