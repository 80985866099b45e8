"""Sites that lose their model, or fail to write it down, cost a round at most: nobody's run ends by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedward.client.ledger_store import MemoryStore, StateWriter
from fedward.client.replica import Copy
from fedward.client.site import SiteAgent
from fedward.common.errors import RunError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.journal import JournalEntry
from fedward.server import published
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import Federation
from tests.masked_federation import POLICY, WITHOUT_DP, agent_of, at_position, lost, masked_federation, on
from tests.site_stores import site_store
from tests.verified_federation import VerifiedRun, both


def forgetting(run: VerifiedRun, site: str, round_number: int) -> Callable[[Handler], Handler]:
    """A site whose stored model is gone when it is asked to train, as after an old backup was put back."""

    def forget(request: bytes, honest: Handler) -> bytes:
        replica = run.agents[site]._replica
        assert replica is not None
        replica.keep(Copy.start(run.federation.plan))
        return honest(request)

    return on(pb.TRAIN, forget, at=at_position(round_number, 0))


@pytest.mark.parametrize("optimizer", ["fedavg", "fedadam"])
@pytest.mark.parametrize(("attempts", "found"), [(2, 3), (3, 4)])
def test_a_strict_run_goes_on_with_a_site_that_has_lost_its_model(optimizer: str, attempts: int, found: int) -> None:
    """It is given the state with the next attempt, but for the last one, which is no time to try."""
    federation = masked_federation(
        "strict",
        policy=POLICY.model_copy(update={"max_attempts": attempts}),
        rounds=4,
        privacy=WITHOUT_DP,
        server={"optimizer": optimizer},
        secagg={"max_attempts": attempts},
    )
    run = VerifiedRun(federation)
    result = run.run({"alpha": forgetting(run, "alpha", 3)})
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 4), (0, 4), (1, found), (0, 4)]
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_late_cohort_that_is_void_is_tried_again_with_a_site_that_had_lost_its_model() -> None:
    federation = masked_federation("strict", rounds=4, privacy=WITHOUT_DP, secagg={"late_cohort": True})
    run = VerifiedRun(federation)
    result = run.run({"alpha": forgetting(run, "alpha", 3), "beta": lost(pb.MASK, 3, 0)})
    # The retry goes without beta, whose vector was lost.
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 4), (0, 4), (1, 3), (0, 4)]
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_strict_run_goes_on_without_a_site_whose_state_is_too_long_to_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = masked_federation("strict", rounds=5, privacy=WITHOUT_DP)
    monkeypatch.setattr(published, "MAX_VECTOR_BYTES", 4 * 6)
    run = VerifiedRun(federation)
    result = run.run({"alpha": forgetting(run, "alpha", 3)})
    assert [record.attempt for record in result.rounds] == [0, 0, 1, 1, 0]
    assert [record.dropped.get("alpha") for record in result.rounds] == [None, None, *["MODEL_MISMATCH"] * 3]
    assert run.is_sound(result)
    assert result.apart == {"alpha": "MODEL_MISMATCH"}


def test_a_site_whose_disk_has_turned_one_bit_of_its_model_takes_the_others_word_for_it(tmp_path: Path) -> None:
    federation = masked_federation("resilient", 5, rounds=6, privacy=WITHOUT_DP)
    run = VerifiedRun(federation, lambda s: agent_of(federation, s, store=site_store(tmp_path / f"{s}.db")))

    def turn(request: bytes, honest: Handler) -> bytes:
        (model,) = (tmp_path / "alpha.db-models").iterdir()
        raw = model.read_bytes()
        model.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        run.restart("alpha")
        return honest(request)

    result = run.run({"alpha": on(pb.TRAIN, turn, at=at_position(3))})
    assert run.is_sound(result)
    assert result.apart == {}
    assert ("alpha", 6, True) in run.compared


class FullStore(MemoryStore):
    """A store that has no room for a while."""

    is_full = False

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter, **more: Any) -> None:  # noqa: ANN401
        if self.is_full:
            raise OSError("no space left")
        super().commit(entries, state, **more)


def test_a_model_that_could_not_be_written_down_is_not_the_next_runs() -> None:
    store = FullStore()
    federation = masked_federation("resilient", rounds=2, privacy=WITHOUT_DP)
    agent = agent_of(federation, store=store)

    def make(made_for: Federation) -> Callable[[str], SiteAgent]:
        return lambda site: agent if site == "alpha" else agent_of(made_for, site)

    def full(request: bytes, honest: Handler) -> bytes:
        store.is_full = True
        try:
            return honest(request)
        finally:
            store.is_full = False

    first = VerifiedRun(federation, make(federation))
    assert "alpha" not in first.run({"alpha": on(pb.RUN_END, full)}).events
    again = masked_federation("resilient", rounds=2, privacy=WITHOUT_DP)
    again.run_id = b"\x22" * 16
    run = VerifiedRun(again, make(again))
    result = run.run()
    assert [record.dropped for record in result.rounds] == [{}, {}]
    assert run.is_sound(result)
    assert result.apart == {}


def test_a_site_that_tries_once_believes_what_the_others_came_to_in_a_second_attempt() -> None:
    """Else it would void every strict round from there on, at the others' expense."""
    federation = masked_federation("strict", 5, rounds=4, privacy=WITHOUT_DP, secagg={"max_attempts": 3})

    def make(site: str) -> SiteAgent:
        federation.policy = POLICY.model_copy(update={"max_attempts": 1}) if site == "alpha" else POLICY
        return agent_of(federation, site)

    run = VerifiedRun(federation, make)
    result = run.run({"beta": lost(pb.TRAIN, 2, 0)})
    assert [record.attempt for record in result.rounds] == [0, 1, 0, 0]
    lost_beta = "TRANSPORT:client_app_raised"
    assert [record.dropped for record in result.rounds] == [{}, {"alpha": "ATTEMPT_LIMIT", "beta": lost_beta}, {}, {}]
    assert run.is_sound(result)


def test_a_state_that_is_too_long_for_a_message_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site would refuse the message unread; without the state it refuses too, and nothing was sent in vain."""
    federation = masked_federation("resilient", 5, rounds=6, privacy=WITHOUT_DP)
    lengths: list[int] = []

    def weigh(request: bytes, honest: Handler) -> bytes:
        lengths.append(len(pb.Envelope.FromString(request).vector))
        return honest(request)

    gone = both(lost(pb.TRAIN, 2), on(pb.TRAIN, weigh))
    of_sum = 4 * 6
    monkeypatch.setattr(published, "MAX_VECTOR_BYTES", of_sum)
    result = VerifiedRun(federation).run({"beta": gone})
    assert len(result.rounds) == 6
    assert set(lengths) == {0, of_sum}
    assert "MODEL_MISMATCH" in {record.dropped.get("beta") for record in result.rounds}


def test_a_run_that_declares_too_few_patients_is_told_why_its_sums_are_refused() -> None:
    federation = masked_federation("resilient", secagg={"sum_norm_bound": 1e-3}, privacy=WITHOUT_DP, rounds=1)
    with pytest.raises(RunError, match="SUM_IMPLAUSIBLE") as caught:
        federation.run()
    assert "nominal_units" in caught.value.advice
