"""Who holds which role, and when it was last used. Pure: the ledger's entries in, answers out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fedward.common.vault.roles import Principal, Role

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A role of a subject."""

    subject: str
    role: str
    granted_at_ms: int
    used_at_ms: int | None = None
    """When it last did, or was refused, something; None: never."""

    def idle_days(self, now_ms: int) -> int:
        """Full days since its last use, or since it was granted."""
        since = self.granted_at_ms if self.used_at_ms is None else max(self.used_at_ms, self.granted_at_ms)
        return max(0, now_ms - since) // DAY_MS


class Grants:
    """The grants that hold at one moment of a chain."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Grant] = {}

    def grant(self, subject: str, role: str, at_ms: int) -> None:
        """From now on; one that holds already stays as it is."""
        self._held.setdefault((subject, role), Grant(subject=subject, role=role, granted_at_ms=at_ms))

    def revoke(self, subject: str, role: str, at_ms: int) -> None:
        """No longer."""
        self._held.pop((subject, role), None)

    def use(self, subject: str, role: str, at_ms: int) -> None:
        """Somebody acted in a role."""
        held = self._held.get((subject, role))
        if held is not None:
            self._held[subject, role] = replace(held, used_at_ms=at_ms)

    def holds(self, principal: Principal) -> bool:
        """Whether this role was granted to this subject, and not revoked."""
        return (principal.subject, str(principal.role)) in self._held

    def all(self) -> tuple[Grant, ...]:
        """In order of subject and role."""
        return tuple(self._held[key] for key in sorted(self._held))

    def holders(self, role: Role) -> tuple[str, ...]:
        """The subjects of a role."""
        return tuple(grant.subject for grant in self.all() if grant.role == role)

    def idle(self, now_ms: int, days: int) -> tuple[Grant, ...]:
        """Grants without use for at least ``days``."""
        return tuple(grant for grant in self.all() if grant.idle_days(now_ms) >= days)


__all__ = ["DAY_MS", "Grant", "Grants"]
