"""The round loop: offers the plan, runs the rounds, closes the run. It sees bytes, sums and ids, never an update.

A site that refuses, abstains, fails or is late is left out of the sum; a round with fewer survivors than the plan's
minimum is void and tried again with new batches and new noise, as often as the plan allows. What a site sends is
opened, checked, added and forgotten.

Not handled here: transport and time (``server/grid.py``), files, and what a site does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from fedward.common.agreement import PROBE_ROUND, cohort_facts, num_full_rank, plan_position, planned_train
from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import ConfigError, ProtocolError, RunError
from fedward.common.identity import Identity, Roster
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import check_layout, sent_layout
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import ring
from fedward.common.secagg.aggregator import Aggregator, CohortSum, Coordinator
from fedward.common.secagg.transcript import CohortFacts
from fedward.server.aggregate import ServerState, clamped_share, mean_update, update_norm
from fedward.server.clip import cohort_clip
from fedward.server.grid import Clock, Delivery, Grid, Post

_POLL_S = 0.25
_OFFER_TIMEOUT_S = 600.0
_TRANSPORT = "TRANSPORT"
_LATE = "LATE"

Reply = TypeVar("Reply", pb.PlanAccept, pb.TrainReply, pb.RunEndReply)
Used = TypeVar("Used")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundRecord:
    """What is known of one completed round; nothing in it depends on a single site's data."""

    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    survivors: tuple[str, ...]
    dropped: Mapping[str, str]
    """Site id to the code of its refusal, or ``TRANSPORT:n`` or ``LATE``."""
    bytes_to_site: int
    bytes_from_site: int
    """Size of the largest reply."""
    seconds: float
    update_norm: float
    """L2 norm of the mean update, a function of the opened sum."""
    trained_parameters: int
    """Numbers that a site of full rank trained and sent."""
    clamped_share: float
    """Share of the sum's coordinates that stand at the ring's clamp: above zero, the updates are too long for it."""


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


@dataclass(frozen=True, slots=True)
class _Answer:
    site_id: str
    request: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    failure: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gathered:
    """One cohort's opened sum, and how it came about."""

    facts: CohortFacts
    opened: CohortSum
    dropped: dict[str, str]
    bytes_to_site: int
    bytes_from_site: int
    started_s: float


class RoundLoop:
    """One run of a plan.

    Args:
        plan_bytes: the final plan; exactly these bytes are offered, hashed and accepted.
        run_id: 16 bytes, new for every run.
        identity: the coordinator's; the roster names its public key.
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
        aggregator: Aggregator,
        observer: Observer,
    ) -> None:
        self._plan_bytes = plan_bytes
        self._plan = RunPlan.from_bytes(plan_bytes)
        self._position = plan_position(plan_bytes, run_id=run_id, roster_hash=roster.hash)
        self._identity = identity
        self._roster = roster
        self._grid = grid
        self._clock = clock
        self._aggregator = aggregator
        self._observer = observer
        strangers = [site.id for site in self._plan.sites if site.id not in roster.members]
        if strangers:
            raise ConfigError(f"the plan names {strangers[0]!r}, who is not in the roster")
        layout = adapters.ordered(self._plan.layout)
        if layout != self._plan.layout or not layout:
            raise ConfigError("the plan has no adapter layout, or not in order", hint="Finalise the plan first.")
        check_layout(layout, self._plan.lora.rank)
        self._start = ServerState.start(self._plan)
        self._sent = sent_layout(self._plan.lora.aggregation, layout)

    def run(self) -> RunResult:
        """Run all rounds.

        Raises:
            RunError: too few sites accept, or the probe or the first round is void too often; a later one ends the run
                early.
        """
        accepted, refusals = self._offer()
        self._observer.run_started(accepted, refusals)
        self._require_cohort(accepted, refusals)
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
            self._observer.round_finished(record)
        digest = adapters.adapter_digest(self._plan.layout, state.adapter)
        events = self._end(accepted, digest)
        return RunResult(
            adapter=state.adapter,
            model_digest=digest,
            rounds=tuple(records),
            refusals=refusals,
            events=events,
            clip_norm=clip_norm,
            ended_early=ended_early,
        )

    # ------------------------------------------------------------------------------------------------ trips

    def _offer(self) -> tuple[tuple[str, ...], dict[str, str]]:
        offer = pb.PlanOffer(header=self._position.header(COORDINATOR), plan=self._plan_bytes)
        request = codec.seal(self._identity, offer)
        offer_hash = hashlib.sha256(offer.SerializeToString(deterministic=True)).digest()
        invited = tuple(site.id for site in self._plan.sites)
        accepted: list[str] = []
        refusals: dict[str, str] = {}
        for answer in self._ask(invited, request, _OFFER_TIMEOUT_S):
            opened, failure = self._opened(answer, pb.PlanAccept, self._position)
            if opened is not None and opened.body.request_hash != offer_hash:
                failure = "BAD_ENCODING"
            if failure:
                refusals[answer.site_id] = failure
            else:
                accepted.append(answer.site_id)
        return tuple(sorted(accepted, key=str.encode)), refusals

    def _clip_norm(self, accepted: tuple[str, ...]) -> float | None:
        """The plan's clip norm, or what a probe of the sites finds; None without privacy."""
        if not self._plan.is_private:
            return None
        if not self._plan.privacy.needs_probe:
            return self._plan.privacy.resolved_clip_norm

        def clip_of(gathered: _Gathered) -> float:
            return cohort_clip(gathered.facts, gathered.opened)

        found = self._until_not_void(PROBE_ROUND, accepted, self._start, None, clip_of)
        self._observer.clip_found(found)
        return found

    def _round(
        self, number: int, accepted: tuple[str, ...], state: ServerState, clip_norm: float | None
    ) -> tuple[ServerState, RoundRecord]:
        def applied(gathered: _Gathered) -> tuple[ServerState, RoundRecord]:
            mean = mean_update(self._plan, gathered.facts, gathered.opened)
            record = RoundRecord(
                round_number=number,
                attempt=gathered.facts.attempt,
                cohort=accepted,
                survivors=gathered.opened.survivors,
                dropped=gathered.dropped,
                bytes_to_site=gathered.bytes_to_site,
                bytes_from_site=gathered.bytes_from_site,
                seconds=self._clock.now_s() - gathered.started_s,
                update_norm=update_norm(mean),
                trained_parameters=gathered.facts.num_coordinates,
                clamped_share=clamped_share(self._plan, gathered.facts, gathered.opened),
            )
            return state.advanced(self._plan, mean, gathered.opened.survivors), record

        return self._until_not_void(number, accepted, state, clip_norm, applied)

    def _until_not_void(
        self,
        number: int,
        cohort: tuple[str, ...],
        state: ServerState,
        clip_norm: float | None,
        use: Callable[[_Gathered], Used],
    ) -> Used:
        """Gather a sum and use it, as often as the plan allows attempts.

        Raises:
            RunError: every attempt was void: too few survivors, or a sum that no honest vectors have.
        """
        # Of all attempts: the last one's codes may be but the consequence of the first one's.
        causes: dict[str, dict[str, None]] = {}
        for attempt in range(self._plan.secagg.max_attempts):
            dropped: dict[str, str] = {}
            try:
                return use(self._gathered(number, attempt, cohort, state, clip_norm, dropped))
            except ProtocolError as error:
                for name, code in (*dropped.items(), ("the cohort", error.code)):
                    causes.setdefault(name, {})[code] = None
        said = ", ".join(f"{name}: {' then '.join(codes)}" for name, codes in sorted(causes.items()))
        what = "the probe of gradient norms" if number == PROBE_ROUND else f"round {number}"
        raise RunError(f"{what} was void {self._plan.secagg.max_attempts} times: {said}")

    def _gathered(
        self,
        number: int,
        attempt: int,
        cohort: tuple[str, ...],
        state: ServerState,
        clip_norm: float | None,
        dropped: dict[str, str],
    ) -> _Gathered:
        """Ask the cohort and open its sum; ``dropped`` tells of who is not in it, also if this raises.

        Raises:
            ProtocolError: the round is void.
        """
        started_s = self._clock.now_s()
        position = replace(self._position, round_number=number, attempt=attempt)
        raw = adapters.vector_to_bytes(adapters.flatten(self._sent, state.adapter))
        model_digest = adapters.adapter_digest(self._plan.layout, state.adapter)
        message = planned_train(self._plan, position, cohort, model_digest, found_clip=clip_norm or 0.0)
        message.vector_hash = codec.vector_hash(raw)
        request = codec.seal(self._identity, message, vector=raw)
        facts = cohort_facts(position, message)
        coordinator = self._aggregator.coordinator(facts)
        largest = 0
        for answer in self._ask(cohort, request, self._plan.secagg.reply_timeout_s):
            failure = self._take(answer, facts, position, coordinator)
            if failure:
                dropped[answer.site_id] = failure
            largest = max(largest, len(answer.payload))
            self._observer.site_answered(number, answer.site_id, failure or "ok")
        return _Gathered(
            facts=facts,
            opened=coordinator.open(),
            dropped=dropped,
            bytes_to_site=len(request),
            bytes_from_site=largest,
            started_s=started_s,
        )

    def _take(self, answer: _Answer, facts: CohortFacts, position: codec.Position, coordinator: Coordinator) -> str:
        """Add one reply to the sum; the code of the failure, or nothing."""
        opened, failure = self._opened(answer, pb.TrainReply, position)
        if opened is None:
            return failure
        if opened.body.cohort_digest != facts.digest():
            return "DIGEST_MISMATCH"
        try:
            coordinator.add(answer.site_id, ring.from_bytes(opened.vector, facts.num_coordinates))
        except ConfigError:
            return "BAD_VECTOR"
        except ProtocolError as error:
            return error.code
        return ""

    def _end(self, accepted: tuple[str, ...], digest: bytes) -> dict[str, bytes]:
        end = pb.RunEnd(header=self._position.header(COORDINATOR), model_digest=digest)
        events: dict[str, bytes] = {}
        for answer in self._ask(accepted, codec.seal(self._identity, end), _OFFER_TIMEOUT_S):
            opened, _ = self._opened(answer, pb.RunEndReply, self._position)
            if opened is not None:
                events[answer.site_id] = opened.body.events
        return events

    # ------------------------------------------------------------------------------------------------ parts

    def _ask(self, sites: tuple[str, ...], request: bytes, timeout_s: float) -> Iterator[_Answer]:
        """Send one request to many sites; an answer for each, as they come, the missing ones last."""
        posts = [Post(site_id=site, payload=request, ttl_s=timeout_s) for site in sites]
        waiting: dict[str, str] = {}
        for site, message_id in zip(sites, self._grid.push(posts), strict=True):
            if message_id is None:
                yield _Answer(site, request, b"", f"{_TRANSPORT}:refused")
            else:
                waiting[message_id] = site
        deadline = self._clock.now_s() + timeout_s
        while waiting and self._clock.now_s() < deadline:
            deliveries = self._grid.pull(tuple(waiting))
            for delivery in deliveries:
                if delivery.message_id in waiting:
                    site = waiting.pop(delivery.message_id)
                    yield _Answer(site, request, delivery.payload, _transport_failure(delivery))
            if not deliveries:
                self._clock.wait_s(_POLL_S)
        for site in waiting.values():
            yield _Answer(site, request, b"", _LATE)

    def _opened(
        self, answer: _Answer, kind: type[Reply], position: codec.Position
    ) -> tuple[codec.Opened[Reply] | None, str]:
        """The reply, or the code of what came in its place."""
        if answer.failure:
            return None, answer.failure
        key = self._roster.members[answer.site_id]
        try:
            if codec.peek_type(answer.payload) == pb.REFUSAL:
                refusal = codec.open_message(answer.payload, pb.Refusal, sender=answer.site_id, public_key=key)
                if refusal.body.request_hash not in codec.hashes_of(answer.request):
                    return None, "REPLAY_CONFLICT"  # an old refusal, played again
                return None, _printable("/".join(filter(None, (refusal.body.code, refusal.body.rule))))
            opened = codec.open_message(answer.payload, kind, sender=answer.site_id, public_key=key)
        except ProtocolError as error:
            return None, error.code
        if opened.position != position:
            return None, "REPLAY_CONFLICT"
        return opened, ""

    def _require_cohort(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        wanted, rank = self._plan.secagg.min_cohort, self._plan.lora.rank
        said = ", ".join(f"{site}: {code}" for site, code in sorted(refusals.items()))
        if len(accepted) < wanted:
            raise RunError(f"{len(accepted)} sites accept the plan, it asks for {wanted} ({said})")
        full = num_full_rank(self._plan, accepted)
        if full < wanted:
            raise RunError(f"{full} sites of rank {rank} accept the plan, it asks for {wanted} ({said})")


def _transport_failure(delivery: Delivery) -> str:
    return "" if delivery.error is None else f"{_TRANSPORT}:{delivery.error.name.lower()}"


def _printable(code: str) -> str:
    """A stranger's text, cut to what may stand in a log line."""
    return "".join(c for c in code if c.isascii() and (c.isalnum() or c in "_/:-"))[:80] or "REFUSED"
