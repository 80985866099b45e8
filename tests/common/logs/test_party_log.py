"""A party's log from start to start: locked, unlocked, killed, old."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import LogEventError, VaultError
from fedward.common.logs.logger import Log
from fedward.common.logs.party_log import Daily, kept_by
from fedward.common.logs.reading import parse_segment
from fedward.common.logs.vault_shelf import VaultShelf
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock
from tests.log_sinks import AT_S, RUN

UNLOCK = KeyUnlock.of_secret(bytes([9]) * 32, "key-file")
DAY_S = 86_400
KILLED = """
import os, sys, threading
from pathlib import Path
from fedward.client.site_folder import SiteFolder
from fedward.common.logs.logger import Log
from fedward.common.logs.party_log import kept_by
from fedward.common.vault.unlocks import KeyUnlock

log = Log(clock_s=lambda: 1_699_999_000)
unlock = KeyUnlock.of_secret(bytes([9]) * 32, "key-file")
with SiteFolder.open(Path(sys.argv[1]), unlocks=[unlock], clock=lambda: 1_700_000_000_000) as folder:
    with kept_by(folder, log, every_s=0.01):
        log.event("round.sent", run=bytes(16), round=7, attempt=0)
        print("ready", flush=True)
        threading.Event().wait()
"""


def site_at(path: Path, at_s: int = AT_S) -> SiteFolder:
    if path.exists():
        return SiteFolder.open(path, unlocks=[UNLOCK], clock=lambda: at_s * 1000)
    return SiteFolder.create(path, "alpha", unlocks=[UNLOCK], clock=lambda: at_s * 1000)


def read(site: SiteFolder) -> list[str]:
    shelf, reader = VaultShelf(site, site.principal(Role.DAEMON)), site.principal(Role.OPERATOR)
    segments = [parse_segment(shelf.read(stored, reader)) for stored in shelf.stored()]
    return [line.event for segment in segments for line in segment.lines]


def test_what_was_said_before_unlock_is_kept_after_it(tmp_path: Path) -> None:
    log = Log(clock_s=lambda: AT_S)
    log.event("site.state", state="locked")
    with site_at(tmp_path / "site") as site:
        with log.strict(), kept_by(site, log):
            log.event("round.sent", run=RUN, round=1, attempt=0)
        assert read(site) == ["site.state", "log.opened", "round.sent", "log.closed"]
        assert list((site.path / "state" / "log").iterdir()) == []
        assert log.dropped == {}


def test_a_log_is_kept_in_one_place(tmp_path: Path) -> None:
    log = Log()
    with site_at(tmp_path / "one") as one, site_at(tmp_path / "two") as two, kept_by(one, log):
        with pytest.raises(LogEventError), kept_by(two, log):
            pass
        log.event("site.state", state="ready")


def test_start_deletes_what_is_old(tmp_path: Path) -> None:
    with site_at(tmp_path / "site") as site, kept_by(site, Log(clock_s=lambda: AT_S)):
        pass
    with site_at(tmp_path / "site", AT_S + 91 * DAY_S) as site:
        with kept_by(site, Log(clock_s=lambda: AT_S + 91 * DAY_S)):
            pass
        assert read(site) == ["log.expired", "log.opened", "log.closed"]
        assert [entry.kind for entry in site.trail.entries()].count("log.purged") == 1


def test_daemon_that_runs_for_months_deletes_what_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [AT_S]
    site_at(tmp_path / "site").close()
    with SiteFolder.open(tmp_path / "site", unlocks=[UNLOCK], clock=lambda: now[0] * 1000) as site:
        with kept_by(site, Log(clock_s=lambda: AT_S)) as shelf:
            pass
        log = Log(clock_s=lambda: now[0])
        daily = Daily(site, shelf, log, 90)
        for days in (0, 89, 91):
            now[0] = AT_S + days * DAY_S
            with monkeypatch.context() as patched:
                if days == 89:  # one that fails stops nobody
                    patched.setattr("fedward.common.logs.party_log.purge", _fails)
                daily.tick()
        assert shelf.stored() == ()
    assert [event.schema.name for event in log.waiting] == ["error.uncaught", "log.expired"]


def _fails(*_: object, **__: object) -> None:
    raise VaultError("Input/output error")


def test_log_of_a_killed_process_is_taken_in_by_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "site"
    site_at(path).close()
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        if child.stdout is not None:
            child.stdout.close()
    assert len(list((path / "state" / "log").glob("*.fwe"))) == 1
    with site_at(path) as site:
        with kept_by(site, Log(clock_s=lambda: AT_S)):
            assert len(site.vault.find(Kind.LOG)) == 1
        said = read(site)
    assert said[0] == "log.opened"
    assert said[-2:] == ["log.opened", "log.closed"]
