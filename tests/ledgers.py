"""Chains of known content, for tests of the ledger and of what is built upon it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedward.common.identity import Identity
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry, Head, before_genesis, genesis_draft, link
from fedward.common.ledger.replay import event_fields
from fedward.common.ledger.store import Ledger
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent

IDENTITY = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
LEDGER_ID = bytes([0x66]) * 16
EVENT = PoissonGaussian(sample_rate=0.01, noise_multiplier=1.1, num_steps=100)


def clock() -> int:
    return 1_700_000_000_000


def account(epsilon: str = "5", *, name: str = "default", delta: str = "1e-6", unit: str = "patient") -> Draft:
    fields = {"account": name, "cap_method": "pld", "delta": delta, "epsilon": epsilon, "unit": unit}
    return Draft(kind="budget.account", fields=fields)


def reserve(event: PrivacyEvent = EVENT, *, name: str = "default", number: int = 1) -> Draft:
    fields: dict[str, Value] = {
        "account": name,
        "attempt": 0,
        "round": number,
        "run": "22" * 16,
        "event": event_fields(event),
    }
    return Draft(kind="budget.reserve", fields=fields)


def charge(seq: int) -> Draft:
    return Draft(kind="budget.charge", fields={"reserve": seq})


def void(seq: int) -> Draft:
    return Draft(kind="budget.void", fields={"reserve": seq})


def adjust(event: PrivacyEvent, *, name: str = "default") -> Draft:
    return Draft(kind="budget.adjust", fields={"account": name, "event": event_fields(event)})


def sent(number: int = 1, *, attempt: int = 0) -> Draft:
    return Draft(kind="journal.sent", fields={"run": "22" * 16, "round": number, "attempt": attempt})


def accepted(mode: str = "local", *, run: str = "22" * 16) -> Draft:
    return Draft(kind="plan.accepted", fields={"run": run, "plan": "44" * 32, "mode": mode})


def chained(
    drafts: Sequence[Draft],
    *,
    identity: Identity = IDENTITY,
    ledger_id: bytes = LEDGER_ID,
    site_id: str = "alpha",
) -> list[Entry]:
    """A genesis and ``drafts``, linked and signed."""
    head = before_genesis(ledger_id)
    entries: list[Entry] = []
    for number, draft in enumerate([genesis_draft(ledger_id, site_id, identity.public_key), *drafts]):
        entry = link(head, draft, identity=identity, at_ms=clock(), nonce=bytes([number % 256]) * 16)
        entries.append(entry)
        head = Head(ledger_id=ledger_id, seq=entry.seq, hash=entry.hash)
    return entries


def stored(path: Path, drafts: Sequence[Draft]) -> None:
    """A ledger on disk with ``drafts``."""
    with Ledger.create(path, identity=IDENTITY, site_id="alpha", clock=clock) as ledger:
        for draft in drafts:
            ledger.append([draft], expected_head=ledger.head)
