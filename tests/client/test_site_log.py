"""What a site's agent says in its log of a run: positions and codes, in the order they were made durable."""

from __future__ import annotations

import pytest

from fedward.client import site_log
from fedward.common.errors import TrainingError
from fedward.common.logs.logger import Event, Log
from fedward.common.secagg.journal import EntryKind, JournalEntry
from tests.federation_simulator import Federation, offer_of_plan
from tests.log_sinks import CANARY, RUN, hits, text_of
from tests.masked_federation import agent_of, masked_federation


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """A log of one site alone: the others of a simulation share the process's."""
    own = Log()
    monkeypatch.setattr("fedward.client.site_log.log", own)
    monkeypatch.setattr("fedward.client.site.log", own)
    return own


def said(log: Log) -> list[str]:
    return [_line(event) for event in log.waiting]


def _line(event: Event) -> str:
    fields = event.fields
    words = [f"{fields['round']}/{fields['attempt']}"] if "round" in fields else []
    return " ".join([event.schema.name, *words, *(str(fields[name]) for name in ("code", "rule") if name in fields)])


def test_run_without_masks_is_accepted_sent_and_ended(log: Log) -> None:
    federation = Federation()
    agent = federation.joined()
    with log.strict():
        agent.handle(federation.train(1))
        agent.handle(federation.train(1))  # once more: answered from memory
        agent.handle(federation.train(2))
        agent.handle(federation.end())
    assert said(log) == ["plan.accepted", "round.sent 1/0", "round.sent 2/0", "run.ended"]
    assert log.waiting[0].fields == {"run": federation.run_id.hex(), "plan": federation.position().plan_digest.hex()}


def test_masked_round_is_told_by_what_is_durable(log: Log) -> None:
    federation = masked_federation("resilient", rounds=1)
    agent = agent_of(federation)
    with log.strict():
        federation.run({"alpha": lambda _: agent.handle})
    mine = said(log)
    assert mine[0] == "plan.accepted"
    assert {"round.prekeyed 1/0", "round.accepted 1/0", "round.sent 1/0", "round.released 1/0", "run.ended"} <= set(
        mine
    )


def test_refusal_names_code_and_rule_and_nothing_of_the_plan(log: Log) -> None:
    federation = Federation()
    with log.strict():
        federation.agent().handle(offer_of_plan(federation, privacy={"epsilon": 50.0, "noise_multiplier": 0.4}))
    (event,) = log.waiting
    assert event.fields["code"] == "POLICY_REFUSED"
    assert set(event.fields) == {"run", "round", "attempt", "code", "rule"}


@pytest.mark.parametrize("error", [TrainingError(CANARY), ValueError(CANARY), KeyError(CANARY)])
def test_failed_training_is_its_class_and_line(log: Log, error: Exception) -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].error = error
    with log.strict():
        agent.handle(federation.train())
    assert said(log)[1:] == ["site.abstained 1/0", "request.refused 1/0 ABSTAIN"]
    fields = log.waiting[1].fields
    assert fields["error"] == type(error).__name__
    assert fields["module"] == "fedward.client.duties"
    assert hits(text_of(log)) == []


def test_what_cannot_be_read_is_refused_at_no_position(log: Log) -> None:
    with log.strict():
        Federation().agent().handle(CANARY.encode())
    assert said(log) == ["request.refused 0/0 BAD_ENCODING"]
    assert hits(text_of(log)) == []


@pytest.mark.parametrize("kind", list(EntryKind))
def test_every_kind_of_the_journal_is_told_or_left_out_on_purpose(log: Log, kind: EntryKind) -> None:
    with log.strict():
        site_log.written_down([JournalEntry(run_id=RUN, round_number=3, attempt=1, kind=kind, digest=bytes(32))])
    assert len(log.waiting) == (kind not in (EntryKind.FROZEN, EntryKind.GRAPH))
