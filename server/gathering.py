"""One attempt at a cohort's sum: what is asked for, and what came of it. ``PlainRounds`` asks without masks.

Not handled here: masks (``masked_rounds``), the model and what its next state is (``rounds``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from fedward.common.agreement import cohort_facts, planned_train, ring_terms
from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import sent_layout
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import RoundStep, ServerState
from fedward.common.secagg import ring
from fedward.common.secagg.aggregator import Aggregator, CohortSum, Coordinator
from fedward.common.secagg.statements import Survivor
from fedward.common.secagg.transcript import CohortFacts
from fedward.server.exchange import Answer, Exchange

END_TIMEOUT_S = 600.0


class AnswerObserver(Protocol):
    """Told as vectors come."""

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """A reply was added (``ok``) or left out (its code). Round 0 is the probe that finds the clip norm."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What the sites are asked for."""

    round_number: int
    number: int
    sites: tuple[str, ...]
    """That take part in the run, in bytewise order."""
    state: ServerState = field(repr=False)
    """Of the model, that they shall train on."""
    clip_norm: float | None
    dropped: dict[str, str]
    """Filled in: who is not in the sum, and why; also if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """A cohort's opened sum."""

    facts: CohortFacts
    opened: CohortSum
    faults: tuple[str, ...] = ()
    """Shares that were not what their dealer signed: code, dealer, holder."""
    survivors: tuple[Survivor, ...] = ()
    """With their word for their vectors; under masks."""


class Gatherer(Protocol):
    """A profile's way to a sum."""

    def welcome(self, site_id: str, accept: pb.PlanAccept) -> None:
        """Take note of a site that accepts the plan.

        Raises:
            ProtocolError: it cannot take part.
        """
        ...

    def check_cohort(self, sites: tuple[str, ...]) -> None:
        """Refuse to begin with sites of which no sum could be opened.

        Raises:
            ProtocolError: why.
        """
        ...

    def gather(self, attempt: Attempt) -> Gathered:
        """Ask the sites and open their sum.

        Raises:
            ProtocolError: the attempt is void.
        """
        ...

    def applied(self, gathered: Gathered, attempt: Attempt, step: RoundStep) -> None:
        """Take note of what a sum has made of the attempt's state."""
        ...

    def end(self, sites: tuple[str, ...], state: ServerState) -> Iterator[tuple[str, pb.RunEndReply, str]]:
        """Close the run at the sites: each one's reply, and why it holds another model than this one, or nothing."""
        ...


@dataclass(kw_only=True, slots=True)
class PlainRounds:
    """Vectors without masks, added as they come; one trip."""

    plan: RunPlan
    position: codec.Position
    exchange: Exchange
    aggregator: Aggregator
    observer: AnswerObserver

    def welcome(self, site_id: str, accept: pb.PlanAccept) -> None:
        """See ``Gatherer.welcome``."""

    def check_cohort(self, sites: tuple[str, ...]) -> None:
        """See ``Gatherer.check_cohort``."""

    def gather(self, attempt: Attempt) -> Gathered:
        """See ``Gatherer.gather``."""
        position = replace(self.position, round_number=attempt.round_number, attempt=attempt.number)
        model = adapters.vector_to_bytes(adapters.flatten(self._sent, attempt.state.adapter))
        digest = adapters.adapter_digest(self.plan.layout, attempt.state.adapter)
        message = planned_train(self.plan, position, attempt.sites, digest, found_clip=attempt.clip_norm or 0.0)
        message.vector_hash = codec.vector_hash(model)
        request = self.exchange.seal(message, vector=model)
        facts = cohort_facts(position, message)
        terms = ring_terms(
            self.plan, attempt.round_number, len(attempt.sites), clip_norm=message.clip_norm, profile=position.profile
        )
        coordinator = self.aggregator.coordinator(facts, noise_steps=terms.noise_steps)
        for answer in self.exchange.ask(attempt.sites, request, self.plan.secagg.reply_timeout_s):
            failure = self._take(answer, facts, position, coordinator)
            if failure:
                attempt.dropped[answer.site_id] = failure
            self.observer.site_answered(attempt.round_number, answer.site_id, failure or "ok")
        return Gathered(facts=facts, opened=coordinator.open())

    @property
    def _sent(self) -> adapters.Layout:
        return sent_layout(self.plan.lora.aggregation, self.plan.layout)

    def applied(self, gathered: Gathered, attempt: Attempt, step: RoundStep) -> None:
        """See ``Gatherer.applied``. The next ``Train`` carries the adapter itself."""

    def end(self, sites: tuple[str, ...], state: ServerState) -> Iterator[tuple[str, pb.RunEndReply, str]]:
        """See ``Gatherer.end``. Sites keep no model of their own."""
        digest = adapters.adapter_digest(self.plan.layout, state.adapter)
        body = pb.RunEnd(header=self.position.header(COORDINATOR), model_digest=digest)
        for answer in self.exchange.ask(sites, self.exchange.seal(body), END_TIMEOUT_S):
            opened, _ = self.exchange.opened(answer, pb.RunEndReply, self.position)
            if opened is not None:
                yield answer.site_id, opened.body, ""

    def _take(self, answer: Answer, facts: CohortFacts, position: codec.Position, coordinator: Coordinator) -> str:
        """Add one reply to the sum; the code of the failure, or nothing."""
        opened, failure = self.exchange.opened(answer, pb.TrainReply, position)
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


def codes(dropped: Mapping[str, str]) -> str:
    """Sites and codes, for people."""
    return ", ".join(f"{site}: {code}" for site, code in sorted(dropped.items()))


__all__ = ["AnswerObserver", "Attempt", "codes", "END_TIMEOUT_S", "Gathered", "Gatherer", "PlainRounds"]
