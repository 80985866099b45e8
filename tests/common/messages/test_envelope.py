"""The hand-written envelope is the library's canonical one but for where the vector begins; nothing else is read."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Envelope, open_envelope, seal_envelope

numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
parts = st.one_of(st.binary(max_size=20), st.integers(0, 300).map(bytes), st.just(bytes(20_000)))
envelopes = st.builds(
    Envelope,
    version=numbers,
    type=st.integers(0, 15),
    body=parts,
    signature=parts,
    vector=parts,
    witness=st.binary(max_size=20),
)
SAMPLE = Envelope(version=1, type=5, body=b"body", signature=bytes(64), vector=b"vector")


def by_library(envelope: Envelope) -> bytes:
    message = pb.Envelope(
        version=envelope.version,
        type=pb.MessageType.Name(envelope.type),
        body=bytes(envelope.body),
        signature=envelope.signature,
        vector=bytes(envelope.vector),
        witness=bytes(envelope.witness),
    )
    return message.SerializeToString(deterministic=True)


def aligned(message: pb.Envelope) -> bytes:
    """As the library writes it, with so many bytes more in the vector's length that the vector begins at a word."""
    vector, message.vector = message.vector, b""
    witness, message.witness = message.witness, b""
    tail = pb.Envelope(witness=witness).SerializeToString(deterministic=True)
    head = message.SerializeToString(deterministic=True)
    if not vector:
        return head + tail
    tagged = pb.Envelope(vector=vector).SerializeToString(deterministic=True)
    size = tagged[1 : len(tagged) - len(vector)]
    padding = -(len(head) + 1 + len(size)) % 4
    if padding:
        size = size[:-1] + bytes([size[-1] | 0x80]) + b"\x80" * (padding - 1) + b"\x00"
    return head + tagged[:1] + size + vector + tail


def is_canonical(raw: bytes) -> bool:
    """By the library: read, and written again to the same bytes."""
    message = pb.Envelope()
    try:
        message.MergeFromString(raw)
    except Exception:  # noqa: BLE001 - whatever it raises, it is none
        return False
    message.DiscardUnknownFields()
    return aligned(message) == raw


@given(envelopes)
def test_what_is_sealed_is_what_the_library_writes_with_the_vector_at_a_word(envelope: Envelope) -> None:
    assert seal_envelope(envelope) == aligned(pb.Envelope.FromString(by_library(envelope)))


@given(envelopes)
def test_the_library_reads_what_is_sealed(envelope: Envelope) -> None:
    read = pb.Envelope.FromString(seal_envelope(envelope))
    assert read.SerializeToString(deterministic=True) == by_library(envelope)


@given(envelopes)
def test_a_vector_begins_at_a_multiple_of_four(envelope: Envelope) -> None:
    raw = seal_envelope(replace(envelope, witness=b""))
    assert not len(envelope.vector) or (len(raw) - len(envelope.vector)) % 4 == 0


def test_a_vector_that_begins_elsewhere_is_none() -> None:
    body, vector = b"\x1a\x01b", b"vector"
    sizes = [b"\x06", b"\x86\x00", b"\x86\x80\x00", b"\x86\x80\x80\x00", b"\x86\x80\x80\x80\x00"]
    found = [open_envelope(body + b"\x2a" + size + vector) is not None for size in sizes]
    assert found == [False, False, False, True, False]


@given(envelopes)
def test_opening_gives_back_what_was_sealed(envelope: Envelope) -> None:
    assert open_envelope(seal_envelope(envelope)) == envelope


@settings(max_examples=500)
@given(envelopes, st.data())
def test_bytes_put_in_or_cut_out_are_read_only_where_the_library_would_write_them_so(
    envelope: Envelope, data: st.DataObject
) -> None:
    raw = seal_envelope(envelope)
    start = data.draw(st.integers(0, min(len(raw), 200)))
    stop = data.draw(st.integers(start, len(raw)))
    changed = raw[:start] + data.draw(st.binary(max_size=6)) + raw[stop:]
    found = open_envelope(changed)
    assert found is None or (is_canonical(changed) and seal_envelope(found) == changed)


@settings(max_examples=500)
@given(st.lists(st.sampled_from([b"\x08", b"\x10", b"\x1a", b"\x22", b"\x2a", b"\x00", b"\x01", b"\x80", b"\x7f"])))
def test_small_messages_of_tags_and_numbers_are_read_exactly_if_canonical(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    found = open_envelope(raw)
    # A type is an int32 to the library, and below 16 here; this reader has no negative ones to tell.
    assert (found is not None) == is_canonical(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x08\x00",
        b"\x08\x81\x00",
        b"\x08\xff\xff\xff\xff\x1f",
        b"\x10\x05\x08\x01",
        b"\x08\x01\x08\x01",
        b"\x1a\x00",
        b"\x1a\x81\x00a",
        b"\x1a\x05abc",
        b"\x1a\xff\xff\xff\xff\xff\x01",
        b"\x1a",
        b"\x2aa",
        b"\x22\x01a\x1a\x01b",
        b"\x30\x01",
        b"\x08",
        b"\x08\x80",
        b"\x0a\x01a",
    ],
    ids=lambda raw: raw.hex(),
)
def test_another_spelling_is_none(raw: bytes) -> None:
    assert open_envelope(raw) is None


def test_every_prefix_is_none_or_an_envelope_without_its_last_fields() -> None:
    raw = seal_envelope(SAMPLE)
    whole = {length for length in range(len(raw)) if open_envelope(raw[:length]) is not None}
    assert whole == {0, 2, 4, 10, 76}


def test_vector_is_a_view_of_the_message() -> None:
    raw = seal_envelope(SAMPLE)
    found = open_envelope(raw)
    assert found is not None
    assert isinstance(found.vector, memoryview)
    assert found.vector.obj is raw
    assert found.vector.readonly


def test_view_of_a_vector_is_sealed_like_its_bytes() -> None:
    viewed = Envelope(version=1, type=5, body=b"body", signature=bytes(64), vector=memoryview(bytearray(b"vector")))
    assert seal_envelope(viewed) == seal_envelope(SAMPLE)


def test_contents_do_not_show_in_the_representation() -> None:
    assert repr(SAMPLE) == "Envelope(version=1, type=5)"
