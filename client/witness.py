"""A site's part in the witness protocol: what came beside a request goes into the ledger, its answer beside the reply.

Around the agent, never inside its messages: what is refused here is refused before anything is read or charged, and the
machines of a round see nothing of it. Heads are durable before they are signed. Not handled here: what the machine
decides (``common.ledger.witness``), and where the ledger lies.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.chain import GENESIS, KEY_ROTATED, Entry
from fedward.common.ledger.head_entries import (
    HEADS_CONFIRMED,
    HEADS_RECORDED,
    RECOVERED,
    SetReader,
    read_confirmed,
    read_recovered,
)
from fedward.common.ledger.heads import NONCE_BYTES, HeadStatement, stated_head
from fedward.common.ledger.trail import HeadTrail
from fedward.common.ledger.witness import RunHeads, SiteWitness
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.witness import CoordinatorPart

STATES_HEAD = frozenset({pb.PLAN_ACCEPT, pb.TRAIN_REPLY, pb.UNMASK_REPLY})
"""Replies that bring a head: of the chain behind their own transaction."""
_WANTS_VECTOR = (pb.Confirm, pb.Unmask)
"""Requests that are made only when this site's vector has come."""


class Witnessing:
    """One site's, from the start of its process.

    Args:
        site_id: its name in the roster.
        identity: signs its ledger and its heads.
        roster: pinned.
        trail: its ledger.
        min_witnesses: of its policy.
        random_bytes: for the nonce of this start.
    """

    def __init__(
        self,
        *,
        site_id: str,
        identity: Identity,
        roster: Roster,
        trail: HeadTrail,
        min_witnesses: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._identity = identity
        self._trail = trail
        self._owned_up: set[bytes] = set()
        """Heads that this chain lost, and says so."""
        self._own_keys: set[bytes] = set()
        self._void_runs: set[bytes] = set()
        recorded, run = self._read_chain()
        self.state = SiteWitness(
            site_id=site_id,
            keys={**roster.members, COORDINATOR: roster.coordinator_key},
            own_keys=frozenset({*self._own_keys, identity.public_key}),
            min_witnesses=min_witnesses,
            nonce=random_bytes(NONCE_BYTES),
            is_new=not recorded and not self._owned_up,
            recorded={name: one for name, one in recorded.items() if name != site_id},
            void_runs=frozenset(self._void_runs),
            run=replace(run, is_void=run.run_id in self._void_runs),
        )
        self._stated: tuple[bytes, HeadStatement] | None = None
        """Hash of the last request whose reply brought a head, and that statement."""

    def _read_chain(self) -> tuple[dict[str, HeadStatement], RunHeads]:
        """The newest statement of each party that this chain has recorded, and the sets of the last run in it."""
        reader, recorded, told = SetReader(), dict[str, HeadStatement](), dict[tuple[bytes, int], bytes]()
        run = RunHeads()
        for entry in self._trail.entries():
            self._note(entry)
            if entry.kind == HEADS_CONFIRMED:
                found = read_confirmed(entry)
                if found.run_id == run.run_id:
                    run = replace(run, confirmed=run.confirmed | {found.number})
            heads = reader.take(entry) if entry.kind == HEADS_RECORDED else None
            if heads is None:
                continue
            if told.setdefault((heads.run_id, heads.number), heads.digest) == heads.digest:
                recorded.update({one.site_id: one for one in heads.statements})
                run = (run if run.run_id == heads.run_id else RunHeads(run_id=heads.run_id)).recorded(heads)
            else:
                self._void_runs.add(heads.run_id)
        return recorded, run

    def _note(self, entry: Entry) -> None:
        if entry.kind == RECOVERED:
            self._owned_up.update(one.head for one in read_recovered(entry))
        elif entry.kind in (GENESIS, KEY_ROTATED):
            name = "identity" if entry.kind == GENESIS else "new"
            self._own_keys.add(bytes.fromhex(str(entry.fields[name])))

    def _holds(self, head: bytes) -> bool:
        return self._trail.holds(head) or head in self._owned_up

    # ------------------------------------------------------------------------------------------------ around a request

    def hear(self, request: bytes, opened: codec.Opened[codec.Body], run_id: bytes) -> None:
        """What came beside a request; recorded, and durable, when this returns.

        Args:
            request: the frame.
            opened: the message in it.
            run_id: of the run that the site is in; empty: none.

        Raises:
            ProtocolError: ``BAD_ENCODING``, ``BAD_SIGNATURE``, ``HEADS_CONFLICT``, ``WITNESS_MISSING`` or
                ``LEDGER_ROLLED_BACK``: the request must not be answered.
            LedgerError: the ledger cannot be written.
        """
        self.state.require_sound(opened.position.run_id)
        own_run = run_id if run_id == opened.position.run_id else b""
        try:
            part = CoordinatorPart.from_bytes(codec.witness_of(request))
            state, drafts = self.state.hear(part, own_run, self._holds)
        except ProtocolError as error:
            if error.code == "LEDGER_ROLLED_BACK":
                self.state = self.state.rolled_back()
            raise
        if drafts:
            self._trail.append(drafts)
        self.state = state
        state.require_sound(opened.position.run_id)
        self._require(opened)

    def _require(self, opened: codec.Opened[codec.Body]) -> None:
        body, position = opened.body, opened.position
        if isinstance(body, pb.Train):
            self.state.require_witnesses()
        if isinstance(body, _WANTS_VECTOR):
            self.state.require_in_set((position.round_number, position.attempt))
        elif isinstance(body, pb.Train | pb.RunEnd) and body.HasField("previous"):
            is_in_sum = any(one.site_id == self.state.site_id for one in body.previous.survivors)
            if is_in_sum:
                self.state.require_in_set((body.previous.round, body.previous.attempt))

    def beside(self, reply: bytes, opened: codec.Opened[codec.Body] | None) -> bytes:
        """The reply with what this site says beside it.

        Args:
            reply: sealed; what it rests on is durable.
            opened: the request; None: it could not be read.
        """
        kind = codec.peek_type(reply)
        if opened is None:
            return reply
        if kind not in STATES_HEAD or not self.state.is_vouched:
            return codec.beside(reply, self._speak(None, is_vector=False))
        if self._stated is None or self._stated[0] != opened.body_hash:  # the same request, the same word
            self._stated = opened.body_hash, self._statement(opened.position)
        return codec.beside(reply, self._speak(self._stated[1], is_vector=kind == pb.TRAIN_REPLY))

    def _statement(self, position: codec.Position) -> HeadStatement:
        head = self._trail.head
        return stated_head(
            self._identity,
            self.state.site_id,
            ledger_id=head.ledger_id,
            run_id=position.run_id,
            round_number=position.round_number,
            attempt=position.attempt,
            head=head.hash,
        )

    def _speak(self, statement: HeadStatement | None, *, is_vector: bool) -> bytes:
        self.state, part = self.state.speak(self._identity, statement, is_vector=is_vector)
        return part.to_bytes()


__all__ = ["STATES_HEAD", "Witnessing"]
