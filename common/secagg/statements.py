"""What sites sign inside messages: transport keys, vectors and confirmations, each over a digest of its own label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fedward.common.identity import Identity, verify
from fedward.common.secagg.transcript import Field, digest

Kind = Literal["TRANSPORT", "BUNDLE", "VECTOR", "CONFIRM", "GRAPH"]


def sign(identity: Identity, kind: Kind, statement: bytes) -> bytes:
    """64 bytes over a 32-byte statement."""
    return identity.sign("secagg", kind, statement)


def holds(public_key: bytes, signature: bytes, kind: Kind, statement: bytes) -> bool:
    """Whether the owner of ``public_key`` signed this statement."""
    return verify(public_key, signature, "secagg", kind, statement)


def transport_statement(
    *, run_id: bytes, roster_hash: bytes, plan_digest: bytes, site_id: str, transport_key: bytes
) -> bytes:
    """That ``site_id`` opens share packets of this run with ``transport_key``."""
    return digest("fedward/secagg/v1/transport", run_id, roster_hash, plan_digest, site_id, transport_key)


def vector_statement(cohort_digest: bytes, site_id: str, vector_hash: bytes) -> bytes:
    """That ``site_id`` sent this vector for this cohort."""
    return digest("fedward/secagg/v1/vector", cohort_digest, site_id, vector_hash)


def confirm_statement(cohort_digest: bytes, survivors_hash: bytes) -> bytes:
    """That a site knows these survivors, and will know no others."""
    return digest("fedward/secagg/v1/confirm", cohort_digest, survivors_hash)


@dataclass(frozen=True, kw_only=True, slots=True)
class Survivor:
    """A site whose vector is in the sum, with its word for it."""

    site_id: str
    vector_hash: bytes
    proof: bytes


def survivors_hash(survivors: Iterable[Survivor]) -> bytes:
    """``H(survivors, id, vector hash, …)``, by id."""
    fields: list[Field] = []
    for survivor in survivors:
        fields += [survivor.site_id, survivor.vector_hash]
    return digest("fedward/secagg/v1/survivors", *fields)


def in_order(site_ids: Iterable[str]) -> tuple[str, ...]:
    """Bytewise."""
    return tuple(sorted(site_ids, key=str.encode))


def is_ordered(site_ids: Iterable[str]) -> bool:
    """Whether ids are in bytewise order and none stands twice."""
    given = list(site_ids)
    return given == sorted(set(given), key=str.encode)
