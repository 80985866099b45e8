"""The header: 4096 bytes, written twice, sealed by a MAC under the file key.

=========  ========  ===========================================================================================
offset     bytes     field
=========  ========  ===========================================================================================
0          8         magic ``FEDWENV1``
8          4         generation, u32 big-endian; grows by one with every re-wrap
12         1, 1, 2   suite = 1; compression 0 none, 1 zstd; two zero bytes
16         16        ``file_id``, random
32         2 + c     length c ≤ 512, and the context ``T("fedward/envelope/v1/context", kind, name, run_id)``
34 + c     1 + …     number of stanzas 1 … 32, then each: type u8, length of the body u16, body
…          …         zeros to 4064
4064       32        HMAC-SHA256 under HKDF(file key, file_id, "header") of all before
=========  ========  ===========================================================================================

The MAC commits to the file key; AES-GCM alone does not (Albertini et al., 2022), and two recipients could be shown two
texts. Not handled here: the payload.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from fedward.common.envelope.recipients import (
    BODY_BYTES,
    ID_BYTES,
    KEY_BYTES,
    Identity,
    Stanza,
    StanzaType,
    hkdf,
    passphrase_cost,
)
from fedward.common.errors import (
    ConfigError,
    ContextMismatchError,
    EnvelopeHeaderError,
    EnvelopeVersionError,
    HeaderTamperedError,
    NotAnEnvelopeError,
    WrongRecipientError,
)
from fedward.common.secagg.transcript import transcript

MAGIC = b"FEDWENV1"
HEADER_BYTES = 4096
_MAC_BYTES = 32
_BODY_END = HEADER_BYTES - _MAC_BYTES
MAX_CONTEXT_BYTES = 512
MAX_STANZAS = 32
MAX_PASSPHRASE_STANZAS = 4
"""Each costs a wrong guesser, and an honest opener, up to 2 GiB and seconds."""
_SUITE = 1
_FIXED = struct.Struct(">8sIBBH16sH")
_LABEL = "fedward/envelope/v1/context"


class Compression(IntEnum):
    """What was done to the plaintext before it was sealed."""

    NONE = 0
    ZSTD = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What an envelope is for; bound into every chunk, and in the clear for anyone to read.

    Args:
        kind: what it holds, for example "adapter".
        name: which one.
        run_id: 16 bytes; zero for none.
    """

    kind: str
    name: str
    run_id: bytes = bytes(ID_BYTES)

    def to_bytes(self) -> bytes:
        """The transcript.

        Raises:
            ConfigError: longer than the header holds, no UTF-8, or a run id of another length.
        """
        if len(self.run_id) != ID_BYTES:
            raise ConfigError(f"a run id has {ID_BYTES} bytes")
        try:
            raw = transcript(_LABEL, self.kind, self.name, self.run_id)
        except UnicodeEncodeError:  # a file's name in another encoding, for example
            raise ConfigError("kind and name of an envelope are UTF-8 text", hint="Give another --name.") from None
        if len(raw) > MAX_CONTEXT_BYTES:
            raise ConfigError("kind and name of an envelope are too long together", hint="Shorten the name.")
        return raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Context:
        """Read what ``to_bytes`` wrote, and nothing else.

        Raises:
            EnvelopeHeaderError: not such bytes.
        """
        fields: list[bytes] = []
        at = 0
        while at < len(raw):
            end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
            if end > len(raw) or len(fields) == 4:
                raise EnvelopeHeaderError("the context is malformed")
            fields.append(raw[at + 4 : end])
            at = end
        try:
            label, kind, name, run_id = fields
            context = cls(kind=kind.decode(), name=name.decode(), run_id=run_id)
        except ValueError:
            raise EnvelopeHeaderError("the context is malformed") from None
        if label.decode("utf-8", "replace") != _LABEL or len(run_id) != ID_BYTES:
            raise EnvelopeHeaderError("the context is malformed")
        return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """One copy of the header. Unauthenticated until ``is_sealed_by`` holds for a file key."""

    generation: int
    compression: Compression
    file_id: bytes
    context: bytes
    stanzas: tuple[Stanza, ...]
    mac: bytes = field(default=b"", repr=False)

    def _body(self) -> bytes:
        fixed = _FIXED.pack(MAGIC, self.generation, _SUITE, self.compression, 0, self.file_id, len(self.context))
        stanzas = b"".join(struct.pack(">BH", s.type, len(s.body)) + s.body for s in self.stanzas)
        body = fixed + self.context + bytes([len(self.stanzas)]) + stanzas
        if len(body) > _BODY_END:
            raise ConfigError("too many recipients for one envelope", hint="Seal for a role's key instead.")
        return body.ljust(_BODY_END, b"\0")

    def _mac(self, file_key: bytes) -> bytes:
        return hmac.digest(hkdf(file_key, self.file_id, "header"), self._body(), "sha256")

    def to_bytes(self, file_key: bytes) -> bytes:
        """The 4096 bytes.

        Raises:
            ConfigError: recipients that no reader accepts: none, too many, one twice, or too many passphrases.
        """
        if not 1 <= len(self.stanzas) <= MAX_STANZAS:
            raise ConfigError(f"an envelope has 1 to {MAX_STANZAS} recipients")
        if _has_repeats(self.stanzas):  # it could never be opened
            raise ConfigError(
                "a recipient is given twice, or too many passphrases are", hint="Name each public key once."
            )
        return self._body() + self._mac(file_key)

    def is_sealed_by(self, file_key: bytes) -> bool:
        """Whether the MAC is the file key's."""
        return hmac.compare_digest(self.mac, self._mac(file_key))

    @property
    def payload_binding(self) -> bytes:
        """Bytes 12 … 33 + c: suite, compression, file id and context, bound into the payload's key."""
        return self._body()[12 : _FIXED.size + len(self.context)]

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        """Read one copy strictly; nothing is derived or allocated on its word.

        Raises:
            EnvelopeVersionError: an unknown suite or compression.
            EnvelopeHeaderError: lengths, counts, padding or limits that cannot be.
        """
        _, generation, suite, compression, zero, file_id, context_bytes = _FIXED.unpack_from(raw)
        if suite != _SUITE or compression not in Compression.__members__.values():
            raise EnvelopeVersionError("this envelope was written by a version that this one does not know")
        if zero or context_bytes > MAX_CONTEXT_BYTES:
            raise EnvelopeHeaderError("a field of the header is out of range")
        stanzas_at = _FIXED.size + context_bytes
        stanzas, end = _read_stanzas(raw, stanzas_at)
        if any(raw[end:_BODY_END]):
            raise EnvelopeHeaderError("the header's padding is not zero")
        context = raw[_FIXED.size : stanzas_at]
        Context.from_bytes(context)
        return cls(
            generation=generation,
            compression=Compression(compression),
            file_id=file_id,
            context=context,
            stanzas=stanzas,
            mac=raw[_BODY_END:],
        )


def _read_stanzas(raw: bytes, at: int) -> tuple[tuple[Stanza, ...], int]:
    """All stanzas, and where they end.

    Raises:
        EnvelopeHeaderError: a count, type, length or cost outside the limits, or one X25519 stanza twice.
    """
    count = raw[at]
    if not 1 <= count <= MAX_STANZAS:
        raise EnvelopeHeaderError("the number of recipients is out of range")
    stanzas: list[Stanza] = []
    at += 1
    for _ in range(count):
        stanza, at = _read_stanza(raw, at)
        stanzas.append(stanza)
    if _has_repeats(stanzas):
        raise EnvelopeHeaderError("a recipient stands twice in the header, or too many passphrases do")
    for stanza in stanzas:
        if stanza.type is StanzaType.PASSPHRASE:
            passphrase_cost(stanza)
    return tuple(stanzas), at


def _has_repeats(stanzas: Sequence[Stanza]) -> bool:
    """Whether one X25519 recipient stands there twice, or there are too many passphrases."""
    tags = [s.body[:8] for s in stanzas if s.type is StanzaType.X25519]
    num_passphrases = sum(s.type is StanzaType.PASSPHRASE for s in stanzas)
    return len(set(tags)) != len(tags) or num_passphrases > MAX_PASSPHRASE_STANZAS


def _read_stanza(raw: bytes, at: int) -> tuple[Stanza, int]:
    kind, length = struct.unpack_from(">BH", raw, at) if at + 3 <= _BODY_END else (0, 0)
    if kind not in BODY_BYTES or length != BODY_BYTES[StanzaType(kind)] or at + 3 + length > _BODY_END:
        raise EnvelopeHeaderError("a recipient's stanza is malformed")
    return Stanza(type=StanzaType(kind), body=raw[at + 3 : at + 3 + length]), at + 3 + length


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedHeader:
    """An authenticated header and its file key."""

    header: Header
    file_key: bytes = field(repr=False)
    is_whole: bool
    """Whether both copies are good and alike; if not, the next writer should repair them."""


def parse_copies(raw: bytes) -> tuple[Header, ...]:
    """The readable ones of the two copies; at least one.

    Args:
        raw: the first 8192 bytes of a file, or fewer where it ends.

    Raises:
        NotAnEnvelopeError, EnvelopeVersionError, EnvelopeHeaderError: neither copy can be read.
    """
    copies = [raw[at : at + HEADER_BYTES] for at in (0, HEADER_BYTES)]
    copies = [copy for copy in copies if copy.startswith(MAGIC)]
    if not copies:
        raise NotAnEnvelopeError("this is not an envelope of fedward")
    if len(raw) < 2 * HEADER_BYTES:
        raise EnvelopeHeaderError("the file ends within the header")
    headers: list[Header] = []
    fault: Exception | None = None
    for copy in copies:
        try:
            headers.append(Header.from_bytes(copy))
        except (EnvelopeHeaderError, EnvelopeVersionError) as error:
            fault = fault or error
    if not headers and fault is not None:
        raise fault
    return tuple(headers)


def open_copies(raw: bytes, identities: Sequence[Identity]) -> OpenedHeader:
    """The newest copy that an identity opens and whose MAC holds.

    Raises:
        NotAnEnvelopeError, EnvelopeVersionError, EnvelopeHeaderError: neither copy can be read.
        WrongRecipientError: no stanza opens.
        HeaderTamperedError: a stanza opens, and no copy's MAC holds.
    """
    keys: dict[tuple[Stanza, bytes], bytes | None] = {}
    good: list[OpenedHeader] = []
    is_any_open = False
    for header in parse_copies(raw):
        for file_key in _file_keys(header, identities, keys):
            is_any_open = True
            if header.is_sealed_by(file_key):
                good.append(OpenedHeader(header=header, file_key=file_key, is_whole=False))
                break
    if not good:
        if is_any_open:
            raise HeaderTamperedError("the header was changed after it was sealed")
        raise WrongRecipientError("none of the given keys opens this envelope")
    newest = max(good, key=lambda opened: opened.header.generation)
    is_whole = len(good) == 2 and good[0].header == good[1].header
    return OpenedHeader(header=newest.header, file_key=newest.file_key, is_whole=is_whole)


def _file_keys(
    header: Header, identities: Sequence[Identity], known: dict[tuple[Stanza, bytes], bytes | None]
) -> list[bytes]:
    """What the identities unwrap; a passphrase is derived once for both copies."""
    found: list[bytes] = []
    for number, identity in enumerate(identities):
        for stanza in header.stanzas:
            place = (stanza, header.file_id + number.to_bytes(4, "big"))
            if place not in known:
                known[place] = identity.unwrap(stanza, header.file_id)
            file_key = known[place]
            if file_key is not None and len(file_key) == KEY_BYTES:
                found.append(file_key)
    return found


def require_context(header: Header, expect: Context) -> None:
    """Refuse an envelope that is for something else.

    Raises:
        ContextMismatchError: its kind, name or run is not ``expect``.
    """
    if header.context != expect.to_bytes():
        raise ContextMismatchError("this envelope holds something else than what was asked for")


__all__ = [
    "Compression",
    "Context",
    "Header",
    "HEADER_BYTES",
    "MAGIC",
    "open_copies",
    "OpenedHeader",
    "parse_copies",
    "require_context",
]
