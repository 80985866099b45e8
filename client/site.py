"""The whole of a site's duties: one method per message, from bytes to bytes.

The order of the steps of a round is the privacy argument, and a test reads it (``STEPS``): the budget is reserved
before private data is read, the charge is in the ledger before the bytes leave, and what leaves is quantised, masked
and signed. Any failure is a signed refusal that carries a code of a closed list and nothing that depends on data.

Not handled here: what is done with the records (``duties``), masks (``masked_run``), transport, threads, files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fedward.client import site_log
from fedward.client.accepted_run import AcceptedRun
from fedward.client.accounts import Accounts
from fedward.client.duties import Assignment, Duties, Part, Trainer, adapter_of
from fedward.client.masked_run import MaskedRun, Memory, site_terms
from fedward.client.offers import check_members, offered_plan, require_run
from fedward.client.open_vector import in_the_open
from fedward.client.policy import Proposal, require
from fedward.client.replica import Copy, Replica
from fedward.client.ring_share import site_mechanism
from fedward.client.site_state import SiteState
from fedward.client.store import MemoryStore, SiteStore
from fedward.common.agreement import PROBE_ROUND, check_clip, check_train, cohort_facts, with_clip
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.distributed_terms import is_distributed
from fedward.common.errors import BudgetExhaustedError, FedwardError, ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.logs.logger import log
from fedward.common.lora import adapters
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Vector
from fedward.common.model_state import ServerState
from fedward.common.privacy.accounting import PrivacyEvent, history_to_json
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.journal import JournalEntry
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.ring import to_bytes
from fedward.common.secagg.shares import RandomBytes
from fedward.common.secagg.state import restored
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH

STEPS = ("reserve", "train_dpsgd", "charge", "quantise", "mask", "sign")
"""What a site does between a ``Train`` and its reply in mode ``local``, in this order."""
PROBE_STEPS = ("reserve", "noisy_norms", "charge", "quantise", "mask", "sign")
"""The same for the ``Train`` of round 0, which finds the clip norm."""
WEIGHT_STEPS = ("reserve", "draw_weight", "charge", *STEPS[1:])
"""The same for the first round of a plan with private weights: the weight is drawn once, and paid for."""
DISTRIBUTED_STEPS = ("reserve", "sum_clipped", "charge", "quantise", "add_ring_noise", "mask", "sign")
"""The same in mode ``distributed``: what is quantised is no release before the noise and the masks are on."""

_OF_MASKED_ROUNDS = (pb.Graph, pb.Prekey, pb.Train, pb.Mask, pb.Confirm, pb.Unmask)


class SiteAgent:
    """One site in one run at a time.

    Args:
        site_id: its name in the roster.
        identity: signs everything that leaves.
        roster: pinned; whoever is not in it is a stranger.
        policy: binds every run, whatever the server asks.
        trainer: data and model.
        entropy_for: gives the randomness of one (round, attempt): the operating system's, unless a simulation says
            otherwise.
        aggregator: a profile without masks, for simulations; a real site has none.
        desensitized: the policy under which the trainer's records were desensitised; None: they are as they came.
        store: what outlives the process; a site with something in it goes on from there.
        random_bytes: for one-time keys; the operating system's.
        now_s: monotonic seconds.
    """

    def __init__(
        self,
        *,
        site_id: str,
        identity: Identity,
        roster: Roster,
        policy: SitePolicy,
        trainer: Trainer,
        entropy_for: Callable[[int, int], Entropy],
        aggregator: Aggregator | None = None,
        desensitized: DesensitizePolicy | None = None,
        store: SiteStore | None = None,
        random_bytes: RandomBytes = os.urandom,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.site_id = site_id
        self._identity = identity
        self._roster = roster
        self._policy = policy
        self._trainer = trainer
        self._aggregator = aggregator
        self._desensitized = desensitized
        self._store = store or MemoryStore()
        self._random_bytes = random_bytes
        self._now_s = now_s
        self._run: AcceptedRun | None = None
        self._masked: MaskedRun | None = None
        self._replica: Replica | None = None
        self._coming: Copy | None = None
        """The next copy of the model, until it is written down."""
        self.accounts = Accounts(policy)
        self._duties = Duties(site_id=site_id, trainer=trainer, accounts=self.accounts, entropy_for=entropy_for)
        self._left: frozenset[bytes] = frozenset()
        self._answered: tuple[bytes, bytes] | None = None
        self.restore_state(self._store.load())

    # ------------------------------------------------------------------------------------------------ messages

    def handle(self, request: bytes) -> bytes:
        """Answer one message. Never raises: what cannot be answered is refused, signed."""
        position, request_hash = self._nowhere, codec.vector_hash(request)
        try:
            opened = self._open(request)
            position, request_hash = opened.position, opened.body_hash
            return self._dispatch(opened)
        except ProtocolError as error:
            refusal = error
        except BudgetExhaustedError as error:
            refusal = ProtocolError("BUDGET_REFUSED", error.message)
        except FedwardError as error:
            site_log.abstains(position, error)
            refusal = ProtocolError("ABSTAIN", error.message)
        except Exception as error:  # noqa: BLE001 - at the edge, where what is unforeseen must be a refusal
            site_log.abstains(position, error)
            refusal = ProtocolError("ABSTAIN", "unforeseen")
        return self._refuse(position, request_hash, refusal)

    def _dispatch(self, opened: codec.Opened[codec.Body]) -> bytes:
        body = opened.body
        if isinstance(body, pb.PlanOffer):
            return self.on_plan_offer(opened, body)
        if isinstance(body, pb.RunEnd):
            return self.on_run_end(opened, body)
        if isinstance(body, _OF_MASKED_ROUNDS) and self._run is not None and self._run.plan.secagg.is_masked:
            return self.on_masked(opened)
        if isinstance(body, pb.Train):
            return self.on_train(opened, body)
        raise ProtocolError("BAD_ENCODING", "a message that is not for sites, or not of this profile")

    def on_plan_offer(self, offer: codec.Opened[codec.Body], body: pb.PlanOffer) -> bytes:
        """Judge a plan by the site's own policy, before any data is read; accept or refuse it, signed."""
        position = offer.position
        plan = offered_plan(position, body, self._profiles)
        known = self._run if self._run is not None and self._run.run_id == position.run_id else None
        if known is not None and known.plan_bytes != body.plan:
            raise ProtocolError("REPLAY_CONFLICT", "another plan under the same run id")
        if position.run_id in self._left:
            # Its account and its used positions are gone: it must not begin again as if nothing had been spent.
            raise ProtocolError("REPLAY_CONFLICT", "a run that this site has left")
        check_members(plan, self._roster, self.site_id)
        # The cheap rules first: accounting an absurd plan may cost more than it deserves.
        free = Proposal(
            plan=plan,
            roster=self._roster,
            run_epsilon=0.0,
            total_epsilon=0.0,
            nominal_units=plan.site(self.site_id).nominal_units,
            desensitized=self._desensitized,
        )
        require(free, self._policy)
        require(self.accounts.proposal(free, is_new=known is None), self._policy)
        self._trainer.check(plan)
        if known is None:
            self._begin_run(position, body.plan, plan)
        accept = pb.PlanAccept(header=position.header(self.site_id), request_hash=offer.body_hash)
        if self._desensitized is not None:
            accept.desensitization_policy = bytes.fromhex(self._desensitized.digest)
        if self._masked is not None:
            accept.transport_key, accept.signature = self._masked.accept_fields()
            accept.graph_commitment, accept.graph_signature = self._masked.graph_fields()
        return codec.seal(self._identity, accept)

    def _begin_run(self, position: codec.Position, plan_bytes: bytes, plan: RunPlan) -> None:
        if self._run is not None:
            self._left |= {self._run.run_id}
        self._answered = None
        self._run = AcceptedRun(run_id=position.run_id, plan_bytes=plan_bytes, plan=plan)
        self.accounts.open_run(plan)
        transport = AgreementKey.generate(self._random_bytes) if plan.secagg.is_masked else None
        self._masked = self._masked_run(self._run, transport)
        self._replica = self._replica_of(self._run)
        self._commit()
        self._store.scrub()
        log.event("plan.accepted", run=position.run_id, plan=position.plan_digest)

    def on_masked(self, request: codec.Opened[codec.Body]) -> bytes:
        """One trip of a masked round; see ``STEPS`` for what a ``Train`` sets off."""
        run, masked, replica = require_run(self._run, request.position), self._masked, self._replica
        if masked is None or replica is None or run.is_over:
            raise ProtocolError("ATTEMPT_CLOSED", "the run has ended")
        tasks: list[Assignment] = []

        def begin(opened: codec.Opened[codec.Body], body: pb.Train) -> None:
            check_clip(run.plan, opened.position.round_number, body.clip_norm)
            run.require_new(opened.position)
            # Nothing that the coordinator says of the model is believed: the site works it out.
            coming = replica.follow(opened.position.round_number - 1, body, opened.vector)
            tasks.append(self._assignment(run, opened, body, coming.state.adapter))
            self._coming = coming

        def carry_out() -> Part:
            return self._duties.carry_out(tasks[0])

        def give_up() -> None:
            self._coming = None
            self._duties.give_up(tasks[0])

        return masked.handle(request, begin=begin, carry_out=carry_out, give_up=give_up)

    def on_train(self, request: codec.Opened[codec.Body], body: pb.Train) -> bytes:
        """Train one round of a profile without masks and give this site's part of the sum; see ``STEPS``."""
        if self._answered is not None and self._answered[0] == request.body_hash:
            return self._answered[1]
        run, position = require_run(self._run, request.position), request.position
        if self._aggregator is None:
            raise ProtocolError("PROFILE_FORBIDDEN", "the profile is not one that this site runs")
        run.require_new(position)
        check_train(run.plan, position, body, site_id=self.site_id)
        task = self._assignment(run, request, body, adapter_of(run.plan, body, request.vector))
        self._commit()
        part = self._duties.carry_out(task)
        self._commit()
        facts = cohort_facts(position, body)
        raw = to_bytes(in_the_open(self._aggregator, self.site_id, facts, part))
        reply = pb.TrainReply(
            header=position.header(self.site_id), cohort_digest=facts.digest(), vector_hash=codec.vector_hash(raw)
        )
        sealed = codec.seal(self._identity, reply, vector=raw)
        self._answered = (request.body_hash, sealed)
        site_log.sent(position)
        return sealed

    def _assignment(
        self, run: AcceptedRun, request: codec.Opened[codec.Body], body: pb.Train, adapter: adapters.Adapter
    ) -> Assignment:
        """What an acceptable ``Train`` asks for; its position is used up, whatever becomes of it, and so is budget."""
        position = request.position
        clip_norm = run.clip_norm_of(position, body.clip_norm)
        plan = run.plan if clip_norm is None else with_clip(run.plan, clip_norm)
        mechanism = None
        if is_distributed(plan) and position.round_number != PROBE_ROUND:
            mechanism = site_mechanism(plan, self._policy, position.round_number, body)
        self._run = replace(
            run,
            last_round=position.round_number,
            last_attempt=position.attempt,
            clip_norm=run.clip_norm if clip_norm is None else clip_norm,
        )
        task = self._duties.assign(
            plan,
            position.round_number,
            position.attempt,
            adapter,
            drawn_weight=run.drawn_weight,
            mechanism=mechanism,
        )
        self._run = replace(self._run, drawn_weight=task.drawn_weight)
        return task

    def on_run_end(self, request: codec.Opened[codec.Body], body: pb.RunEnd) -> bytes:
        """Close the run; state what it was charged, and which model the site has come to itself.

        The events are parameters of the plan, not of the data.
        """
        run = require_run(self._run, request.position)
        reply = pb.RunEndReply(header=request.position.header(self.site_id))
        if self._replica is not None:
            reply.code, reply.model_digest = self._concluded(self._replica, body, request.vector)
        self._run = replace(run, is_over=True)
        self._answered = None
        if self._masked is not None:
            self._masked.close()
            self._masked = self._masked_run(self._run, None)
        self._commit()
        self._store.scrub()
        log.event("run.ended", run=run.run_id)
        reply.events = history_to_json(self.history)
        return codec.seal(self._identity, reply)

    def _concluded(self, replica: Replica, body: pb.RunEnd, vector: Vector) -> tuple[str, bytes]:
        """Why the site's last state is not the stated one, or nothing; and that state's digest."""
        try:
            self._coming = replica.follow(body.previous.round if body.HasField("previous") else 0, body, vector)
        except ProtocolError as error:
            log.event("model.differs", run=replica.run_id, code=error.code)
            return error.code, replica.copy.digest
        return "", self._coming.digest

    # ------------------------------------------------------------------------------------------------ state

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """All events reserved or charged in this run."""
        return self.accounts.history

    @property
    def model(self) -> ServerState | None:
        """The state of the model that this site has worked out itself; None without masks."""
        return None if self._replica is None else self._replica.copy.state

    @property
    def memory(self) -> Memory | None:
        """The secrets of a masked round that goes on, for a simulation that moves a site between processes.

        A real site never gives them away: they are lost with its process.
        """
        return None if self._masked is None else self._masked.memory

    @memory.setter
    def memory(self, memory: Memory) -> None:
        if self._masked is not None:
            self._masked.memory = memory

    def expire(self) -> None:
        """Destroy secrets that nobody has asked for in the policy's time; whoever keeps a site running calls this."""
        if self._masked is not None:
            self._masked.expire()

    def export_state(self) -> bytes:
        """What a site keeps on its own disk, its accounts among it. No secrets of rounds; the run's transport key."""
        if self._run is None:
            return b""
        secret = None if self._masked is None else self._masked.transport.secret
        state = SiteState(run=self._run, left=self._left, transport_secret=secret)
        return state.to_bytes(self.accounts)

    def restore_state(self, raw: bytes) -> None:
        """The inverse of ``export_state``. An old state forgets what was spent since: keep the newest only."""
        if not raw:
            return
        state = SiteState.from_bytes(raw, self.accounts)
        self._run, self._left, secret = state.run, state.left, state.transport_secret
        self._masked = self._masked_run(self._run, None if secret is None else AgreementKey.from_secret(secret))
        self._replica = self._replica_of(self._run)

    def _commit(self, entries: Sequence[JournalEntry] = ()) -> None:
        # Taken first: a copy that could not be written down must not go with what is written next, of another run even.
        run, replica, coming, self._coming = self._run, self._replica, self._coming, None
        if run is None or replica is None or coming is None or coming is replica.copy:
            self._store.commit(entries, self.export_state)
        else:
            self._store.commit(entries, self.export_state, model=lambda: coming.to_bytes(run.plan, run.run_id))
            replica.keep(coming)
        site_log.written_down(entries)

    def _replica_of(self, run: AcceptedRun) -> Replica | None:
        """The site's own model; None without masks, where the coordinator sends it."""
        if not run.plan.secagg.is_masked:
            return None
        return Replica(
            plan=run.plan,
            run_id=run.run_id,
            terms=partial(site_terms, run.plan, self._policy, run.position(self._roster.hash), self._roster),
            load=self._store.load_model,
            entries=partial(self._store.entries, run.run_id),
        )

    def _masked_run(self, run: AcceptedRun, transport: AgreementKey | None) -> MaskedRun | None:
        """The masked rounds of a run that goes on; after a restart only the positions that were used are known."""
        if transport is None:
            return None
        memory = Memory(state=restored(self._store.entries(run.run_id)), heard_s=self._now_s())
        return MaskedRun(
            site_id=self.site_id,
            identity=self._identity,
            roster=self._roster,
            policy=self._policy,
            plan=run.plan,
            position=run.position(self._roster.hash),
            transport=transport,
            random_bytes=self._random_bytes,
            now_s=self._now_s,
            commit=self._commit,
            memory=memory,
        )

    # ------------------------------------------------------------------------------------------------ parts

    @property
    def _profiles(self) -> frozenset[str]:
        """What this site can run, whatever its policy allows."""
        masked = frozenset(profile.value for profile in Profile)
        return masked if self._aggregator is None else masked | {self._aggregator.profile}

    def _open(self, request: bytes) -> codec.Opened[codec.Body]:
        opened = codec.open_message(request, None, sender=COORDINATOR, public_key=self._roster.coordinator_key)
        if opened.position.roster_hash != self._roster.hash:
            raise ProtocolError("ROSTER_MISMATCH", "the message is for another roster")
        return opened

    @property
    def _nowhere(self) -> codec.Position:
        """The position of a refusal of what could not even be read."""
        return codec.Position(
            run_id=bytes(codec.RUN_ID_BYTES), roster_hash=self._roster.hash, plan_digest=ZERO_HASH, profile=""
        )

    def _refuse(self, position: codec.Position, request_hash: bytes, error: ProtocolError) -> bytes:
        site_log.refused(position, error)
        refusal = pb.Refusal(
            header=position.header(self.site_id), request_hash=request_hash, code=error.code, rule=error.rule
        )
        return codec.seal(self._identity, refusal)
