"""A consortium of whole site agents and the real round loop, stopped where a hostile server says something else.

What a site believes of a model is its agent's to judge, outside the protocol's core, so these attacks are played
against agents with accounts and journals. Training is a fixed movement; all that looks random is derived from names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedward.client.site import SiteAgent
from fedward.common.agreement import plan_position
from fedward.common.config import COORDINATOR, RunPlan, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import ProtocolError, RunError
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.budget import EntryState, Permit
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import trained_layout
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_bytes import read_published, state_digest, state_from_bytes
from fedward.common.model_state import ServerState, followed_state
from fedward.common.privacy.noise import Entropy
from fedward.common.run_terms import run_terms
from fedward.common.secagg import statements
from fedward.common.secagg.opened_round import OpenedRound
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.thresholds import Profile
from fedward.server.rounds import RoundLoop, RoundRecord
from fedward.simulations.attacks.cohort import RUN_ID, SECRET, stream_of, update_of
from fedward.simulations.attacks.played_trainer import PlayedTrainer
from fedward.simulations.attacks.scene import GIVEN
from fedward.simulations.memory_grid import MemoryGrid

_NAMES = tuple(f"site-{i}" for i in range(5))
_LAYOUT = [
    {"name": "base_model.model.q_proj.lora_A.weight", "shape": [4, 16]},
    {"name": "base_model.model.q_proj.lora_B.weight", "shape": [32, 4]},
]
_ROUNDS, _STOP_AT = 6, 3


class _StoppedError(BaseException):
    """Ends the honest part of a run; nothing in between catches it."""


class _Trainer(PlayedTrainer):
    """A site whose records always say the same, a little of it."""

    def __init__(self, site_id: str) -> None:
        self._site_id = site_id

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
        size = adapters.num_coordinates(trained_layout(plan.lora.aggregation, plan.layout, round_number))
        return np.float32(0.01) * update_of(f"{self._site_id} {round_number}", size)


class _Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self._now = 0.0

    def now_s(self) -> float:
        """See ``Clock.now_s``."""
        return self._now

    def wait_s(self, seconds: float) -> None:
        """See ``Clock.wait_s``."""
        self._now += seconds


class _Nobody:
    """An observer that looks away."""

    def run_started(self, accepted: tuple[str, ...], refusals: object) -> None:
        """See ``Observer.run_started``."""

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """See ``Observer.site_answered``."""

    def clip_found(self, clip_norm: float) -> None:
        """See ``Observer.clip_found``."""

    def round_finished(self, record: RoundRecord) -> None:
        """See ``Observer.round_finished``."""


def wired_plan(profile: Profile, *, aggregation: str = "ffa", optimizer: str = "fedadam") -> RunPlan:
    """Five sites, six private rounds."""
    document = {
        "schema": "fedward.plan/1",
        "name": "attack",
        "rounds": _ROUNDS,
        "lora": {"rank": 4, "aggregation": aggregation},
        "privacy": {"epsilon": 50.0, "noise_multiplier": 2.0},
        "training": {"sample_rate": 0.5, "steps_per_round": 1},
        "server": {"optimizer": optimizer},
        "secagg": {"profile": profile.value, "min_cohort": 3},
        "sites": [{"id": name, "nominal_units": 1000} for name in _NAMES],
        "layout": _LAYOUT,
    }
    return RunPlan.from_bytes(json.dumps(document).encode())


class WiredScene:
    """A run up to the ``Train`` that the victim is to be deceived by.

    Args:
        profile: of the run.
        was_away: whether the victim has missed a round or two, and is now given the state before the last one.
        plan: another one.
    """

    party = "site agent"

    def __init__(self, profile: Profile, *, was_away: bool = False, plan: RunPlan | None = None) -> None:
        self.profile, self.plan = profile, plan or wired_plan(profile)
        self.victim, self.accomplice = _NAMES[1], _NAMES[3]
        self.code = ""
        self._given: set[bytes] = set()
        """Vectors of the victim since it was lied to."""
        self.chief = Identity.simulated(SECRET, COORDINATOR)
        members = {name: self.identity(name).public_key for name in _NAMES}
        self.roster = Roster(coordinator_key=self.chief.public_key, members=members)
        self.agents = {name: self._agent(name) for name in _NAMES}
        self.seen: dict[int, bytes] = {}
        """By round, the honest ``Train`` of a site that was always there."""
        self.request = b""
        """The honest one to the victim, which it has not got yet."""
        self._run(away_from=2 if was_away else _ROUNDS)
        self._charged_before = self._num_charged()

    @staticmethod
    def identity(name: str) -> Identity:
        """A party's key."""
        return Identity.simulated(SECRET, name)

    def _agent(self, name: str) -> SiteAgent:
        return SiteAgent(
            desensitized=DesensitizePolicy(),
            site_id=name,
            identity=self.identity(name),
            roster=self.roster,
            policy=SitePolicy(max_epsilon=50.0, account_epsilon=50.0, aggregations=("ffa", "fedsvd", "alternate")),
            trainer=_Trainer(name),
            entropy_for=lambda number, attempt: Entropy.seeded(f"{name}/{number}/{attempt}".encode().ljust(16, b".")),
            random_bytes=stream_of(name),
        )

    def _run(self, *, away_from: int) -> None:
        """The honest part; the victim's process is away for all messages of one round."""

        def handler(name: str) -> Callable[[bytes], bytes]:
            def handle(raw: bytes) -> bytes:
                envelope = pb.Envelope.FromString(raw)
                number = codec.TYPES[envelope.type].FromString(envelope.body).header.round
                if name == self.victim and number == away_from:
                    raise OSError("away")
                if envelope.type == pb.TRAIN:
                    if name == self.victim and number >= _STOP_AT:
                        self.request = raw
                        raise _StoppedError
                    if name == self.accomplice:
                        self.seen[number] = raw
                return self.agents[name].handle(raw)

            return handle

        loop = RoundLoop(
            plan_bytes=self.plan.to_bytes(),
            run_id=RUN_ID,
            identity=self.chief,
            roster=self.roster,
            grid=MemoryGrid({name: handler(name) for name in _NAMES}),
            clock=_Clock(),
            observer=_Nobody(),
        )
        with suppress(_StoppedError):
            loop.run()
        if not self.request:
            raise RunError("the play is off: the victim was never asked")

    # ------------------------------------------------------------------------------------------------ what came of it

    def _num_charged(self) -> int:
        account = self.agents[self.victim].accounts.of_run
        entries = () if account is None else account.entries
        return sum(entry.state is EntryState.CHARGED for entry in entries)

    @property
    def num_charged(self) -> int:
        """Vectors of the victim that were charged since it was lied to."""
        return self._num_charged() - self._charged_before

    @property
    def given(self) -> dict[str, int]:
        """See ``Stage.given``: vectors trained on another model than the run's."""
        return {GIVEN[pb.TRAIN_REPLY]: len(self._given)}

    def close(self) -> None:
        """Nothing to remove."""

    def is_recovered(self) -> bool:
        """Never by these plays: they are after the model."""
        return False

    def tell(self, body: pb.Train, vector: bytes) -> bool:
        """Send a ``Train`` to the victim, signed; passed if it trains.

        Raises:
            ProtocolError: with the code of its refusal.
        """
        body.vector_hash = codec.vector_hash(vector) if vector else b""
        raw = self.agents[self.victim].handle(codec.seal(self.chief, body, vector=vector))
        key = self.roster.members[self.victim]
        opened = codec.open_message(raw, None, sender=self.victim, public_key=key)
        if isinstance(opened.body, pb.Refusal):
            raise ProtocolError(opened.body.code, "the victim refuses")
        if isinstance(opened.body, pb.TrainReply):
            self._given.add(bytes(opened.vector))
        return isinstance(opened.body, pb.TrainReply)

    # ------------------------------------------------------------------------------------------------ tools

    def train(self, raw: bytes = b"") -> tuple[pb.Train, bytes]:
        """A request, by default the honest one to the victim, to be changed; and its vector."""
        envelope = pb.Envelope.FromString(raw or self.request)
        return pb.Train.FromString(envelope.body), envelope.vector

    def opened(self, body: pb.Train) -> OpenedRound:
        """The last round as a message states it."""
        position = plan_position(self.plan.to_bytes(), run_id=RUN_ID, roster_hash=self.roster.hash)
        terms = run_terms(self.plan, position, self.roster, clip_norm=body.previous.clip_norm)
        return OpenedRound.from_wire(terms, body.previous)

    def restate(self, body: pb.Train, vector: bytes, before: ServerState) -> None:
        """Make a message agree with itself: the sum's hash and the model that follows from it, as for a whole cohort.

        Args:
            body: filled in.
            vector: that will travel.
            before: the state that the sum is applied to.
        """
        opened = self.opened(body)
        facts = opened.facts
        published = read_published(self.plan, facts.round_number, facts.num_coordinates, vector)
        body.previous_sum_hash = opened.sum_hash(published.published_hash)
        total = opened.cohort_sum(published.total)
        after = followed_state(self.plan, before, facts, total, published.turns)
        body.model_digest = state_digest(self.plan, after)

    def signed_by(self, names: tuple[str, ...], body: pb.Train) -> list[pb.Survivor]:
        """Survivors of the last round as it is stated now, signed with the keys of sites that help."""
        cohort_digest, found = self.opened(body).facts.digest(), []
        for name in in_order(names):
            statement = statements.vector_statement(cohort_digest, name, bytes(32))
            proof = statements.sign(self.identity(name), "VECTOR", statement)
            found.append(pb.Survivor(site_id=name, vector_hash=bytes(32), proof=proof))
        return found

    def state_of(self, name: str) -> ServerState:
        """The model as a site has it."""
        state = self.agents[name].model
        if state is None:
            raise RunError("the play is off: a site without a model")
        return state

    def other_state(self, body: pb.Train, vector: bytes) -> ServerState:
        """A state of the server's choice, in place of the one that a site which was away is given."""
        facts = self.opened(body).facts
        given = read_published(self.plan, facts.round_number, facts.num_coordinates, vector).checkpoint
        state = state_from_bytes(self.plan, facts.round_number - 1, given)
        moved = {n: v + np.float32(0.5) if adapters.FACTOR_B in n else v for n, v in state.adapter.items()}
        return replace(state, adapter=moved)


def away(profile: Profile) -> WiredScene:
    """The victim comes back after rounds that it has missed."""
    return WiredScene(profile, was_away=True)


__all__ = ["away", "wired_plan", "WiredScene"]
