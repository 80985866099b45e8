"""Statements and sets of known content, for tests of heads and of those who witness them."""

from __future__ import annotations

from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity
from fedward.common.ledger.heads import HeadSet, HeadStatement, signed_set, stated_head

SECRET = bytes(range(32))
RUN = b"\x22" * 16
NAMES = ("alpha", "beta", "gamma")
IDENTITIES = {name: Identity.simulated(SECRET, name) for name in (*NAMES, COORDINATOR)}
KEYS = {name: identity.public_key for name, identity in IDENTITIES.items()}


def head_of(name: str, number: int) -> bytes:
    """The hash of a party's entry of that number."""
    return (name.encode() + bytes([number])).ljust(32, b".")


def ledger_of(name: str) -> bytes:
    """The id of a party's ledger."""
    return name[:16].encode().ljust(16, b".")


def stated(name: str, number: int = 1, *, at: tuple[int, int] = (1, 0), run: bytes = RUN) -> HeadStatement:
    """A party's word for its head."""
    return stated_head(
        IDENTITIES[name],
        name,
        ledger_id=ledger_of(name),
        run_id=run,
        round_number=at[0],
        attempt=at[1],
        head=head_of(name, number),
    )


def set_of(number: int, *statements: HeadStatement, run: bytes = RUN) -> HeadSet:
    """A set that the coordinator has signed, with its own head."""
    own = () if any(one.site_id == COORDINATOR for one in statements) else (stated(COORDINATOR, number, run=run),)
    return signed_set(IDENTITIES[COORDINATOR], run, number, (*statements, *own))


__all__ = ["head_of", "IDENTITIES", "KEYS", "ledger_of", "NAMES", "RUN", "set_of", "stated"]
