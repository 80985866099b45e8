"""Sites' folders of known content, for tests of the vault and of what is built upon it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fedward.client.site_folder import SiteFolder
from fedward.common.identity import Identity
from fedward.common.ledger.body import Value
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Principal, Role
from fedward.common.vault.unlocks import KeyUnlock, Unlock

UNLOCK = KeyUnlock.of_secret(bytes([9]) * 32, "key-file")
RUN = bytes([0x22]) * 16
OTHER_RUN = bytes([0x23]) * 16
SUBJECT = "uid:4711"
IDENTITY = Identity.from_bytes(bytes(range(32)))
START_MS = 1_700_000_000_000
WRITERS = {Kind.TRAINING: Role.STEWARD, Kind.QUARANTINE: Role.STEWARD}
"""Who writes a kind, where it is not the daemon."""


def clock() -> int:
    return START_MS


def principal(role: Role) -> Principal:
    return Principal(subject=SUBJECT, role=role)


def writer(kind: Kind) -> Principal:
    return principal(WRITERS.get(kind, Role.DAEMON))


def new_site(path: Path, *, unlocks: Iterable[Unlock] = (UNLOCK,), roles: Iterable[Role] = tuple(Role)) -> SiteFolder:
    """A site in which one account has every role."""
    grants = [(SUBJECT, role) for role in roles]
    return SiteFolder.create(path, "alpha", unlocks=tuple(unlocks), clock=clock, identity=IDENTITY, grants=grants)


def open_site(path: Path, *, unlocks: Iterable[Unlock] = (UNLOCK,)) -> SiteFolder:
    return SiteFolder.open(path, unlocks=tuple(unlocks), clock=clock)


def put(site: SiteFolder, kind: Kind, data: bytes = b"content", *, name: str = "one", run_id: bytes = RUN) -> str:
    return site.vault.put(kind, name, data, run_id=run_id, principal=writer(kind))


def entries(site: SiteFolder, kind: str) -> list[dict[str, Value]]:
    """The bodies of the ledger's entries of a kind, without version and nonce."""
    found = [entry.fields for entry in site.trail.entries() if entry.kind == kind]
    return [{name: value for name, value in body.items() if name not in ("v", "n")} for body in found]


def files(path: Path, suffix: str = "") -> list[Path]:
    """All files below ``path``, sorted."""
    return sorted(found for found in path.rglob("*") if found.is_file() and found.name.endswith(suffix))
