import pytest

from fedward.client.daemon.table import Seen, Slot, Table
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from tests.site_requests import position

HASH, OTHER = b"h" * 32, b"o" * 32


def table(keep_s: float = 100.0, max_kept_bytes: int = 1000) -> Table:
    return Table(keep_s=keep_s, max_kept_bytes=max_kept_bytes)


def seen(known: Table, at: Position, kind: int = pb.TRAIN, request_hash: bytes = HASH, now_s: float = 0.0) -> Seen:
    return known.seen(at, kind, request_hash, now_s=now_s)[0]


def answered(
    known: Table,
    at: Position,
    kind: int = pb.TRAIN,
    *,
    answer: bytes = b"answer",
    answer_type: int = pb.TRAIN_REPLY,
    request_hash: bytes = HASH,
    now_s: float = 0.0,
    is_given: bool = True,
) -> Slot:
    slot = known.take(at, kind, request_hash)
    known.answered(slot, answer, answer_type, now_s=now_s)
    slot.is_given = is_given
    return slot


def test_a_request_is_new_once() -> None:
    known = table()
    assert seen(known, position()) is Seen.NEW
    known.take(position(), pb.TRAIN, HASH)
    assert seen(known, position()) is Seen.KNOWN


@pytest.mark.parametrize("is_answered", [False, True])
def test_another_request_for_a_place_is_a_conflict(is_answered: bool) -> None:
    known = table()
    slot = known.take(position(), pb.TRAIN, HASH)
    if is_answered:
        known.answered(slot, b"answer", pb.TRAIN_REPLY, now_s=0.0)
    assert seen(known, position(), request_hash=OTHER) is Seen.CONFLICT


@pytest.mark.parametrize(
    "at", [position(2), position(1, 1), position(run_id=b"q" * 16)], ids=["round", "attempt", "run"]
)
def test_another_place_is_another_request(at: Position) -> None:
    known = table()
    known.take(position(), pb.TRAIN, HASH)
    assert seen(known, at, request_hash=OTHER) is Seen.NEW


def test_another_type_is_another_place() -> None:
    known = table()
    known.take(position(), pb.TRAIN, HASH)
    assert seen(known, position(), pb.UNMASK, OTHER) is Seen.NEW


@pytest.mark.parametrize("kind", [pb.PLAN_OFFER, pb.PREKEY])
def test_what_was_refused_and_used_nothing_up_may_be_asked_anew(kind: int) -> None:
    known = table()
    answered(known, position(0), kind, answer_type=pb.REFUSAL)
    assert seen(known, position(0), kind) is Seen.NEW
    assert seen(known, position(0), kind, OTHER) is Seen.NEW


def test_a_refused_train_is_refused_by_the_same_bytes_again() -> None:
    known = table()
    answered(known, position(), answer_type=pb.REFUSAL)
    assert seen(known, position()) is Seen.KNOWN


@pytest.mark.parametrize("later", [position(2), position(1, 1)], ids=["next round", "superseding attempt"])
def test_answers_are_kept_until_a_later_train(later: Position) -> None:
    known = table()
    answered(known, position())
    answered(known, position(), pb.UNMASK, answer_type=pb.UNMASK_REPLY)
    answered(known, later, pb.PREKEY, answer_type=pb.PREKEY_REPLY)
    known.take(later, pb.TRAIN, HASH)
    assert seen(known, position()) is Seen.NEW
    assert seen(known, position(), pb.UNMASK) is Seen.NEW
    assert seen(known, later, pb.PREKEY) is Seen.KNOWN


def test_a_train_of_an_earlier_place_drops_nothing() -> None:
    known = table()
    answered(known, position(2))
    known.take(position(1), pb.TRAIN, HASH)
    assert seen(known, position(2)) is Seen.KNOWN


def test_a_train_of_another_run_drops_nothing() -> None:
    known = table()
    answered(known, position())
    known.take(position(5, run_id=b"q" * 16), pb.TRAIN, HASH)
    assert seen(known, position()) is Seen.KNOWN


def test_what_is_in_work_stays_until_it_is_answered_and_goes_if_it_was_superseded() -> None:
    known = table()
    slot = known.take(position(), pb.TRAIN, HASH)
    known.take(position(2), pb.TRAIN, HASH)
    assert seen(known, position()) is Seen.KNOWN
    known.answered(slot, b"late", pb.TRAIN_REPLY, now_s=0.0)
    assert slot.answer == b"late"
    assert seen(known, position()) is Seen.NEW


def test_the_offer_outlives_the_rounds() -> None:
    known = table()
    answered(known, position(0), pb.PLAN_OFFER, answer_type=pb.PLAN_ACCEPT)
    known.take(position(3), pb.TRAIN, HASH)
    assert seen(known, position(0), pb.PLAN_OFFER) is Seen.KNOWN


def test_the_end_of_a_run_drops_its_answers_and_keeps_its_own() -> None:
    known = table()
    answered(known, position())
    answered(known, position(run_id=b"q" * 16))
    answered(known, position(0), pb.RUN_END, answer_type=pb.RUN_END_REPLY)
    assert seen(known, position()) is Seen.NEW
    assert seen(known, position(0), pb.RUN_END) is Seen.KNOWN
    assert seen(known, position(run_id=b"q" * 16)) is Seen.KNOWN


def test_a_refused_end_drops_nothing() -> None:
    known = table()
    answered(known, position())
    answered(known, position(0), pb.RUN_END, answer_type=pb.REFUSAL)
    assert seen(known, position()) is Seen.KNOWN


def test_an_answer_is_forgotten_after_its_time_and_not_before() -> None:
    known = table(keep_s=100.0)
    answered(known, position(), now_s=50.0)
    assert seen(known, position(), now_s=150.0) is Seen.KNOWN
    assert seen(known, position(), now_s=150.1) is Seen.NEW


def test_work_is_not_forgotten_by_time() -> None:
    known = table(keep_s=1.0)
    known.take(position(), pb.TRAIN, HASH)
    assert seen(known, position(), now_s=1e9) is Seen.KNOWN


def test_the_oldest_answers_make_room() -> None:
    known = table(max_kept_bytes=20)
    for number in (1, 2, 3):
        answered(known, position(run_id=bytes([number]) * 16), answer=b"x" * 10)
    assert known.kept_bytes == 20
    assert seen(known, position(run_id=b"\x01" * 16)) is Seen.NEW
    assert seen(known, position(run_id=b"\x03" * 16)) is Seen.KNOWN


def test_collecting_finds_a_request_by_hash_and_position() -> None:
    known = table()
    slot = answered(known, position())
    assert known.collect(position(), HASH, now_s=0.0) is slot
    assert known.collect(position(), OTHER, now_s=0.0) is None
    assert known.collect(position(2), HASH, now_s=0.0) is None


def test_what_was_given_up_is_new_again() -> None:
    known = table()
    known.give_up(known.take(position(), pb.TRAIN, HASH))
    assert seen(known, position()) is Seen.NEW


# ---------------------------------------------------------------------------------------------------- what is open


def test_work_and_answers_that_nobody_fetched_are_open() -> None:
    known = table()
    slot = known.take(position(0), pb.PLAN_OFFER, HASH)
    assert known.num_open == 1
    known.answered(slot, b"answer", pb.PLAN_ACCEPT, now_s=0.0)
    assert known.num_open == 1
    slot.is_given = True
    assert (known.num_open, known.num_in_work, known.num_kept) == (0, 0, 1)


OPEN = [
    ("resilient", pb.TRAIN_REPLY, (), 1),
    ("resilient", pb.TRAIN_REPLY, (pb.UNMASK,), 0),
    ("resilient-malicious", pb.TRAIN_REPLY, (pb.CONFIRM,), 1),
    ("resilient-malicious", pb.TRAIN_REPLY, (pb.CONFIRM, pb.UNMASK), 0),
    ("resilient", pb.REFUSAL, (), 0),
    ("strict", pb.TRAIN_REPLY, (), 0),
    ("strict", pb.READY, (), 1),
    ("strict", pb.READY, (pb.MASK,), 0),
    ("plain_ring", pb.TRAIN_REPLY, (), 0),
]


@pytest.mark.parametrize(("profile", "answer_type", "further", "num_open"), OPEN)
def test_an_attempt_is_open_until_its_last_trip(
    profile: str, answer_type: int, further: tuple[int, ...], num_open: int
) -> None:
    known, at = table(), position(profile=profile)
    answered(known, at, answer_type=answer_type)
    for kind in further:
        answered(known, at, kind, answer_type=pb.UNMASK_REPLY)
    assert known.num_open == num_open
