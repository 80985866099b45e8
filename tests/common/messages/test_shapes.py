from typing import Any

import pytest
from google.protobuf.message import Message

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages import shapes
from fedward.common.secagg.graph_parameters import MAX_GRAPH_SITES

BUNDLE = pb.Bundle(
    run_id=bytes(16),
    round=1,
    roster_hash=bytes(32),
    holders_hash=bytes(32),
    mask_key=bytes(32),
    commitment=bytes(32),
    shares_hash=bytes(32),
    signature=bytes(64),
)
MANY = MAX_GRAPH_SITES + 1
DEALING = pb.Dealing(bundle=BUNDLE, packets=[bytes(82)] * 3)
HOLDER = pb.Holder(site_id="alpha", transport_key=bytes(32), signature=bytes(64))
TARGET = pb.Target(round=1, threshold=3, holders=[HOLDER])
MEMBER = pb.GraphMember(site_id="alpha", commitment=bytes(32), signature=bytes(64))
REVEAL = pb.GraphReveal(site_id="alpha", shown=bytes(32), commitment=bytes(32))
SURVIVOR = pb.Survivor(site_id="alpha", vector_hash=bytes(32), proof=bytes(64))
OPENED = pb.OpenedRound(
    round=1,
    model_digest=bytes(32),
    previous_sum_hash=bytes(32),
    holders_hash=bytes(32),
    graph_hash=bytes(32),
    cohort=["alpha"],
    bundle_digests=[bytes(32)],
    survivors=[SURVIVOR],
)
GOOD: list[Message] = [
    OPENED,
    pb.RunEnd(previous=OPENED),
    pb.RunEndReply(model_digest=bytes(32), code="MODEL_MISMATCH"),
    pb.PlanAccept(request_hash=bytes(32), transport_key=bytes(32), signature=bytes(64)),
    pb.Train(graph_hash=bytes(32), bundles=[BUNDLE], packets=[b"", bytes(82)], next=TARGET, bundle_digests=[bytes(32)]),
    pb.TrainReply(proof=bytes(64), complaints=["beta"], next=DEALING),
    pb.Graph(members=[MEMBER]),
    pb.GraphReply(request_hash=bytes(32), shown=bytes(32)),
    pb.Prekey(target=TARGET, reveals=[REVEAL]),
    pb.PrekeyReply(request_hash=bytes(32), dealing=DEALING),
    pb.Confirm(cohort_digest=bytes(32), survivors=[SURVIVOR]),
    pb.ConfirmReply(cohort_digest=bytes(32), survivors_hash=bytes(32), signature=bytes(64)),
    pb.Unmask(
        cohort_digest=bytes(32),
        survivors=[SURVIVOR],
        confirmations=[pb.Confirmation(site_id="alpha", signature=bytes(64))],
        next=TARGET,
    ),
    pb.UnmaskReply(survivors_hash=bytes(32), seed_shares=[bytes(33), b""], key_shares=[bytes(33)], next=DEALING),
    pb.Ready(request_hash=bytes(32), dealing=DEALING),
    pb.Mask(
        model_digest=bytes(32),
        layout_digest=bytes(32),
        cohort=["alpha"],
        previous_sum_hash=bytes(32),
        graph_hash=bytes(32),
        bundles=[BUNDLE],
    ),
]


def named(message: Message) -> str:
    return message.DESCRIPTOR.name


@pytest.mark.parametrize("message", GOOD, ids=named)
def test_message_of_the_right_lengths_passes(message: Message) -> None:
    shapes.check(message)


def refused(message: Message) -> bool:
    try:
        shapes.check(message)
    except ProtocolError as error:
        return error.code == "BAD_ENCODING"
    return False


def parts_of(message: Message) -> list[Message]:
    """The message and all messages in it, as references."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                found += parts_of(part)
    return found


@pytest.mark.parametrize("message", GOOD, ids=named)
def test_each_part_that_is_too_long_or_too_short_is_refused(message: Message) -> None:
    num_tried = 0
    for number, part in enumerate(parts_of(message)):
        for name, (least, most) in shapes.LENGTHS.get(named(part), {}).items():
            for size in {least - 1, most + 1} - {-1}:
                changed = type(message)()
                changed.CopyFrom(message)
                target: Any = parts_of(changed)[number]
                value: Any = "x" * size if name in {"site_id", "complaints", "cohort"} else bytes(size)
                if isinstance(getattr(target, name), bytes | str):
                    setattr(target, name, value)
                else:
                    getattr(target, name)[:] = [value]
                assert refused(changed), f"{size} bytes of {named(part)}.{name}"
                num_tried += 1
    assert num_tried > 1


@pytest.mark.parametrize(
    "message",
    [
        pb.Prekey(),
        pb.PrekeyReply(request_hash=bytes(32)),
        pb.Ready(request_hash=bytes(32)),
        pb.PrekeyReply(request_hash=bytes(32), dealing=pb.Dealing()),
        pb.TrainReply(next=pb.Dealing(packets=[bytes(82)])),
    ],
    ids=named,
)
def test_message_without_its_main_part_is_refused(message: Message) -> None:
    assert refused(message)


@pytest.mark.parametrize(
    "message",
    [
        pb.Unmask(cohort_digest=bytes(32), survivors=[SURVIVOR] * MANY),
        pb.Prekey(target=pb.Target(holders=[HOLDER] * MANY)),
        pb.Train(bundles=[BUNDLE] * MANY),
        pb.Graph(members=[MEMBER] * MANY),
        pb.UnmaskReply(survivors_hash=bytes(32), seed_shares=[b""] * MANY),
        pb.TrainReply(complaints=["a"] * MANY),
    ],
    ids=named,
)
def test_more_of_anything_than_a_run_may_have_sites_is_refused(message: Message) -> None:
    assert refused(message)


def test_cohort_without_masks_may_be_larger() -> None:
    shapes.check(pb.Train(cohort=[f"site-{i}" for i in range(1000)]))


def test_lengths_count_bytes_and_not_letters() -> None:
    assert not refused(pb.TrainReply(complaints=["é" * 32]))
    assert refused(pb.TrainReply(complaints=["é" * 33]))


def test_every_message_of_masked_profiles_has_its_lengths() -> None:
    without = {"Envelope", "Header", "PlanOffer", "Refusal", "RunEnd"}
    # Beside messages: ``messages.witness`` reads them, into values that know their own lengths.
    without |= {"Witness", "HeadStatement", "HeadSet", "HeadConfirmation", "HeadQuestion", "HeadAnswer"}
    assert set(pb.DESCRIPTOR.message_types_by_name) - without == set(shapes.LENGTHS)


def test_parts_are_counted_before_a_list_is_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of empty parts fit into a message; as Python objects they take a gigabyte."""
    listed: list[str] = []
    original = shapes._values

    def note(message: Message, name: str, **kinds: bool) -> list[Any]:
        listed.append(name)
        return original(message, name, **kinds)

    monkeypatch.setattr(shapes, "_values", note)
    assert refused(pb.Train(bundles=[pb.Bundle()] * MANY))
    assert "bundles" not in listed
