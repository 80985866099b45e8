"""E-mail addresses, links, images and @handles, found from ``@``, ``://``, ``www.`` and ``data:``.

Those anchors are rare and found at the speed of memchr; the scan's automaton is spared a state for every word that
might be the start of an address. Invariant: linear in the text, for a hit is never read twice and a look to the left
stops at 64 bytes or the last hit. Not handled here: images named by a bare file name (a rule of the scan).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from fedward.common.desensitize.detectors.hits import ALNUM, Hit
from fedward.common.desensitize.spans import EntityType as T

_LOCAL = bytes(sorted(ALNUM)) + b"._%+-*'"
_MAX_LOCAL = 64
_HOST = re.compile(rb"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}").match
_HANDLE = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]{3,29}").match
_OCTETS = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}").fullmatch
_LINK = re.compile(rb"[!#-;=?-\[\]_a-z~]+").match
_DATA = re.compile(rb"data:[a-z]{2,16}/[A-Za-z0-9.+-]{1,64}[;,][A-Za-z0-9+/=_%;,.:-]*").match
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,15}$").search
_IMAGE = re.compile(rb"(?i)\.(?:jpe?g|png|gif|bmp|webp|tiff?|heic|dcm)(?:[?#!@]|$)").search
_AT_WORD = re.compile(
    rb" ?[(\[](?:at|AT|@)[)\]] ?([A-Za-z0-9-]{1,63}(?: ?(?:\.|[(\[](?:dot|DOT)[)\]]) ?[A-Za-z0-9-]{1,63}){1,4})"
).match
_TRAILING = b".,;:!?'*_"
_PARTNER = {b")": b"(", b"]": b"["}
_MAX_TRAILING = 8
_MANY_BYTES = 12_000


def _positions(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _link(data: bytes, start: int) -> Hit | None:
    """The link from ``start``: printable ASCII without quotes and angle brackets, trailing punctuation left out."""
    match = _LINK(data, start)
    if match is None:
        return None
    value = match.group().rstrip(_TRAILING)
    for _ in range(_MAX_TRAILING):  # a closing bracket without its partner is the sentence's
        close = value[-1:]
        if close not in _PARTNER or value.count(close) <= value.count(_PARTNER[close]):
            break
        value = value[:-1].rstrip(_TRAILING)
    if len(value) < 6:
        return None
    is_image = _IMAGE(value) is not None
    return start, start + len(value), T.IMAGE if is_image else T.URL, 3, "image_link" if is_image else "link"


def _link_anchors(data: bytes) -> tuple[list[int], list[int], list[int]]:
    """Where ``www.``, ``data:`` and ``://`` stand; from their rare bytes, four times as fast as three searches."""
    if len(data) < _MANY_BYTES:
        return list(_positions(data, b"www.")), list(_positions(data, b"data:")), list(_positions(data, b"://"))
    block = np.frombuffer(data, np.uint8)
    colons = np.flatnonzero(block[:-1] == 58)
    slashed = [at for at in colons[block[colons + 1] == 47].tolist() if data.startswith(b"://", at)]
    schemes = [at - 4 for at in colons[block[colons - 1] == 97].tolist() if data.startswith(b"data:", max(at - 4, 0))]
    words = np.flatnonzero((block[:-1] == 119) & (block[1:] == 119))
    return [at for at in words.tolist() if data.startswith(b"www.", at)], schemes, slashed


def find_links(data: bytes) -> list[Hit]:
    """Links and ``data:`` URIs, disjoint, in order."""
    words, schemes, slashed = _link_anchors(data)
    starts = [(at, False) for at in words if not at or data[at - 1] not in ALNUM]
    starts += [(at, True) for at in schemes]
    for at in slashed:
        if scheme := _SCHEME(data[max(0, at - 16) : at]):
            starts.append((at - len(scheme.group()), False))
    hits: list[Hit] = []
    for start, is_data in sorted(starts):
        if hits and start < hits[-1][1]:
            continue
        if not is_data:
            hit = _link(data, start)
        else:
            match = _DATA(data, start)
            hit = (start, match.end(), T.IMAGE, 3, "data_uri") if match else None
        if hit is not None:
            hits.append(hit)
    return hits


def _local_start(data: bytes, at: int, floor: int) -> int:
    """Where the local part before ``at`` begins, without leading punctuation and without ``**`` of bold text."""
    before = data[max(floor, at - _MAX_LOCAL) : at]
    local = before[len(before.rstrip(_LOCAL)) :].lstrip(b".-%+'")
    if local[:1] == b"*":
        plain = local.lstrip(b"*")
        local = plain if plain and b"*" not in plain else local
    return at - len(local)


def _host_end(data: bytes, at: int) -> int | None:
    """End of the host after ``@``: its last label has letters only, or it is an IPv4 address."""
    match = _HOST(data, at + 1)
    if match is None:
        return None
    host = match.group()
    if _OCTETS(host):
        return match.end()
    while b"." in host:
        last = host.rsplit(b".", 1)[1]
        if len(last) > 1 and (last.isalpha() or last.startswith(b"xn--")):
            return at + 1 + len(host)
        letters = re.match(rb"[A-Za-z]{2,}(?=-)", last)  # a hyphen after the domain: a@b.com-备注
        if letters:
            return at + 1 + len(host) - len(last) + letters.end()
        host = host.rsplit(b".", 1)[0]
    return None


def find_addresses(data: bytes) -> list[Hit]:
    """E-mail addresses, plain or half masked, and @handles; disjoint, in order."""
    hits: list[Hit] = []
    floor = 0
    for at in _positions(data, b"@"):
        if at < floor:
            continue
        start, end = _local_start(data, at, floor), _host_end(data, at)
        if end is not None and start < at:
            masked = b"*" in data[start:at]
            hits.append((start, end, T.MASKED if masked else T.EMAIL, 3, "email_masked" if masked else "email"))
        elif (match := _HANDLE(data, at + 1)) and (not at or data[at - 1] not in _LOCAL):
            hits.append((at, match.end() - match.group().endswith(b"."), T.HANDLE, 2, "handle"))
        else:
            continue
        floor = hits[-1][1]
    return hits


def spelt_address(data: bytes, at: int, floor: int) -> Hit | None:
    """``wang (at) example (dot) com``, from its bracket."""
    left = at - (data[at - 1 : at] == b" ")
    match, start = _AT_WORD(data, left), _local_start(data, left, floor)
    return (start, match.end(), T.EMAIL, 3, "email_spelt") if match and start < left else None


def image_file_start(data: bytes, dot: int, floor: int) -> int:
    """Where the path before an image's file name extension begins; ``dot`` itself if there is none."""
    start = dot
    while start > floor and dot - start < 256 and (data[start - 1] in ALNUM or data[start - 1] in b"._/%~-\\"):
        start -= 1
    while start < dot and data[start] in b".-%":
        start += 1
    return start


__all__ = ["find_addresses", "find_links", "image_file_start", "spelt_address"]
