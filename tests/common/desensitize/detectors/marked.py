"""Texts with their identifiers marked: ``电话«PHONE 13800138000»，``; and what a detector says in the same form."""

from __future__ import annotations

import re
from typing import Literal

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.spans import EntityType, Span

_MARK = re.compile("«[A-Z_]+ ([^»]*)»")
ENGINES: tuple[Literal["re2", "re"], ...] = ("re2", "re")
DETECTORS = {engine: StructuredDetector({}, engine=engine) for engine in ENGINES}
EVERYTHING = {engine: StructuredDetector(dict.fromkeys(EntityType, 1), engine=engine) for engine in ENGINES}


def plain(marked: str) -> str:
    """The text without its marks."""
    return _MARK.sub(lambda match: match.group(1), marked)


def mark(text: str, spans: list[Span]) -> str:
    """``text`` with its spans marked."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], f"«{span.type} {text[span.start : span.end]}»"]
        at = span.end
    return "".join([*parts, text[at:]])


def found(marked: str, engine: Literal["re2", "re"] = "re2") -> str:
    """What the balanced detector marks in the text of ``marked``."""
    text = plain(marked)
    return mark(text, DETECTORS[engine].detect(Document.of(text)))
