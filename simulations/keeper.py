"""What a simulation keeps at rest, from its start to its end: the parties' folders, the scratch, the shredding.

A run whose sites have folders trains on records that come out of a vault, charges a ledger on disk, exchanges heads,
seals what it made, and is shredded. Where a simulation has more sites than ``MAX_FOLDERS`` and all live in one process,
they keep all of it in memory, by the same code. A run that fails before its rounds begin leaves no folder that it made,
and touches none that was there before it, whoever made that.

Not handled here: the folders (``parties``), and who plays which part in which process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from fedward.client.imports import Import, import_patients, stored_patients
from fedward.client.intake import Patients
from fedward.client.ledger_store import LedgerStore
from fedward.client.run_state import site_store
from fedward.client.witness import Witnessing
from fedward.common.config import COORDINATOR
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.identity import Identity
from fedward.common.ledger.trail import HeadTrail
from fedward.common.logs.logger import log
from fedward.common.logs.party_log import kept_by
from fedward.common.shredding.certificate import Certificate
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.scratch import Scratch, place_scratch
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.simulations.job import SIMULATION_POLICY, SimulationJob
from fedward.simulations.parties import KEY_FILE, SITES, Parties, create_secret, hold, paths_of, simulation_secret
from fedward.simulations.recipe import Recipe

MAX_FOLDERS = 64
"""Sites of one process that get a folder each; ledgers are open files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRest:
    """What a run left at rest, for its report."""

    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    """By party."""
    account_epsilon: Mapping[str, float] = field(default_factory=dict)
    """What each site's account has spent so far, in all runs of this output folder."""
    account_delta: float = SIMULATION_POLICY.account_delta
    """At which that is stated; an account keeps its own for life, whatever a plan's is."""
    heads: Mapping[str, str] = field(default_factory=dict)
    """Of each party's ledger, in hex."""
    plaintext_medium: str = "memory"
    """Where caches and temporary files were."""


class Keeper:
    """Of one simulation; a context manager. Made by ``open``.

    Args:
        out: of the simulation.
        site_ids: of the recipe.
        secret: of the simulation, 32 bytes; identities come from it.
        with_folders: whether the parties have folders.
        made: paths that were not there before this run: they go again if it never begins.
        lock: on the simulation; let go at the end.
    """

    def __init__(
        self,
        out: Path,
        site_ids: tuple[str, ...],
        secret: bytes,
        *,
        with_folders: bool,
        made: tuple[Path, ...] = (),
        lock: int | None = None,
    ) -> None:
        self.out = out
        self.secret = secret
        self.run_id = secrets.token_bytes(16)
        self._identities = {name: Identity.simulated(secret, name) for name in (COORDINATOR, *site_ids)}
        self._made = made
        self._lock = lock
        self._scratch: Scratch | None = None
        self.parties: Parties | None = None
        if with_folders:
            try:
                self.resume()
            except BaseException:
                self._forget()
                raise

    @classmethod
    def open(cls, recipe: Recipe, out: Path, *, in_process: bool) -> Keeper:
        """The folders of ``recipe``'s parties below ``out``, made where they are not there.

        Raises:
            VaultError, LedgerError: a folder is damaged, or another process works with it.
            ConfigError: it is no simulation's.
        """
        site_ids = tuple(site.id for site in recipe.sites)
        with_folders = not in_process or len(site_ids) <= MAX_FOLDERS
        if not with_folders:
            return cls(out, site_ids, secrets.token_bytes(32), with_folders=False)
        made = tuple(path for path in paths_of(out, site_ids) if not os.path.lexists(path))
        is_first = out / KEY_FILE in made
        if is_first:
            create_secret(out, site_ids)
        lock = hold(out)  # from here on nobody but this run makes anything in there
        try:
            secret = simulation_secret(out)
            return cls(out, site_ids, secret, with_folders=True, made=made if is_first else (), lock=lock)
        except BaseException:
            os.close(lock)
            raise

    # ------------------------------------------------------------------------------------------------ folders

    def resume(self) -> None:
        """Open the folders: this process has them, and nobody else."""
        self.parties = Parties(self.out, self._identities)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within, the folders are other processes'."""
        self.close()
        try:
            yield
        finally:
            self.resume()

    def settle(self) -> int:
        """Finish what an earlier run left unshredded; how many certificates that took."""
        return 0 if self.parties is None else self.parties.settle()

    def rounds_begin(self) -> None:
        """From now on budgets are spent: whatever happens, the folders stay."""
        self._made = ()

    @contextmanager
    def logging(self, *, in_process: bool) -> Iterator[None]:
        """Within, the log is kept, sealed, in the coordinator's folder: one process plays all parties and has one log.

        Args:
            in_process: whether it is so; the processes of Flower and Ray have the folders among them in turn.
        """
        if self.parties is None or not in_process:
            yield
            return
        with kept_by(self.parties.coordinator, log):
            yield

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Within, caches and temporary files go to the run's scratch, which is then shredded."""
        if self.parties is None:
            yield
            return
        with Scratch(place_scratch(self.parties.coordinator.path, self.run_id)) as self._scratch:
            yield

    # ------------------------------------------------------------------------------------------------ records

    def scrub_keys(self, site_id: str) -> ScrubKeys | None:
        """The desensitisation key of a site's keystore; None: it has none."""
        return None if self.parties is None else self.parties.sites[site_id].scrub_keys

    def store_patients(self, site_id: str, patients: Patients, about: Import) -> None:
        """Seal a site's records in its vault."""
        if self.parties is not None:
            import_patients(self.parties.sites[site_id], patients, about)

    def patients(self, site_id: str, given: Patients) -> Patients:
        """A site's records out of its vault; those that are ``given`` where it has none."""
        return given if self.parties is None else stored_patients(self.parties.sites[site_id])

    # ------------------------------------------------------------------------------------------------ the run

    def store(self, site_id: str) -> LedgerStore | None:
        """Where a site's agent goes on from."""
        return None if self.parties is None else site_store(self.parties.sites[site_id])

    def witness(self, job: SimulationJob, site_id: str) -> Witnessing | None:
        """A site's part in the exchange of heads."""
        if self.parties is None:
            return None
        return Witnessing(
            site_id=site_id,
            identity=job.identity(site_id),
            roster=job.roster(),
            trail=self.parties.sites[site_id].trail,
            min_witnesses=SIMULATION_POLICY.min_witnesses,
        )

    @property
    def trail(self) -> HeadTrail | None:
        """The coordinator's ledger."""
        return None if self.parties is None else self.parties.coordinator.trail

    # ------------------------------------------------------------------------------------------------ the end

    def seal_results(self, adapter: bytes, report: bytes) -> None:
        """Into the coordinator's vault: what a run is kept for. The adapter is released, for here one person decides.

        Args:
            adapter: safetensors.
            report: JSON.
        """
        if self.parties is None:
            return
        server = self.parties.coordinator
        daemon = server.principal(Role.DAEMON)
        object_id = server.vault.put(Kind.ADAPTER, "adapter", adapter, run_id=self.run_id, principal=daemon)
        server.vault.put(Kind.REPORT, "report", report, run_id=self.run_id, principal=daemon)
        server.vault.release(object_id, principal=server.principal(Role.STEWARD))

    def seal_statement(self, site_id: str, statement: bytes) -> None:
        """What a site was charged in this run, in its own vault; JSON."""
        if self.parties is not None:
            site = self.parties.sites[site_id]
            site.vault.put(Kind.REPORT, "charges", statement, run_id=self.run_id, principal=site.principal(Role.DAEMON))

    def end_run(self) -> AtRest:
        """Shred what is left of the run; what stays."""
        if self.parties is None:
            return AtRest()
        cleared = 0 if self._scratch is None else self._scratch.shredded.num_files
        medium = "memory" if self._scratch is None else self._scratch.place.plaintext_medium
        signed = self.parties.end_run(self.run_id, num_cleared=cleared, was_on_disk=medium == "disk")
        names = {self.parties.name_of(party): party for party in self.parties.all}
        return AtRest(
            certificates={
                name: one.opened(names[name].identity.public_key, run_id=self.run_id) for name, one in signed.items()
            },
            account_epsilon={
                site_id: account.epsilon()
                for site_id, folder in self.parties.sites.items()
                if (account := site_store(folder).budget.accounts.get(SIMULATION_POLICY.account)) is not None
            },
            heads={name: party.ledger.head.hash.hex() for name, party in names.items()},
            plaintext_medium=medium,
        )

    def close(self) -> None:
        """Let go of the folders."""
        if self.parties is not None:
            self.parties.close()
            self.parties = None

    def _forget(self) -> None:
        """Remove what was made for a run which never began."""
        made, self._made = self._made, ()
        for path in made:
            if path in (self.out, self.out / SITES):  # what else is in there is not ours
                with suppress(OSError):
                    path.rmdir()
            elif path.parent.is_dir():
                Overwriter().shred_entry(path.parent, path.name)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
        try:
            self._forget()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


__all__ = ["AtRest", "Keeper", "MAX_FOLDERS"]
