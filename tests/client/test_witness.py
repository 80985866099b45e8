"""Whole runs in which every party has a ledger: heads go round, and a ledger that was rolled back is seen."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError, RunError
from fedward.common.ledger.head_entries import recorded_drafts
from fedward.common.ledger.store import Ledger
from fedward.common.ledger.trail import LedgerTrail
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.witness import CoordinatorPart, SitePart
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import identity_of, refusal_of, type_of
from tests.heads import RUN, set_of, stated
from tests.ledgers import clock
from tests.masked_federation import MASKED, masked_federation
from tests.witnessed_federation import Witnessed, witnessed

PROFILES: list[tuple[str, dict[str, Any]]] = [(profile, {}) for profile in (*MASKED, "plain_ring")] + [
    ("strict", {"secagg": {"late_cohort": True}})
]
SECOND = b"\x12" * 16


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Witnessed]]:
    """Makes federations with ledgers, and ends them."""
    found: list[Witnessed] = []

    def make(*args: Any, **changes: Any) -> Witnessed:  # noqa: ANN401
        folder = tmp_path / str(len(found))
        folder.mkdir()
        found.append(witnessed(folder, *args, **changes))
        return found[-1]

    yield make
    for federation in found:
        federation.close()


@pytest.mark.parametrize(("profile", "changes"), PROFILES, ids=["strict", "resilient", "malicious", "plain", "late"])
def test_heads_go_round_without_a_further_trip_and_without_a_trace_in_the_adapter(
    made: Callable[..., Witnessed], profile: str, changes: dict[str, Any]
) -> None:
    with_ledgers, without = made(profile, 4, **changes), masked_federation(profile, 4, **changes)
    result, plain = with_ledgers.run(), without.run()
    assert [record.trips for record in result.rounds] == [record.trips for record in plain.rounds]
    assert result.model_digest == plain.model_digest
    assert all(np.array_equal(result.adapter[name], plain.adapter[name]) for name in plain.adapter)
    assert not result.apart
    for site in with_ledgers.agents:
        kinds = Counter(with_ledgers.kinds(site))
        assert kinds["heads.recorded"] >= 3
        assert kinds["heads.confirmed"] >= 2
    assert Counter(with_ledgers.kinds(COORDINATOR))["heads.confirmed"] >= 3


def test_a_daemon_that_starts_again_is_vouched_for_by_its_own_chain(made: Callable[..., Witnessed]) -> None:
    federation = made()
    federation.run()
    federation.start("alpha")
    result = federation.run(run_id=SECOND)
    assert all("alpha" in record.survivors for record in result.rounds)


def test_a_site_that_starts_again_within_a_run_comes_back(made: Callable[..., Witnessed]) -> None:
    federation = made("resilient", 4, rounds=5)

    def restarted(name: str, handler: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            body = pb.Envelope.FromString(request)
            is_now = body.type == pb.TRAIN and pb.Train.FromString(body.body).header.round == 2
            if name == "alpha" and is_now and not restarts:
                restarts.append(1)
                store = federation.agents["alpha"]._store
                federation.start("alpha", store=store)
            return handler(request)

        return handle

    restarts = list[int]()
    result = federation.run(around=restarted)
    missed = [record.round_number for record in result.rounds if "alpha" not in record.survivors]
    assert missed == [2, 3]
    assert result.rounds[-1].survivors == tuple(sorted(federation.agents))


def test_two_stories_that_the_chain_holds_keep_a_run_void_behind_a_start(made: Callable[..., Witnessed]) -> None:
    federation = made()
    trail = LedgerTrail(federation.ledgers["alpha"])
    for number in (1, 2):
        trail.append(recorded_drafts(set_of(1, stated("beta", number))))
    federation.start("alpha")
    witness = federation.agents["alpha"]._witness
    assert witness is not None
    assert witness.state.void_runs == {RUN}
    assert witness.state.recorded["beta"] == stated("beta", 1)


def test_a_second_story_is_one_also_behind_a_start(made: Callable[..., Witnessed]) -> None:
    federation = made()
    trail = LedgerTrail(federation.ledgers["alpha"])
    trail.append(recorded_drafts(set_of(1, stated("beta", 1))))
    federation.start("alpha")
    witness = federation.agents["alpha"]._witness
    assert witness is not None
    part = CoordinatorPart(heads=set_of(1, stated("beta", 2)))
    state, drafts = witness.state.hear(part, RUN, trail.holds)
    assert [draft.kind for draft in drafts] == ["heads.recorded"]
    with pytest.raises(ProtocolError, match="two stories"):
        state.require_sound(RUN)


# ---------------------------------------------------------------------------------------------------- rollback


def rolled_back(federation: Witnessed, site: str = "alpha") -> None:
    """A run, and then the site's file of before it."""
    federation.stop(site)
    old = shutil.copy(federation.path(site), federation.path(site).with_suffix(".old"))
    federation.start(site)
    federation.run()
    federation.stop(site)
    shutil.copy(old, federation.path(site))
    federation.start(site)


def test_an_old_file_put_back_between_runs_is_seen_before_anything_is_charged(made: Callable[..., Witnessed]) -> None:
    federation = made()
    rolled_back(federation)
    calls = len(federation.federation.trainers["alpha"].calls)
    result = federation.run(run_id=SECOND)
    assert result.rounds[0].dropped["alpha"] == "LEDGER_ROLLED_BACK"
    assert all("alpha" not in record.survivors for record in result.rounds)
    assert len(federation.federation.trainers["alpha"].calls) == calls
    assert federation.agents["alpha"].history == ()


def test_a_site_that_was_rolled_back_answers_nothing_more(made: Callable[..., Witnessed]) -> None:
    federation = made()
    rolled_back(federation)
    federation.run(run_id=SECOND)
    refused = refusal_of(federation.agents["alpha"].handle(federation.federation.offer()))
    assert refused.code == "LEDGER_ROLLED_BACK"


def test_a_ledger_made_anew_is_seen(made: Callable[..., Witnessed]) -> None:
    federation = made()
    federation.run()
    federation.stop("alpha").unlink()
    Ledger.create(federation.path("alpha"), identity=identity_of("alpha"), site_id="alpha", clock=clock).close()
    federation.start("alpha")
    result = federation.run(run_id=SECOND)
    assert result.rounds[0].dropped["alpha"] == "LEDGER_ROLLED_BACK"


# ---------------------------------------------------------------------------------------------------- a hostile server

Forge = Callable[[pb.Witness], object]


def forged(kinds: set[int], forge: Forge, *, site: str = "alpha") -> Callable[[str, Handler], Handler]:
    """What comes beside some requests to a site, changed."""

    def around(name: str, handler: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if name != site or type_of(request) not in kinds:
                return handler(request)
            envelope = pb.Envelope.FromString(request)
            part = pb.Witness.FromString(envelope.witness)
            forge(part)
            bare = request[: len(request) - len(tail_of(envelope.witness))]
            return handler(codec.beside(bare, part.SerializeToString(deterministic=True)))

        return handle

    return around


def tail_of(witness: bytes) -> bytes:
    """The field of a witness part as it stands at a frame's end."""
    return pb.Envelope(witness=witness).SerializeToString(deterministic=True)


def no_answers(part: pb.Witness) -> None:
    part.ClearField("answers")


def test_answers_that_are_withheld_are_missed_and_nothing_is_charged(made: Callable[..., Witnessed]) -> None:
    federation = made()
    result = federation.run(around=forged({pb.TRAIN, pb.PREKEY, pb.UNMASK}, no_answers))
    assert result.rounds[0].dropped["alpha"] == "WITNESS_MISSING/witness"
    assert not federation.federation.trainers["alpha"].calls
    assert federation.agents["alpha"].history == ()


def test_answers_of_an_earlier_start_count_for_nothing(made: Callable[..., Witnessed]) -> None:
    federation = made()
    old: list[pb.Witness] = []
    federation.run(around=forged({pb.TRAIN}, lambda part: old.append(pb.Witness.FromString(part.SerializeToString()))))
    federation.start("alpha")

    def replay(part: pb.Witness) -> None:
        part.ClearField("answers")
        part.answers.extend(old[0].answers)

    assert old[0].answers
    result = federation.run(run_id=SECOND, around=forged({pb.TRAIN}, replay))
    assert result.rounds[0].dropped["alpha"] == "WITNESS_MISSING/witness"


def drop_own(part: pb.Witness) -> None:
    kept = [one for one in part.heads.statements if one.site_id != "alpha"]
    part.heads.ClearField("statements")
    part.heads.statements.extend(kept)


def alter_other(part: pb.Witness) -> None:
    next(one for one in part.heads.statements if one.site_id == "beta").head = bytes(32)


def no_set(part: pb.Witness) -> None:
    part.ClearField("heads")


FORGERIES: list[tuple[str, Forge, str]] = [
    ("the set withheld", no_set, "WITNESS_MISSING/witness"),
    ("unsigned, without the site's statement", drop_own, "BAD_SIGNATURE"),
    ("unsigned, with another's altered", alter_other, "BAD_SIGNATURE"),
]


@pytest.mark.parametrize(("forge", "code"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES])
def test_a_forged_set_is_refused_and_no_share_is_given(made: Callable[..., Witnessed], forge: Forge, code: str) -> None:
    federation = made("resilient", 4)
    released: list[int] = []

    def watched(name: str, handler: Handler) -> Handler:
        forging = forged({pb.UNMASK}, forge)(name, handler)

        def handle(request: bytes) -> bytes:
            reply = forging(request)
            if name == "alpha" and type_of(request) == pb.UNMASK:
                released.append(type_of(reply))
                if type_of(reply) == pb.REFUSAL:
                    refusal = refusal_of(reply)
                    codes.append("/".join(filter(None, (refusal.code, refusal.rule))))
            return reply

        return handle

    codes: list[str] = []
    try:
        federation.run(around=watched)
    except RunError:
        codes.append("void")
    assert codes[0] == code
    assert pb.UNMASK_REPLY not in released


def test_what_lies_beside_is_a_sites_or_the_coordinators(made: Callable[..., Witnessed]) -> None:
    federation = made()
    seen: Counter[str] = Counter()

    def around(_: str, handler: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = handler(request)
            CoordinatorPart.from_bytes(codec.witness_of(request))
            part = SitePart.from_bytes(codec.witness_of(reply))
            seen[pb.MessageType.Name(type_of(reply))] += part.head is not None
            return reply

        return handle

    federation.run(around=around)
    assert +seen == Counter(TRAIN_REPLY=12, UNMASK_REPLY=12)
