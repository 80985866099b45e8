"""Who may do what: one frozen table, asked before any key is touched.

The table is the first of two gates. The second is the key: a role that may not read a kind has no stanza in its slots,
whatever the code says. ``ALLOWED`` has no wildcard, no inheritance and no expression: a decision is one look-up.

Two cells are narrower than "read": a developer reads, and the gateway calls for a business user, only an adapter that
was *released*. Quarantined records are reviewed by the steward and read by nobody. Not handled here: who holds a role
(``grants``), and the keys (``keystore``, ``slots``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedward.common.vault.kinds import EPHEMERAL, Kind


class Role(StrEnum):
    """What somebody is to a site (control S3)."""

    STEWARD = "steward"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    DEVELOPER = "developer"
    BUSINESS_USER = "business_user"
    DAEMON = "daemon"


class Action(StrEnum):
    """What somebody does with a resource."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    REVIEW = "review"
    """Look at quarantined records, one by one."""
    RELEASE = "release"
    CALL = "call"
    """Have the gateway answer with an adapter; nobody gets its bytes."""
    VERIFY = "verify"
    EXPORT = "export"
    APPEND = "append"
    APPROVE = "approve"
    OVERRIDE = "override"
    UNLOCK = "unlock"
    ROTATE = "rotate"


class Office(StrEnum):
    """What a site has beside its objects."""

    LEDGER = "ledger"
    POLICY = "policy"
    KEYS = "keys"


Resource = Kind | Office
Cell = tuple[Role, Resource, Action]

_TABLE: Final = (
    (Role.STEWARD, (Kind.TRAINING, Kind.QUARANTINE), (Action.LIST, Action.WRITE, Action.DELETE)),
    (Role.STEWARD, (Kind.QUARANTINE,), (Action.REVIEW,)),
    (Role.STEWARD, (Kind.SHEETS, Kind.SCORES), (Action.LIST, Action.READ)),
    (Role.STEWARD, (Kind.CHECKPOINT,), (Action.LIST,)),
    (Role.STEWARD, (Kind.ADAPTER,), (Action.READ, Action.RELEASE)),
    (Role.STEWARD, (Kind.REPORT, Kind.LOG), (Action.READ,)),
    (Role.STEWARD, (Office.LEDGER,), (Action.READ, Action.VERIFY)),
    (Role.STEWARD, (Office.POLICY,), (Action.READ, Action.WRITE, Action.APPROVE)),
    (Role.STEWARD, (Office.KEYS,), (Action.READ, Action.WRITE, Action.ROTATE)),
    (Role.OPERATOR, (Kind.TRAINING, Kind.QUARANTINE, Kind.CHECKPOINT, Kind.ADAPTER), (Action.LIST,)),
    (Role.OPERATOR, (Kind.REPORT, Kind.LOG), (Action.READ,)),
    (Role.OPERATOR, (Office.LEDGER,), (Action.VERIFY,)),
    (Role.OPERATOR, (Office.KEYS,), (Action.UNLOCK, Action.ROTATE)),
    (Role.AUDITOR, (Kind.SHEETS, Kind.SCORES, Kind.REPORT), (Action.READ,)),
    (Role.AUDITOR, (Office.LEDGER,), (Action.READ, Action.VERIFY, Action.EXPORT)),
    (Role.AUDITOR, (Office.POLICY,), (Action.READ, Action.OVERRIDE)),
    (Role.DEVELOPER, (Kind.ADAPTER, Kind.REPORT), (Action.READ,)),
    (Role.BUSINESS_USER, (Kind.ADAPTER,), (Action.CALL,)),
    (Role.DAEMON, (Kind.TRAINING,), (Action.READ,)),
    (Role.DAEMON, (Kind.SHEETS, Kind.SCORES, Kind.CHECKPOINT), (Action.READ, Action.WRITE)),
    (Role.DAEMON, (Kind.ADAPTER, Kind.REPORT, Kind.LOG), (Action.WRITE,)),
    (Role.DAEMON, (Kind.LOG,), (Action.DELETE,)),  # as old as `log_days`; it opens none
    (Role.DAEMON, (Office.LEDGER,), (Action.APPEND,)),
    (Role.DAEMON, tuple(sorted(EPHEMERAL)), (Action.READ, Action.WRITE, Action.DELETE)),
)


def _cells() -> Iterator[Cell]:
    for role, resources, actions in _TABLE:
        for resource in resources:
            for action in actions:
                yield role, resource, action


ALLOWED: Final[frozenset[Cell]] = frozenset(_cells())
"""Every cell that is allowed; what is not here is refused."""
ONLY_RELEASED: Final[frozenset[Cell]] = frozenset(
    {(Role.DEVELOPER, Kind.ADAPTER, Action.READ), (Role.BUSINESS_USER, Kind.ADAPTER, Action.CALL)}
)
"""Cells of ``ALLOWED`` that hold for released objects alone."""
OPENING: Final = frozenset({Action.READ, Action.REVIEW, Action.CALL})
"""Actions that need the plaintext, and so the role's key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks, in which role.

    Args:
        subject: a local account ("uid:1000") or a subject of the gateway ("gateway:…"); it stands in the ledger.
        role: that he acts in; granted to him by an entry.
    """

    subject: str
    role: Role


def is_allowed(role: Role, resource: Resource, action: Action, *, is_released: bool = False) -> bool:
    """Whether the table has this cell."""
    cell = (role, resource, action)
    return cell in ALLOWED and (is_released or cell not in ONLY_RELEASED)


def readers(kind: Kind, *, is_released: bool = False) -> tuple[Role, ...]:
    """The roles whose keys stand in a slot of ``kind``; an ephemeral kind has no slot and no reader by key."""
    if kind.is_ephemeral:
        return ()
    return tuple(
        role
        for role in Role
        if any(is_allowed(role, kind, action, is_released=is_released) for action in sorted(OPENING))
    )


__all__ = [
    "Action",
    "ALLOWED",
    "Cell",
    "is_allowed",
    "Office",
    "ONLY_RELEASED",
    "OPENING",
    "Principal",
    "readers",
    "Resource",
    "Role",
]
