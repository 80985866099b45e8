"""A site in masked rounds: what it refuses, what it writes down before it answers, what it forgets, and crashes."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedward.client.ledger_store import MemoryStore, StateWriter
from fedward.client.masked_run import MaskedRun
from fedward.client.site import PROBE_STEPS, STEPS, SiteAgent
from fedward.common.agreement import round_event
from fedward.common.errors import TrainingError
from fedward.common.ledger.budget import BudgetAccount, EntryState
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import participant as participants
from fedward.common.secagg import ring
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.simulations.site_memory import memory_from_bytes, memory_to_bytes
from tests.federation_simulator import FakeTrainer, Federation, refusal_of, reply_of
from tests.masked_federation import MASKED, POLICY, agent_of, at_position, masked_federation, stopped_at
from tests.site_stores import site_store

# ---------------------------------------------------------------------------------------------------- order


def spied(patch: pytest.MonkeyPatch, owner: object, name: str, say: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def spy(*args: object, **kwargs: object) -> object:
        say()
        return original(*args, **kwargs)

    patch.setattr(owner, name, spy)


@pytest.mark.parametrize(("clip_norm", "steps"), [(1.0, STEPS), ("auto", PROBE_STEPS)])
@pytest.mark.parametrize("profile", MASKED)
def test_steps_of_a_round_are_done_in_their_order(
    profile: str, clip_norm: object, steps: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = masked_federation(profile, privacy={"clip_norm": clip_norm})
    agent = agent_of(federation)
    request, seen = stopped_at(federation, pb.TRAIN, agent), []
    spied(monkeypatch, BudgetAccount, "reserve", lambda: seen.append("reserve"))
    spied(monkeypatch, FakeTrainer, "update", lambda: seen.append("train_dpsgd"))
    spied(monkeypatch, FakeTrainer, "noisy_norms", lambda: seen.append("noisy_norms"))
    spied(monkeypatch, BudgetAccount, "charge", lambda: seen.append("charge"))
    spied(monkeypatch, ring.Quantiser, "writer", lambda: seen.append("quantise"))
    spied(monkeypatch, participants, "apply_masks", lambda: seen.append("mask"))
    spied(monkeypatch, codec, "seal", lambda: seen.append("sign"))
    agent.handle(request)
    assert tuple(step for step, _ in itertools.groupby(seen)) == steps


class Witness(MemoryStore):
    """Notes, for each entry, what the account of the run held when it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.agent: SiteAgent | None = None
        self.seen: list[tuple[EntryKind, tuple[EntryState, ...]]] = []

    def commit(self, entries: object, state: StateWriter, **more: Any) -> None:  # noqa: ANN401
        assert isinstance(entries, tuple | list)
        super().commit(entries, state, **more)
        account = None if self.agent is None else self.agent.accounts.of_run
        states = () if account is None else tuple(entry.state for entry in account.entries)
        self.seen += [(entry.kind, states) for entry in entries if isinstance(entry, JournalEntry)]


def test_a_cohort_is_written_down_with_its_reservation_and_a_vector_with_its_charge() -> None:
    federation, store = masked_federation("resilient", rounds=1), Witness()
    store.agent = agent = agent_of(federation, store=store)
    federation.run({"alpha": lambda _: agent.handle})
    assert store.seen == [
        (EntryKind.PREKEY, ()),
        (EntryKind.ACCEPTED, (EntryState.RESERVED,)),
        (EntryKind.SENT, (EntryState.CHARGED,)),
        (EntryKind.RELEASED, (EntryState.CHARGED,)),
    ]


# ---------------------------------------------------------------------------------------------------- refusals


def changed(federation: Federation, request: bytes, change: Callable[[pb.Train], object]) -> bytes:
    """The coordinator's own ``Train``, signed again with something changed."""
    envelope = pb.Envelope.FromString(request)
    body = pb.Train.FromString(envelope.body)
    change(body)
    return federation.seal(body, vector=envelope.vector)


def other_vector(federation: Federation, request: bytes) -> bytes:
    body = pb.Train.FromString(pb.Envelope.FromString(request).body)
    raw = np.ones(6, "<f4").tobytes()
    body.vector_hash = codec.vector_hash(raw)
    return federation.seal(body, vector=raw)


def set_to(name: str, value: object) -> Callable[[pb.Train], object]:
    return lambda body: setattr(body.header if name in {"profile", "round", "attempt"} else body, name, value)


REFUSALS: dict[str, tuple[Callable[[pb.Train], object], str]] = {
    "another clip norm": (set_to("clip_norm", 2.0), "PLAN_MISMATCH"),
    "a clip norm that is no number": (set_to("clip_norm", float("nan")), "PLAN_MISMATCH"),
    "another layout": (set_to("layout_digest", bytes(32)), "PLAN_MISMATCH"),
    "another scale": (set_to("scale_log2", 20), "PLAN_MISMATCH"),
    "another model": (set_to("model_digest", bytes(32)), "MODEL_MISMATCH"),
    "a weaker profile": (set_to("profile", "plain_ring"), "PROFILE_FORBIDDEN"),
    "fewer survivors": (set_to("min_survivors", 2), "HONEST_FLOOR"),
    "no colluders": (set_to("assumed_colluders", 0), "HONEST_FLOOR"),
    "a round to come": (set_to("round", 2), "PREKEY_UNKNOWN"),
    "a round beyond the plan": (set_to("round", 9), "ROUND_ORDER"),
    "an attempt too many": (set_to("attempt", 2), "ATTEMPT_LIMIT"),
    "one site left out": (lambda body: body.cohort.pop(), "BAD_ENCODING"),
    "one site alone": (lambda body: body.cohort.__delitem__(slice(1, None)), "COHORT_TOO_SMALL"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_another_train_than_the_plans_is_refused_before_data_is_read(name: str) -> None:
    change, code = REFUSALS[name]
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    assert refusal_of(agent.handle(changed(federation, request, change))).code == code
    assert not federation.trainers["alpha"].calls
    assert agent.history == ()
    # The site is as good as new: the honest request is still answered.
    assert reply_of(agent.handle(request), pb.TrainReply)


def test_a_vector_before_the_first_sum_is_refused() -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    assert refusal_of(agent.handle(other_vector(federation, request))).code == "BAD_ENCODING"
    assert agent.history == ()


def test_a_clip_that_changes_within_the_run_is_refused() -> None:
    federation = masked_federation("resilient", privacy={"clip_norm": "auto"})
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent, at=at_position(2))
    other = pb.Train.FromString(pb.Envelope.FromString(request).body).clip_norm * 2
    assert refusal_of(agent.handle(changed(federation, request, set_to("clip_norm", other)))).code == "PLAN_MISMATCH"


def test_the_clip_is_part_of_what_a_cohort_agrees_on() -> None:
    digests = set()
    for clip_norm in (1.0, 2.0):
        federation = masked_federation("resilient", privacy={"clip_norm": clip_norm})
        body = pb.Train.FromString(pb.Envelope.FromString(stopped_at(federation, pb.TRAIN, agent_of(federation))).body)
        digests.add(body.layout_digest)
    assert len(digests) == 2


def test_a_budget_that_a_retry_would_pass_is_refused_and_nothing_is_trained() -> None:
    federation = masked_federation("strict", rounds=1)
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    assert agent.accounts.of_run is not None
    agent.accounts.of_run.epsilon_cap = 1e-3
    assert refusal_of(agent.handle(request)).code == "BUDGET_REFUSED"
    assert not federation.trainers["alpha"].calls
    assert agent.history == agent.accounts.of_site.history == ()


def test_a_site_of_a_hospital_does_not_know_the_plain_ring() -> None:
    federation = masked_federation("plain_ring")
    assert refusal_of(agent_of(federation).handle(federation.offer())).code == "PROFILE_FORBIDDEN"


def test_plain_train_and_masked_messages_are_strangers_to_each_other() -> None:
    federation = Federation()
    agent = federation.joined()
    body = pb.Prekey(header=federation.position(1).header("coordinator"), target=pb.Target(round=1))
    assert refusal_of(agent.handle(federation.seal(body))).code == "BAD_ENCODING"


# ---------------------------------------------------------------------------------------------------- once only


def test_the_same_request_gets_the_same_reply_and_one_charge() -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    assert agent.handle(request) == agent.handle(request)
    assert len(agent.history) == 1


@pytest.mark.parametrize("error", [TrainingError("diverged"), ValueError("a record"), MemoryError()])
def test_a_failed_training_is_an_abstention_and_its_position_is_used_up(error: Exception) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    federation.trainers["alpha"].error = error
    assert refusal_of(agent.handle(request)).code == "ABSTAIN"
    federation.trainers["alpha"].error = None
    assert refusal_of(agent.handle(request)).code == "REPLAY_CONFLICT"
    assert len(agent.history) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_never_leaves(value: float) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    federation.trainers["alpha"].move = lambda _, __: np.full(6, value, np.float32)
    reply = agent.handle(request)
    assert refusal_of(reply).code == "ABSTAIN"
    assert pb.Envelope.FromString(reply).vector == b""
    assert agent.memory is not None
    assert agent.memory.state.engagement is not None
    assert agent.memory.state.engagement.secrets is None


@pytest.mark.parametrize("size", [5, 7])
def test_an_update_of_another_length_never_leaves(size: int) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    federation.trainers["alpha"].move = lambda _, __: np.zeros(size, np.float32)
    assert refusal_of(agent.handle(request)).code == "ABSTAIN"


# ---------------------------------------------------------------------------------------------------- erasure


def test_secrets_are_destroyed_when_nobody_asks_in_time() -> None:
    now = [0.0]
    federation = masked_federation("resilient", policy=POLICY.model_copy(update={"attempt_ttl_s": 1000.0}))
    agent = agent_of(federation, now_s=lambda: now[0])
    request = stopped_at(federation, pb.UNMASK, agent)
    now[0] = 1000.5
    agent.expire()
    assert agent.memory is not None
    assert agent.memory.state.engagement is not None
    assert agent.memory.state.engagement.secrets is None
    assert refusal_of(agent.handle(request)).code == "ATTEMPT_CLOSED"


def test_secrets_last_as_long_as_the_policy_says() -> None:
    now = [0.0]
    federation = masked_federation("resilient", policy=POLICY.model_copy(update={"attempt_ttl_s": 1000.0}))
    agent = agent_of(federation, now_s=lambda: now[0])
    request = stopped_at(federation, pb.UNMASK, agent)
    now[0] = 999.5
    assert reply_of(agent.handle(request), pb.UnmaskReply)


def test_the_end_of_a_run_destroys_its_transport_key_and_all_secrets() -> None:
    federation, store = masked_federation("resilient"), MemoryStore()
    agent = agent_of(federation, store=store)
    train = stopped_at(federation, pb.TRAIN, agent)
    assert b'"transport": null' not in agent.export_state()
    assert reply_of(agent.handle(federation.end()), pb.RunEndReply)
    assert agent.memory is None
    assert b'"transport": null' in agent.export_state()
    assert refusal_of(agent.handle(train)).code == "ATTEMPT_CLOSED"


# ---------------------------------------------------------------------------------------------------- restarts


def test_a_restart_costs_a_site_its_round_and_it_takes_part_again(tmp_path: Path) -> None:
    federation = masked_federation("resilient", rounds=3)
    agents = [agent_of(federation, store=site_store(tmp_path / "alpha.db"))]

    def restarting(_: object) -> Callable[[bytes], bytes]:
        def handle(request: bytes) -> bytes:
            if codec.peek_type(request) == pb.TRAIN and at_position(1)(request):
                agents.append(agent_of(federation, store=site_store(tmp_path / "alpha.db")))
            return agents[-1].handle(request)

        return handle

    result = federation.run({"alpha": restarting})
    assert result.rounds[0].dropped == {"alpha": "PREKEY_UNKNOWN"}
    assert [len(record.survivors) for record in result.rounds] == [3, 3, 4]
    assert agents[-1].history == (round_event(federation.plan),)


def test_a_restarted_site_makes_no_second_bundle_for_a_position(tmp_path: Path) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    prekey = stopped_at(federation, pb.PREKEY, agent)
    assert reply_of(agent.handle(prekey), pb.PrekeyReply)
    again = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    assert refusal_of(again.handle(prekey)).code == "PREKEY_EXISTS"


@pytest.mark.parametrize("kind", [pb.TRAIN, pb.UNMASK])
@pytest.mark.parametrize("profile", ["resilient", "resilient-malicious"])
def test_a_simulated_site_may_move_between_processes(profile: str, kind: int, tmp_path: Path) -> None:
    """Disk and memory are all there is of a site."""
    federation = masked_federation(profile)
    agent = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    request = stopped_at(federation, kind, agent)
    assert agent.memory is not None
    moved = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    moved.memory = memory_from_bytes(memory_to_bytes(agent.memory))
    expected = pb.TrainReply if kind == pb.TRAIN else pb.UnmaskReply
    assert reply_of(moved.handle(request), expected)


KILLED = """
import os, signal, sys
from pathlib import Path
from fedward.client.ledger_store import LedgerStore
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.journal import EntryKind
from tests.federation_simulator import FakeTrainer
from tests.masked_federation import agent_of, masked_federation, stopped_at
from tests.site_stores import site_store

folder, where = Path(sys.argv[1]), sys.argv[2]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
federation = masked_federation("resilient")
agent = agent_of(federation, store=site_store(folder / "alpha.db"))
request = stopped_at(federation, pb.TRAIN, agent)
(folder / "train").write_bytes(request)
commit, update = LedgerStore.commit, FakeTrainer.update

def dying_commit(self, entries, state, **model):
    kinds = [entry.kind.value for entry in entries]
    if f"before {kinds}" == where: die()
    commit(self, entries, state, **model)
    if f"after {kinds}" == where: die()

def dying_update(self, *args, **kwargs):
    found = update(self, *args, **kwargs)
    if where == "after training": die()
    return found

LedgerStore.commit, FakeTrainer.update = dying_commit, dying_update
agent.handle(request)
"""


@pytest.mark.parametrize(
    ("where", "code", "charged"),
    [
        ("before ['accepted']", "PREKEY_UNKNOWN", 0),
        ("after ['accepted']", "REPLAY_CONFLICT", 1),
        ("after training", "REPLAY_CONFLICT", 1),
        ("before ['sent']", "REPLAY_CONFLICT", 1),
        ("after ['sent']", "REPLAY_CONFLICT", 1),
    ],
)
def test_a_killed_site_sends_no_second_vector_and_its_budget_counts(
    where: str, code: str, charged: int, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), where], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -signal.SIGKILL
    federation = masked_federation("resilient")
    again = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    assert again.history == (round_event(federation.plan),) * charged
    assert again.accounts.of_site.history == again.history
    assert refusal_of(again.handle((tmp_path / "train").read_bytes())).code == code
    assert not federation.trainers["alpha"].calls


def test_a_state_that_cannot_be_written_lets_no_vector_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    request = stopped_at(federation, pb.TRAIN, agent)
    original = MemoryStore.commit

    def full(self: MemoryStore, entries: object, state: StateWriter, **more: Any) -> None:  # noqa: ANN401
        assert isinstance(entries, tuple | list)
        if any(entry.kind is EntryKind.SENT for entry in entries):
            raise OSError("disk full")
        original(self, entries, state, **more)

    monkeypatch.setattr(MemoryStore, "commit", full)
    assert refusal_of(agent.handle(request)).code == "ABSTAIN"
    monkeypatch.undo()
    assert refusal_of(agent.handle(request)).code == "REPLAY_CONFLICT"


def test_no_secret_stands_in_a_repr() -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation)
    stopped_at(federation, pb.TRAIN, agent)
    run = agent._masked
    assert isinstance(run, MaskedRun)
    said = repr(run) + repr(run.memory)
    own = next(iter(run.memory.state.armed.values()))
    assert not any(repr(secret)[2:-1] in said for secret in (run.transport.secret, own.seed, own.mask.secret))
