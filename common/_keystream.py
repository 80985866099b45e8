"""AES-256-CTR keystreams as arrays of machine words: the one stream generator of the project.

Word ``w`` of a stream is bytes ``4w … 4w+3``, little-endian; the counter block is a 16-byte big-endian integer that
starts at 0 (NIST SP 800-38A). A reader may start at any word divisible by four.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

KEY_BYTES = 32
CHUNK_WORDS = 1 << 16
"""256 KiB of stream at a time: the chunk and what it is combined with stay together in a 1 MiB L2 cache."""

_ZEROS = memoryview(bytes(4 * CHUNK_WORDS))
_BLOCK_BYTES = 16


def stream(key: bytes, *, first_word: int = 0) -> CipherContext:
    """A keystream positioned at ``first_word``.

    Args:
        key: 32 bytes, used whole; never folded, shortened or turned into text.
        first_word: index of a 32-bit word, divisible by 4.

    Raises:
        ValueError: a key of another length, or a position inside a block.
    """
    if len(key) != KEY_BYTES or first_word % 4 or first_word < 0:
        raise ValueError("a stream needs a key of 32 bytes and a position divisible by four words")
    counter = (first_word // 4).to_bytes(_BLOCK_BYTES, "big")
    return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()


def new_buffer() -> NDArray[np.uint8]:
    """A chunk's worth of bytes, with the spare block that ``update_into`` asks for."""
    return np.empty(4 * CHUNK_WORDS + _BLOCK_BYTES, np.uint8)


def next_words(context: CipherContext, count: int, buffer: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The next ``count`` (at most ``CHUNK_WORDS``) words, as a view into ``buffer``.

    A kept buffer matters: ``update`` allocates its result and was measured eight times slower.
    """
    context.update_into(_ZEROS[: 4 * count], buffer.data)
    return buffer[: 4 * count].view("<u4")


def words(key: bytes, count: int, *, first_word: int = 0) -> NDArray[np.uint32]:
    """(count,) uint32 words of the stream of ``key``."""
    out = np.empty(count, "<u4")
    context, buffer = stream(key, first_word=first_word), new_buffer()
    for start in range(0, count, CHUNK_WORDS):
        stop = min(start + CHUNK_WORDS, count)
        out[start:stop] = next_words(context, stop - start, buffer)
    return out
