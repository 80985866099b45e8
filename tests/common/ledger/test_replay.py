"""What a chain says of the budget, and which entries no honest writer appends."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.config import PrivacyMode
from fedward.common.errors import LedgerError, LedgerVersionError
from fedward.common.ledger.chain import Draft, Fault
from fedward.common.ledger.replay import MODES, BudgetReplay, event_fields, judge_budget, read_event
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import Gaussian, Laplace, PoissonGaussian, PrivacyEvent
from tests.ledgers import EVENT, accepted, account, adjust, chained, charge, reserve, sent, void


def replayed(*drafts: Draft) -> BudgetReplay:
    replay = BudgetReplay()
    assert judge_budget(chained(drafts), replay).is_good
    return replay


def test_reservations_count_until_they_are_voided() -> None:
    open_one = replayed(account(), reserve()).accounts["default"]
    assert open_one.history == (EVENT,)
    assert replayed(account(), reserve(), charge(2)).accounts["default"].history == (EVENT,)
    assert replayed(account(), reserve(), void(2)).accounts["default"].history == ()


def test_epsilon_adds_up_as_the_accountant_says() -> None:
    events = [(0.01, 0.8, 500), (0.02, 1.2, 300), (0.1, 4.0, 50)]
    drafts = [
        reserve(PoissonGaussian(sample_rate=q, noise_multiplier=z, num_steps=n), number=k)
        for k, (q, z, n) in enumerate(events)
    ]
    assert replayed(account(), *drafts).accounts["default"].epsilon() == pytest.approx(3.37233, abs=1e-3)


@pytest.mark.parametrize(
    "event",
    [EVENT, Gaussian(noise_multiplier=3.25, num_releases=4), Laplace(scale=0.5, num_releases=1)],
)
def test_an_event_is_read_as_it_was_written(event: PrivacyEvent) -> None:
    assert read_event(event_fields(event)) == event


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Magic"},
        {"num_steps": "100"},
        {"num_steps": True},
        {"num_steps": -1},
        {"noise_multiplier": "0"},
        {"noise_multiplier": "nan"},
        {"noise_multiplier": 1},
        {"sample_rate": "1.5"},
        {"extra": "1"},
    ],
)
def test_an_event_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(LedgerError):
        read_event({**event_fields(EVENT), **change})


def without(draft: Draft, name: str) -> Draft:
    return Draft(kind=draft.kind, fields={key: value for key, value in draft.fields.items() if key != name})


BIG = PoissonGaussian(sample_rate=0.5, noise_multiplier=0.6, num_steps=100)
POLICY = Draft(kind="policy.set", fields={"sha256": "ab" * 32})
FORBIDDEN: list[tuple[str, list[Draft], int]] = [
    ("a charge of nothing", [account(), charge(1)], 2),
    ("a charge of a later reservation", [account(), charge(3), reserve()], 2),
    ("a second charge", [account(), reserve(), charge(2), charge(2)], 4),
    ("a void of a charge", [account(), reserve(), charge(2), void(2)], 4),
    ("a second void", [account(), reserve(), void(2), void(2)], 4),
    ("a charge of a void", [account(), reserve(), void(2), charge(2)], 4),
    ("an account that was never opened", [reserve()], 1),
    ("a reservation above the cap", [account(), reserve(BIG)], 2),
    ("above the cap for a while", [account(), reserve(BIG), void(2)], 2),
    ("a cap raised behind a reservation that passed it", [account(), reserve(BIG), POLICY, account("500")], 2),
    ("one of many above the cap", [account("1.6"), *(reserve(number=k) for k in range(30)), void(9)], 10),
    ("a cap raised without a policy", [account(), account("500")], 2),
    ("a second cap raised behind one policy", [account(), POLICY, account("6"), account("7")], 4),
    ("a reservation behind an adjustment above the cap", [account(), adjust(BIG), reserve()], 3),
    ("something sent and not charged", [account(), reserve(), sent()], 3),
    ("something sent and charged afterwards", [account(), reserve(), sent(), charge(2)], 3),
    ("something sent for another attempt", [account(), reserve(), charge(2), sent(attempt=1)], 4),
    ("something sent while a reservation for it is open", [account(), reserve(), reserve(), charge(2), sent()], 5),
    ("something sent in a private run and not charged", [accepted(), sent()], 2),
    ("a run that is accepted without privacy too", [accepted(), accepted("none")], 2),
    ("a mode that is none of a plan's", [accepted("loud")], 1),
    ("an accepted plan without its digest", [without(accepted(), "plan")], 1),
    ("a policy that says more than its digest", [Draft(kind="policy.set", fields={**POLICY.fields, "text": "a"})], 1),
    ("a policy by another name", [Draft(kind="policy.set", fields={"sha256": "AB" * 32})], 1),
    ("a number for the name of an account", [account(name="1"), reserve(name=1)], 2),  # type: ignore[arg-type]
    ("an account without a name", [account(name="")], 1),
    ("a delta below all that can be computed", [account(delta="1e-13")], 1),
    ("a cap that is no number", [account("nan")], 1),
    ("a cap without end", [account("inf")], 1),
    ("another delta", [account(), account(delta="1e-5")], 2),
    ("another unit", [account(), account(unit="record")], 2),
    ("a cap of zero", [account("0")], 1),
    ("a negative cap", [account("-1")], 1),
    ("a cap in another spelling", [account("5.0")], 1),
    ("no unit", [without(account(), "unit")], 1),
    ("a boolean for a number", [account(), reserve(), Draft(kind="budget.charge", fields={"reserve": True})], 3),
]


@pytest.mark.parametrize(("drafts", "seq"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN])
def test_what_no_honest_writer_appends_is_named(drafts: list[Draft], seq: int) -> None:
    verdict = judge_budget(chained(drafts), BudgetReplay())
    assert (verdict.fault, verdict.bad_seq) == (Fault.BUDGET_INVALID, seq)


def test_a_cap_that_was_tightened_below_what_is_spent_is_no_fault_of_the_past() -> None:
    replay = replayed(account(), reserve(), charge(2), account("0.001"))
    assert replay.accounts["default"].epsilon_cap == 0.001
    after = [account(), reserve(), charge(2), account("0.001"), reserve(number=2)]
    assert judge_budget(chained(after), BudgetReplay()).bad_seq == 5


def test_a_cap_is_raised_behind_a_policy() -> None:
    replay = replayed(account("0.5"), POLICY, account("500"), reserve(BIG))
    assert replay.accounts["default"].epsilon_cap == 500


def test_what_was_charged_is_sent() -> None:
    replayed(account(), reserve(), charge(2), sent(), reserve(number=2), charge(5), sent(2))


def test_what_a_run_without_privacy_sends_is_charged_to_nobody() -> None:
    replay = replayed(accepted("none"), sent(), sent(2))
    assert replay.accounts == {}


def test_a_void_closes_a_position_for_what_is_sent() -> None:
    replayed(account(), reserve(), reserve(), charge(2), void(3), sent())


def test_the_history_of_a_run_is_what_of_the_account_bears_its_id() -> None:
    other = Draft(kind="budget.reserve", fields={**reserve(MIDDLE).fields, "run": "33" * 16})
    replay = replayed(account(), reserve(), other, charge(2), reserve(number=2), void(5))
    assert replay.history_of(bytes.fromhex("22" * 16)) == (EVENT,)
    assert replay.history_of(bytes.fromhex("33" * 16)) == (MIDDLE,)
    assert replay.history_of(bytes(16)) == ()


def test_the_modes_are_those_of_a_plan() -> None:
    assert set(MODES) == {mode.value for mode in PrivacyMode}


def test_many_mechanisms_end_in_a_verdict() -> None:
    events = [PoissonGaussian(sample_rate=1e-6, noise_multiplier=4 + k / 1000, num_steps=1) for k in range(1001)]
    drafts = [account(), *(reserve(event, number=k) for k, event in enumerate(events))]
    verdict = judge_budget(chained(drafts), BudgetReplay())
    assert (verdict.fault, verdict.bad_seq) == (Fault.BUDGET_INVALID, 1002)


def test_reserving_and_voiding_in_turn_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    real = accounting.epsilon

    def counted(history: Iterable[PrivacyEvent], delta: float) -> float:
        computed.append(1)
        return real(history, delta)

    monkeypatch.setattr(accounting, "epsilon", counted)
    drafts = [account(), *(draft for k in range(40) for draft in (reserve(number=k), void(2 * k + 2)))]
    replayed(*drafts)
    assert len(computed) <= 2


@given(st.lists(st.sampled_from(["reserve", "big", "void", "charge", "cap", "policy"]), max_size=8))
def test_epsilon_never_passes_the_cap_of_a_chain_that_is_good(moves: list[str]) -> None:
    """Against a judge that computes epsilon anew at every entry."""
    drafts, open_ones = [account("0.9")], []
    for move in moves:
        seq = len(drafts) + 1
        if move in ("reserve", "big"):
            drafts.append(reserve(EVENT if move == "reserve" else MIDDLE, number=seq))
            open_ones.append(seq)
        elif move in ("void", "charge") and open_ones:
            drafts.append((void if move == "void" else charge)(open_ones.pop()))
        elif move == "policy":
            drafts.append(POLICY)
        else:
            drafts.append(account("0.6"))
    verdict = judge_budget(chained(drafts), BudgetReplay())
    assert verdict.is_good == is_within_at_every_entry(drafts)


MIDDLE = PoissonGaussian(sample_rate=0.02, noise_multiplier=1.2, num_steps=60)


def is_within_at_every_entry(drafts: list[Draft]) -> bool:
    history: dict[int, PrivacyEvent] = {}
    cap = 0.0
    for seq, draft in enumerate(drafts, start=1):
        if draft.kind == "budget.account":
            cap = float(str(draft.fields["epsilon"]))
        elif draft.kind == "budget.reserve":
            history[seq] = read_event(draft.fields["event"])
            if accounting.epsilon(history.values(), 1e-6) > cap:
                return False
        elif draft.kind == "budget.void":
            del history[int(str(draft.fields["reserve"]))]
    return True


def test_an_unknown_budget_kind_stops_the_budget_and_other_kinds_pass() -> None:
    unknown = chained([account(), Draft(kind="budget.gift", fields={"account": "default"})])
    assert judge_budget(unknown, BudgetReplay()).fault is Fault.BUDGET_INVALID
    with pytest.raises(LedgerVersionError):
        BudgetReplay().take(unknown[2])
    replayed(account(), Draft(kind="weather.seen", fields={"sky": "blue"}))


def test_accounts_do_not_mix() -> None:
    replay = replayed(account(), account(name="other"), reserve(), reserve(name="other", number=2))
    assert {name: len(found.history) for name, found in replay.accounts.items()} == {"default": 1, "other": 1}
    assert replay.accounts["other"].epsilon() == accounting.epsilon([EVENT], 1e-6)
