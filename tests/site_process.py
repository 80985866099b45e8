"""A site in a process of its own, for tests that kill, restart and race it: ``python -m tests.site_process WORD ...``.

The coordinator of its run is played by the same process. What it says goes to the standard output, a line each.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedward.client.ledger_store import LedgerStore, wall_clock_ms
from fedward.common.agreement import round_event
from fedward.common.errors import LedgerLockedError, LedgerRolledBackError
from fedward.common.ledger.anchor import AnchorFile
from fedward.common.ledger.store import Ledger
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import epsilon
from tests.federation_simulator import POLICY, FakeTrainer, Federation, identity_of, make_plan, refusal_of
from tests.masked_federation import agent_of, masked_federation, stopped_at
from tests.site_stores import KEY

ROOT = Path(__file__).parents[1]
PLAN = make_plan(rounds=1, privacy={"noise_multiplier": 0.7, "epsilon": 5.0})
EVENT = round_event(PLAN)
CAP = (epsilon([EVENT] * 2, POLICY.account_delta) + epsilon([EVENT] * 3, POLICY.account_delta)) / 2
"""Room for two runs, not for three."""


def ledger_store(folder: Path, *, is_anchored: bool = False) -> LedgerStore:
    """Upon the ledger of a site's folder, which is made if there is none."""
    path, models = folder / "ledger.db", folder / "models"
    anchor = AnchorFile(folder / "anchor") if is_anchored else None
    models.mkdir(mode=0o700, exist_ok=True)
    identity = identity_of("alpha")
    if path.exists():
        ledger = Ledger.open(path, identity=identity, clock=wall_clock_ms, anchor=anchor)
    else:
        ledger = Ledger.create(path, identity=identity, site_id="alpha", clock=wall_clock_ms, anchor=anchor)
    return LedgerStore(ledger, key=KEY, folder=models)


def started(*words: object, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    """The process, with pipes to and from it."""
    command = [sys.executable, "-m", "tests.site_process", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options)


def finished(*words: object) -> list[str]:
    """What the process says until it ends by itself.

    Raises:
        AssertionError: it failed.
    """
    process = started(*words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


def run_once(folder: Path, run: str, is_anchored: str = "") -> None:
    """A whole run of one round; says how the offer and the round were answered."""
    try:
        store = ledger_store(folder, is_anchored=bool(is_anchored))
    except (LedgerLockedError, LedgerRolledBackError) as error:
        say(type(error).__name__)
        return
    federation = Federation(PLAN, policy=POLICY.model_copy(update={"account_epsilon": CAP}))
    federation.run_id = bytes.fromhex(run)
    agent = federation.agent(store=store)
    for request in (federation.offer(), federation.train(), federation.end()):
        answer = agent.handle(request)
        say(answered(answer))
        if codec.peek_type(answer) == pb.REFUSAL:
            return


def race(folder: Path, run: str) -> None:
    """A run that waits for a line between the offer and the round."""
    if (folder / "ledger.lock").exists():
        (folder / "ledger.lock").unlink()  # nobody's lock holds this process up
    federation = Federation(PLAN, policy=POLICY.model_copy(update={"account_epsilon": CAP}))
    federation.run_id = bytes.fromhex(run)
    agent = federation.agent(store=ledger_store(folder))
    say(answered(agent.handle(federation.offer())))
    sys.stdin.readline()
    say(answered(agent.handle(federation.train())))


def hold(folder: Path) -> None:
    """Keep the ledger until a line comes."""
    store = ledger_store(folder)
    say("held")
    sys.stdin.readline()
    store.close()


def charge_killed(folder: Path, transaction: str, place: str) -> None:
    """A masked round that is killed at a step of its first or second transaction."""
    federation = masked_federation("resilient")
    store = ledger_store(folder)
    agent = agent_of(federation, store=store)
    request = stopped_at(federation, pb.TRAIN, agent)
    (folder / "train").write_bytes(request)
    update = FakeTrainer.update

    def noted(self: FakeTrainer, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        (folder / "trained").touch()
        return update(self, *arguments, **named)

    FakeTrainer.update = noted  # type: ignore[method-assign]
    ledger = store._ledger
    ledger._connection = Dying(ledger._connection, int(transaction), place)  # type: ignore[assignment]
    reply = agent.handle(request)
    if place == "before send":
        die()
    (folder / "left").write_bytes(reply)


class Dying:
    """A connection whose process is killed at one statement."""

    def __init__(self, real: sqlite3.Connection, transaction: int, place: str) -> None:
        self._real = real
        self._transaction = transaction
        self._place = place
        self._begun = 0
        self._inserted = 0

    def execute(self, statement: str, *arguments: Any) -> Any:  # noqa: ANN401
        word = statement.split()[0]
        if word == "BEGIN":
            self._begun, self._inserted = self._begun + 1, 0
        is_here = self._begun == self._transaction
        if is_here and f"before {word}" == self._place:
            die()
        found = self._real.execute(statement, *arguments)
        self._inserted += word == "INSERT"
        if is_here and self._place in (f"after {word}", f"after {word} {self._inserted}"):
            die()
        return found

    def executemany(self, statement: str, rows: Any) -> Any:  # noqa: ANN401
        found = self._real.executemany(statement, rows)
        if self._begun == self._transaction and self._place == "after beside":
            die()
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real, name)


def die() -> None:
    """Like a power cut, as far as the process is concerned."""
    os.kill(os.getpid(), signal.SIGKILL)


def answered(reply: bytes) -> str:
    """A reply in a word: its type, or code and rule of a refusal."""
    kind = codec.peek_type(reply)
    if kind != pb.REFUSAL:
        return str(pb.MessageType.Name(kind))
    refusal = refusal_of(reply)
    return "/".join(filter(None, (refusal.code, refusal.rule)))


def say(word: str) -> None:
    """To whoever started this process."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


_WORDS: dict[str, Callable[..., None]] = {"run": run_once, "race": race, "hold": hold, "charge": charge_killed}

if __name__ == "__main__":
    _WORDS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
