"""Every site works the model out itself: whoever drops out and comes back, it is the coordinator's to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.client.site import SiteAgent
from fedward.common.errors import RunError
from fedward.common.lora.adapters import num_coordinates
from fedward.common.lora.aggregation import trained_layout
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.model_bytes import state_num_bytes
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import Federation, Wrap, type_of
from tests.masked_federation import MASKED, WITHOUT_DP, agent_of, at_position, lost, masked_federation
from tests.site_stores import site_store
from tests.verified_federation import VerifiedRun, answer_lost, any_faults, both

METHODS = ("ffa", "fedsvd", "alternate", "naive")
OPTIMISERS = ("fedavg", "fedadam")
LATE: dict[str, object] = {"late_cohort": True}
WAYS: list[tuple[str, dict[str, object]]] = [*((profile, {}) for profile in MASKED), ("strict", LATE)]
WAY_NAMES = [*MASKED, "strict, late cohort"]


def federation_of(profile: str, method: str, optimizer: str, **changes: Any) -> Federation:  # noqa: ANN401
    return masked_federation(
        profile,
        changes.pop("num_sites", 4),
        lora={"aggregation": method},
        server={"optimizer": optimizer},
        **{"rounds": 4, "privacy": WITHOUT_DP, **changes},
    )


# ---------------------------------------------------------------------------------------------------- all the same


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_every_site_trains_on_the_coordinators_state_and_ends_with_it(
    profile: str, secagg: dict[str, object], method: str, optimizer: str
) -> None:
    run = VerifiedRun(federation_of(profile, method, optimizer, secagg=secagg))
    result = run.run()
    assert run.is_sound(result)
    assert len(run.compared) == 4 * 4
    assert result.apart == {}


ANY_RUN = {
    "faults": any_faults(),
    "method": st.sampled_from(METHODS),
    "optimizer": st.sampled_from(OPTIMISERS),
    "profile": st.sampled_from(MASKED),
    "clip_norm": st.sampled_from([1.0, "auto"]),
    "seed": st.integers(0, 3),
}


@settings(deadline=None, max_examples=10)
@given(**ANY_RUN)
def test_whoever_is_lost_and_returns_no_site_trains_on_another_state(**drawn: Any) -> None:  # noqa: ANN401
    play_with_faults(**drawn)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(**ANY_RUN)
def test_the_same_of_many_more_runs(**drawn: Any) -> None:  # noqa: ANN401
    play_with_faults(**drawn)


def play_with_faults(
    *, faults: dict[str, Wrap], method: str, optimizer: str, profile: str, clip_norm: object, seed: int
) -> None:
    federation = federation_of(
        profile,
        method,
        optimizer,
        num_sites=5,
        privacy={"clip_norm": clip_norm, "epsilon": 50.0},
        secagg={"max_attempts": 3},
    )
    run = VerifiedRun(federation)
    try:
        result = run.run(faults, seed=seed)
    except RunError:  # void too often, before the first sum
        assert max(run.states) == 0
        assert all(same for _, _, same in run.compared)
        return
    assert run.is_sound(result)
    assert result.apart == {}


# ---------------------------------------------------------------------------------------------------- coming back


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_site_that_missed_rounds_comes_back_with_the_state_that_the_others_signed_for(
    method: str, optimizer: str
) -> None:
    run = VerifiedRun(federation_of("resilient", method, optimizer, num_sites=5, rounds=6))
    gone = both(lost(pb.TRAIN, 2), lost(pb.PREKEY, 3), lost(pb.PREKEY, 4))
    result = run.run({"beta": gone})
    assert run.is_sound(result)
    assert [number for site, number, _ in run.compared if site == "beta"] == [1, 5, 6]


def test_a_retry_applies_a_sum_once() -> None:
    run = VerifiedRun(federation_of("strict", "ffa", "fedadam"))
    result = run.run({"alpha": lost(pb.TRAIN, 3, 0), "beta": answer_lost(pb.TRAIN, 4, 0)})
    assert [record.attempt for record in result.rounds] == [0, 0, 1, 1]
    assert run.is_sound(result)


def test_a_late_cohort_gives_a_site_that_was_away_the_state_too() -> None:
    run = VerifiedRun(federation_of("strict", "ffa", "fedadam", secagg=LATE, num_sites=5, rounds=5))
    result = run.run({"beta": both(lost(pb.TRAIN, 2), lost(pb.TRAIN, 3))})
    assert run.is_sound(result)
    assert [number for site, number, _ in run.compared if site == "beta"] == [1, 4, 5]


def test_a_site_that_missed_the_last_round_ends_with_the_same_state() -> None:
    run = VerifiedRun(federation_of("resilient", "alternate", "fedadam", num_sites=5, rounds=5))
    result = run.run({"beta": both(lost(pb.TRAIN, 3), lost(pb.PREKEY, 4), lost(pb.PREKEY, 5))})
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_site_that_never_trained_can_still_check_the_last_state() -> None:
    run = VerifiedRun(federation_of("resilient", "ffa", "fedavg", num_sites=5, rounds=3))
    result = run.run({"beta": both(*(lost(pb.PREKEY, number) for number in (1, 2, 3)))})
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_run_that_ends_early_ends_with_the_last_sum_that_was_applied() -> None:
    run = VerifiedRun(federation_of("strict", "ffa", "fedadam"))
    result = run.run({"alpha": lost(pb.TRAIN, 3)} | {"beta": lost(pb.TRAIN, 3)} | {"gamma": lost(pb.TRAIN, 3)})
    assert result.ended_early
    assert run.is_sound(result)
    assert result.apart == {}


# ---------------------------------------------------------------------------------------------------- restarts


@pytest.mark.parametrize("method", METHODS)
def test_a_site_with_a_store_keeps_its_state_over_restarts_between_all_messages(method: str, tmp_path: Path) -> None:
    """As under ``flwr run``, where a site's agent is made anew for every message, but for the secrets of a round."""
    federation = federation_of("strict", method, "fedadam", rounds=4)

    def make(site: str) -> SiteAgent:
        return agent_of(federation, site, store=site_store(tmp_path / f"{site}.db"))

    run = VerifiedRun(federation, make)

    def restarting(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            memory = run.agents["alpha"].memory
            run.restart("alpha")
            if memory is not None:
                run.agents["alpha"].memory = memory
            return honest(request)

        return handle

    result = run.run({"alpha": restarting})
    assert run.is_sound(result)
    assert result.apart == {}
    assert sum(site == "alpha" for site, _, _ in run.compared) == 4


def test_a_restart_that_loses_a_round_needs_no_state_from_others(tmp_path: Path) -> None:
    federation = federation_of("resilient", "ffa", "fedavg", num_sites=5, rounds=4)
    run = VerifiedRun(federation, lambda s: agent_of(federation, s, store=site_store(tmp_path / f"{s}.db")))

    def restarting(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if type_of(request) == pb.UNMASK:
                run.restart("alpha")
            return honest(request)

        return handle

    result = run.run({"alpha": restarting})
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_site_whose_stored_copy_is_spoiled_refuses_and_goes_on_with_the_others_word(tmp_path: Path) -> None:
    federation = federation_of("resilient", "ffa", "fedadam", num_sites=5, rounds=6)
    run = VerifiedRun(federation, lambda s: agent_of(federation, s, store=site_store(tmp_path / f"{s}.db")))

    def spoiling(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if type_of(request) == pb.TRAIN and at_position(3)(request):
                (model,) = (tmp_path / "alpha.db-models").iterdir()
                model.write_bytes(bytes(model.stat().st_size))
                memory = run.agents["alpha"].memory
                run.restart("alpha")
                assert memory is not None
                run.agents["alpha"].memory = memory
            return honest(request)

        return handle

    result = run.run({"alpha": spoiling})
    assert result.rounds[2].dropped == {"alpha": "MODEL_MISMATCH"}
    assert run.is_sound(result)
    assert result.apart == {}
    assert ("alpha", 6, True) in run.compared


# ---------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("method", ["ffa", "alternate", "naive"])
def test_train_carries_four_bytes_a_trained_coordinate(method: str) -> None:
    vectors: dict[int, int] = {}

    def weigh(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            envelope = pb.Envelope.FromString(request)
            if envelope.type == pb.TRAIN:
                vectors[pb.Train.FromString(envelope.body).header.round] = len(envelope.vector)
            return honest(request)

        return handle

    federation = federation_of("resilient", method, "fedadam")
    federation.run({"alpha": weigh})
    layout = federation.plan.layout
    sizes = {n: 4 * num_coordinates(trained_layout(federation.plan.lora.aggregation, layout, n)) for n in (1, 2, 3)}
    assert vectors == {1: 0, 2: sizes[1], 3: sizes[2], 4: sizes[3]}


def test_only_a_site_that_was_away_is_sent_a_state() -> None:
    lengths: list[tuple[str, int, int]] = []

    def weigh(site: str) -> Wrap:
        def wrap(honest: Handler) -> Handler:
            def handle(request: bytes) -> bytes:
                envelope = pb.Envelope.FromString(request)
                if envelope.type == pb.TRAIN:
                    number = pb.Train.FromString(envelope.body).header.round
                    lengths.append((site, number, len(envelope.vector)))
                return honest(request)

            return handle

        return wrap

    federation = federation_of("resilient", "ffa", "fedadam", num_sites=5, rounds=5)
    gone = both(lost(pb.TRAIN, 2), weigh("beta"))
    federation.run({"alpha": weigh("alpha"), "beta": gone})
    of_sum = 4 * 6
    assert {size for site, number, size in lengths if site == "alpha" and number > 1} == {of_sum}
    found = {number: size - of_sum for site, number, size in lengths if site == "beta" and number > 1}
    # It has the first state from the seed, so in the second round nothing is sent to it either.
    assert found == {2: 0, 4: state_num_bytes(federation.plan, 2), 5: 0}
