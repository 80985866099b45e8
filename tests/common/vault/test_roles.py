"""The table of roles, cell by cell, as the design page draws it."""

import pytest

from fedward.common.vault.kinds import DURABLE, EPHEMERAL, KEPT, Kind
from fedward.common.vault.roles import ALLOWED, ONLY_RELEASED, Action, Office, Resource, Role, is_allowed, readers

COLUMNS: dict[str, tuple[Resource, ...]] = {
    "training": (Kind.TRAINING,),
    "quarantine": (Kind.QUARANTINE,),
    "sheets, scores": (Kind.SHEETS, Kind.SCORES),
    "checkpoint": (Kind.CHECKPOINT,),
    "adapter": (Kind.ADAPTER,),
    "report": (Kind.REPORT,),
    "log": (Kind.LOG,),
    "ledger": (Office.LEDGER,),
    "policy": (Office.POLICY,),
    "keys": (Office.KEYS,),
    "index": (Kind.INDEX,),
    "ephemeral": tuple(sorted(EPHEMERAL)),
}
PAGE = {
    Role.STEWARD: {
        "training": "list write delete",
        "quarantine": "list write delete review",
        "sheets, scores": "list read",
        "checkpoint": "list",
        "adapter": "read release",
        "report": "read",
        "log": "read",
        "ledger": "read verify",
        "policy": "read write approve",
        "keys": "read write rotate",
    },
    Role.OPERATOR: {
        "training": "list",
        "quarantine": "list",
        "checkpoint": "list",
        "adapter": "list",
        "report": "read",
        "log": "read",
        "ledger": "verify",
        "keys": "unlock rotate",
    },
    Role.AUDITOR: {
        "sheets, scores": "read",
        "report": "read",
        "ledger": "read verify export",
        "policy": "read override",
    },
    Role.DEVELOPER: {"adapter": "read", "report": "read"},
    Role.BUSINESS_USER: {"adapter": "call"},
    Role.DAEMON: {
        "training": "read",
        "sheets, scores": "read write",
        "checkpoint": "read write",
        "adapter": "write",
        "report": "write",
        "log": "write delete",  # by age; the page has no one who may
        "ledger": "append",
        "ephemeral": "read write delete",
    },
}
CELLS = [
    (role, resource, action, action in PAGE[role].get(column, "").split())
    for role in Role
    for column, resources in COLUMNS.items()
    for resource in resources
    for action in Action
]


def test_columns_are_every_kind_and_office() -> None:
    named = [resource for resources in COLUMNS.values() for resource in resources]
    assert sorted(named) == sorted([*Kind, *Office])


@pytest.mark.parametrize("role", Role)
def test_every_cell_of_a_role_is_as_the_page_says(role: Role) -> None:
    mine = [cell for cell in CELLS if cell[0] is role]
    assert len(mine) == (len(Kind) + len(Office)) * len(Action)
    wrong = [cell for cell in mine if is_allowed(*cell[:3], is_released=True) is not cell[3]]
    assert wrong == []


def test_only_a_released_adapter_is_for_developers_and_the_gateway() -> None:
    narrowed = {cell for cell in ALLOWED if not is_allowed(*cell)}
    assert narrowed == ONLY_RELEASED
    assert {(role, resource) for role, resource, _ in narrowed} == {
        (Role.DEVELOPER, Kind.ADAPTER),
        (Role.BUSINESS_USER, Kind.ADAPTER),
    }


def test_table_is_frozen() -> None:
    assert isinstance(ALLOWED, frozenset)


READERS = {
    Kind.TRAINING: {Role.DAEMON},
    Kind.QUARANTINE: {Role.STEWARD},
    Kind.CHECKPOINT: {Role.DAEMON},
    Kind.ADAPTER: {Role.STEWARD},
    Kind.SHEETS: {Role.STEWARD, Role.AUDITOR, Role.DAEMON},
    Kind.SCORES: {Role.STEWARD, Role.AUDITOR, Role.DAEMON},
    Kind.REPORT: {Role.STEWARD, Role.OPERATOR, Role.AUDITOR, Role.DEVELOPER},
    Kind.LOG: {Role.STEWARD, Role.OPERATOR},
}


@pytest.mark.parametrize("kind", Kind)
def test_readers_of_a_kind_are_those_whose_keys_its_slots_hold(kind: Kind) -> None:
    assert set(readers(kind)) == READERS.get(kind, set())


def test_release_adds_two_readers_to_an_adapter() -> None:
    assert set(readers(Kind.ADAPTER, is_released=True)) == {Role.STEWARD, Role.DEVELOPER, Role.BUSINESS_USER}


def test_kinds_are_ephemeral_or_durable() -> None:
    assert {kind for kind in Kind if kind.is_ephemeral} == EPHEMERAL
    assert set(Kind) == DURABLE | EPHEMERAL
    assert not KEPT & EPHEMERAL
