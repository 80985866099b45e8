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
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.config import COORDINATOR
from fedward.common.errors import IdentityError
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import transcript

Area = Literal["secagg", "document", "ledger"]

SEED_BYTES = 32
ROSTER_SCHEMA = "fedward.roster/0"
MAX_ROSTER_BYTES = 1 << 20
_SMALL_ORDER = frozenset(
    map(
        bytes.fromhex,
        (
            "00" * 32,
            "01" + "00" * 31,
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ec" + "ff" * 30 + "7f",
            "ed" + "ff" * 30 + "7f",
            "ee" + "ff" * 30 + "7f",
        ),
    )
)
"""All encodings of the eight points of order 8 or less, without the sign bit (RFC 8032, 5.1.3; computed)."""
_ROSTER_HINT = "Take the file as the consortium gave it out, and compare its hash with another site's."
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
    """A private signing key. It leaves its owner's process for its keystore alone."""

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

    @classmethod
    def from_bytes(cls, seed: bytes) -> Identity:
        """From the 32 secret bytes of ``to_bytes``."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def to_bytes(self) -> bytes:
        """The 32 secret bytes, for the keystore."""
        return self._key.private_bytes_raw()

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
    """Who takes part and what nobody goes below, pinned by the hash of its exact bytes."""

    coordinator_key: bytes
    members: Mapping[str, bytes]
    """Site id to Ed25519 public key."""
    assumed_colluders: int = 0
    """Sites of a cohort that at least are reckoned to work together with the coordinator; a plan may state more."""
    min_cohort: int = 3
    """Fewest sites in any sum; a plan may state more."""
    profiles: tuple[str, ...] = tuple(profile.value for profile in Profile)
    """Secure-aggregation profiles of the consortium; a site's policy may allow fewer."""
    hash: bytes = field(init=False, repr=False, compare=False)
    """SHA-256 of the exact bytes; kept, for every message is compared with it."""

    def __post_init__(self) -> None:
        keys = [self.coordinator_key, *self.members.values()]
        if not self.members or not all(map(_is_signing_key, keys)) or len(set(keys)) != len(keys):
            raise IdentityError("a roster needs members, each with a key of its own")
        for site_id in self.members:
            check_site_id(site_id)
        floors = (self.assumed_colluders, self.min_cohort)
        if any(type(number) is not int for number in floors) or self.assumed_colluders < 0 or self.min_cohort < 1:
            raise IdentityError("a roster's assumed_colluders and min_cohort are whole numbers, min_cohort above 0")
        are_names = all(type(profile) is str for profile in self.profiles)
        if not self.profiles or not are_names or len(set(self.profiles)) != len(self.profiles):
            raise IdentityError("a roster names its profiles, each once")
        object.__setattr__(self, "hash", hashlib.sha256(self.to_bytes()).digest())

    def to_bytes(self) -> bytes:
        """The bytes that are hashed: members in bytewise order of their ids."""
        members = [
            {"site_id": site_id, "key": self.members[site_id].hex()} for site_id in sorted(self.members, key=str.encode)
        ]
        document = {
            "schema": ROSTER_SCHEMA,
            "coordinator": self.coordinator_key.hex(),
            "members": members,
            "assumed_colluders": self.assumed_colluders,
            "min_cohort": self.min_cohort,
            "profiles": list(self.profiles),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Roster:
        """Read what ``to_bytes`` wrote, and nothing else: no other order, spacing, field or repetition.

        Raises:
            IdentityError: not such bytes.
        """
        try:
            if len(raw) > MAX_ROSTER_BYTES:
                raise ValueError("too long")
            roster = cls._of_document(json.loads(raw))
            is_exact = roster.to_bytes() == raw
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, IdentityError) as error:
            raise IdentityError("not a roster", hint=_ROSTER_HINT) from error
        # One roster has one hash: what is read is what would be written, to the byte.
        if not is_exact:
            raise IdentityError("not a roster in its one form", hint=_ROSTER_HINT)
        return roster

    @classmethod
    def _of_document(cls, document: dict[str, Any]) -> Roster:
        return cls(
            coordinator_key=bytes.fromhex(document["coordinator"]),
            members={entry["site_id"]: bytes.fromhex(entry["key"]) for entry in document["members"]},
            assumed_colluders=document["assumed_colluders"],
            min_cohort=document["min_cohort"],
            profiles=tuple(document["profiles"]),
        )

    def key_of(self, sender: str) -> bytes | None:
        """The pinned key of a sender, or None for a stranger."""
        return self.coordinator_key if sender == COORDINATOR else self.members.get(sender)


def _is_signing_key(key: bytes) -> bool:
    """Whether ``key`` is long enough and none of the points under which one signature fits many messages."""
    return len(key) == SEED_BYTES and bytes([*key[:-1], key[-1] & 0x7F]) not in _SMALL_ORDER
