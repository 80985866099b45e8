"""A cohort of the agents that institutions run: bytes in, bytes out, with policy, accounts and store of their own.

Only data, model and disk failures are played; whatever refuses, charges or forgets is the shipped code. The machines of
``cohort`` are the same protocol without an agent around it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedward.client.duties import Part
from fedward.client.ledger_store import LedgerStore, MemoryStore
from fedward.client.site import SiteAgent
from fedward.common.agreement import PROBE_ROUND, plan_position, planned_train
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import ProtocolError
from fedward.common.identity import Roster
from fedward.common.ledger.budget import Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import sent_layout, starting_adapter, trained_layout
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.privacy.noise import Entropy
from fedward.common.run_terms import run_terms
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.prekeys import PrekeyShelf, TransportKey
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.state import State
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.simulations.attacks.cohort import (
    FIRST,
    RUN_ID,
    Cohort,
    Site,
    expected,
    stream_of,
    update_of,
)
from fedward.simulations.attacks.played_trainer import PlayedTrainer
from fedward.simulations.job import SIMULATION_POLICY
from fedward.simulations.site_ledgers import simulated_store

Changes = dict[str, dict[str, Any] | int]
"""Tables of a plan, laid over the plan of these attacks."""
STRICT_POLICY = SitePolicy()
"""What a site's policy is if nobody sets it."""
AGGREGATOR: Aggregator | None = None
"""A profile without masks; agents outside simulations have none."""


def attacked_plan(profile: str, names: Iterable[str], size: int, changes: Changes) -> RunPlan:
    """A private plan whose trained factor has ``size`` coordinates."""
    document: dict[str, Any] = {
        "schema": "fedward.plan/1",
        "name": "attacked",
        "rounds": 3,
        "lora": {"rank": 2},
        "privacy": {"epsilon": 5.0, "noise_multiplier": 2.0},
        "training": {"sample_rate": 0.05, "steps_per_round": 2},
        "secagg": {"profile": profile, "min_cohort": 3},
        "sites": [{"id": name, "nominal_units": 100} for name in names],
        "layout": [
            {"name": "base_model.model.q_proj.lora_A.weight", "shape": [2, 4]},
            {"name": "base_model.model.q_proj.lora_B.weight", "shape": [size // 2, 2]},
        ],
    }
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    return RunPlan.from_bytes(json.dumps(document).encode())


@dataclass
class Hospital(PlayedTrainer):
    """Data and model of a site, played: a movement of its own, and noise from the agent's randomness."""

    name: str
    drawn: list[bytes] = field(default_factory=list)
    """Seeds of the randomness that the agent took, in order."""
    clips: list[float] = field(default_factory=list)
    """Of each training."""
    last: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    kept: Part | None = None
    """Of its first training, for an agent that sends it again."""
    spoil: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda found: found
    """What goes wrong in training."""

    def entropy_for(self, round_number: int, attempt: int) -> Entropy:
        """For the agent: repeatable, so that a guess can be judged."""
        self.drawn.append(f"{self.name}/{round_number}/{attempt}/{len(self.drawn)}".encode().ljust(16, b"."))
        return Entropy.seeded(self.drawn[-1])

    @property
    def dither_key(self) -> bytes:
        """The agent's first draw of its last training."""
        return Entropy.seeded(self.drawn[-1]).words(4).tobytes()

    def update(
        self,
        plan: RunPlan,
        adapter: adapters.Adapter,
        *,
        round_number: int,
        permit: Permit | None,
        entropy: Entropy,
    ) -> NDArray[np.float32]:
        """See ``duties.Trainer.update``."""
        if permit is not None:
            permit.claim()
            self.clips.append(permit.clip_norm)
        trained = trained_layout(plan.lora.aggregation, plan.layout, round_number)
        size = adapters.num_coordinates(trained)
        noise = (entropy.words(size) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        found: NDArray[np.float32] = (update_of(self.name, size) + noise) * np.float32(0.25)
        self.last = self.spoil(found)
        return self.last

    def noisy_norms(
        self, plan: RunPlan, adapter: adapters.Adapter, *, permit: Permit, entropy: Entropy
    ) -> NDArray[np.float32]:
        """See ``duties.Trainer.noisy_norms``."""
        permit.claim()
        self.last = clip_probe.release(np.full(100, 0.5, np.float64), permit=permit, entropy=entropy)
        return self.last


class AgentSite(Site):
    """A site's agent, seen like the bare participant: to attack it with the same tools."""

    def __init__(self, cohort: SiteCohort, name: str) -> None:
        self._cohort, self.name = cohort, name
        self.hospital = Hospital(name)
        self.store = cohort.store_of(name)
        self.now_s = 0.0
        self.agent = self.started()
        self.written = []

    def started(self) -> SiteAgent:
        """Its process, from what its store holds."""
        cohort, hospital = self._cohort, self.hospital
        return SiteAgent(
            desensitized=DesensitizePolicy(),
            site_id=self.name,
            identity=cohort.identity(self.name),
            roster=cohort.roster,
            policy=cohort.policy if self.name == cohort.guarded else SIMULATION_POLICY,
            trainer=hospital,
            entropy_for=hospital.entropy_for,
            aggregator=AGGREGATOR,
            store=self.store,
            random_bytes=stream_of(f"secrets {self.name}"),
            now_s=lambda: self.now_s,
        )

    def stop(self) -> None:
        """The end of its process, as far as its file is concerned."""
        if not isinstance(self.store, MemoryStore):
            self.store.close()

    def restart(self) -> None:
        """Another process, from what is on the disk."""
        self.stop()
        self.store = self._cohort.store_of(self.name)
        self.agent = self.started()

    @property
    def state(self) -> State:  # type: ignore[override]
        """Of the protocol."""
        return State() if self.agent.memory is None else self.agent.memory.state

    @property
    def transport(self) -> AgreementKey:
        """As its own disk has it."""
        return AgreementKey.from_secret(bytes.fromhex(json.loads(self.agent.export_state())["transport"]))

    @property
    def num_charged(self) -> int:
        """Releases in its account."""
        return len(self.agent.accounts.of_site.history)


@dataclass
class SiteCohort(Cohort):
    """Agents of a run. The guarded one has ``policy``; the others take whatever they are offered."""

    changes: Changes = field(default_factory=dict)
    """To the plan."""
    policy: SitePolicy = STRICT_POLICY
    floors_of_roster: dict[str, Any] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    """Invited by the plan, and not in the roster."""
    guarded: str = ""
    is_on_disk: bool = False
    """The guarded site keeps its accounts and positions in a file."""
    found_clip: float = 1.0
    """What the coordinator says that a probe found."""
    run_id: bytes = RUN_ID

    @cached_property
    def plan(self) -> RunPlan:
        """What is offered."""
        return attacked_plan(self.profile.value, (*self.names, *self.strangers), self.size, self.changes)

    @cached_property
    def plan_bytes(self) -> bytes:
        """As they travel."""
        return self.plan.to_bytes()

    @cached_property
    def roster(self) -> Roster:
        """Pinned by all."""
        members = {name: self.identity(name).public_key for name in self.names}
        return Roster(coordinator_key=self.chief.public_key, members=members, **self.floors_of_roster)

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()

    def close(self) -> None:
        """Remove what was on disk."""
        if self.is_on_disk:
            for site in self.sites.values():
                site.stop()
            self._folder.cleanup()

    def store_of(self, name: str) -> LedgerStore:
        """Where a site keeps what outlives its process."""
        if self.is_on_disk and name == self.guarded:
            folder = Path(self._folder.name) / "site"
            return simulated_store(folder, identity=self.identity(name), site_id=name, secret=bytes(32))
        return MemoryStore(self.identity(name), name)

    @property
    def position(self) -> codec.Position:
        """Of messages outside rounds."""
        return plan_position(self.plan_bytes, run_id=self.run_id, roster_hash=self.roster.hash)

    @property
    def terms(self) -> Terms:
        """Of the coordinator."""
        return run_terms(self.plan, self.position, self.roster, clip_norm=self.clip_of(FIRST))

    def clip_of(self, at: RoundPosition) -> float:
        """As a ``Train`` states it."""
        if not self.plan.is_private or at[0] == PROBE_ROUND:
            return 0.0
        return self.found_clip if self.plan.privacy.needs_probe else self.plan.privacy.resolved_clip_norm

    @cached_property
    def sites(self) -> dict[str, AgentSite]:  # type: ignore[override]
        """By id; none of them has heard of the run yet."""
        return {name: AgentSite(self, name) for name in self.names}

    @cached_property
    def _accepted(self) -> dict[tuple[bytes, bytes], dict[str, TransportKey]]:
        return {}

    @property
    def transport_keys(self) -> dict[str, TransportKey]:
        """As the sites' ``PlanAccept`` states them: the plan is offered now, if it was not."""
        known = self._accepted.setdefault((self.run_id, self.plan_bytes), {})
        if not known:
            known.update(self.offer_all())
        return known

    def offer(self) -> bytes:
        """The plan on its way to a site."""
        return self.sealed(pb.PlanOffer(header=self.position.header(COORDINATOR), plan=self.plan_bytes))

    def offer_all(self) -> dict[str, TransportKey]:
        """Offer the plan to all, to the guarded site first."""
        accepted = {}
        for name in sorted(self.names, key=lambda name: name != self.guarded):
            body = expected(pb.PlanAccept, self.opened(name, expected(bytes, self.tell(name, self.offer()))).body)
            accepted[name] = TransportKey(body.transport_key, body.signature)
        return accepted

    def join(self, run_id: bytes) -> None:
        """Offer this run now, whether it was offered before or not."""
        self.run_id = run_id
        self._accepted[(run_id, self.plan_bytes)] = self.offer_all()

    # ------------------------------------------------------------------------------------------------ messages

    @cached_property
    def _model(self) -> bytes:
        """What a ``Train`` carries beside its body: nothing before the first sum, unless anybody can read sums."""
        if self.plan.secagg.is_masked:
            return b""
        sent = sent_layout(self.plan.lora.aggregation, self.plan.layout)
        return adapters.vector_to_bytes(adapters.flatten(sent, starting_adapter(self.plan)))

    def train(self, at: RoundPosition = FIRST, num_cohort: int = 0) -> pb.Train:
        """As the plan prescribes it, without the cohort's keys."""
        position = replace(self.position, round_number=at[0], attempt=at[1])
        cohort = self.names[: num_cohort or self.count]
        digest = adapters.adapter_digest(self.plan.layout, starting_adapter(self.plan))
        body = planned_train(self.plan, position, cohort, digest, found_clip=self.found_clip)
        del body.cohort[:]
        body.vector_hash = codec.vector_hash(self._model) if self._model else b""
        return body

    def sealed(self, body: codec.Body, *, vector: bytes = b"") -> bytes:
        """By the coordinator; a ``Train`` with the model."""
        return super().sealed(body, vector=vector or (self._model if isinstance(body, pb.Train) else b""))

    def tell(self, name: str, raw: bytes) -> bytes | None:
        """What a site answers, a refusal as an error."""
        reply = self.sites[name].agent.handle(raw)
        body = self.opened(name, reply).body
        if isinstance(body, pb.Refusal):
            raise ProtocolError(body.code, "refused by the site", rule=body.rule)
        self.heard.append((name, reply))
        return reply

    def coordinator(
        self,
        shelf: PrekeyShelf,
        cohort: Iterable[str] = (),
        upcoming: pb.Target | None = None,
        total: RingVector | None = None,
    ) -> RoundCoordinator:
        """Of one attempt; rounds differ in length."""
        room = np.empty(self.train(shelf.position).num_coordinates, "<u4") if total is None else total
        return super().coordinator(shelf, cohort, upcoming, room)


__all__ = ["AgentSite", "attacked_plan", "Changes", "Hospital", "SiteCohort"]
