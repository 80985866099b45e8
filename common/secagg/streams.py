"""The keystream of ``common._keystream``, byte for byte the same, by the fastest road there is.

A CTR stream is the cipher over counter blocks (NIST SP 800-38A, 6.5). OpenSSL interleaves more blocks for XTS than for
CTR where the processor has vector AES, and XTS adds its tweak before and after the cipher (IEEE 1619, 5.3); a tweak
that becomes zero stays zero from block to block, and what is left is the bare cipher. So the stream is XTS over counter
blocks with the one tweak that its second key turns into zero: 1.7 times the speed of CTR, measured with OpenSSL 4.0.3
on an AMD EPYC. The second key is a public constant and hides nothing; the first is the stream's key, used whole.
"""

from __future__ import annotations

import threading

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from fedward.common import _keystream as keystream

WINDOW_WORDS = 1 << 16
"""Words whose counter blocks stand ready: 256 KiB, so that blocks, stream and vector stay together in the L2 cache."""
_BLOCK_BYTES, _BLOCK_WORDS = 16, 4
_WINDOW_BLOCKS = WINDOW_WORDS // _BLOCK_WORDS
_TWEAK_KEY, _OTHER_TWEAK_KEY = b"fedward/secagg/streams/tweak-key", b"fedward/secagg/streams/other-key"


def _tweak(key: bytes) -> bytes:
    """What ``key`` encrypts to zero."""
    bare = modes.ECB()  # noqa: S305 - one public block under a public key
    return Cipher(algorithms.AES(key), bare).decryptor().update(bytes(_BLOCK_BYTES))


_MODE, _OTHER_MODE = modes.XTS(_tweak(_TWEAK_KEY)), modes.XTS(_tweak(_OTHER_TWEAK_KEY))


def bare_cipher(key: bytes) -> CipherContext:
    """AES-256 of one block after another. One ``update_into`` takes at most a window.

    Raises:
        ValueError: a key of another length.
    """
    if len(key) != keystream.KEY_BYTES:
        raise ValueError("a stream needs a key of 32 bytes")
    # XTS wants two keys that differ.
    tweak_key, mode = (_OTHER_TWEAK_KEY, _OTHER_MODE) if key == _TWEAK_KEY else (_TWEAK_KEY, _MODE)
    return Cipher(algorithms.AES(key + tweak_key), mode).encryptor()


class _Window(threading.local):
    """The counter blocks of one window, those of the last one asked for; each thread has its own."""

    def __init__(self) -> None:
        blocks = np.zeros((_WINDOW_BLOCKS, _BLOCK_WORDS), ">u4")
        self._data = blocks.data.cast("B")
        self._low = blocks[:, -1].view(np.uint32)
        self._numbers = np.arange(_WINDOW_BLOCKS, dtype=">u4").view(np.uint32)
        self._low[:] = self._numbers
        self._window = 0

    def blocks(self, window: int) -> memoryview:
        """Of the window that begins at word ``window * WINDOW_WORDS``, below 2^34."""
        if window != self._window:
            # A window's first block is a multiple of how many it has: the bits that say the window and those that say
            # the place in it do not meet, and are changed apart. Two steps, since NumPy computes slowly with strides.
            changed = np.array((window ^ self._window) * _WINDOW_BLOCKS, ">u4").view(np.uint32)
            np.bitwise_xor(self._numbers, changed, out=self._numbers)
            self._low[:] = self._numbers
            self._window = window
        return self._data


_WINDOW = _Window()


def counter_blocks(first_word: int, count: int) -> memoryview:
    """What the cipher turns into ``count`` words from ``first_word`` on, up to whole blocks; good until the next call.

    Raises:
        ValueError: a position inside a block, or words of two windows.
    """
    window, inside = divmod(first_word, WINDOW_WORDS)
    if first_word % _BLOCK_WORDS or first_word < 0:
        raise ValueError("a stream needs a position divisible by four words")
    if inside + count > WINDOW_WORDS:
        raise ValueError(f"{count} words from {first_word} on are in two windows")
    blocks = _WINDOW.blocks(window)
    if count == WINDOW_WORDS:
        return blocks
    return blocks[4 * inside : 4 * inside + -(-count // _BLOCK_WORDS) * _BLOCK_BYTES]


class Stream:
    """The words of one key's stream, in order.

    Args:
        key: 32 bytes.
        first_word: where to begin, divisible by 4.

    Raises:
        ValueError: a key of another length, or a position inside a block.
    """

    __slots__ = ("_cipher", "_position")

    def __init__(self, key: bytes, *, first_word: int = 0) -> None:
        counter_blocks(first_word, 0)
        self._cipher, self._position = bare_cipher(key), first_word

    def next_words(self, count: int, buffer: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The next ``count`` (at most ``keystream.CHUNK_WORDS``) words, as a view into a ``keystream.new_buffer``.

        Raises:
            ValueError: the words before ended inside a block.
        """
        done = 0
        while done < count:
            size = min(count - done, WINDOW_WORDS - self._position % WINDOW_WORDS)
            self._cipher.update_into(counter_blocks(self._position, size), buffer.data[4 * done :])
            self._position += size
            done += size
        return buffer[: 4 * count].view("<u4")


__all__ = ["bare_cipher", "counter_blocks", "Stream", "WINDOW_WORDS"]
