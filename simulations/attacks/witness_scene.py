"""Whole site agents with ledgers, and a coordinator with one: stopped where a hostile server lies about heads.

The honest part is a run, or two with a start of the victim's process between them. What lies beside the next request to
the victim is then changed; what the coordinator must have signed, it signs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedward.client.site import SiteAgent
from fedward.client.witness import Witnessing
from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError, RunError
from fedward.common.ledger.heads import HeadSet, HeadStatement, signed_set
from fedward.common.ledger.store import Ledger
from fedward.common.ledger.trail import LedgerTrail
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.witness import CoordinatorPart
from fedward.common.secagg.thresholds import Profile
from fedward.server.rounds import RoundLoop
from fedward.simulations.attacks.cohort import RUN_ID
from fedward.simulations.attacks.scene import GIVEN
from fedward.simulations.attacks.wired import Nobody, Passing, StoppedError, WiredScene
from fedward.simulations.memory_grid import Handler, MemoryGrid

SECOND_RUN = b"\x77" * 16
Forge = Callable[[CoordinatorPart], CoordinatorPart]
_AT_MS = 1_700_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Where the honest part ends: before the victim gets this."""

    kind: int
    round_number: int
    run_id: bytes = RUN_ID


class WitnessScene(WiredScene):
    """A consortium with ledgers.

    Args:
        profile: of the run.
        stop: where the honest part ends.
        puts_back: whether the victim's ledger of before the first run is put in its place after that.
        forge: changes what comes beside ``Unmask`` of the stop's round to the victim, on the way there.
    """

    def __init__(
        self,
        profile: Profile,
        stop: Stop,
        *,
        puts_back: bool = False,
        forge: Callable[[WitnessScene], Forge] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fedward-heads-")
        self._ledgers: dict[str, Ledger] = {}
        self._stop, self._puts_back, self._forge = stop, puts_back, forge
        self.old_parts: list[CoordinatorPart] = []
        """All that came to the victim in an earlier run."""
        self.parts: list[CoordinatorPart] = []
        """All that came to it in this one."""
        super().__init__(profile)

    def close(self) -> None:
        """Leave nothing behind."""
        for ledger in self._ledgers.values():
            ledger.close()
        self._folder.cleanup()

    # ------------------------------------------------------------------------------------------------ the honest part

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.db"

    def _ledger(self, name: str) -> LedgerTrail:
        """A party's, made where it is not there yet."""
        make = Ledger.open if self._path(name).exists() else self._made
        self._ledgers[name] = make(self._path(name), identity=self.identity(name), clock=lambda: _AT_MS)
        return LedgerTrail(self._ledgers[name])

    @staticmethod
    def _made(path: Path, **parts: object) -> Ledger:
        return Ledger.create(path, site_id=f"of-{path.stem}", **parts)  # type: ignore[arg-type]

    def _agent(self, name: str) -> SiteAgent:
        witness = Witnessing(
            site_id=name,
            identity=self.identity(name),
            roster=self.roster,
            trail=self._ledger(name),
            min_witnesses=1,
        )
        return self._agent_of(name, witness=witness)

    def _run(self, *, away_from: int) -> None:
        trail = self._ledger(COORDINATOR)
        if self._stop.run_id != RUN_ID:
            old = self._closed(self.victim).with_suffix(".old")
            shutil.copy(self._path(self.victim), old)
            self.agents[self.victim] = self._agent(self.victim)
            self._play(RUN_ID, trail)
            self._closed(self.victim)
            if self._puts_back:
                shutil.copy(old, self._path(self.victim))
            self.agents[self.victim] = self._agent(self.victim)
        with suppress(StoppedError):
            self._play(self._stop.run_id, trail)
        if not self.request:
            raise RunError("the play is off: the victim was never asked")

    def _closed(self, name: str) -> Path:
        self._ledgers.pop(name).close()
        return self._path(name)

    def _play(self, run_id: bytes, trail: LedgerTrail) -> None:
        handlers = {name: self._handler(name, run_id) for name in self.agents}
        RoundLoop(
            plan_bytes=self.plan.to_bytes(),
            run_id=run_id,
            identity=self.chief,
            roster=self.roster,
            grid=MemoryGrid(handlers),
            clock=Passing(),
            observer=Nobody(),
            ledger=trail,
        ).run()

    def _handler(self, name: str, run_id: bytes) -> Handler:
        def handle(raw: bytes) -> bytes:
            if name != self.victim:
                return self.agents[name].handle(raw)
            kind, number = codec.peek_type(raw), _round_of(raw)
            if (kind, number, run_id) == (self._stop.kind, self._stop.round_number, self._stop.run_id):
                self.request = raw
                raise StoppedError
            if self._forge is not None and kind == pb.UNMASK:
                raw = beside(raw, self._forge(self))
            told = self.parts if run_id == self._stop.run_id else self.old_parts
            told.append(CoordinatorPart.from_bytes(codec.witness_of(raw)))
            return self.agents[name].handle(raw)

        return handle

    # ------------------------------------------------------------------------------------------------ the lie

    @property
    def part(self) -> CoordinatorPart:
        """What the honest coordinator puts beside the request."""
        return CoordinatorPart.from_bytes(codec.witness_of(self.request))

    def tell_beside(self, forge: Forge) -> bool:
        """Give the victim its request with something else beside it; passed if it does what it is asked for.

        Raises:
            ProtocolError: with code and rule of its refusal.
        """
        raw = self.agents[self.victim].handle(beside(self.request, forge))
        opened = codec.open_message(raw, None, sender=self.victim, public_key=self.roster.members[self.victim])
        if isinstance(opened.body, pb.Refusal):
            raise ProtocolError(opened.body.code, "the victim refuses", rule=opened.body.rule)
        self._given.add(raw)
        return True

    @property
    def given(self) -> dict[str, int]:
        """See ``Stage.given``."""
        kind = pb.UNMASK_REPLY if self._stop.kind == pb.UNMASK else pb.TRAIN_REPLY
        return {GIVEN[kind]: len(self._given)}

    def signed(self, statements: Iterable[HeadStatement], *, number: int, run_id: bytes = RUN_ID) -> HeadSet:
        """A set of the hostile coordinator's own."""
        return signed_set(self.chief, run_id, number, statements)


def _round_of(raw: bytes) -> int:
    envelope = pb.Envelope.FromString(raw)
    return int(codec.TYPES[envelope.type].FromString(envelope.body).header.round)


def beside(raw: bytes, forge: Forge) -> bytes:
    """A frame with its witness part changed; the message in it stays as it was signed."""
    envelope = pb.Envelope.FromString(raw)
    part = CoordinatorPart.from_bytes(envelope.witness)
    tail = pb.Envelope(witness=envelope.witness).SerializeToString(deterministic=True)
    return codec.beside(raw[: len(raw) - len(tail)], forge(part).to_bytes())


__all__ = ["beside", "Forge", "SECOND_RUN", "Stop", "WitnessScene"]
