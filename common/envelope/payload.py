"""The payload's cryptography: chunk keys, nonces, the end record. No reading and no writing.

A payload is chunks of 65,536 plaintext bytes and a tag each, the last of 0 … 65,536, then 32 bytes: the length P of
all chunks and a truncated MAC of it. Chunk i has the nonce i (11 bytes) ‖ is-last (1 byte): the STREAM construction of
Hoang, Reyhanitabar, Rogaway and Vizár (2015). A counter repeats under no key, for every file has its own.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedward.common.envelope.header import OpenedHeader
from fedward.common.envelope.recipients import hkdf
from fedward.common.errors import ConfigError

CHUNK_BYTES = 65_536
TAG_BYTES = 16
SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
END_BYTES = 32
MAX_CHUNKS = 1 << 24
"""1 TiB: 2^36 blocks under one key leave a distinguishing bound of 2^-57."""
_LENGTH_BYTES = 8


class Payload:
    """Seals and opens single chunks of one envelope.

    Args:
        opened: its header and file key.
    """

    def __init__(self, opened: OpenedHeader) -> None:
        header = opened.header
        key = hkdf(opened.file_key, header.file_id, "payload", header.payload_binding)
        self._aead = AESGCM(key)  # one object for all chunks: making one costs as much as a chunk
        self._end_key = hkdf(opened.file_key, header.file_id, "end")

    def seal_into(self, chunk: memoryview, out: memoryview, index: int, *, is_last: bool) -> None:
        """Encrypt chunk ``index`` into ``out``, which is 16 bytes longer.

        Raises:
            ConfigError: more than 1 TiB in one envelope.
        """
        if index >= MAX_CHUNKS:
            raise ConfigError("more than 1 TiB in one envelope", hint="Split the file.")
        self._aead.encrypt_into(_nonce(index, is_last), chunk, None, out)

    def open_into(self, sealed: memoryview, out: memoryview, index: int, *, is_last: bool) -> bool:
        """Decrypt chunk ``index`` into ``out``, which is 16 bytes shorter; False if it does not belong there."""
        if index >= MAX_CHUNKS:
            return False
        try:
            self._aead.decrypt_into(_nonce(index, is_last), sealed, None, out)
        except InvalidTag:
            return False
        return True

    def end_record(self, num_sealed: int) -> bytes:
        """The 32 bytes that close ``num_sealed`` bytes of chunks."""
        length = num_sealed.to_bytes(_LENGTH_BYTES, "big")
        return length + hmac.digest(self._end_key, length, "sha256")[: END_BYTES - _LENGTH_BYTES]

    def length_in(self, record: bytes | memoryview) -> int | None:
        """P of a valid end record, else None."""
        num_sealed = int.from_bytes(record[:_LENGTH_BYTES], "big")
        is_valid = hmac.compare_digest(bytes(record), self.end_record(num_sealed))
        return num_sealed if is_valid else None


def _nonce(index: int, is_last: bool) -> bytes:
    return (index << 8 | is_last).to_bytes(12, "big")


__all__ = ["CHUNK_BYTES", "END_BYTES", "MAX_CHUNKS", "Payload", "SEALED_BYTES", "TAG_BYTES"]
