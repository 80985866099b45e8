"""The words and rows of a certificate of shredding, each checked as it is made."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedward.common.errors import CertificateError
from fedward.common.shredding.media import FILE_SYSTEMS, Storage, Verdict

_MAX_COUNT: Final = 2**53 - 1
_KIND = re.compile(r"[a-z][a-z_]{0,31}")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


class Assurance(StrEnum):
    """What crypto-erasure gave."""

    ERASED = "erased"
    """No key that could open anything of the run is left."""
    ERASED_LOGICAL = "erased-logical"
    """The same, unless an old key slot and an old keystore block are found on the medium: the root lives on."""


class RootKind(StrEnum):
    """What opens the keystore; the spelling is the keystore's."""

    PASSPHRASE = "passphrase"  # noqa: S105 - a name
    KEY_FILE = "key-file"
    KEYRING = "keyring"

    @property
    def dies_when_replaced(self) -> bool:
        """Whether the old root is gone for good once it was replaced."""
        return self is RootKind.KEYRING


class Reason(StrEnum):
    """Why it was shredded."""

    REQUESTED = "requested"
    RUN_ENDED = "run_ended"
    RUN_ABORTED = "run_aborted"
    STRAY = "stray"
    """Found at a start, of no run that is known."""


class KeyClass(StrEnum):
    """Where a data key was."""

    EPHEMERAL = "ephemeral"
    DURABLE = "durable"


class PathClass(StrEnum):
    """What kind of place was overwritten; a certificate names no path."""

    KEYSTORE = "keystore"
    SLOTS = "slots"
    OBJECTS = "objects"
    SCRATCH = "scratch"
    PLAINTEXT = "plaintext"


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectsRow:
    """The objects of one kind that died."""

    kind: str
    count: int
    bytes: int
    digest: str
    """SHA-256 over their sorted ciphertext hashes, in hex."""

    def __post_init__(self) -> None:
        _require_kind(self.kind)
        require_counts(self.count, self.bytes)
        require_hex(self.digest, 32)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRow:
    """A data key that died."""

    id: str
    """16 bytes in hex: its slot's."""
    kind: str
    key_class: KeyClass

    def __post_init__(self) -> None:
        _require_kind(self.kind)
        require_hex(self.id, 16)


@dataclass(frozen=True, kw_only=True, slots=True)
class KekRow:
    """A key-encryption key that was replaced, by its epoch."""

    kind: str
    before: int
    after: int

    def __post_init__(self) -> None:
        _require_kind(self.kind)
        require_counts(self.before, self.after)
        if not self.before < self.after:
            raise CertificateError("a key-encryption key of a certificate was not replaced")


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaRow:
    """What an overwrite was worth in one class of places."""

    path_class: PathClass
    medium: str
    verdict: Verdict
    passes: int

    def __post_init__(self) -> None:
        _require_medium(self.medium)
        require_counts(self.passes)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRow:
    """What stays of the run, as the rules have it."""

    kind: str
    count: int

    def __post_init__(self) -> None:
        _require_kind(self.kind)
        require_counts(self.count)


def instant(at: datetime.datetime) -> str:
    """A time as certificates have it: UTC to the second."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def assurance_of(*, has_durable: bool, root: RootKind, root_replaced: bool, was_clear: bool) -> Assurance:
    """The table of the design page: what held the key decides.

    Args:
        has_durable: a key that died had stood, wrapped, on a disk.
        root: what opens the keystore; of several unlocks the one that lives on.
        root_replaced: whether it was replaced by this shredding.
        was_clear: something of the run was on a disk without any key: there overwriting is all there is.
    """
    if was_clear:
        return Assurance.ERASED_LOGICAL
    is_final = not has_durable or (root_replaced and root.dies_when_replaced)
    return Assurance.ERASED if is_final else Assurance.ERASED_LOGICAL


def require_hex(text: str, size: int) -> None:
    """Raises ``CertificateError`` unless ``text`` is ``size`` bytes in hex."""
    if not is_hex(text, size):
        raise CertificateError("an identifier of a certificate has another length or form")


def require_instant(text: str) -> None:
    """Raises ``CertificateError`` for a time in another form."""
    try:
        at = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise CertificateError("a time of a certificate is not UTC in its one form") from None
    if instant(at.replace(tzinfo=datetime.UTC)) != text:
        raise CertificateError("a time of a certificate is not UTC in its one form")


def require_counts(*numbers: int) -> None:
    """Raises ``CertificateError`` for what is no count."""
    if not all(type(number) is int and 0 <= number <= _MAX_COUNT for number in numbers):
        raise CertificateError("a number of a certificate cannot be")


def _require_medium(label: str) -> None:
    fs_type, _, storage = label.partition("/")
    if fs_type not in FILE_SYSTEMS | {"other"} or storage not in set(Storage):
        raise CertificateError("a certificate names a medium that is none")


def _require_kind(text: str) -> None:
    if not _KIND.fullmatch(text):
        raise CertificateError("a certificate names something that is no kind of object")


def is_hex(text: str, size: int) -> bool:
    """Whether it spells ``size`` bytes."""
    return len(text) == 2 * size and _HEX.fullmatch(text) is not None


__all__ = [
    "Assurance",
    "assurance_of",
    "instant",
    "is_hex",
    "KekRow",
    "KeptRow",
    "KeyClass",
    "KeyRow",
    "MediaRow",
    "ObjectsRow",
    "PathClass",
    "Reason",
    "require_counts",
    "require_hex",
    "require_instant",
    "RootKind",
]
