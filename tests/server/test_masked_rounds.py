"""Whole runs under masks: the sums are those of ``plain_ring`` to the bit, whoever drops out and whenever."""

import itertools
from typing import Any

import numpy as np
import pytest

from fedward.common.agreement import round_event
from fedward.common.errors import ConfigError, RunError
from fedward.common.identity import Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import history_from_json
from fedward.common.secagg import plain
from fedward.common.secagg.journal import EntryKind, JournalEntry, MemoryJournal
from fedward.server.grid import Post
from fedward.server.rounds import RoundLoop
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import SlowGrid, identity_of, on_train, silent
from tests.masked_federation import MASKED, WITHOUT_DP, counted, lost, masked_federation, on

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


def test_slow_sites_are_late_and_the_others_go_on() -> None:
    federation = masked_federation("resilient", rounds=2, secagg={"trip_timeout_s": 20.0})

    def due(post: Post) -> float:
        is_slow = post.site_id == "delta" and codec.peek_type(post.payload) == pb.TRAIN
        return 1e9 if is_slow else 0.0

    result = federation.loop(SlowGrid(federation.handlers(), federation.clock, due=due)).run()
    assert result.rounds[0].dropped == {"delta": "LATE"}
    assert all(record.survivors == ("alpha", "beta", "gamma") for record in result.rounds)


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
        roster=Roster(coordinator_key=federation.coordinator.public_key, members=federation.roster.members),
        grid=MemoryGrid(federation.handlers(wraps)),
        clock=federation.clock,
        observer=federation.notes,
        journal=journal,
    )
    loop.run()
    assert journal.notes == [(EntryKind.FROZEN, 0), (EntryKind.FROZEN, 4)]
