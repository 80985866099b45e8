import json
import string

import numpy as np
import pytest

from fedward.common.agreement import cohort_facts, round_event
from fedward.common.config import RunPlan
from fedward.common.errors import BudgetExhaustedError, ConfigError, ProtocolError, RunError, TrainingError
from fedward.common.lora import adapters
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_state import mean_update
from fedward.common.privacy.accounting import history_from_json
from fedward.common.secagg.aggregator import CohortSum
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import (
    NUM_TRAINED,
    SITES,
    STEP,
    Federation,
    Wrap,
    clipped,
    identity_of,
    make_plan,
    on_train,
    position_in,
    silent,
    trained,
    type_of,
)

# ---------------------------------------------------------------------------------------------------- sums


def test_uniform_mean_is_right_to_the_step() -> None:
    federation = Federation(make_plan(rounds=1))
    expected = np.mean([clipped(federation, site) for site in SITES], axis=0)
    assert np.abs(trained(federation.run()) - expected).max() <= STEP + 1e-7


def test_declared_weights_weigh_the_mean() -> None:
    federation = Federation(make_plan(rounds=1, secagg={"weights": "declared"}))
    weights = np.array([100, 200, 300]) / 300
    parts = [
        np.clip(weight * federation.trainers[site].movement, -1, 1) for weight, site in zip(weights, SITES, strict=True)
    ]
    expected = np.sum(parts, axis=0) / weights.sum()
    assert np.abs(trained(federation.run()) - expected).max() <= 2 * STEP + 1e-6


def test_declared_weights_of_the_survivors_alone_are_the_divisor() -> None:
    federation = Federation(make_plan(rounds=1, secagg={"weights": "declared"}))
    result = federation.run({"gamma": on_train(silent)})
    weights = {"alpha": 1 / 3, "beta": 2 / 3}
    parts = [np.clip(weight * federation.trainers[site].movement, -1, 1) for site, weight in weights.items()]
    assert np.abs(trained(result) - np.sum(parts, axis=0)).max() <= 3 * STEP + 1e-6


def test_rounds_add_up_and_the_server_step_scales_them() -> None:
    once = trained(Federation(make_plan(rounds=1)).run())
    thrice = trained(Federation(make_plan(rounds=3)).run())
    half = trained(Federation(make_plan(rounds=1, server={"learning_rate": 0.5})).run())
    assert np.abs(thrice - 3 * once).max() < 1e-6
    assert np.abs(half - 0.5 * once).max() < 1e-6


def test_order_in_which_sites_are_served_does_not_change_a_bit() -> None:
    digests = {Federation().run(seed=seed).model_digest for seed in range(5)}
    assert len(digests) == 1


def test_sites_get_the_adapter_of_the_round_before() -> None:
    federation = Federation(make_plan(rounds=2))
    result = federation.run()
    first, second = (adapter for adapter, _ in federation.trainers["alpha"].calls)
    name = "base_model.model.q_proj.lora_B.weight"
    assert not first[name].any()
    assert np.abs(2 * second[name].reshape(-1) - trained(result)).max() < 1e-6


def test_result_holds_the_frozen_factor_and_its_digest() -> None:
    federation = Federation()
    result = federation.run()
    start = adapters.initial_adapter(federation.plan.layout, federation.plan.seed)
    name = "base_model.model.q_proj.lora_A.weight"
    assert np.array_equal(result.adapter[name], start[name])
    assert result.model_digest == adapters.adapter_digest(federation.plan.layout, result.adapter)


def test_sites_state_what_they_were_charged() -> None:
    federation = Federation(make_plan(rounds=2))
    events = federation.run().events
    assert set(events) == set(SITES)
    assert all(history_from_json(raw) == (round_event(federation.plan),) * 2 for raw in events.values())


def test_record_of_a_round_tells_sizes_and_members() -> None:
    federation = Federation(make_plan(rounds=1))
    (record,) = federation.run().rounds
    assert (record.round_number, record.attempt) == (1, 0)
    assert record.cohort == record.survivors == SITES
    assert record.dropped == {}
    assert record.bytes_from_site > 4 * NUM_TRAINED
    assert record.bytes_to_site > 4 * NUM_TRAINED
    assert record.update_norm == pytest.approx(float(np.linalg.norm(trained(federation.run()))), abs=1e-5)


def test_observer_is_told_of_all_that_happens() -> None:
    federation = Federation(make_plan(rounds=1))
    federation.run({"gamma": on_train(silent)})
    assert federation.notes.started == [(SITES, {})]
    assert sorted(federation.notes.answers) == [
        (1, "alpha", "ok"),
        (1, "beta", "ok"),
        (1, "gamma", "TRANSPORT:client_app_raised"),
    ]
    assert [record.round_number for record in federation.notes.rounds] == [1]


def test_one_site_alone_can_run() -> None:
    plan = make_plan(rounds=1, secagg={"min_cohort": 1}, sites=[{"id": "alpha", "nominal_units": 10}])
    federation = Federation(plan, policy=Federation().policy.model_copy(update={"min_cohort": 1}))
    assert np.abs(trained(federation.run()) - clipped(federation, "alpha")).max() <= STEP + 1e-7


# ---------------------------------------------------------------------------------------------------- offers


def refusing(code: str, rule: str = "") -> Wrap:
    """A site that answers every request with a signed refusal of this text."""

    def wrap(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            accept = codec.open_message(
                honest(request), pb.PlanAccept, sender="gamma", public_key=identity_of("gamma").public_key
            )
            refusal = pb.Refusal(header=accept.body.header, request_hash=accept.body.request_hash, code=code, rule=rule)
            return codec.seal(identity_of("gamma"), refusal)

        return handle

    return wrap


def test_site_that_refuses_the_plan_is_left_out_and_reported() -> None:
    federation = Federation(make_plan(rounds=1))
    result = federation.run({"gamma": refusing("POLICY_REFUSED", "rounds")})
    assert result.refusals == {"gamma": "POLICY_REFUSED/rounds"}
    assert result.rounds[0].cohort == ("alpha", "beta")
    assert not federation.trainers["gamma"].calls
    expected = np.mean([clipped(federation, site) for site in ("alpha", "beta")], axis=0)
    assert np.abs(trained(result) - expected).max() <= STEP + 1e-7


def test_run_with_too_few_acceptances_names_the_codes() -> None:
    federation = Federation()
    federation.policy = federation.policy.model_copy(update={"max_rounds": 2})
    with pytest.raises(RunError, match=r"0 sites accept.*alpha: POLICY_REFUSED/rounds, beta: ") as caught:
        federation.run()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "<script>", "医院", "x" * 1000, "", "/../..", "A B"])
def test_hostile_refusal_text_is_cut_to_what_can_be_printed(text: str) -> None:
    federation = Federation(make_plan(rounds=1))
    (said,) = federation.run({"gamma": refusing(text, text)}).refusals.values()
    assert 0 < len(said) <= 80
    assert set(said) <= set(string.ascii_letters + string.digits + "_/:-")


def test_refusal_called_ok_is_a_refusal() -> None:
    federation = Federation(make_plan(rounds=1))
    assert federation.run({"gamma": refusing("ok")}).refusals == {"gamma": "ok"}


def test_acceptance_of_another_offer_does_not_count() -> None:
    def wrap(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = honest(request)
            if type_of(request) != pb.PLAN_OFFER:
                return reply
            body = pb.PlanAccept.FromString(pb.Envelope.FromString(reply).body)
            body.request_hash = bytes(32)
            return codec.seal(identity_of("gamma"), body)

        return handle

    assert Federation(make_plan(rounds=1)).run({"gamma": wrap}).refusals == {"gamma": "BAD_ENCODING"}


def stating(digest: bytes) -> Wrap:
    """A site whose acceptance names this policy of desensitisation."""

    def wrap(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = honest(request)
            if type_of(request) != pb.PLAN_OFFER:
                return reply
            body = pb.PlanAccept.FromString(pb.Envelope.FromString(reply).body)
            assert len(body.desensitization_policy) == 32
            body.desensitization_policy = digest
            return codec.seal(identity_of("gamma"), body)

        return handle

    return wrap


def test_acceptance_that_names_no_policy_of_desensitisation_does_not_count() -> None:
    assert Federation(make_plan(rounds=1)).run({"gamma": stating(b"")}).refusals == {"gamma": "POLICY_REFUSED"}


def test_acceptance_need_not_name_one_where_the_plan_does_not_ask() -> None:
    federation = Federation(make_plan(rounds=1, desensitize={"required": False}))
    assert federation.run({"gamma": stating(b"")}).refusals == {}


def test_offline_site_is_reported() -> None:
    result = Federation(make_plan(rounds=1)).run(offline=["beta"])
    assert result.refusals == {"beta": "TRANSPORT:node_unavailable"}


def test_site_that_the_network_does_not_know_is_reported() -> None:
    federation = Federation(make_plan(rounds=1))
    handlers = federation.handlers()
    del handlers["beta"]
    assert federation.loop(MemoryGrid(handlers)).run().refusals == {"beta": "TRANSPORT:refused"}


@pytest.mark.parametrize("layout", [[], "reversed"])
def test_plan_that_is_not_final_is_refused(layout: list[object] | str) -> None:
    whole = make_plan().layout
    plan: RunPlan = make_plan().model_copy(update={"layout": tuple(reversed(whole)) if layout else ()})
    with pytest.raises(ConfigError, match="layout"):
        Federation(plan).loop(MemoryGrid({}))


def test_plan_with_a_site_outside_the_roster_is_refused() -> None:
    plan = make_plan(sites=[{"id": site, "nominal_units": 10} for site in (*SITES, "mallory")])
    federation = Federation(plan)
    handlers = {site: Federation().agent("alpha").handle for site in (*SITES, "mallory")}
    with pytest.raises(ConfigError, match="roster"):
        federation.loop(MemoryGrid(handlers)).run()


# ---------------------------------------------------------------------------------------------------- dropouts


def test_dropout_above_the_minimum_is_left_out_of_the_mean() -> None:
    federation = Federation(make_plan(rounds=1))
    result = federation.run({"beta": on_train(silent)})
    (record,) = result.rounds
    assert (record.attempt, record.survivors) == (0, ("alpha", "gamma"))
    assert record.dropped == {"beta": "TRANSPORT:client_app_raised"}
    expected = np.mean([clipped(federation, site) for site in ("alpha", "gamma")], axis=0)
    assert np.abs(trained(result) - expected).max() <= STEP + 1e-7


def test_site_that_dropped_out_is_asked_again_in_the_next_round() -> None:
    def once(request: bytes, honest: Handler) -> bytes:
        return silent(request, honest) if position_in(request) == (1, 0) else honest(request)

    rounds = Federation(make_plan(rounds=2)).run({"beta": on_train(once)}).rounds
    assert [len(record.survivors) for record in rounds] == [2, 3]


def test_void_round_is_tried_again_at_a_new_position() -> None:
    federation = Federation(make_plan(rounds=1, secagg={"min_cohort": 3}))
    asked: list[tuple[int, int]] = []

    def once(request: bytes, honest: Handler) -> bytes:
        asked.append(position_in(request))
        return silent(request, honest) if asked[-1] == (1, 0) else honest(request)

    (record,) = federation.run({"beta": on_train(once)}).rounds
    assert asked == [(1, 0), (1, 1)]
    assert (record.attempt, record.survivors, record.dropped) == (1, SITES, {})
    assert len(federation.trainers["alpha"].calls) == 2


def test_round_that_stays_void_ends_the_run_and_names_the_codes() -> None:
    federation = Federation(make_plan(rounds=1, secagg={"min_cohort": 3}))
    federation.trainers["gamma"].error = TrainingError("no memory")
    with pytest.raises(RunError, match=r"round 1 was void 2 times: beta: TRANSPORT:\w+, gamma: ABSTAIN") as caught:
        federation.run({"beta": on_train(silent)})
    assert caught.value.hint
    assert federation.notes.rounds == []


def test_void_round_names_the_codes_of_all_attempts_the_first_one_first() -> None:
    federation = Federation(make_plan(rounds=1, secagg={"min_cohort": 3}))

    def another_each_time(request: bytes, honest: Handler) -> bytes:
        trainer = federation.trainers["gamma"]
        trainer.error = TrainingError("no memory") if position_in(request)[1] == 0 else None
        answer = honest(request)
        return answer if trainer.error else silent(request, honest)

    with pytest.raises(RunError, match=r"gamma: ABSTAIN then TRANSPORT:\w+, the cohort: ROUND_VOID$"):
        federation.run({"gamma": on_train(another_each_time)})


def test_later_round_that_stays_void_ends_the_run_early_and_keeps_the_adapter() -> None:
    def only_once(request: bytes, honest: Handler) -> bytes:
        return honest(request) if position_in(request)[0] == 1 else silent(request, honest)

    federation = Federation(make_plan(secagg={"min_cohort": 3}))
    result = federation.run({"beta": on_train(only_once)})
    assert [record.round_number for record in result.rounds] == [1]
    assert result.ended_early.startswith("round 2 was void 2 times: beta: TRANSPORT:")
    one_round = Federation(make_plan(rounds=1, secagg={"min_cohort": 3})).run()
    assert np.array_equal(trained(result), trained(one_round))
    assert set(result.events) == set(SITES)


def test_share_of_coordinates_at_the_clamp_is_recorded() -> None:
    federation = Federation(make_plan(rounds=1))
    for trainer in federation.trainers.values():
        trainer.movement = np.array([2.0, -3.0, 0.5, 0, 0, 0], np.float32)
    assert federation.run().rounds[0].clamped_share == 2 / 6


def test_site_without_budget_drops_out_with_its_code() -> None:
    federation = Federation(make_plan(rounds=1))
    federation.trainers["gamma"].error = BudgetExhaustedError("spent")
    assert federation.run().rounds[0].dropped == {"gamma": "BUDGET_REFUSED"}


# ---------------------------------------------------------------------------------------------------- aggregate


def test_sum_beyond_the_clamps_is_refused() -> None:
    federation = Federation()
    body, _ = federation.train_body()
    facts = cohort_facts(federation.position(1), body)
    total = np.full(NUM_TRAINED, 2 * 2**24 + 1, "<u4")
    with pytest.raises(ProtocolError) as caught:
        mean_update(federation.plan, facts, CohortSum(total=total, survivors=("alpha", "beta")))
    assert caught.value.code == "SUM_OUT_OF_RANGE"


def test_plan_travels_as_the_bytes_that_were_given() -> None:
    federation = Federation(make_plan(rounds=1))
    federation.plan_bytes = json.dumps(json.loads(federation.plan_bytes), indent=1).encode()
    assert federation.run().refusals == {}
