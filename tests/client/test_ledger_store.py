"""A site's store upon its ledger: one transaction, nothing in the clear, and the chain as the truth."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.client.ledger_store import LedgerStore, MemoryStore
from fedward.common.envelope.recipients import SlotKey
from fedward.common.errors import HeadMovedError, LedgerError, LedgerVersionError, ProtocolError, RunError
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.store import Ledger
from fedward.common.secagg.journal import EntryKind, JournalEntry
from tests.ledgers import EVENT, IDENTITY, account, charge, clock, reserve, stored
from tests.site_stores import KEY, files_of, site_store

RUN = bytes.fromhex("22" * 16)
POLICY = Draft(kind="policy.set", fields={"sha256": "ab" * 32})


def line(kind: EntryKind = EntryKind.ACCEPTED, *, number: int = 1, detail: bytes = b"") -> JournalEntry:
    return JournalEntry(run_id=RUN, round_number=number, attempt=0, kind=kind, digest=b"d" * 32, detail=detail)


def just(*drafts: Draft) -> Callable[[object], tuple[Draft, ...]]:
    return lambda _: drafts


def kinds(store: LedgerStore) -> list[str]:
    return [entry.kind for entry in store._ledger.entries()]


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    return MemoryStore(IDENTITY) if request.param == "memory" else site_store(tmp_path / "ledger.db")


def test_entries_and_state_come_back_as_they_were(store: LedgerStore) -> None:
    sent = line(EntryKind.SENT, detail=b"v" * 32)
    store.commit([line()], lambda: b"state 1", drafts=just(account(), reserve()))
    store.commit([sent], lambda: b"state 2", drafts=just(charge(2)))
    assert store.entries(RUN) == (line(), sent)
    assert store.entries(bytes(16)) == ()
    assert store.load() == b"state 2"
    assert kinds(store) == [
        "genesis",
        "budget.account",
        "budget.reserve",
        "journal.accepted",
        "budget.charge",
        "journal.sent",
    ]
    assert store.budget.history_of(RUN) == (EVENT,)


@pytest.mark.parametrize(
    ("drafts", "entries"),
    [
        ([charge(9)], [line()]),
        ([reserve(name="nobody's")], [line()]),
        ([], [line(EntryKind.SENT)]),
        ([account(), account(delta="1e-5")], []),
    ],
    ids=["a charge of nothing", "an account that was never opened", "sent and not charged", "another delta"],
)
def test_what_the_judge_of_budgets_would_find_bad_is_not_written(
    drafts: list[Draft], entries: list[JournalEntry], store: LedgerStore
) -> None:
    store.commit([], lambda: b"state 1", drafts=just(POLICY))
    with pytest.raises(LedgerError):
        store.commit(entries, lambda: b"state 2", drafts=just(*drafts))
    assert (kinds(store), store.load(), store.entries(RUN)) == (["genesis", "policy.set"], b"state 1", ())
    # And what was half taken in is forgotten again.
    store.commit([line()], lambda: b"state 3", drafts=just(account(), reserve()))
    assert store.budget.history_of(RUN) == (EVENT,)


def test_a_position_is_used_once_and_says_what_was_tried(store: LedgerStore) -> None:
    store.commit([line(EntryKind.PREKEY)], lambda: b"")
    with pytest.raises(ProtocolError) as refused:
        store.commit([line(EntryKind.PREKEY)], lambda: b"")
    assert refused.value.code == "PREKEY_EXISTS"
    with pytest.raises(ProtocolError):
        store.commit([line(number=2), line(number=2)], lambda: b"")


def test_other_entries_of_the_same_ledger_move_no_head_away(store: LedgerStore) -> None:
    access = Draft(kind="access", fields={"role": "daemon"})
    store.commit([line()], lambda: b"", drafts=just(account(), reserve()))
    for _ in range(3):
        store._ledger.append([access], expected_head=store._ledger.head)
        store._ledger.append([POLICY], expected_head=store._ledger.head)
    assert store.plans.policy == "ab" * 32
    store.commit([], lambda: b"", drafts=lambda head: [charge(2)] if head.seq == 9 else [])
    assert kinds(store)[-1] == "budget.charge"


def test_an_entry_that_comes_between_head_and_append_is_followed(store: LedgerStore) -> None:
    asked: list[int] = []

    def drafts(head: object) -> list[Draft]:
        asked.append(1)
        if len(asked) == 1:
            store._ledger.append([POLICY], expected_head=store._ledger.head)
        return [account()]

    store.commit([], lambda: b"", drafts=drafts)
    assert (len(asked), kinds(store)) == (2, ["genesis", "policy.set", "budget.account"])


@pytest.mark.parametrize("draft", [reserve(number=7), account(name="another")], ids=["reserve", "account"])
def test_budget_that_other_hands_wrote_stops_the_store(draft: Draft, store: LedgerStore) -> None:
    store.commit([line()], lambda: b"state 1", drafts=just(account()))
    store._ledger.append([draft], expected_head=store._ledger.head)
    for _ in range(2):
        with pytest.raises(HeadMovedError):
            store.commit([], lambda: b"state 2")
        with pytest.raises(HeadMovedError):
            _ = store.budget
    assert store.load() == b"state 1"


def test_nothing_of_state_and_model_is_in_a_file_in_the_clear(tmp_path: Path) -> None:
    state, model = secrets.token_bytes(5000), secrets.token_bytes(300_000)
    store = site_store(tmp_path / "ledger.db")
    store.commit([line()], lambda: state, model=lambda: model)
    found = files_of(tmp_path)
    for part in (state[:40], state[-40:], model[:40], model[150_000:150_040], state[:40].hex().encode()):
        assert part not in found
    again = site_store(tmp_path / "ledger.db")
    assert (again.load(), again.load_model()) == (state, model)


def test_another_key_opens_neither(tmp_path: Path) -> None:
    site_store(tmp_path / "ledger.db").commit([], lambda: b"state", model=lambda: b"model")
    ledger = site_store(tmp_path / "ledger.db")._ledger
    other = LedgerStore(ledger, key=SlotKey(slot_id=KEY.slot_id, key=b"K" * 32), folder=tmp_path / "ledger.db-models")
    with pytest.raises(RunError, match="does not open"):
        other.load()
    assert other.load_model() == b""


def test_a_model_is_the_one_of_the_last_transaction_or_none(tmp_path: Path) -> None:
    models = tmp_path / "ledger.db-models"
    store = site_store(tmp_path / "ledger.db")
    store.commit([line()], lambda: b"", model=lambda: b"model 1")
    (first,) = models.iterdir()
    kept = first.read_bytes()
    with pytest.raises(ProtocolError):
        store.commit([line()], lambda: b"", model=lambda: b"model 2")
    with pytest.raises(LedgerError):  # written, and never named
        store.commit([], lambda: b"", drafts=just(charge(9)), model=lambda: b"model 3")
    assert store.load_model() == b"model 1"
    store.commit([], lambda: b"", model=lambda: b"model 4")
    (last,) = models.iterdir()
    assert store.load_model() == b"model 4"
    last.write_bytes(kept)  # an older one put back under the new name
    assert store.load_model() == b""
    last.unlink()
    assert store.load_model() == b""


def test_what_a_killed_process_left_of_a_model_goes_at_the_next_start(tmp_path: Path) -> None:
    models = tmp_path / "ledger.db-models"
    site_store(tmp_path / "ledger.db").commit([], lambda: b"", model=lambda: b"model")
    (models / ".fedward.half").write_bytes(b"half")
    (models / f"site-model-{'0' * 32}.fwe").write_bytes(b"never named")
    again = site_store(tmp_path / "ledger.db")
    assert len(list(models.iterdir())) == 1
    assert again.load_model() == b"model"


def test_an_unknown_kind_of_budget_stops_a_site_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    stored(path, [account(), Draft(kind="budget.gift", fields={"account": "default"})])
    with Ledger.open(path, identity=IDENTITY, clock=clock) as ledger, pytest.raises(LedgerVersionError):
        LedgerStore(ledger, key=KEY)


def test_what_is_durable_is_not_called_a_failure_because_an_old_copy_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = site_store(tmp_path / "ledger.db")

    def failing(_: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError

    store.commit([line()], lambda: b"", model=lambda: b"model 1")
    monkeypatch.setattr(Path, "unlink", failing)
    store.commit([line(EntryKind.SENT)], lambda: b"", drafts=just(account(), reserve(), charge(3)), model=lambda: b"2")
    assert len(store.budget.history_of(RUN)) == 1
    assert store.load_model() == b"2"
