"""Which maker draws the surrogates of which type, and what of a written value is encrypted.

Not handled here: actions, scopes and redraws (``document``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedward.common.desensitize import checksums
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import networks, numbers, organisations, phones, places
from fedward.common.desensitize.surrogates.canonical import compact, plain

NUMBERS: Mapping[EntityType, numbers.Maker] = {
    EntityType.SSN: numbers.ssn,
    EntityType.NATIONAL_ID: numbers.record_number,
    EntityType.PASSPORT: numbers.record_number,
    EntityType.LICENCE: numbers.licence,
    EntityType.MRN: numbers.record_number,
    EntityType.HEALTH_PLAN: numbers.record_number,
    EntityType.CARD: numbers.card,
    EntityType.ACCOUNT: numbers.account,
    EntityType.IBAN: numbers.iban,
    EntityType.TXN: numbers.record_number,
    EntityType.SECRET: numbers.record_number,
    EntityType.PLATE: numbers.plate,
    EntityType.VIN: numbers.vin,
    EntityType.DEVICE: numbers.device,
    EntityType.ORG_ID: numbers.organisation_id,
}
"""Makers on compact values: letters and digits alone."""
TEXTS: Mapping[EntityType, Callable[[str, bytes], str | None]] = {
    EntityType.EMAIL: networks.email,
    EntityType.URL: networks.url,
    EntityType.IP: networks.ip,
    EntityType.HANDLE: networks.handle,
    EntityType.ORG: organisations.organisation,
    EntityType.LOC: places.surrogate_place,
    EntityType.ADDRESS: places.surrogate_address,
    EntityType.POSTCODE: places.surrogate_postcode,
}
"""Makers on values as they are written."""
MAY_BE_ID = frozenset({EntityType.LICENCE, EntityType.NATIONAL_ID, EntityType.HEALTH_PLAN})
"""Types whose number may be the holder's resident id; it is then replaced as that."""


def is_resident_id(value: str) -> bool:
    """Whether a compact value is an 18-digit id with the right check character."""
    body = value[:17]
    return len(value) == 18 and body.isascii() and body.isdigit() and checksums.id_cn_digit(body) == value[17]


def encrypted_part(type_: EntityType, original: str) -> tuple[str, str]:
    """The characters that are encrypted, and what the rank order wants before them (the 0 of an area code)."""
    if type_ is EntityType.MRN:
        return plain(original), ""
    if type_ is not EntityType.PHONE:
        return compact(original).upper(), ""
    phone = phones.read_phone(original)
    if phone is None or phone.country.lstrip("0") not in ("", "86") or phone.extension:
        return "", ""
    mobile = len(phone.national) == 11 and phone.national.startswith("1")
    return phone.national, "" if mobile or phone.national.startswith("0") else "0"


__all__ = ["encrypted_part", "is_resident_id", "MAY_BE_ID", "NUMBERS", "TEXTS"]
