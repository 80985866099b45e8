"""Ages: over 89 becomes 90+ (45 CFR 164.514(b)(2)(i)(C)), every other one stays.

Not handled here: an age that a birth date implies (``document`` knows the date of the record).
"""

from __future__ import annotations

import re

from fedward.common.desensitize.surrogates.canonical import plain

LIMIT = 89
_NUMBER = re.compile(
    r"[0-9]{1,3}|[一二两三四五六七八九十百零〇]{1,6}|(?:ninety|(?:(?:one|a)\s)?hundred)(?:[\s-](?:and\s)?(?:one|two|three|four|five|six|seven|eight|nine|ten))?"
)
_ZH = "零一二三四五六七八九"


def generalised_age(original: str) -> str | None:
    """``original`` itself up to 89, else with 90+ for the number; None if it holds no number, or more than one."""
    text = plain(original)
    found = _NUMBER.findall(text.lower())
    if len(found) != 1 or len(text) > 40:
        return None
    years = _value(found[0])
    if years <= LIMIT:
        return original
    return _NUMBER.sub("90+", text, count=1) if text.lower() == text else _in_any_case(text)


def _in_any_case(text: str) -> str:
    found = _NUMBER.search(text.lower())
    return text if found is None else f"{text[: found.start()]}90+{text[found.end() :]}"


def _value(text: str) -> int:
    if text.isdigit() and text.isascii():
        return int(text)
    if text.isascii():
        return LIMIT + 1
    total, unit = 0, 0
    for character in text:
        if character in "十百":
            total += max(unit, 1) * (10 if character == "十" else 100)
            unit = 0
        else:
            unit = 2 if character == "两" else max(0, _ZH.find(character))
    return total + unit


__all__ = ["generalised_age", "LIMIT"]
