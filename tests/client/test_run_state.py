"""What a site keeps beside its ledger ends with the run: no key that is left opens a copy of it."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedward.client.ledger_store import LedgerStore, wall_clock_ms
from fedward.client.run_state import end_state, site_store
from fedward.client.site_folder import SiteFolder
from fedward.common.envelope.header import Context
from fedward.common.envelope.stream import open_bytes
from fedward.common.errors import WrongRecipientError
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.unlocks import KeyUnlock

RUN, OTHER = b"\x22" * 16, b"\x33" * 16
STATE = json.dumps({"run_id": RUN.hex(), "transport": "ab" * 32}).encode()
MODEL = b"model of the run" * 100
UNLOCK = KeyUnlock.of_secret(b"k" * 32, "key-file")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    with SiteFolder.create(tmp_path / "site", "alpha", unlocks=[UNLOCK], clock=wall_clock_ms) as folder:
        site_store(folder).commit([], lambda: STATE, model=lambda: MODEL)
        yield folder


def sealed_state(site: SiteFolder) -> bytes:
    return site.ledger.beside("site-state")


def models(site: SiteFolder) -> list[Path]:
    return list((site.path / "state").glob("site-model-*"))


def test_state_and_model_come_back_from_the_folder(site: SiteFolder) -> None:
    store = site_store(site)
    assert (store.load(), store.load_model()) == (STATE, MODEL)


def test_at_the_runs_end_both_go_and_copies_open_with_no_key_that_is_left(site: SiteFolder) -> None:
    state, model = sealed_state(site), models(site)[0].read_bytes()
    before = site.keystore.state_keys
    end_state(site, RUN)
    store = site_store(site)
    assert (store.load(), store.load_model(), models(site)) == (b"", b"", [])
    (after,) = site.keystore.state_keys
    assert after not in before
    for copy, name in ((state, "site-state"), (model, "site-model")):
        with pytest.raises(WrongRecipientError):
            open_bytes(io.BytesIO(copy), [after], expect=Context(kind="state", name=name))


def test_the_old_sealed_bytes_are_not_in_the_ledgers_file(site: SiteFolder) -> None:
    state = sealed_state(site)
    end_state(site, RUN)
    files = list((site.path / "ledger").iterdir())
    assert not any(state[-200:-100] in path.read_bytes() for path in files)


def test_the_state_of_another_run_is_sealed_anew(site: SiteFolder) -> None:
    before, sealed = site.keystore.state_keys[0], sealed_state(site)
    end_state(site, OTHER)
    store = site_store(site)
    assert (store.load(), store.load_model()) == (STATE, MODEL)
    assert site.keystore.state_keys[0] != before
    assert sealed_state(site) != sealed


@pytest.mark.parametrize("step", ["begin", "renew", "finish"])
@pytest.mark.parametrize("run_id", [RUN, OTHER])
def test_a_crash_in_between_loses_nothing_of_a_live_run_and_is_finished_by_repeating(
    step: str, run_id: bytes, site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("power gone")

    target = LedgerStore if step == "renew" else type(site.keystore)
    with monkeypatch.context() as patched:
        patched.setattr(target, step, crash)
        with pytest.raises(sqlite3.OperationalError):
            end_state(site, run_id)
    path = site.path
    site.close()
    with SiteFolder.open(path, unlocks=[UNLOCK], clock=wall_clock_ms) as again:
        left = site_store(again).load()
        assert left in ((STATE,) if run_id == OTHER else (STATE, b""))
        end_state(again, run_id)
        assert site_store(again).load() == (STATE if run_id == OTHER else b"")
        assert len(again.keystore.records(Purpose.STATE, "self")) == 1


def test_a_state_that_opens_no_more_is_let_go_of(site: SiteFolder) -> None:
    for _ in range(2):  # as if a keystore without the key had been put back
        site.keystore.begin([(Purpose.STATE, "self")], at_ms=1)
        site.keystore.finish([(Purpose.STATE, "self")])
    end_state(site, RUN)
    assert site_store(site).load() == b""
