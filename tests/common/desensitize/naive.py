"""A widespread recipe as negative control: what it does wrong, our tests must notice.

Three substitutions one after the other, each with one fake, then a random word after every ten characters.
"""

from __future__ import annotations

import re
from random import Random  # noqa: TID251

from fedward.simulations.benchmarks.scrub_scores import Found

_NAME = re.compile("[张王李赵刘陈杨黄周吴][\u4e00-\u9fff]{1,2}")
_PHONE = re.compile("1[3-9][0-9]{9}")
_ID = re.compile("[0-9]{17}[0-9X]")
_FAKE_NAMES = ("小明", "小红", "老周", "阿强")
_WORDS = ("的确", "也许", "其实", "那么")


def replaced(text: str, seed: int = 0) -> str:
    """The three substitutions."""
    rng = Random(seed)
    for pattern, fake in _rules(rng):
        text = pattern.sub(fake, text)
    return text


def after_phones(text: str, seed: int = 0) -> tuple[str, str]:
    """The text after the second substitution, and the fake number that it writes."""
    (names, fake_name), (phones, fake_phone), _ = _rules(Random(seed))
    return phones.sub(fake_phone, names.sub(fake_name, text)), fake_phone


def noised(text: str, seed: int = 0) -> str:
    """A random word after every ten characters."""
    rng = Random(seed)
    return "".join(text[i : i + 10] + rng.choice(_WORDS) for i in range(0, len(text), 10))


def spans(text: str) -> list[Found]:
    """What the three rules touch."""
    rules = ((_NAME, "PERSON"), (_PHONE, "PHONE"), (_ID, "ID_CN"))
    return [Found(*match.span(), type_) for pattern, type_ in rules for match in pattern.finditer(text)]


def _rules(rng: Random) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Each rule with its fake, one for the whole run."""
    phone = "139" + "".join(rng.choice("0123456789") for _ in range(8))
    resident = "110101" + "".join(rng.choice("0123456789") for _ in range(12))
    return (_NAME, rng.choice(_FAKE_NAMES)), (_PHONE, phone), (_ID, resident)
