from dataclasses import replace

from fedward.common.messages import fedward_pb2 as pb
from fedward.simulations import secagg_report
from tests.federation_simulator import on_train, silent
from tests.masked_federation import lost, masked_federation


def test_a_masked_run_promises_how_many_honest_sites_are_in_every_sum() -> None:
    federation = masked_federation("resilient", 5, rounds=2)
    found = secagg_report.figures(federation.plan, federation.run())
    assert (found["profile"], found["masked"], found["trips"]) == ("resilient", True, [3, 2])
    # The table of the design page for five sites.
    assert (found["min_survivors"], found["assumed_colluders"], found["honest_sites_in_any_sum"]) == (4, 1, 3)
    assert secagg_report.warning(federation.plan) == []


def test_a_run_without_masks_promises_nothing_and_warns() -> None:
    federation = masked_federation("plain_ring", rounds=1)
    found = secagg_report.figures(federation.plan, federation.run())
    assert not found["masked"]
    assert "honest_sites_in_any_sum" not in found
    assert "could read" in secagg_report.warning(federation.plan)[0]


def test_who_was_left_out_and_why_is_named() -> None:
    federation = masked_federation("resilient", rounds=2)
    result = federation.run({"delta": lost(pb.TRAIN, 2)})
    assert secagg_report.left_out(result.rounds) == {"2": {"delta": "TRANSPORT:client_app_raised"}}
    assert "Round 2 without delta (TRANSPORT:client_app_raised)" in secagg_report.lines(federation.plan, result)


def test_void_attempts_and_bytes_are_counted() -> None:
    federation = masked_federation("resilient", rounds=2)
    result = federation.run({site: lost(pb.TRAIN, 2, 0) for site in ("alpha", "beta")})
    found = secagg_report.figures(federation.plan, result)
    assert found["void_attempts"] == 1
    assert found["bytes_to_site"] == sum(record.bytes_to_site for record in result.rounds) > 0


def test_a_run_of_strict_rounds_says_one_trip() -> None:
    federation = masked_federation("strict", rounds=3)
    assert "strict, 1 trip a round" in secagg_report.lines(federation.plan, federation.run())


def test_lost_sites_of_a_plain_run_are_named_too() -> None:
    federation = masked_federation("plain_ring", rounds=1)
    result = federation.run({"delta": on_train(silent)})
    assert "Round 1 without delta" in secagg_report.lines(federation.plan, result)


def test_sites_that_hold_another_final_model_are_named() -> None:
    federation = masked_federation("resilient", rounds=1)
    result = replace(federation.run(), apart={"beta": "MODEL_MISMATCH"})
    assert secagg_report.figures(federation.plan, result)["sites_with_another_model"] == {"beta": "MODEL_MISMATCH"}
    assert "beta holds another final model (MODEL_MISMATCH)" in secagg_report.lines(federation.plan, result)
