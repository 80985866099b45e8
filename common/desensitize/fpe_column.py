"""Encrypting and restoring a column of one type, in one pass a context.

Invariants: a column under one key is a bijection on its valid values; an invalid value is never repaired but takes
``on_invalid``; a value that its permutation leaves as it is becomes a placeholder, so no original is ever written.
Not handled here: which column has which type (``columns``), and writing (``surrogates``) of a value within a text.
"""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fedward.common.desensitize import tables
from fedward.common.desensitize.fpe import IntegerFpe, KeyDescriptor, permutation
from fedward.common.desensitize.keys import ScrubKeys, length_prefixed
from fedward.common.desensitize.ranking import (
    CardRanking,
    IdRanking,
    InvalidValueError,
    LandlineRanking,
    MaskRanking,
    MobilePrefixRanking,
    MobileRanking,
    Ranking,
    SharedDobRanking,
)
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError, FpeDomainError

FPE_TYPES = frozenset(
    {
        EntityType.ACCOUNT,
        EntityType.CARD,
        EntityType.HEALTH_PLAN,
        EntityType.ID_CN,
        EntityType.MRN,
        EntityType.PHONE,
        EntityType.TXN,
    }
)
"""Types with a rank order. Last-4, codes and CVV have none: they are too few to encrypt one as another."""
_FEW = 10
"""Values from which on an array is faster."""
FIXED_POINT = "[FIXED]"
INVALID = "[INVALID]"


@dataclass(frozen=True, kw_only=True, slots=True)
class FpeOptions:
    """What of a value is kept."""

    keep_prefix: bool = False
    """Mobile numbers: the three digits of the operator."""
    id_scheme: Literal["full", "province"] = "full"
    """Resident ids: region and birth date are both drawn; ``province`` keeps the first two digits."""
    keep_sex: bool = False
    """Resident ids: the parity of the sequence."""
    card_digits: Literal[6, 8] = 6
    """Card numbers: digits of the issuer that stay."""


@dataclass(kw_only=True)
class FpeColumn:
    """One column of one type under one key.

    Args:
        keys: of the site.
        descriptor: of the key; checked.
        type_: one of ``FPE_TYPES``.
        on_invalid: what an invalid value becomes: a keyed token, a placeholder, or an error.

    Raises:
        ConfigError: a type without a rank order.
        DesensitizationError: a descriptor of another key or of other tables.
    """

    keys: ScrubKeys = field(repr=False)
    descriptor: KeyDescriptor
    type_: EntityType
    options: FpeOptions = FpeOptions()
    on_invalid: Literal["token", "placeholder", "error"] = "token"
    _permutations: dict[tuple[str, int], IntegerFpe] = field(default_factory=dict, repr=False)
    _rankings: dict[tuple[str, ...], Ranking] = field(default_factory=dict, repr=False)
    num_invalid: int = 0
    num_fixed: int = 0

    def __post_init__(self) -> None:
        if self.type_ not in FPE_TYPES:
            raise ConfigError(
                f"{self.type_}: no format-preserving encryption for this type", hint="Use the action `surrogate`."
            )
        self.descriptor.check(self.keys)

    def encrypt(self, values: Sequence[str]) -> list[str]:
        """A column of plain values (digits, upper case, no separators) to as many of the same form.

        Raises:
            InvalidValueError: with ``on_invalid = "error"``.
            FpeDomainError: some value's context has fewer than 1,000,000 values, with ``on_invalid = "error"``.
        """
        out = self._mapped(values, _encrypt)
        for i, value in enumerate(values):
            if out[i] == value:
                out[i] = FIXED_POINT
                self.num_fixed += 1
        return [self._invalid(values[i]) if text is None else text for i, text in enumerate(out)]

    def decrypt(self, values: Sequence[str]) -> list[str]:
        """The way back. What is no value of the type (a token, a placeholder) stays."""
        return [value if text is None else text for value, text in zip(values, self.decrypted(values), strict=True)]

    def decrypted(self, values: Sequence[str]) -> list[str | None]:
        """The way back; None for what is no value of the type, so that nothing was encrypted there.

        A token is none, although its digits would do for a record number.
        """
        out = self._mapped(values, _decrypt, strict=False)
        return [None if _is_token(value) else text for value, text in zip(values, out, strict=True)]

    def token(self, value: str) -> str:
        """A keyed token of 80 bits: equal values have equal tokens, nobody gets back."""
        tag = hmac.digest(self.keys.derive("token", self.type_), length_prefixed(value), "sha256")
        return f"[{self.type_}:{tag[:10].hex()}]"

    def _mapped(
        self, values: Sequence[str], through: Callable[[IntegerFpe, list[int]], list[int]], *, strict: bool = True
    ) -> list[str | None]:
        groups: dict[str, tuple[Ranking, list[int], list[int]]] = {}
        for i, value in enumerate(values):
            try:
                ranking = self.ranking_of(value)
                rank = ranking.rank(value)
                self._permutation(ranking)
            except (InvalidValueError, FpeDomainError):
                if strict and self.on_invalid == "error":
                    raise
                continue
            _, places, ranks = groups.setdefault(ranking.context, (ranking, [], []))
            places.append(i)
            ranks.append(rank)
        out: list[str | None] = [None] * len(values)
        for ranking, places, ranks in groups.values():
            for i, rank in zip(places, through(self._permutation(ranking), ranks), strict=True):
                out[i] = ranking.unrank(rank)
        return out

    def _invalid(self, value: str) -> str:
        self.num_invalid += 1
        return INVALID if self.on_invalid == "placeholder" else self.token(value)

    def _permutation(self, ranking: Ranking) -> IntegerFpe:
        key = (ranking.context, ranking.domain)
        if key not in self._permutations:
            self._permutations[key] = permutation(self.keys, self.type_, *key)
        return self._permutations[key]

    def ranking_of(self, value: str) -> Ranking:
        """The rank order that ``value`` belongs to.

        Raises:
            InvalidValueError: it belongs to none.
        """
        if self.type_ is EntityType.PHONE:
            return self._phone(value)
        if self.type_ is EntityType.ID_CN:
            return self._id(value)
        if self.type_ is EntityType.CARD:
            return CardRanking.of(value, self.options.card_digits)
        return MaskRanking.of(value)

    def _phone(self, value: str) -> Ranking:
        if value.startswith("1"):
            if self.options.keep_prefix:
                return self._kept(("prefix", value[:3]), lambda: MobilePrefixRanking(prefix=value[:3]))
            return self._kept(("mobile",), MobileRanking)
        area, number = split_landline(value)
        return _Prefixed(prefix=f"0{area}", inner=LandlineRanking(area=area, length=len(number)))

    def _id(self, value: str) -> Ranking:
        if len(value) != 18 or value[16] not in "0123456789":
            raise InvalidValueError("resident id: expected 17 digits and a check character")
        parity = int(value[16]) % 2 if self.options.keep_sex else None
        scheme = "full" if self.options.id_scheme == "full" else value[:2]
        return self._kept(("id", scheme, str(parity)), lambda: self._id_ranking(scheme, parity))

    def _id_ranking(self, scheme: str, parity: int | None) -> Ranking:
        regions = [code for code in tables.county_codes() if scheme == "full" or code.startswith(scheme)]
        if not regions:
            raise InvalidValueError("resident id: the province does not exist")
        return IdRanking(num_days=self.descriptor.num_days, regions=regions, parity=parity, scheme=scheme)

    def _kept(self, key: tuple[str, ...], make: Callable[[], Ranking]) -> Ranking:
        if key not in self._rankings:
            self._rankings[key] = make()
        return self._rankings[key]


@dataclass(frozen=True, kw_only=True)
class SharedDobIds:
    """Resident ids whose birth date moves with all dates of the patient, while region and sequence are encrypted.

    Not injective across patients, so no join key; restoring needs the patient's shift.

    Args:
        keys: of the site.
        descriptor: of the key; checked.
        keep_sex: keep the parity of the sequence.
    """

    keys: ScrubKeys = field(repr=False)
    descriptor: KeyDescriptor
    keep_sex: bool = False

    def __post_init__(self) -> None:
        self.descriptor.check(self.keys)

    def encrypt(self, value: str, shift_days: int) -> str:
        """The id with the shifted birth date; a fixed point becomes a placeholder.

        Raises:
            InvalidValueError: no valid id, or a birth date that cannot be shifted.
        """
        shared, rank = self._ranked(value, shift_days)
        fpe = permutation(self.keys, EntityType.ID_CN, shared.context, shared.domain)
        fresh = shared.unrank(fpe.encrypt(rank))
        return FIXED_POINT if fresh == value else fresh

    def decrypt(self, value: str, shift_days: int) -> str:
        """The way back.

        Raises:
            InvalidValueError: no valid id.
        """
        shared, rank = self._ranked(value, 0)
        fpe = permutation(self.keys, EntityType.ID_CN, shared.context, shared.domain)
        original, _ = self._ranked(value, -shift_days)
        return original.unrank(fpe.decrypt(rank))

    def _ranked(self, value: str, shift_days: int) -> tuple[SharedDobRanking, int]:
        parity = int(value[16]) % 2 if self.keep_sex and value[16:17].isdecimal() else None
        try:
            born = datetime.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
            shared = SharedDobRanking(born=born + datetime.timedelta(shift_days), parity=parity)
        except (ValueError, OverflowError):
            raise InvalidValueError("resident id: the birth date cannot be shifted") from None
        return shared, shared.rank(value)


@dataclass(frozen=True, kw_only=True)
class _Prefixed:
    """A ranking of what follows a prefix that stays."""

    prefix: str
    inner: Ranking

    @property
    def domain(self) -> int:
        return self.inner.domain

    @property
    def context(self) -> str:
        return self.inner.context

    def rank(self, value: str) -> int:
        return self.inner.rank(value[len(self.prefix) :])

    def unrank(self, rank: int) -> str:
        return self.prefix + self.inner.unrank(rank)


def _is_token(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def _encrypt(fpe: IntegerFpe, ranks: list[int]) -> list[int]:
    if len(ranks) < _FEW:
        return [fpe.encrypt(rank) for rank in ranks]
    return list(map(int, fpe.encrypt_many(ranks)))


def _decrypt(fpe: IntegerFpe, ranks: list[int]) -> list[int]:
    if len(ranks) < _FEW:
        return [fpe.decrypt(rank) for rank in ranks]
    return list(map(int, fpe.decrypt_many(ranks)))


def split_landline(value: str) -> tuple[str, str]:
    """Area code (without the 0) and local number of a landline of China, digits only with the 0.

    Raises:
        InvalidValueError: the area code is not allotted or its numbers have another length.
    """
    if value.startswith("0"):
        for length in (2, 3):
            area, number = value[1 : 1 + length], value[1 + length :]
            if len(number) in tables.area_codes().get(area, ()):
                return area, number
    raise InvalidValueError("landline number: no such area code, or another length of number")


__all__ = ["FIXED_POINT", "FPE_TYPES", "FpeColumn", "FpeOptions", "INVALID", "SharedDobIds", "split_landline"]
