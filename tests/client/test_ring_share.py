"""A site's share of a distributed round: what it refuses, in which order it works, and what a crash leaves."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedward.client import ring_share
from fedward.client.ring_share import noised, prefix_alone
from fedward.client.site import DISTRIBUTED_STEPS
from fedward.common.config import TensorSpec
from fedward.common.errors import ConfigError, PrivacyError, RunError
from fedward.common.ledger.budget import BudgetAccount
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import distributed
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg import participant as participants
from tests.client.test_masked_run import changed, set_to, spied
from tests.distributed_federation import NUM_COORDINATES, distributed_federation, mechanism_of
from tests.federation_simulator import FakeTrainer, refusal_of, reply_of
from tests.masked_federation import MASKED, POLICY, agent_of, stopped_at
from tests.site_stores import site_store

REPOSITORY = Path(__file__).parents[2]
FEDERATION = distributed_federation("resilient")
MECHANISM = mechanism_of(FEDERATION)


def permit_of(**changes: Any) -> Any:  # noqa: ANN401
    account = BudgetAccount(epsilon_cap=100.0, delta=1e-5)
    event = changes.pop("event", MECHANISM.event(0.05))
    return account.reserve(event, clip_norm=changes.pop("clip_norm", 0.5), purpose="train")


def test_a_share_is_made_for_the_booked_mechanism_alone() -> None:
    def share(permit: Any) -> None:  # noqa: ANN401
        noised(np.zeros(NUM_COORDINATES), MECHANISM, permit=permit, sample_rate=0.05, entropy=Entropy.seeded(bytes(32)))

    share(permit_of())
    weaker = distributed_federation("resilient", privacy={"noise_multiplier": 1.9})
    for permit in (permit_of(clip_norm=0.4), permit_of(event=mechanism_of(weaker).event(0.05))):
        with pytest.raises(PrivacyError, match="another mechanism"):
            share(permit)


def test_a_sum_in_float32_is_refused() -> None:
    short: Any = np.zeros(NUM_COORDINATES, np.float32)
    with pytest.raises(ConfigError, match="float64"):
        noised(short, MECHANISM, permit=permit_of(), sample_rate=0.05, entropy=Entropy.seeded(bytes(32)))


def test_beyond_its_columns_a_site_sends_zeros_whatever_its_trainer_gives() -> None:
    layout = [
        TensorSpec(name="x.lora_A.weight", shape=(2, 3)),
        TensorSpec(name="x.lora_B.weight", shape=(3, 2)),
    ]
    kept = prefix_alone(layout, np.arange(1.0, 13.0), 1)
    assert kept.tolist() == [1, 2, 3, 0, 0, 0, 7, 0, 9, 0, 11, 0]
    assert kept.dtype == np.float64


def test_keys_of_dither_and_noise_are_the_operating_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = os.urandom
    monkeypatch.setattr(os, "urandom", lambda count: asked.append(count) or real(count))  # type: ignore[func-returns-value]
    noised(np.zeros(NUM_COORDINATES), MECHANISM, permit=permit_of(), sample_rate=0.05, entropy=Entropy.system())
    assert asked == [32, 32]


@pytest.mark.parametrize("profile", MASKED)
def test_steps_of_a_distributed_round_are_done_in_their_order(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = distributed_federation(profile)
    agent = agent_of(federation)
    request, seen = stopped_at(federation, pb.TRAIN, agent), []
    spied(monkeypatch, BudgetAccount, "reserve", lambda: seen.append("reserve"))
    spied(monkeypatch, FakeTrainer, "clipped_sum", lambda: seen.append("sum_clipped"))
    spied(monkeypatch, BudgetAccount, "charge", lambda: seen.append("charge"))
    spied(monkeypatch, distributed, "round_to_ring", lambda: seen.append("quantise"))
    spied(monkeypatch, distributed, "discrete_gaussian", lambda: seen.append("add_ring_noise"))
    spied(monkeypatch, participants, "apply_masks", lambda: seen.append("mask"))
    spied(monkeypatch, codec, "seal", lambda: seen.append("sign"))
    agent.handle(request)
    assert tuple(step for step, _ in itertools.groupby(seen)) == DISTRIBUTED_STEPS


REFUSED: dict[str, tuple[str, object, str]] = {
    "fewer colluders, so thinner shares": ("assumed_colluders", 0, "HONEST_FLOOR"),
    "fewer survivors, so less noise": ("min_survivors", 3, "HONEST_FLOOR"),
    "another clip": ("clip_norm", 0.6, "PLAN_MISMATCH"),
    "a coarser ring": ("scale_log2", 10, "PLAN_MISMATCH"),
    "another clamp": ("clamp_log2", 28, "PLAN_MISMATCH"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_train_that_would_thin_the_noise_is_refused_before_data_is_read(name: str) -> None:
    setting, value, code = REFUSED[name]
    federation = distributed_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    assert refusal_of(agent.handle(changed(federation, request, set_to(setting, value)))).code == code
    assert not federation.trainers["alpha"].calls
    assert agent.history == ()
    assert reply_of(agent.handle(request), pb.TrainReply)


def test_more_colluders_told_to_all_are_larger_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[distributed.RingMechanism] = []
    honest = distributed.noisy_ring_vector

    def spy(clipped_sum: Any, mechanism: distributed.RingMechanism, *, entropy: Entropy) -> Any:  # noqa: ANN401
        used.append(mechanism)
        return honest(clipped_sum, mechanism, entropy=entropy)

    federation = distributed_federation("strict")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    monkeypatch.setattr(ring_share, "noisy_ring_vector", spy)
    assert reply_of(agent.handle(changed(federation, request, set_to("assumed_colluders", 3))), pb.TrainReply)
    assert [(made.num_honest, made.sigma_steps > mechanism_of(federation).sigma_steps) for made in used] == [(2, True)]
    assert agent.history == (used[0].event(0.05),)


def test_a_cohort_of_two_is_refused_by_a_site_that_takes_part_in_sums_of_two() -> None:
    """Each of the two is told the sum and knows its own share of the noise."""
    policy = POLICY.model_copy(update={"allow_two_sites": True, "assumed_colluders": 0})
    federation = distributed_federation("strict", secagg={"min_cohort": 2}, policy=policy)
    agent = agent_of(federation)
    two = distributed_federation("strict", secagg={"min_cohort": 2}, policy=policy)
    with pytest.raises(RunError, match="HONEST_FLOOR"):
        two.run(offline=("beta", "gamma", "delta"))
    assert not two.trainers["alpha"].calls
    assert reply_of(agent.handle(stopped_at(federation, pb.TRAIN, agent)), pb.TrainReply)


_DIES = """
import os, signal, sys
from pathlib import Path
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from tests.distributed_federation import distributed_federation
from tests.masked_federation import agent_of, stopped_at
from tests.site_stores import site_store
federation = distributed_federation(sys.argv[1])
agent = agent_of(federation, store=site_store(Path(sys.argv[2]) / "alpha.db"))
request = stopped_at(federation, pb.TRAIN, agent)
(Path(sys.argv[2]) / "request").write_bytes(request)
agent.handle(request)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("profile", ["strict", "resilient"])
def test_after_a_kill_no_second_vector_leaves_and_the_charge_stands(profile: str, tmp_path: Path) -> None:
    """The process dies between its journal and its reply; the next one has what is on disk."""
    done = subprocess.run([sys.executable, "-c", _DIES, profile, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert done.returncode == -signal.SIGKILL
    federation = distributed_federation(profile)
    again = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    assert again.history == (mechanism_of(federation).event(0.05),)
    assert refusal_of(again.handle((tmp_path / "request").read_bytes())).code in {"REPLAY_CONFLICT", "PREKEY_UNKNOWN"}
    assert again.history == (mechanism_of(federation).event(0.05),)
    assert not federation.trainers["alpha"].calls
