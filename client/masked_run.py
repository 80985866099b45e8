"""A site's masked rounds of one run: the participant, its state in memory, and the order of what is made durable.

What a step writes down is durable before the step's state is kept and before its reply leaves, so a position, a
vector, a set of survivors is used once, also after a crash. The secrets of a round are in memory only: they go with its
last reply, with a newer round, with the run, or when nothing was heard for the policy's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedward.client.duties import Part
from fedward.client.ring_share import RingShare
from fedward.common.config import RunPlan, SitePolicy
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.run_terms import run_terms, site_floors
from fedward.common.secagg.auxiliary import with_tail
from fedward.common.secagg.journal import JournalEntry
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.participant import Participant, Step
from fedward.common.secagg.plain import quantiser_of
from fedward.common.secagg.shares import RandomBytes
from fedward.common.secagg.state import State
from fedward.common.secagg.terms import Terms

Commit = Callable[[Sequence[JournalEntry]], None]
"""Makes entries durable, together with the site's accounts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What is lost with the process: the secrets of rounds that go on."""

    state: State = field(default_factory=State, repr=False)
    parked: Part | None = field(default=None, repr=False)
    """Trained already, and waiting to be told with whom."""
    clip_norm: float = 0.0
    """Of the round that goes on."""
    heard_s: float = 0.0
    """When the site was last asked for anything."""


@dataclass(kw_only=True, slots=True)
class MaskedRun:
    """One run at one site.

    Args:
        policy: of the site.
        plan: accepted, with a masked profile.
        position: of the run, outside rounds.
        transport: opens share packets of this run, and goes with it.
        random_bytes: secret; for one-time keys and shares.
        now_s: monotonic seconds.
        commit: makes journal entries durable.
        memory: where to go on from.
    """

    site_id: str
    identity: Identity
    roster: Roster
    policy: SitePolicy
    plan: RunPlan = field(repr=False)
    position: codec.Position
    transport: AgreementKey = field(repr=False)
    random_bytes: RandomBytes = field(repr=False)
    now_s: Callable[[], float]
    commit: Commit
    memory: Memory = field(default_factory=Memory, repr=False)

    # ------------------------------------------------------------------------------------------------ messages

    def accept_fields(self) -> tuple[bytes, bytes]:
        """Transport key and signature for ``PlanAccept``."""
        return self._participant(0.0).accept_fields()

    def graph_fields(self) -> tuple[bytes, bytes]:
        """Commitment to the site's part in the mask graph, and signature, for ``PlanAccept``; empty without a graph."""
        return self._participant(0.0).graph_fields()

    def handle(
        self,
        opened: codec.Opened[codec.Body],
        *,
        begin: Callable[[codec.Opened[codec.Body], pb.Train], None],
        carry_out: Callable[[], Part],
        give_up: Callable[[], None],
    ) -> bytes:
        """Answer one message of a round.

        Args:
            opened: for this run.
            begin: asked before a ``Train`` is accepted, all other checks passed: the model, the clip, the budget.
            carry_out: trains as ``begin`` was told, and charges.
            give_up: takes back what ``begin`` set aside, when nothing was begun after all.

        Raises:
            ProtocolError: a code of the closed list.
            FedwardError: the training failed; the cohort will wait in vain.
        """
        self.expire()
        body = opened.body
        clip_norm = body.clip_norm if isinstance(body, pb.Train) else self.memory.clip_norm
        participant = self._participant(clip_norm)
        is_begun = False

        def check(_: object) -> None:
            nonlocal is_begun
            if isinstance(body, pb.Train):
                begin(opened, body)
                is_begun = True

        try:
            step = participant.handle(self.memory.state, opened, check=check)
            # A request that comes once more is answered once more, and changes nothing.
            is_replay = step.state is self.memory.state
            self._keep(step, parked=self.memory.parked if is_replay or isinstance(body, pb.Mask) else None)
            self.memory = replace(self.memory, clip_norm=clip_norm)
        except BaseException:
            if is_begun:
                give_up()
            raise
        if step.reply is not None:
            return step.reply
        try:
            return self._work(participant, carry_out)
        except BaseException:
            # Secrets included: a vector that could not be made or written down is never made again.
            self.memory = replace(self.memory, state=self.memory.state.abandoned(), parked=None)
            raise

    def _work(self, participant: Participant, carry_out: Callable[[], Part]) -> bytes:
        """Train and answer; with a late cohort first train and say so, then answer."""
        parked = self.memory.parked
        if self.memory.state.pending is not None and parked is None:
            contribution = carry_out()
            return self._keep(participant.ready(self.memory.state), parked=contribution)
        return self._keep(self._masked(participant, carry_out() if parked is None else parked))

    def _masked(self, participant: Participant, contribution: Part) -> Step:
        engagement = self.memory.state.engagement
        if engagement is None:
            raise ProtocolError("ATTEMPT_CLOSED", "no cohort waits for a vector")
        if isinstance(contribution, RingShare):
            return participant.send(self.memory.state, contribution.vector)
        vector = np.empty(engagement.facts.num_coordinates, "<u4")
        num_model = vector.size - len(contribution.tail)
        if contribution.update.shape != (num_model,):
            raise ConfigError(f"an update of {contribution.update.size} for {num_model} coordinates")
        writer = quantiser_of(engagement.facts).writer(
            contribution.update, dither_key=contribution.dither_key, weight=contribution.weight
        )
        writer = with_tail(writer, contribution.tail, num_model=num_model)
        return participant.send(self.memory.state, vector, writer=writer)

    def _keep(self, step: Step, *, parked: Part | None = None) -> bytes:
        """Durable first; then the state, and only then may the reply go."""
        if step.entries:
            self.commit(step.entries)
        self.memory = replace(self.memory, state=step.state, parked=parked, heard_s=self.now_s())
        return step.reply or b""

    # ------------------------------------------------------------------------------------------------ erasure

    def expire(self) -> None:
        """Destroy what nobody has asked for in the policy's time; positions stay used."""
        if self.now_s() - self.memory.heard_s > self.policy.attempt_ttl_s:
            self.close()

    def close(self) -> None:
        """Destroy all secrets of rounds, at the end of the run for example."""
        self.memory = Memory(state=self.memory.state.closed(), heard_s=self.now_s())

    def _participant(self, clip_norm: float) -> Participant:
        terms = site_terms(self.plan, self.policy, self.position, self.roster, clip_norm)
        return Participant(
            site_id=self.site_id,
            identity=self.identity,
            terms=terms,
            transport=self.transport,
            random_bytes=self.random_bytes,
        )


def site_terms(plan: RunPlan, policy: SitePolicy, position: codec.Position, roster: Roster, clip_norm: float) -> Terms:
    """The terms of a run as a site sees them: the stricter of plan and policy binds."""
    return run_terms(
        plan,
        position,
        roster,
        floors=site_floors(plan, policy, roster),
        max_attempts=policy.max_attempts,
        clip_norm=clip_norm,
    )


__all__ = ["Commit", "MaskedRun", "Memory", "site_terms"]
