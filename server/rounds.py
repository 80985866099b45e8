"""The round loop: offers the plan, runs the rounds, closes the run. It sees bytes, sums and ids, never an update.

A site that refuses, abstains, fails or is late is left out of the sum; a round with fewer survivors than the plan's
minimum is void and tried again with new batches and new noise, as often as the plan allows. What a site sends is
opened, checked, added and forgotten.

Not handled here: transport and time (``server/grid.py``), files, and what a site does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fedward.common.agreement import PROBE_ROUND, num_full_rank, plan_position
from fedward.common.auxiliary_terms import OpenedFigures, opened_figures
from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import ConfigError, ProtocolError, RunError
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.trail import HeadTrail
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import check_layout
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import ServerState, next_state
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.journal import Journal
from fedward.server.aggregate import clamped_share, update_norm
from fedward.server.clip import cohort_clip
from fedward.server.exchange import Exchange
from fedward.server.gathering import Attempt, Gathered, Gatherer, PlainRounds, codes
from fedward.server.grid import Clock, Grid
from fedward.server.masked_rounds import MaskedRounds
from fedward.server.run_entries import RunEntries
from fedward.server.witness import HeadExchange

_DIGEST_BYTES = 32
_OFFER_TIMEOUT_S = 600.0

Used = TypeVar("Used")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundRecord:
    """What is known of one completed round; nothing in it depends on a single site's data."""

    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    survivors: tuple[str, ...]
    dropped: Mapping[str, str]
    """Site id to the code of its refusal, or ``TRANSPORT:n``, ``LATE``, or ``NO_BUNDLE`` where it laid in no keys."""
    bytes_to_site: int
    """Of all requests of the round, void attempts included, to the site that was sent the most."""
    bytes_from_site: int
    """The same of replies."""
    trips: int
    """How often the sites were asked and waited for, void attempts and requests for keys included."""
    faults: tuple[str, ...] = ()
    """Shares that were not what their dealer signed, each as code, dealer and, where one is known, holder."""
    seconds: float
    update_norm: float
    """L2 norm of the mean update, a function of the opened sum."""
    trained_parameters: int
    """Numbers that a site of full rank trained and sent."""
    clamped_share: float
    """Share of the sum's coordinates that stand at the ring's clamp: above zero, the updates are too long for it."""
    figures: OpenedFigures = field(default_factory=OpenedFigures)
    """What the sum opened to besides the model: the total of private weights, the plan's metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run leaves behind."""

    adapter: adapters.Adapter = field(repr=False)
    model_digest: bytes
    rounds: tuple[RoundRecord, ...]
    refusals: Mapping[str, str]
    """Sites that did not accept the plan: code, with the rule behind a slash."""
    events: Mapping[str, bytes] = field(repr=False)
    """Site id to its signed statement of the privacy events it was charged, as JSON."""
    apart: Mapping[str, str] = field(default_factory=dict)
    """Under masks, sites that do not hold the same final state by their own reckoning: site id to why."""
    clip_norm: float | None = None
    """L2 bound of one unit's gradient: the plan's, or what the probe found; None without privacy."""
    ended_early: str = ""
    """Why rounds of the plan are missing: the adapter is then that of the last round that succeeded."""


class Observer(Protocol):
    """Told of progress; a user interface or a log. Must not raise."""

    def run_started(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        """All sites have answered the offer."""
        ...

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """A reply was added (``ok``) or left out (its code). Round 0 is the probe that finds the clip norm."""
        ...

    def clip_found(self, clip_norm: float) -> None:
        """The probe has found the clip norm of the run."""
        ...

    def round_finished(self, record: RoundRecord) -> None:
        """A sum was opened and applied."""
        ...


class RoundLoop:
    """One run of a plan.

    Args:
        plan_bytes: the final plan; exactly these bytes are offered, hashed and accepted.
        run_id: 16 bytes, new for every run.
        identity: the coordinator's; the roster names its public key.
        roster: coordinator and sites.
        grid: the network.
        clock: time.
        observer: told of progress.
        aggregator: of a profile without masks, for simulations.
        journal: where a masked sum is written down before its shares are asked for; None: nowhere.
        ledger: the coordinator's; the sites' heads go round with it. None: a simulation in which nobody has one.
    """

    def __init__(
        self,
        *,
        plan_bytes: bytes,
        run_id: bytes,
        identity: Identity,
        roster: Roster,
        grid: Grid,
        clock: Clock,
        observer: Observer,
        aggregator: Aggregator | None = None,
        journal: Journal | None = None,
        ledger: HeadTrail | None = None,
    ) -> None:
        self._plan_bytes = plan_bytes
        self._plan = RunPlan.from_bytes(plan_bytes)
        self._position = plan_position(plan_bytes, run_id=run_id, roster_hash=roster.hash)
        self._entries = RunEntries(trail=ledger, position=self._position)
        self._witness = None
        if ledger is not None:
            self._witness = HeadExchange(identity=identity, roster=roster, trail=ledger, run_id=run_id)
        self._exchange = Exchange(identity=identity, roster=roster, grid=grid, clock=clock, witness=self._witness)
        self._clock = clock
        self._observer = observer
        self._gatherer = self._new_gatherer(aggregator, journal)
        strangers = [site.id for site in self._plan.sites if site.id not in roster.members]
        if strangers:
            raise ConfigError(f"the plan names {strangers[0]!r}, who is not in the roster")
        layout = adapters.ordered(self._plan.layout)
        if layout != self._plan.layout or not layout:
            raise ConfigError("the plan has no adapter layout, or not in order", hint="Finalise the plan first.")
        check_layout(layout, self._plan.lora.rank)
        self._start = ServerState.start(self._plan)

    def _new_gatherer(self, aggregator: Aggregator | None, journal: Journal | None) -> Gatherer:
        if self._plan.secagg.is_masked:
            return MaskedRounds(
                plan=self._plan,
                position=self._position,
                exchange=self._exchange,
                observer=self._observer,
                journal=journal,
            )
        if aggregator is None or aggregator.profile != self._plan.secagg.profile:
            raise ConfigError(f"secagg.profile {self._plan.secagg.profile} is for simulations")
        return PlainRounds(
            plan=self._plan,
            position=self._position,
            exchange=self._exchange,
            aggregator=aggregator,
            observer=self._observer,
        )

    def run(self) -> RunResult:
        """Run all rounds.

        Raises:
            RunError: too few sites accept, or the probe or the first round is void too often; a later one ends the run
                early.
        """
        accepted, refusals = self._offer()
        self._observer.run_started(accepted, refusals)
        self._require_cohort(accepted, refusals)
        self._entries.plan_signed(accepted)
        self._let_witnesses_answer(accepted)
        state = self._start
        clip_norm = self._clip_norm(accepted)
        records: list[RoundRecord] = []
        ended_early = ""
        for number in range(1, self._plan.rounds + 1):
            try:
                state, record = self._round(number, accepted, state, clip_norm)
            except RunError as error:
                if not records:
                    raise
                # What was trained is paid for: keep it rather than throw it away with the void round.
                ended_early = error.message
                break
            records.append(record)
            digest = adapters.adapter_digest(self._plan.layout, state.adapter)
            self._entries.round_opened(number, record.attempt, record.survivors, digest)
            self._observer.round_finished(record)
        digest = adapters.adapter_digest(self._plan.layout, state.adapter)
        events, apart = self._end(accepted, state)
        self._entries.run_ended(digest)
        return RunResult(
            adapter=state.adapter,
            model_digest=digest,
            rounds=tuple(records),
            refusals=refusals,
            events=events,
            apart=apart,
            clip_norm=clip_norm,
            ended_early=ended_early,
        )

    # ------------------------------------------------------------------------------------------------ trips

    def _let_witnesses_answer(self, accepted: tuple[str, ...]) -> None:
        """Where no trip for keys lies before the first ``Train``, the offer goes out once more to carry the questions.

        A site that has started trains only when others have said which of its heads they hold.
        """
        secagg = self._plan.secagg
        if self._witness is None or not self._witness.is_asked or (secagg.is_masked and not secagg.late_cohort):
            return
        offer = pb.PlanOffer(header=self._position.header(COORDINATOR), plan=self._plan_bytes)
        for answer in self._exchange.ask(accepted, self._exchange.seal(offer), _OFFER_TIMEOUT_S):
            self._exchange.opened(answer, pb.PlanAccept, self._position)

    def _offer(self) -> tuple[tuple[str, ...], dict[str, str]]:
        offer = pb.PlanOffer(header=self._position.header(COORDINATOR), plan=self._plan_bytes)
        request = self._exchange.seal(offer)
        offer_hash = hashlib.sha256(offer.SerializeToString(deterministic=True)).digest()
        invited = tuple(site.id for site in self._plan.sites)
        accepted: list[str] = []
        refusals: dict[str, str] = {}
        for answer in self._exchange.ask(invited, request, _OFFER_TIMEOUT_S):
            opened, failure = self._exchange.opened(answer, pb.PlanAccept, self._position)
            if opened is not None and opened.body.request_hash != offer_hash:
                failure = "BAD_ENCODING"
            elif opened is not None:
                failure = self._welcomed(answer.site_id, opened.body)
            if failure:
                refusals[answer.site_id] = failure
            else:
                accepted.append(answer.site_id)
        return tuple(sorted(accepted, key=str.encode)), refusals

    def _welcomed(self, site_id: str, accept: pb.PlanAccept) -> str:
        if self._plan.desensitize.required and len(accept.desensitization_policy) != _DIGEST_BYTES:
            return "POLICY_REFUSED"  # an honest site would have refused the plan itself
        try:
            self._gatherer.welcome(site_id, accept)
        except ProtocolError as error:
            return error.code
        return ""

    def _clip_norm(self, accepted: tuple[str, ...]) -> float | None:
        """The plan's clip norm, or what a probe of the sites finds; None without privacy."""
        if not self._plan.is_private:
            return None
        if not self._plan.privacy.needs_probe:
            return self._plan.privacy.resolved_clip_norm

        def clip_of(gathered: Gathered, _: Attempt) -> float:
            return cohort_clip(gathered.facts, gathered.opened)

        found = self._until_not_void(PROBE_ROUND, accepted, self._start, None, clip_of)
        self._observer.clip_found(found)
        return found

    def _round(
        self, number: int, accepted: tuple[str, ...], state: ServerState, clip_norm: float | None
    ) -> tuple[ServerState, RoundRecord]:
        started_s = self._clock.now_s()

        def applied(gathered: Gathered, attempt: Attempt) -> tuple[ServerState, RoundRecord]:
            step, traffic = next_state(self._plan, state, gathered.facts, gathered.opened), self._exchange.traffic
            self._gatherer.applied(gathered, attempt, step)
            record = RoundRecord(
                round_number=number,
                attempt=gathered.facts.attempt,
                cohort=tuple(sorted(gathered.facts.bundles, key=str.encode)),
                survivors=gathered.opened.survivors,
                dropped=attempt.dropped,
                bytes_to_site=traffic.most_to_site,
                bytes_from_site=traffic.most_from_site,
                trips=traffic.trips,
                faults=gathered.faults,
                seconds=self._clock.now_s() - started_s,
                update_norm=update_norm(step.mean),
                trained_parameters=sum(part.size for part in step.mean.values()),
                clamped_share=clamped_share(self._plan, gathered.facts, gathered.opened),
                figures=opened_figures(self._plan, gathered.opened),
            )
            return step.state, record

        return self._until_not_void(number, accepted, state, clip_norm, applied)

    def _until_not_void(
        self,
        number: int,
        sites: tuple[str, ...],
        state: ServerState,
        clip_norm: float | None,
        use: Callable[[Gathered, Attempt], Used],
    ) -> Used:
        """Gather a sum and use it, as often as the plan allows attempts.

        Raises:
            RunError: every attempt was void: too few survivors, or a sum that no honest vectors have.
        """
        self._exchange.new_round()
        # Of all attempts: the last one's codes may be but the consequence of the first one's.
        causes: dict[str, dict[str, None]] = {}
        hint: str | None = None
        for attempt_number in range(self._plan.secagg.max_attempts):
            dropped: dict[str, str] = {}
            attempt = Attempt(
                round_number=number,
                number=attempt_number,
                sites=sites,
                state=state,
                clip_norm=clip_norm,
                dropped=dropped,
            )
            try:
                return use(self._gatherer.gather(attempt), attempt)
            except ProtocolError as error:
                hint = error.advice if error.advice != ProtocolError.hint else hint
                for name, code in (*dropped.items(), ("the cohort", error.code)):
                    causes.setdefault(name, {})[code] = None
        said = ", ".join(f"{name}: {' then '.join(codes)}" for name, codes in sorted(causes.items()))
        what = "the probe of gradient norms" if number == PROBE_ROUND else f"round {number}"
        raise RunError(f"{what} was void {self._plan.secagg.max_attempts} times: {said}", hint=hint)

    def _end(self, accepted: tuple[str, ...], state: ServerState) -> tuple[dict[str, bytes], dict[str, str]]:
        """Each site's statement of its events, and why a site holds another final model."""
        events: dict[str, bytes] = {}
        apart: dict[str, str] = {}
        for site_id, reply, code in self._gatherer.end(accepted, state):
            events[site_id] = reply.events
            if code:
                apart[site_id] = code
        if self._witness is not None:
            self._witness.close()
        return events, apart

    # ------------------------------------------------------------------------------------------------ parts

    def _require_cohort(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        wanted, rank = self._plan.secagg.min_cohort, self._plan.lora.rank
        said = codes(refusals)
        if len(accepted) < wanted:
            raise RunError(f"{len(accepted)} sites accept the plan, it asks for {wanted} ({said})")
        full = num_full_rank(self._plan, accepted)
        if full < wanted:
            raise RunError(f"{full} sites of rank {rank} accept the plan, it asks for {wanted} ({said})")
        try:
            self._gatherer.check_cohort(accepted)
        except ProtocolError as error:
            profile = self._plan.secagg.profile
            reason = f"{len(accepted)} sites accept the plan, too few for {profile}: {error.message} ({said})"
            raise RunError(reason, hint=error.advice) from error
