"""A site's private weight and metrics: drawn once, paid before anything leaves, kept over restarts and crashes."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from fedward.client.duties import Contribution
from fedward.client.site import WEIGHT_STEPS, SiteAgent
from fedward.common.agreement import round_event
from fedward.common.auxiliary_terms import coordinates, largest_weight, metric_events, weight_events
from fedward.common.config import Weighting
from fedward.common.ledger.budget import BudgetAccount
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import ring_figures
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg import auxiliary, ring
from fedward.common.secagg import participant as participants
from fedward.simulations.site_memory import memory_from_bytes, memory_to_bytes
from tests.federation_simulator import FakeTrainer, Federation, refusal_of, reply_of
from tests.masked_federation import MASKED, POLICY, WITHOUT_DP, agent_of, at_position, masked_federation, stopped_at
from tests.site_stores import site_store

ALLOWING = POLICY.model_copy(update={"allowed_metrics": ("unit_loss",), "weights": get_args(Weighting)})
METRIC = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}


def federation_of(profile: str = "resilient", *, num_units: int = 120, **changes: Any) -> Federation:  # noqa: ANN401
    secagg = {"weights": "private", "metrics": [METRIC], **changes.pop("secagg", {})}
    policy = changes.pop("policy", ALLOWING)
    federation = masked_federation(profile, policy=policy, secagg=secagg, **changes)
    federation.trainers["alpha"].num_units = num_units
    return federation


def drawn(agent: SiteAgent) -> int | None:
    found: int | None = json.loads(agent.export_state())["drawn_weight"]
    return found


# ---------------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("profile", MASKED)
def test_a_weight_is_reserved_drawn_and_charged_before_the_training(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, seen = federation_of(profile), list[str]()
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)

    def spied(owner: object, name: str, step: str) -> None:
        original: Callable[..., object] = getattr(owner, name)

        def spy(*args: object, **kwargs: object) -> object:
            seen.append(step)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, spy)

    spied(BudgetAccount, "reserve", "reserve")
    spied(ring_figures, "count_steps", "draw_weight")
    spied(FakeTrainer, "update", "train_dpsgd")
    spied(BudgetAccount, "charge", "charge")
    spied(ring.Quantiser, "writer", "quantise")
    spied(participants, "apply_masks", "mask")
    spied(codec, "seal", "sign")
    agent.handle(request)
    assert tuple(step for step, _ in itertools.groupby(seen)) == WEIGHT_STEPS


def test_losses_are_read_under_a_permit_for_the_metric() -> None:
    federation = federation_of(rounds=1)
    federation.run()
    (permit,) = federation.trainers["alpha"].metric_permits
    assert permit is not None
    assert (permit.event, permit.clip_norm, permit.purpose) == (metric_events(federation.plan)[0], 8.0, "unit_loss")


def test_the_probe_draws_and_reads_nothing_of_the_kind() -> None:
    federation = federation_of(privacy={"clip_norm": "auto"})
    agent = agent_of(federation)
    agent.handle(stopped_at(federation, pb.TRAIN, agent))
    trainer = federation.trainers["alpha"]
    assert (len(trainer.probes), trainer.counted, trainer.metric_permits, drawn(agent)) == (1, 0, [], None)


# ---------------------------------------------------------------------------------------------------- the weight


@pytest.mark.parametrize(("num_units", "weight"), [(0, 1), (1, 1), (120, 120), (400, 400), (9999, 400)])
def test_a_weight_is_clamped_to_one_and_the_largest_nominal_number(num_units: int, weight: int) -> None:
    federation = federation_of(num_units=num_units, privacy=WITHOUT_DP)
    agent = agent_of(federation)
    agent.handle(stopped_at(federation, pb.TRAIN, agent))
    assert (drawn(agent), largest_weight(federation.plan)) == (weight, 400)


def test_neighbours_move_the_weight_by_at_most_one() -> None:
    def with_units(num_units: int) -> int:
        federation = federation_of(num_units=num_units)
        agent = agent_of(federation)
        agent.handle(stopped_at(federation, pb.TRAIN, agent))
        found = drawn(agent)
        assert found is not None
        return found

    assert [with_units(121) - with_units(120), with_units(0) - with_units(1)] in ([1, 0], [1, -1])


def test_a_weight_is_noisy_and_never_in_a_repr() -> None:
    federation = federation_of(num_units=217)
    agent = agent_of(federation)
    agent.handle(stopped_at(federation, pb.TRAIN, agent))
    weight = drawn(agent)
    assert weight not in (None, 217)
    assert f"={weight}" not in repr(agent._run)
    assert "drawn_weight" not in repr(agent._run)


def test_the_update_is_scaled_by_the_weight_that_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federation_of()
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    weights: list[float] = []
    original = ring.Quantiser.writer

    def spy(self: ring.Quantiser, update: Any, *, dither_key: bytes, weight: float = 1.0) -> Any:  # noqa: ANN401
        weights.append(weight)
        return original(self, update, dither_key=dither_key, weight=weight)

    monkeypatch.setattr(ring.Quantiser, "writer", spy)
    agent.handle(request)
    found = drawn(agent)
    assert found is not None
    assert weights == [found / 400]


def test_dice_of_the_weight_are_no_rounds_dice() -> None:
    federation, asked = federation_of(rounds=1), list[tuple[int, int]]()
    agent = agent_of(federation)
    honest = agent._duties.entropy_for

    def noted(number: int, attempt: int) -> Entropy:
        asked.append((number, attempt))
        return honest(number, attempt)

    object.__setattr__(agent._duties, "entropy_for", noted)
    federation.run({"alpha": lambda _: agent.handle})
    assert asked == [((1 << 32) - 1, 0), (1, 0)]


# ---------------------------------------------------------------------------------------------------- budget


def test_a_weight_beyond_the_budget_refuses_the_round_and_takes_nothing() -> None:
    federation = federation_of()
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    account = agent.accounts.of_run
    assert account is not None
    account.epsilon_cap = 0.9 * account_epsilon(federation)
    assert refusal_of(agent.handle(request)).code == "BUDGET_REFUSED"
    assert agent.history == ()
    assert agent.accounts.of_site.history == ()
    assert not federation.trainers["alpha"].calls
    assert federation.trainers["alpha"].counted == 0


def account_epsilon(federation: Federation) -> float:
    """Of the first round with all that rides in it."""
    from fedward.common.privacy.accounting import epsilon

    plan = federation.plan
    return epsilon((round_event(plan), *metric_events(plan), *weight_events(plan)), plan.privacy.delta)


def test_a_count_that_fails_costs_nothing_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federation_of(rounds=2)
    agent = agent_of(federation)

    def broken(_: FakeTrainer) -> int:
        raise OSError("the disk is gone")

    request = stopped_at(federation, pb.TRAIN, agent)
    monkeypatch.setattr(FakeTrainer, "count_units", broken)
    assert refusal_of(agent.handle(request)).code == "ABSTAIN"
    assert agent.history == ()
    assert drawn(agent) is None


def test_a_metric_that_fails_is_counted_and_nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federation_of(rounds=1)
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    plan = federation.plan

    def broken(*_: object, **__: object) -> np.ndarray[Any, Any]:
        raise OSError("the disk is gone")

    monkeypatch.setattr(FakeTrainer, "unit_losses", broken)
    assert refusal_of(agent.handle(request)).code == "ABSTAIN"
    assert sorted(agent.history, key=str) == sorted(
        (round_event(plan), *metric_events(plan), *weight_events(plan)), key=str
    )


# ---------------------------------------------------------------------------------------------------- restarts


def test_a_restart_keeps_the_weight_and_charges_it_once(tmp_path: Path) -> None:
    federation = federation_of(rounds=3)
    agents = [agent_of(federation, store=site_store(tmp_path / "alpha.db"))]
    weights: list[int | None] = []

    def restarting(_: object) -> Callable[[bytes], bytes]:
        def handle(request: bytes) -> bytes:
            if codec.peek_type(request) == pb.TRAIN and at_position(3)(request):
                weights.append(drawn(agents[-1]))
                agents.append(agent_of(federation, store=site_store(tmp_path / "alpha.db")))
                weights.append(drawn(agents[-1]))
            return agents[-1].handle(request)

        return handle

    federation.run({"alpha": restarting})
    assert weights[0] is not None
    assert weights[0] == weights[1] == drawn(agents[-1])
    assert agents[-1].history.count(*weight_events(federation.plan)) == 1
    assert federation.trainers["alpha"].counted == 1


def test_an_update_that_waits_for_its_cohort_keeps_its_tail() -> None:
    federation = federation_of("strict", secagg={"late_cohort": True})
    agent = agent_of(federation)
    stopped_at(federation, pb.MASK, agent)
    assert agent.memory is not None
    assert agent.memory.parked is not None
    again = memory_from_bytes(memory_to_bytes(agent.memory))
    assert isinstance(again.parked, Contribution)
    assert isinstance(agent.memory.parked, Contribution)
    assert again.parked.tail == agent.memory.parked.tail
    assert len(again.parked.tail) == len(coordinates(federation.plan))


KILLED = """
import os, signal, sys
from pathlib import Path
from fedward.client.ledger_store import LedgerStore
from fedward.common.messages import fedward_pb2 as pb
from tests.client.test_site_auxiliary import federation_of
from tests.masked_federation import agent_of, stopped_at
from tests.site_stores import site_store

folder, where = Path(sys.argv[1]), sys.argv[2]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
federation = federation_of()
agent = agent_of(federation, store=site_store(folder / "alpha.db"))
request = stopped_at(federation, pb.TRAIN, agent)
commit = LedgerStore.commit

def dying_commit(self, entries, state, **more):
    kinds = [entry.kind.value for entry in entries]
    if f"before {kinds}" == where: die()
    commit(self, entries, state, **more)
    if f"after {kinds}" == where: die()

LedgerStore.commit = dying_commit
agent.handle(request)
"""


@pytest.mark.parametrize(
    ("where", "is_drawn"), [("before ['accepted']", False), ("after ['accepted']", True), ("before ['sent']", True)]
)
def test_a_killed_site_has_its_weight_and_the_charge_or_neither(where: str, is_drawn: bool, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), where], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -signal.SIGKILL
    federation = federation_of()
    again = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    assert (drawn(again) is not None) == is_drawn
    plan = federation.plan
    expected = (*weight_events(plan), round_event(plan), *metric_events(plan)) if is_drawn else ()
    assert sorted(again.history, key=str) == sorted(expected, key=str)
    assert again.accounts.of_site.history == again.history


# ---------------------------------------------------------------------------------------------------- wrong requests


CHANGES: dict[str, Callable[[Federation, pb.Train], object]] = {
    "no auxiliary coordinates": lambda federation, body: fewer(federation, body, 2),
    "one coordinate less": lambda federation, body: fewer(federation, body, 1),
    "other clamps": lambda federation, body: setattr(body, "layout_digest", bytes(32)),
}


def fewer(federation: Federation, body: pb.Train, count: int) -> None:
    body.num_coordinates -= count
    kept = coordinates(federation.plan)[: 2 - count]
    body.layout_digest = auxiliary.layout_digest(bytes(32), kept)


@pytest.mark.parametrize("name", CHANGES)
def test_a_request_with_other_auxiliary_coordinates_is_refused_before_data_is_read(name: str) -> None:
    federation = federation_of()
    agent = agent_of(federation)
    envelope = pb.Envelope.FromString(stopped_at(federation, pb.TRAIN, agent))
    body = pb.Train.FromString(envelope.body)
    CHANGES[name](federation, body)
    assert refusal_of(agent.handle(federation.seal(body, vector=envelope.vector))).code == "PLAN_MISMATCH"
    trainer = federation.trainers["alpha"]
    assert (agent.history, trainer.calls, trainer.counted, trainer.metric_permits) == ((), [], 0, [])


def test_the_honest_request_is_answered() -> None:
    """The control of the test before."""
    federation = federation_of()
    agent = agent_of(federation)
    assert reply_of(agent.handle(stopped_at(federation, pb.TRAIN, agent)), pb.TrainReply)
