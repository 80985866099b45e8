import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import FedwardError, MessageTooLargeError, TransportError
from fedward.common.messages import parts
from fedward.common.messages import site_daemon_pb2 as pb
from fedward.common.messages.parts import PART_BYTES, Joiner, split

LIMIT = 4 * PART_BYTES


def joined(items: list[pb.Part], max_bytes: int = LIMIT) -> bytes:
    joiner = Joiner(max_bytes)
    for item in items:
        joiner.add(item)
    return joiner.message()


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 500])
def test_a_message_of_any_length_comes_back_from_its_parts(size: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    items = list(split(payload[:size]))
    assert [item.total_bytes for item in items] == [size] + [0] * (len(items) - 1)
    assert max(len(item.data) for item in items) <= PART_BYTES
    assert all(item.ByteSize() <= parts.MAX_FRAME_BYTES for item in items)
    assert joined(items) == payload[:size]


def test_an_empty_message_is_not_sent() -> None:
    with pytest.raises(TransportError, match="empty"):
        list(split(b""))


def test_a_message_above_the_limit_is_refused_by_its_first_part_and_nothing_is_kept() -> None:
    joiner = Joiner(10)
    with pytest.raises(MessageTooLargeError):
        joiner.add(pb.Part(data=b"x", total_bytes=11))
    assert joiner.num_bytes == 0


def test_a_message_of_just_the_limit_passes() -> None:
    assert joined([pb.Part(data=b"x" * 10, total_bytes=10)], 10) == b"x" * 10


WRONG = {
    "no length": [pb.Part(data=b"abc")],
    "empty first": [pb.Part(total_bytes=3)],
    "nothing at all": [pb.Part()],
    "empty later": [pb.Part(data=b"a", total_bytes=3), pb.Part()],
    "second length": [pb.Part(data=b"a", total_bytes=3), pb.Part(data=b"bc", total_bytes=2)],
    "more than announced": [pb.Part(data=b"abcd", total_bytes=3)],
    "more in the second": [pb.Part(data=b"ab", total_bytes=3), pb.Part(data=b"cd")],
    "more after its end": [pb.Part(data=b"abc", total_bytes=3), pb.Part(data=b"d")],
    "less than announced": [pb.Part(data=b"ab", total_bytes=3)],
    "a part too long": [pb.Part(data=b"x" * (PART_BYTES + 1), total_bytes=PART_BYTES + 1)],
    "no part": [],
}


@pytest.mark.parametrize("name", WRONG)
def test_parts_that_are_no_message_are_refused(name: str) -> None:
    with pytest.raises(TransportError):
        joined(WRONG[name])


@given(st.lists(st.builds(pb.Part, data=st.binary(max_size=6), total_bytes=st.integers(0, 20)), max_size=6))
def test_any_parts_give_what_was_announced_or_an_error_of_ours(items: list[pb.Part]) -> None:
    try:
        message = joined(items, 15)
    except FedwardError:
        return
    assert message == b"".join(item.data for item in items)
    assert len(message) == items[0].total_bytes


def test_names_of_the_methods_are_those_of_the_schema() -> None:
    services = pb.DESCRIPTOR.services_by_name
    names = {f"/{service.full_name}/{method.name}" for service in services.values() for method in service.methods}
    assert names == {parts.HANDLE, parts.HEALTH, parts.STATUS, parts.DRAIN}
