"""The account: reserve, charge, void; what is refused changes nothing."""

from __future__ import annotations

import copy
import json
import math
import pickle  # noqa: TID251 - to see it refused
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from fedward.common.errors import BudgetExhaustedError, ConfigError, PrivacyError
from fedward.common.ledger import budget
from fedward.common.ledger.budget import BudgetAccount, EntryState, Permit
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, PrivacyEvent

ROUND = PoissonGaussian(sample_rate=0.1, noise_multiplier=2.0, num_steps=20)


def account(cap: float = 3.0) -> BudgetAccount:
    return BudgetAccount(epsilon_cap=cap, delta=1e-5)


def reserve(of: BudgetAccount) -> Permit:
    return of.reserve(ROUND, clip_norm=0.5, purpose="train")


def test_a_reservation_counts_before_it_is_charged() -> None:
    books = account()
    reserve(books)
    assert books.history == (ROUND,)
    assert books.epsilon() == accounting.epsilon([ROUND], 1e-5) > 0


def test_a_permit_carries_the_event_and_the_clip() -> None:
    permit = reserve(account())
    assert (permit.event, permit.clip_norm, permit.purpose) == (ROUND, 0.5, "train")


def test_rounds_are_composed_until_the_cap_and_a_refusal_changes_no_byte() -> None:
    books = account(cap=1.5)
    while accounting.epsilon([*books.history, ROUND], 1e-5) <= 1.5:
        books.charge(reserve(books))
    before = books.to_bytes()
    with pytest.raises(BudgetExhaustedError, match=r"allowed 1\.5"):
        reserve(books)
    assert books.to_bytes() == before
    assert len(books.history) >= 2
    assert books.epsilon() <= 1.5 < accounting.epsilon([*books.history, ROUND], 1e-5)


def test_the_cap_itself_may_be_reached() -> None:
    exact = accounting.epsilon([ROUND], 1e-5)
    reserve(account(cap=exact))
    with pytest.raises(BudgetExhaustedError):
        reserve(account(cap=math.nextafter(exact, 0)))


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_a_cost_that_is_no_number_is_refused(cost: float, monkeypatch: pytest.MonkeyPatch) -> None:
    books = account()
    monkeypatch.setattr(accounting, "epsilon", lambda *_: cost)
    with pytest.raises(BudgetExhaustedError):
        reserve(books)
    assert books.history == ()


def test_a_charge_is_never_refunded() -> None:
    books = account()
    permit = reserve(books)
    books.charge(permit)
    with pytest.raises(PrivacyError, match="open reservation"):
        books.void(permit)
    with pytest.raises(PrivacyError, match="open reservation"):
        books.charge(permit)
    assert books.entries[0].state is EntryState.CHARGED


def test_a_voided_reservation_counts_no_more_and_cannot_be_used() -> None:
    books = account()
    permit = reserve(books)
    books.void(permit)
    assert books.history == ()
    assert books.epsilon() == 0.0
    assert books.entries[0].state is EntryState.VOID
    with pytest.raises(PrivacyError, match="one use"):
        permit.claim()


def test_a_permit_is_claimed_once() -> None:
    permit = reserve(account())
    permit.claim()
    with pytest.raises(PrivacyError, match="one use"):
        permit.claim()


def test_a_charged_permit_cannot_be_claimed() -> None:
    books = account()
    permit = reserve(books)
    books.charge(permit)
    with pytest.raises(PrivacyError, match="one use"):
        permit.claim()


def test_a_permit_of_another_account_is_refused() -> None:
    with pytest.raises(PrivacyError, match="open reservation"):
        account().charge(reserve(account()))


def test_a_forged_permit_is_refused() -> None:
    books = account()
    reserve(books)
    with pytest.raises(PrivacyError, match="open reservation"):
        books.charge(Permit(event=ROUND, clip_norm=0.5, purpose="train"))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_permit_cannot_be_copied(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(PrivacyError, match="cannot be copied"):
        duplicate(reserve(account()))


@pytest.mark.parametrize(
    "forge",
    [
        lambda permit: Permit(event=ROUND, clip_norm=0.5, purpose="train"),
        lambda permit: Permit(event=ROUND, clip_norm=0.5, purpose="train", _account=permit._account),
        lambda permit: replace(permit, clip_norm=9.0),
    ],
    ids=["by hand", "with the account", "replace"],
)
def test_a_permit_that_no_account_made_cannot_be_claimed(forge: Callable[[Permit], Permit]) -> None:
    permit = reserve(account())
    with pytest.raises(PrivacyError):
        forge(permit).claim()
    permit.claim()


def test_a_claimed_permit_cannot_be_voided_but_charged() -> None:
    books = account()
    permit = reserve(books)
    permit.claim()
    with pytest.raises(PrivacyError, match="has begun"):
        books.void(permit)
    assert books.history == (ROUND,)
    books.charge(permit)
    assert books.entries[0].state is EntryState.CHARGED


def test_of_many_threads_one_claims_a_permit() -> None:
    permit = reserve(account())
    outcomes: list[bool] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        try:
            permit.claim()
            outcomes.append(True)
        except PrivacyError:
            outcomes.append(False)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_what_was_spent_before_the_account_counts() -> None:
    earlier = Gaussian(noise_multiplier=20.0, num_releases=1)
    books = BudgetAccount(epsilon_cap=3.0, delta=1e-5, history=[earlier])
    reserve(books)
    assert books.history == (earlier, ROUND)


def test_two_threads_cannot_both_pass_one_gap() -> None:
    books = account(cap=accounting.epsilon([ROUND], 1e-5) * 1.01)
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait()
        try:
            reserve(books)
            outcomes.append("granted")
        except BudgetExhaustedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["granted", "refused"]


def test_the_account_survives_its_bytes() -> None:
    books = BudgetAccount(epsilon_cap=9.0, delta=1e-5, history=[Gaussian(noise_multiplier=20.0, num_releases=1)])
    books.charge(reserve(books))
    books.void(reserve(books))
    reserve(books)
    again = BudgetAccount.from_bytes(books.to_bytes())
    assert again.to_bytes() == books.to_bytes()
    assert again.history == books.history
    assert again.entries == books.entries
    assert (again.epsilon_cap, again.delta) == (9.0, 1e-5)


def test_a_reservation_that_was_open_when_stored_stays_counted_for_good() -> None:
    books = account()
    permit = reserve(books)
    again = BudgetAccount.from_bytes(books.to_bytes())
    with pytest.raises(PrivacyError, match="open reservation"):
        again.void(permit)
    assert again.history == (ROUND,)


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan, math.inf])
def test_a_cap_that_cannot_be_is_refused(cap: float) -> None:
    with pytest.raises(ConfigError, match="epsilon_cap"):
        account(cap)


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
def test_a_delta_that_cannot_be_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        BudgetAccount(epsilon_cap=1.0, delta=delta)


@pytest.mark.parametrize(
    ("clip", "purpose"), [(0.0, "train"), (math.nan, "train"), (1.0, ""), (1.0, "a\nb"), (1.0, "x" * 65)]
)
def test_a_reservation_that_cannot_be_is_refused(clip: float, purpose: str) -> None:
    books = account()
    with pytest.raises(ConfigError):
        books.reserve(ROUND, clip_norm=clip, purpose=purpose)
    assert books.entries == ()


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(PrivacyError, match="no privacy event"):
        account().reserve((1.0, 1e-5), clip_norm=1.0, purpose="spent elsewhere")  # type: ignore[arg-type]


def damaged() -> list[bytes]:
    books = account()
    reserve(books)
    good = json.loads(books.to_bytes())
    entry = good["entries"][0]
    changes: list[dict[str, object]] = [
        {"schema": "fedward.budget/2"},
        {"epsilon_cap": 3},
        {"epsilon_cap": -1.0},
        {"delta": "1e-5"},
        {"extra": 1},
        {"entries": [{**entry, "state": "refunded"}]},
        {"entries": [{**entry, "clip_norm": 0.0}]},
        {"entries": [{**entry, "more": 0}]},
        {"entries": [{**entry, "event": {}}]},
        {"earlier": [[]]},
    ]
    raw = books.to_bytes()
    return [json.dumps({**good, **change}).encode() for change in changes] + [
        raw[:-1],
        raw.replace(b"3.0", b"NaN", 1),
        raw.replace(b'"delta"', b'"epsilon_cap":9.0,"delta"', 1),
        b" " * (budget._MAX_BYTES + 1),
    ]


@pytest.mark.parametrize("raw", damaged(), ids=lambda raw: str(len(raw)))
def test_bytes_that_are_not_exactly_an_account_are_refused(raw: bytes) -> None:
    with pytest.raises(PrivacyError):
        BudgetAccount.from_bytes(raw)


def test_a_reservation_does_not_compose_a_long_history_event_by_event(monkeypatch: pytest.MonkeyPatch) -> None:
    books = BudgetAccount(epsilon_cap=80.0, delta=1e-5, history=[replace(ROUND, num_steps=1)] * 1000)
    composed: list[int] = []
    real = accounting.epsilon

    def noted(history: Sequence[PrivacyEvent], delta: float) -> float:
        composed.append(len(history))
        return real(history, delta)

    monkeypatch.setattr(accounting, "epsilon", noted)
    reserve(books)
    assert books.epsilon() == real([replace(ROUND, num_steps=1020)], 1e-5)
    assert composed == [2, 2]
    assert len(books.history) == 1001
