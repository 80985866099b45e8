"""The certificate: one form, the site's signature, nothing else passes, and it promises no more than its keys allow."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import CertificateError
from fedward.common.identity import Identity
from fedward.common.ledger.body import encode_body
from fedward.common.shredding import certificate as certificates
from fedward.common.shredding.certificate import MAX_ROWS, Certificate, SignedCertificate, sorted_rows
from fedward.common.shredding.certificate_rows import (
    Assurance,
    KekRow,
    KeptRow,
    KeyClass,
    KeyRow,
    MediaRow,
    ObjectsRow,
    PathClass,
    Reason,
    RootKind,
    assurance_of,
    instant,
)
from fedward.common.shredding.media import Verdict
from tests.ledgers import IDENTITY

RUN = "22" * 16
STRANGER = Identity.simulated(b"s" * 32, "stranger")
CERTIFICATE = Certificate(
    site_id="alpha",
    run_id=RUN,
    reason=Reason.REQUESTED,
    objects=(
        ObjectsRow(kind="checkpoint", count=2, bytes=9000, digest="ab" * 32),
        ObjectsRow(kind="shard", count=1, bytes=50, digest="cd" * 32),
    ),
    data_keys=(
        KeyRow(id="01" * 16, kind="checkpoint", key_class=KeyClass.DURABLE),
        KeyRow(id="02" * 16, kind="shard", key_class=KeyClass.EPHEMERAL),
    ),
    keks=(KekRow(kind="checkpoint", before=1, after=2),),
    root=RootKind.KEY_FILE,
    root_replaced=False,
    assurance=Assurance.ERASED_LOGICAL,
    media=(MediaRow(path_class=PathClass.SLOTS, medium="ext4/flash", verdict=Verdict.UNKNOWN, passes=1),),
    plaintext_medium="memory",
    caches_cleared=3,
    plaintext_found=0,
    kept=(KeptRow(kind="adapter", count=1),),
    started_at="2026-11-30T10:00:00Z",
    ended_at="2026-11-30T10:00:02Z",
    boot_id="33" * 16,
    head_before="44" * 32,
)
SIGNED = SignedCertificate.sign(CERTIFICATE, IDENTITY)


def test_certificate_is_read_as_it_was_signed() -> None:
    assert SIGNED.opened(IDENTITY.public_key, run_id=bytes.fromhex(RUN)) == CERTIFICATE


def test_file_and_entry_hold_the_same() -> None:
    assert SignedCertificate.from_bytes(SIGNED.to_bytes()) == SIGNED
    assert SignedCertificate.from_fields({**SIGNED.to_fields(), "run": RUN}) == SIGNED


def test_bytes_are_known() -> None:
    digest = hashlib.sha256(CERTIFICATE.to_bytes()).hexdigest()
    assert digest == "9b2c0e2c1e95ed92d5d9c9b3e1f77af3425da970bbb86d917fa9e964b4061e6c"


def test_fields_are_those_of_the_page_and_no_name_or_path() -> None:
    assert {item.name for item in fields(Certificate)} == {
        "schema", "site_id", "run_id", "reason", "objects", "data_keys", "keks", "root", "root_replaced", "assurance",
        "media", "plaintext_medium", "caches_cleared", "plaintext_found", "kept", "started_at", "ended_at", "boot_id",
        "head_before",
    }  # fmt: skip


def test_certificate_of_another_run_is_refused() -> None:
    with pytest.raises(CertificateError, match="another run"):
        SIGNED.opened(IDENTITY.public_key, run_id=bytes(16))


def test_certificate_of_another_site_is_refused() -> None:
    with pytest.raises(CertificateError, match="not signed"):
        SIGNED.opened(STRANGER.public_key)


def test_signature_of_another_kind_of_document_is_refused() -> None:
    digest = hashlib.sha256(SIGNED.document).digest()
    foreign = replace(SIGNED, signature=IDENTITY.sign("document", "manifest", digest))
    with pytest.raises(CertificateError, match="not signed"):
        foreign.opened(IDENTITY.public_key)


@given(st.integers(0, 8 * len(SIGNED.document) - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    altered = bytearray(SIGNED.document)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateError, match="not signed"):
        replace(SIGNED, document=bytes(altered)).opened(IDENTITY.public_key)


@given(st.integers(0, 511))
def test_any_flipped_bit_of_the_signature_is_refused(bit: int) -> None:
    altered = bytearray(SIGNED.signature)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateError, match="not signed"):
        replace(SIGNED, signature=bytes(altered)).opened(IDENTITY.public_key)


def document(**changes: object) -> bytes:
    """The certificate's JSON with other values."""
    values = {**json.loads(SIGNED.document), **changes}
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def row(table: str, /, **changes: object) -> list[dict[str, Any]]:
    """The first row of a table with other values."""
    first: dict[str, Any] = json.loads(SIGNED.document)[table][0]
    return [{**first, **changes}]


BAD = {
    "another schema": document(schema="fedward.certificate/2"),
    "no site": document(site_id=""),
    "short run": document(run_id="22"),
    "run in capitals": document(run_id="AB" * 16),
    "unknown reason": document(reason="because"),
    "field too many": document(path="/home"),
    "field too few": json.dumps({"schema": "fedward.certificate/1"}).encode(),
    "bool for a count": document(caches_cleared=True),
    "negative count": document(caches_cleared=-1),
    "huge count": document(caches_cleared=2**53),
    "float": document(caches_cleared=1.0),
    "text for a bool": document(root_replaced="no"),
    "NaN": document().replace(b'"caches_cleared":3', b'"caches_cleared":NaN'),
    "repeated name": document().replace(b'"caches_cleared":3', b'"caches_cleared":3,"caches_cleared":3'),
    "space": document().replace(b",", b", ", 1),
    "trailing": document() + b"\n",
    "other order": json.dumps(dict(reversed(json.loads(SIGNED.document).items())), separators=(",", ":")).encode(),
    "other time": document(started_at="2026-11-30T10:00:00+00:00"),
    "short time": document(started_at="2026-11-30T1:00:00Z"),
    "no month 13": document(ended_at="2026-13-01T00:00:00Z"),
    "medium is a path": document(media=row("media", medium="/dev/sda1")),
    "medium of an unknown system": document(media=row("media", medium="reiserfs/flash")),
    "verdict in doubt": document(media=row("media", verdict="surely")),
    "kind is a name": document(objects=row("objects", kind="Anna Meier")),
    "digest is short": document(objects=row("objects", digest="ab")),
    "row with a field more": document(objects=row("objects", name="x")),
    "row is a text": document(objects=["x"]),
    "rows are an object": document(objects={}),
    "rows repeated": document(objects=row("objects") * 2),
    "rows unsorted": document(objects=json.loads(SIGNED.document)["objects"][::-1]),
    "key with a short id": document(data_keys=row("data_keys", id="01")),
    "key of no class": document(data_keys=row("data_keys", key_class="eternal")),
    "KEK not replaced": document(keks=row("keks", after=1)),
    "erased while the key file lives on": document(assurance="erased"),
    "erased by a replaced key file": document(assurance="erased", root_replaced=True),
    "plaintext nowhere": document(plaintext_medium="cloud"),
    "a list": b"[]",
    "nothing": b"",
    "no text": b"\xff",
    "deep": b"[" * 100_000,
    "long": document(site_id="x" * 60_000),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_other_form_is_refused_although_it_is_signed(raw: bytes) -> None:
    digest = hashlib.sha256(raw).digest()
    signed = SignedCertificate(document=raw, signature=IDENTITY.sign("document", certificates.DOCUMENT, digest))
    with pytest.raises(CertificateError):
        signed.opened(IDENTITY.public_key)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_file(raw: bytes) -> None:
    with pytest.raises(CertificateError):
        SignedCertificate.from_bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        SIGNED.to_bytes() + b"\n",
        SIGNED.to_bytes().rstrip(b"\n"),
        SIGNED.to_bytes().replace(b'"signature":"', b'"signature":"00'),
        SIGNED.to_bytes().replace(b"}\n", b',"more":1}\n'),
        b"x" * (3 * certificates.MAX_BYTES),
    ],
)
def test_file_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(CertificateError):
        SignedCertificate.from_bytes(raw)


def test_too_many_rows_are_refused() -> None:
    many = sorted_rows(KeptRow(kind="adapter", count=number) for number in range(MAX_ROWS + 1))
    with pytest.raises(CertificateError, match="too many"):
        replace(CERTIFICATE, kept=many)


def test_largest_certificate_fits_into_an_entry() -> None:
    keys = sorted_rows(
        KeyRow(id=f"{number:032x}", kind="checkpoint", key_class=KeyClass.DURABLE) for number in range(MAX_ROWS)
    )
    signed = SignedCertificate.sign(replace(CERTIFICATE, data_keys=keys), IDENTITY)
    assert len(encode_body({**signed.to_fields(), "run": RUN}, bytes(16))) < 65_536


@pytest.mark.parametrize(
    ("has_durable", "root", "root_replaced", "expected"),
    [
        (False, RootKind.KEY_FILE, False, Assurance.ERASED),
        (True, RootKind.KEYRING, True, Assurance.ERASED),
        (True, RootKind.KEYRING, False, Assurance.ERASED_LOGICAL),
        (True, RootKind.KEY_FILE, True, Assurance.ERASED_LOGICAL),
        (True, RootKind.KEY_FILE, False, Assurance.ERASED_LOGICAL),
        (True, RootKind.PASSPHRASE, True, Assurance.ERASED_LOGICAL),
        (True, RootKind.PASSPHRASE, False, Assurance.ERASED_LOGICAL),
    ],
)
def test_assurance_is_that_of_the_table(
    has_durable: bool, root: RootKind, root_replaced: bool, expected: Assurance
) -> None:
    found = assurance_of(has_durable=has_durable, root=root, root_replaced=root_replaced, was_clear=False)
    assert found is expected


@pytest.mark.parametrize(("medium", "num_found"), [("disk", 0), ("memory", 1)])
def test_what_was_in_the_clear_on_a_disk_is_never_certified_as_erased(medium: str, num_found: int) -> None:
    erased = replace(CERTIFICATE, data_keys=(), assurance=Assurance.ERASED)
    with pytest.raises(CertificateError, match="assurance"):
        replace(erased, plaintext_medium=medium, plaintext_found=num_found)


def test_instant_is_utc_whatever_the_zone() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=8))
    assert instant(datetime.datetime(2026, 11, 30, 18, 0, tzinfo=zone)) == "2026-11-30T10:00:00Z"
