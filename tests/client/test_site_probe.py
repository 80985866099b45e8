"""The probe that finds the clip norm, at a site: its cost, its answer, and what a coordinator cannot do with it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from fedward.client.site import PROBE_STEPS, SiteAgent
from fedward.common.agreement import PROBE_ROUND, round_event, run_epsilon
from fedward.common.config import SitePolicy
from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import BudgetAccount, EntryState, Permit
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.secagg.plain import PlainParticipant
from tests.federation_simulator import POLICY, SITES, Federation, make_plan, refusal_of, reply_of, untouched

AUTO = make_plan(privacy={"clip_norm": "auto"}, secagg={"max_attempts": 2})


def federation(policy: SitePolicy = POLICY) -> Federation:
    return Federation(AUTO, policy=policy)


def probed(fed: Federation) -> SiteAgent:
    """A site that has answered the probe."""
    agent = fed.joined()
    assert reply_of(agent.handle(fed.train(PROBE_ROUND)), pb.TrainReply)
    return agent


def train_with(fed: Federation, clip_norm: float, number: int = 1) -> bytes:
    body, raw = fed.train_body(number, clip_norm=clip_norm)
    return fed.seal(body, vector=raw)


# ---------------------------------------------------------------------------------------------------- the probe


def test_a_probe_is_charged_in_both_accounts_before_the_reply_exists() -> None:
    fed = federation()
    agent = probed(fed)
    for account in (agent.accounts.of_site, agent.accounts.of_run):
        assert account is not None
        (entry,) = account.entries
        assert (entry.event, entry.state, entry.purpose) == (clip_probe.EVENT, EntryState.CHARGED, "clip_probe")


def test_the_steps_of_a_probe_are_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    fed, order = federation(), []
    agent = fed.joined()
    trainer = fed.trainers["alpha"]

    def noted(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            order.append(name)
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(BudgetAccount, "reserve", noted("reserve", BudgetAccount.reserve))
    monkeypatch.setattr(BudgetAccount, "charge", noted("charge", BudgetAccount.charge))
    monkeypatch.setattr(trainer, "noisy_norms", noted("noisy_norms", trainer.noisy_norms))
    monkeypatch.setattr(PlainParticipant, "vector", noted("quantise", PlainParticipant.vector))
    monkeypatch.setattr(codec, "seal", noted("sign", codec.seal))
    agent.handle(fed.train(PROBE_ROUND))
    once = [name for i, name in enumerate(order[1:], 1) if name != order[i - 1]]  # two accounts
    assert once == [step for step in PROBE_STEPS if step != "mask"]  # plain_ring has none


def test_what_leaves_is_the_noisy_counts_and_nothing_scaled_by_a_weight() -> None:
    fed = Federation(make_plan(privacy={"clip_norm": "auto"}, secagg={"weights": "declared"}))
    fed.trainers["alpha"].norms = np.full(3000, 0.6)
    opened = reply_of(fed.joined().handle(fed.train(PROBE_ROUND)), pb.TrainReply)
    counts = np.frombuffer(opened.vector, "<i4")
    assert counts.shape == (34,)
    noise = counts - clip_probe.histogram(fed.trainers["alpha"].norms)
    # Alpha has a third of the largest weight: weighted, 3000 would have shrunk to 1000.
    assert np.abs(noise).max() < 120
    assert noise.std() > 8


def test_the_permit_of_a_probe_is_the_mechanism_that_was_booked() -> None:
    fed = federation()
    probed(fed)
    (permit,) = fed.trainers["alpha"].probes
    assert (permit.event, permit.clip_norm) == (clip_probe.EVENT, clip_probe.SENSITIVITY)
    with pytest.raises(PrivacyError, match="one use"):
        permit.claim()


def test_a_probe_that_fails_stays_counted_and_says_nothing() -> None:
    fed = federation()
    fed.trainers["alpha"].error = ValueError("a record's text")
    agent = fed.joined()
    refusal = refusal_of(agent.handle(fed.train(PROBE_ROUND)))
    assert (refusal.code, refusal.rule) == ("ABSTAIN", "")
    assert agent.history == (clip_probe.EVENT,)


def test_a_probe_beyond_the_budget_is_refused_before_data_is_read() -> None:
    fed = federation()
    agent = fed.joined()
    agent.accounts.of_site = BudgetAccount(epsilon_cap=0.01, delta=1e-6)
    assert refusal_of(agent.handle(fed.train(PROBE_ROUND))).code == "BUDGET_REFUSED"
    assert untouched(fed, agent)


# ---------------------------------------------------------------------------------------------------- positions


def test_the_same_request_gets_the_same_bytes_and_costs_nothing_more() -> None:
    fed = federation()
    agent, request = fed.joined(), fed.train(PROBE_ROUND)
    assert agent.handle(request) == agent.handle(request)
    assert agent.history == (clip_probe.EVENT,)


def test_a_second_attempt_is_a_second_release_with_other_noise_and_its_own_charge() -> None:
    fed = federation()
    agent = fed.joined()
    first, second = (
        reply_of(agent.handle(fed.train(PROBE_ROUND, attempt)), pb.TrainReply).vector for attempt in (0, 1)
    )
    assert first != second
    assert agent.history == (clip_probe.EVENT,) * 2
    assert refusal_of(agent.handle(fed.train(PROBE_ROUND, 2))).code == "ATTEMPT_LIMIT"


def test_another_request_at_the_position_of_the_probe_is_a_conflict() -> None:
    fed = federation()
    agent = probed(fed)
    body, raw = fed.train_body(PROBE_ROUND, cohort=SITES[:2])
    assert refusal_of(agent.handle(fed.seal(body, vector=raw))).code == "REPLAY_CONFLICT"
    assert agent.history == (clip_probe.EVENT,)


def test_a_probe_after_the_first_round_is_refused() -> None:
    fed = federation()
    agent = probed(fed)
    assert reply_of(agent.handle(fed.train(1)), pb.TrainReply)
    assert refusal_of(agent.handle(fed.train(PROBE_ROUND, 1))).code == "ROUND_ORDER"
    assert agent.history == (clip_probe.EVENT, round_event(AUTO))


def test_training_before_the_probe_is_refused() -> None:
    fed = federation()
    agent = fed.joined()
    assert refusal_of(agent.handle(fed.train(1))).code == "ROUND_ORDER"
    assert untouched(fed, agent)


@pytest.mark.parametrize("privacy", [{"clip_norm": 1.0}, {"mode": "none", "clip_norm": "auto"}], ids=str)
def test_a_plan_that_needs_no_probe_has_none(privacy: dict[str, object]) -> None:
    policy = POLICY.model_copy(update={"privacy_modes": ("local", "none")})
    fed = Federation(make_plan(privacy=privacy), policy=policy)
    agent = fed.joined()
    assert refusal_of(agent.handle(fed.train(PROBE_ROUND))).code == "ROUND_ORDER"
    assert untouched(fed, agent)


# ---------------------------------------------------------------------------------------------------- the clip


def test_the_permit_of_training_carries_the_clip_that_the_probe_found() -> None:
    fed = federation()
    agent = probed(fed)
    assert reply_of(agent.handle(train_with(fed, 0.75)), pb.TrainReply)
    ((_, permit),) = fed.trainers["alpha"].calls
    assert isinstance(permit, Permit)
    assert (permit.event, permit.clip_norm) == (round_event(AUTO), 0.75)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadClip:
    name: str
    value: float


BAD_CLIPS = [
    BadClip(name="none", value=0.0),
    BadClip(name="negative", value=-1.0),
    BadClip(name="not a number", value=math.nan),
    BadClip(name="another not a number", value=struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\xff")[0]),
    BadClip(name="infinite", value=math.inf),
    BadClip(name="minus infinite", value=-math.inf),
    BadClip(name="huge", value=1e300),
    BadClip(name="just above the edges", value=math.nextafter(16.0, 17)),
    BadClip(name="just below the edges", value=math.nextafter(2.0**-12, 0)),
    BadClip(name="subnormal", value=5e-324),
]


@pytest.mark.parametrize("case", BAD_CLIPS, ids=lambda case: case.name)
def test_a_clip_that_no_probe_gives_is_refused(case: BadClip) -> None:
    fed = federation()
    agent = probed(fed)
    refusal = refusal_of(agent.handle(train_with(fed, case.value)))
    assert refusal.code == "PLAN_MISMATCH"
    assert not fed.trainers["alpha"].calls
    assert agent.history == (clip_probe.EVENT,)


@pytest.mark.parametrize("value", [0.25, math.nextafter(0.5, 1), math.nan, 0.0])
def test_another_clip_in_a_later_round_is_refused(value: float) -> None:
    fed = federation()
    agent = probed(fed)
    assert reply_of(agent.handle(train_with(fed, 0.5)), pb.TrainReply)
    assert refusal_of(agent.handle(train_with(fed, value, number=2))).code == "PLAN_MISMATCH"
    assert agent.history == (clip_probe.EVENT, round_event(AUTO))
    assert reply_of(agent.handle(train_with(fed, 0.5, number=2)), pb.TrainReply)


def test_a_refused_clip_does_not_use_the_position_up() -> None:
    fed = federation()
    agent = probed(fed)
    refusal_of(agent.handle(train_with(fed, 16.5)))
    assert reply_of(agent.handle(train_with(fed, 0.5)), pb.TrainReply)


@pytest.mark.parametrize("value", [0.5, 0.0, math.nan, math.nextafter(1.0, 2)])
def test_another_clip_than_a_fixed_plans_is_refused(value: float) -> None:
    fed = Federation()
    agent = fed.joined()
    request = fed.train(change=lambda body: setattr(body, "clip_norm", value))
    assert refusal_of(agent.handle(request)).code == "PLAN_MISMATCH"
    assert untouched(fed, agent)


def test_a_clip_in_the_probe_itself_is_refused() -> None:
    fed = federation()
    agent = fed.joined()
    request = fed.train(PROBE_ROUND, change=lambda body: setattr(body, "clip_norm", 1.0))
    assert refusal_of(agent.handle(request)).code == "PLAN_MISMATCH"
    assert untouched(fed, agent)


@pytest.mark.parametrize(("field", "value"), [("num_coordinates", 6), ("scale_log2", 24), ("clamp_log2", 5)])
def test_ring_parameters_that_do_not_suit_counts_are_refused(field: str, value: int) -> None:
    fed = federation()
    agent = fed.joined()
    request = fed.train(PROBE_ROUND, change=lambda body: setattr(body, field, value))
    assert refusal_of(agent.handle(request)).code == "PLAN_MISMATCH"
    assert untouched(fed, agent)


# ---------------------------------------------------------------------------------------------------- the plan


def test_the_probe_is_part_of_what_the_plan_costs() -> None:
    fixed = make_plan()
    assert run_epsilon(AUTO) > run_epsilon(fixed)
    tight = make_plan(privacy={"clip_norm": "auto", "epsilon": (run_epsilon(AUTO) + run_epsilon(fixed)) / 2})
    fed = Federation(tight)
    refusal = refusal_of(fed.agent().handle(fed.offer()))
    assert (refusal.code, refusal.rule) == ("POLICY_REFUSED", "epsilon_run")


def test_an_unresolved_sample_rate_is_refused_by_name() -> None:
    fed = Federation(make_plan(training={"sample_rate": "auto"}))
    agent = fed.agent()
    refusal = refusal_of(agent.handle(fed.offer()))
    assert (refusal.code, refusal.rule) == ("POLICY_REFUSED", "sample_rate")
    assert untouched(fed, agent)


# ---------------------------------------------------------------------------------------------------- state


def moved(fed: Federation, agent: SiteAgent) -> SiteAgent:
    """The agent in another process."""
    return fed.agent(store=agent._store)


def test_probe_and_clip_survive_a_move_to_another_process() -> None:
    fed = federation()
    agent = moved(fed, probed(fed))
    assert refusal_of(agent.handle(fed.train(PROBE_ROUND))).code == "REPLAY_CONFLICT"
    assert reply_of(agent.handle(train_with(fed, 0.5)), pb.TrainReply)
    agent = moved(fed, agent)
    assert refusal_of(agent.handle(train_with(fed, 0.6, number=2))).code == "PLAN_MISMATCH"
    assert reply_of(agent.handle(train_with(fed, 0.5, number=2)), pb.TrainReply)
    assert agent.history == (clip_probe.EVENT, round_event(AUTO), round_event(AUTO))
