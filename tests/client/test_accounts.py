"""A site's accounts and the entries that they become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.client.accounts import Accounts, Permits
from fedward.client.ledger_store import MemoryStore
from fedward.common.config import PrivacyUnit, SitePolicy
from fedward.common.errors import BudgetExhaustedError, ConfigError, LedgerError
from fedward.common.ledger.chain import Draft
from fedward.common.privacy.accounting import PoissonGaussian
from tests.federation_simulator import make_plan
from tests.ledgers import EVENT, IDENTITY

PLAN = make_plan()
RUN, OTHER = b"\x22" * 16, b"\x33" * 16
BIG = PoissonGaussian(sample_rate=0.5, noise_multiplier=0.6, num_steps=100)
POLICY_SET = Draft(kind="policy.set", fields={"sha256": "ab" * 32})


def opened(store: MemoryStore, run_id: bytes = RUN, **policy: object) -> Accounts:
    """As at the start of a process, in a run."""
    accounts = Accounts(SitePolicy().model_copy(update=policy), store.budget)
    accounts.open_run(PLAN, run_id=run_id, plan_digest=bytes(32), history=store.budget.history_of(run_id))
    return accounts


def written(store: MemoryStore, accounts: Accounts) -> None:
    store.commit([], lambda: b"", drafts=accounts.drafts)
    accounts.settle()


def kinds(store: MemoryStore) -> list[str]:
    return [entry.kind.removeprefix("budget.") for entry in store._ledger.entries()][1:]


def reserved(accounts: Accounts, *, at: tuple[int, int] = (1, 0)) -> Permits:
    return accounts.reserve(EVENT, 1.0, "train", at=at)


def test_an_account_is_opened_with_its_first_reservation_and_once() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store, account="people", units=(PrivacyUnit.PATIENT,))
    written(store, accounts)
    assert kinds(store) == []
    accounts.charge(reserved(accounts))
    written(store, accounts)
    reserved(accounts, at=(2, 0))
    written(store, accounts)
    assert kinds(store) == ["account", "reserve", "charge", "reserve"]
    found = store.budget.accounts["people"]
    assert (found.epsilon_cap, found.delta, found.unit, len(found.charged)) == (8.0, 1e-6, "patient", 1)


def test_a_reservation_names_its_run_place_plan_and_the_head_that_was_seen() -> None:
    store = MemoryStore(IDENTITY)
    accounts, head = opened(store), store._ledger.head
    reserved(accounts, at=(3, 1))
    written(store, accounts)
    fields = store._ledger.entries()[-1].fields
    expected = {"run": RUN.hex(), "round": 3, "attempt": 1, "plan": "00" * 32, "head": head.hash.hex()}
    assert {name: fields[name] for name in expected} == expected


def test_what_is_taken_back_before_it_was_written_leaves_no_entry() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store)
    accounts.void(reserved(accounts))
    written(store, accounts)
    assert (kinds(store), accounts.history, accounts.is_settled) == ([], (), True)


def test_what_is_taken_back_later_is_an_entry_of_its_own() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store)
    permits = reserved(accounts)
    written(store, accounts)
    accounts.void(permits)
    written(store, accounts)
    assert kinds(store) == ["account", "reserve", "void"]
    assert store.budget.history_of(RUN) == ()


def test_drafts_that_could_not_be_written_are_the_same_again() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store)
    accounts.charge(reserved(accounts))
    head = store._ledger.head
    assert accounts.drafts(head) == accounts.drafts(head)
    written(store, accounts)
    assert kinds(store) == ["account", "reserve", "charge"]


def test_a_new_process_has_both_histories_from_the_chain() -> None:
    store = MemoryStore(IDENTITY)
    first = opened(store)
    first.charge(reserved(first))
    written(store, first)
    second = opened(store, OTHER)
    reserved(second)
    written(store, second)
    again = opened(store)
    assert (again.history, again.of_site.history) == ((EVENT,), (EVENT,) * 2)


def test_the_cap_holds_across_processes() -> None:
    store = MemoryStore(IDENTITY)
    first = opened(store, account_epsilon=2.0)
    first.charge(reserved(first))
    written(store, first)
    num_runs = 0
    while num_runs < 100:
        accounts = opened(store, OTHER, account_epsilon=2.0)
        try:
            reserved(accounts, at=(num_runs, 0))
        except BudgetExhaustedError:
            break
        written(store, accounts)
        num_runs += 1
    assert 0 < num_runs < 100
    assert store.budget.accounts["default"].epsilon() <= 2.0


def test_a_cap_is_raised_only_behind_a_policy_and_lowered_at_once() -> None:
    store = MemoryStore(IDENTITY)
    for cap, expected in ((2.0, 2.0), (5.0, 2.0), (1.9, 1.9)):
        accounts = opened(store, account_epsilon=cap)
        reserved(accounts)
        written(store, accounts)
        assert accounts.of_site.epsilon_cap == store.budget.accounts["default"].epsilon_cap == expected
    store.note(POLICY_SET)
    accounts = opened(store, account_epsilon=5.0)
    reserved(accounts)
    written(store, accounts)
    assert store.budget.accounts["default"].epsilon_cap == 5.0


def test_an_account_keeps_its_delta_for_life() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store)
    reserved(accounts)
    written(store, accounts)
    with pytest.raises(ConfigError, match="delta"):
        opened(store, account_delta=1e-7)


@pytest.mark.parametrize(
    ("units", "counts_patients", "counts_records"),
    [(("patient",), True, False), (("patient", "record"), True, True), (("record",), True, True)],
)
def test_an_account_counts_for_its_unit_and_stronger_ones(
    units: tuple[str, ...], counts_patients: bool, counts_records: bool
) -> None:
    accounts = opened(MemoryStore(IDENTITY), units=tuple(map(PrivacyUnit, units)))
    assert accounts.counts(PrivacyUnit.PATIENT) is counts_patients
    assert accounts.counts(PrivacyUnit.RECORD) is counts_records


def test_the_unit_of_an_account_stays_when_the_policy_allows_a_weaker_one() -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store, units=(PrivacyUnit.PATIENT,))
    reserved(accounts)
    written(store, accounts)
    assert not opened(store, units=tuple(PrivacyUnit)).counts(PrivacyUnit.RECORD)


def failing(store: MemoryStore, accounts: Accounts) -> None:
    """A commit that comes to nothing."""
    impossible = Draft(kind="?", fields={})
    with pytest.raises(LedgerError):
        store.commit([], lambda: b"", drafts=lambda head: [*accounts.drafts(head), impossible])


@given(st.lists(st.sampled_from(["reserve", "charge", "void", "commit", "fail", "restart"]), max_size=12))
def test_whatever_happens_the_chain_never_counts_less_than_was_charged(moves: list[str]) -> None:
    store = MemoryStore(IDENTITY)
    accounts = opened(store)
    open_ones: list[Permits] = []
    charged = 0
    for number, move in enumerate(moves):
        if move == "reserve":
            open_ones.append(reserved(accounts, at=(number, 0)))
        elif move in ("charge", "void") and open_ones:
            (accounts.charge if move == "charge" else accounts.void)(open_ones.pop())
        elif move == "commit":
            written(store, accounts)
            charged = len(store.budget.accounts["default"].charged) if store.budget.accounts else 0
        elif move == "fail":
            failing(store, accounts)
        elif move == "restart":
            accounts, open_ones = opened(store), []
        counted = len(store.budget.history_of(RUN))
        assert charged <= counted
    written(store, accounts)
    assert store.budget.history_of(RUN) == accounts.history == accounts.of_site.history
