"""What a writer keeps beside its entries, on disk and in memory, and a ledger that is in memory altogether."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import HeadMovedError, LedgerError
from fedward.common.ledger.beside import MAX_BESIDE_BYTES
from fedward.common.ledger.chain import ChainJudge, judge_chain
from fedward.common.ledger.reader import LedgerReader
from fedward.common.ledger.store import Ledger
from tests.ledgers import IDENTITY, account, charge, clock, reserve, sent

OLD, NEW = b"old sealed bytes" * 9, b"new sealed bytes" * 9


@pytest.fixture(params=["disk", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        made = Ledger.in_memory(identity=IDENTITY, site_id="alpha", clock=clock)
    else:
        made = Ledger.create(tmp_path / "ledger.db", identity=IDENTITY, site_id="alpha", clock=clock)
    with made:
        yield made


def test_a_value_is_replaced_with_the_entries_of_its_transaction(ledger: Ledger) -> None:
    assert ledger.beside("state") == b""
    ledger.append([account()], expected_head=ledger.head, beside={"state": OLD, "other": b"x"})
    ledger.append([], expected_head=ledger.head, beside={"state": NEW})
    assert (ledger.beside("state"), ledger.beside("other"), ledger.head.seq) == (NEW, b"x", 1)


def test_what_is_refused_before_commit_leaves_neither_entry_nor_value(ledger: Ledger) -> None:
    ledger.append([account()], expected_head=ledger.head, beside={"state": OLD})
    head = ledger.head

    def refuse(entries: object) -> None:
        raise LedgerError("no")

    with pytest.raises(LedgerError, match="no"):
        ledger.append([reserve()], expected_head=head, beside={"state": NEW}, check=refuse)
    with pytest.raises(HeadMovedError):
        ledger.append([], expected_head=ledger.head.__class__(ledger_id=head.ledger_id, seq=0, hash=bytes(32)))
    assert (ledger.head, ledger.beside("state"), len(ledger.entries())) == (head, OLD, 2)


def test_a_value_that_is_too_long_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="too long"):
        ledger.append([], expected_head=ledger.head, beside={"state": bytes(MAX_BESIDE_BYTES + 1)})


@given(st.binary(max_size=200_000))
def test_a_value_comes_back_as_it_was(value: bytes) -> None:
    with Ledger.in_memory(identity=IDENTITY, site_id="alpha", clock=clock) as made:
        made.append([], expected_head=made.head, beside={"state": b"a longer one before" * 99})
        made.append([], expected_head=made.head, beside={"state": value})
        assert made.beside("state") == value


def test_a_ledger_in_memory_is_the_same_chain(ledger: Ledger) -> None:
    ledger.append([account(), reserve()], expected_head=ledger.head)
    ledger.append([charge(2), sent()], expected_head=ledger.head)
    judge = ChainJudge(ledger.head.ledger_id, identity=IDENTITY.public_key)
    assert judge_chain(ledger.entries(), judge).is_good
    assert judge.head == ledger.head
    assert [entry.kind for entry in ledger.journal(bytes.fromhex("22" * 16))] == ["journal.sent"]
    assert ledger.has_place((bytes.fromhex("22" * 16), 1, 0, "sent"))
    assert not ledger.has_place((bytes.fromhex("22" * 16), 2, 0, "sent"))
    assert [entry.seq for entry in ledger.entries(since=2, limit=2)] == [2, 3]
    with pytest.raises(LedgerError, match="taken"):
        ledger.append([sent()], expected_head=ledger.head)


@pytest.mark.parametrize("statement", ["DELETE FROM entry", "UPDATE journal SET seq = 1", "INSERT OR REPLACE"])
def test_accidents_are_stopped_in_memory_too(statement: str) -> None:
    with Ledger.in_memory(identity=IDENTITY, site_id="alpha", clock=clock) as made:
        made.append([account(), reserve(), charge(2), sent()], expected_head=made.head)
        if statement.startswith("INSERT"):
            statement = "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE seq = 1"
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            made._connection.execute(statement)


def test_a_closed_ledger_tells_nothing(ledger: Ledger) -> None:
    ledger.close()
    for ask in (ledger.entries, lambda: ledger.beside("state"), ledger.scrub, lambda: ledger.journal(bytes(16))):
        with pytest.raises(LedgerError, match="closed"):
            ask()


def test_what_was_replaced_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.create(path, identity=IDENTITY, site_id="alpha", clock=clock) as made:
        made.append([account()], expected_head=made.head, beside={"state": OLD})
        made.scrub()
        assert OLD in path.read_bytes()
        made.append([], expected_head=made.head, beside={"state": NEW})
        made.scrub()
        found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert NEW in found
        assert OLD not in found


def test_readers_take_a_ledger_with_values_beside_and_none_with_another_table(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.create(path, identity=IDENTITY, site_id="alpha", clock=clock) as made:
        made.append([account()], expected_head=made.head, beside={"state": OLD})
    with LedgerReader(path) as reader:
        assert len(list(reader.entries())) == 2
    Ledger.open(path, identity=IDENTITY, clock=clock).close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE besides (name TEXT)")
    with pytest.raises(LedgerError, match="tables are others"):
        LedgerReader(path)
