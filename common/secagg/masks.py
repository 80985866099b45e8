"""Adding and taking away masks at the speed of the keystream, in one pass over the vector.

A mask is the AES-256-CTR stream of a 32-byte key, read as ring words. A chunk of 64 Ki words stays in the L2 cache
while it is written (the site's quantiser) and every stream is added to it or taken away. Threads cut the vector at
chunk borders and give the same bytes, whatever their number; they pay from about four million words on, since OpenSSL
and NumPy let go of the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fedward.common import _keystream as keystream
from fedward.common.secagg.ring import RingVector, WriterFactory
from fedward.common.secagg.streams import WINDOW_WORDS, bare_cipher, counter_blocks

THREADING_WORDS = 4_000_000
"""Below it threads cost more than they save."""
_CHUNK = WINDOW_WORDS


def apply_masks(
    vector: RingVector,
    *,
    plus: Sequence[bytes] = (),
    minus: Sequence[bytes] = (),
    writer: WriterFactory | None = None,
    check: Callable[[RingVector], bool] | None = None,
    threads: int = 1,
) -> bool:
    """``vector += Σ PRG(plus) − Σ PRG(minus)`` modulo 2^32, in place.

    Args:
        vector: (L,) contiguous uint32.
        plus: keys of 32 bytes.
        minus: keys of 32 bytes.
        writer: gives the vector's words first, instead of those that stand in it.
        check: asked of each chunk that is done, while it is in the cache.
        threads: at most so many, and one below ``THREADING_WORDS``.

    Returns:
        Whether every chunk passed ``check``; if one does not, the vector is to be thrown away.

    Raises:
        ValueError: a key of another length. Whatever else ``writer`` raises; the vector is then to be thrown away.
    """
    size = vector.size
    if threads <= 1 or size < max(THREADING_WORDS, _CHUNK):
        return _apply_range(vector, 0, size, plus, minus, writer, check)
    chunks = -(-size // _CHUNK)
    span = -(-chunks // threads) * _CHUNK
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_apply_range, vector, start, min(size, start + span), plus, minus, writer, check)
            for start in range(0, size, span)
        ]
        passed = [part.result() for part in parts]  # all of them: any may have raised
    return all(passed)


def _apply_range(
    vector: RingVector,
    first: int,
    last: int,
    plus: Sequence[bytes],
    minus: Sequence[bytes],
    writer: WriterFactory | None,
    check: Callable[[RingVector], bool] | None,
) -> bool:
    added, taken = [[bare_cipher(key).update_into for key in given] for given in (plus, minus)]
    buffer = keystream.new_buffer()
    into, words = buffer.data, buffer[: 4 * _CHUNK].view("<u4")
    write = None if writer is None else writer()
    for start in range(first, last, _CHUNK):
        chunk = vector[start : min(start + _CHUNK, last)]
        if write is not None:
            write(start, chunk)
        blocks, mask = counter_blocks(start, chunk.size), words[: chunk.size]
        for encrypt_into in added:
            encrypt_into(blocks, into)
            np.add(chunk, mask, out=chunk)
        for encrypt_into in taken:
            encrypt_into(blocks, into)
            np.subtract(chunk, mask, out=chunk)
        if check is not None and not check(chunk):
            return False
    return True


__all__ = ["apply_masks", "THREADING_WORDS"]
