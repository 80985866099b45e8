"""One site that means ill cannot end a run for the others where the protocol leaves them a way, and a coordinator that
means ill cannot pick its cohort."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fedward.common.config import COORDINATOR, RunPlan
from fedward.common.errors import RunError
from fedward.common.identity import Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.run_terms import agreed_floors, run_terms
from fedward.common.secagg import statements
from fedward.common.secagg.bundles import Bundle
from fedward.common.secagg.terms import Terms
from fedward.server import masked_rounds
from fedward.server.grid import Delivery, Post
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import Wrap, identity_of, silent
from tests.masked_federation import MASKED, NAMES, POLICY, WITHOUT_DP, lost, masked_federation, on
from tests.verified_federation import both

LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
]


def redealt(change: Callable[[pb.Bundle], object], site: str = "delta") -> Wrap:
    """The site's bundles, changed and signed again by itself."""

    def spoil(body: Any) -> None:  # noqa: ANN401 - each reply that holds a dealing
        part = body.dealing if isinstance(body, pb.PrekeyReply) else body.next
        if body.HasField("dealing" if isinstance(body, pb.PrekeyReply) else "next"):
            change(part.bundle)
            bundle = Bundle.from_wire(site, part.bundle)
            part.bundle.signature = statements.sign(identity_of(site), "BUNDLE", bundle.digest())

    return changing(spoil, site)


def changing(spoil: Callable[[Any], object], site: str = "delta") -> Wrap:
    """The site's replies of masked rounds, changed and signed again by itself."""

    def wrap(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            raw = honest(request)
            envelope = pb.Envelope.FromString(raw)
            if envelope.type not in (pb.PREKEY_REPLY, pb.TRAIN_REPLY, pb.CONFIRM_REPLY, pb.UNMASK_REPLY):
                return raw
            body: Any = codec.TYPES[envelope.type].FromString(envelope.body)
            spoil(body)
            return codec.seal(identity_of(site), body, vector=envelope.vector)

        return handle

    return wrap


def set_key(key: bytes) -> Callable[[pb.Bundle], object]:
    return lambda bundle: setattr(bundle, "mask_key", key)


@pytest.mark.parametrize("profile", MASKED)
def test_a_mask_key_of_low_order_costs_its_site_its_place_and_nobody_else_a_round(profile: str) -> None:
    federation = masked_federation(profile, 5, rounds=2, privacy=WITHOUT_DP)
    result = federation.run({"delta": redealt(set_key(LOW_ORDER[2]))})
    assert [record.dropped.get("delta") for record in result.rounds] == ["KEY_INVALID"] * 2
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 4), (0, 4)]


def test_complaints_about_everybody_do_not_leave_everybody_out_of_the_retry() -> None:
    def complain(body: Any) -> None:  # noqa: ANN401
        if isinstance(body, pb.TrainReply) and body.header.attempt == 0:
            body.complaints[:] = sorted({"alpha", "beta", "gamma", "epsilon"})

    federation = masked_federation("resilient", 5, rounds=1, privacy=WITHOUT_DP)
    lost = on(
        pb.TRAIN, silent, at=lambda raw: pb.Train.FromString(pb.Envelope.FromString(raw).body).header.attempt == 0
    )
    (record,) = federation.run({"delta": changing(complain), "beta": lost}).rounds
    assert record.attempt == 1


def test_false_shares_that_cannot_be_told_from_true_ones_do_not_leave_their_dealers_out() -> None:
    def lie(body: Any) -> None:  # noqa: ANN401
        if isinstance(body, pb.UnmaskReply) and body.header.attempt == 0:
            body.seed_shares[:] = [bytes(33)] * len(body.seed_shares)

    def first(raw: bytes) -> bool:
        return pb.Unmask.FromString(pb.Envelope.FromString(raw).body).header.attempt == 0

    federation = masked_federation("resilient", 4, rounds=1, privacy=WITHOUT_DP)
    (record,) = federation.run({"delta": changing(lie), "beta": on(pb.UNMASK, silent, at=first)}).rounds
    assert record.attempt == 1


# ---------------------------------------------------------------------------------------------------- small cohorts


def test_a_coordinator_cannot_pick_one_site_and_the_two_accomplices_that_ten_sites_reckon_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fifth of ten sites may collude: two, who with one more make a cohort of three."""

    def careless(plan: RunPlan, position: codec.Position, roster: Roster, **parts: Any) -> Terms:  # noqa: ANN401
        return run_terms(plan, position, roster, floors=replace(agreed_floors(plan, roster), num_sites=0), **parts)

    monkeypatch.setattr(masked_rounds, "run_terms", careless)
    federation = masked_federation("strict", 10, rounds=1, privacy=WITHOUT_DP)
    left_out = {site: on(pb.PREKEY, silent) for site in NAMES[3:]}
    with pytest.raises(RunError, match=r"alpha: HONEST_FLOOR"):
        federation.run(left_out)
    assert not federation.trainers["alpha"].calls


def test_an_honest_coordinator_does_not_ask_for_a_sum_of_too_few_honest_sites() -> None:
    federation = masked_federation("strict", 10, rounds=1, privacy=WITHOUT_DP)
    with pytest.raises(RunError, match=r"the cohort: HONEST_FLOOR"):
        federation.run({site: on(pb.PREKEY, silent) for site in NAMES[3:]})
    again = masked_federation("strict", 10, rounds=1, privacy=WITHOUT_DP)
    assert len(again.run({site: on(pb.PREKEY, silent) for site in NAMES[4:]}).rounds[0].survivors) == 4


def test_a_plan_that_reckons_with_fewer_accomplices_than_usual_needs_the_sites_consent() -> None:
    careless: dict[str, Any] = {"secagg": {"assumed_colluders": 0}, "rounds": 1, "privacy": WITHOUT_DP}
    with pytest.raises(RunError, match=r"0 sites accept.*HONEST_FLOOR/honest_floor"):
        masked_federation("strict", 10, **careless).run()
    consenting = POLICY.model_copy(update={"assumed_colluders": 0})
    assert masked_federation("strict", 10, policy=consenting, **careless).run().rounds


# ---------------------------------------------------------------------------------------------------- bad vectors


@pytest.mark.parametrize("secagg", [{}, {"late_cohort": True}], ids=["strict", "strict, late cohort"])
@pytest.mark.parametrize("code", ["BAD_VECTOR", "DIGEST_MISMATCH", "BAD_ENCODING"])
def test_a_site_that_sends_what_is_no_vector_is_left_out_of_the_retry(code: str, secagg: dict[str, object]) -> None:
    def spoil(body: Any) -> None:  # noqa: ANN401
        if isinstance(body, pb.TrainReply) and code == "BAD_ENCODING":
            body.vector_hash = bytes(32)
        elif isinstance(body, pb.TrainReply) and code == "BAD_VECTOR":
            body.proof = bytes(64)
        elif isinstance(body, pb.TrainReply):
            body.cohort_digest = bytes(32)

    federation = masked_federation("strict", 4, rounds=1, secagg=secagg, privacy=WITHOUT_DP)
    (record,) = federation.run({"delta": changing(spoil)}).rounds
    assert (record.attempt, record.survivors) == (1, ("alpha", "beta", "gamma"))


# ---------------------------------------------------------------------------------------------------- void attempts


def refusing(site: str, code: str) -> Wrap:
    """A site that gives bundles, and refuses every ``Train`` from the second round on."""

    def refuse(request: bytes, honest: Handler) -> bytes:
        key = identity_of(COORDINATOR).public_key
        opened = codec.open_message(request, pb.Train, sender=COORDINATOR, public_key=key)
        if opened.position.round_number < 2:
            return honest(request)
        header = opened.position.header(site)
        return codec.seal(identity_of(site), pb.Refusal(header=header, request_hash=opened.body_hash, code=code))

    return on(pb.TRAIN, refuse)


@pytest.mark.parametrize("code", ["BUDGET_REFUSED", "ABSTAIN", "MODEL_MISMATCH", "PREKEY_UNKNOWN"])
def test_a_site_that_never_trains_again_voids_fewer_and_fewer_strict_attempts(code: str) -> None:
    """Nor does it end the run: its budget is spent, say, and the others' would be at twice the pace."""
    federation = masked_federation("strict", rounds=12, privacy=WITHOUT_DP)
    result = federation.run({"delta": refusing("delta", code)})
    assert [record.round_number for record in result.rounds if record.attempt] == [2, 3, 5, 9]
    assert [record.dropped for record in result.rounds] == [{}, *[{"delta": code}] * 11]


def test_a_site_that_is_back_is_asked_in_every_round_again() -> None:
    federation = masked_federation("strict", rounds=8, privacy=WITHOUT_DP)
    gone = [lost(pb.TRAIN, number) for number in (2, 3)]
    result = federation.run({"delta": both(*gone, lost(pb.TRAIN, 6))})
    assert [record.round_number for record in result.rounds if record.attempt] == [2, 3, 6]
    assert ["delta" in record.survivors for record in result.rounds] == [True, *[False] * 3, True, False, True, True]


def test_a_late_cohort_does_not_ask_a_site_to_train_that_it_goes_without() -> None:
    federation = masked_federation("strict", rounds=1, privacy=WITHOUT_DP, secagg={"late_cohort": True})
    (record,) = federation.run({"delta": lost(pb.MASK, 1, 0)}).rounds
    assert (record.attempt, record.dropped) == (1, {"delta": "TRANSPORT:client_app_raised"})
    assert {site: len(trainer.calls) for site, trainer in federation.trainers.items()} == {
        "alpha": 2,
        "beta": 2,
        "gamma": 2,
        "delta": 1,
    }


class AtOnceGrid(MemoryGrid):
    """Delivers all replies of a trip at once."""

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        return tuple(found for message_id in message_ids for found in super(AtOnceGrid, self).pull([message_id]))


def test_a_vector_that_comes_when_the_attempt_is_void_already_is_no_failure_of_its_site() -> None:
    federation = masked_federation("strict", 5, rounds=2, privacy=WITHOUT_DP)
    grid = AtOnceGrid(federation.handlers({"alpha": lost(pb.TRAIN, 2)}))
    result = federation.loop(grid).run()
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 5), (1, 4)]
    assert result.rounds[1].dropped == {"alpha": "TRANSPORT:client_app_raised"}


# ------------------------------------------------------------------------------------------- what sites do meanwhile


class BusyGrid(MemoryGrid):
    """Its sites do all that they are asked, whether or not anybody waits for their answer, as sites on a network do."""

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        ids = super().push(posts)
        waiting = {message_id for message_id in ids if message_id is not None}
        while waiting:
            for delivery in super().pull(tuple(sorted(waiting))):
                self._done[delivery.message_id] = delivery
                waiting.discard(delivery.message_id)
        return ids

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        known = [message_id for message_id in self._done if message_id in message_ids]
        return (self._done.pop(known[0]),) if known else ()

    @property
    def _done(self) -> dict[str, Delivery]:
        return self.__dict__.setdefault("done", {})  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(4))
def test_a_void_strict_attempt_costs_the_next_round_nothing(seed: int) -> None:
    """The others have trained too, and have made their one bundle for the next round: it must not be lost."""
    federation = masked_federation("strict", rounds=4, privacy=WITHOUT_DP)
    grid = BusyGrid(federation.handlers({"delta": lost(pb.TRAIN, 2)}), seed=seed)
    result = federation.loop(grid).run()
    assert [(record.attempt, record.trips) for record in result.rounds] == [(0, 2), (1, 3), (0, 2), (0, 1)]
    assert [record.dropped.get("delta") for record in result.rounds][2:] == [None, None]


@pytest.mark.parametrize("profile", ["resilient", "resilient-malicious"])
def test_an_attempt_that_is_void_for_want_of_shares_costs_the_next_round_nothing(profile: str) -> None:
    federation = masked_federation(profile, 5, rounds=2, privacy=WITHOUT_DP)
    gone = {site: lost(pb.UNMASK, 1, 0) for site in ("alpha", "beta")}
    result = federation.loop(BusyGrid(federation.handlers(gone))).run()
    assert [record.attempt for record in result.rounds] == [1, 0]
    assert set(result.rounds[1].survivors) >= {"gamma", "delta", "epsilon"}


def test_several_sites_whose_budgets_are_spent_at_once_cost_one_attempt_and_not_the_run() -> None:
    federation = masked_federation("strict", 6, rounds=4, privacy=WITHOUT_DP)
    spent = {site: refusing(site, "BUDGET_REFUSED") for site in ("beta", "delta", "zeta")}
    result = federation.loop(BusyGrid(federation.handlers(spent))).run()
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 6), (1, 3), (1, 3), (0, 3)]


def test_a_site_that_keeps_its_shares_back_does_not_have_one_left_out_that_was_lost_before() -> None:
    """Four sites need three that give shares: the lost one was no reason, and is wanted for the retry."""
    federation = masked_federation("resilient", 4, rounds=1, privacy=WITHOUT_DP)
    (record,) = federation.run({"beta": lost(pb.TRAIN, 1, 0), "delta": lost(pb.UNMASK, 1)}).rounds
    assert (record.attempt, record.survivors) == (1, ("alpha", "beta", "gamma"))


def test_a_late_cohort_asks_a_site_that_rests_where_it_cannot_do_without() -> None:
    federation = masked_federation("strict", rounds=4, privacy=WITHOUT_DP, secagg={"late_cohort": True})
    rests = both(lost(pb.MASK, 2), lost(pb.MASK, 3))
    result = federation.run({"delta": rests, "beta": lost(pb.TRAIN, 4)})
    assert [record.attempt for record in result.rounds] == [0, 1, 1, 1]
    assert result.rounds[3].survivors == ("alpha", "delta", "gamma")
