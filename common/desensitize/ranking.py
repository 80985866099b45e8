"""Which values a type has, in which order: value to rank and back, the two halves of format-preserving encryption.

Invariants: a ranking maps the valid values of one context one to one onto [0, N); check digits are recomputed, so
what is un-ranked is valid by construction; an invalid value (checksum, unknown region or prefix, length) is refused
and never repaired. Values are plain: digits, upper case, no separators. Not handled here: how a value is written in a
text, and the permutation itself (``fpe``).
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from typing import Protocol

from fedward.common.desensitize import checksums, tables
from fedward.common.errors import DesensitizationError

FIRST_BIRTH = datetime.date(1900, 1, 1)
_SEQUENCES = 999
"""001 to 999; 000 is not issued."""


class InvalidValueError(DesensitizationError):
    """A value is not one of its type. The message names the rule, never the value."""

    hint = "Set on_invalid to `token` or `placeholder`, or clean the column."


class Ranking(Protocol):
    """The values of a type in one context."""

    @property
    def domain(self) -> int:
        """N."""

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""

    def unrank(self, rank: int) -> str:
        """The value of a rank."""


@dataclass(frozen=True, kw_only=True)
class MobileRanking:
    """Mobile numbers of China over allotted prefixes p0 < p1 ..., prefix-free; 5,216,000,000 of them."""

    blocks: Sequence[str] = field(default_factory=tables.mobile_blocks, repr=False)
    context: str = "cn-mobile"

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((10 ** (11 - len(block)) for block in self.blocks), initial=0))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {block: i for i, block in enumerate(self.blocks)}

    @property
    def domain(self) -> int:
        """N."""
        return self._starts[-1]

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        if len(value) != 11 or not _is_digits(value):
            raise InvalidValueError("mobile number: expected 11 digits")
        for length in (3, 5):
            i = self._index.get(value[:length])
            if i is not None:
                return self._starts[i] + int(value[length:])
        raise InvalidValueError("mobile number: the prefix is not allotted")

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        i = bisect_right(self._starts, rank) - 1
        block = self.blocks[i]
        return f"{block}{rank - self._starts[i]:0{11 - len(block)}d}"


@dataclass(frozen=True, kw_only=True)
class MobilePrefixRanking:
    """Mobile numbers whose three-digit prefix is kept: 10**8."""

    prefix: str
    domain: int = 10**8

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return self.prefix

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        if len(value) != 11 or not _is_digits(value) or not value.startswith(self.prefix):
            raise InvalidValueError("mobile number: expected 11 digits after the kept prefix")
        return int(value[3:])

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        return f"{self.prefix}{rank:08d}"


@dataclass(frozen=True, kw_only=True)
class LandlineRanking:
    """Local numbers of ``length`` digits, the first one 2 to 8; the area code is kept and is no part of the value."""

    area: str
    length: int

    @property
    def domain(self) -> int:
        """N."""
        return int(7 * 10 ** (self.length - 1))

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return f"{self.area}/{self.length}"

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        if len(value) != self.length or not _is_digits(value) or value[0] not in "2345678":
            raise InvalidValueError("landline number: wrong length or first digit")
        return int(value) - int(2 * 10 ** (self.length - 1))

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        return str(rank + 2 * 10 ** (self.length - 1))


@dataclass(frozen=True, kw_only=True)
class IdRanking:
    """Resident ids with region, birth date and sequence drawn: x = (region * D + day) * 999 + sequence - 1.

    Args:
        num_days: D, days from 1900-01-01 that a birth date may lie in; fixed with the key.
        regions: county codes ever issued, or those of one province.
        parity: 1 (men) or 0 (women) keeps the sex, so that 500 or 499 sequences are left; None: any.
        scheme: ``full``, or the province.
    """

    num_days: int
    regions: Sequence[str] = field(default_factory=tables.county_codes, repr=False)
    parity: int | None = None
    scheme: str = "full"

    @cached_property
    def _index(self) -> dict[str, int]:
        return _index_of(self.regions)

    @property
    def domain(self) -> int:
        """N."""
        return len(self.regions) * self.num_days * _num_sequences(self.parity)

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return self.scheme if self.parity is None else f"{self.scheme}/{self.parity}"

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        region, born, sequence = _parsed_id(value, self._index)
        day = (born - FIRST_BIRTH).days
        if not 0 <= day < self.num_days:
            raise InvalidValueError("resident id: the birth date lies outside the days of this key")
        return (region * self.num_days + day) * _num_sequences(self.parity) + _sequence_rank(sequence, self.parity)

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        rest, sequence = divmod(rank, _num_sequences(self.parity))
        region, day = divmod(rest, self.num_days)
        born = FIRST_BIRTH + datetime.timedelta(days=day)
        return _written_id(self.regions[region], born, _sequence_of(sequence, self.parity))


@dataclass(frozen=True, kw_only=True)
class SharedDobRanking:
    """Resident ids whose birth date is fixed (the shifted date): x = region * 999 + sequence - 1.

    Not injective across patients, so no join key.
    """

    born: datetime.date
    regions: Sequence[str] = field(default_factory=tables.county_codes, repr=False)
    parity: int | None = None

    @cached_property
    def _index(self) -> dict[str, int]:
        return _index_of(self.regions)

    @property
    def domain(self) -> int:
        """N."""
        return len(self.regions) * _num_sequences(self.parity)

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return self.born.isoformat() if self.parity is None else f"{self.born.isoformat()}/{self.parity}"

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        region, _, sequence = _parsed_id(value, self._index)
        return region * _num_sequences(self.parity) + _sequence_rank(sequence, self.parity)

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        region, sequence = divmod(rank, _num_sequences(self.parity))
        return _written_id(self.regions[region], self.born, _sequence_of(sequence, self.parity))


@dataclass(frozen=True, kw_only=True)
class CardRanking:
    """Card numbers: the first ``len(kept)`` digits (6 or 8) stay, the last one is Luhn's."""

    kept: str
    length: int

    @classmethod
    def of(cls, value: str, num_kept: int = 6) -> CardRanking:
        """The ranking that ``value`` belongs to.

        Raises:
            DesensitizationError: a number of kept digits other than 6 or 8.
        """
        if num_kept not in (6, 8):
            raise DesensitizationError("card numbers: 6 or 8 digits can be kept")
        if not 13 <= len(value) <= 19 or not _is_digits(value):
            raise InvalidValueError("card number: expected 13 to 19 digits")
        return cls(kept=value[:num_kept], length=len(value))

    @property
    def domain(self) -> int:
        """N."""
        return int(10 ** (self.length - len(self.kept) - 1))

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return f"{self.kept}/{self.length}"

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        if len(value) != self.length or not _is_digits(value) or not value.startswith(self.kept):
            raise InvalidValueError("card number: wrong length or kept digits")
        if not checksums.luhn_holds(value):
            raise InvalidValueError("card number: the check digit is wrong")
        return int(value[len(self.kept) : -1])

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        body = f"{self.kept}{rank:0{self.length - len(self.kept) - 1}d}"
        return body + checksums.luhn_digit(body)


@dataclass(frozen=True, kw_only=True)
class MaskRanking:
    """Record numbers: letters and separators stay, the digits are one number.

    Args:
        mask: the value with ``#`` for each digit, such as ``ZY#######``.
    """

    mask: str

    @classmethod
    def of(cls, value: str) -> MaskRanking:
        """The ranking that ``value`` belongs to."""
        if "#" in value:
            raise InvalidValueError("record number: it holds the sign that stands for a digit")
        return cls(mask="".join("#" if c in "0123456789" else c for c in value))

    @property
    def domain(self) -> int:
        """N."""
        return int(10 ** self.mask.count("#"))

    @property
    def context(self) -> str:
        """What is kept, for the tweak."""
        return self.mask

    def rank(self, value: str) -> int:
        """[0, N), or ``InvalidValueError``."""
        if MaskRanking.of(value).mask != self.mask or "#" not in self.mask:
            raise InvalidValueError("record number: another form than that of its mask")
        return int("".join(c for c in value if c in "0123456789"))

    def unrank(self, rank: int) -> str:
        """The value of a rank."""
        digits = iter(f"{rank:0{self.mask.count('#')}d}")
        return "".join(next(digits) if c == "#" else c for c in self.mask)


def _index_of(regions: Sequence[str]) -> dict[str, int]:
    return _index_of_all() if regions is tables.county_codes() else {region: i for i, region in enumerate(regions)}


@cache
def _index_of_all() -> dict[str, int]:
    return {region: i for i, region in enumerate(tables.county_codes())}


@cache
def _num_sequences(parity: int | None) -> int:
    return _SEQUENCES if parity is None else 500 if parity else 499


def _sequence_rank(sequence: int, parity: int | None) -> int:
    if parity is None:
        return sequence - 1
    if sequence % 2 != parity:
        raise InvalidValueError("resident id: the sequence is of the other sex")
    return (sequence - 1) // 2 if parity else sequence // 2 - 1


def _sequence_of(rank: int, parity: int | None) -> int:
    if parity is None:
        return rank + 1
    return 2 * rank + 1 if parity else 2 * rank + 2


def _parsed_id(value: str, regions: dict[str, int]) -> tuple[int, datetime.date, int]:
    if len(value) != 18 or not _is_digits(value[:17]) or value[17] not in "0123456789X":
        raise InvalidValueError("resident id: expected 17 digits and a check character")
    if checksums.id_cn_digit(value[:17]) != value[17]:
        raise InvalidValueError("resident id: the check character is wrong")
    region = regions.get(value[:6])
    if region is None:
        raise InvalidValueError("resident id: the county code was never issued")
    if value[14:17] == "000":
        raise InvalidValueError("resident id: sequence 000 is not issued")
    try:
        born = datetime.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        raise InvalidValueError("resident id: no such birth date") from None
    return region, born, int(value[14:17])


def _written_id(region: str, born: datetime.date, sequence: int) -> str:
    body = f"{region}{born.year:04d}{born.month:02d}{born.day:02d}{sequence:03d}"
    return body + checksums.id_cn_digit(body)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


__all__ = [
    "CardRanking",
    "FIRST_BIRTH",
    "IdRanking",
    "InvalidValueError",
    "LandlineRanking",
    "MaskRanking",
    "MobilePrefixRanking",
    "MobileRanking",
    "Ranking",
    "SharedDobRanking",
]
