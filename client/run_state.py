"""What a site's process keeps beside its ledger, sealed by its keystore; and its end with the run's.

The state of a run (position, transport secret) and its model's copy are no objects of the vault: they change with every
reply, in the ledger's own transaction. Their key is the keystore's. When a run is shredded they go, and the key is
replaced, so that copies of them which somebody kept open with nothing that is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from fedward.client.ledger_store import LedgerStore
from fedward.common.errors import RunError
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.key_records import Purpose

_NAME = (Purpose.STATE, "self")


def site_store(party: PartyFolder) -> LedgerStore:
    """What a site's agent writes to: its ledger, and its state sealed beside it."""
    key, *older = party.keystore.state_keys
    return LedgerStore(party.ledger, key=key, older=older, folder=party.path / "state")


def ends_state(party: PartyFolder) -> Callable[[bytes], None]:
    """For shredding: what lets go of the state of a run, by its id."""
    return partial(end_state, party)


def end_state(party: PartyFolder, run_id: bytes) -> None:
    """Let go of state and model of a run, and of the key that sealed them; of another run they are sealed anew.

    May be repeated; a crash in between leaves them under one of two keys, and ``site_store`` knows both.
    """
    store = site_store(party)
    party.keystore.begin([_NAME], at_ms=party.clock())
    store.renew(party.keystore.state_keys[0], keep=_run_of(store) not in (b"", run_id))
    party.keystore.finish([_NAME])


def _run_of(store: LedgerStore) -> bytes:
    """Whose state is there; empty: nobody's, or one that opens no more."""
    with suppress(RunError):
        raw = store.load()
        return bytes.fromhex(json.loads(raw)["run_id"]) if raw else b""
    return b""


__all__ = ["end_state", "ends_state", "site_store"]
