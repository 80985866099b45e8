"""A site's side of secure aggregation: state and message in; state, reply and journal entries out.

Invariants, whatever the coordinator asks and however often: one bundle for a position; one masked vector for a bundle;
one set of survivors for a cohort; for each peer a share of its seed or of its mask key, never both; nothing is released
below the agreed number of survivors, without this site's own vector, or without every survivor's signed word for its
vector.

The caller makes the entries durable, then keeps the new state, then sends the reply. It trains between ``on_train`` and
``send``, and charges its ledger in one transaction with the ``SENT`` entry.

Not handled here: transport, disk, time, the plan and its policy, the model, the ledger (``check`` asks the caller).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedward.common.config import COORDINATOR
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks, own_keys, statements
from fedward.common.secagg.bundles import Bundle, OwnBundle
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.member import Member
from fedward.common.secagg.ring import RingVector, WriterFactory, view_bytes
from fedward.common.secagg.state import Engagement, NextBundle, Pending, Phase, Secrets, State
from fedward.common.secagg.statements import Survivor
from fedward.common.secagg.terms import CohortMessage, RoundPosition, packets_of
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import CohortFacts

Request = tuple[str, bytes]
"""Type and body hash."""
Check = Callable[[CohortFacts], None]
"""The caller's own checks before any data is read: the model's digest, the last sum's plausibility, the budget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What came of a message."""

    state: State
    entries: tuple[JournalEntry, ...] = ()
    """To be made durable before the reply leaves."""
    reply: bytes | None = field(default=None, repr=False)
    """Sealed; None where the site has to train first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant(Member):
    """One site in one run. It holds no state; every method gives a new one."""

    threads: int = 1

    # ------------------------------------------------------------------------------------------------ messages

    def accept_fields(self) -> tuple[bytes, bytes]:
        """Transport key and signature for ``PlanAccept``."""
        statement = statements.transport_statement(
            run_id=self.terms.run_id,
            roster_hash=self.terms.roster.hash,
            plan_digest=self.terms.plan_digest,
            site_id=self.site_id,
            transport_key=self.transport.public,
        )
        return self.transport.public, statements.sign(self.identity, "TRANSPORT", statement)

    def graph_fields(self) -> tuple[bytes, bytes]:
        """Commitment to this site's part in a mask graph, and signature, for ``PlanAccept``; empty without a graph."""
        return self._part.accept_fields(self.identity)

    def receive(self, state: State, raw: bytes, *, check: Check) -> Step:
        """Answer one request of the coordinator.

        Args:
            state: the last one.
            raw: what travelled.
            check: asked before a ``Train`` is accepted; raises to refuse.

        Raises:
            ProtocolError: a code of the closed list; the state stays what it was.
        """
        key = self.terms.roster.coordinator_key
        opened = codec.open_message(raw, None, sender=COORDINATOR, public_key=key)
        return self.handle(state, opened, check=check)

    def handle(self, state: State, opened: codec.Opened[codec.Body], *, check: Check) -> Step:
        """``receive`` for a message that is open already."""
        at = self.terms.check_position(opened.position)
        body, request = opened.body, (type(opened.body).__name__, opened.body_hash)
        known = state.answers.get(request)
        if known is not None:
            return Step(state=state, reply=known)
        if isinstance(body, pb.Graph) and self.terms.is_sparse:
            return self._on_graph(state, at, body, request)
        if isinstance(body, pb.Prekey):
            return self._on_prekey(state, at, body, request)
        if isinstance(body, pb.Train):
            return self._on_train(state, at, body, request, check)
        if isinstance(body, pb.Mask) and self.terms.late_cohort:
            return self._on_mask(state, at, body, request)
        if isinstance(body, pb.Confirm) and self.terms.profile is Profile.RESILIENT_MALICIOUS:
            return self._on_confirm(state, at, body, request)
        if isinstance(body, pb.Unmask) and self.terms.profile is not Profile.STRICT:
            return self._on_unmask(state, at, body, request)
        raise ProtocolError("BAD_ENCODING", "a message that this profile does not have")

    # ------------------------------------------------------------------------------------------------ trips

    def _on_graph(self, state: State, at: RoundPosition, body: pb.Graph, request: Request) -> Step:
        """Show this site's part in the mask graph, for one list of commitments: that is fixed before, and for good."""
        if at != (0, 0):
            raise ProtocolError("ROUND_ORDER", "the mask graph is agreed on before the first round")
        listed = self._part.checked_list(body.members, state.graph_list)
        entries = () if state.graph_list else (self._entry(at, EntryKind.GRAPH, listed),)
        shown = pb.GraphReply(header=self._header(at), request_hash=request[1], shown=self._part.shown)
        reply = codec.seal(self.identity, shown)
        return Step(state=replace(state, graph_list=listed).answered(request, reply), entries=entries, reply=reply)

    def _on_prekey(self, state: State, at: RoundPosition, body: pb.Prekey, request: Request) -> Step:
        if at != (body.target.round, body.target.attempt):
            raise ProtocolError("BAD_ENCODING", "header and target differ")
        graph = self._part.checked_graph(body.reveals, pinned=state.graph_list, known=state.graph)
        state = replace(state, graph=graph)
        target = self._target(state, body.target)
        # Superseded: nothing of an earlier attempt can be opened from here on.
        state, dealing, entry = self._arm(replace(state.without_secrets(Phase.ARMED), answers={}), target)
        body_out = pb.PrekeyReply(header=self._header(at), request_hash=request[1], dealing=dealing.to_wire())
        reply = codec.seal(self.identity, body_out)
        return Step(state=state.answered(request, reply), entries=(entry,), reply=reply)

    def _on_train(self, state: State, at: RoundPosition, body: pb.Train, request: Request, check: Check) -> Step:
        self._require_new(state, at)
        if self.terms.late_cohort:
            return self._on_late_train(state, at, body, request, check)
        own = state.armed.get(at)
        if own is None:
            raise ProtocolError("PREKEY_UNKNOWN", "no bundle of this site for this position, or its secrets are gone")
        graph = self._graph(state)
        facts, bundles = cohort_checks.checked_cohort(self.terms, at, body, own=own, graph=graph)
        upcoming = self._upcoming(state, at, body.next if body.HasField("next") else None)
        if upcoming is not None and self.terms.profile is not Profile.STRICT:
            raise ProtocolError("BAD_ENCODING", "the next bundle goes with the last reply of a round")
        state = self._engage(state, own, facts, bundles, body, request, upcoming, check)
        return Step(state=state, entries=(self._entry(at, EntryKind.ACCEPTED, facts.digest()),))

    def _engage(
        self,
        state: State,
        own: OwnBundle,
        facts: CohortFacts,
        bundles: Mapping[str, Bundle],
        body: CohortMessage,
        request: Request,
        upcoming: NextBundle | None,
        check: Check,
    ) -> State:
        digest = facts.digest()
        plus, minus = own_keys.mask_keys(own, bundles, digest)
        check(facts)
        shares, complaints = own_keys.open_packets(own, self.transport, bundles, packets_of(body))
        engagement = Engagement(
            request=request,
            facts=facts,
            digest=digest,
            bundles=bundles,
            threshold=own.holders.threshold,
            complaints=complaints,
            next=upcoming,
            secrets=Secrets(own=own, plus=plus, minus=minus, shares=shares),
        )
        return state.engage(engagement)

    def _on_late_train(self, state: State, at: RoundPosition, body: pb.Train, request: Request, check: Check) -> Step:
        """Train first; the bundle goes with ``ready``, and the cohort comes with ``Mask``."""
        if body.cohort or body.bundles or body.packets or (body.next.round, body.next.attempt) != at:
            raise ProtocolError("BAD_ENCODING", "a late cohort is told in Mask, and the bundle is for this position")
        target = self._target(state, body.next)
        self.terms.check_layout(at, body)
        facts = self.terms.facts(at, body, holders_hash=target.holders.hash, bundles={})
        check(facts)
        pending = Pending(request=request, facts=facts, bundle=target)
        return Step(state=state.begin_late(pending), entries=(self._entry(at, EntryKind.ACCEPTED, facts.digest()),))

    def ready(self, state: State) -> Step:
        """Say that the site has trained, and give its bundle; the caller keeps the update until ``Mask`` comes.

        Raises:
            ProtocolError: ``ATTEMPT_CLOSED``: nobody waits for that.
        """
        pending = state.pending
        if state.phase is not Phase.TRAINING or pending is None:
            raise ProtocolError("ATTEMPT_CLOSED", "no late cohort waits for this site")
        state, dealing, entry = self._arm(replace(state, phase=Phase.READY), pending.bundle)
        body = pb.Ready(
            header=self._header(pending.bundle.position), request_hash=pending.request[1], dealing=dealing.to_wire()
        )
        reply = codec.seal(self.identity, body)
        return Step(state=state.answered(pending.request, reply), entries=(entry,), reply=reply)

    def _on_mask(self, state: State, at: RoundPosition, body: pb.Mask, request: Request) -> Step:
        if at < state.last:
            raise ProtocolError("ROUND_ORDER", "rounds and attempts only grow")
        if state.engagement is not None and state.engagement.position == at:
            raise ProtocolError("REPLAY_CONFLICT", "a second cohort for one position")
        own, pending = state.armed.get(at), state.pending
        # Not for the bundle of another position, either: what is parked was trained, and paid, for this one.
        if state.phase is not Phase.READY or own is None or pending is None or pending.bundle.position != at:
            raise ProtocolError("PREKEY_UNKNOWN", "no bundle of this site for this position, or its secrets are gone")
        facts, bundles = cohort_checks.checked_cohort(self.terms, at, body, own=own)
        stated = (facts.model_digest, facts.previous_sum_hash)
        if stated != (pending.facts.model_digest, pending.facts.previous_sum_hash):
            raise ProtocolError("MODEL_MISMATCH", "not the model that this site has trained")
        # The position was written down and the budget asked when the training began.
        return Step(state=self._engage(state, own, facts, bundles, body, request, None, lambda _: None))

    def send(self, state: State, vector: RingVector, *, writer: WriterFactory | None = None) -> Step:
        """Mask the site's vector, in place, and seal the reply to the ``Train`` that was accepted.

        Args:
            state: after ``on_train``.
            vector: (L,) uint32; the quantised update, or room for it.
            writer: writes the quantised update into ``vector`` in the same pass.

        Raises:
            ProtocolError: ``ATTEMPT_CLOSED``: nothing is to be sent, or it was.
            ConfigError: another length, or what ``writer`` refuses. Nothing may leave then: ``close`` the state.
        """
        engagement = state.engagement
        if state.phase is not Phase.TRAINING or engagement is None or engagement.secrets is None:
            raise ProtocolError("ATTEMPT_CLOSED", "no cohort waits for a vector")
        if vector.shape != (engagement.facts.num_coordinates,):
            raise ConfigError(
                f"a vector of {vector.size} for a cohort of {engagement.facts.num_coordinates} coordinates"
            )
        secrets = engagement.secrets
        apply_masks(vector, plus=secrets.plus, minus=secrets.minus, writer=writer, threads=self.threads)
        raw = view_bytes(vector)
        vector_hash = codec.vector_hash(raw)
        secrets = replace(secrets, plus=(), minus=())
        state = replace(
            state,
            phase=Phase.SENT,
            engagement=replace(engagement, secrets=secrets, vector_hash=vector_hash),
        )
        entries = [self._entry(engagement.position, EntryKind.SENT, engagement.digest, vector_hash)]
        proof = statements.vector_statement(engagement.digest, self.site_id, vector_hash)
        body = pb.TrainReply(
            header=self._header(engagement.position),
            cohort_digest=engagement.digest,
            vector_hash=vector_hash,
            proof=statements.sign(self.identity, "VECTOR", proof),
            complaints=engagement.complaints,
        )
        if self.terms.profile is Profile.STRICT:
            state = state.without_secrets(Phase.RELEASED)
            state = self._arm_next(state, engagement.next, body, entries)
        reply = codec.seal(self.identity, body, vector=raw)
        return Step(state=state.answered(engagement.request, reply), entries=tuple(entries), reply=reply)

    def _on_confirm(self, state: State, at: RoundPosition, body: pb.Confirm, request: Request) -> Step:
        engagement = self._engaged(state, at, body.cohort_digest)
        _, survivors_hash = self._survivors(state, engagement, body.survivors)
        self._require_open(state, engagement)
        state = replace(state, phase=Phase.CONFIRMED, engagement=replace(engagement, survivors_hash=survivors_hash))
        statement = statements.confirm_statement(engagement.digest, survivors_hash)
        reply = codec.seal(
            self.identity,
            pb.ConfirmReply(
                header=self._header(at),
                cohort_digest=engagement.digest,
                survivors_hash=survivors_hash,
                signature=statements.sign(self.identity, "CONFIRM", statement),
            ),
        )
        # The same survivors again, in another request: confirmed before, and nothing new to write down.
        is_new = not engagement.survivors_hash
        entries = (self._entry(at, EntryKind.CONFIRMED, survivors_hash),) if is_new else ()
        return Step(state=state.answered(request, reply), entries=entries, reply=reply)

    def _on_unmask(self, state: State, at: RoundPosition, body: pb.Unmask, request: Request) -> Step:
        engagement = self._engaged(state, at, body.cohort_digest)
        survivors, survivors_hash = self._survivors(state, engagement, body.survivors)
        secrets = self._require_open(state, engagement)
        if self.terms.profile is Profile.RESILIENT_MALICIOUS:
            if state.phase is not Phase.CONFIRMED:
                raise ProtocolError("CONFIRM_MISSING", "these survivors were not confirmed")
            cohort_checks.check_confirmations(
                self.terms,
                engagement.digest,
                survivors,
                body.confirmations,
                threshold=engagement.threshold,
                own_id=self.site_id,
                graph=self._graph(state),
            )
        elif body.confirmations:
            raise ProtocolError("BAD_ENCODING", "this profile has no confirmations")
        upcoming = self._upcoming(state, at, body.next if body.HasField("next") else None)
        reply_body = pb.UnmaskReply(header=self._header(at))
        own_keys.add_shares(reply_body, engagement.bundles, secrets, {survivor.site_id for survivor in survivors})
        reply_body.survivors_hash = survivors_hash
        entries = [self._entry(at, EntryKind.RELEASED, survivors_hash)]
        state = replace(state, engagement=replace(engagement, survivors_hash=survivors_hash))
        state = self._arm_next(state.without_secrets(Phase.RELEASED), upcoming, reply_body, entries)
        reply = codec.seal(self.identity, reply_body)
        return Step(state=state.answered(request, reply), entries=tuple(entries), reply=reply)

    # ------------------------------------------------------------------------------------------------ parts

    def _require_new(self, state: State, at: RoundPosition) -> None:
        if at == state.last:
            raise ProtocolError("REPLAY_CONFLICT", "a second request for one position")
        if at < state.last:
            raise ProtocolError("ROUND_ORDER", "rounds and attempts only grow")
        self.terms.check_round(at)

    def _engaged(self, state: State, at: RoundPosition, cohort_digest: bytes) -> Engagement:
        """The attempt that a later trip belongs to."""
        engagement = state.engagement
        if engagement is None or engagement.position != at:
            code = "ATTEMPT_CLOSED" if at <= state.last else "DIGEST_MISMATCH"
            raise ProtocolError(code, "not the attempt that this site is in")
        if cohort_digest != engagement.digest:
            raise ProtocolError("DIGEST_MISMATCH", "this site answered under another cohort digest")
        if not engagement.vector_hash:
            code = "DIGEST_MISMATCH" if state.phase is Phase.TRAINING else "ATTEMPT_CLOSED"
            raise ProtocolError(code, "this site has sent no vector for this cohort")
        if state.phase not in (Phase.SENT, Phase.CONFIRMED, Phase.RELEASED):
            raise ProtocolError("ATTEMPT_CLOSED", "the secrets of this attempt are gone")
        return engagement

    def _survivors(
        self, state: State, engagement: Engagement, message: Sequence[pb.Survivor]
    ) -> tuple[tuple[Survivor, ...], bytes]:
        survivors = cohort_checks.checked_survivors(
            self.terms,
            engagement.facts,
            engagement.digest,
            message,
            own_id=self.site_id,
            own_hash=engagement.vector_hash,
            graph=self._graph(state),
        )
        survivors_hash = statements.survivors_hash(survivors)
        if engagement.survivors_hash not in (b"", survivors_hash):
            raise ProtocolError("SURVIVORS_CHANGED", "other survivors for a cohort that has its own")
        return survivors, survivors_hash

    @staticmethod
    def _require_open(state: State, engagement: Engagement) -> Secrets:
        if state.phase not in (Phase.SENT, Phase.CONFIRMED) or engagement.secrets is None:
            raise ProtocolError("ATTEMPT_CLOSED", "the secrets of this attempt are gone")
        return engagement.secrets


__all__ = ["Check", "Participant", "Step"]
