import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.client.site import STEPS, SiteAgent
from fedward.common.agreement import cohort_facts, round_event, run_epsilon
from fedward.common.config import COORDINATOR, SitePolicy
from fedward.common.errors import (
    BudgetExhaustedError,
    ConfigError,
    EmptyDataError,
    PrivacyError,
    ProtocolError,
    TrainingError,
)
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.budget import BudgetAccount, EntryState
from fedward.common.logs.logger import log
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import epsilon, history_from_json
from fedward.common.secagg import ring
from fedward.common.secagg.aggregator import Aggregator, Coordinator
from fedward.common.secagg.plain import PlainRing, quantiser_of
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.transcript import CohortFacts
from tests.federation_simulator import (
    LAYOUT,
    NUM_TRAINED,
    POLICY,
    SITES,
    FakeTrainer,
    Federation,
    identity_of,
    make_plan,
    refusal_of,
    reply_of,
    untouched,
)

SECRET_TEXT = "patient 4711 has gout"


def body_hash(raw: bytes) -> bytes:
    return hashlib.sha256(pb.Envelope.FromString(raw).body).digest()


# ---------------------------------------------------------------------------------------------------- honest


def test_acceptable_plan_is_accepted_and_the_acceptance_names_the_offer() -> None:
    federation = Federation()
    offer = federation.offer()
    accept = reply_of(federation.agent().handle(offer), pb.PlanAccept)
    assert accept.body.request_hash == body_hash(offer)
    assert accept.position == federation.position()
    assert federation.trainers["alpha"].checked == 1


def test_same_offer_again_is_accepted_again_and_forgets_nothing() -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train())
    assert reply_of(agent.handle(federation.offer()), pb.PlanAccept)
    assert len(agent.history) == 1
    assert refusal_of(agent.handle(federation.train(change=lambda body: body.cohort.pop()))).code == "REPLAY_CONFLICT"


def test_honest_request_gets_the_quantised_update() -> None:
    federation = Federation()
    agent = federation.joined()
    body, _ = federation.train_body()
    facts = cohort_facts(federation.position(1), body)
    reply = reply_of(agent.handle(federation.train()), pb.TrainReply)
    assert reply.body.cohort_digest == facts.digest()
    assert reply.position == federation.position(1)
    sent = quantiser_of(facts).dequantise(ring.from_bytes(reply.vector, NUM_TRAINED))
    assert np.abs(sent - np.clip(federation.trainers["alpha"].movement, -1, 1)).max() <= 2.0**-facts.scale_log2


def test_declared_weights_scale_what_is_sent() -> None:
    federation = Federation(make_plan(secagg={"weights": "declared"}))
    reply = reply_of(federation.joined().handle(federation.train()), pb.TrainReply)
    sent = ring.from_bytes(reply.vector, NUM_TRAINED).view(np.int32) * 2.0**-24
    assert sent[1] == pytest.approx(-0.25 / 3, abs=2.0**-23)


def test_nothing_leaves_beyond_the_sites_rank_whatever_the_trainer_returns() -> None:
    ranks = zip(SITES, (1, 2, 2), strict=True)
    federation = Federation(make_plan(sites=[{"id": site, "nominal_units": 9, "rank": rank} for site, rank in ranks]))
    reply = reply_of(federation.joined().handle(federation.train()), pb.TrainReply)
    sent = ring.from_bytes(reply.vector, NUM_TRAINED).view(np.int32).reshape(3, 2)
    assert not sent[:, 1].any()
    assert sent[0, 0] == 2**24 / 8


def test_trainer_gets_the_whole_adapter_and_a_permit_of_the_rounds_event() -> None:
    federation = Federation()
    federation.joined().handle(federation.train())
    (adapter, permit) = federation.trainers["alpha"].calls[0]
    assert set(adapter) == {tensor["name"] for tensor in LAYOUT}
    assert permit is not None
    assert (permit.event, permit.clip_norm) == (round_event(federation.plan), 1.0)


def test_rounds_may_be_skipped_forward() -> None:
    federation = Federation()
    agent = federation.joined()
    for round_number, attempt in [(1, 0), (1, 1), (3, 0)]:
        assert reply_of(agent.handle(federation.train(round_number, attempt)), pb.TrainReply)


def test_end_of_the_run_states_what_was_charged() -> None:
    federation = Federation(make_plan(rounds=2))
    agent = federation.joined()
    for round_number in (1, 2):
        agent.handle(federation.train(round_number))
    reply = reply_of(agent.handle(federation.end()), pb.RunEndReply)
    assert history_from_json(reply.body.events) == (round_event(federation.plan),) * 2


def test_round_after_the_end_is_refused() -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train(1))
    agent.handle(federation.end())
    assert refusal_of(agent.handle(federation.train(2))).code == "ATTEMPT_CLOSED"
    again = federation.agent()
    again.restore_state(agent.export_state())
    assert refusal_of(again.handle(federation.train(2))).code == "ATTEMPT_CLOSED"


def test_run_without_privacy_charges_nothing() -> None:
    policy = SitePolicy.model_validate_json('{"profiles": ["plain_ring"], "min_cohort": 2, "privacy_modes": ["none"]}')
    federation = Federation(make_plan(privacy={"mode": "none"}), policy=policy)
    agent = federation.joined()
    assert reply_of(agent.handle(federation.train()), pb.TrainReply)
    assert agent.history == ()
    assert federation.trainers["alpha"].calls[0][1] is None


# ---------------------------------------------------------------------------------------------------- budget


def test_exhausted_budget_is_a_refusal_and_the_trainer_is_not_called() -> None:
    plan = make_plan(rounds=1)
    tight = make_plan(rounds=1, privacy={"epsilon": math.nextafter(run_epsilon(plan), 9)})
    federation = Federation(tight)
    agent = federation.joined()
    assert reply_of(agent.handle(federation.train(1, 0)), pb.TrainReply)
    refusal = refusal_of(agent.handle(federation.train(1, 1)))
    assert (refusal.code, refusal.rule) == ("BUDGET_REFUSED", "")
    assert len(federation.trainers["alpha"].calls) == len(agent.history) == 1


def test_stricter_epsilon_of_the_policy_is_the_cap() -> None:
    plan = make_plan(rounds=1)
    policy = POLICY.model_copy(update={"max_epsilon": math.nextafter(run_epsilon(plan), 9)})
    federation = Federation(plan, policy=policy)
    agent = federation.joined()
    agent.handle(federation.train(1, 0))
    assert refusal_of(agent.handle(federation.train(1, 1))).code == "BUDGET_REFUSED"


def test_failure_after_the_reservation_stays_counted() -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].error = TrainingError("no memory")
    agent.handle(federation.train())
    assert agent.history == (round_event(federation.plan),)


def test_nothing_leaves_when_the_charge_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = Federation()
    agent = federation.joined()

    def charge(*_: object) -> None:
        raise PrivacyError("disk full")

    monkeypatch.setattr(BudgetAccount, "charge", charge)
    reply = agent.handle(federation.train())
    assert refusal_of(reply).code == "ABSTAIN"
    assert pb.Envelope.FromString(reply).vector == b""
    assert len(agent.history) == 1


@dataclass
class SpyRing:
    """The plain ring, with a word when it is asked to mask."""

    say: Callable[[str], None]
    error: Exception | None = None
    profile: str = "plain_ring"

    def participant(self, site_id: str) -> "SpyRing":
        return self

    def coordinator(self, facts: CohortFacts, *, noise_steps: int = 0) -> Coordinator:
        return PlainRing().coordinator(facts, noise_steps=noise_steps)

    def vector(
        self, facts: CohortFacts, update: NDArray[np.float32], *, weight: float, dither_key: bytes
    ) -> RingVector:
        out = quantiser_of(facts).quantise(update, dither_key=dither_key, weight=weight)
        self.say("mask")
        if self.error is not None:
            raise self.error
        return out


def spied(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, say: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def spy(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        say()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, spy)


def test_steps_of_a_round_are_done_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    federation = Federation()
    aggregator: Aggregator = SpyRing(steps.append)
    agent = federation.joined(aggregator=aggregator)
    request = federation.train()
    spied(monkeypatch, BudgetAccount, "reserve", lambda: steps.append("reserve"))
    spied(monkeypatch, FakeTrainer, "update", lambda: steps.append("train_dpsgd"))
    spied(monkeypatch, BudgetAccount, "charge", lambda: steps.append("charge"))
    spied(monkeypatch, ring.Quantiser, "quantise", lambda: steps.append("quantise"))
    spied(monkeypatch, Identity, "sign", lambda: steps.append("sign"))
    agent.handle(request)
    # Reserved and charged twice in a row: in the run's account and in the site's.
    assert tuple(step for step, _ in itertools.groupby(steps)) == STEPS


def test_charge_is_final_before_the_reply_is_built() -> None:
    federation = Federation()
    states: list[EntryState] = []
    agent = federation.joined(aggregator=SpyRing(lambda _: states.extend(states_of(agent)), ConfigError("broken")))
    assert refusal_of(agent.handle(federation.train())).code == "ABSTAIN"
    assert states == [EntryState.CHARGED]
    assert len(agent.history) == 1


def states_of(agent: SiteAgent) -> list[EntryState]:
    raw = agent.export_state()
    restored = Federation().agent()
    restored.restore_state(raw)
    account = restored.accounts.of_site
    assert account is not None
    return [entry.state for entry in account.entries]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_update_that_is_not_finite_never_leaves(value: float) -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].movement[3] = value
    reply = agent.handle(federation.train())
    assert refusal_of(reply).code == "ABSTAIN"
    assert pb.Envelope.FromString(reply).vector == b""


@pytest.mark.parametrize("size", [0, 5, 7])
def test_update_of_another_length_than_the_cohorts_never_leaves(size: int) -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].movement = np.zeros(size, np.float32)
    reply = agent.handle(federation.train())
    assert refusal_of(reply).code == "ABSTAIN"
    assert len(agent.history) == 1


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(SECRET_TEXT), "ABSTAIN"),
        (KeyError(SECRET_TEXT), "ABSTAIN"),
        (MemoryError(SECRET_TEXT), "ABSTAIN"),
        (RecursionError(SECRET_TEXT), "ABSTAIN"),
        (TrainingError(SECRET_TEXT), "ABSTAIN"),
        (EmptyDataError(SECRET_TEXT), "ABSTAIN"),
        (BudgetExhaustedError(SECRET_TEXT), "BUDGET_REFUSED"),
        (ProtocolError("PLAN_MISMATCH", SECRET_TEXT), "PLAN_MISMATCH"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_text_of_an_exception_never_leaves(error: Exception, code: str, caplog: pytest.LogCaptureFixture) -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].error = error
    with caplog.at_level(logging.DEBUG):
        reply = agent.handle(federation.train())
    logged = log.waiting[-1]
    assert (logged.schema.name, logged.fields["code"], logged.fields["round"]) == ("request.refused", code, 1)
    assert b"gout" not in b"".join(event.to_line() for event in log.waiting)
    assert refusal_of(reply).code == code
    assert b"gout" not in reply
    assert b"4711" not in reply
    assert "gout" not in caplog.text


def test_refusal_names_the_request_and_its_position() -> None:
    federation = Federation()
    agent = federation.joined()
    request = federation.train(2, change=lambda body: setattr(body, "clamp_log2", 3))
    refusal = reply_of(agent.handle(request), pb.Refusal)
    assert refusal.body.request_hash == body_hash(request)
    assert refusal.position == federation.position(2)


def test_refusal_of_what_cannot_be_read_names_its_bytes_and_no_position() -> None:
    federation = Federation()
    refusal = reply_of(federation.agent().handle(b"rubbish"), pb.Refusal)
    assert refusal.body.request_hash == hashlib.sha256(b"rubbish").digest()
    assert refusal.position == codec.Position(
        run_id=bytes(16), roster_hash=federation.roster.hash, plan_digest=bytes(32), profile=""
    )


def test_five_hundred_random_strings_get_signed_refusals() -> None:
    federation = Federation()
    agent = federation.joined()
    for number in range(500):
        raw = hashlib.shake_256(number.to_bytes(2, "big")).digest(number)
        assert refusal_of(agent.handle(raw)).code in {"BAD_ENCODING", "BAD_SIGNATURE"}
    assert untouched(federation, agent)


@pytest.mark.parametrize("kind", ["offer", "train", "end"])
def test_no_flipped_bit_of_a_request_is_answered(kind: str) -> None:
    federation = Federation()
    agent = federation.joined()
    raw = {"offer": federation.offer(), "train": federation.train(), "end": federation.end()}[kind]
    for position in range(0, 8 * len(raw), 7):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        assert refusal_of(agent.handle(bytes(changed))).code in {"BAD_ENCODING", "BAD_SIGNATURE"}
    assert untouched(federation, agent)


def test_end_of_a_run_that_was_never_joined_is_refused() -> None:
    federation = Federation()
    assert refusal_of(federation.agent().handle(federation.end())).code == "PLAN_MISMATCH"


def test_reply_holds_nothing_beside_digest_and_vector() -> None:
    federation = Federation()
    reply = reply_of(federation.joined().handle(federation.train()), pb.TrainReply)
    assert {field.name for field, _ in reply.body.ListFields()} == {"header", "cohort_digest", "vector_hash"}
    assert len(reply.vector) == 4 * NUM_TRAINED


# ---------------------------------------------------------------------------------------------------- state


def test_state_carries_the_run_and_its_budget_to_another_process() -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train(1))
    again = federation.agent()
    again.restore_state(agent.export_state())
    assert again.history == agent.history
    assert refusal_of(again.handle(federation.train(1))).code == "REPLAY_CONFLICT"
    assert reply_of(again.handle(federation.train(2)), pb.TrainReply)
    assert len(again.history) == 2


def test_private_run_whose_account_is_lost_does_not_train() -> None:
    federation = Federation()
    document = json.loads(federation.joined().export_state())
    agent = federation.agent()
    agent.restore_state(json.dumps({**document, "run_account": None}).encode())
    assert refusal_of(agent.handle(federation.train())).code == "ABSTAIN"
    assert not federation.trainers["alpha"].calls


def test_runs_add_up_in_the_account_of_the_site() -> None:
    federation = Federation(make_plan(rounds=1, privacy={"noise_multiplier": 0.7, "epsilon": 5.0}))
    agent = federation.agent()
    num_runs = 0
    for number in range(200):
        federation.run_id = bytes([number]) * 16
        answer = agent.handle(federation.offer())
        if codec.peek_type(answer) == pb.REFUSAL:
            break
        assert reply_of(agent.handle(federation.train()), pb.TrainReply)
        num_runs += 1
    refusal = refusal_of(answer)
    assert (refusal.code, refusal.rule) == ("BUDGET_REFUSED", "epsilon_total")
    event = round_event(federation.plan)
    assert num_runs > 1
    assert epsilon([event] * num_runs, POLICY.account_delta) <= POLICY.account_epsilon
    assert epsilon([event] * (num_runs + 1), POLICY.account_delta) > POLICY.account_epsilon


def test_state_of_a_site_in_no_run_is_empty() -> None:
    federation = Federation()
    agent = federation.agent()
    assert agent.export_state() == b""
    agent.restore_state(b"")
    assert refusal_of(agent.handle(federation.train())).code == "PLAN_MISMATCH"


def test_site_of_another_roster_hears_nobody() -> None:
    federation = Federation()
    agent = federation.agent()
    key = identity_of(COORDINATOR).public_key
    agent._roster = Roster(coordinator_key=key, members={"alpha": identity_of("alpha").public_key})
    assert refusal_of(agent.handle(federation.offer())).code == "ROSTER_MISMATCH"
