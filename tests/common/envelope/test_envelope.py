"""Behaviour of sealing and opening: sizes, faults, limits, properties."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.envelope.header import HEADER_BYTES, Compression, Context, Header, open_copies
from fedward.common.envelope.payload import CHUNK_BYTES, SEALED_BYTES
from fedward.common.envelope.recipients import (
    BODY_BYTES,
    Identity,
    Passphrase,
    StanzaType,
    X25519Identity,
    X25519Recipient,
)
from fedward.common.envelope.stream import inspect, open_bytes, open_stream, seal
from fedward.common.errors import (
    ChunkCorruptError,
    ChunkOrderError,
    ConfigError,
    ContextMismatchError,
    EnvelopeError,
    EnvelopeHeaderError,
    EnvelopeTooLargeError,
    EnvelopeVersionError,
    HeaderTamperedError,
    NotAnEnvelopeError,
    TrailingDataError,
    TruncatedError,
    WrongRecipientError,
)
from tests.envelopes import CONTEXT, PASSPHRASE, PAYLOAD_AT, SLOT, X25519, chunk, opened, sealed

C = CHUNK_BYTES
THREE = bytes(range(256)) * (C // 128) + b"tail"  # two full chunks and a short one
RAW = sealed(THREE)
SIZES = [0, 1, C - 1, C, C + 1, 2 * C + 500, 15 * C, 16 * C - 1, 16 * C, 16 * C + 1, 17 * C, 33 * C + 7]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("compression", list(Compression))
def test_what_is_sealed_opens_again(size: int, compression: Compression) -> None:
    plaintext = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    raw = sealed(plaintext, compression=compression)
    assert opened(raw) == plaintext


class Dribble(io.BytesIO):
    """A pipe: gives a few bytes at a time and cannot seek."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return super().readinto(buffer[:777])

    def seek(self, *_: int) -> int:
        raise OSError("a pipe cannot seek")


def test_pipes_are_read_and_written() -> None:
    sink = io.BytesIO()
    seal(Dribble(THREE), sink, [SLOT], context=CONTEXT)
    assert bytes(open_bytes(Dribble(sink.getvalue()), [SLOT], expect=CONTEXT)) == THREE


def flip(raw: bytes, *places: int) -> bytes:
    out = bytearray(raw)
    for at in places:
        out[at] ^= 0x10
    return bytes(out)


def both(at: int) -> tuple[int, int]:
    return at, at + HEADER_BYTES


STANZA_AT = 35 + len(CONTEXT.to_bytes())
FAULTS: list[tuple[str, Callable[[bytes], bytes], type[EnvelopeError]]] = [
    ("empty file", lambda raw: b"", NotAnEnvelopeError),
    ("another file", lambda raw: b"%PDF-1.7" + raw[8:4096] + b"%PDF-1.7" + raw[4104:], NotAnEnvelopeError),
    ("cut within the header", lambda raw: raw[:4095], EnvelopeHeaderError),
    ("cut behind the header", lambda raw: raw[:8192], TruncatedError),
    ("cut in a chunk", lambda raw: raw[:9000], TruncatedError),
    ("cut at the edge of a chunk", lambda raw: raw[: PAYLOAD_AT + SEALED_BYTES], TruncatedError),
    ("end record missing", lambda raw: raw[:-32], TruncatedError),
    ("half an end record", lambda raw: raw[:-16], TruncatedError),
    ("magic in both copies", lambda raw: flip(raw, *both(0)), NotAnEnvelopeError),
    ("suite in both copies", lambda raw: flip(raw, *both(12)), EnvelopeVersionError),
    ("compression in both copies", lambda raw: flip(raw, *both(13)), EnvelopeVersionError),
    ("reserved bytes in both copies", lambda raw: flip(raw, *both(15)), EnvelopeHeaderError),
    ("file id in both copies", lambda raw: flip(raw, *both(16)), WrongRecipientError),
    ("context length in both copies", lambda raw: flip(raw, *both(32)), EnvelopeHeaderError),
    ("context in both copies", lambda raw: flip(raw, *both(34 + len(CONTEXT.to_bytes()) - 1)), HeaderTamperedError),
    ("context label in both copies", lambda raw: flip(raw, *both(40)), EnvelopeHeaderError),
    ("generation in both copies", lambda raw: flip(raw, *both(11)), HeaderTamperedError),
    ("my stanza in both copies", lambda raw: flip(raw, *both(STANZA_AT + 3 + 20)), WrongRecipientError),
    ("stanza type in both copies", lambda raw: flip(raw, *both(STANZA_AT)), EnvelopeHeaderError),
    ("stanza length in both copies", lambda raw: flip(raw, *both(STANZA_AT + 2)), EnvelopeHeaderError),
    ("padding in both copies", lambda raw: flip(raw, *both(3000)), EnvelopeHeaderError),
    ("mac in both copies", lambda raw: flip(raw, *both(4090)), HeaderTamperedError),
    ("a bit of the first chunk", lambda raw: flip(raw, PAYLOAD_AT), ChunkCorruptError),
    ("a bit of the second chunk", lambda raw: flip(raw, PAYLOAD_AT + SEALED_BYTES + 5), ChunkCorruptError),
    ("a bit of the last chunk", lambda raw: flip(raw, len(raw) - 40), ChunkCorruptError),
    ("a bit of the end record", lambda raw: flip(raw, len(raw) - 1), ChunkCorruptError),
    ("a bit of the end record's length", lambda raw: flip(raw, len(raw) - 26), ChunkCorruptError),
    ("two chunks swapped", lambda raw: raw[:PAYLOAD_AT] + chunk(raw, 1) + chunk(raw, 0) + raw[-52:], ChunkOrderError),
    (
        "the last chunk moved to the front",
        lambda raw: raw[:PAYLOAD_AT] + raw[-52:-32] + raw[PAYLOAD_AT:-52] + raw[-32:],
        ChunkOrderError,
    ),
    ("a chunk repeated", lambda raw: raw[:PAYLOAD_AT] + chunk(raw, 0) + raw[PAYLOAD_AT:], ChunkOrderError),
    ("a chunk in place of another", lambda raw: raw[:PAYLOAD_AT] + chunk(raw, 0) * 2 + raw[-52:], ChunkOrderError),
    ("the first chunk dropped", lambda raw: raw[:PAYLOAD_AT] + raw[PAYLOAD_AT + SEALED_BYTES :], TruncatedError),
    ("the last chunk dropped", lambda raw: raw[:-52] + raw[-32:], TruncatedError),
    ("a byte appended", lambda raw: raw + b"\0", TrailingDataError),
    ("a kilobyte appended", lambda raw: raw + bytes(1024), TrailingDataError),
    ("a megabyte appended", lambda raw: raw + bytes(3 << 20), TrailingDataError),
    ("another envelope appended", lambda raw: raw + sealed(b"two"), TrailingDataError),
]


@pytest.mark.parametrize(("change", "error"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
@pytest.mark.parametrize("kind", [io.BytesIO, Dribble])
def test_every_fault_has_its_own_error(
    change: Callable[[bytes], bytes], error: type[EnvelopeError], kind: type[io.BytesIO]
) -> None:
    with pytest.raises(error) as caught:
        open_bytes(kind(change(RAW)), [SLOT], expect=CONTEXT)
    assert type(caught.value) is error


def test_bytes_behind_an_envelope_that_fills_its_last_chunk() -> None:
    with pytest.raises(TrailingDataError):
        opened(sealed(bytes(2 * C)) + b"more")


def test_a_damaged_copy_of_the_header_is_healed_by_the_other() -> None:
    for at in (0, 5, 13, 20, 60, STANZA_AT, 2000, 4080):
        for damaged in (flip(RAW, at), flip(RAW, at + HEADER_BYTES)):
            reader = open_stream(io.BytesIO(damaged), [SLOT], expect=CONTEXT)
            assert not reader.is_header_whole
            assert b"".join(bytes(piece) for piece in reader) == THREE
    assert open_stream(io.BytesIO(RAW), [SLOT], expect=CONTEXT).is_header_whole


def test_a_file_under_another_kind_name_or_run_is_refused() -> None:
    others = [
        replace(CONTEXT, kind="log"),
        replace(CONTEXT, name="final2"),
        replace(CONTEXT, run_id=bytes(16)),
        Context(kind="adapterf", name="inal", run_id=CONTEXT.run_id),
    ]
    for other in others:
        with pytest.raises(ContextMismatchError):
            opened(RAW, expect=other)


@pytest.mark.parametrize("change", [{"context": replace(CONTEXT, name="other").to_bytes()}, {"compression": 1}])
def test_a_holder_of_the_file_key_cannot_change_what_is_bound(change: dict[str, object]) -> None:
    known = open_copies(RAW, [SLOT])
    forged = replace(known.header, **change).to_bytes(known.file_key)  # type: ignore[arg-type]
    with pytest.raises((ChunkCorruptError, ContextMismatchError)):
        opened(forged + forged + RAW[PAYLOAD_AT:])
    if "context" in change:
        with pytest.raises(ChunkCorruptError):
            opened(forged + forged + RAW[PAYLOAD_AT:], expect=replace(CONTEXT, name="other"))


def test_chunks_of_another_file_with_the_same_key_do_not_fit() -> None:
    other = sealed(THREE, context=replace(CONTEXT, name="other"))
    mixed = RAW[:PAYLOAD_AT] + chunk(other, 0) + RAW[PAYLOAD_AT + SEALED_BYTES :]
    with pytest.raises(ChunkCorruptError):
        opened(mixed)


def test_each_recipient_opens_and_nobody_else() -> None:
    raw = sealed(b"text", [X25519.recipient, PASSPHRASE, SLOT])
    for identity in (X25519, PASSPHRASE, SLOT):
        assert opened(raw, [identity]) == b"text"
    strangers: list[Identity] = [
        X25519Identity.generate(),
        replace(PASSPHRASE, text="wrong horse battery"),
        replace(SLOT, key=bytes(32)),
    ]
    with pytest.raises(WrongRecipientError):
        opened(raw, strangers)


def patched(raw: bytes, at: int, data: bytes) -> bytes:
    out = bytearray(raw)
    for place in both(at):
        out[place : place + len(data)] = data
    return bytes(out)


@pytest.mark.parametrize(
    "numbers",
    [
        (1, 31, 8, 1),
        (1, 13, 8, 1),
        (1, 17, 9, 1),
        (1, 17, 8, 5),
        (2, 2**30, 3, 4),
        (2, 1024, 3, 4),
        (2, 65536, 17, 1),
        (3, 17, 8, 1),
    ],
)
def test_costs_beyond_the_limits_are_refused_before_they_are_paid(numbers: tuple[int, int, int, int]) -> None:
    raw = patched(sealed(b"", [PASSPHRASE]), STANZA_AT + 3, struct.pack(">BIII", *numbers))
    with pytest.raises(EnvelopeHeaderError):
        opened(raw, [PASSPHRASE])


def test_too_many_or_repeated_stanzas_are_refused() -> None:
    with pytest.raises(ConfigError):
        sealed(b"", [SLOT] * 33)
    with pytest.raises(ConfigError):
        sealed(b"", [])
    # Sealing refuses what opening would: otherwise a file would be sealed that nobody ever opens.
    for repeated in ([X25519.recipient] * 2, [PASSPHRASE] * 5):
        with pytest.raises(ConfigError):
            sealed(b"", repeated)
    with pytest.raises(EnvelopeHeaderError):
        opened(patched(RAW, STANZA_AT - 1, b"\x21"))


def test_a_public_key_of_small_order_is_refused() -> None:
    with pytest.raises(ConfigError):
        sealed(b"", [X25519Recipient(public_key=bytes(32))])


def test_an_ephemeral_key_of_small_order_opens_nothing() -> None:
    raw = patched(sealed(b"", [X25519.recipient]), STANZA_AT + 3 + 8, bytes(32))
    with pytest.raises(WrongRecipientError):
        opened(raw, [X25519])


def test_short_passphrases_are_refused_and_two_spellings_are_one() -> None:
    with pytest.raises(ConfigError):
        Passphrase(text="short")
    composed, decomposed = "gr\u00fcne Wiesen im Mai", "gru\u0308ne Wiesen im Mai"
    raw = sealed(b"text", [replace(PASSPHRASE, text=composed)])
    assert opened(raw, [replace(PASSPHRASE, text=decomposed)]) == b"text"


def test_no_secret_shows_in_a_repr() -> None:
    known = open_copies(RAW, [SLOT])
    shown = f"{X25519!r} {PASSPHRASE!r} {SLOT!r} {known!r}"
    assert SLOT.key.hex() not in shown
    assert repr(SLOT.key) not in shown
    assert repr(known.file_key) not in shown
    assert PASSPHRASE.text not in shown


def test_more_plaintext_than_allowed_is_refused_before_it_is_handed_on() -> None:
    reader = open_stream(io.BytesIO(RAW), [SLOT], expect=CONTEXT, max_plaintext_bytes=len(THREE) - 1)
    with pytest.raises(EnvelopeTooLargeError):
        list(reader)
    assert len(open_bytes(io.BytesIO(RAW), [SLOT], expect=CONTEXT, max_plaintext_bytes=len(THREE))) == len(THREE)


def test_a_compression_bomb_is_stopped_at_the_limit() -> None:
    raw = sealed(bytes(64 << 20), compression=Compression.ZSTD)
    assert len(raw) < 64 << 10
    sizes: list[int] = []
    reader = open_stream(io.BytesIO(raw), [SLOT], expect=CONTEXT, max_plaintext_bytes=5 << 20)
    with pytest.raises(EnvelopeTooLargeError):
        sizes.extend(map(len, reader))
    assert max(sizes) <= 1 << 20
    assert sum(sizes) <= 5 << 20


def reframed(frame: bytes) -> bytes:
    """An envelope that says "zstd" around bytes of the test's choice."""
    sink = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedward.common.envelope.stream.Compressing", lambda source: source)
        seal(io.BytesIO(frame), sink, [SLOT], context=CONTEXT, compression=Compression.ZSTD)
    return sink.getvalue()


@pytest.mark.parametrize("cut", ["cut", "tail", "two", "garbage", "empty", "window"])
def test_what_is_not_one_whole_frame_is_refused(cut: str) -> None:
    frame = zstd.compress(b"hello" * 1000)
    wide = zstd.ZstdCompressor(
        options={
            zstd.CompressionParameter.window_log: 27,
            zstd.CompressionParameter.compression_level: 1,
        }
    )
    bodies = {
        "cut": frame[:-3],
        "tail": frame + b"\0",
        "two": frame + frame,
        "garbage": b"not a frame at all",
        "empty": b"",
        "window": wide.compress(b"a" * (1 << 20)) + wide.flush(),
    }
    with pytest.raises(ChunkCorruptError):
        opened(reframed(bodies[cut]))


def test_inspection_needs_no_key() -> None:
    header, context = inspect(io.BytesIO(RAW))
    assert context == CONTEXT
    assert [stanza.type for stanza in header.stanzas] == [StanzaType.SLOT]


def test_two_seals_of_one_text_share_nothing() -> None:
    first, second = sealed(THREE), sealed(THREE)
    assert first[16:32] != second[16:32]
    assert first[PAYLOAD_AT : PAYLOAD_AT + 64] != second[PAYLOAD_AT : PAYLOAD_AT + 64]


@given(
    st.tuples(st.text(max_size=40), st.text(max_size=40), st.binary(min_size=16, max_size=16)),
    st.tuples(st.text(max_size=40), st.text(max_size=40), st.binary(min_size=16, max_size=16)),
)
def test_contexts_are_injective(one: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    first, second = (Context(kind=kind, name=name, run_id=run) for kind, name, run in (one, other))
    assert (first.to_bytes() == second.to_bytes()) == (first == second)
    assert Context.from_bytes(first.to_bytes()) == first


SMALL = sealed(b"a few words")


@given(st.integers(0, len(SMALL) * 8 - 1))
def test_any_flipped_bit_is_refused_or_healed(bit: int) -> None:
    damaged = bytearray(SMALL)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        plaintext = opened(bytes(damaged))
    except EnvelopeError:
        assert bit // 8 >= PAYLOAD_AT
    else:
        assert plaintext == b"a few words"
        assert bit // 8 < PAYLOAD_AT


@given(st.binary(max_size=HEADER_BYTES), st.binary(max_size=200))
def test_hostile_bytes_give_our_own_errors(header: bytes, tail: bytes) -> None:
    copy = (b"FEDWENV1" + header)[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    with pytest.raises(EnvelopeError):
        opened(copy + copy + tail, [SLOT, X25519])


@given(st.data())
def test_hostile_edits_of_a_header_give_our_own_errors(data: st.DataObject) -> None:
    raw = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(8, 250))
        value = data.draw(st.integers(0, 255))
        raw[at] = raw[at + HEADER_BYTES] = value
    with suppress(EnvelopeError):
        assert opened(bytes(raw)) == b"a few words"


def test_every_stanza_body_has_the_stated_length() -> None:
    header = Header.from_bytes(sealed(b"", [X25519.recipient, PASSPHRASE, SLOT])[:HEADER_BYTES])
    assert {stanza.type: len(stanza.body) for stanza in header.stanzas} == BODY_BYTES
