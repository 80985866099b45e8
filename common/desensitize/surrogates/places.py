"""Addresses, postcodes, places: what stays of them, and what is drawn in their stead.

Invariant: nothing below the city that a policy keeps survives, and only names of our own table survive at all, so a
house number never does. Not handled here: finding addresses.
"""

from __future__ import annotations

import re
from functools import cache

from fedward.common.desensitize import tables
from fedward.common.desensitize.surrogates.canonical import plain, widened
from fedward.common.desensitize.surrogates.draws import Stream, digits, number
from fedward.common.desensitize.tables import simplified

_HAN = re.compile(r"[\u4e00-\u9fff]")
_SUFFIX = re.compile(r"(?:特别行政区|维吾尔自治区|壮族自治区|回族自治区|自治区|自治州|地区|省|市|盟)$")
_PEOPLES = re.compile(
    r"(?:哈尼族|彝族|苗族|侗族|布依族|壮族|傣族|景颇族|傈僳族|藏族|羌族|回族|白族|土家族|朝鲜族|蒙古族|哈萨克|蒙古|柯尔克孜)+$"
)
_CITY_WORD = re.compile(r"[A-Z][A-Za-z.'\u2019-]*(?:\s[A-Z][A-Za-z.'\u2019-]*){0,3}").fullmatch
_STATE = re.compile(r"(?P<state>[A-Za-z]{2,20}(?:\s[A-Za-z]{2,10}){0,2})\.?(?:\s+[0-9]{5}(?:-[0-9]{4})?)?").fullmatch
_ZIP = re.compile(r"([0-9]{5})(-[0-9]{4})?").fullmatch
_ROADS = ("路", "街", "大道", "巷")


def generalised_address(original: str, *, to_province: bool) -> str | None:
    """City and province of an address, or the province alone; None if it names neither.

    Args:
        original: Chinese or English, with or without the house.
        to_province: keep the province or state alone.
    """
    text = plain(original)
    if not _HAN.search(text):
        return _english(text, to_province=to_province)
    province, city = located(text)
    if not province:
        return None
    if to_province or not city or city == province:
        return province
    return province + city if simplified(text).startswith(_stem(province)) else city


def located(text: str) -> tuple[str, str]:
    """Province and city (full names) that a Chinese address begins with; empty where it names none."""
    flat = re.sub(r"[\s,，]", "", simplified(text))
    flat = flat.removeprefix("中国").removeprefix("中华人民共和国")
    for stem, code in _province_stems():
        if flat.startswith(stem):
            rest = flat[len(stem) :]
            name = _provinces()[code]
            rest = rest.removeprefix(name[len(stem) :]) if name.startswith(stem) else rest
            rest = re.sub(r"^(?:省|市|自治区)", "", rest)
            return name, _city_at(rest, code) or (name if name.endswith("市") else "")
    city = _city_at(flat, "")
    return (_provinces()[_city_codes()[city]], city) if city else ("", "")


def surrogate_address(original: str, draw: bytes) -> str:
    """An address of the same depth elsewhere: every part is drawn."""
    stream = Stream(draw)
    house, room = 1 + stream.below(998), 101 + stream.below(2800)
    if not _HAN.search(original):
        orgs = tables.read_table("orgs")
        street = stream.choice(orgs["en_first"]) + stream.choice(orgs["en_second"])
        kind = stream.choice(orgs["en_streets"])
        town = stream.choice(orgs["en_first"]) + stream.choice(orgs["en_second"])
        return f"{house} {street} {kind}, {town}, {stream.choice(sorted(tables.read_table('us_states')['states']))}"
    code = stream.choice(sorted(_city_names()))
    orgs = tables.read_table("orgs")
    road = stream.choice(orgs["zh_first"]) + stream.choice(orgs["zh_second"]) + stream.choice(_ROADS)
    text = f"{_provinces()[code[:2]]}{_city_names()[code]}{road}"
    text += f"{house}号" if re.search(r"[号號栋棟室弄]", original) else ""
    return text + (f"{room}室" if re.search(r"室", original) else "")


def surrogate_place(original: str, draw: bytes) -> str | None:
    """A place of the same level: province for province, else a city with or without 市 as it was written."""
    text = simplified(plain(original).strip())
    if not _HAN.search(text):
        orgs = tables.read_table("orgs")
        stream = Stream(draw)
        return str(stream.choice(orgs["en_first"]) + stream.choice(orgs["en_second"]))
    if text in _provinces().values() or text in dict(_province_stems()):
        names = sorted(_provinces().values())
    else:
        names = sorted(_city_names().values())
    name = names[number(draw, len(names))]
    return name if _SUFFIX.search(text) else _stem(name)


def generalised_place(original: str) -> str | None:
    """The province that a place lies in."""
    return located(plain(original))[0] or None


def generalised_postcode(original: str, *, to_province: bool) -> str | None:
    """China: province and postal district; ZIP: three digits, 000 where they hold at most 20,000 people.

    None for other codes, and for one that is as general already: it would come back as it was.
    """
    text = plain(original).strip()
    if re.fullmatch(r"[0-9]{6}", text):
        kept = [2] if to_province else [3, 2]
        coarser = [text[:n] + "0" * (6 - n) for n in kept]
    elif _ZIP(text):
        sparse = tables.read_table("orgs")["zip3_sparse"]
        coarser = [("000" if text[:3] in sparse else text[:3]) + "00"]
    else:
        return None
    return next((widened(original, code) for code in coarser if code != text), None)


def surrogate_postcode(original: str, draw: bytes) -> str | None:
    """Digits of the same form."""
    text = plain(original).strip()
    if not re.fullmatch(r"[0-9]{5,6}(?:-[0-9]{4})?", text):
        return None
    fresh = iter(digits(draw, len(text)))
    return widened(original, "".join(next(fresh) if c.isdigit() else c for c in text))


def _english(text: str, *, to_province: bool) -> str | None:
    """City and state, "Springfield, IL" of "12 Main St, Springfield, IL 62704"."""
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    while parts and parts[-1].casefold().rstrip(".") in ("usa", "us", "u.s.a", "u.s", "united states"):
        parts.pop()
    if parts and _ZIP(parts[-1]):
        parts.pop()
    found = _STATE(parts[-1]) if parts else None
    state = _state(found["state"]) if found else None
    if state is None:
        return None
    city = parts[-2] if len(parts) >= 3 else ""
    if to_province or not _CITY_WORD(city) or city.split()[-1].rstrip(".") in _street_words():
        return state
    return f"{city}, {state}"


def _state(text: str) -> str | None:
    states = tables.read_table("us_states")["states"]
    if text.upper() in states:
        return text.upper()
    return next((name for name in states.values() if name.casefold() == text.casefold()), None)


def _city_at(text: str, province: str) -> str:
    for stem, code in _city_stems():
        if code.startswith(province) and text.startswith(stem):
            return _city_names()[code]
    return ""


def _stem(name: str) -> str:
    full = _SUFFIX.sub("", name)
    short = _PEOPLES.sub("", full)
    return next(stem for stem in (short, full, name) if len(stem) >= 2)


@cache
def _provinces() -> dict[str, str]:
    return dict(tables.read_table("places")["provinces"])


@cache
def _city_names() -> dict[str, str]:
    return dict(tables.read_table("places")["cities"])


@cache
def _city_codes() -> dict[str, str]:
    names = {name: code[:2] for code, name in _city_names().items()}
    return names | {name: code for code, name in _provinces().items() if name.endswith("市")}


@cache
def _province_stems() -> tuple[tuple[str, str], ...]:
    return tuple((_stem(name), code) for code, name in _provinces().items())


@cache
def _city_stems() -> tuple[tuple[str, str], ...]:
    stems = [(_stem(name), code) for code, name in _city_names().items()]
    return tuple(sorted(stems, key=lambda pair: -len(pair[0])))


@cache
def _street_words() -> frozenset[str]:
    return frozenset(tables.read_table("orgs")["en_streets"])


__all__ = [
    "generalised_address",
    "generalised_place",
    "generalised_postcode",
    "located",
    "surrogate_address",
    "surrogate_place",
    "surrogate_postcode",
]
