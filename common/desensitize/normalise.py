"""One spelling for comparison: folded, Simplified, lower case, and digits however they are written.

Invariants: ``Normalised.text`` has one character for each that a reader sees, and every span of it leads back to the
source. Not handled here: detection, which reads ``Document``.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.tables import simplified
from fedward.common.desensitize.term_finder import lower

_NUMERALS = dict(zip("〇零○一二三四五六七八九壹贰叁肆伍陆柒捌玖两幺", "000123456789123456789" + "21", strict=True))
_DIGIT_OF = {ord(numeral): digit for numeral, digit in _NUMERALS.items()}
DIGIT = "[0-9" + "".join(_NUMERALS) + "]"
"""A pattern for one digit, Chinese numerals included."""
_RUN = re.compile(f"{DIGIT}{{6,}}")
_STREAM = re.compile(rf"{DIGIT}+(?:[ \-./()（）_·—–]{{1,2}}{DIGIT}+)*")
_DIGITS = re.compile("[0-9]+")
_SEPARATORS = re.compile(r"[\s\-./()（）_·—–,，]+")


class Stream(NamedTuple):
    """Groups of digits in a row."""

    digits: str
    edges: frozenset[int]
    """Where a group begins or ends, in ``digits``."""
    start: int
    """In the normalised text."""
    end: int


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """A text in one spelling.

    Args:
        text: folded, Simplified, lower case.
        cased: the same with its case, for words that only a capital makes a name.
    """

    document: Document = field(repr=False)
    text: str = field(repr=False)
    cased: str = field(repr=False)

    @classmethod
    def of(cls, source: str) -> Normalised:
        """Normalise ``source``."""
        document = Document.of(source)
        cased = simplified(document.text)
        return cls(document=document, text=lower(cased), cased=cased)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Source span of the characters ``[start, end)`` of ``text``; not empty."""
        return self.document.span_of_chars(start, end)

    def runs(self) -> list[tuple[str, int]]:
        """Unbroken runs of six digits and more, Chinese numerals as digits, with their start in ``text``."""
        return [(found[0].translate(_DIGIT_OF), found.start()) for found in _RUN.finditer(self.text)]

    def streams(self) -> list[Stream]:
        """Digits across single and double separators; those of more than six."""
        found = ((match[0].translate(_DIGIT_OF), match) for match in _STREAM.finditer(self.text))
        streams = []
        for text, match in found:
            groups = _DIGITS.findall(text)
            if sum(map(len, groups)) > 6:
                edges = frozenset(itertools.accumulate(map(len, groups), initial=0))
                streams.append(Stream("".join(groups), edges, match.start(), match.end()))
        return streams


def digits_of(text: str) -> str:
    """The digits of ``text``, Chinese numerals among them, and nothing else."""
    if text.isascii():
        return text if text.isdigit() else "".join(_DIGITS.findall(text))
    return "".join(_DIGITS.findall(text.translate(_DIGIT_OF)))


class Spelt(NamedTuple):
    """A value for comparison. Plaintext: for memory alone."""

    cased: str
    """Folded and Simplified."""
    text: str
    """The same in lower case: as ``Normalised.text``."""
    short: str
    """Without separators."""

    @classmethod
    def of(cls, value: str) -> Spelt:
        """Normalise ``value``."""
        if value.isascii():  # most numbers: nothing to fold, and this runs several times a hit
            small = value.lower()
            return cls(value, small, small if value.isalnum() else _SEPARATORS.sub("", small))
        cased = simplified(Document.of(value).text)
        small = lower(cased)
        return cls(cased, small, _SEPARATORS.sub("", small))


def normal_form(value: str) -> str:
    """A value without case, width, script and separators."""
    return Spelt.of(value).short


__all__ = ["DIGIT", "digits_of", "normal_form", "Normalised", "Spelt", "Stream"]
