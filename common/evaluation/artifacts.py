"""Search of everything that a run left behind for texts that must not be in it.

Invariants: a hit names path, offset, encoding and needle number, never the text (and not the path, where that is the
hit); what could not be searched is said, and is never "clean"; links, sockets and pipes are not opened; packed files
are searched to depth 3 within a budget, in memory. The search itself is ``common.desensitize.value_search``. Not
handled here: model weights (membership and exposure), look-up of detected identifiers, contents of SQLite other than
as they lie in the file, and who may read the files.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote_from_bytes

import numpy as np

from fedward.common.desensitize.value_search import Forms, forms_of, places_in_stream
from fedward.common.envelope.header import MAGIC
from fedward.common.errors import ConfigError, DataError
from fedward.common.evaluation.canary_texts import SecretCanary
from fedward.common.evaluation.containers import DAMAGE, HEAD_BYTES, UNSURE, Budget, kind_of, members

MIN_NEEDLE_BYTES = 12
"""Shorter texts stand in files by chance."""
MIN_TOKEN_RUN = 8
MAX_DEPTH = 3
MAX_UNPACKED_BYTES = 1 << 30
MIN_SEALED_BITS = 7.9
MAX_HITS = 1_000
"""More say nothing more; the search of a file ends there."""
_IN_MEMORY_BYTES = 64 << 20
"""Of one packed member: a larger one is searched as it is read, and containers inside it are not opened."""
_PIECE_BYTES = 1 << 20
_MIN_ENTROPY_BYTES = 4096
"""Of fewer bytes even perfect noise shows less than 7.9 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needle:
    """A text that must be nowhere.

    Args:
        text: at least 12 bytes of UTF-8.
        token_ids: of the text under the base's tokenizer; runs of 8 or more are searched for, too.
    """

    text: str = field(repr=False)
    token_ids: tuple[int, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(self.text.encode("utf-8", "surrogatepass")) < MIN_NEEDLE_BYTES:
            raise ConfigError(f"a text to search for has {MIN_NEEDLE_BYTES} bytes or more")


def needles_of(canary: SecretCanary) -> tuple[Needle, Needle]:
    """The sentence, and its part from the name to the secret (or the other way round): never a bare secret."""
    places = [canary.text.index(canary.name), canary.text.index(canary.secret)]
    ends = [places[0] + len(canary.name), places[1] + len(canary.secret)]
    return Needle(text=canary.text), Needle(text=canary.text[min(places) : max(ends)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One place.

    Args:
        path: of the file, below its root.
        layers: containers around it, from outside in.
        offset: in the innermost one.
        encoding: how the text is written there.
        needle: its number.
    """

    path: str
    layers: tuple[str, ...]
    offset: int
    encoding: str
    needle: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanResult:
    """What a search found.

    Args:
        num_files: that were opened.
        num_bytes: of those files, as they lie on disk.
        hits: places of needles.
        not_scanned: path and reason, of what cannot be vouched for.
        loose: paths that others than their owner may read or write.
        unsealed: paths that should be sealed and are not, or do not look it.
    """

    num_files: int
    num_bytes: int
    hits: tuple[Hit, ...]
    not_scanned: tuple[tuple[str, str], ...]
    loose: tuple[str, ...]
    unsealed: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing found, and everything searched."""
        return not (self.hits or self.not_scanned or self.loose or self.unsealed)


def needle_forms(needles: Sequence[Needle]) -> Forms:
    """What each needle looks like in every encoding that is searched for."""
    forms = forms_of([needle.text for needle in needles])
    for number, needle in enumerate(needles):
        for encoding, form in _more_forms(needle):
            forms.setdefault(form, (number, encoding))
    return forms


def _more_forms(needle: Needle) -> Iterator[tuple[str, bytes]]:
    raw = needle.text.encode("utf-8", "surrogatepass")
    for encoding in ("utf-32-le", "utf-32-be"):
        yield encoding, needle.text.encode(encoding, "surrogatepass")
    for escaped in {json.dumps(needle.text)[1:-1], json.dumps(needle.text, ensure_ascii=False)[1:-1]}:
        yield "json", escaped.encode("utf-8", "surrogatepass")
    yield "json", _upper_escapes(json.dumps(needle.text)[1:-1]).encode()
    percent = quote_from_bytes(raw, safe="")
    for written in (percent, percent.replace("%20", "+"), quote_from_bytes(raw)):
        yield "percent", written.encode()
        yield "percent", _lower_percent(written).encode()
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    if len(needle.token_ids) >= MIN_TOKEN_RUN:
        ids = np.array(needle.token_ids, np.int64)
        for size in (2, 4, 8):
            if ids.min() >= 0 and ids.max() < 1 << (8 * size - 1):
                yield f"int{8 * size}", ids.astype(f"<i{size}").tobytes()
        if ids.min() >= 0 and 1 << 15 <= ids.max() < 1 << 16:
            yield "int16", ids.astype("<u2").tobytes()


def _upper_escapes(text: str) -> str:
    parts = text.split("\\u")
    return parts[0] + "".join(f"\\u{part[:4].upper()}{part[4:]}" for part in parts[1:])


def _lower_percent(text: str) -> str:
    parts = text.split("%")
    return parts[0] + "".join(f"%{part[:2].lower()}{part[2:]}" for part in parts[1:])


def scan(
    roots: Iterable[Path],
    needles: Sequence[Needle],
    *,
    must_be_private: bool = True,
    must_be_sealed: Callable[[Path], bool] = lambda path: False,
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
) -> ScanResult:
    """Search files and folders, everything below them included.

    Args:
        roots: files or folders; links are not followed.
        needles: what must be nowhere.
        must_be_private: whether modes are checked: files 0600, folders 0700.
        must_be_sealed: which files claim to be sealed; they must carry the envelope's magic and look random.
        max_unpacked_bytes: out of one file.

    Raises:
        ConfigError: nothing to search for.
    """
    forms = needle_forms(needles)
    if not forms:
        raise ConfigError("nothing to search for")
    search = _Search(forms, max_unpacked_bytes)
    for root in roots:
        for path, name in _below(root, search):
            search.visit(path, name, must_be_private=must_be_private, must_be_sealed=must_be_sealed(path))
    return search.result()


def _below(root: Path, search: _Search) -> Iterator[tuple[Path, str]]:
    """The root and all below it with their names, each folder before what is in it."""
    if root.is_symlink() or not root.is_dir():
        yield root, root.name
        return
    yield root, "."
    for path in sorted(root.rglob("*")):
        yield path, str(path.relative_to(root))


class _Search:
    """Collects what is found."""

    def __init__(self, forms: Forms, max_unpacked_bytes: int) -> None:
        self._forms, self._limit = forms, max_unpacked_bytes
        self._hits: list[Hit] = []
        self._not_scanned: list[tuple[str, str]] = []
        self._loose: list[str] = []
        self._unsealed: list[str] = []
        self._num_files = self._num_bytes = self._num_paths = 0

    def visit(self, path: Path, name: str, *, must_be_private: bool, must_be_sealed: bool) -> None:
        """One file or folder."""
        self._num_paths += 1
        name = self._checked_name(name)
        try:
            status = path.lstat()
        except OSError as error:
            self._not_scanned.append((name, error.strerror or "cannot be looked at"))
            return
        if must_be_private and not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077:
            self._loose.append(name)
        if stat.S_ISDIR(status.st_mode):
            if not _is_listable(path):
                self._not_scanned.append((name, "the folder cannot be listed"))
            return
        if not stat.S_ISREG(status.st_mode):
            return  # a link leads elsewhere; pipes and sockets hold nothing, and opening one could wait for ever
        self._num_files += 1
        self._num_bytes += status.st_size
        try:
            if must_be_sealed and not _looks_sealed(path):
                self._unsealed.append(name)
            self._layer(lambda: path.open("rb"), name, (), Budget(self._limit))
        except DataError as error:
            self._not_scanned.append((name, error.message))
        except DAMAGE as error:
            self._not_scanned.append((name, f"cannot be read ({type(error).__name__})"))

    def result(self) -> ScanResult:
        """Everything so far."""
        return ScanResult(
            num_files=self._num_files,
            num_bytes=self._num_bytes,
            hits=tuple(self._hits),
            not_scanned=tuple(self._not_scanned),
            loose=tuple(self._loose),
            unsealed=tuple(self._unsealed),
        )

    def _checked_name(self, name: str) -> str:
        """The name; a number in its place where it holds a needle."""
        raw = io.BytesIO(name.encode("utf-8", "surrogateescape"))
        found = list(places_in_stream(raw, self._forms))
        if not found:
            return name.encode("utf-8", "backslashreplace").decode()
        shown = f"<path {self._num_paths}>"
        self._add(found, shown, ("name",))
        return shown

    def _add(self, found: Iterable[tuple[bytes, int]], name: str, layers: tuple[str, ...]) -> None:
        for form, offset in itertools.islice(found, max(0, MAX_HITS - len(self._hits))):
            number, encoding = self._forms[form]
            self._hits.append(Hit(path=name, layers=layers, offset=offset, encoding=encoding, needle=number))

    def _layer(self, open_again: Callable[[], BinaryIO], name: str, layers: tuple[str, ...], budget: Budget) -> None:
        """Search bytes as they are, then what they hold packed."""
        with open_again() as stream:
            self._add(places_in_stream(stream, self._forms), name, layers)
        with open_again() as stream:
            kind = kind_of(stream.read(HEAD_BYTES))
        if kind is None:
            return
        if len(layers) == MAX_DEPTH:
            raise DataError(f"packed deeper than {MAX_DEPTH} layers")
        left = budget.left
        try:
            for member in members(kind, open_again, budget):
                self._member(member, name, (*layers, kind), budget)
        except DAMAGE as error:
            if kind in UNSURE and budget.left == left:
                return
            raise DataError(f"damaged {kind} ({type(error).__name__})") from None

    def _member(self, member: io.BufferedReader, name: str, layers: tuple[str, ...], budget: Budget) -> None:
        data = bytearray()
        try:
            while len(data) < _IN_MEMORY_BYTES and (piece := member.read1(_PIECE_BYTES)):
                data += piece
        except (DataError, *DAMAGE):  # what came before the damage is searched all the same
            self._add(places_in_stream(io.BytesIO(data), self._forms), name, layers)
            raise
        if len(data) < _IN_MEMORY_BYTES:
            self._layer(lambda: io.BytesIO(data), name, layers, budget)
            return
        self._add(places_in_stream(cast("BinaryIO", _Chained(bytes(data), member)), self._forms), name, layers)
        if kind_of(bytes(data[:HEAD_BYTES])):
            raise DataError(f"a container of more than {_IN_MEMORY_BYTES >> 20} MiB inside another")


class _Chained(io.RawIOBase):
    """Bytes that were read, and then the rest of their stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head, self._rest = io.BytesIO(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._head.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _is_listable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def _looks_sealed(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return False
    counts: Counter[int] = Counter()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            counts.update(chunk)
    total = counts.total()
    bits = -sum(count / total * math.log2(count / total) for count in counts.values())
    return total < _MIN_ENTROPY_BYTES or bits >= MIN_SEALED_BITS


__all__ = [
    "Hit",
    "MAX_DEPTH",
    "MAX_HITS",
    "MAX_UNPACKED_BYTES",
    "MIN_NEEDLE_BYTES",
    "MIN_SEALED_BITS",
    "MIN_TOKEN_RUN",
    "Needle",
    "needle_forms",
    "needles_of",
    "scan",
    "ScanResult",
]
