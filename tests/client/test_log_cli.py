"""``fedward logs``: who sees what of a site's log, and what it leaves in the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.site_folder import SiteFolder
from fedward.client.site_options import clock, default_key_file
from fedward.common.errors import AccessRefusedError, ConfigError
from fedward.common.ledger.reader import LedgerReader
from fedward.common.logs.logger import Log
from fedward.common.logs.segments import SealedStream
from fedward.common.logs.shelves import SegmentName
from fedward.common.logs.vault_shelf import VaultShelf
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import create_key_file
from tests.log_sinks import AT_S, RUN, Clocks

OTHER_RUN = b"\x12" * 16
RUNNER = CliRunner()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a day of log: at midnight and at noon."""
    path = tmp_path / "site"
    unlock = create_key_file(default_key_file(path))
    clocks = Clocks()
    log = Log(clock_s=clocks.wall_s)
    with SiteFolder.create(path, "alpha", unlocks=[unlock], clock=clock) as folder:
        stream = SealedStream(VaultShelf(folder, folder.principal(Role.DAEMON)), now_s=clocks.now_s)
        with log.kept_in(stream):
            log.event("round.sent", run=RUN, round=1, attempt=0)
            log.event("request.refused", run=OTHER_RUN, round=0, attempt=0, code="POLICY_REFUSED", rule="noise")
            clocks.now = 43_200.0
            log.event("round.sent", run=RUN, round=2, attempt=0)
    return path


def run(*words: str | Path) -> tuple[str, str]:
    done = RUNNER.invoke(app, ["logs", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.stdout, done.stderr


def events(*words: str | Path) -> list[str]:
    out, _ = run(*words, "--json")
    document = json.loads(out.splitlines()[-1])
    assert document["unreadable"] == 0
    return [f"{row['event']} {row.get('round', '')}".strip() for row in document["events"]]


def readings(site: Path) -> list[tuple[object, object, object]]:
    with LedgerReader(site / "ledger" / "ledger.db") as reader:
        found = [entry.fields for entry in reader.entries() if entry.kind == "access"]
    return [(body["role"], body["action"], body["allowed"]) for body in found if body["action"] == "read"]


def test_all_events_are_shown_in_order(site: Path) -> None:
    everything = ["log.opened", "round.sent 1", "request.refused 0", "round.sent 2", "log.closed"]
    assert events("--site", site) == everything
    assert events("--site", site, "--role", "steward") == everything


def test_one_line_an_event(site: Path) -> None:
    out, err = run("--site", site, RUN.hex())
    assert out.splitlines() == [
        f"2023-11-14T22:13:20Z info    round.sent run={RUN.hex()} round=1 attempt=0",
        f"2023-11-15T10:13:20Z info    round.sent run={RUN.hex()} round=2 attempt=0",
    ]
    assert "2 events" in err


def test_one_run_alone(site: Path) -> None:
    assert events("--site", site, OTHER_RUN.hex()) == ["request.refused 0"]


@pytest.mark.parametrize("since", ["2023-11-15", "2023-11-15T08:00", "2023-11-15T10:00+02:00"])
def test_nothing_older_than_asked_for(site: Path, since: str) -> None:
    assert events("--site", site, "--since", since) == ["round.sent 2", "log.closed"]


def test_time_ago_is_counted_from_now(site: Path) -> None:
    days = (clock() // 1000 - AT_S) // 86_400
    assert events("--site", site, "--since", "1h") == []
    assert len(events("--site", site, "--since", f"{days + 2}d")) == 5


def test_every_reading_is_in_the_ledger_first(site: Path) -> None:
    events("--site", site)
    assert readings(site) == [("operator", "read", True)] * 3  # the log, and its two segments


@pytest.mark.parametrize("role", ["auditor", "developer", "business_user", "daemon"])
def test_other_roles_see_nothing_and_the_refusal_is_an_entry(site: Path, role: str) -> None:
    with pytest.raises(AccessRefusedError):
        run("--site", site, "--role", role)
    assert readings(site) == [(role, "read", False)]


@pytest.mark.parametrize(
    "words", [["x"], ["A" * 32], ["--since", "yesterday"], ["--since", "1w"], ["--since", ""], ["--role", "root"]]
)
def test_options_that_cannot_be_are_refused_with_a_hint(site: Path, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        run("--site", site, *words)
    assert caught.value.advice
    assert readings(site) == []


def test_damaged_segment_hides_no_other_and_is_counted(site: Path) -> None:
    first, *_ = sorted((site / "data" / "objects" / "log").iterdir())
    raw = bytearray(first.read_bytes())
    raw[-40] ^= 1
    first.write_bytes(raw)
    done = RUNNER.invoke(app, ["logs", "--site", str(site), "--json"])
    assert done.exit_code == 3
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["unreadable"] == 1
    assert document["events"]


def test_what_is_no_segment_is_counted_and_not_shown(site: Path, tmp_path: Path) -> None:
    name = SegmentName(opened_at_s=AT_S, boot="bb" * 4, number=1)
    hostile = b'{"schema":"fedward.log/1","boot":"b","segment":1}\n{"event":"\\u001b[31mred"}\n'
    from fedward.client.site_options import chosen_unlock

    with SiteFolder.open(site, unlocks=[chosen_unlock(site, None, False, None, False)], clock=clock) as folder:
        VaultShelf(folder, folder.principal(Role.DAEMON)).put(name, hostile, is_last=True)
    done = RUNNER.invoke(app, ["logs", "--site", str(site)])
    assert done.exit_code == 3
    assert "\x1b" not in done.stdout
    assert "red" not in done.stdout.replace("refused", "")
