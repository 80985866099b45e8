"""Which detectors read a text, by profile and by script.

Invariants: a missing extra is an error with the way to install it, never a silent downgrade; the choice depends on the
policy and the text alone. Not handled here: what they find and what is done with it (``pipeline``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fedward.common.desensitize.detectors.detector import Detector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.spans import EntityType

_HAS_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]").search
_HAS_CAPITALISED = re.compile(r"[A-Z][a-z]|[A-Z]{2}").search
_HAS_LOWER = re.compile(r"[^\W\d_]{3}|[a-z]{2} [a-z]{2}").search
_HAS_LOWER_BESIDE_CHINESE = re.compile(r"[a-z]{3} [a-z]{2}|[a-z][\u00c0-\u024f]|[\u00c0-\u024f][a-z]").search
"""Units and doses (mg, qn, po) stand in most Chinese notes and are no reason to read them as English."""


def has_chinese(text: str) -> bool:
    """Whether a Chinese character stands in ``text``."""
    return _HAS_CJK(text) is not None


def _may_hold_english(text: str) -> bool:
    """Whether a text has a capitalised word, or words in lower case: people also type "my name is lena andersson"."""
    if _HAS_CAPITALISED(text):
        return True
    return (_HAS_LOWER_BESIDE_CHINESE if _HAS_CJK(text) else _HAS_LOWER)(text) is not None


@dataclass(frozen=True, kw_only=True)
class DetectorSet:
    """The detectors of one policy.

    Args:
        structured: rules and validators; reads every text.
        chinese: for texts with a Chinese character.
        english: for texts with a word in Latin letters that may be a name.
    """

    structured: StructuredDetector = field(repr=False)
    chinese: tuple[Detector, ...] = ()
    english: tuple[Detector, ...] = ()

    def assigned(self, documents: Sequence[Document]) -> Iterator[tuple[Detector, list[int]]]:
        """Each detector beside ``structured`` with the documents that it can find anything in, by index."""
        chinese = [i for i, document in enumerate(documents) if self.chinese and _HAS_CJK(document.text)]
        english = [i for i, document in enumerate(documents) if self.english and _may_hold_english(document.text)]
        for detectors, indices in ((self.chinese, chinese), (self.english, english)):
            for detector in detectors if indices else ():
                yield detector, indices

    def for_text(self, text: str) -> tuple[Detector, ...]:
        """Those beside ``structured`` that can find anything in ``text``."""
        chinese = self.chinese if self.chinese and _HAS_CJK(text) else ()
        return chinese + (self.english if self.english and _may_hold_english(text) else ())


def build_detectors(policy: DesensitizePolicy) -> DetectorSet:
    """The detectors that ``policy`` asks for; ``structured`` has the rules alone, the others names and addresses too.

    Raises:
        ConfigError: an extra that the profile needs is not installed.
    """
    structured = StructuredDetector({type_: policy.level_of(type_) for type_ in EntityType})
    if policy.profile == "structured":
        return DetectorSet(structured=structured)
    return DetectorSet(
        structured=structured,
        chinese=() if policy.language == "en" else _chinese(policy),
        english=() if policy.language == "zh" else _english(policy),
    )


def _chinese(policy: DesensitizePolicy) -> tuple[Detector, ...]:
    from fedward.common.desensitize.detectors.addresses import AddressDetector
    from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector
    from fedward.common.desensitize.detectors.orgs import OrganisationDetector

    return (AddressDetector("zh"), OrganisationDetector("zh"), ChineseNameDetector(policy.profile))


def _english(policy: DesensitizePolicy) -> tuple[Detector, ...]:
    from fedward.common.desensitize.detectors.addresses import AddressDetector
    from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
    from fedward.common.desensitize.detectors.orgs import OrganisationDetector

    return (AddressDetector("en"), OrganisationDetector("en"), EnglishNameDetector(policy.profile))


__all__ = ["build_detectors", "DetectorSet", "has_chinese"]
