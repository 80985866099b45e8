"""What a careless caller, an odd source or a hostile file could do to sealing and opening."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.envelope.header import HEADER_BYTES, Compression, Context
from fedward.common.envelope.recipients import Passphrase
from fedward.common.envelope.stream import open_bytes, open_unknown, seal
from fedward.common.errors import ChunkCorruptError, ConfigError, EnvelopeError, TrailingDataError, TruncatedError
from tests.common.envelope.test_envelope import reframed
from tests.envelopes import CONTEXT, PAYLOAD_AT, SLOT, opened, sealed


@pytest.mark.parametrize("size", [0, 1, 12, 14, 15, 100])
def test_every_cut_behind_the_header_is_a_truncation(size: int) -> None:
    raw = sealed(bytes(size))
    for length in range(PAYLOAD_AT, len(raw)):
        with pytest.raises(TruncatedError):
            opened(raw[:length])


@pytest.mark.parametrize("size", [0, 100, 65_536, 70_000])
def test_bytes_of_the_envelope_itself_behind_its_end_are_trailing(size: int) -> None:
    raw = sealed(bytes(size))
    for more in (raw[-32:], raw[PAYLOAD_AT:], raw):
        with pytest.raises(TrailingDataError):
            opened(raw + more)


class Waiting(io.BytesIO):
    """A non-blocking pipe that has nothing yet."""

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]
        return super().readinto(buffer) or None

    def write(self, data: memoryview, /) -> None:  # type: ignore[override]
        return None


@pytest.mark.parametrize("compression", list(Compression))
def test_a_source_that_would_block_is_not_taken_for_the_end(compression: Compression) -> None:
    with pytest.raises(ConfigError):
        seal(Waiting(b"half of it"), io.BytesIO(), [SLOT], context=CONTEXT, compression=compression)
    with pytest.raises(ConfigError):
        open_bytes(Waiting(sealed(b"text")[:-5]), [SLOT], expect=CONTEXT)


def test_a_sink_that_takes_nothing_ends_in_an_error() -> None:
    with pytest.raises(ConfigError):
        seal(io.BytesIO(b"text"), Waiting(), [SLOT], context=CONTEXT)


def test_text_that_is_no_unicode_is_refused_in_words() -> None:
    with pytest.raises(ConfigError):
        Passphrase(text="seven small \udcff words")
    with pytest.raises(ConfigError, match="UTF-8"):
        sealed(b"", context=Context(kind="file", name="\udcb2\udca1.txt"))


def test_too_little_memory_for_a_passphrase_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        def __init__(self, **_: object) -> None: ...

        def derive(self, _: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr("fedward.common.envelope.recipients.Argon2id", Greedy)
    with pytest.raises(ConfigError, match="256 MiB"):
        sealed(b"", [Passphrase(text="seven small words in a row")])


def test_what_a_damaged_copy_says_of_itself_is_no_expectation() -> None:
    raw = bytearray(sealed(b"text"))
    raw[34 + len(CONTEXT.to_bytes()) - 20] ^= 1  # in the name or run of copy A, which still reads
    reader = open_unknown(io.BytesIO(bytes(raw)), [SLOT])
    assert reader.context == CONTEXT
    assert b"".join(bytes(piece) for piece in reader) == b"text"


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def test_a_frame_that_is_skipped_is_no_content() -> None:
    from backports import zstd

    for body in (SKIPPABLE + zstd.compress(b"text"), zstd.compress(b"text") + SKIPPABLE):
        with pytest.raises(ChunkCorruptError):
            opened(reframed(body))


@given(st.data())
def test_hostile_frames_give_our_own_errors(data: st.DataObject) -> None:
    from backports import zstd

    frame = bytearray(zstd.compress(data.draw(st.binary(max_size=300)) * data.draw(st.integers(1, 50))))
    for _ in range(data.draw(st.integers(1, 5))):
        frame[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened(reframed(bytes(frame)))
    except EnvelopeError:
        return


@given(
    st.binary(max_size=400),
    st.lists(st.tuples(st.sampled_from(["drop", "double", "flip", "insert"]), st.integers(0, 600)), min_size=1),
)
def test_any_edits_of_the_payload_are_refused_or_undo_each_other(text: bytes, edits: list[tuple[str, int]]) -> None:
    raw = sealed(text)
    body = bytearray(raw[2 * HEADER_BYTES :])
    for kind, place in edits:
        at = place % (len(body) + 1)
        if kind == "drop":
            del body[at : at + 5]
        elif kind == "double":
            body[at:at] = body[at : at + 40]
        elif kind == "insert":
            body[at:at] = b"\0"
        elif at < len(body):
            body[at] ^= 1
    if bytes(body) == raw[2 * HEADER_BYTES :]:
        return
    with pytest.raises(EnvelopeError):
        opened(raw[: 2 * HEADER_BYTES] + bytes(body))
