r"""A text as a person reads it: accents composed, and letters and digits that people wrote as codes or in other signs.

A name in a JSON text within a text (``\u5f20\u4e09``), in HTML (``&#24352;``) or in a web address (``%E5%BC%A0``), an
accent as a mark of its own, a telephone number of circled digits: no rule and no tagger sees these, and every reader's
program does. Only letters and digits are written out, so that no quote and no tag appears that was not there. Not
handled here: base64, quoted-printable, and text that is written from right to left to be read from left to right.
"""

from __future__ import annotations

import re
import unicodedata

_MARKS = "\u0300-\u036f"
_DIGITS = (
    "\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u24ea\u24f5-\u24fd\u2776-\u277e\u2780-\u2788"
    "\u278a-\u2792\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\U0001d7ce-\U0001d7ff"
)
"""Raised, lowered, circled, Arabic, Persian, Devanagari and mathematical ones; full width is folded elsewhere."""
_UNUSUAL = re.compile(f"[{_MARKS}{_DIGITS}]")
_DIGIT_RUN = re.compile(rf"[{_DIGITS}](?:[ \-]?[{_DIGITS}]){{5,40}}")
"""Shorter ones are the numbers of a list, and powers."""
_JSON = re.compile(r"\\{1,8}u([0-9A-Fa-f]{4})")
_HTML = re.compile(r"&#(?:([0-9]{1,7})|[xX]([0-9A-Fa-f]{1,6}));?")
_WEB = re.compile(r"(?:%[Ee][3-9A-Fa-f]%[89ABab][0-9A-Fa-f]%[89ABab][0-9A-Fa-f])+")
"""Characters of three bytes alone: 5%30% is a dose."""


def spelt_plainly(text: str) -> str:
    """``text`` with such letters and digits written out; the same object if there are none."""
    plain = text
    if "\\u" in plain:
        plain = _JSON.sub(lambda found: _written(found, int(found[1], 16)), plain)
    if "&#" in plain:
        plain = _HTML.sub(lambda found: _written(found, int(found[1]) if found[1] else int(found[2], 16)), plain)
    if "%E" in plain or "%e" in plain:
        plain = _WEB.sub(_of_web, plain)
    if not plain.isascii() and _UNUSUAL.search(plain):
        plain = _DIGIT_RUN.sub(lambda found: "".join(map(_digit, found[0])), plain)
        plain = unicodedata.normalize("NFC", plain)
    return text if plain == text else plain


def _written(found: re.Match[str], code: int) -> str:
    character = chr(code) if code < 0x110000 else ""
    return character if character.isalnum() else found[0]


def _of_web(found: re.Match[str]) -> str:
    try:
        characters = bytes.fromhex(found[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return found[0]
    return characters if characters.isalnum() else found[0]


def _digit(character: str) -> str:
    return str(unicodedata.digit(character, character))


__all__ = ["spelt_plainly"]
