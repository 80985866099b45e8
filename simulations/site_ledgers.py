"""The ledger of a simulated site alone, without keystore and vault, for attacks that restart it.

A real site takes the sealing key from its keystore and its identity too; a simulated one has both of the run's secret,
for one machine plays all parties. Not handled here: what is in the ledger (``client/ledger_store``).
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.client.ledger_store import LedgerStore, wall_clock_ms
from fedward.common.envelope.recipients import SlotKey
from fedward.common.identity import Identity
from fedward.common.ledger.store import Ledger
from fedward.common.secagg.transcript import transcript

LEDGER_FILE = "ledger.db"
_MODELS = "model"


def simulated_store(folder: Path, *, identity: Identity, site_id: str, secret: bytes) -> LedgerStore:
    """The store of a site's folder, which is made with a new ledger if it is not there.

    Args:
        folder: of the site; its parent exists.
        identity: of the site.
        site_id: its name.
        secret: of the simulation, 32 bytes; what is sealed opens again with the same.

    Raises:
        LedgerError: the ledger is another's, locked, or does not hold.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    models, path = folder / _MODELS, folder / LEDGER_FILE
    models.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        ledger = Ledger.open(path, identity=identity, clock=wall_clock_ms)
    else:
        ledger = Ledger.create(path, identity=identity, site_id=site_id, clock=wall_clock_ms)
    try:
        return LedgerStore(ledger, key=_slot(secret, site_id), folder=models)
    except BaseException:
        ledger.close()
        raise


def _slot(secret: bytes, site_id: str) -> SlotKey:
    info = transcript("fedward/simulation/v1/site-state", site_id)
    drawn = HKDF(algorithm=SHA256(), length=48, salt=None, info=info).derive(secret)
    return SlotKey(slot_id=drawn[:16], key=drawn[16:])


__all__ = ["LEDGER_FILE", "simulated_store"]
