"""The folders of a simulation's parties, below its output: each site's and the coordinator's, as real ones have them.

::

    OUT/simulation.key        the secret of which identities are made, so that a second run is by the same parties
    OUT/sites/<site>/         keystore, ledger, vault; the key file OUT/sites/<site>.key beside it
    OUT/server/               the same of the coordinator, with OUT/server.key

One machine plays all parties, and whoever has OUT has every key: this shows what lies where, it protects nothing from
the researcher. Budgets add up over the runs of one OUT, for its sites hold the same people.

At the start of a run everything is finished that an earlier one left: open shreddings, runs that ended without one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from fedward.client.ledger_store import wall_clock_ms
from fedward.client.run_state import ends_state
from fedward.client.site_folder import SiteFolder
from fedward.common.config import COORDINATOR
from fedward.common.errors import ConfigError
from fedward.common.identity import Identity
from fedward.common.shredding.certificate import SignedCertificate
from fedward.common.shredding.certificate_rows import Reason
from fedward.common.shredding.shred import Shredder
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.kinds import KEPT
from fedward.common.vault.unlocks import create_key_file, read_key_file

KEY_FILE: Final = "simulation.key"
SITES: Final = "sites"
SERVER: Final = "server"
_SECRET_BYTES = 32
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Folder = TypeVar("_Folder", bound=PartyFolder)


def create_secret(out: Path, site_ids: Iterable[str] = ()) -> None:
    """A new secret of an output folder, which is made too.

    Args:
        out: of the simulation.
        site_ids: whose folders must not be there: a new secret would make other parties of them.

    Raises:
        ConfigError: there is one, another process makes one, or folders of parties are there.
    """
    path = out / KEY_FILE
    places = (folder_of(out, name) for name in (COORDINATOR, *site_ids))
    taken = next((place for place in places if os.path.lexists(place)), None)
    if taken is not None:
        hint = f"Choose another --out; if a simulation made it, put its {KEY_FILE} back."
        raise ConfigError(f"{taken} is there, and {path} is not: it may be anybody's", hint=hint)
    out.mkdir(parents=True, exist_ok=True)
    create_key_file(path)


def hold(out: Path) -> int:
    """Keep all other simulations out of ``out``, by a lock on its secret; a descriptor, and closing it lets them in.

    Raises:
        ConfigError: another simulation works there, or the secret cannot be read.
    """
    path, descriptor = out / KEY_FILE, -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):  # not one that its holder has just removed
            return descriptor
        raise BlockingIOError
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, BlockingIOError | FileNotFoundError):
            hint = "Wait for its end, or choose another --out."
            raise ConfigError(f"another simulation works in {out}", hint=hint) from error
        raise ConfigError(f"{path}: {error.strerror}", hint="Choose another --out.") from error


def simulation_secret(out: Path) -> bytes:
    """The secret of an output folder, made where there is none; 32 bytes.

    Raises:
        ConfigError: the file is there and is no such secret; or ``create_secret`` refuses.
    """
    path = out / KEY_FILE
    if not os.path.lexists(path):
        create_secret(out)
    try:
        raw = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Choose another --out.") from error
    if len(raw) != _SECRET_BYTES:
        raise ConfigError(f"{path} is not the secret of a simulation", hint="Choose another --out.")
    return raw


def paths_of(out: Path, site_ids: Iterable[str]) -> tuple[Path, ...]:
    """All that a simulation makes for its parties: the innermost first, ``sites`` and ``out`` themselves last."""
    folders = [folder_of(out, name) for name in (COORDINATOR, *site_ids)]
    return (*folders, *map(_key_file_of, folders), out / KEY_FILE, out / SITES, out)


def folder_of(out: Path, name: str) -> Path:
    """Of a site or of the coordinator. An id that is no plain file name, or would be that of a key file, is hashed."""
    if name == COORDINATOR:
        return out / SERVER
    is_plain = _PLAIN_NAME.fullmatch(name) and not name.endswith((".key", ".next"))  # those of key files
    plain = name if is_plain else f"site-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return out / SITES / plain


def open_site(out: Path, site_id: str, identity: Identity) -> SiteFolder:
    """A site's folder, made if it is not there.

    Raises:
        VaultError, LedgerError: it is another's, damaged, or another process has it.
    """
    return _opened(SiteFolder, folder_of(out, site_id), site_id, identity)


def open_coordinator(out: Path, identity: Identity) -> PartyFolder:
    """The coordinator's folder, made if it is not there.

    Raises:
        VaultError, LedgerError: as ``open_site``.
    """
    return _opened(PartyFolder, folder_of(out, COORDINATOR), "server", identity)


def _key_file_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.key")


def _opened(kind: type[_Folder], path: Path, party_id: str, identity: Identity) -> _Folder:
    key_file = _key_file_of(path)
    if os.path.lexists(path):
        if not key_file.exists():
            hint = "Put it back, or choose another --out: without it the folder does not open."
            raise ConfigError(f"the key file {key_file} is missing", hint=hint)
        return kind.open(path, unlocks=[read_key_file(key_file)], clock=wall_clock_ms)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unlock = read_key_file(key_file) if key_file.exists() else create_key_file(key_file)
    return kind.create(path, party_id, unlocks=[unlock], clock=wall_clock_ms, identity=identity)


class Parties:
    """All parties of a simulation, open; a context manager.

    Args:
        out: of the simulation.
        identities: by site id, and the coordinator's.
    """

    def __init__(self, out: Path, identities: Mapping[str, Identity]) -> None:
        self.out = out
        self._stack = ExitStack()
        self.sites: dict[str, SiteFolder] = {}
        try:
            self.coordinator = self._stack.enter_context(open_coordinator(out, identities[COORDINATOR]))
            for site_id, identity in identities.items():
                if site_id != COORDINATOR:
                    self.sites[site_id] = self._stack.enter_context(open_site(out, site_id, identity))
        except BaseException:
            self._stack.close()
            raise

    @property
    def all(self) -> Iterable[PartyFolder]:
        """The coordinator's folder and the sites'."""
        return (self.coordinator, *self.sites.values())

    def name_of(self, party: PartyFolder) -> str:
        """Of a party in the report: a site may be called as the coordinator's folder is."""
        is_site = party is not self.coordinator
        return party.party_id if is_site or party.party_id not in self.sites else COORDINATOR

    def settle(self) -> int:
        """Finish what an earlier run left; the number of certificates that took."""
        return sum(len(Shredder(party, end_state=ends_state(party)).settle(())) for party in self.all)

    def end_run(self, run_id: bytes, *, num_cleared: int, was_on_disk: bool) -> dict[str, SignedCertificate]:
        """Shred what a run leaves, but adapter and report; the certificates by party.

        Args:
            run_id: 16 bytes.
            num_cleared: files that the run's scratch held; it was the coordinator's.
            was_on_disk: whether the scratch was on a disk.
        """
        certificates = {}
        for party in self.all:
            shredder = Shredder(party, end_state=ends_state(party))
            if run_id in shredder.known_runs():
                is_server = party is self.coordinator
                certificates[self.name_of(party)] = shredder.shred(
                    run_id,
                    reason=Reason.RUN_ENDED,
                    keep=KEPT,
                    num_cleared=num_cleared if is_server else 0,
                    was_on_disk=was_on_disk and is_server,
                )
        return certificates

    def close(self) -> None:
        """Let go of all ledgers."""
        self._stack.close()

    def __enter__(self) -> Parties:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


__all__ = [
    "create_secret",
    "folder_of",
    "hold",
    "open_coordinator",
    "open_site",
    "Parties",
    "KEY_FILE",
    "paths_of",
    "SERVER",
    "simulation_secret",
    "SITES",
]
