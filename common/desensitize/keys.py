"""A site's desensitisation key and what is drawn from it.

Every draw is keyed by type, scope and canonical original, so it is the same in every record, run and worker, and
says nothing to a reader without the key. Not handled here: where the secret is kept (the vault).
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.errors import ConfigError

KEY_BYTES = 32
_LABEL = b"fedward/desensitize/v1"


def length_prefixed(text: str) -> bytes:
    """LP(x): the length in bytes (uint32, big-endian), then UTF-8. Makes a concatenation injective."""
    data = text.encode("utf-8", "surrogatepass")
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrubKeys:
    """The secret of one site (32 bytes) with its names.

    Args:
        secret: from the vault; never sent, shown or logged.
        site_id: of the institution.
        key_id: a new one is a new corpus version; two in one corpus are refused elsewhere.

    Raises:
        ConfigError: a secret of another length, or an empty name.
    """

    secret: bytes = field(repr=False)
    site_id: str
    key_id: str

    def __post_init__(self) -> None:
        if type(self.secret) is not bytes or len(self.secret) != KEY_BYTES:
            raise ConfigError(f"desensitisation key: expected {KEY_BYTES} bytes")
        if not self.site_id or not self.key_id:
            raise ConfigError("desensitisation key: site_id and key_id must not be empty")

    @classmethod
    def one_run(cls, site_id: str = "local") -> ScrubKeys:
        """A fresh key that is kept nowhere: consistent within the run, linkable to nothing later."""
        return cls(secret=secrets.token_bytes(KEY_BYTES), site_id=site_id, key_id="one-run")

    def derive(self, purpose: str, type_name: str) -> bytes:
        """k(purpose, type): 32 bytes by HKDF-SHA256 (RFC 5869), no salt."""
        return _derive(self.secret, purpose, type_name, self.site_id, self.key_id)

    def draw(self, type_name: str, scope: str, scope_id: str, canonical: str, counter: int = 0) -> bytes:
        """d_c: 32 bytes by HMAC-SHA256 under k("surrogate", type); the counter redraws."""
        message = b"".join(map(length_prefixed, (scope, scope_id, canonical))) + struct.pack(">I", counter)
        return hmac.digest(self.derive("surrogate", type_name), message, "sha256")


def below(draw: bytes, domain: int) -> int:
    """A number in [0, domain) from the first 16 bytes of a draw; the bias is at most domain / 2**128."""
    return int.from_bytes(draw[:16], "big") % domain


@lru_cache(maxsize=4096)
def _derive(secret: bytes, *names: str) -> bytes:
    info = _LABEL + b"".join(map(length_prefixed, names))
    return HKDF(SHA256(), KEY_BYTES, None, info).derive(secret)


__all__ = ["below", "KEY_BYTES", "length_prefixed", "ScrubKeys"]
