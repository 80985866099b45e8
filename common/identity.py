"""Ed25519 identities (RFC 8032) and the roster that pins them.

One signature rule: Ed25519 over ``T("fedward/<area>/v1/sig", type, digest)``. The verifier takes area and type from its
own call site, never from the message. ``Identity.sign`` and ``verify`` are the only callers of Ed25519 in the tree.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.config import COORDINATOR
from fedward.common.errors import IdentityError
from fedward.common.secagg.transcript import transcript

Area = Literal["secagg", "document"]

SEED_BYTES = 32
_SITE_ID = re.compile(r"[!-~]{1,64}")


def check_site_id(site_id: str) -> str:
    """Return ``site_id``, or refuse what is not 1–64 printable ASCII characters without blanks.

    Raises:
        IdentityError: not a site id, or the coordinator's name.
    """
    if not _SITE_ID.fullmatch(site_id) or site_id == COORDINATOR:
        raise IdentityError(
            f"{site_id!r} is not a site id", hint="Use 1 to 64 printable ASCII characters without blanks."
        )
    return site_id


@dataclass(frozen=True, slots=True)
class Identity:
    """A private signing key. It never leaves its owner's process."""

    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Identity:
        """A new identity from the operating system's CSPRNG."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def simulated(cls, secret: bytes, name: str) -> Identity:
        """The identity of a simulated party: the same ``secret`` and ``name`` give the same key.

        For simulations, where every party lives on one machine and a process may be handed any of them.
        """
        info = transcript("fedward/identity/v1/simulated", name)
        seed = HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=None, info=info).derive(secret)
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, area: Area, kind: str, digest: bytes) -> bytes:
        """64 bytes: the signature over a 32-byte ``digest`` of what travels."""
        return self._key.sign(transcript(f"fedward/{area}/v1/sig", kind, digest))


def verify(public_key: bytes, signature: bytes, area: Area, kind: str, digest: bytes) -> bool:
    """Whether ``signature`` is the owner's of ``public_key``; never raises on hostile bytes."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, transcript(f"fedward/{area}/v1/sig", kind, digest))
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """Who takes part, pinned by the hash of its exact bytes."""

    coordinator_key: bytes
    members: Mapping[str, bytes]
    """Site id to Ed25519 public key."""
    hash: bytes = field(init=False, repr=False, compare=False)
    """SHA-256 of the exact bytes; kept, for every message is compared with it."""

    def __post_init__(self) -> None:
        keys = [self.coordinator_key, *self.members.values()]
        if not self.members or any(len(key) != SEED_BYTES for key in keys) or len(set(keys)) != len(keys):
            raise IdentityError("a roster needs members, each with a key of its own")
        for site_id in self.members:
            check_site_id(site_id)
        object.__setattr__(self, "hash", hashlib.sha256(self.to_bytes()).digest())

    def to_bytes(self) -> bytes:
        """The bytes that are hashed: members in bytewise order of their ids."""
        members = [
            {"site_id": site_id, "key": self.members[site_id].hex()} for site_id in sorted(self.members, key=str.encode)
        ]
        document = {"schema": "fedward.roster/0", "coordinator": self.coordinator_key.hex(), "members": members}
        return json.dumps(document, separators=(",", ":")).encode()

    def key_of(self, sender: str) -> bytes | None:
        """The pinned key of a sender, or None for a stranger."""
        return self.coordinator_key if sender == COORDINATOR else self.members.get(sender)
