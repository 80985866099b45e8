"""Search of logs, caches and temporary files for values that must not be in them (f).

Invariants: it reads, and says how often and where, never what. Not handled here: compressed and encrypted files, and
shredding what was found.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import DataError

MIN_VALUE_BYTES = 4
"""Shorter values are found everywhere."""
_MIN_TOKENS = 4
_CHUNK_BYTES = 1 << 20
_FEW = 200
"""Up to so many forms, ``bytes.find`` for each is faster than windows over the data (measured)."""
_FILTER_BYTES = 4
_HEAD_BYTES = 8
"""Windows of so many bytes are looked up before a form is compared in full."""

Forms = dict[bytes, tuple[int, str]]
"""Bytes to the index of their value and the name of the form."""


class ValueFound(NamedTuple):
    """One place."""

    path: Path | None
    """None: in the bytes that were given."""
    offset: int
    value_index: int
    """Which of the values, in their order."""
    form: str
    """utf-8, utf-16-le, utf-16-be, gb18030, base64, escaped, or token ids: int16, int32, int64 or a list of numbers."""


def scan_for_values(
    sources: Iterable[Path | bytes], values: Collection[str], *, tokens: Mapping[int, Sequence[int]] | None = None
) -> Iterator[ValueFound]:
    """Every place of one of ``values`` in files, folders (with all below them) and bytes.

    Args:
        sources: symbolic links are not followed.
        values: those under 4 bytes are not searched for.
        tokens: by the index of a value, the ids that a tokenizer makes of it. Leave out the first and the last: what
            stands beside the value may change them. Those under 4 ids are not searched for.

    Raises:
        DataError: a file cannot be read, so that nobody can vouch for it.
    """
    forms = forms_of(values)
    for index, ids in (tokens or {}).items():
        forms.update({form: (index, name) for name, form in _token_forms(ids)})
    if not forms:
        return
    for source in sources:
        if isinstance(source, bytes):
            yield from (ValueFound(None, start, *forms[form]) for form, start in _places(source, forms))
            continue
        for path in _files(source):
            yield from _in_file(path, forms)


def forms_of(values: Collection[str]) -> Forms:
    """What each value looks like in UTF-8, UTF-16, GB 18030, base64 and escaped; none for those under 4 bytes."""
    forms: Forms = {}
    for index, value in enumerate(values):
        plain = value.encode("utf-8", "surrogatepass")
        if len(plain) < MIN_VALUE_BYTES:
            continue
        forms.setdefault(plain, (index, "utf-8"))
        for encoding in ("utf-16-le", "utf-16-be"):
            forms.setdefault(value.encode(encoding, "surrogatepass"), (index, encoding))
        forms.setdefault(value.encode("gb18030", "replace"), (index, "gb18030"))
        if not value.isascii():
            escaped = value.encode("ascii", "backslashreplace")
            forms.setdefault(escaped, (index, "escaped"))
        for core in _base64_cores(plain):
            forms.setdefault(core, (index, "base64"))
    return forms


def _base64_cores(plain: bytes) -> Iterator[bytes]:
    """What base64 makes of ``plain`` at each of three alignments, without the characters that its neighbours touch."""
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + plain)
        first = (0, 2, 3)[lead]
        last = (lead + len(plain)) * 8 // 6
        core = encoded[first:last]
        if len(core) > MIN_VALUE_BYTES:
            yield core
            yield core.translate(bytes.maketrans(b"+/", b"-_"))


def _token_forms(ids: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """As arrays of the usual widths, low byte first, and as numbers in a text."""
    if len(ids) < _MIN_TOKENS:
        return
    for name, code, limit in (("int16", "H", 1 << 16), ("int32", "I", 1 << 32), ("int64", "Q", 1 << 64)):
        if max(ids) < limit:
            yield name, struct.pack(f"<{len(ids)}{code}", *ids)
    for separator in (",", ", ", " "):
        yield "numbers", separator.join(map(str, ids)).encode()


def _files(source: Path) -> Iterator[Path]:
    if source.is_symlink():
        return
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path
    elif source.exists():
        yield source


def places_in_stream(stream: BinaryIO, forms: Forms) -> Iterator[tuple[bytes, int]]:
    """Every place of a form in a stream, as the form and its offset; in memory of a chunk and the longest form."""
    overlap = max(map(len, forms), default=1) - 1
    tail, offset = b"", 0
    while chunk := stream.read(_CHUNK_BYTES):
        data = tail + chunk
        for form, start in _places(data, forms):
            # What ends in the tail was seen with the chunk before.
            if start + len(form) > len(tail):
                yield form, offset - len(tail) + start
        tail = data[-overlap:] if overlap else b""
        offset += len(chunk)


def _in_file(path: Path, forms: Forms) -> Iterator[ValueFound]:
    try:
        with path.open("rb") as stream:
            for form, start in places_in_stream(stream, forms):
                yield ValueFound(path, start, *forms[form])
    except OSError as error:
        raise DataError(
            f"{path.name}: cannot be searched for leaked values ({error.strerror})",
            hint="Give the file back its permissions, or remove it, and check again.",
        ) from None


def _places(data: bytes, forms: Forms) -> Iterator[tuple[bytes, int]]:
    """Linear in ``data`` for each length of a head, whatever the number of forms."""
    if len(forms) <= _FEW:
        for form in forms:
            start = data.find(form)
            while start >= 0:
                yield form, start
                start = data.find(form, start + 1)
        return
    by_size: dict[int, dict[bytes, list[bytes]]] = {}
    for form in forms:
        size = min(len(form), _HEAD_BYTES)
        by_size.setdefault(size, {}).setdefault(form[:size], []).append(form)
    for size, heads in by_size.items():
        for start in _candidates(data, heads, size):
            for form in heads.get(data[start : start + size], ()):
                if data.startswith(form, start):
                    yield form, start


def _candidates(data: bytes, heads: Collection[bytes], size: int) -> Iterable[int]:
    """Where a head of ``size`` bytes may begin, in order: all such places, and one in 65,536 / heads of the others."""
    count = len(data) - size + 1
    if size < _FILTER_BYTES or count <= 0:
        return range(max(0, count))
    known = np.zeros(1 << 16, np.bool_)
    known[_hashes(np.frombuffer(b"".join(head[:_FILTER_BYTES] for head in heads), np.uint8))[::_FILTER_BYTES]] = True
    found: list[int] = np.flatnonzero(known[_hashes(np.frombuffer(data, np.uint8))[:count]]).tolist()
    return found


def _hashes(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(n - 3,) 16 bits of each four bytes (Fibonacci hashing)."""
    count = len(data) - _FILTER_BYTES + 1
    words = data[:count].astype(np.uint32)
    for place in range(1, _FILTER_BYTES):
        words |= data[place : place + count].astype(np.uint32) << np.uint32(8 * place)
    words *= np.uint32(2654435769)
    words >>= np.uint32(16)
    return words


__all__ = ["Forms", "forms_of", "MIN_VALUE_BYTES", "places_in_stream", "scan_for_values", "ValueFound"]
