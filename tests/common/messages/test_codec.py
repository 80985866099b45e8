import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Body, Opened, Position, open_message, seal

SECRET = bytes(range(32))
SENDER = "alpha"
IDENTITY = Identity.simulated(SECRET, SENDER)
STRANGER = Identity.simulated(SECRET, "mallory")
POSITION = Position(
    run_id=b"\x11" * 16,
    roster_hash=b"\x22" * 32,
    plan_digest=b"\x44" * 32,
    profile="plain_ring",
    round_number=3,
    attempt=1,
)
HEADER = POSITION.header(SENDER)
VECTOR = bytes(range(16))
HASH = hashlib.sha256(VECTOR).digest()

DEALING = pb.Dealing(
    bundle=pb.Bundle(
        run_id=b"r" * 16,
        roster_hash=b"r" * 32,
        holders_hash=b"h" * 32,
        commitment=b"c" * 32,
        shares_hash=b"s" * 32,
        signature=b"x" * 64,
    )
)
BODIES: list[Body] = [
    pb.PlanOffer(header=HEADER, plan=b"{}"),
    pb.PlanAccept(header=HEADER, request_hash=b"\x01" * 32),
    pb.Refusal(header=HEADER, request_hash=b"\x01" * 32, code="ABSTAIN", rule="noise"),
    pb.Train(header=HEADER, model_digest=b"m", cohort=["alpha", "beta"], scale_log2=-3, vector_hash=HASH),
    pb.TrainReply(header=HEADER, cohort_digest=b"c" * 32, vector_hash=HASH),
    pb.RunEnd(header=HEADER, model_digest=b"m" * 32),
    pb.RunEndReply(header=HEADER, events=b"[]", model_digest=b"m" * 32, code="MODEL_MISMATCH"),
    pb.Prekey(header=HEADER, target=pb.Target(round=3, attempt=1, threshold=3)),
    pb.PrekeyReply(header=HEADER, request_hash=b"\x01" * 32, dealing=DEALING),
    pb.Confirm(header=HEADER, cohort_digest=b"c" * 32),
    pb.ConfirmReply(header=HEADER, cohort_digest=b"c" * 32, survivors_hash=b"s" * 32, signature=b"x" * 64),
    pb.Unmask(header=HEADER, cohort_digest=b"c" * 32),
    pb.UnmaskReply(header=HEADER, survivors_hash=b"s" * 32, seed_shares=[b"x" * 33], next=DEALING),
    pb.Ready(header=HEADER, request_hash=b"\x01" * 32, dealing=DEALING),
    pb.Mask(
        header=HEADER,
        model_digest=b"m" * 32,
        layout_digest=b"l" * 32,
        previous_sum_hash=b"p" * 32,
        graph_hash=b"g" * 32,
    ),
    pb.Graph(header=HEADER, members=[pb.GraphMember(site_id="alpha", commitment=b"c" * 32, signature=b"x" * 64)]),
    pb.GraphReply(header=HEADER, request_hash=b"h" * 32, shown=b"r" * 32),
    pb.Pending(header=HEADER, request_hash=b"\x01" * 32),
    pb.Collect(header=HEADER, request_hash=b"\x01" * 32),
]
END = pb.RunEnd(header=HEADER, model_digest=b"m" * 32)
REPLY = pb.TrainReply(header=HEADER, cohort_digest=b"c" * 32, vector_hash=HASH)


def sealed(body: Body) -> bytes:
    return seal(IDENTITY, body, vector=VECTOR if getattr(body, "vector_hash", b"") else b"")


def seal_raw(kind: str, raw: bytes, *, version: int = codec.VERSION) -> bytes:
    """A signed message whose body is exactly ``raw``, whatever that is."""
    signature = IDENTITY.sign("secagg", kind, hashlib.sha256(raw).digest())
    envelope = pb.Envelope(version=version, type=kind, body=raw, signature=signature)
    return envelope.SerializeToString(deterministic=True)


def opened(raw: bytes, kind: type[Body] = pb.RunEnd) -> Opened[Body]:
    return open_message(raw, kind, sender=SENDER, public_key=IDENTITY.public_key)


def refusal_code(raw: bytes, kind: type[Body] = pb.RunEnd) -> str:
    with pytest.raises(ProtocolError) as caught:
        opened(raw, kind)
    return caught.value.code


# ---------------------------------------------------------------------------------------------------- what passes


def test_every_type_has_a_sample_here() -> None:
    assert {type(body) for body in BODIES} == set(codec.TYPES.values())


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_opening_gives_back_what_was_sealed(body: Body) -> None:
    message = opened(sealed(body), type(body))
    assert message.body == body
    assert message.position == POSITION
    assert message.body_hash == hashlib.sha256(body.SerializeToString(deterministic=True)).digest()
    assert message.vector == (VECTOR if getattr(body, "vector_hash", b"") else b"")


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_peeking_tells_the_type(body: Body) -> None:
    assert codec.TYPES[codec.peek_type(sealed(body))] is type(body)


def test_a_helper_of_these_tests_seals_like_the_codec() -> None:
    assert seal_raw("RUN_END", END.SerializeToString(deterministic=True)) == sealed(END)


def test_empty_vector_counts_by_its_hash() -> None:
    body = pb.TrainReply(header=HEADER, vector_hash=hashlib.sha256(b"").digest())
    assert opened(seal(IDENTITY, body), pb.TrainReply).vector == b""


@given(
    st.binary(min_size=16, max_size=16),
    st.text(max_size=10),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=50),
)
def test_round_trip_of_any_position_and_vector(
    run_id: bytes, profile: str, round_number: int, attempt: int, vector: bytes
) -> None:
    position = Position(
        run_id=run_id,
        roster_hash=bytes(32),
        plan_digest=bytes(32),
        profile=profile,
        round_number=round_number,
        attempt=attempt,
    )
    body = pb.TrainReply(header=position.header(SENDER), vector_hash=codec.vector_hash(vector))
    message = opened(seal(IDENTITY, body, vector=vector), pb.TrainReply)
    assert (message.position, message.vector) == (position, vector)


# ---------------------------------------------------------------------------------------------------- what does not


@pytest.mark.parametrize("body", [END, REPLY], ids=["without vector", "with vector"])
def test_every_flipped_bit_is_refused(body: Body) -> None:
    raw = sealed(body)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert refusal_code(bytes(changed), type(body)) in {"BAD_ENCODING", "BAD_SIGNATURE"}, f"bit {bit}"


@pytest.mark.parametrize("body", [END, REPLY], ids=["without vector", "with vector"])
def test_every_truncation_is_refused(body: Body) -> None:
    raw = sealed(body)
    for length in range(len(raw)):
        assert refusal_code(raw[:length], type(body)) in {"BAD_ENCODING", "BAD_SIGNATURE"}, f"{length} bytes"


def field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field with a short value."""
    return bytes([number << 3 | 2, len(value)]) + value


RAW_HEADER = HEADER.SerializeToString(deterministic=True)
RAW_END = END.SerializeToString(deterministic=True)
ONLY_HEADER = pb.RunEnd(header=HEADER).SerializeToString(deterministic=True)
ONLY_DIGEST = pb.RunEnd(model_digest=b"m" * 32).SerializeToString(deterministic=True)

BODY_SPELLINGS = {
    "trailing byte": RAW_END + b"\x00",
    "unknown field": RAW_END + field(15, b"x"),
    "unknown number": RAW_END + b"\x78\x01",
    "repeated field": RAW_END + ONLY_DIGEST,
    "repeated header": ONLY_HEADER + RAW_END,
    "reordered fields": ONLY_DIGEST + ONLY_HEADER,
    "field given as empty": ONLY_HEADER + field(2, b""),
    "long varint": RAW_END.replace(b"\x12\x20" + b"m" * 32, b"\x12\xa0\x00" + b"m" * 32),
    "unknown field in the header": field(1, RAW_HEADER + field(15, b"x")) + ONLY_DIGEST,
    "not protobuf": b"\xff" * 20,
    "empty": b"",
}


@pytest.mark.parametrize("name", BODY_SPELLINGS)
def test_signed_body_in_another_spelling_is_refused(name: str) -> None:
    assert BODY_SPELLINGS[name] != RAW_END
    assert refusal_code(seal_raw("RUN_END", BODY_SPELLINGS[name])) == "BAD_ENCODING"


ENVELOPE_TAILS = {
    "trailing zero": b"\x00",
    "trailing text": b"more",
    "unknown field": field(15, b"x"),
    "repeated version": b"\x08\x02",
    "repeated type": b"\x10\x06",
    "repeated body": field(3, b"x"),
    "empty vector": field(5, b""),
    "empty witness part": field(6, b""),
    "two witness parts": field(6, b"x") + field(6, b"y"),
    "vector behind the witness part": field(6, b"x") + field(5, b"vector"),
}


@pytest.mark.parametrize("name", ENVELOPE_TAILS)
def test_envelope_with_something_behind_it_is_refused(name: str) -> None:
    assert refusal_code(sealed(END) + ENVELOPE_TAILS[name]) == "BAD_ENCODING"


@pytest.mark.parametrize("version", [0, 1, 2, 3, 5, 2**32 - 1])
def test_another_version_is_refused(version: int) -> None:
    assert refusal_code(seal_raw("RUN_END", RAW_END, version=version)) == "BAD_ENCODING"


@pytest.mark.parametrize("number", [0, 16, 1000, -1])
def test_unknown_type_is_refused(number: int) -> None:
    envelope = pb.Envelope(version=codec.VERSION, body=RAW_END, signature=bytes(64))
    envelope.type = number  # type: ignore[assignment]
    assert refusal_code(envelope.SerializeToString(deterministic=True)) == "BAD_ENCODING"


def test_message_of_another_type_is_refused() -> None:
    assert refusal_code(sealed(END), pb.Train) == "BAD_ENCODING"


def test_signature_under_another_type_is_refused() -> None:
    raw = pb.PlanOffer(header=HEADER, plan=b"m" * 32).SerializeToString(deterministic=True)
    envelope = pb.Envelope.FromString(seal_raw("PLAN_OFFER", raw))
    envelope.type = pb.RUN_END
    assert refusal_code(envelope.SerializeToString(deterministic=True)) == "BAD_SIGNATURE"


def test_message_signed_with_another_key_is_refused() -> None:
    assert refusal_code(seal(STRANGER, END)) == "BAD_SIGNATURE"


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_key_that_is_none_opens_nothing(key: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        open_message(sealed(END), pb.RunEnd, sender=SENDER, public_key=key)
    assert caught.value.code == "BAD_SIGNATURE"


@pytest.mark.parametrize("sender", ["beta", COORDINATOR, "", "ALPHA"])
def test_header_that_names_another_sender_is_refused(sender: str) -> None:
    body = pb.RunEnd(header=POSITION.header(sender), model_digest=b"m" * 32)
    assert refusal_code(seal(IDENTITY, body)) == "BAD_ENCODING"


def test_message_without_a_header_is_refused() -> None:
    assert refusal_code(seal(IDENTITY, pb.RunEnd(model_digest=b"m" * 32))) == "BAD_ENCODING"


@pytest.mark.parametrize("name", ["run_id", "roster_hash", "plan_digest"])
@pytest.mark.parametrize("size", [0, 15, 17, 31, 33])
def test_header_digest_of_another_length_is_refused(name: str, size: int) -> None:
    body = pb.RunEnd(header=HEADER, model_digest=b"m" * 32)
    setattr(body.header, name, bytes(size))
    assert refusal_code(seal(IDENTITY, body)) == "BAD_ENCODING"


@pytest.mark.parametrize("vector", [b"", VECTOR[:-1], VECTOR + b"\x00", VECTOR[::-1]], ids=len)
def test_vector_other_than_the_signed_one_is_refused(vector: bytes) -> None:
    assert refusal_code(seal(IDENTITY, REPLY, vector=vector), pb.TrainReply) == "BAD_ENCODING"


@pytest.mark.parametrize("body", [body for body in BODIES if not hasattr(body, "vector_hash")], ids=type)
def test_vector_beside_a_message_that_names_none_is_refused(body: Body) -> None:
    assert refusal_code(seal(IDENTITY, body, vector=b"data"), type(body)) == "BAD_ENCODING"


@pytest.mark.parametrize("size", [0, 63, 65])
def test_signature_of_another_length_is_refused(size: int) -> None:
    envelope = pb.Envelope(version=codec.VERSION, type=pb.RUN_END, body=RAW_END, signature=bytes(size))
    assert refusal_code(envelope.SerializeToString(deterministic=True)) == "BAD_ENCODING"


@pytest.mark.parametrize("limit", ["MAX_MESSAGE_BYTES", "MAX_BODY_BYTES", "MAX_VECTOR_BYTES"])
def test_limit_itself_passes_and_one_byte_more_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    raw = sealed(REPLY)
    size = {
        "MAX_MESSAGE_BYTES": len(raw),
        "MAX_BODY_BYTES": len(REPLY.SerializeToString(deterministic=True)),
        "MAX_VECTOR_BYTES": len(VECTOR),
    }[limit]
    monkeypatch.setattr(codec, limit, size)
    opened(raw, pb.TrainReply)
    monkeypatch.setattr(codec, limit, size - 1)
    assert refusal_code(raw, pb.TrainReply) == "BAD_ENCODING"


def test_oversize_message_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", 10)
    monkeypatch.setattr(codec, "open_envelope", lambda *_: pytest.fail("parsed"))
    assert refusal_code(sealed(END)) == "BAD_ENCODING"


def test_nothing_inside_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "strict", lambda *_: pytest.fail("parsed"))
    assert refusal_code(seal(STRANGER, END)) == "BAD_SIGNATURE"


def test_masked_message_of_a_wrong_shape_is_refused() -> None:
    body = pb.Confirm(header=HEADER, cohort_digest=b"c" * 31)
    assert refusal_code(seal(IDENTITY, body), pb.Confirm) == "BAD_ENCODING"


# ---------------------------------------------------------------------------------------------------- rubbish


def only_refusals(act: Callable[[], object]) -> bool:
    """Whether it was refused; anything but ``ProtocolError`` passes through and fails the test."""
    try:
        act()
    except ProtocolError as error:
        return error.code in {"BAD_ENCODING", "BAD_SIGNATURE"}
    return False


def test_two_thousand_random_strings_are_refused_and_raise_nothing_else() -> None:
    for number in range(2000):
        raw = hashlib.shake_256(number.to_bytes(4, "big")).digest(number % 300)
        assert only_refusals(lambda raw=raw: opened(raw))  # type: ignore[misc]
        only_refusals(lambda raw=raw: codec.peek_type(raw))  # type: ignore[misc]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_signed_body_but_the_right_one_is_refused(raw: bytes) -> None:
    assert only_refusals(lambda: opened(seal_raw("RUN_END", raw)))


@settings(max_examples=300)
@given(st.sampled_from(BODIES), st.data())
def test_message_with_a_part_cut_out_or_put_in_is_refused(body: Body, data: st.DataObject) -> None:
    raw = sealed(body)
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, len(raw)))
    changed = raw[:start] + data.draw(st.binary(max_size=8)) + raw[stop:]
    assert changed == raw or only_refusals(lambda: opened(changed, type(body)))


def test_contents_do_not_show_in_the_representation() -> None:
    text = repr(opened(sealed(REPLY), pb.TrainReply))
    assert "vector=" not in text
    assert "body=" not in text


def test_witness_part_lies_beside_and_changes_no_hash_of_the_message() -> None:
    raw = sealed(REPLY)
    framed = codec.beside(raw, b"witness")
    assert codec.witness_of(framed) == b"witness"
    assert opened(framed, pb.TrainReply) == opened(raw, pb.TrainReply)
    assert codec.hashes_of(framed)[0] == codec.hashes_of(raw)[0]
    assert framed.startswith(raw)


def test_no_witness_part_is_the_message_itself() -> None:
    assert codec.beside(sealed(END), b"") == sealed(END)
    assert codec.witness_of(sealed(END)) == b""


def test_second_witness_part_is_refused() -> None:
    with pytest.raises(ProtocolError, match="second"):
        codec.beside(codec.beside(sealed(END), b"x"), b"y")


def test_witness_part_over_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    framed = codec.beside(sealed(END), b"witness")
    monkeypatch.setattr(codec, "MAX_WITNESS_BYTES", 6)
    assert refusal_code(framed) == "BAD_ENCODING"
    with pytest.raises(ProtocolError, match="too long"):
        codec.beside(sealed(END), b"witness")
