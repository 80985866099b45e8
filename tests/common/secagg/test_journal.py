import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedward.common.errors import ProtocolError
from fedward.common.secagg.journal import EntryKind, Journal, JournalEntry, MemoryJournal, SqliteJournal

RUN = bytes(range(16))
ENTRY = JournalEntry(run_id=RUN, round_number=1, attempt=0, kind=EntryKind.SENT, digest=b"d" * 32, detail=b"hash")


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    on_disk = SqliteJournal(tmp_path / "journal.db")
    yield on_disk
    on_disk.close()


def refusal_code(journal: Journal, *entries: JournalEntry) -> str:
    with pytest.raises(ProtocolError) as caught:
        journal.append(entries)
    return caught.value.code


def test_entries_come_back_in_the_order_they_were_written(journal: Journal) -> None:
    entries = [replace(ENTRY, round_number=number, digest=bytes([number]) * 32) for number in (3, 1, 2)]
    journal.append(entries[:1])
    journal.append(entries[1:])
    assert journal.entries(RUN) == tuple(entries)


def test_other_runs_are_apart(journal: Journal) -> None:
    journal.append([ENTRY])
    journal.append([replace(ENTRY, run_id=bytes(16))])
    assert journal.entries(RUN) == (ENTRY,)


@pytest.mark.parametrize("size", [1, 1 << 20, (5 << 19) + 3])
def test_bulk_comes_back_as_it_was(journal: Journal, size: int) -> None:
    bulk = bytes(range(251)) * (size // 251 + 1)
    entry = replace(ENTRY, bulk=memoryview(bulk)[:size])
    journal.append([replace(entry, round_number=2), replace(entry, kind=EntryKind.PREKEY, bulk=b"")])
    assert [bytes(found.bulk) for found in journal.entries(RUN)] == [bulk[:size], b""]


def test_bulk_is_what_it_was_when_it_was_written(journal: Journal) -> None:
    changing = bytearray(b"sum")
    journal.append([replace(ENTRY, bulk=memoryview(changing))])
    changing[:] = b"new"
    assert bytes(journal.entries(RUN)[0].bulk) == b"sum"


def test_newest_bulk_of_a_run_is_kept_and_every_entry(journal: Journal) -> None:
    other = replace(ENTRY, run_id=bytes(16), bulk=b"other run")
    journal.append([replace(ENTRY, bulk=b"first"), other])
    journal.append([replace(ENTRY, round_number=2, bulk=b"second"), replace(ENTRY, round_number=3)])
    assert [bytes(found.bulk) for found in journal.entries(RUN)] == [b"", b"second", b""]
    assert journal.entries(bytes(16)) == (other,)


def test_refused_entry_leaves_the_bulk_that_was_there(journal: Journal) -> None:
    journal.append([replace(ENTRY, bulk=b"first")])
    refusal_code(journal, replace(ENTRY, round_number=2, bulk=b"second"), ENTRY)
    assert [bytes(found.bulk) for found in journal.entries(RUN)] == [b"first"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (EntryKind.PREKEY, "PREKEY_EXISTS"),
        (EntryKind.ACCEPTED, "REPLAY_CONFLICT"),
        (EntryKind.SENT, "REPLAY_CONFLICT"),
        (EntryKind.CONFIRMED, "SURVIVORS_CHANGED"),
        (EntryKind.RELEASED, "SURVIVORS_CHANGED"),
        (EntryKind.FROZEN, "SURVIVORS_CHANGED"),
    ],
)
def test_second_entry_of_a_kind_for_one_position_is_refused(journal: Journal, kind: EntryKind, code: str) -> None:
    journal.append([replace(ENTRY, kind=kind)])
    assert refusal_code(journal, replace(ENTRY, kind=kind, digest=b"e" * 32)) == code


def test_refused_entries_leave_nothing(journal: Journal) -> None:
    journal.append([ENTRY])
    assert refusal_code(journal, replace(ENTRY, kind=EntryKind.RELEASED), ENTRY) == "REPLAY_CONFLICT"
    assert journal.entries(RUN) == (ENTRY,)


def test_one_entry_twice_at_once_is_refused(journal: Journal) -> None:
    assert refusal_code(journal, ENTRY, ENTRY) == "REPLAY_CONFLICT"
    assert journal.entries(RUN) == ()


def test_another_place_is_free(journal: Journal) -> None:
    journal.append([ENTRY, replace(ENTRY, round_number=2)])
    journal.append([replace(ENTRY, attempt=1), replace(ENTRY, kind=EntryKind.PREKEY)])
    assert len(journal.entries(RUN)) == 4


def test_every_commit_is_synced(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    with journal.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_entry_and_charge_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")

    def charge_and_fail() -> None:
        with journal.transaction() as connection:
            connection.execute("CREATE TABLE charges (x INTEGER)")
            journal.write([ENTRY])
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - raised above
        charge_and_fail()
    with journal.transaction() as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert sorted(tables) == [("secagg_journal",), ("secagg_journal_bulk",)]
    assert journal.entries(RUN) == ()
    journal.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from fedward.common.secagg.journal import EntryKind, JournalEntry, SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
entry = JournalEntry(run_id=bytes(range(16)), round_number=1, attempt=0, kind=EntryKind.SENT, digest=b"d" * 32)
journal.append([entry])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_entry_survives_a_kill_right_after_it_was_written(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    command = [sys.executable, "-c", KILLED, os.fspath(path)]
    done = subprocess.run(command, cwd=repository, timeout=60, check=False)
    assert done.returncode == -9
    journal = SqliteJournal(path)
    assert [entry.kind for entry in journal.entries(RUN)] == [EntryKind.SENT]
    assert refusal_code(journal, ENTRY) == "REPLAY_CONFLICT"
    journal.close()


def test_file_that_is_no_database_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes", "utf-8")
    with pytest.raises(sqlite3.DatabaseError):
        SqliteJournal(path)
    assert path.read_text("utf-8").startswith("not a database")


def test_commit_that_fails_leaves_the_journal_fit_for_use(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    with journal.transaction() as connection:
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("PRAGMA foreign_keys = ON")

    def write_orphan() -> None:
        with journal.transaction() as connection:
            journal.write([ENTRY])
            connection.execute("INSERT INTO children VALUES (7)")

    with pytest.raises(sqlite3.IntegrityError):
        write_orphan()
    assert journal.entries(RUN) == ()
    journal.append([ENTRY])
    assert journal.entries(RUN) == (ENTRY,)
    journal.close()
