"""Whole runs under masks: the sums are those of ``plain_ring`` to the bit, whoever drops out and whenever."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedward.common.agreement import round_event
from fedward.common.errors import ConfigError, RunError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import history_from_json
from fedward.common.secagg import bundles, plain, statements
from fedward.common.secagg.journal import EntryKind, JournalEntry, MemoryJournal
from fedward.server.grid import Post
from fedward.server.rounds import RoundLoop
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import SlowGrid, Wrap, identity_of, on_train, silent
from tests.masked_federation import MASKED, WITHOUT_DP, at_position, counted, lost, masked_federation, on

LATE: dict[str, object] = {"late_cohort": True}
WAYS: list[tuple[str, dict[str, object]]] = [*((profile, {}) for profile in MASKED), ("strict", LATE)]
WAY_NAMES = [*MASKED, "strict, late cohort"]


def same_rounds(profile: str, secagg: dict[str, object], **changes: Any) -> None:  # noqa: ANN401
    """A masked and a plain run of the same plan end with the same adapter."""
    masked = masked_federation(profile, secagg=secagg, **changes).run()
    weights = {name: value for name, value in secagg.items() if name == "weights"}
    bare = masked_federation("plain_ring", secagg=weights, **changes).run()
    assert len(masked.rounds) == len(bare.rounds)
    assert masked.model_digest == bare.model_digest
    assert all(np.array_equal(masked.adapter[name], bare.adapter[name]) for name in bare.adapter)


# ---------------------------------------------------------------------------------------------------- same sums


@pytest.mark.parametrize("method", ["ffa", "fedsvd", "alternate", "naive"])
@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_masked_rounds_end_with_the_adapter_of_plain_ones(profile: str, secagg: dict[str, object], method: str) -> None:
    same_rounds(profile, secagg, lora={"aggregation": method}, privacy=WITHOUT_DP, rounds=4)


@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_private_rounds_with_equal_dice_end_alike(profile: str, secagg: dict[str, object]) -> None:
    same_rounds(profile, secagg)


@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_the_clip_that_is_found_through_masks_is_the_same(profile: str, secagg: dict[str, object]) -> None:
    same_rounds(profile, secagg, privacy={"clip_norm": "auto"})
    masked = masked_federation(profile, secagg=secagg, privacy={"clip_norm": "auto"}).run()
    assert masked.clip_norm == masked_federation("plain_ring", privacy={"clip_norm": "auto"}).run().clip_norm


@pytest.mark.parametrize(("profile", "secagg"), WAYS, ids=WAY_NAMES)
def test_declared_weights_and_mixed_ranks_go_through_masks(profile: str, secagg: dict[str, object]) -> None:
    sites = [{"id": s, "nominal_units": n} for s, n in (("alpha", 100), ("beta", 300), ("gamma", 50), ("delta", 70))]
    sites[3]["rank"] = 1
    same_rounds(profile, {**secagg, "weights": "declared"}, sites=sites)


@pytest.mark.parametrize("seed", range(5))
def test_order_in_which_sites_are_served_does_not_change_a_bit(seed: int) -> None:
    assert (
        masked_federation("resilient").run(seed=seed).model_digest == masked_federation("resilient").run().model_digest
    )


# ---------------------------------------------------------------------------------------------------- trips


@pytest.mark.parametrize(
    ("profile", "secagg", "first", "later"),
    [
        ("strict", {}, 2, 1),
        ("strict", LATE, 2, 2),
        ("resilient", {}, 3, 2),
        ("resilient-malicious", {}, 4, 3),
        ("plain_ring", {}, 1, 1),
    ],
)
def test_a_round_takes_the_trips_of_its_profile(
    profile: str, secagg: dict[str, object], first: int, later: int
) -> None:
    result = masked_federation(profile, secagg=secagg, rounds=4).run()
    assert [record.trips for record in result.rounds] == [first, later, later, later]


def test_bundles_are_asked_for_once_in_a_run_in_which_nobody_is_lost() -> None:
    seen: list[int] = []
    masked_federation("resilient", rounds=3).run({"alpha": counted(seen)})
    assert seen == [pb.PLAN_OFFER, pb.PREKEY, *[pb.TRAIN, pb.UNMASK] * 3, pb.RUN_END]


def test_record_counts_the_bytes_of_all_trips() -> None:
    down: list[int] = []
    up: list[int] = []

    def weigh(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            reply = honest(request)
            down.append(len(request))
            up.append(len(reply))
            return reply

        return handle

    federation = masked_federation("resilient", rounds=1)
    (record,) = federation.run(dict.fromkeys(federation.trainers, weigh)).rounds
    num_sites, trips = 4, 3
    own = slice(num_sites, num_sites * (1 + trips))  # all but the offer and the end
    assert record.bytes_to_site * num_sites >= sum(down[own]) > 0
    assert record.bytes_from_site * num_sites >= sum(up[own]) > 0
    assert record.bytes_to_site < sum(down[own])


# ---------------------------------------------------------------------------------------------------- lost sites


@pytest.mark.parametrize("site", ["alpha", "delta"])
@pytest.mark.parametrize("profile", ["resilient", "resilient-malicious"])
def test_a_site_lost_in_training_costs_its_share_alone(profile: str, site: str) -> None:
    wraps = {site: lost(pb.TRAIN, 2)}
    result = masked_federation(profile, rounds=2, privacy=WITHOUT_DP).run(wraps)
    bare = masked_federation("plain_ring", rounds=2, privacy=WITHOUT_DP).run(wraps)
    assert [record.attempt for record in result.rounds] == [0, 0]
    assert result.rounds[1].dropped == {site: "TRANSPORT:client_app_raised"}
    assert site not in result.rounds[1].survivors
    assert result.model_digest == bare.model_digest


def test_a_site_that_was_lost_is_left_out_once_and_comes_back() -> None:
    seen: list[int] = []
    federation = masked_federation("resilient", rounds=4)
    dies = lost(pb.TRAIN, 1)
    result = federation.run({"beta": lambda honest: counted(seen)(dies(honest))})
    assert [len(record.survivors) for record in result.rounds] == [3, 3, 4, 4]
    assert result.rounds[1].dropped == {"beta": "TRANSPORT:client_app_raised"}
    # Its bundle for the third round came beside the second one's training: no trip of its own.
    assert [record.trips for record in result.rounds] == [3, 2, 2, 2]
    assert seen.count(pb.PREKEY) == 2


def test_a_site_lost_before_the_sum_is_open_is_still_in_it() -> None:
    bare = masked_federation("plain_ring", rounds=1, privacy=WITHOUT_DP).run()
    result = masked_federation("resilient", rounds=1, privacy=WITHOUT_DP).run({"gamma": lost(pb.UNMASK, 1)})
    assert result.rounds[0].survivors == tuple(sorted(("alpha", "beta", "gamma", "delta")))
    assert result.model_digest == bare.model_digest


def test_a_site_that_missed_the_opening_is_left_out_of_the_next_cohort() -> None:
    result = masked_federation("resilient", rounds=3).run({"gamma": lost(pb.UNMASK, 1)})
    assert [len(record.survivors) for record in result.rounds] == [4, 3, 4]


def test_strict_tries_again_without_the_lost_site_with_new_batches_and_charges_both() -> None:
    federation = masked_federation("strict", rounds=1)
    dies = lost(pb.TRAIN, 1, 0)
    gone = lost(pb.PREKEY, 1, 1)
    result = federation.run({"delta": lambda honest: gone(dies(honest))})
    (record,) = result.rounds
    assert (record.attempt, record.survivors) == (1, ("alpha", "beta", "gamma"))
    assert history_from_json(result.events["alpha"]) == (round_event(federation.plan),) * 2
    assert len(federation.trainers["alpha"].calls) == 2


def test_strict_with_a_late_cohort_loses_nothing_where_a_site_fails_in_training() -> None:
    federation = masked_federation("strict", rounds=2, secagg=LATE)
    result = federation.run({"delta": lost(pb.TRAIN, 1)})
    assert [record.attempt for record in result.rounds] == [0, 0]
    assert [len(record.survivors) for record in result.rounds] == [3, 4]
    assert len(federation.trainers["alpha"].calls) == 2


def test_too_many_lost_sites_void_a_round_and_the_retry_has_all_of_them() -> None:
    federation = masked_federation("resilient", rounds=2)
    wraps = {site: lost(pb.TRAIN, 2, 0) for site in ("alpha", "beta")}
    result = federation.run(wraps)
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(0, 4), (1, 4)]


@pytest.mark.parametrize("pattern", list(itertools.product((None, pb.TRAIN, pb.UNMASK), repeat=4)))
def test_every_pattern_of_losses_gives_the_plain_sum_or_a_void_round(pattern: tuple[int | None, ...]) -> None:
    sites = ("alpha", "beta", "gamma", "delta")
    wraps = {site: lost(kind, 1) for site, kind in zip(sites, pattern, strict=True) if kind is not None}
    changes: dict[str, Any] = {"rounds": 1, "privacy": WITHOUT_DP}
    in_sum, opening = sum(kind != pb.TRAIN for kind in pattern), sum(kind is None for kind in pattern)
    federation = masked_federation("resilient", secagg={"max_attempts": 1}, **changes)
    if in_sum < 3 or opening < 3:
        with pytest.raises(RunError, match=r"round 1 was void.*ROUND_VOID"):
            federation.run(wraps)
        return
    gone = {site: on_train(silent) for site, kind in zip(sites, pattern, strict=True) if kind == pb.TRAIN}
    bare = masked_federation("plain_ring", **changes).run(gone)
    assert federation.run(wraps).model_digest == bare.model_digest


def test_open_sum_does_not_wait_out_the_time_of_a_site_that_is_slow_with_its_keys() -> None:
    federation = masked_federation("resilient", rounds=3)

    def due(post: Post) -> float:
        is_slow = post.site_id == "delta" and codec.peek_type(post.payload) == pb.UNMASK
        return 1e9 if is_slow else 0.0

    result = federation.loop(SlowGrid(federation.handlers(), federation.clock, due=due)).run()
    assert [record.dropped for record in result.rounds] == [{}, {"delta": "LATE"}, {}]
    assert result.rounds[0].seconds < federation.plan.secagg.trip_timeout_s / 10


def test_slow_sites_are_late_and_the_others_go_on() -> None:
    federation = masked_federation("resilient", rounds=2, secagg={"trip_timeout_s": 20.0})

    def due(post: Post) -> float:
        is_slow = post.site_id == "delta" and codec.peek_type(post.payload) == pb.TRAIN
        return 1e9 if is_slow else 0.0

    result = federation.loop(SlowGrid(federation.handlers(), federation.clock, due=due)).run()
    assert result.rounds[0].dropped == {"delta": "LATE"}
    assert all(record.survivors == ("alpha", "beta", "gamma") for record in result.rounds)


# ---------------------------------------------------------------------------------------------------- hostile sites


def resealed(site: str, kind: int, body_of: Callable[[Any, bytearray], None], number: int) -> Wrap:
    """A site that signs another reply than the honest one, in one round."""

    def answer(request: bytes, honest: Handler) -> bytes:
        envelope = pb.Envelope.FromString(honest(request))
        body, vector = codec.TYPES[envelope.type].FromString(envelope.body), bytearray(envelope.vector)
        body_of(body, vector)
        return codec.seal(identity_of(site), body, vector=bytes(vector))

    return on(kind, answer, at=at_position(number))


def garbage(body: Any, vector: bytearray) -> None:  # noqa: ANN401
    """Signed like any vector, and beyond what honest ones can sum to."""
    vector[:4] = (int.from_bytes(vector[:4], "little") + (1 << 31) & 0xFFFFFFFF).to_bytes(4, "little")
    body.vector_hash = codec.vector_hash(bytes(vector))
    statement = statements.vector_statement(body.cohort_digest, "delta", body.vector_hash)
    body.proof = statements.sign(identity_of("delta"), "VECTOR", statement)


def test_a_sum_that_no_honest_vectors_have_is_not_opened() -> None:
    with pytest.raises(RunError, match=r"round 1 was void.*SUM_OUT_OF_RANGE"):
        masked_federation("resilient").run({"delta": resealed("delta", pb.TRAIN, garbage, 1)})


def test_a_sum_that_is_too_long_voids_the_attempt_before_any_site_sees_it() -> None:
    federation = masked_federation("resilient", secagg={"sum_norm_bound": 0.5}, privacy=WITHOUT_DP, rounds=2)
    federation.trainers["delta"].move = lambda number, _: np.full(6, 0.9 if number == 2 else 0.01, np.float32)
    for site in ("alpha", "beta", "gamma"):
        federation.trainers[site].move = lambda *_: np.full(6, 0.01, np.float32)
    result = federation.run()
    assert len(result.rounds) == 1
    assert "round 2 was void 2 times" in result.ended_early
    assert "SUM_IMPLAUSIBLE" in result.ended_early
    assert result.apart == {}


def test_a_vector_without_its_sites_word_is_left_out() -> None:
    def unsigned(body: Any, vector: bytearray) -> None:  # noqa: ANN401
        body.proof = bytes(64)

    result = masked_federation("resilient", rounds=1).run({"delta": resealed("delta", pb.TRAIN, unsigned, 1)})
    assert result.rounds[0].dropped == {"delta": "BAD_VECTOR"}


def test_a_site_that_gives_no_bundle_is_asked_again_and_left_out_if_it_made_one() -> None:
    def hidden(body: Any, vector: bytearray) -> None:  # noqa: ANN401
        body.ClearField("next")

    federation = masked_federation("resilient", rounds=3)
    result = federation.run({"delta": resealed("delta", pb.UNMASK, hidden, 1)})
    assert [record.trips for record in result.rounds] == [3, 3, 2]
    assert result.rounds[1].dropped == {"delta": "PREKEY_EXISTS"}
    assert [len(record.survivors) for record in result.rounds] == [4, 3, 4]


def test_a_bundle_that_is_not_its_sites_leaves_it_out_of_the_next_cohort() -> None:
    def swapped(body: Any, vector: bytearray) -> None:  # noqa: ANN401
        body.next.bundle.mask_key = bytes(range(32))

    federation = masked_federation("resilient", rounds=3)
    result = federation.run({"delta": resealed("delta", pb.UNMASK, swapped, 1)})
    assert result.rounds[1].dropped == {"delta": "BAD_SIGNATURE"}
    assert len(result.rounds[2].survivors) == 4


def test_a_reply_to_another_request_for_bundles_is_not_taken() -> None:
    def other(body: Any, vector: bytearray) -> None:  # noqa: ANN401
        body.request_hash = bytes(32)

    federation = masked_federation("resilient", rounds=1)
    result = federation.run({"delta": resealed("delta", pb.PREKEY, other, 1)})
    assert result.rounds[0].dropped == {"delta": "REPLAY_CONFLICT"}


def test_false_shares_are_named_and_the_sum_is_right() -> None:
    def false(body: Any, vector: bytearray) -> None:  # noqa: ANN401
        body.seed_shares[0] = bytes(32) + b"\x01"

    federation = masked_federation("resilient", 5, rounds=1, privacy=WITHOUT_DP)
    # With one survivor less than all, the four honest replies suffice.
    (record,) = federation.run({"alpha": resealed("alpha", pb.UNMASK, false, 1)}).rounds
    assert all(fault == "SHARE_INCONSISTENT alpha alpha" for fault in record.faults)
    bare = masked_federation("plain_ring", 5, rounds=1, privacy=WITHOUT_DP).run()
    again = masked_federation("resilient", 5, rounds=1, privacy=WITHOUT_DP)
    assert again.run({"alpha": resealed("alpha", pb.UNMASK, false, 1)}).model_digest == bare.model_digest


def test_a_dealer_whose_packets_nobody_can_open_is_left_out_of_the_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    original = bundles._split

    def split(bundle: bundles.Bundle, *rest: Any) -> Any:  # noqa: ANN401
        own, packets = original(bundle, *rest)
        return own, tuple(bytes(len(packet)) for packet in packets) if bundle.site_id == "delta" else packets

    monkeypatch.setattr(bundles, "_split", split)
    result = masked_federation("resilient", 5, rounds=1).run()
    (record,) = result.rounds
    assert (record.attempt, record.survivors) == (1, ("alpha", "beta", "epsilon", "gamma"))


def test_where_many_are_gone_the_rest_hold_the_shares_among_themselves() -> None:
    gone = {site: lost(pb.TRAIN, 2) for site in ("alpha", "beta", "gamma", "delta")}
    stay_away = {site: on(pb.PREKEY, silent, at=at_position(2)) for site in gone}

    def both(site: str) -> Wrap:
        return lambda honest: stay_away[site](gone[site](honest))

    federation = masked_federation("resilient", 10, rounds=2)
    result = federation.run({site: both(site) for site in gone})
    # Ten holders need seven shares. The first attempt finds out who is gone, the second has six holders who need five.
    assert (result.rounds[1].attempt, len(result.rounds[1].survivors)) == (1, 6)


# ---------------------------------------------------------------------------------------------------- members


def test_a_plan_that_too_few_accept_says_which_profile_would_do() -> None:
    federation = masked_federation("resilient")
    with pytest.raises(RunError, match="too few for resilient") as caught:
        federation.run({"delta": on(pb.PLAN_OFFER, silent)})
    assert "strict" in caught.value.advice


def with_accept(change: object) -> object:
    """A site that accepts with another transport key."""

    def answer(request: bytes, honest: Handler) -> bytes:
        body = pb.PlanAccept.FromString(pb.Envelope.FromString(honest(request)).body)
        body.transport_key = bytes(change)  # type: ignore[call-overload]
        return codec.seal(identity_of("delta"), body)

    return on(pb.PLAN_OFFER, answer)


@pytest.mark.parametrize(
    ("key", "code"), [(bytes(32), "KEY_INVALID"), (b"\x09" * 31, "KEY_INVALID"), (b"\x09" + bytes(31), "BAD_SIGNATURE")]
)
def test_a_site_without_a_key_of_its_own_does_not_take_part(key: bytes, code: str) -> None:
    federation = masked_federation("resilient", 5, rounds=1)
    result = federation.run({"delta": with_accept(key)})  # type: ignore[dict-item]
    assert result.refusals == {"delta": code}
    assert len(result.rounds[0].survivors) == 4


def test_a_loop_without_masks_needs_to_be_given_them() -> None:
    federation = masked_federation("plain_ring")
    with pytest.raises(ConfigError, match="for simulations"):
        RoundLoop(
            plan_bytes=federation.plan_bytes,
            run_id=federation.run_id,
            identity=federation.coordinator,
            roster=federation.roster,
            grid=MemoryGrid({}),
            clock=federation.clock,
            observer=federation.notes,
        )
    assert federation.plan.secagg.profile == plain.PROFILE


# ---------------------------------------------------------------------------------------------------- what is written


class Order(MemoryJournal):
    """Notes what was sent when an entry was written."""

    def __init__(self, seen: list[int]) -> None:
        super().__init__()
        self.seen = seen
        self.notes: list[tuple[EntryKind, int]] = []

    def append(self, entries: object) -> None:
        assert isinstance(entries, list)
        super().append(entries)
        self.notes += [(entry.kind, self.seen.count(pb.UNMASK)) for entry in entries if isinstance(entry, JournalEntry)]


def test_a_sum_is_written_down_before_anybody_is_asked_for_shares() -> None:
    seen: list[int] = []
    federation, journal = masked_federation("resilient", rounds=2), Order(seen)
    wraps = dict.fromkeys(federation.trainers, counted(seen))
    loop = RoundLoop(
        plan_bytes=federation.plan_bytes,
        run_id=federation.run_id,
        identity=federation.coordinator,
        roster=federation.roster,
        grid=MemoryGrid(federation.handlers(wraps)),
        clock=federation.clock,
        observer=federation.notes,
        journal=journal,
    )
    loop.run()
    assert journal.notes == [(EntryKind.FROZEN, 0), (EntryKind.FROZEN, 4)]
