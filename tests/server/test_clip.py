"""The probe through the round loop: the median of the cohort, what is stated to sites, and when the run ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedward.client.site import SiteAgent
from fedward.common.agreement import PROBE_ROUND, cohort_facts, planned_train, round_event
from fedward.common.errors import ProtocolError, RunError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy import clip_probe
from fedward.common.privacy.accounting import history_from_json
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.transcript import CohortFacts
from fedward.server.clip import cohort_clip
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import (
    POLICY,
    SITES,
    Federation,
    Wrap,
    identity_of,
    make_plan,
    on_train,
    position_in,
    silent,
    type_of,
)

AUTO = make_plan(privacy={"clip_norm": "auto"}, rounds=2)


def on_probe(answer: Wrap) -> Wrap:
    """A site that is honest but for its answer to the probe."""

    def wrap(honest: Handler) -> Handler:
        spoilt = answer(honest)

        def handle(request: bytes) -> bytes:
            is_probe = type_of(request) == pb.TRAIN and position_in(request)[0] == PROBE_ROUND
            return spoilt(request) if is_probe else honest(request)

        return handle

    return wrap


def test_a_run_finds_its_clip_and_every_round_is_trained_with_it() -> None:
    fed = Federation(AUTO)
    for trainer in fed.trainers.values():
        trainer.norms = np.full(2000, 0.6)
    result = fed.run()
    assert result.clip_norm is not None
    assert 0.5 < result.clip_norm < 0.71  # 0.6 lies in the bin from 0.5 to 0.707
    assert fed.notes.clips == [result.clip_norm]
    clips = {permit.clip_norm for trainer in fed.trainers.values() for _, permit in trainer.calls if permit}
    assert clips == {result.clip_norm}


def test_sites_are_charged_one_probe_and_the_rounds() -> None:
    fed = Federation(AUTO)
    events = fed.run().events
    expected = (clip_probe.EVENT, *[round_event(AUTO)] * 2)
    assert {site: history_from_json(raw) for site, raw in events.items()} == dict.fromkeys(SITES, expected)


def test_each_unit_counts_alike_whatever_its_sites_declared_weight() -> None:
    fed = Federation(make_plan(privacy={"clip_norm": "auto"}, rounds=1, secagg={"weights": "declared"}))
    for site, (count, norm) in zip(SITES, [(6000, 0.1), (1000, 2.0), (1000, 8.0)], strict=True):
        fed.trainers[site].norms = np.full(count, norm)  # alpha has the least weight and the most units
    assert fed.run().clip_norm == pytest.approx(0.1, rel=0.2)


def test_a_plan_with_a_fixed_clip_is_not_probed() -> None:
    fed = Federation(make_plan(rounds=1))
    assert fed.run().clip_norm == 1.0
    assert fed.notes.clips == []
    assert not any(trainer.probes for trainer in fed.trainers.values())


def test_a_run_without_privacy_has_no_clip_and_no_probe() -> None:
    policy = POLICY.model_copy(update={"privacy_modes": ("none",)})
    fed = Federation(make_plan(privacy={"mode": "none", "clip_norm": "auto"}, rounds=1), policy=policy)
    assert fed.run().clip_norm is None
    assert not any(trainer.probes for trainer in fed.trainers.values())


def test_a_site_that_fails_in_the_probe_is_left_out_of_it_alone() -> None:
    fed = Federation(AUTO)

    def fails_once(honest: Handler) -> Handler:
        trainer = fed.trainers["beta"]

        def handle(request: bytes) -> bytes:
            trainer.error = ValueError()
            answer = honest(request)
            trainer.error = None
            return answer

        return handle

    result = fed.run({"beta": on_probe(fails_once)})
    assert (0, "beta", "ABSTAIN") in fed.notes.answers
    assert result.rounds[0].survivors == SITES


def test_a_probe_that_is_void_too_often_ends_the_run_before_anybody_trains() -> None:
    fed = Federation(AUTO)
    with pytest.raises(RunError, match="probe of gradient norms was void 2 times"):
        fed.run({site: on_probe(lambda honest: lambda request: silent(request, honest)) for site in SITES[:2]})
    assert not any(trainer.calls for trainer in fed.trainers.values())


def test_a_second_attempt_of_the_probe_is_charged_again_and_used() -> None:
    fed = Federation(AUTO)

    def late_first(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if position_in(request)[1] == 0:
                honest(request)
                raise OSError("the reply is lost")
            return honest(request)

        return handle

    result = fed.run({site: on_probe(late_first) for site in SITES[:2]})
    assert result.clip_norm is not None
    assert history_from_json(result.events["alpha"])[:2] == (clip_probe.EVENT,) * 2


def test_a_vector_of_the_wrong_length_is_left_out_of_the_probe() -> None:
    fed = Federation(AUTO)
    six = Federation(make_plan(rounds=2)).train_body()[0].num_coordinates

    def short(request: bytes, honest: Handler) -> bytes:
        opened = codec.open_message(
            honest(request), pb.TrainReply, sender="beta", public_key=fed.roster.members["beta"]
        )
        body = pb.TrainReply.FromString(opened.body.SerializeToString())
        vector = bytes(4 * six)
        body.vector_hash = codec.vector_hash(vector)
        return fed.seal(body, vector=vector, identity=identity_of("beta"))

    fed.run({"beta": on_probe(on_train(short))})
    assert (0, "beta", "BAD_VECTOR") in fed.notes.answers


def probe_facts() -> CohortFacts:
    position = Federation(AUTO).position(PROBE_ROUND)
    return cohort_facts(position, planned_train(AUTO, position, SITES, bytes(32)))


def test_a_sum_beyond_the_clamps_is_refused() -> None:
    total = np.full(34, 2 << 24, "<i4").view("<u4")
    with pytest.raises(ProtocolError, match="beyond"):
        cohort_clip(probe_facts(), CohortSum(total=total, survivors=("alpha",)))


def test_the_clip_is_read_from_the_sum_in_counts() -> None:
    total = clip_probe.histogram(np.full(500, 0.9)).astype("<i4").view("<u4")
    assert cohort_clip(probe_facts(), CohortSum(total=total, survivors=SITES)) == pytest.approx(2.0**-0.25)


def test_a_dishonest_clip_does_not_change_what_a_round_costs() -> None:
    costs = set()
    for clip_norm in (clip_probe.MIN_CLIP, 0.5, 9.0):
        fed = Federation(AUTO)
        agent: SiteAgent = fed.joined()
        agent.handle(fed.train(PROBE_ROUND))
        body, raw = fed.train_body(1, clip_norm=clip_norm)
        agent.handle(fed.seal(body, vector=raw))
        assert agent.accounts.of_run is not None
        costs.add(agent.accounts.of_run.epsilon())
    assert len(costs) == 1
    assert math.isfinite(costs.pop())
