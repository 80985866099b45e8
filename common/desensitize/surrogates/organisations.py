"""Organisations: another one of the same kind, 某某医院 for 某某医院.

The kind is the closed list of endings; everything before it is drawn. Of a branch, the kind of its head stays too (a
bank's branch stays one). Not handled here: finding organisations.
"""

from __future__ import annotations

import re
from functools import cache

from fedward.common.desensitize import tables
from fedward.common.desensitize.surrogates.canonical import plain
from fedward.common.desensitize.surrogates.draws import Stream
from fedward.common.desensitize.tables import simplified

_HAN = re.compile(r"[\u3400-\u9fff]")
_MAX_LENGTH = 120


def organisation(original: str, draw: bytes) -> str | None:
    """An organisation of the same kind in the same script; None if the span is too long to be one."""
    text = plain(original).strip()
    if not 1 < len(text) <= _MAX_LENGTH:
        return None
    stream = Stream(draw)
    orgs = tables.read_table("orgs")
    if _HAN.search(text):
        kind = _kind_zh(text)
        stems = (str(stream.choice(orgs["zh_first"]) + stream.choice(orgs["zh_second"])) for _ in range(2))
        head = _head_zh(text[: len(text) - len(kind)])
        return next(stems) + (head + next(stems) if head else "") + kind
    if not any(c.isalpha() for c in text) or not text.isprintable():
        return None
    stem = stream.choice(orgs["en_first"]) + stream.choice(orgs["en_second"])
    kind = _kind_en(text)
    name = f"{stem} {kind}" if kind else str(stem)
    return name.upper() if text.isupper() and len(text) > 3 else name


def kind_of(text: str) -> str:
    """The ending that tells the kind, or nothing."""
    folded = plain(text).strip()
    return _kind_zh(folded) if _HAN.search(folded) else _kind_en(folded)


def _kind_zh(text: str) -> str:
    flat = simplified(text)
    for suffix in _suffixes("zh_suffixes"):
        if flat.endswith(suffix) and len(flat) > len(suffix):
            return text[-len(suffix) :]
    return ""


def _head_zh(text: str) -> str:
    """The kind of the organisation that a branch belongs to."""
    flat = simplified(text)
    return next((kind for kind in ("银行", "大学", "医院", "集团", "公司") if flat.find(kind) > 0), "")


def _kind_en(text: str) -> str:
    lowered = text.casefold()
    for suffix in _suffixes("en_suffixes"):
        if lowered.endswith(" " + suffix.casefold()):
            return suffix
    for word in ("Hospital", "University", "College", "Bank", "Clinic", "School", "Church", "Institute"):
        if lowered.startswith(f"{word.casefold()} of "):
            return word
    return ""


@cache
def _suffixes(key: str) -> tuple[str, ...]:
    return tuple(sorted(tables.read_table("orgs")[key], key=len, reverse=True))


__all__ = ["kind_of", "organisation"]
