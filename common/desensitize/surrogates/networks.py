"""Addresses of mail and networks, and handles: drawn into ranges that are reserved for examples.

Domains of RFC 2606, 10.0.0.0/8 of RFC 1918, 2001:db8::/32 of RFC 3849. Not handled here: finding them.
"""

from __future__ import annotations

import ipaddress
import re

from fedward.common.desensitize import tables
from fedward.common.desensitize.surrogates.canonical import latin, plain
from fedward.common.desensitize.surrogates.draws import Stream, digits, number

_EMAIL = re.compile(r"(?P<local>[^\s@<>()\[\]\\,;:]{1,64})\s?@\s?(?P<domain>[^\s@<>()\[\]\\,;:/]{1,255})").fullmatch
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,15}://)?(?P<www>www\.)?\S{1,2000}").fullmatch
_V4 = re.compile(r"(?P<ip>(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?P<rest>(?::[0-9]{1,5})?(?:/[0-9]{1,2})?)").fullmatch
_V6 = re.compile(r"(?P<open>\[?)(?P<ip>[0-9A-Fa-f:.]{2,45})(?P<rest>\]?(?::[0-9]{1,5})?(?:/[0-9]{1,3})?)").fullmatch
_HANDLE = re.compile(r"(?P<at>@?)(?P<kept>wxid_|live:)?(?P<name>[A-Za-z0-9_.+-]{2,64})").fullmatch
_LETTERS = "bcdfghjkmnpqrstvwxz"


def email(original: str, draw: bytes) -> str | None:
    """A mailbox at an example domain: digits for digits, else a name with a number."""
    found = _EMAIL(plain(original).strip())
    if found is None:
        return None
    local, stream = found["local"], Stream(draw)
    if local.isascii() and local.isdigit():
        fresh = digits(draw, len(local))
    else:
        names = tables.read_table("names_en")
        first = latin(stream.choice(names["male"] + names["female"]))
        last = latin(stream.choice(names["surnames"]))
        mark = next((c for c in local if c in "._-"), "")
        fresh = f"{first}{mark}{last}{stream.below(1000)}"
    top = found["domain"].rpartition(".")[2].casefold()
    domain = f"example.{top if top in ('org', 'net') else 'com'}"
    text = f"{fresh}@{domain}"
    if local.isupper() and not local.isdigit():
        text = text.upper()
    return text.replace("@", "\uff20") if "\uff20" in original else text


def url(original: str, draw: bytes) -> str | None:
    """The scheme, an example domain and a path of twelve hexadecimal digits."""
    found = _URL(plain(original).strip())
    if found is None:
        return None
    return f"{found['scheme'] or ''}{found['www'] or ''}example.com/{number(draw, 16**12):012x}"


def ip(original: str, draw: bytes) -> str | None:
    """An address in 10.0.0.0/8 or 2001:db8::/32; port and prefix length stay."""
    text = plain(original).strip()
    found = _V4(text)
    if found is not None:
        value = number(draw, 2**16 * 254)
        return f"10.{value // 254 // 256}.{value // 254 % 256}.{value % 254 + 1}{found['rest']}"
    found = _V6(text)
    if found is None or ":" not in found["ip"]:
        return None
    try:
        ipaddress.IPv6Address(found["ip"])
    except ValueError:
        return None
    fresh = str(ipaddress.IPv6Address((0x20010DB8 << 96) | number(draw, 2**96)))
    fresh = fresh.upper() if any(c in "ABCDEF" for c in found["ip"]) else fresh
    return f"{found['open']}{fresh}{found['rest']}"


def handle(original: str, draw: bytes) -> str | None:
    """Letters for letters, digits for digits; @, wxid_ and separators stay."""
    found = _HANDLE(plain(original).strip())
    if found is None:
        return None
    stream = Stream(draw)
    fresh = "".join(_handle_character(c, stream) for c in found["name"])
    return f"{found['at']}{found['kept'] or ''}{fresh}"


def _handle_character(character: str, stream: Stream) -> str:
    if character.isdigit():
        return str(stream.below(10))
    if not character.isalpha():
        return character
    letter = stream.choice(_LETTERS)
    return letter.upper() if character.isupper() else letter


__all__ = ["email", "handle", "ip", "url"]
