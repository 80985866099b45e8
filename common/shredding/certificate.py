"""The certificate of a shredding: what died, how surely, signed; no name, no path, no record.

A certificate is UTF-8 JSON in one form (sorted keys, no spaces, no float, every field there and no other), and the
site's document signature (type ``certificate``) over the SHA-256 of those bytes. ``SignedCertificate`` holds both; its
text is in the body of ``shred.done`` and in the file that is given to others. Nothing inside is parsed before the
signature holds.

``head_before`` is the hash of the ledger's entry before ``shred.done``: it belongs to one place of one chain.

Not handled here: whether what it says is true. It is the word of the site's key about a disk that nobody else sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from fedward.common.errors import CertificateError, IdentityError
from fedward.common.identity import Identity, check_site_id, verify
from fedward.common.ledger.body import once
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
    is_hex,
    require_counts,
    require_hex,
    require_instant,
)
from fedward.common.shredding.media import Verdict

SCHEMA: Final = "fedward.certificate/1"
DOCUMENT: Final = "certificate"
MAX_BYTES: Final = 49_152
"""It fits into the body of an entry, quoted."""
MAX_ROWS: Final = 256
_SIGNATURE_BYTES = 64
Row = ObjectsRow | KeyRow | KekRow | MediaRow | KeptRow
_Row = TypeVar("_Row", bound=Row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """All that is certified. Rows stand in the order of their first fields, each once."""

    site_id: str
    run_id: str
    """16 bytes in hex."""
    reason: Reason
    objects: tuple[ObjectsRow, ...]
    data_keys: tuple[KeyRow, ...]
    keks: tuple[KekRow, ...]
    root: RootKind
    root_replaced: bool
    assurance: Assurance
    media: tuple[MediaRow, ...]
    plaintext_medium: str
    """``memory`` or ``disk``: where caches and temporary files of the run were."""
    caches_cleared: int
    """Files of caches and temporary files that went with the scratch."""
    plaintext_found: int
    """Files in the clear that were found in the run's folders, and went."""
    kept: tuple[KeptRow, ...]
    started_at: str
    """UTC, ISO 8601 with seconds and Z."""
    ended_at: str
    boot_id: str
    """16 bytes in hex of the host's boot, zeros where there is none; durable claims are of one boot."""
    head_before: str
    """32 bytes in hex."""
    schema: str = field(default=SCHEMA)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise CertificateError("a certificate of another schema", hint="Use the version of fedward that wrote it.")
        try:
            check_site_id(self.site_id)
        except IdentityError:
            raise CertificateError("a certificate without a site") from None
        for text, size in ((self.run_id, 16), (self.boot_id, 16), (self.head_before, 32)):
            require_hex(text, size)
        for at in (self.started_at, self.ended_at):
            require_instant(at)
        require_counts(self.caches_cleared, self.plaintext_found)
        if self.plaintext_medium not in ("disk", "memory"):
            raise CertificateError("a certificate says memory or disk of the scratch")
        self._require_rows()
        allowed = assurance_of(
            has_durable=any(key.key_class is KeyClass.DURABLE for key in self.data_keys),
            root=self.root,
            root_replaced=self.root_replaced,
            was_clear=self.plaintext_medium == "disk" or self.plaintext_found > 0,
        )
        if self.assurance is not allowed:
            raise CertificateError("a certificate's assurance is not what its keys allow")

    def _require_rows(self) -> None:
        all_rows: tuple[tuple[Row, ...], ...] = (self.objects, self.data_keys, self.keks, self.media, self.kept)
        for rows in all_rows:
            if len(rows) > MAX_ROWS or rows != sorted_rows(rows):
                raise CertificateError("rows of a certificate are unsorted, repeated or too many")

    def to_bytes(self) -> bytes:
        """The bytes that are signed.

        Raises:
            CertificateError: too long.
        """
        raw = json.dumps(_plain(self), sort_keys=True, separators=(",", ":")).encode()
        if len(raw) > MAX_BYTES:
            raise CertificateError("a certificate is too long")
        return raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Certificate:
        """Read what ``to_bytes`` wrote and nothing else. The caller has checked the signature.

        Raises:
            CertificateError: not such bytes.
        """
        if len(raw) > MAX_BYTES:
            raise CertificateError("a certificate is too long")
        try:
            certificate = _certificate_of(json.loads(raw.decode(), object_pairs_hook=once, parse_float=_no_float))
            is_exact = certificate.to_bytes() == raw
        except (ValueError, TypeError, KeyError, RecursionError):
            raise CertificateError("not a certificate") from None
        if not is_exact:
            raise CertificateError("not a certificate in its one form")
        return certificate


def sorted_rows(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    """Rows in the one order that a certificate has."""
    return tuple(sorted(set(rows), key=_row_key))


def _row_key(row: Row) -> tuple[object, ...]:
    return tuple(getattr(row, item.name) for item in fields(row))


def _plain(value: object) -> object:
    """Rows and tuples as JSON has them."""
    if isinstance(value, Certificate | Row):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return [_plain(row) for row in value] if isinstance(value, tuple) else value


_ROWS: Final = {"objects": ObjectsRow, "data_keys": KeyRow, "keks": KekRow, "media": MediaRow, "kept": KeptRow}
_ENUMS: Final = {
    "reason": Reason,
    "root": RootKind,
    "assurance": Assurance,
    "key_class": KeyClass,
    "path_class": PathClass,
    "verdict": Verdict,
}
_INTEGERS: Final = frozenset({"after", "before", "bytes", "caches_cleared", "count", "passes", "plaintext_found"})


def _certificate_of(document: object) -> Certificate:
    values = _typed(document, Certificate)
    rows = {name: tuple(row(**_typed(item, row)) for item in values[name]) for name, row in _ROWS.items()}
    return Certificate(**{**values, **rows})


def _typed(document: object, kind: type) -> dict[str, Any]:
    """The fields of ``kind``, each of its type.

    Raises:
        ValueError: others.
    """
    names = {item.name for item in fields(kind)}
    if not isinstance(document, dict) or document.keys() != names:
        raise ValueError("fields")
    return {name: _typed_value(name, value) for name, value in document.items()}


def _typed_value(name: str, value: object) -> object:
    expected = list if name in _ROWS else int if name in _INTEGERS else bool if name == "root_replaced" else str
    if type(value) is not expected:  # isinstance would take true for 1
        raise ValueError(name)
    return _ENUMS[name](str(value)) if name in _ENUMS else value


def _no_float(_: str) -> float:
    raise ValueError("a float")


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedCertificate:
    """The exact bytes and the site's signature."""

    document: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def sign(cls, certificate: Certificate, identity: Identity) -> SignedCertificate:
        """The site's word."""
        document = certificate.to_bytes()
        digest = hashlib.sha256(document).digest()
        return cls(document=document, signature=identity.sign("document", DOCUMENT, digest))

    def opened(self, public_key: bytes, *, run_id: bytes | None = None) -> Certificate:
        """What is certified, if ``public_key`` signed it.

        Args:
            public_key: 32 bytes, from the roster or the judged ledger; never from beside the certificate.
            run_id: the run that is asked about; None takes any.

        Raises:
            CertificateError: another signature, another form, or another run.
        """
        digest = hashlib.sha256(self.document).digest()
        if not verify(public_key, self.signature, "document", DOCUMENT, digest):
            raise CertificateError("the certificate is not signed by this site's key")
        certificate = Certificate.from_bytes(self.document)
        if run_id is not None and certificate.run_id != run_id.hex():
            raise CertificateError("the certificate is of another run")
        return certificate

    def to_fields(self) -> dict[str, str]:
        """As it stands in the body of ``shred.done``."""
        return {"certificate": self.document.decode("ascii"), "signature": self.signature.hex()}

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> SignedCertificate:
        """The inverse; other fields beside are the entry's.

        Raises:
            CertificateError: not such fields.
        """
        text, signature = values.get("certificate"), values.get("signature")
        if not isinstance(text, str) or not isinstance(signature, str):
            raise CertificateError("neither a certificate nor its signature")
        if not text.isascii() or len(text) > MAX_BYTES or not is_hex(signature, _SIGNATURE_BYTES):
            raise CertificateError("neither a certificate nor its signature")
        return cls(document=text.encode(), signature=bytes.fromhex(signature))

    def to_bytes(self) -> bytes:
        """The file that is given to others."""
        return json.dumps(self.to_fields(), sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_bytes(cls, raw: bytes) -> SignedCertificate:
        """Read such a file.

        Raises:
            CertificateError: another file.
        """
        if len(raw) > 2 * MAX_BYTES:
            raise CertificateError("a file of a certificate is too long")
        try:
            document = json.loads(raw.decode(), object_pairs_hook=once)
        except (ValueError, RecursionError):
            raise CertificateError("not a file of a certificate") from None
        if not isinstance(document, dict) or document.keys() != {"certificate", "signature"}:
            raise CertificateError("not a file of a certificate")
        signed = cls.from_fields(document)
        if signed.to_bytes() != raw:
            raise CertificateError("not a file of a certificate in its one form")
        return signed


__all__ = ["Certificate", "DOCUMENT", "MAX_BYTES", "MAX_ROWS", "SCHEMA", "SignedCertificate", "sorted_rows"]
