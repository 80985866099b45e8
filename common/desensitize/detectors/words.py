"""A Chinese word list as a hash table, asked for every stretch of a text at once.

It says of each place which words start, end and lie there: what the tagger sees beside characters, and what the gate
trusts to be no name. The list (``data/words.safetensors``) holds hashes and kinds, no text; ``data/NOTICE.json`` says
where it comes from. Not handled here: choosing one segmentation; overlapping words are all reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors.array_file import read_arrays, write_arrays
from fedward.common.desensitize.detectors.characters import Codes, codes_of
from fedward.common.desensitize.detectors.hashing import Hashes, HashTable, mixed
from fedward.common.errors import ConfigError

MIN_LENGTH, MAX_LENGTH = 2, 5
_TABLE_BITS: Final = 20


class Kind(IntEnum):
    """What a word is; the numbers are part of the file."""

    PLAIN = 1
    PERSON = 2
    FOREIGN = 3
    """A transliterated name."""
    PLACE = 4
    ORGANISATION = 5
    OTHER_NAME = 6
    VERB = 7
    TIME = 8
    IDIOM = 9
    PERHAPS_PERSON = 10
    """One list calls it a name and another does not."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A word list.

    Args:
        table: of the words' hashes.
        kinds: (C + 1,) uint8, the kind of each cell; the first is 0.
    """

    table: HashTable
    kinds: NDArray[np.uint8]

    @classmethod
    def of(cls, kinds: Mapping[str, int]) -> Words:
        """A list of the words of two to five characters; the first ones are safest of a cell."""
        by_hash: dict[int, int] = {}
        for length in range(MIN_LENGTH, MAX_LENGTH + 1):
            chosen = [word for word in kinds if len(word) == length]
            if chosen:
                codes = codes_of("".join(chosen)).reshape(-1, length)
                for word, value in zip(chosen, stretch_hashes(codes), strict=True):
                    by_hash.setdefault(int(value), kinds[word])
        hashes = np.fromiter(by_hash, np.uint32, len(by_hash))
        table, cells = HashTable.of(hashes, _TABLE_BITS)
        of_cell = np.zeros(len(table.checks) + 1, np.uint8)
        of_cell[cells[cells >= 0] + 1] = np.fromiter(by_hash.values(), np.uint8, len(by_hash))[cells >= 0]
        return cls(table=table, kinds=of_cell)

    def to_bytes(self) -> bytes:
        """A file of arrays."""
        return write_arrays({"checks": self.table.checks, "kinds": self.kinds[1:]}, {"format": "fedward-words-1"})

    @classmethod
    def from_bytes(cls, raw: bytes, what: str) -> Words:
        """The inverse of ``to_bytes``.

        Raises:
            ConfigError: not such a file.
        """
        arrays, metadata = read_arrays(raw, what)
        checks, kinds = arrays.get("checks"), arrays.get("kinds")
        if metadata.get("format") != "fedward-words-1" or checks is None or kinds is None or len(arrays) != 2:
            raise ConfigError(f"{what}: no word list")
        if checks.dtype != np.uint16 or kinds.dtype != np.uint8 or checks.shape != (1 << _TABLE_BITS,):
            raise ConfigError(f"{what}: no word list of 2**{_TABLE_BITS} cells")
        if kinds.shape != checks.shape or int(kinds.max()) > max(Kind):
            raise ConfigError(f"{what}: its kinds do not fit its words")
        return cls(table=HashTable(checks=checks), kinds=np.concatenate([np.zeros(1, np.uint8), kinds]))

    def matches(self, codes: Codes) -> list[tuple[int, NDArray[np.uint8], Hashes]]:
        """For each length, shortest first: length, kind of the word that starts at each place or 0, and its hash.

        The arrays of length L have N - L + 1 places, and none where the text is shorter.
        """
        found = []
        padded = np.concatenate([codes, np.zeros(MAX_LENGTH, codes.dtype)])
        hashes = _starts(padded, len(codes))
        for length, values in hashes:
            found.append((length, self.kinds.take(self.table.cells(values)), values))
        return found


def _starts(padded: Codes, count: int) -> list[tuple[int, Hashes]]:
    columns: list[Any] = [padded[k : k + count] for k in range(MAX_LENGTH)]
    result = []
    running = mixed(columns[0], columns[1])
    for length in range(MIN_LENGTH, MAX_LENGTH + 1):
        if length > MIN_LENGTH:
            running = mixed(running, columns[length - 1])
        result.append((length, running))
    return result


def stretch_hashes(codes: Codes) -> Hashes:
    """(H,) hashes of the rows of ``codes``, (H, L): those that ``Words.matches`` computes."""
    running = mixed(codes[:, 0], codes[:, 1])
    for column in range(2, codes.shape[1]):
        running = mixed(running, codes[:, column])
    return running


@cache
def shipped_words() -> Words:
    """The list that ships with the package."""
    file = resources.files("fedward.common.desensitize.detectors.data").joinpath("words.safetensors")
    return Words.from_bytes(file.read_bytes(), "words.safetensors")


__all__ = ["Kind", "MAX_LENGTH", "MIN_LENGTH", "shipped_words", "stretch_hashes", "Words"]
