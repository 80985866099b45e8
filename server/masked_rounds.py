"""The coordinator's side of masked rounds: bundles laid in ahead, trips, retries, and sites that come and go.

The sums themselves are the pure ``RoundCoordinator``'s; here its requests are sent, its answers fed, its entries
written down, in the order in which it gives them. A site without a bundle is left out of a cohort and is asked for its
next one beside the others' ``Train``; a retry asks all of them anew, for positions and keys are used once.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedward.common.agreement import PROBE_ROUND, planned_train, stated_clip
from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import RoundStep, ServerState
from fedward.common.run_terms import run_terms
from fedward.common.secagg import graph_floors
from fedward.common.secagg.actions import Action, Fault, Finished, Persist, Prekeyed, Rejected, Send
from fedward.common.secagg.cohort_checks import check_transport_key
from fedward.common.secagg.coordinator import CoordinatorPhase, Deadlines, RoundCoordinator
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_seed import Commitment
from fedward.common.secagg.journal import Journal
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.opened_round import OpenedRound
from fedward.common.secagg.prekeys import PrekeyShelf, TransportKey, target_for
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.terms import Terms
from fedward.common.sum_bound import check_sum
from fedward.server.exchange import LATE, Answer, Exchange, printable
from fedward.server.gathering import END_TIMEOUT_S, AnswerObserver, Attempt, Gathered
from fedward.server.graph_setup import GraphSetup
from fedward.server.left_out import LeftOut
from fedward.server.play import CONFIRM, TRAIN, TRIPS, UNMASK, Play
from fedward.server.published import LastSum
from fedward.server.shelves import PREKEY, Shelves

_GRACE_S = 5.0
"""A site whose bundle comes later than this after the sum is open misses a round; the others do not wait for it."""
_NO_BUNDLE = "NO_BUNDLE"
_OTHER_MODEL = "MODEL_MISMATCH"
_SPOILS = frozenset({"BAD_ENCODING", "BAD_SIGNATURE", "BAD_VECTOR", "DIGEST_MISMATCH"})
"""Replies that were no accident of time or network: with their site in it, a retry would fare like what went before."""


@dataclass(kw_only=True, slots=True)
class MaskedRounds:
    """All masked rounds of a run.

    Args:
        plan: with a masked profile.
        position: of the run, outside rounds.
        exchange: with the sites.
        observer: told of each vector.
        journal: where frozen sums are written down before shares are asked for; None: nowhere, for a process whose end
            is the run's.
    """

    plan: RunPlan
    position: codec.Position
    exchange: Exchange
    observer: AnswerObserver
    journal: Journal | None = None
    _shelves: Shelves = field(init=False, repr=False)
    _left_out: LeftOut = field(init=False, repr=False)
    """Dealers whose shares did not open, and sites by which an attempt was void."""
    _last: LastSum = field(init=False, repr=False)
    _setup: GraphSetup = field(init=False)
    """Of a run with a sparse mask graph."""
    _total: RingVector = field(init=False, default_factory=lambda: np.empty(0, "<u4"), repr=False)

    def __post_init__(self) -> None:
        self._last = LastSum(plan=self.plan)
        self._left_out = LeftOut(max_attempts=self.plan.secagg.max_attempts)
        self._setup = GraphSetup(exchange=self.exchange, timeout_s=self.plan.secagg.trip_timeout_s)
        self._shelves = Shelves(plan=self.plan, exchange=self.exchange, setup=self._setup, terms=self._terms)

    # ------------------------------------------------------------------------------------------------ members

    def welcome(self, site_id: str, accept: pb.PlanAccept) -> None:
        """See ``Gatherer.welcome``: its transport key is a key, its own, and no other site's."""
        terms = self._terms()
        AgreementKey.generate(os.urandom).agree(accept.transport_key)
        if any(known.key == accept.transport_key for known in self._shelves.keys.values()):
            raise ProtocolError("KEY_INVALID", "two sites with one key")
        check_transport_key(terms, site_id, accept.transport_key, accept.signature)
        if terms.is_sparse:
            self._setup.welcome(terms, site_id, Commitment(accept.graph_commitment, accept.graph_signature))
        self._shelves.keys[site_id] = TransportKey(accept.transport_key, accept.signature)

    def check_cohort(self, sites: tuple[str, ...]) -> None:
        """See ``Gatherer.check_cohort``."""
        terms = self._terms()
        if terms.is_sparse:
            graph_floors.check_run(terms.floors, len(sites), required=terms.required_survivors(sites))
        else:
            self._shelves.check(sites, len(sites))

    @property
    def _graph(self) -> MaskGraph | None:
        """Of the run, if it has a sparse one and it is agreed on."""
        return self._setup.graph

    def _terms(self, clip_norm: float = 0.0) -> Terms:
        return run_terms(self.plan, self.position, self.exchange.roster, clip_norm=clip_norm)

    # ------------------------------------------------------------------------------------------------ one attempt

    def gather(self, attempt: Attempt) -> Gathered:
        """See ``Gatherer.gather``."""
        self.exchange.forget()
        if attempt.number == 0:
            self._left_out.new_round()
        self._agree(attempt)
        terms = self._terms(stated_clip(self.plan, attempt.round_number, attempt.clip_norm or 0.0))
        play = self._begun_late(attempt, terms) if terms.late_cohort else self._begun(attempt, terms)
        while play.goes_on(self.exchange.clock.now_s(), is_waiting=self.exchange.is_waiting):
            for answer in self.exchange.poll():
                self._take(play, answer)
            self._act(play, play.coordinator.on_time(self.exchange.clock.now_s()))
        if play.opened is None:
            self.exchange.forget()
        self._shelves.absent.update(dict.fromkeys(self.exchange.waiting_for, LATE))
        attempt.dropped.update(play.codes)
        if play.opened is None:
            if play.void == "ROUND_VOID":  # a sum out of range has all the vectors and shares that it wants
                self._left_out.void(attempt.round_number, attempt.number, play.failed)
            raise ProtocolError(play.void or "ROUND_VOID", "the cohort gives no sum")
        self._check_sum(play)
        self._left_out.took_part(play.opened.survivors)
        faults = tuple(" ".join(filter(None, (fault.code, fault.dealer, fault.holder))) for fault in play.faults)
        survivors = play.coordinator.survivors
        return Gathered(facts=play.coordinator.facts, opened=play.opened, faults=faults, survivors=survivors)

    def _check_sum(self, play: Play) -> None:
        """No site would apply a sum that is too long: better the attempt is void."""
        facts = play.coordinator.facts
        if facts.round_number != PROBE_ROUND and play.opened is not None:
            ring = play.terms.ring(facts.round_number, len(facts.bundles))
            check_sum(self.plan, facts.round_number, ring, play.opened)

    def applied(self, gathered: Gathered, attempt: Attempt, step: RoundStep) -> None:
        """See ``Gatherer.applied``."""
        opened = OpenedRound(facts=gathered.facts, survivors=gathered.survivors)
        clip_norm = stated_clip(self.plan, attempt.round_number, attempt.clip_norm or 0.0)
        self._last.applied(opened, gathered.opened.total, clip_norm, attempt.state, step)

    def end(self, sites: tuple[str, ...], state: ServerState) -> Iterator[tuple[str, pb.RunEndReply, str]]:
        """See ``Gatherer.end``: each site applies the last sum and says what it has come to."""
        digest = self._last.state_digest(state)
        body = pb.RunEnd(header=self.position.header(COORDINATOR), model_digest=digest)
        self._last.fill(body)
        for answer in self._ask_all(sites, body, END_TIMEOUT_S):
            opened, _ = self.exchange.opened(answer, pb.RunEndReply, self.position)
            if opened is not None:
                reply = opened.body
                agrees = not reply.code and reply.model_digest == digest
                yield answer.site_id, reply, "" if agrees else printable(reply.code) or _OTHER_MODEL

    def _ask_all(self, sites: Iterable[str], body: pb.Train | pb.RunEnd, timeout_s: float) -> Iterator[Answer]:
        """One trip to all, with the last sum; those that may lack the state before it get that too."""
        self.exchange.traffic.trips += 1
        self._send_model(sites, body, timeout_s, tag="")
        while self.exchange.is_waiting:
            yield from self.exchange.poll()

    def _send_model(self, sites: Iterable[str], body: pb.Train | pb.RunEnd, timeout_s: float, *, tag: str) -> None:
        for group, parcel in self._last.parcels(sites):
            body.vector_hash = parcel.vector_hash
            raw = self.exchange.seal(body, vector=parcel.vector)
            self.exchange.send(group, raw, timeout_s=timeout_s, tag=tag)

    def _agree(self, attempt: Attempt) -> None:
        """On a mask graph, once a run; who has no place in it is in no cohort."""
        terms = self._terms()
        if terms.is_sparse:
            try:
                self._setup.agreed(terms)
            finally:
                attempt.dropped.update(self._setup.failures)
            self._shelves.absent.update(self._setup.failures)

    def _begun(self, attempt: Attempt, terms: Terms) -> Play:
        """The bundles are there, or fetched; ``Train`` goes to each site, and a request for bundles to the others."""
        at = (attempt.round_number, attempt.number)
        shelf = self._shelves.filled(at, attempt.sites, terms)
        cohort = self._cohort(attempt, shelf)
        upcoming = self._shelves.upcoming(at, attempt.sites, terms)
        coordinator = self._coordinator(attempt, terms, shelf, cohort, upcoming)
        self.exchange.traffic.trips += 1
        timeout_s = self.plan.secagg.reply_timeout_s
        for site in cohort:
            self._send_model([site], coordinator.train_for(site), timeout_s, tag=TRAIN)
        if upcoming is not None:
            self._shelves.ask(upcoming, set(upcoming.holders.ids) - set(cohort))
        return Play(attempt=attempt, terms=terms, coordinator=coordinator, upcoming=upcoming, unheard=set(cohort))

    def _begun_late(self, attempt: Attempt, terms: Terms) -> Play:
        """First the training, then the cohort of those who are ready."""
        at = (attempt.round_number, attempt.number)
        shelf = PrekeyShelf(terms=terms, target=target_for(at, self._shelves.holders(attempt.sites)))
        message = self._message(attempt, terms, attempt.sites)
        del message.cohort[:]
        message.next.CopyFrom(shelf.target)
        # Who is left out is not asked: it would train, and pay, for nothing.
        asked, _ = self._wanted(attempt, shelf, shelf.holders.ids, unlikely=self._shelves.absent)
        for answer in self._ask_all(asked, message, self.plan.secagg.reply_timeout_s):
            opened, failure = self.exchange.opened(answer, pb.Ready, terms.position(at))
            dealing = None if opened is None else opened.body.dealing
            failure = self._shelves.lay_in(shelf, answer.site_id, dealing, failure)
            if failure:
                self.observer.site_answered(attempt.round_number, answer.site_id, failure)
            if failure == _OTHER_MODEL:
                self._last.lost_state(answer.site_id)
        cohort = self._cohort(attempt, shelf)
        coordinator = self._coordinator(attempt, terms, shelf, cohort, None)
        self.exchange.traffic.trips += 1
        raw = self.exchange.seal(coordinator.mask_for())
        self.exchange.send(cohort, raw, timeout_s=self.plan.secagg.trip_timeout_s, tag=TRAIN)
        return Play(attempt=attempt, terms=terms, coordinator=coordinator, upcoming=None, unheard=set(cohort))

    def _cohort(self, attempt: Attempt, shelf: PrekeyShelf) -> tuple[str, ...]:
        cohort, reasons = self._wanted(attempt, shelf, shelf.ready)
        absent = self._shelves.absent
        left_out = set(attempt.sites) - set(cohort)
        attempt.dropped.update({site: reasons.get(site) or absent.get(site, _NO_BUNDLE) for site in left_out})
        return cohort

    def _wanted(
        self, attempt: Attempt, shelf: PrekeyShelf, sites: tuple[str, ...], *, unlikely: Container[str] = ()
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Those of the sites that the attempt is made with, and why it is without the others.

        Args:
            attempt: the present one.
            shelf: for it.
            sites: to choose from.
            unlikely: may be asked, but the attempt must do without them.
        """
        wanted, reasons = sites, dict[str, str]()
        for reasons in self._left_out.choices(attempt.round_number):
            wanted = tuple(site for site in sites if site not in reasons)
            if self._shelves.would_do([site for site in wanted if site not in unlikely], len(shelf.holders.ids)):
                break
        return wanted, reasons

    def _message(self, attempt: Attempt, terms: Terms, cohort: tuple[str, ...]) -> pb.Train:
        position = terms.position((attempt.round_number, attempt.number))
        found = attempt.clip_norm or 0.0
        message = planned_train(self.plan, position, cohort, self._last.state_digest(attempt.state), found_clip=found)
        self._last.fill(message)
        return message

    def _coordinator(
        self,
        attempt: Attempt,
        terms: Terms,
        shelf: PrekeyShelf,
        cohort: tuple[str, ...],
        upcoming: PrekeyShelf | None,
    ) -> RoundCoordinator:
        # Before anything else, for a sum of nobody has no ring.
        self._shelves.check(cohort, len(shelf.holders.ids))
        message = self._message(attempt, terms, cohort)
        secagg = self.plan.secagg
        train_s = secagg.trip_timeout_s if terms.late_cohort else secagg.reply_timeout_s
        return RoundCoordinator(
            terms=terms,
            train=message,
            shelf=shelf,
            cohort=cohort,
            total=self._accumulator(message.num_coordinates),
            deadlines=Deadlines(train_s=train_s, reply_s=secagg.trip_timeout_s),
            now_s=self.exchange.clock.now_s(),
            upcoming=None if upcoming is None else upcoming.target,
        )

    def _accumulator(self, size: int) -> RingVector:
        """One array for the whole run: fresh ones cost as much as the masks."""
        if self._total.size < size:
            self._total = np.empty(size, "<u4")
        return self._total[:size]

    # ------------------------------------------------------------------------------------------------ answers

    def _take(self, play: Play, answer: Answer) -> None:
        if answer.request.tag == PREKEY:
            if play.upcoming is not None:
                self._shelves.take(play.upcoming, answer)
            return
        coordinator, site, now_s = play.coordinator, answer.site_id, self.exchange.clock.now_s()
        kind, phases = TRIPS[answer.request.tag]
        at = (play.attempt.round_number, play.attempt.number)
        opened, failure = self.exchange.opened(answer, kind, play.terms.position(at))
        is_awaited, tag = coordinator.phase in phases, answer.request.tag
        if tag == play.trip:
            play.unheard.discard(site)
        if opened is not None and coordinator.phase is CoordinatorPhase.VOID:
            self._take_late(play, site, opened.body)
            return
        if opened is not None:
            actions = coordinator.on_reply(site, opened, now_s=now_s)
        else:
            # A trip that is over waits for nobody: its failure must not count against the present one.
            further = coordinator.on_failure(site, now_s=now_s) if is_awaited else ()
            actions = (Rejected(site, failure), *further)
        rejected = next((a.code for a in actions if isinstance(a, Rejected) and a.site_id == site), "")
        # Also of an attempt that is void already: it would be void by this one as well.
        if rejected and tag == play.trip and (is_awaited or coordinator.phase is CoordinatorPhase.VOID):
            play.failed[site] = rejected
        if tag == TRAIN:
            self._note(play, site, rejected)
        self._act(play, actions)

    def _note(self, play: Play, site: str, rejected: str) -> None:
        """What a site has answered to ``Train``: a vector, or the code of what came in its place."""
        self.observer.site_answered(play.attempt.round_number, site, rejected or "ok")
        if rejected:
            play.codes[site] = rejected
        else:
            self._last.sent_vector(site, play.attempt.round_number)
        if rejected == _OTHER_MODEL:
            self._last.lost_state(site)
        if rejected in _SPOILS:
            self._left_out.accuse(site, rejected)

    def _take_late(self, play: Play, site: str, body: codec.Body) -> None:
        """What comes too late for an attempt that others ended is no failure of its site, and its bundle is of use."""
        if isinstance(body, pb.TrainReply):
            self._last.sent_vector(site, play.attempt.round_number)
        if isinstance(body, pb.TrainReply | pb.UnmaskReply) and body.HasField("next") and play.upcoming is not None:
            self._shelves.lay_in(play.upcoming, site, body.next, "")

    def _act(self, play: Play, actions: tuple[Action, ...]) -> None:
        """Carry out, in order."""
        asked = {action.site_id for action in actions if isinstance(action, Send)}
        if asked:
            self.exchange.traffic.trips += 1
            play.unheard = asked
            play.failed.clear()  # the sum can do without those who failed so far
        for action in actions:
            if isinstance(action, Send):
                raw = self.exchange.seal(action.body)
                play.trip = CONFIRM if isinstance(action.body, pb.Confirm) else UNMASK
                self.exchange.send([action.site_id], raw, timeout_s=self.plan.secagg.trip_timeout_s, tag=play.trip)
            elif isinstance(action, Persist):
                if self.journal is not None:
                    self.journal.append([action.entry])
            elif isinstance(action, Rejected):
                self._shelves.absent[action.site_id] = action.code
            elif isinstance(action, Fault):
                play.faults.append(action)
                if not action.holder:
                    self._left_out.accuse(action.dealer, action.code)
            elif isinstance(action, Prekeyed):
                if play.upcoming is not None:
                    self._shelves.lay_in(play.upcoming, action.site_id, action.dealing, "")
            elif isinstance(action, Finished):
                play.opened, play.grace_ends_s = action.total, self.exchange.clock.now_s() + _GRACE_S
            else:
                play.void = action.code


__all__ = ["MaskedRounds"]
