"""What of a value counts when two spellings are compared: folded, Simplified, no separators, case-folded.

Not handled here: taking a name apart (``names_zh``, ``names_en``); each part is canonical by itself.
"""

from __future__ import annotations

import re
import unicodedata

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tables import simplified

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_WIDE = {i: chr(0xFF00 + i - 0x20) for i in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))}
_IS_WIDE = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]").search
_NAMES = (EntityType.PERSON, EntityType.ORG, EntityType.LOC, EntityType.ADDRESS)


def plain(text: str) -> str:
    """Full-width digits and letters as ASCII, what nobody sees left out."""
    return text if text.isascii() else Document.of(text).text


def compact(text: str) -> str:
    """``plain`` without anything but letters and digits."""
    folded = plain(text)
    return folded if folded.isalnum() else _NOT_ALPHANUMERIC.sub("", folded)


def latin(text: str) -> str:
    """A Latin name case-folded, without accents and separators."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", plain(text)) if not unicodedata.combining(c))
    return _NOT_ALPHANUMERIC.sub("", text).casefold()


def canonical(type_: EntityType, text: str) -> str:
    """What two spellings of one value share; for names and places also across scripts of Chinese."""
    if type_ in _NAMES:
        return simplified(latin(text))
    return compact(text).upper()


def refill(original: str, old: str, new: str) -> str | None:
    """Write ``new`` in the form of ``original``.

    Args:
        original: as it stands in the text, with its separators and widths.
        old: characters of ``plain(original)`` that are replaced, a subsequence taken from the left.
        new: as many.

    Returns:
        ``original`` with those characters exchanged; full width and lower case are kept, unseen characters dropped.
        None if ``old`` is not found.
    """
    if len(old) != len(new):
        return None
    if original == old:
        return new
    out, i = [], 0
    for character in original:
        folded = character if character < "\x80" else plain(character)
        if not folded:
            continue
        if i < len(old) and folded.upper() == old[i].upper():
            fresh = new[i].lower() if folded.islower() else new[i]
            out.append(fresh if folded == character else fresh.translate(_WIDE))
            i += 1
        else:
            out.append(character)
    return "".join(out) if i == len(old) else None


def widened(original: str, text: str) -> str:
    """``text`` with full-width digits and letters, if ``original`` has some."""
    return text if original.isascii() or not _IS_WIDE(original) else text.translate(_WIDE)


__all__ = ["canonical", "compact", "latin", "plain", "refill", "widened"]
