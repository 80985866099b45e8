"""Masked runs in which every site's own copy of the model is compared with the coordinator's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from fedward.client.site import SiteAgent
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import RoundStep, ServerState
from fedward.server.gathering import Attempt, Gathered
from fedward.server.masked_rounds import MaskedRounds
from fedward.server.rounds import RunResult
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import Federation, Wrap, type_of
from tests.masked_federation import NAMES, agent_of, at_position, lost, on


def same_state(left: ServerState, right: ServerState) -> bool:
    """Whether two states are the same, bit for bit, moments included."""
    if set(left.adapter) != set(right.adapter) or set(left.moments) != set(right.moments):
        return False
    if any(left.adapter[name].tobytes() != right.adapter[name].tobytes() for name in left.adapter):
        return False
    return all(
        kept.num_steps == other.num_steps
        and np.array_equal(kept.first, other.first)
        and np.array_equal(kept.second, other.second)
        and np.array_equal(kept.noise, other.noise)
        for kept, other in ((kept, right.moments[name]) for name, kept in left.moments.items())
    )


@dataclass
class VerifiedRun:
    """One run, watched."""

    federation: Federation
    make: Callable[[str], SiteAgent] | None = None
    """A site's agent; by default one that lives in memory."""
    agents: dict[str, SiteAgent] = field(init=False)
    states: dict[int, ServerState] = field(init=False)
    """The coordinator's, by the last round in them."""
    compared: list[tuple[str, int, bool]] = field(init=False, default_factory=list)
    """Site, round it trained in, and whether it trained on the coordinator's state."""

    def __post_init__(self) -> None:
        plan = self.federation.plan
        make = self.make or (lambda site: agent_of(self.federation, site))
        self.agents = {site.id: make(site.id) for site in plan.sites}
        self.states = {0: ServerState.start(plan)}

    def run(self, wraps: Mapping[str, Wrap] | None = None, *, seed: int = 0) -> RunResult:
        """To its end, or to the error that ends it."""
        handlers: dict[str, Handler] = {site: self._watched(site) for site in self.agents}
        handlers |= {site: around(handlers[site]) for site, around in (wraps or {}).items()}
        original = MaskedRounds.applied

        def applied(rounds: MaskedRounds, gathered: Gathered, attempt: Attempt, step: RoundStep) -> None:
            self.states[attempt.round_number] = step.state
            original(rounds, gathered, attempt, step)

        with mock.patch.object(MaskedRounds, "applied", applied):
            return self.federation.loop(MemoryGrid(handlers, seed=seed)).run()

    def restart(self, site: str) -> None:
        """A site's process ends and another begins."""
        assert self.make is not None
        self.agents[site] = self.make(site)

    def _watched(self, site: str) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = self.agents[site].handle(request)
            if type_of(request) == pb.TRAIN and type_of(reply) in (pb.TRAIN_REPLY, pb.READY):
                number = pb.Train.FromString(pb.Envelope.FromString(request).body).header.round
                own = self.agents[site].model
                held = own is not None and same_state(own, self.states[max(0, number - 1)])
                self.compared.append((site, number, held))
            return reply

        return handle

    def is_sound(self, result: RunResult) -> bool:
        """Whether all trained on the coordinator's states, and all that could hold its last one."""
        last = self.states[max(self.states)]
        held = [agent for site, agent in self.agents.items() if site not in result.apart]
        ends = all(agent.model is not None and same_state(agent.model, last) for agent in held)
        return bool(self.compared) and all(same for _, _, same in self.compared) and ends


def answer_lost(kind: int, round_number: int, attempt: int | None = None) -> Wrap:
    """A site whose reply never arrives: it has done all it was asked."""

    def loses(request: bytes, honest: Handler) -> bytes:
        honest(request)
        raise OSError("the network is gone")

    return on(kind, loses, at=at_position(round_number, attempt))


def both(*wraps: Wrap) -> Wrap:
    """One wrap around the other."""

    def wrap(honest: Handler) -> Handler:
        for around in wraps:
            honest = around(honest)
        return honest

    return wrap


@st.composite
def any_faults(draw: st.DrawFn) -> dict[str, Wrap]:
    """Sites of five that lose a request or a reply now and then, in any attempt."""
    drawn = st.tuples(
        st.sampled_from([lost, answer_lost]),
        st.sampled_from([pb.TRAIN, pb.UNMASK, pb.PREKEY, pb.CONFIRM]),
        st.integers(1, 4),
        st.sampled_from([0, 1, None]),
    )
    by_site = draw(st.dictionaries(st.sampled_from(NAMES[:5]), st.lists(drawn, min_size=1, max_size=4), max_size=4))
    return {
        site: both(*(make(kind, number, attempt) for make, kind, number, attempt in found))
        for site, found in by_site.items()
    }


def spoiled(
    federation: Federation,
    request: bytes,
    change: Callable[[pb.Train], object] = lambda _: None,
    *,
    vector: Callable[[bytes], bytes] = lambda raw: raw,
) -> bytes:
    """The coordinator's own ``Train``, changed and signed again; the vector's hash is that of the vector."""
    envelope = pb.Envelope.FromString(request)
    body, raw = pb.Train.FromString(envelope.body), vector(envelope.vector)
    body.vector_hash = codec.vector_hash(raw) if raw else b""
    change(body)
    return federation.seal(body, vector=raw)


__all__ = ["answer_lost", "any_faults", "both", "same_state", "spoiled", "VerifiedRun"]
