"""What a hostile coordinator, a hostile network or a later thief of the disk would like of a site in masked rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedward.common.agreement import round_event
from fedward.common.errors import LedgerLockedError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import statements
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.prekeys import TransportKey, target_for
from tests.federation_simulator import identity_of, refusal_of, reply_of
from tests.masked_federation import agent_of, at_position, masked_federation, stopped_at
from tests.site_stores import files_of, sealed_state, site_store, unlocked_store

LATE = {"late_cohort": True}


def opened(raw: bytes) -> Any:  # noqa: ANN401 - any body
    envelope = pb.Envelope.FromString(raw)
    return codec.TYPES[envelope.type].FromString(envelope.body)


# ---------------------------------------------------------------------------------------------------- the disk


def test_after_the_run_its_transport_key_is_nowhere_in_the_files(tmp_path: Path) -> None:
    federation = masked_federation("resilient", rounds=3)
    agent = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    stopped_at(federation, pb.UNMASK, agent, at=at_position(3))
    assert agent._masked is not None
    secret = agent._masked.transport.secret.hex().encode()

    ledger = tmp_path / "alpha.db"
    assert sealed_state(ledger)[-64:] in files_of(tmp_path)
    before = sealed_state(ledger)
    assert secret in site_store(ledger).load()  # there, and in no file in the clear
    assert secret not in files_of(tmp_path)
    again = agent_of(federation, store=site_store(ledger))
    assert reply_of(again.handle(federation.end()), pb.RunEndReply)
    # Sealed or not: a key that is found later opens nothing of it.
    assert before[-64:] not in files_of(tmp_path)
    assert secret not in site_store(ledger).load()


def test_a_new_run_leaves_nothing_of_the_old_ones_transport_key(tmp_path: Path) -> None:
    federation = masked_federation("resilient")
    agent = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    stopped_at(federation, pb.TRAIN, agent)
    assert agent._masked is not None
    secret = agent._masked.transport.secret.hex().encode()
    before = sealed_state(tmp_path / "alpha.db")
    federation.run_id = b"\x22" * 16
    assert reply_of(agent.handle(federation.offer()), pb.PlanAccept)
    found = files_of(tmp_path)
    assert before[-64:] not in found
    assert secret not in found


def test_of_two_agents_on_one_store_the_second_cannot_undo_the_firsts_charges(tmp_path: Path) -> None:
    federation = masked_federation("resilient", rounds=3)
    agent = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    train = stopped_at(federation, pb.TRAIN, agent)
    # A service that is started while the old one still runs, for example.
    with pytest.raises(LedgerLockedError):
        unlocked_store(tmp_path / "alpha.db")
    # And by someone who takes the lock away.
    (tmp_path / "alpha.lock").unlink()
    other = agent_of(federation, store=unlocked_store(tmp_path / "alpha.db"))
    assert reply_of(agent.handle(train), pb.TrainReply)
    assert refusal_of(other.handle(federation.end())).code == "ABSTAIN"
    other._store.close()
    again = agent_of(federation, store=site_store(tmp_path / "alpha.db"))
    assert again.history == again.accounts.of_site.history == (round_event(federation.plan),)


# ---------------------------------------------------------------------------------------------------- the network


def test_a_train_that_comes_twice_does_not_lose_what_was_trained_for_a_late_cohort() -> None:
    federation = masked_federation("strict", rounds=2, secagg=LATE)
    agent = agent_of(federation)

    def twice(request: bytes) -> bytes:
        reply = agent.handle(request)
        assert agent.handle(request) == reply
        return reply

    result = federation.run({"alpha": lambda _: twice})
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 4), (0, 4)]
    assert agent.history == (round_event(federation.plan),) * 2


# ---------------------------------------------------------------------------------------------------- members


@pytest.mark.parametrize("profile", ["strict", "resilient", "resilient-malicious"])
def test_a_member_of_the_roster_that_the_plan_does_not_name_is_a_stranger(profile: str) -> None:
    names = ("alpha", "beta", "gamma", "delta", "epsilon")
    federation = masked_federation(profile, 5, sites=[{"id": site, "nominal_units": 100} for site in names[:4]])
    agent = agent_of(federation)
    prekey = opened(stopped_at(federation, pb.PREKEY, agent))
    stranger = AgreementKey.from_secret(bytes(range(32)))
    header = prekey.header
    statement = statements.transport_statement(
        run_id=header.run_id,
        roster_hash=header.roster_hash,
        plan_digest=header.plan_digest,
        site_id="epsilon",
        transport_key=stranger.public,
    )
    signature = statements.sign(identity_of("epsilon"), "TRANSPORT", statement)
    keys = {h.site_id: TransportKey(h.transport_key, h.signature) for h in prekey.target.holders}
    keys["epsilon"] = TransportKey(stranger.public, signature)
    prekey.target.CopyFrom(target_for((1, 0), keys))
    assert refusal_of(agent.handle(federation.seal(prekey))).code == "UNKNOWN_SITE"
