"""Injective transcripts and the digests that a cohort agrees on.

``T(label, f1, …)`` is, for the label and each field, a u32 big-endian length and then the bytes; text is UTF-8,
integers are u64 big-endian. ``H(label, …)`` is SHA-256 of that. Moving a byte across a field changes the digest. Any
change of layout, order or label is a new version of the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

Field = bytes | str | int

ZERO_HASH = bytes(32)


def transcript(label: str, *fields: Field) -> bytes:
    """``T(label, fields…)``.

    Raises:
        OverflowError: an integer outside 0 … 2^64 − 1.
    """
    parts: list[bytes] = []
    for field in (label, *fields):
        if isinstance(field, str):
            raw = field.encode()
        elif isinstance(field, int):
            raw = field.to_bytes(8, "big")
        else:
            raw = field
        parts += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(parts)


def digest(label: str, *fields: Field) -> bytes:
    """``H(label, fields…)``, 32 bytes."""
    return hashlib.sha256(transcript(label, *fields)).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortFacts:
    """Everything that the sites of one round must have been told alike."""

    run_id: bytes
    roster_hash: bytes
    plan_digest: bytes
    profile: str
    round_number: int
    attempt: int
    model_digest: bytes
    previous_sum_hash: bytes = ZERO_HASH
    layout_digest: bytes
    num_coordinates: int
    ring_bits: int
    scale_log2: int
    """May be negative, so it enters as decimal text."""
    clamp_log2: int
    holders_hash: bytes = ZERO_HASH
    min_survivors: int
    assumed_colluders: int = 0
    graph_hash: bytes = ZERO_HASH
    bundles: Mapping[str, bytes]
    """Site id to digest of its key bundle; 32 zero bytes where the profile has no keys."""

    def digest(self) -> bytes:
        """The cohort digest. It salts every mask key: told two stories, the masks do not cancel."""
        members: list[Field] = []
        for site_id in sorted(self.bundles, key=str.encode):
            members += [site_id, self.bundles[site_id]]
        return digest(
            "fedward/secagg/v1/cohort",
            self.run_id,
            self.roster_hash,
            self.plan_digest,
            self.profile,
            self.round_number,
            self.attempt,
            self.model_digest,
            self.previous_sum_hash,
            self.layout_digest,
            self.num_coordinates,
            self.ring_bits,
            str(self.scale_log2),
            self.clamp_log2,
            self.holders_hash,
            self.min_survivors,
            self.assumed_colluders,
            self.graph_hash,
            *members,
        )
