"""Sealing and opening of streams, in constant memory.

Sixteen chunks are read and written at a time into buffers that are used again: a call for every 64 KiB, or a fresh
array, halves the speed. Plaintext buffers are zeroed after use; Python cannot promise that no other copy exists. Not
handled here: names of files, temporary files (nothing here makes one).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Protocol

from fedward.common.envelope.header import (
    HEADER_BYTES,
    Compression,
    Context,
    Header,
    OpenedHeader,
    open_copies,
    parse_copies,
    require_context,
)
from fedward.common.envelope.judge import Read, judge
from fedward.common.envelope.payload import CHUNK_BYTES, END_BYTES, SEALED_BYTES, TAG_BYTES, Payload
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, Identity, RandomBytes, Recipient
from fedward.common.envelope.zstd import Compressing, decompressed, read_some
from fedward.common.errors import ConfigError, EnvelopeTooLargeError

BATCH_CHUNKS = 16
DEFAULT_MAX_BYTES = 64 << 30


class Source(Protocol):
    """What is read from: a file, a socket's file, a BytesIO."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of ``buffer``; 0 at the end."""


class Sink(Protocol):
    """What is written to."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of ``data``."""


def seal(
    source: Source,
    sink: Sink,
    recipients: Sequence[Recipient],
    *,
    context: Context,
    compression: Compression = Compression.NONE,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> None:
    """Read ``source`` to its end and write an envelope to ``sink``.

    Args:
        source: the plaintext.
        sink: gets the whole envelope; making it durable is the caller's part.
        recipients: 1 to 32; each alone opens it.
        context: what it holds; whoever opens it must expect the same.
        compression: the sealed length then tells something of the content.
        random_bytes: of the operating system; tests of known answers inject theirs.

    Raises:
        ConfigError: no recipient, too many, or a context that is too long.
    """
    opened = _fresh_header(recipients, context, compression, random_bytes)
    header = opened.header.to_bytes(opened.file_key)
    _write_all(sink, memoryview(header + header))
    plain = Compressing(source) if compression is Compression.ZSTD else source
    payload = Payload(opened)
    num_sealed = _seal_chunks(payload, plain, sink)
    _write_all(sink, memoryview(payload.end_record(num_sealed)))


def _fresh_header(
    recipients: Sequence[Recipient], context: Context, compression: Compression, random_bytes: RandomBytes
) -> OpenedHeader:
    file_key, file_id = random_bytes(KEY_BYTES), random_bytes(ID_BYTES)
    header = Header(
        generation=0,
        compression=compression,
        file_id=file_id,
        context=context.to_bytes(),
        stanzas=tuple(recipient.wrap(file_key, file_id, random_bytes) for recipient in recipients),
    )
    return OpenedHeader(header=header, file_key=file_key, is_whole=True)


def _seal_chunks(payload: Payload, source: Source, sink: Sink) -> int:
    """Seal all of ``source``; returns the bytes of all chunks."""
    buffers = bytearray(BATCH_CHUNKS * CHUNK_BYTES), bytearray(BATCH_CHUNKS * CHUNK_BYTES)
    out = memoryview(bytearray(BATCH_CHUNKS * SEALED_BYTES))
    index = num_sealed = 0
    try:
        for batch, is_final in _batches(source, *buffers):
            num_chunks = max(1, -(-len(batch) // CHUNK_BYTES))
            for i in range(num_chunks):
                chunk = batch[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
                place = out[i * SEALED_BYTES : i * SEALED_BYTES + len(chunk) + TAG_BYTES]
                payload.seal_into(chunk, place, index + i, is_last=is_final and i == num_chunks - 1)
            index += num_chunks
            written = len(batch) + num_chunks * TAG_BYTES
            _write_all(sink, out[:written])
            num_sealed += written
    finally:
        for buffer in buffers:
            buffer[:] = bytes(len(buffer))
    return num_sealed


def _batches(source: Source, current: bytearray, ahead: bytearray) -> Iterator[tuple[memoryview, bool]]:
    """Full batches with one held back, so that the last is known to be the last."""
    filled = _fill(source, memoryview(current))
    while filled == len(current):
        more = _fill(source, memoryview(ahead))
        if not more:
            break
        yield memoryview(current), False
        current, ahead, filled = ahead, current, more
    yield memoryview(current)[:filled], True


def _fill(source: Source, buffer: memoryview) -> int:
    """Read until ``buffer`` is full or the source ends."""
    filled = 0
    while filled < len(buffer):
        count = read_some(source, buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _write_all(sink: Sink, data: memoryview) -> None:
    while data:
        count = sink.write(data)
        if not count:
            raise ConfigError("the output takes no bytes now", hint="Name a file, or a blocking pipe.")
        data = data[count:]


class EnvelopeReader:
    """An envelope whose header is authenticated; iterate for its plaintext.

    What is yielded is authentic and *provisional*: it is the whole only when the iteration ends without an error. Each
    view is of a buffer that the next step writes over.
    """

    def __init__(self, opened: OpenedHeader, source: Source, max_bytes: int) -> None:
        self._opened = opened
        self._source = source
        self._max_bytes = max_bytes

    @property
    def context(self) -> Context:
        """What it holds; authenticated."""
        return Context.from_bytes(self._opened.header.context)

    @property
    def compression(self) -> Compression:
        """What was done to the plaintext before it was sealed."""
        return self._opened.header.compression

    @property
    def is_header_whole(self) -> bool:
        """Whether both copies of the header are good; if not, re-wrapping repairs them."""
        return self._opened.is_whole

    def __iter__(self) -> Iterator[memoryview]:
        """Plaintext in order.

        Raises:
            ChunkCorruptError, ChunkOrderError, TruncatedError, TrailingDataError: what is wrong with the payload.
            EnvelopeTooLargeError: more plaintext than allowed; counted before it is handed on.
        """
        pieces = _open_chunks(Payload(self._opened), self._source)
        if self._opened.header.compression is Compression.ZSTD:
            pieces = decompressed(pieces)
        num_bytes = 0
        for piece in pieces:
            num_bytes += len(piece)
            if num_bytes > self._max_bytes:
                raise EnvelopeTooLargeError(f"the plaintext is longer than {self._max_bytes:,} bytes")
            yield piece


def open_stream(
    source: Source, identities: Sequence[Identity], *, expect: Context, max_plaintext_bytes: int = DEFAULT_MAX_BYTES
) -> EnvelopeReader:
    """Authenticate the header of ``source`` and get ready for its chunks.

    Raises:
        NotAnEnvelopeError, EnvelopeVersionError, EnvelopeHeaderError: no readable header.
        WrongRecipientError, HeaderTamperedError: not for these keys, or changed.
        ContextMismatchError: it holds something else than ``expect``.
    """
    opened = open_copies(_read_copies(source), identities)
    require_context(opened.header, expect)
    return EnvelopeReader(opened, source, max_plaintext_bytes)


def open_unknown(
    source: Source, identities: Sequence[Identity], *, max_plaintext_bytes: int = DEFAULT_MAX_BYTES
) -> EnvelopeReader:
    """As ``open_stream``, for a person who has the file in hand: the caller judges the reader's ``context``.

    Not ``inspect`` and then ``open_stream``: what a damaged copy of the header says is no expectation.
    """
    return EnvelopeReader(open_copies(_read_copies(source), identities), source, max_plaintext_bytes)


def open_bytes(
    source: Source, identities: Sequence[Identity], *, expect: Context, max_plaintext_bytes: int = DEFAULT_MAX_BYTES
) -> bytearray:
    """All of the plaintext, or an error; the caller may zero what it gets.

    Raises:
        EnvelopeError: as ``open_stream`` and its iteration.
    """
    whole = bytearray()
    try:
        for piece in open_stream(source, identities, expect=expect, max_plaintext_bytes=max_plaintext_bytes):
            whole += piece
    except BaseException:
        whole[:] = bytes(len(whole))
        raise
    return whole


def inspect(source: Source) -> tuple[Header, Context]:
    """What an envelope says of itself, without a key: nothing of it is proven.

    Raises:
        NotAnEnvelopeError, EnvelopeVersionError, EnvelopeHeaderError: no readable header.
    """
    header = max(parse_copies(_read_copies(source)), key=lambda copy: copy.generation)
    return header, Context.from_bytes(header.context)


def _read_copies(source: Source) -> bytes:
    buffer = bytearray(2 * HEADER_BYTES)
    return bytes(buffer[: _fill(source, memoryview(buffer))])


def _open_chunks(payload: Payload, source: Source) -> Iterator[memoryview]:
    """The plaintext of all chunks, a batch at a time; the last chunk and the end record are held back till the end."""
    window = memoryview(bytearray((BATCH_CHUNKS + 1) * SEALED_BYTES + END_BYTES))
    out = bytearray((BATCH_CHUNKS + 1) * CHUNK_BYTES)
    # Views of whole chunks, made once: slicing for each chunk costs a tenth of what decrypting it does.
    chunks = [window[i * SEALED_BYTES : (i + 1) * SEALED_BYTES] for i in range(BATCH_CHUNKS + 1)]
    plains = [memoryview(out)[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES] for i in range(BATCH_CHUNKS + 1)]
    index = held = 0
    try:
        while True:
            held += _fill(source, window[held:])
            is_final = held < len(window)
            sealed = max(0, held - END_BYTES) if is_final else BATCH_CHUNKS * SEALED_BYTES
            num_chunks = max(1, -(-sealed // SEALED_BYTES))
            for i in range(num_chunks):
                is_last = is_final and i == num_chunks - 1
                chunk = window[i * SEALED_BYTES : sealed] if is_last else chunks[i]
                if not _open_one(payload, chunk, plains[i], index + i, is_last=is_last):
                    raise judge(payload, index + i, bytes(window[i * SEALED_BYTES : held]), _reader(source))
            if is_final and payload.length_in(window[sealed:held]) != index * SEALED_BYTES + sealed:
                last = num_chunks - 1
                raise judge(payload, index + last, bytes(window[last * SEALED_BYTES : held]), _reader(source))
            yield memoryview(out)[: sealed - num_chunks * TAG_BYTES]
            if is_final:
                return
            index += num_chunks
            window[: held - sealed] = window[sealed:held]
            held -= sealed
    finally:
        out[:] = bytes(len(out))


def _open_one(payload: Payload, chunk: memoryview, out: memoryview, index: int, *, is_last: bool) -> bool:
    if len(chunk) == SEALED_BYTES:
        return payload.open_into(chunk, out, index, is_last=is_last)
    size = len(chunk) - TAG_BYTES
    return size >= 0 and payload.open_into(chunk, out[:size], index, is_last=is_last)


def _reader(source: Source) -> Read:
    """``read`` for the judge."""

    def read(size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: _fill(source, memoryview(buffer))])

    return read


__all__ = [
    "BATCH_CHUNKS",
    "DEFAULT_MAX_BYTES",
    "EnvelopeReader",
    "inspect",
    "open_bytes",
    "open_stream",
    "open_unknown",
    "seal",
    "Sink",
    "Source",
]
