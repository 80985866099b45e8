"""The whole of a site's duties: one method per message, from bytes to bytes.

The order of the steps of a round is the privacy argument, and a test reads it (``STEPS``): the budget is reserved
before private data is read, the charge is in the ledger before the bytes leave, and what leaves is quantised, masked
and signed. Any failure is a signed refusal that carries a code of a closed list and nothing that depends on data.

Not handled here: transport, threads, the files of the site.
"""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.client.accepted_run import AcceptedRun
from fedward.client.policy import Proposal, require
from fedward.common.agreement import (
    PROBE_ROUND,
    check_train,
    cohort_facts,
    is_resolved,
    round_event,
    run_epsilon,
    run_events,
    site_rank,
    site_weight,
    with_clip,
)
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy, digest_of
from fedward.common.errors import (
    BudgetExhaustedError,
    ConfigError,
    FedwardError,
    PlanError,
    PrivacyError,
    ProtocolError,
)
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import check_layout, only_prefix, sent_layout, trained_layout, whole_adapter
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import PrivacyEvent, epsilon, history_to_json
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.ring import to_bytes
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts

STEPS = ("reserve", "train_dpsgd", "charge", "quantise", "mask", "sign")
"""What a site does between a ``Train`` and its reply in mode ``local``, in this order."""
PROBE_STEPS = ("reserve", "noisy_norms", "charge", "quantise", "mask", "sign")
"""The same for the ``Train`` of round 0, which finds the clip norm."""

_LOG = logging.getLogger("fedward.site")


class Trainer(Protocol):
    """The part of a site that holds data and model."""

    def check(self, plan: RunPlan) -> None:
        """Compare base and layout with the plan, prove the gradients. Reads no record.

        Raises:
            ProtocolError: ``PLAN_MISMATCH``.
        """
        ...

    def update(
        self,
        plan: RunPlan,
        adapter: adapters.Adapter,
        *,
        round_number: int,
        permit: Permit | None,
        entropy: Entropy,
    ) -> NDArray[np.float32]:
        """Train on the site's records: (L,) float32, the movement of the factors that this round trains."""
        ...

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        """Count the units by gradient norm and add the permit's noise: (34,) float32; see ``clip_probe.release``."""
        ...


class SiteAgent:
    """One site in one run at a time.

    Args:
        site_id: its name in the roster.
        identity: signs everything that leaves.
        roster: pinned; whoever is not in it is a stranger.
        policy: binds every run, whatever the server asks.
        trainer: data and model.
        aggregator: the secure-aggregation profile.
        entropy_for: gives the randomness of one (round, attempt): the operating system's, unless a simulation says
            otherwise.
    """

    def __init__(
        self,
        *,
        site_id: str,
        identity: Identity,
        roster: Roster,
        policy: SitePolicy,
        trainer: Trainer,
        aggregator: Aggregator,
        entropy_for: Callable[[int, int], Entropy],
    ) -> None:
        self.site_id = site_id
        self._identity = identity
        self._roster = roster
        self._policy = policy
        self._trainer = trainer
        self._aggregator = aggregator
        self._entropy_for = entropy_for
        self._run: AcceptedRun | None = None
        # Of all runs together; and of the run that goes on, whose own epsilon binds its retries.
        self._account = BudgetAccount(epsilon_cap=policy.account_epsilon, delta=policy.account_delta)
        self._run_account: BudgetAccount | None = None
        self._left: frozenset[bytes] = frozenset()
        self._answered: tuple[bytes, bytes] | None = None

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
            _LOG.warning("abstains: %s", type(error).__name__)
            refusal = ProtocolError("ABSTAIN", error.message)
        except Exception as error:  # noqa: BLE001 - at the edge, where what is unforeseen must be a refusal
            # The type alone: the text of a foreign exception may quote a record.
            _LOG.warning("abstains: unforeseen %s", type(error).__name__)
            refusal = ProtocolError("ABSTAIN", "unforeseen")
        return self._refuse(position, request_hash, refusal)

    def _dispatch(self, opened: codec.Opened[codec.Body]) -> bytes:
        body = opened.body
        if isinstance(body, pb.PlanOffer):
            return self.on_plan_offer(opened, body)
        if isinstance(body, pb.Train):
            return self.on_train(opened, body)
        if isinstance(body, pb.RunEnd):
            return self.on_run_end(opened)
        raise ProtocolError("BAD_ENCODING", "a message that is not for sites")

    def on_plan_offer(self, offer: codec.Opened[codec.Body], body: pb.PlanOffer) -> bytes:
        """Judge a plan by the site's own policy, before any data is read; accept or refuse it, signed."""
        position = offer.position
        if digest_of(body.plan) != position.plan_digest:
            raise ProtocolError("PLAN_MISMATCH", "the plan is not the one that the header names")
        try:
            plan = RunPlan.from_bytes(body.plan)
            # Rules and prefixes go by lora.rank, what is trained goes by the layout: they must be one.
            check_layout(adapters.ordered(plan.layout), plan.lora.rank)
        except ConfigError as error:
            raise ProtocolError("BAD_ENCODING", error.message) from error
        if position.profile != plan.secagg.profile or position.profile != self._aggregator.profile:
            raise ProtocolError("PROFILE_FORBIDDEN", "the profile is not one that this site runs", rule="profile")
        if (position.round_number, position.attempt) != (0, 0):
            raise ProtocolError("ROUND_ORDER", "a plan is offered before the first round")
        known = self._run if self._run is not None and self._run.run_id == position.run_id else None
        if known is not None and known.plan_bytes != body.plan:
            raise ProtocolError("REPLAY_CONFLICT", "another plan under the same run id")
        if position.run_id in self._left:
            # Its account and its used positions are gone: it must not begin again as if nothing had been spent.
            raise ProtocolError("REPLAY_CONFLICT", "a run that this site has left")
        self._check_members(plan)
        # The cheap rules first: accounting an absurd plan may cost more than it deserves.
        free = Proposal(
            plan=plan, run_epsilon=0.0, total_epsilon=0.0, nominal_units=plan.site(self.site_id).nominal_units
        )
        require(free, self._policy)
        require(self._proposal(free, is_new=known is None), self._policy)
        self._trainer.check(plan)
        if known is None:
            if self._run is not None:
                self._left |= {self._run.run_id}
            self._answered = None
            self._run = AcceptedRun(run_id=position.run_id, plan_bytes=body.plan, plan=plan)
            self._run_account = self._open_account(plan)
        return codec.seal(
            self._identity, pb.PlanAccept(header=position.header(self.site_id), request_hash=offer.body_hash)
        )

    def on_train(self, request: codec.Opened[codec.Body], body: pb.Train) -> bytes:
        """Train one round and give this site's part of the cohort's sum; see ``STEPS``."""
        if self._answered is not None and self._answered[0] == request.body_hash:
            return self._answered[1]
        run = self._require_run(request.position)
        run.require_new(request.position)
        check_train(run.plan, request.position, body, site_id=self.site_id)
        clip_norm = run.clip_norm_of(request.position, body.clip_norm)
        adapter = self._adapter_of(run.plan, body, request.vector)
        # The position is used up by the first attempt to train, whatever becomes of it.
        position = request.position
        self._run = replace(run, last_round=position.round_number, last_attempt=position.attempt, clip_norm=clip_norm)
        facts = cohort_facts(position, body)
        if position.round_number == PROBE_ROUND:
            raw = self._probed_vector(run.plan, facts, adapter)
        else:
            raw = self._trained_vector(
                run.plan if clip_norm is None else with_clip(run.plan, clip_norm), facts, adapter
            )
        reply = pb.TrainReply(
            header=position.header(self.site_id), cohort_digest=facts.digest(), vector_hash=codec.vector_hash(raw)
        )
        sealed = codec.seal(self._identity, reply, vector=raw)
        self._answered = (request.body_hash, sealed)
        return sealed

    def _trained_vector(self, plan: RunPlan, facts: CohortFacts, adapter: adapters.Adapter) -> bytes:
        """The steps up to the mask, in their order."""
        entropy = self._entropy_for(facts.round_number, facts.attempt)
        dither_key = entropy.words(4).tobytes()
        permits = (
            self._reserve(round_event(plan), plan.privacy.resolved_clip_norm, "train") if plan.is_private else None
        )
        # A failure from here on leaves the reservation standing: counted, never refunded.
        update = self._trainer.update(
            plan, adapter, round_number=facts.round_number, permit=permits and permits[0], entropy=entropy
        )
        self._charge(permits)
        # Whatever the trainer did: beyond its own columns a site sends nothing, for there the sum has fewer sites.
        rank = site_rank(plan, self.site_id)
        if rank < plan.lora.rank:
            update = only_prefix(trained_layout(plan.lora.aggregation, plan.layout, facts.round_number), update, rank)
        return self._in_ring(facts, update, weight=site_weight(plan, self.site_id), dither_key=dither_key)

    def _probed_vector(self, plan: RunPlan, facts: CohortFacts, adapter: adapters.Adapter) -> bytes:
        """The steps of the probe up to the mask; counts carry no weight."""
        entropy = self._entropy_for(facts.round_number, facts.attempt)
        dither_key = entropy.words(4).tobytes()
        permits = self._reserve(clip_probe.EVENT, clip_probe.SENSITIVITY, "clip_probe")
        counts = self._trainer.noisy_norms(plan, adapter, permit=permits[0], entropy=entropy)
        self._charge(permits)
        return self._in_ring(facts, counts, weight=1.0, dither_key=dither_key)

    def _in_ring(self, facts: CohortFacts, vector: NDArray[np.float32], *, weight: float, dither_key: bytes) -> bytes:
        """Quantised and masked. What the trainer gives must have the length that the cohort agreed on."""
        if vector.shape != (facts.num_coordinates,):
            raise ConfigError("the trainer's vector has another length than the plan's")
        participant = self._aggregator.participant(self.site_id)
        return to_bytes(participant.vector(facts, vector, weight=weight, dither_key=dither_key))

    def on_run_end(self, request: codec.Opened[codec.Body]) -> bytes:
        """Close the run and state what it was charged. The events are parameters of the plan, not of the data."""
        self._run = replace(self._require_run(request.position), is_over=True)
        self._answered = None
        events = history_to_json(self.history)
        return codec.seal(self._identity, pb.RunEndReply(header=request.position.header(self.site_id), events=events))

    # ------------------------------------------------------------------------------------------------ state

    @property
    def history(self) -> tuple[PrivacyEvent, ...]:
        """All events reserved or charged in this run."""
        return () if self._run_account is None else self._run_account.history

    def export_state(self) -> bytes:
        """What a simulated node carries from one process to the next. A real site keeps this on its own disk."""
        if self._run is None:
            return b""
        document = {
            "run_id": self._run.run_id.hex(),
            "left": sorted(run_id.hex() for run_id in self._left),
            "plan": base64.b64encode(self._run.plan_bytes).decode(),
            "last": [self._run.last_round, self._run.last_attempt, self._run.is_over],
            "clip_norm": self._run.clip_norm,
            "account": self._account.to_bytes().decode(),
            "run_account": None if self._run_account is None else self._run_account.to_bytes().decode(),
        }
        return json.dumps(document).encode()

    def restore_state(self, raw: bytes) -> None:
        """The inverse of ``export_state``. An old state forgets what was spent since: keep the newest only."""
        if not raw:
            return
        document = json.loads(raw)
        plan_bytes = base64.b64decode(document["plan"])
        last_round, last_attempt, is_over = document["last"]
        self._run = AcceptedRun(
            run_id=bytes.fromhex(document["run_id"]),
            plan_bytes=plan_bytes,
            plan=RunPlan.from_bytes(plan_bytes),
            last_round=last_round,
            last_attempt=last_attempt,
            clip_norm=document["clip_norm"],
            is_over=is_over,
        )
        self._left = frozenset(bytes.fromhex(run_id) for run_id in document["left"])
        self._account = BudgetAccount.from_bytes(document["account"].encode())
        run_account = document["run_account"]
        self._run_account = None if run_account is None else BudgetAccount.from_bytes(run_account.encode())

    # ------------------------------------------------------------------------------------------------ parts

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

    def _check_members(self, plan: RunPlan) -> None:
        try:
            plan.site(self.site_id)
        except PlanError as error:
            raise ProtocolError("UNKNOWN_SITE", error.message) from error
        if any(site.id not in self._roster.members for site in plan.sites):
            raise ProtocolError("UNKNOWN_SITE", "the plan names a site that is not in the roster")

    def _open_account(self, plan: RunPlan) -> BudgetAccount | None:
        if not plan.is_private:
            return None
        # The stricter of plan and policy binds, retries included.
        cap = min(plan.privacy.epsilon, self._policy.max_epsilon)
        return BudgetAccount(epsilon_cap=cap, delta=plan.privacy.delta)

    def _proposal(self, free: Proposal, *, is_new: bool) -> Proposal:
        """The proposal with what it costs."""
        plan = free.plan
        if not plan.is_private or not is_resolved(plan):
            return replace(free, run_epsilon=math.inf, total_epsilon=math.inf)
        coming = run_events(plan) if is_new else ()
        total = epsilon([*self._account.history, *coming], self._account.delta)
        return replace(free, run_epsilon=run_epsilon(plan), total_epsilon=total)

    def _require_run(self, position: codec.Position) -> AcceptedRun:
        run = self._run
        if run is None or run.run_id != position.run_id:
            raise ProtocolError("PLAN_MISMATCH", "this site is not in that run")
        if digest_of(run.plan_bytes) != position.plan_digest or run.plan.secagg.profile != position.profile:
            raise ProtocolError("PLAN_MISMATCH", "the message is for another plan")
        return run

    @staticmethod
    def _adapter_of(plan: RunPlan, body: pb.Train, vector: bytes) -> adapters.Adapter:
        """The whole adapter: what the site draws itself, and what came; its digest must be the stated one."""
        sent = sent_layout(plan.lora.aggregation, plan.layout)
        try:
            adapter = whole_adapter(plan, adapters.vector_from_bytes(vector, adapters.num_coordinates(sent)))
        except ConfigError as error:
            raise ProtocolError("MODEL_MISMATCH", error.message) from error
        if adapters.adapter_digest(plan.layout, adapter) != body.model_digest:
            raise ProtocolError("MODEL_MISMATCH", "the adapter is not the one that the message names")
        return adapter

    def _reserve(self, event: PrivacyEvent, clip_norm: float, purpose: str) -> tuple[Permit, Permit]:
        """Room in the run's account and in the site's; the first permit is the mechanism's."""
        if self._run_account is None:
            raise PrivacyError("the account of a private run is gone")
        of_run = self._run_account.reserve(event, clip_norm=clip_norm, purpose=purpose)
        try:
            return of_run, self._account.reserve(event, clip_norm=clip_norm, purpose=purpose)
        except BudgetExhaustedError:
            self._run_account.void(of_run)
            raise

    def _charge(self, permits: tuple[Permit, Permit] | None) -> None:
        if permits is not None and self._run_account is not None:
            self._account.charge(permits[1])
            self._run_account.charge(permits[0])

    def _refuse(self, position: codec.Position, request_hash: bytes, error: ProtocolError) -> bytes:
        _LOG.warning("refused: %s %s", error.code, error.rule)
        refusal = pb.Refusal(
            header=position.header(self.site_id), request_hash=request_hash, code=error.code, rule=error.rule
        )
        return codec.seal(self._identity, refusal)
