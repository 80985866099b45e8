"""Presidio both ways: our detectors as its recognisers, and its analyser as one more detector.

``recognizers`` brings the Chinese identifiers, names and addresses to a Presidio user; ``PresidioDetector`` brings
Presidio's rules here, at level 2 at most, for some of them fire on any digits. Offsets are code points on both sides.

Invariants: nothing reaches for the network: the model is one that is installed, and the suffix list for e-mail
addresses is the one that ships. Presidio's dates are not taken, for they hold today and "two weeks", nor its
nationalities.
Not handled here: replacing; Presidio's own anonymiser knows nothing of keys, scopes and check digits.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from fedward.common.desensitize.detectors.addresses import AddressDetector, Language
from fedward.common.desensitize.detectors.detector import Detector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector
from fedward.common.desensitize.detectors.orgs import OrganisationDetector
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.detectors.spacy_adapter import encodable, load_model
from fedward.common.desensitize.spans import EntityType, Level, Span
from fedward.common.errors import ConfigError

HINT: Final = "Install the extra `presidio`: pip install 'fedward[presidio]'."
_SURE_SCORE: Final = 0.5

TO_PRESIDIO: Final[Mapping[EntityType, str]] = {type_: type_.value for type_ in EntityType} | {
    EntityType.PHONE: "PHONE_NUMBER",
    EntityType.EMAIL: "EMAIL_ADDRESS",
    EntityType.SSN: "US_SSN",
    EntityType.CARD: "CREDIT_CARD",
    EntityType.IBAN: "IBAN_CODE",
    EntityType.IP: "IP_ADDRESS",
    EntityType.DATE: "DATE_TIME",
    EntityType.LOC: "LOCATION",
    EntityType.ORG: "ORGANIZATION",
}
"""Presidio's name where it has one, else our own."""

_FROM_PRESIDIO: Final[Mapping[str, EntityType | None]] = {name: type_ for type_, name in TO_PRESIDIO.items()} | {
    "DATE_TIME": None,
    "NRP": None,
    "CRYPTO": EntityType.ACCOUNT,
    "MAC_ADDRESS": EntityType.DEVICE,
    "UUID": EntityType.DEVICE,
    "MEDICAL_LICENSE": EntityType.LICENCE,
    "US_NPI": EntityType.LICENCE,
    "US_MBI": EntityType.HEALTH_PLAN,
    "UK_NHS": EntityType.HEALTH_PLAN,
    "AU_MEDICARE": EntityType.HEALTH_PLAN,
    "AU_ABN": EntityType.ORG_ID,
    "AU_ACN": EntityType.ORG_ID,
    "SG_UEN": EntityType.ORG_ID,
    "KR_BRN": EntityType.ORG_ID,
}
_PARTS: Final = (
    ("PASSPORT", EntityType.PASSPORT),
    ("DRIV", EntityType.LICENCE),
    ("FUEHRERSCHEIN", EntityType.LICENCE),
    ("PLATE", EntityType.PLATE),
    ("VEHICLE", EntityType.PLATE),
    ("KFZ", EntityType.PLATE),
    ("HEALTH", EntityType.HEALTH_PLAN),
    ("BANK", EntityType.ACCOUNT),
    ("ROUTING", EntityType.ACCOUNT),
    ("POST", EntityType.POSTCODE),
    ("PLZ", EntityType.POSTCODE),
    ("PHONE", EntityType.PHONE),
    ("MOBILE", EntityType.PHONE),
    ("VAT", EntityType.ORG_ID),
    ("COMPANY", EntityType.ORG_ID),
    ("REGISTER", EntityType.ORG_ID),
    ("ORGANISATION", EntityType.ORG_ID),
)
"""What a part of the name of one of Presidio's national types says."""


def from_presidio(entity: str) -> EntityType | None:
    """Our type of Presidio's ``entity``; None for those that are not taken. An unknown national one is an id."""
    if entity in _FROM_PRESIDIO:
        return _FROM_PRESIDIO[entity]
    return next((type_ for part, type_ in _PARTS if part in entity), EntityType.NATIONAL_ID)


def recognizers(language: Language) -> list[Any]:
    """Our detectors as Presidio ``EntityRecognizer`` objects for ``language``; the score is level / 5.

    Raises:
        ConfigError: Presidio is not installed.
    """
    names: Detector = ChineseNameDetector("fast") if language == "zh" else EnglishNameDetector("fast")
    recognizer = _recognizer_class()
    return [
        recognizer("FedwardStructured", StructuredDetector({}), language, tuple(EntityType)),
        recognizer("FedwardNames", names, language, (EntityType.PERSON, EntityType.ORG, EntityType.LOC)),
        recognizer(
            "FedwardAddresses",
            AddressDetector(language),
            language,
            (EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC),
        ),
        recognizer("FedwardOrganisations", OrganisationDetector(language), language, (EntityType.ORG,)),
    ]


def _recognizer_class() -> Any:  # noqa: ANN401 - its base is there only with the extra
    presidio = _presidio()

    class FedwardRecognizer(presidio.EntityRecognizer):  # type: ignore[misc, name-defined]
        """One detector; what it finds does not depend on Presidio's tokens."""

        def __init__(self, name: str, detector: Detector, language: str, types: Sequence[EntityType]) -> None:
            self._detector = detector
            super().__init__([TO_PRESIDIO[type_] for type_ in types], name=name, supported_language=language)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: list[str] | None, nlp_artifacts: object = None) -> list[Any]:
            """The detector's spans of the wanted ``entities``; None or empty: all."""
            spans = self._detector.detect(Document.of(text))
            return [
                presidio.RecognizerResult(TO_PRESIDIO[span.type], span.start, span.end, span.level / Level.KNOWN)
                for span in spans
                if not entities or TO_PRESIDIO[span.type] in entities
            ]

    return FedwardRecognizer


class PresidioDetector:
    """Presidio's analyser as a detector, level 2 at most.

    Args:
        language: ``en`` reads with a spaCy model too, ``zh`` with patterns alone, for no Chinese model ships.
        engine: an ``AnalyzerEngine`` of the caller's; None: the predefined recognisers.

    Raises:
        ConfigError: Presidio, or the English model, is not installed.
    """

    def __init__(self, language: Literal["zh", "en"] = "en", *, engine: Any = None) -> None:  # noqa: ANN401
        self._language = language
        self._engine = engine if engine is not None else _engine(language)

    def detect(self, document: Document) -> list[Span]:
        """Presidio's hits of the types that we know, level 2 from a score of one half, else 1."""
        found = []
        for result in self._engine.analyze(encodable(document.text), language=self._language):
            type_ = from_presidio(result.entity_type)
            if type_ is not None and result.start < result.end:
                level = Level.WITNESS if result.score >= _SURE_SCORE else Level.PATTERN
                found.append(Span(*document.span_of_chars(result.start, result.end), type_, int(level), "presidio"))
        return found


def _engine(language: str) -> Any:  # noqa: ANN401 - Presidio is an extra
    presidio = _presidio()
    nlp_engine = _nlp_engine(language)
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=nlp_engine)
    registry.remove_recognizer("EmailRecognizer", language=language)
    registry.add_recognizer(_offline_emails(language))
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=nlp_engine, supported_languages=[language])


def _nlp_engine(language: str) -> Any:  # noqa: ANN401
    engines = importlib.import_module("presidio_analyzer.nlp_engine")
    if language != "en":
        engine = engines.NoOpNlpEngine(models=[{"lang_code": language, "model_name": "none"}])
        engine.load()
        return engine
    engine = engines.SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "installed"}])
    engine.nlp = {"en": load_model(None, exclude=("parser",))}  # its own loader would download what it does not find
    return engine


def _offline_emails(language: str) -> Any:  # noqa: ANN401
    """Presidio's e-mail rule with the suffix list that ships: the default one asks the network first."""
    base = importlib.import_module("presidio_analyzer.predefined_recognizers").EmailRecognizer
    extract = importlib.import_module("tldextract").TLDExtract(suffix_list_urls=(), cache_dir=None)

    class OfflineEmailRecognizer(base):  # type: ignore[misc, valid-type]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(extract(pattern_text).fqdn)

    return OfflineEmailRecognizer(supported_language=language, name="OfflineEmailRecognizer")


def _presidio() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("presidio_analyzer")
    except ImportError:
        raise ConfigError("presidio-analyzer is not installed", hint=HINT) from None


__all__ = ["from_presidio", "HINT", "PresidioDetector", "recognizers", "TO_PRESIDIO"]
