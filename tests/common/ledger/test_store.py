"""The ledger on disk: durable, append-only, one writer."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from fedward.common.errors import HeadMovedError, LedgerError, LedgerInvalidError, LedgerLockedError
from fedward.common.identity import Identity
from fedward.common.ledger.chain import ChainJudge, Draft, Head, judge_chain
from fedward.common.ledger.reader import LedgerReader
from fedward.common.ledger.store import Ledger
from tests.ledgers import IDENTITY, account, charge, clock, reserve, sent, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def opened(path: Path, identity: Identity = IDENTITY) -> Ledger:
    return Ledger.open(path, identity=identity, clock=clock)


def kinds(path: Path) -> list[str]:
    with LedgerReader(path) as reader:
        return [entry.kind for entry in reader.entries()]


def test_what_is_appended_is_there_after_a_restart(path: Path) -> None:
    stored(path, [account(), reserve()])
    with opened(path) as ledger:
        receipt = ledger.append([charge(2), sent()], expected_head=ledger.head)
    assert [entry.seq for entry in receipt.entries] == [3, 4]
    assert kinds(path) == ["genesis", "budget.account", "budget.reserve", "budget.charge", "journal.sent"]
    with LedgerReader(path) as reader:
        assert judge_chain(reader.entries(), ChainJudge(reader.ledger_id)).is_good
        assert reader.head() == receipt.head
        assert reader.has_journal({(b"\x22" * 16, 1, 0, "sent"): 4})
        assert not reader.has_journal({(b"\x22" * 16, 1, 1, "sent"): 4})


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        stored(path, [account()])
    finally:
        os.umask(before)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes["ledger.db"] == 0o600
    assert modes["ledger.lock"] == 0o600
    assert all(mode & 0o077 == 0 for mode in modes.values())


def test_a_ledger_is_never_replaced(path: Path) -> None:
    stored(path, [account()])
    raw = path.read_bytes()
    with pytest.raises(LedgerError, match="exists"):
        Ledger.create(path, identity=IDENTITY, site_id="alpha", clock=clock)
    assert path.read_bytes() == raw
    assert not [entry for entry in path.parent.iterdir() if entry.name.startswith(".")]


def test_appending_on_another_head_changes_nothing(path: Path) -> None:
    stored(path, [account()])
    with opened(path) as ledger:
        stale = ledger.head
        ledger.append([reserve()], expected_head=stale)
        with pytest.raises(HeadMovedError):
            ledger.append([reserve(number=2)], expected_head=stale)
    assert kinds(path).count("budget.reserve") == 1


def test_a_bad_draft_takes_its_whole_transaction_with_it(path: Path) -> None:
    stored(path, [account()])
    bad = Draft(kind="access", fields={"share": 0.5})  # type: ignore[dict-item]
    with opened(path) as ledger:
        with pytest.raises(LedgerError):
            ledger.append([reserve(), bad], expected_head=ledger.head)
        ledger.append([reserve()], expected_head=ledger.head)
    assert kinds(path) == ["genesis", "budget.account", "budget.reserve"]


def test_a_second_vector_for_one_position_is_impossible(path: Path) -> None:
    stored(path, [sent()])
    with opened(path) as ledger:
        with pytest.raises(LedgerError, match="taken"):
            ledger.append([sent()], expected_head=ledger.head)
        ledger.append([sent(attempt=1)], expected_head=ledger.head)
    assert kinds(path).count("journal.sent") == 2


def test_a_second_writer_is_refused_and_told_who_has_it(path: Path) -> None:
    stored(path, [])
    with opened(path), pytest.raises(LedgerLockedError, match=str(os.getpid())):
        opened(path)
    opened(path).close()


def test_a_writer_who_takes_the_lock_away_meets_the_head(path: Path) -> None:
    stored(path, [account()])
    with opened(path) as first:
        path.with_suffix(".lock").unlink()
        with opened(path) as second:
            second.append([reserve()], expected_head=second.head)
            with pytest.raises(HeadMovedError):
                first.append([reserve(number=2)], expected_head=first.head)
    assert kinds(path).count("budget.reserve") == 1


def test_two_threads_cannot_append_on_one_head(path: Path) -> None:
    stored(path, [account()])
    won: list[int] = []
    with opened(path) as ledger:
        head = ledger.head

        def race(number: int) -> None:
            with suppress(LedgerError):
                ledger.append([reserve(number=number)], expected_head=head)
                won.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(won) == 1
    assert kinds(path).count("budget.reserve") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at_ms = 0",
        "DELETE FROM entry",
        "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE seq = 1",
        "UPDATE journal SET seq = 0",
        "DELETE FROM journal",
        "INSERT OR REPLACE INTO journal SELECT * FROM journal",
    ],
)
def test_accidents_are_stopped(path: Path, statement: str) -> None:
    stored(path, [account(), sent()])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)


def tampered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("entry_update", "entry_delete", "journal_update", "journal_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at_ms = 0 WHERE seq = 1",
        "UPDATE entry SET body = CAST(replace(body, 'patient', 'recordd') AS BLOB) WHERE seq = 1",
        "DELETE FROM entry WHERE seq = 1",
        "UPDATE entry SET seq = seq + 10 WHERE seq > 1",
        "UPDATE entry SET signature = zeroblob(64) WHERE seq = 2",
        "UPDATE entry SET kind = 'Not A Kind' WHERE seq = 2",
        "DELETE FROM entry",
        "DROP TABLE entry",
        "DELETE FROM meta",
        "UPDATE meta SET value = zeroblob(16) WHERE key = 'ledger_id'",
        "UPDATE meta SET value = CAST('fedward.ledger/9' AS BLOB) WHERE key = 'schema'",
    ],
)
def test_intent_is_found_when_the_ledger_is_opened(path: Path, statement: str) -> None:
    stored(path, [account(), reserve()])
    tampered(path, statement)
    with pytest.raises(LedgerError):
        opened(path)


def test_another_key_cannot_go_on_with_a_ledger(path: Path) -> None:
    stored(path, [account()])
    with pytest.raises(LedgerInvalidError, match="identity"):
        opened(path, Identity.generate())


def test_a_rotated_key_goes_on_and_the_old_one_does_not(path: Path) -> None:
    stored(path, [account()])
    new = Identity.generate()
    with opened(path) as ledger:
        ledger.rotate(new)
        ledger.append([reserve()], expected_head=ledger.head)
    with pytest.raises(LedgerInvalidError):
        opened(path)
    with opened(path, new) as ledger:
        ledger.append([charge(3)], expected_head=ledger.head)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(5000), b"text"])
def test_files_that_are_no_ledger_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        LedgerReader(path)
    with pytest.raises(LedgerError):
        opened(path)


def test_a_missing_ledger_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(LedgerError):
        LedgerReader(path)
    assert not path.exists()


def test_a_closed_ledger_appends_nothing(path: Path) -> None:
    stored(path, [])
    ledger = opened(path)
    head = ledger.head
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError):
        ledger.append([account()], expected_head=head)


DYING = """
import os, sqlite3, sys
from pathlib import Path
from fedward.common.ledger import store
from tests.ledgers import IDENTITY, clock, reserve, charge
place, path = sys.argv[1], Path(sys.argv[2])
ledger = store.Ledger.open(path, identity=IDENTITY, clock=clock)
real = ledger._connection
class Dying:
    def execute(self, statement, *arguments):
        if statement.startswith(place) and place != "after":
            os.kill(os.getpid(), 9)
        return real.execute(statement, *arguments)
    def __getattr__(self, name):
        return getattr(real, name)
ledger._connection = Dying()
receipt = ledger.append([reserve(number=7), charge(ledger.head.seq + 1)], expected_head=ledger.head)
if place == "after":
    os.kill(os.getpid(), 9)
print("sent", flush=True)
"""


@pytest.mark.parametrize(
    ("place", "is_counted"),
    [("BEGIN", False), ("SELECT", False), ("INSERT", False), ("COMMIT", False), ("after", True)],
)
def test_killed_at_any_step_of_a_charge_it_is_counted_or_nothing_left(path: Path, place: str, is_counted: bool) -> None:
    stored(path, [account()])
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", DYING, place, str(path)], cwd=root, capture_output=True, timeout=60, text=True
    )
    assert done.returncode == -9, done.stderr
    assert done.stdout == ""
    with opened(path) as ledger:
        assert (ledger.head.seq == 3) == is_counted
        ledger.append([reserve(number=8)], expected_head=ledger.head)
    assert kinds(path).count("budget.charge") == int(is_counted)


class FullDisk:
    """A connection whose COMMIT fails, before or after the deed."""

    def __init__(self, real: sqlite3.Connection, *, is_written: bool) -> None:
        self._real = real
        self._is_written = is_written

    def execute(self, statement: str, *arguments: object) -> object:
        if statement == "COMMIT":
            if self._is_written:
                self._real.execute("COMMIT")
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.execute(statement, *arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_a_commit_that_fails_is_read_back(path: Path) -> None:
    stored(path, [account()])
    with opened(path) as ledger:
        real = ledger._connection
        ledger._connection = FullDisk(real, is_written=False)  # type: ignore[assignment]
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.append([reserve()], expected_head=ledger.head)
        ledger._connection = real
        ledger.append([reserve()], expected_head=ledger.head)
        ledger._connection = FullDisk(real, is_written=True)  # type: ignore[assignment]
        with pytest.raises(LedgerInvalidError, match="unclear"):
            ledger.append([reserve(number=2)], expected_head=ledger.head)
        with pytest.raises(LedgerError, match="closed"):
            _ = ledger.head
    assert kinds(path).count("budget.reserve") == 2


def test_a_head_of_another_ledger_is_refused(path: Path) -> None:
    stored(path, [])
    with opened(path) as ledger:
        other = Head(ledger_id=bytes(16), seq=ledger.head.seq, hash=ledger.head.hash)
        with pytest.raises(HeadMovedError):
            ledger.append([account()], expected_head=other)


def test_a_head_that_stands_in_the_index_alone_is_not_on_the_chain(path: Path) -> None:
    stored(path, [account(), reserve()])
    with LedgerReader(path) as reader:
        true = reader.head().hash
    false = true[:-1] + bytes([true[-1] ^ 1])
    raw = path.read_bytes()
    assert raw.count(true) == 2  # the row, and the index
    places = [raw.index(true), raw.rindex(true)]
    found = []
    for place in places:
        path.write_bytes(raw[:place] + false + raw[place + len(false) :])
        with suppress(LedgerInvalidError), opened(path) as ledger:
            found.append((ledger.holds(false), ledger.holds(true)))
    assert found == [(False, False)]
