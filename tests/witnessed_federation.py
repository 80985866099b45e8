"""A consortium in memory in which every party has a ledger: the federation of ``masked_federation`` with witnesses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from fedward.client.site import SiteAgent
from fedward.client.witness import Witnessing
from fedward.common.config import COORDINATOR
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.ledger.anchor import AnchorFile
from fedward.common.ledger.chain import Entry
from fedward.common.ledger.store import Ledger
from fedward.common.ledger.trail import LedgerTrail
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.plain import PlainRing
from fedward.server.rounds import RoundLoop, RunResult
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import Federation, Wrap, identity_of
from tests.ledgers import clock
from tests.masked_federation import masked_federation


class Witnessed:
    """A federation whose sites and coordinator have ledgers on disk.

    Args:
        folder: for all of them.
        federation: the sites and the plan.
        min_witnesses: of every site.
        paths: ledgers that are there already, by party.
    """

    def __init__(
        self, folder: Path, federation: Federation, *, min_witnesses: int = 1, paths: Mapping[str, Path] | None = None
    ) -> None:
        self._paths = dict(paths or {})
        self.folder = folder
        self.federation = federation
        self.min_witnesses = min_witnesses
        self.ledgers: dict[str, Ledger] = {}
        self.agents: dict[str, SiteAgent] = {}
        for name in (*federation.trainers, COORDINATOR):
            identity = identity_of(name)
            if name not in self._paths:
                Ledger.create(self.path(name), identity=identity, site_id=self.site_id(name), clock=clock).close()
            self.start(name)

    @staticmethod
    def site_id(name: str) -> str:
        """What its genesis says: the coordinator is no site."""
        return "the-coordinator" if name == COORDINATOR else name

    def path(self, name: str) -> Path:
        """Of a party's ledger."""
        return self._paths.get(name, self.folder / f"{name}.db")

    def entries(self, name: str) -> list[Entry]:
        """A party's chain."""
        return list(LedgerTrail(self.ledgers[name]).entries())

    def kinds(self, name: str) -> list[str]:
        """Of a party's entries."""
        return [entry.kind for entry in self.entries(name)]

    def start(self, name: str, *, anchor: AnchorFile | None = None, **parts: Any) -> None:  # noqa: ANN401
        """A party's process begins, or begins again."""
        if name in self.ledgers:
            self.ledgers[name].close()
        ledger = Ledger.open(self.path(name), identity=identity_of(name), clock=clock, anchor=anchor)
        self.ledgers[name] = ledger
        if name != COORDINATOR:
            self.agents[name] = self.agent(name, ledger, **parts)

    def agent(self, name: str, ledger: Ledger, **parts: Any) -> SiteAgent:  # noqa: ANN401
        """A real agent with a ledger."""
        witness = Witnessing(
            site_id=name,
            identity=identity_of(name),
            roster=self.federation.roster,
            trail=LedgerTrail(ledger),
            min_witnesses=self.min_witnesses,
        )
        return SiteAgent(
            desensitized=DesensitizePolicy(),
            site_id=name,
            identity=identity_of(name),
            roster=self.federation.roster,
            policy=self.federation.policy,
            trainer=self.federation.trainers[name],
            aggregator=PlainRing(),
            entropy_for=lambda number, attempt: Entropy.seeded(f"{name}/{number}/{attempt}".encode().ljust(16, b".")),
            witness=witness,
            **parts,
        )

    def stop(self, name: str) -> Path:
        """A party's process ends; its ledger is one file then."""
        self.ledgers.pop(name).close()
        return self.path(name)

    def close(self) -> None:
        """All processes end."""
        for ledger in self.ledgers.values():
            ledger.close()

    def loop(self, grid: Any, *, run_id: bytes | None = None) -> RoundLoop:  # noqa: ANN401 - any Grid
        """The round loop with the coordinator's ledger."""
        federation = self.federation
        return RoundLoop(
            plan_bytes=federation.plan_bytes,
            run_id=run_id or federation.run_id,
            identity=federation.coordinator,
            roster=federation.roster,
            grid=grid,
            clock=federation.clock,
            aggregator=PlainRing(),
            observer=federation.notes,
            ledger=LedgerTrail(self.ledgers[COORDINATOR]),
        )

    def handler(self, name: str) -> Handler:
        """Whatever process of the site is running when the message comes."""
        return lambda request: self.agents[name].handle(request)

    def run(
        self,
        wrap: Mapping[str, Wrap] | None = None,
        *,
        run_id: bytes | None = None,
        offline: Collection[str] = (),
        around: Callable[[str, Handler], Handler] = lambda _, handler: handler,
    ) -> RunResult:
        """A whole run on a ``MemoryGrid``."""
        handlers = {name: around(name, self.handler(name)) for name in self.federation.trainers}
        handlers |= {name: put(handlers[name]) for name, put in (wrap or {}).items()}
        return self.loop(MemoryGrid(handlers, offline=offline), run_id=run_id).run()


def witnessed(folder: Path, profile: str = "resilient", num_sites: int = 4, **changes: Any) -> Witnessed:  # noqa: ANN401
    """Sites of a profile, each with a ledger."""
    min_witnesses, paths = changes.pop("min_witnesses", 1), changes.pop("paths", None)
    federation = masked_federation(profile, num_sites, **changes)
    return Witnessed(folder, federation, min_witnesses=min_witnesses, paths=paths)


__all__ = ["Witnessed", "witnessed"]
