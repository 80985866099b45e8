"""A consortium in memory, with fake training: honest parts to build on, and hostile messages made from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedward.client.ledger_store import LedgerStore
from fedward.client.site import SiteAgent
from fedward.common.agreement import plan_position, planned_train
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import sent_layout, starting_adapter, whole_adapter
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.plain import PlainRing
from fedward.common.secagg.thresholds import Profile
from fedward.server.grid import Delivery, GridError, Post
from fedward.server.rounds import RoundLoop, RoundRecord, RunResult
from fedward.simulations.memory_grid import Handler, MemoryGrid

SECRET = bytes(range(32))
RUN_ID = b"\x11" * 16
SITES = ("alpha", "beta", "gamma")
POLICY = SitePolicy(profiles=("plain_ring",), min_cohort=2)
LAYOUT = [
    {"name": "base_model.model.q_proj.lora_A.weight", "shape": [2, 4]},
    {"name": "base_model.model.q_proj.lora_B.weight", "shape": [3, 2]},
]
NUM_TRAINED = 6
NUM_OF_A = 8
STEP = 2.0**-24
"""One step of the ring, in units of the update."""

Wrap = Callable[[Handler], Handler]
"""Puts something between a site and the network."""


def make_plan(**changes: Mapping[str, Any] | Sequence[Any] | int) -> RunPlan:
    """A small private plan; ``changes`` are merged into its tables."""
    document: dict[str, Any] = {
        "schema": "fedward.plan/1",
        "name": "test",
        "rounds": 3,
        "lora": {"rank": 2},
        "privacy": {"epsilon": 5.0, "noise_multiplier": 2.0},
        "training": {"sample_rate": 0.05, "steps_per_round": 2},
        "secagg": {"profile": "plain_ring", "min_cohort": 2, "reply_timeout_s": 100.0},
        "sites": [{"id": site, "nominal_units": 100 * (i + 1)} for i, site in enumerate(SITES)],
        "layout": LAYOUT,
    }
    for name, value in changes.items():
        document[name] = {**document.get(name, {}), **value} if isinstance(value, Mapping) else value
    return RunPlan.from_bytes(json.dumps(document).encode())


def identity_of(name: str) -> Identity:
    """The party's key; the same in every test."""
    return Identity.simulated(SECRET, name)


@dataclass
class FakeTrainer:
    """Returns a fixed movement and remembers how it was called."""

    movement: NDArray[np.float32]
    error: BaseException | None = None
    move: Callable[[int, adapters.Adapter], NDArray[np.float32]] | None = None
    """What to return in a round, from its number and the adapter; None: ``movement``."""
    norms: NDArray[np.float64] = field(default_factory=lambda: np.full(1000, 0.5))
    """Of its patients' gradients, for a probe."""
    num_units: int = 1000
    losses: NDArray[np.float64] = field(default_factory=lambda: np.array([2.0, 3.0]))
    """Of the units that a metric draws."""
    counted: int = 0
    metric_permits: list[Permit | None] = field(default_factory=list)
    checked: int = 0
    probes: list[Permit] = field(default_factory=list)
    calls: list[tuple[adapters.Adapter, Permit | None]] = field(default_factory=list)
    gradient: Callable[[int, adapters.Adapter], NDArray[np.float64]] | None = None
    """The clipped sum of a round of mode ``distributed``; None: the movement with its sign turned."""

    def check(self, plan: RunPlan) -> None:
        self.checked += 1

    def update(
        self,
        plan: RunPlan,
        adapter: adapters.Adapter,
        *,
        round_number: int,
        permit: Permit | None,
        entropy: Entropy,
    ) -> NDArray[np.float32]:
        self.calls.append((adapter, permit))
        if self.error is not None:
            raise self.error
        return self.movement if self.move is None else self.move(round_number, adapter)

    def clipped_sum(
        self, plan: RunPlan, adapter: adapters.Adapter, *, round_number: int, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float64]:
        self.calls.append((adapter, permit))
        permit.claim()
        if self.error is not None:
            raise self.error
        if self.gradient is not None:
            return self.gradient(round_number, adapter)
        return -(self.movement if self.move is None else self.move(round_number, adapter)).astype(np.float64)

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        self.probes.append(permit)
        permit.claim()
        if self.error is not None:
            raise self.error
        return clip_probe.release(self.norms, permit=permit, entropy=entropy)

    def count_units(self) -> int:
        self.counted += 1
        return self.num_units

    def unit_losses(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit | None, entropy: Entropy
    ) -> NDArray[np.float64]:
        self.metric_permits.append(permit)
        if permit is not None:
            permit.claim()
        return self.losses


@dataclass
class FakeClock:
    """Time that passes only by waiting."""

    now: float = 0.0
    waited: int = 0

    def now_s(self) -> float:
        return self.now

    def wait_s(self, seconds: float) -> None:
        self.now += seconds
        self.waited += 1


@dataclass
class Notes:
    """An observer that remembers."""

    started: list[tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=list)
    answers: list[tuple[int, str, str]] = field(default_factory=list)
    clips: list[float] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)

    def run_started(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        self.started.append((accepted, dict(refusals)))

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        self.answers.append((round_number, site_id, outcome))

    def clip_found(self, clip_norm: float) -> None:
        self.clips.append(clip_norm)

    def round_finished(self, record: RoundRecord) -> None:
        self.rounds.append(record)


class Federation:
    """A few sites, one coordinator, one plan."""

    def __init__(
        self, plan: RunPlan | None = None, *, policy: SitePolicy = POLICY, sites: tuple[str, ...] = SITES
    ) -> None:
        self.plan = plan or make_plan()
        self.plan_bytes = self.plan.to_bytes()
        self.policy = policy
        self.run_id = RUN_ID
        self.coordinator = identity_of(COORDINATOR)
        members = {site: identity_of(site).public_key for site in sites}
        self.roster = Roster(
            coordinator_key=self.coordinator.public_key,
            members=members,
            min_cohort=1,
            profiles=(*(profile.value for profile in Profile), "plain_ring"),
        )
        self.trainers = {
            site: FakeTrainer(np.array([(i + 1) / 8, -0.25, 0, 0.1, i, 3.0], np.float32))
            for i, site in enumerate(sites)
        }
        self.clock = FakeClock()
        self.notes = Notes()

    # ------------------------------------------------------------------------------------------------ sites

    def agent(
        self, site: str = "alpha", *, aggregator: Aggregator | None = None, store: LedgerStore | None = None
    ) -> SiteAgent:
        """A real agent around a fake trainer; with a store: one that goes on from there."""
        return SiteAgent(
            desensitized=DesensitizePolicy(),
            site_id=site,
            identity=identity_of(site),
            roster=self.roster,
            policy=self.policy,
            trainer=self.trainers[site],
            aggregator=aggregator or PlainRing(),
            entropy_for=lambda number, attempt: Entropy.seeded(f"{site}/{number}/{attempt}".encode().ljust(16, b".")),
            store=store,
        )

    def joined(self, site: str = "alpha", *, aggregator: Aggregator | None = None) -> SiteAgent:
        """An agent that has accepted the plan."""
        agent = self.agent(site, aggregator=aggregator)
        assert reply_of(agent.handle(self.offer()), pb.PlanAccept, site)
        return agent

    # ------------------------------------------------------------------------------------------------ messages

    def position(self, round_number: int = 0, attempt: int = 0) -> codec.Position:
        """Where a message of this run belongs."""
        outside = plan_position(self.plan_bytes, run_id=self.run_id, roster_hash=self.roster.hash)
        return codec.Position(
            run_id=outside.run_id,
            roster_hash=outside.roster_hash,
            plan_digest=outside.plan_digest,
            profile=outside.profile,
            round_number=round_number,
            attempt=attempt,
        )

    def offer(self) -> bytes:
        """The coordinator's offer."""
        return self.seal(pb.PlanOffer(header=self.position().header(COORDINATOR), plan=self.plan_bytes))

    def vector(self) -> NDArray[np.float32]:
        """What travels down before the first round."""
        return adapters.flatten(sent_layout(self.plan.lora.aggregation, self.plan.layout), starting_adapter(self.plan))

    def train_body(
        self,
        round_number: int = 1,
        attempt: int = 0,
        *,
        cohort: tuple[str, ...] | None = None,
        raw: bytes | None = None,
        clip_norm: float = 0.5,
    ) -> tuple[pb.Train, bytes]:
        """The honest ``Train`` of a round for all sites of the plan, or for ``cohort``, with its vector."""
        cohort = tuple(site.id for site in self.plan.sites) if cohort is None else cohort
        raw = adapters.vector_to_bytes(self.vector()) if raw is None else raw
        adapter = whole_adapter(self.plan, np.frombuffer(raw, "<f4").astype(np.float32))
        model = adapters.adapter_digest(self.plan.layout, adapter)
        body = planned_train(self.plan, self.position(round_number, attempt), cohort, model, found_clip=clip_norm)
        body.vector_hash = codec.vector_hash(raw)
        return body, raw

    def train(
        self, round_number: int = 1, attempt: int = 0, *, change: Callable[[pb.Train], object] | None = None
    ) -> bytes:
        """A signed ``Train``; ``change`` may spoil its body first."""
        body, raw = self.train_body(round_number, attempt)
        if change is not None:
            change(body)
        return self.seal(body, vector=raw)

    def end(self) -> bytes:
        """The end of the run."""
        return self.seal(pb.RunEnd(header=self.position().header(COORDINATOR), model_digest=bytes(32)))

    def seal(self, body: codec.Body, *, vector: bytes = b"", identity: Identity | None = None) -> bytes:
        """Signed by the coordinator unless told otherwise."""
        return codec.seal(identity or self.coordinator, body, vector=vector)

    # ------------------------------------------------------------------------------------------------ runs

    def handlers(self, wrap: Mapping[str, Wrap] | None = None) -> dict[str, Handler]:
        """Site id to what answers for it; ``wrap`` puts something between a site and the network."""
        honest: dict[str, Handler] = {site.id: self.agent(site.id).handle for site in self.plan.sites}
        return {**honest, **{site: around(honest[site]) for site, around in (wrap or {}).items()}}

    def loop(self, grid: Any) -> RoundLoop:  # noqa: ANN401 - any Grid
        """The round loop on ``grid``."""
        return RoundLoop(
            plan_bytes=self.plan_bytes,
            run_id=self.run_id,
            identity=self.coordinator,
            roster=self.roster,
            grid=grid,
            clock=self.clock,
            aggregator=PlainRing(),
            observer=self.notes,
        )

    def run(
        self,
        wrap: Mapping[str, Wrap] | None = None,
        *,
        seed: int = 0,
        offline: Collection[str] = (),
    ) -> RunResult:
        """A whole run on a ``MemoryGrid``."""
        return self.loop(MemoryGrid(self.handlers(wrap), seed=seed, offline=offline)).run()


class SlowGrid(MemoryGrid):
    """Holds back answers until the clock shows the time that ``due`` gives, and can deliver everything twice."""

    def __init__(
        self, handlers: Mapping[str, Handler], clock: FakeClock, *, due: Callable[[Post], float], twice: bool = False
    ) -> None:
        super().__init__(handlers)
        self._clock = clock
        self._due = due
        self._twice = twice
        self._last: Delivery | None = None

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        now = self._clock.now_s()
        ready = [i for i in message_ids if i in self._queue and self._due(self._queue[i]) <= now]
        if not ready:
            return ()
        fresh = super().pull(ready)
        if not self._twice:
            return fresh
        again = () if self._last is None else (self._last, Delivery(message_id="m0", error=GridError.UNKNOWN))
        self._last = fresh[0]
        return (*again, *fresh, *fresh)


def reply_of(raw: bytes, kind: type[codec.B], site: str = "alpha") -> codec.Opened[codec.B]:
    """A site's reply, its signature checked."""
    return codec.open_message(raw, kind, sender=site, public_key=identity_of(site).public_key)


def refusal_of(raw: bytes, site: str = "alpha") -> pb.Refusal:
    """A site's signed refusal."""
    return reply_of(raw, pb.Refusal, site).body


def untouched(federation: Federation, agent: SiteAgent, site: str = "alpha") -> bool:
    """Whether no data was read and nothing charged."""
    trainer = federation.trainers[site]
    return not trainer.calls and not trainer.probes and agent.history == ()


def offer_of(federation: Federation, *, identity: Identity | None = None, **header: Any) -> bytes:  # noqa: ANN401
    """The offer with another header."""
    position = replace(federation.position(), **header)
    body = pb.PlanOffer(header=position.header(COORDINATOR), plan=federation.plan_bytes)
    return federation.seal(body, identity=identity)


def offer_of_plan(federation: Federation, **changes: Any) -> bytes:  # noqa: ANN401
    """An offer of another plan, honest in all else."""
    return Federation(make_plan(**changes), policy=federation.policy).offer()


def trained(result: RunResult) -> NDArray[np.float64]:
    """The trained factors that a run ends with: (6,)."""
    return result.adapter["base_model.model.q_proj.lora_B.weight"].reshape(-1).astype(np.float64)


def clipped(federation: Federation, site: str) -> NDArray[np.float64]:
    """What an honest site moves by, clamped to ±1: (6,)."""
    movement = federation.trainers[site].movement.astype(np.float64)
    return np.clip(movement, -1, 1)


def type_of(raw: bytes) -> int:
    """The claimed type of a message."""
    return codec.peek_type(raw)


def position_in(request: bytes) -> tuple[int, int]:
    """Round and attempt that a ``Train`` names."""
    header = pb.Train.FromString(pb.Envelope.FromString(request).body).header
    return header.round, header.attempt


def on_train(answer: Callable[[bytes, Handler], bytes]) -> Wrap:
    """A site that is honest but for its answer to ``Train``."""

    def wrap(honest: Handler) -> Handler:
        return lambda request: answer(request, honest) if type_of(request) == pb.TRAIN else honest(request)

    return wrap


def silent(request: bytes, honest: Handler) -> bytes:
    """A site whose process dies."""
    raise OSError("the process died")
