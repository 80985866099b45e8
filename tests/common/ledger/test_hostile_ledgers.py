"""Files that somebody made to be read as ledgers, and writers that go astray. Nothing here may hang or crash."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedward.client.ledger_files import VerifyLevel, judge_file
from fedward.common.errors import ConfigError, FedwardError, LedgerError, LedgerInvalidError, LedgerLockedError
from fedward.common.identity import Identity
from fedward.common.ledger.chain import Draft, Fault, genesis_draft, rotation_draft
from fedward.common.ledger.export import from_line, to_line
from fedward.common.ledger.reader import LedgerReader
from fedward.common.ledger.store import Ledger
from tests.ledgers import IDENTITY, LEDGER_ID, account, chained, charge, clock, reserve, sent, stored

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
TRIGGERS = ("entry_update", "entry_delete", "journal_update", "journal_delete")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "ledger.db"
    stored(place, [account(), reserve(), charge(2), sent()])
    return place


def edited(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def opened(path: Path, identity: Identity = IDENTITY) -> Ledger:
    return Ledger.open(path, identity=identity, clock=clock)


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE meta", f"CREATE VIEW meta AS {ENDLESS} SELECT x AS key, x AS value FROM c WHERE x < 0"),
        ("DROP TABLE meta", "CREATE VIEW meta AS SELECT 'ledger_id' AS key, zeroblob(1500000000) AS value"),
        ("DROP TABLE meta", "CREATE TABLE meta (key, value)", "INSERT INTO meta VALUES ('ledger_id', 5000000000)"),
        ("ALTER TABLE entry RENAME TO other", "CREATE VIEW entry AS SELECT * FROM other"),
        ("DROP TABLE journal", f"CREATE VIEW journal AS {ENDLESS} SELECT x, x, x, x, x FROM c"),
        ("ALTER TABLE entry ADD COLUMN more BLOB AS (zeroblob(1000000000))",),
        ("CREATE TRIGGER evil AFTER INSERT ON entry BEGIN DELETE FROM meta; END",),
        ("CREATE INDEX evil ON entry (abs(at_ms))",),
        ("CREATE TABLE more (x)",),
    ],
)
def test_tables_that_are_not_ours_to_the_letter_are_refused(path: Path, statements: tuple[str, ...]) -> None:
    edited(path, *statements)
    for use in (LedgerReader, opened, lambda place: judge_file(place, VerifyLevel.BUDGET)):
        with pytest.raises(LedgerError, match="version"):
            use(path)


def test_a_writer_wants_its_triggers_and_a_reader_judges_without(path: Path) -> None:
    edited(path)
    assert judge_file(path, VerifyLevel.BUDGET).verdict.is_good
    with pytest.raises(LedgerError, match="tables"):
        opened(path)


def test_an_index_of_the_journal_that_differs_is_no_way_to_a_second_vector(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        create = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        connection.execute("DROP TRIGGER journal_delete")
        connection.execute("DELETE FROM journal")
        connection.execute(create["journal_delete"])
    with pytest.raises(LedgerInvalidError, match="journal"):
        opened(path)


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE entry SET body = x'00' WHERE seq = 0", 0),
        ("UPDATE entry SET kind = 'Not A Kind' WHERE seq = 2", 2),
        ("UPDATE entry SET at_ms = -1 WHERE seq = 3", 3),
        ("UPDATE entry SET signature = x'00' WHERE seq = 4", 4),
        ("UPDATE entry SET hash = x'00' WHERE seq = 0", 0),
    ],
)
def test_a_row_that_is_no_entry_is_named_by_its_number(path: Path, statement: str, seq: int) -> None:
    edited(path, statement)
    verdict = judge_file(path, VerifyLevel.BUDGET).verdict
    assert (verdict.fault, verdict.bad_seq) == (Fault.ENTRY_ALTERED, seq)


def test_a_copy_of_the_ledgers_id_that_differs_is_found(path: Path) -> None:
    edited(path, "UPDATE meta SET value = zeroblob(16) WHERE key = 'ledger_id'")
    assert judge_file(path, VerifyLevel.CHAIN).verdict.fault is Fault.GENESIS_DIFFERS


def test_what_is_appended_while_a_ledger_is_judged_is_not_held_against_it(path: Path) -> None:
    with opened(path) as ledger, LedgerReader(path) as reader, reader.snapshot():
        before = list(reader.entries())
        ledger.append([reserve(number=2), charge(5), sent(2)], expected_head=ledger.head)
        assert list(reader.entries()) == before
        assert reader.has_journal({(b"\x22" * 16, 1, 0, "sent"): 4})


def test_a_copy_on_a_read_only_medium_is_judged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    real = sqlite3.connect

    def noted(place: str, **options: Any) -> Any:  # noqa: ANN401 - as sqlite3's
        modes.append(place.partition("?")[2])
        return real(place, **options)

    monkeypatch.setattr(sqlite3, "connect", noted)
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may write anywhere
    assert judge_file(path, VerifyLevel.BUDGET).verdict.is_good
    assert modes == ["mode=ro&immutable=1"]


def test_the_kinds_that_say_who_signs_are_not_appended_by_anyone(path: Path) -> None:
    with opened(path) as ledger:
        for draft in (
            genesis_draft(LEDGER_ID, "alpha", IDENTITY.public_key),
            rotation_draft(IDENTITY, Identity.generate()),
        ):
            with pytest.raises(LedgerError):
                ledger.append([draft], expected_head=ledger.head)
    opened(path).close()


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**30])
def test_a_number_that_no_reader_takes_is_not_written(path: Path, number: int) -> None:
    with opened(path) as ledger:
        for draft in (Draft(kind="access", fields={"count": number}), sent(number)):
            with pytest.raises(LedgerError):
                ledger.append([draft], expected_head=ledger.head)


def test_a_forked_process_appends_nothing(path: Path) -> None:
    with opened(path) as ledger:
        child = os.fork()
        if child == 0:
            try:
                ledger.append([reserve(number=2)], expected_head=ledger.head)
            except LedgerError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        ledger.append([reserve(number=2)], expected_head=ledger.head)


def test_a_ledger_is_not_taken_for_its_own_lock(path: Path) -> None:
    odd = path.with_name("odd.lock")
    path.rename(odd)
    raw = odd.read_bytes()
    with pytest.raises(LedgerError, match=r"\.lock"):
        opened(odd)
    assert odd.read_bytes() == raw


def test_a_lock_is_private_and_what_it_holds_is_not_repeated(path: Path) -> None:
    lock = path.with_suffix(".lock")
    lock.chmod(0o644)
    with opened(path):
        assert lock.stat().st_mode & 0o077 == 0
        lock.write_bytes(b"\x1b[2J")
        with pytest.raises(LedgerLockedError, match="process unknown"):
            opened(path)


def test_a_commit_that_cannot_even_be_read_back_ends_the_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(path)
    real = ledger._connection

    class Broken:
        def execute(self, statement: str, *arguments: object) -> object:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(statement, *arguments)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    def no_connection(*_: object, **__: object) -> None:
        raise LedgerError("cannot be opened")

    ledger._connection = Broken()  # type: ignore[assignment]
    monkeypatch.setattr("fedward.common.ledger.store.connect", no_connection)
    with pytest.raises(LedgerInvalidError, match="unclear"):
        ledger.append([reserve(number=2)], expected_head=ledger.head)
    with pytest.raises(LedgerError, match="closed"):
        _ = ledger.head


@contextmanager
def disk_of(num_bytes: int) -> Iterator[None]:
    """No file grows beyond so many bytes: as a full disk, but for the error's name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 100, 3000, 20_000])
def test_a_ledger_that_cannot_be_made_leaves_nothing(tmp_path: Path, num_bytes: int) -> None:
    place = tmp_path / "fresh.db"
    with disk_of(num_bytes), pytest.raises(LedgerError):
        Ledger.create(place, identity=IDENTITY, site_id="alpha", clock=clock)
    assert [entry.name for entry in tmp_path.iterdir()] == ["fresh.lock"]
    Ledger.create(place, identity=IDENTITY, site_id="alpha", clock=clock).close()


@pytest.mark.parametrize("num_bytes", [0, 5000, 20_000, 60_000])
def test_a_full_disk_leaves_whole_appends(path: Path, num_bytes: int) -> None:
    appended: list[int] = []

    def append_for_ever(ledger: Ledger) -> None:
        for number in count(2):
            ledger.append([reserve(number=number), sent(number)], expected_head=ledger.head)
            appended.append(number)

    with opened(path) as ledger:
        with disk_of(num_bytes), pytest.raises(LedgerError):
            append_for_ever(ledger)
        ledger.append([reserve(number=300)], expected_head=ledger.head)
    judged = judge_file(path, VerifyLevel.SIGNED)
    assert judged.verdict.is_good
    assert judged.num_entries == 5 + 2 * len(appended) + 1


ENTRIES = chained([account(), reserve(), charge(2), sent()])
LINES = [to_line(entry) for entry in ENTRIES]


@given(st.integers(0, 4), st.integers(0, 2000), st.sampled_from('0123456789abcdef"{}[]:,\\x \u0000\ud800e-'))
def test_any_single_edit_of_an_export_is_named_at_its_number(
    tmp_path_factory: pytest.TempPathFactory, seq: int, place: int, character: str
) -> None:
    line = LINES[seq]
    at = place % len(line)
    changed = line[:at] + character + line[at + 1 :]
    try:
        if from_line(changed) == ENTRIES[seq]:  # the case of a digit, say
            return
    except LedgerError:
        pass
    path = tmp_path_factory.mktemp("export") / "edited.jsonl"
    path.write_text("\n".join([*LINES[:seq], changed, *LINES[seq + 1 :]]), "utf-8", errors="replace")
    if seq == 0:
        with pytest.raises(LedgerError, match="export"):
            raise_if_bad(path)
    else:
        assert judge_file(path, VerifyLevel.SIGNED).verdict.bad_seq == seq


def raise_if_bad(path: Path) -> None:
    """A first line that is none is no ledger; one that reads is named."""
    verdict = judge_file(path, VerifyLevel.SIGNED).verdict
    if verdict.bad_seq == 0:
        raise LedgerError("the export is bad")


@given(st.binary(max_size=2000))
def test_hostile_exports_give_our_own_errors(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("export") / "hostile.jsonl"
    path.write_bytes(LINES[0].encode() + b"\n" + raw)
    try:
        judged = judge_file(path, VerifyLevel.BUDGET)
    except FedwardError:
        return
    assert judged.num_entries == 1


@example([(3814, 128)])  # in the text of a table
@given(st.lists(st.tuples(st.integers(100, 40_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_databases_give_our_own_errors(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]
) -> None:
    raw = bytearray(DATABASE)
    for at, value in edits:
        raw[at % len(raw)] = value
    path = tmp_path_factory.mktemp("damaged") / "ledger.db"
    path.write_bytes(raw)
    try:
        judge_file(path, VerifyLevel.BUDGET)
        opened(path).close()
    except FedwardError:
        return


def _database() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "ledger.db"
        stored(place, [account(), reserve(), charge(2), sent()])
        return place.read_bytes()


DATABASE = _database()


def test_an_export_without_bodies_says_that_its_budget_cannot_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "redacted.jsonl"
    path.write_text("\n".join(to_line(entry, is_redacted=True) for entry in ENTRIES))
    assert judge_file(path, VerifyLevel.SIGNED).verdict.is_good
    with pytest.raises(ConfigError, match="bodies"):
        judge_file(path, VerifyLevel.BUDGET)


def test_a_name_in_the_schema_that_is_no_text_is_refused(path: Path) -> None:
    raw = path.read_bytes()
    name = b"indexsqlite_autoindex_entry_1entry"
    header = raw.index(name) - 5  # types of the row's five columns; a byte each
    text_of_name = raw[header + 1]
    path.write_bytes(raw[: header + 1] + bytes([text_of_name - 1]) + raw[header + 2 :])  # the same length, as a blob
    with pytest.raises(LedgerError, match="tables"):
        LedgerReader(path)


def test_a_file_that_lost_part_of_a_page_is_found(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    assert judge_file(path, VerifyLevel.CHAIN).verdict.fault is Fault.ENTRY_ALTERED


def test_an_index_that_differs_from_the_entries_is_found(path: Path) -> None:
    with LedgerReader(path) as reader:
        head = reader.head().hash
    raw = path.read_bytes()
    places = (raw.index(head), raw.rindex(head))
    altered = head[:-1] + bytes([head[-1] ^ 1])
    for place in places:
        path.write_bytes(raw[:place] + altered + raw[place + len(altered) :])
        assert judge_file(path, VerifyLevel.CHAIN).verdict.fault is Fault.ENTRY_ALTERED


def test_no_flipped_byte_of_an_export_is_good(tmp_path: Path) -> None:
    raw = "\n".join(map(to_line, chained([account()]))).encode()
    place = tmp_path / "export"
    for index in range(len(raw)):
        # The bit that makes a small letter a capital: a number in hex would stay the same.
        place.write_bytes(raw[:index] + bytes([raw[index] ^ 0x20]) + raw[index + 1 :])
        with suppress(LedgerError):
            assert not judge_file(place, VerifyLevel.BUDGET).verdict.is_good, index
