"""What is overdue for a change of keys. Pure: the keystore's dates and an injected now in, a list out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedward.common.vault.grants import DAY_MS
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.keystore import Keystore

KEK_DAYS: Final = 90
ROLE_DAYS: Final = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class Overdue:
    """A key that is older than it should be."""

    purpose: Purpose
    name: str
    """A kind, for a KEK; a role."""
    age_days: int
    limit_days: int


def overdue(
    keystore: Keystore, now_ms: int, *, kek_days: int = KEK_DAYS, role_days: int = ROLE_DAYS
) -> tuple[Overdue, ...]:
    """KEKs and roles whose newest key is at least as old as its limit, in order of purpose and name."""
    limits = {Purpose.KEK: kek_days, Purpose.ROLE: role_days}
    found: list[Overdue] = []
    for purpose, name in keystore.names:
        limit = limits.get(purpose)
        age = max(0, now_ms - keystore.records(purpose, name)[0].created_at_ms) // DAY_MS
        if limit is not None and age >= limit:
            found.append(Overdue(purpose=purpose, name=name, age_days=age, limit_days=limit))
    return tuple(found)


__all__ = ["KEK_DAYS", "Overdue", "overdue", "ROLE_DAYS"]
