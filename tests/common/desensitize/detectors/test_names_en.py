from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors import names_en
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_en import EnglishNameDetector, Entity
from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.detectors.found import found, shared_rows, wide

FAST = EnglishNameDetector("fast")
STRUCTURED = EnglishNameDetector("structured")

FOUND = [
    ("Dr. Okonkwo was paged.", ["Okonkwo"]),
    ("Seen by Mrs. Anne-Marie O'Neill today.", ["Anne-Marie O'Neill"]),
    ("Patient Name: Xqzwv Brltmn", ["Xqzwv Brltmn"]),
    ("patient name: jane doe", ["jane doe"]),
    ("my name is patricia desrosiers", ["patricia desrosiers"]),
    ("Name：Zhang Wei", ["Zhang Wei"]),
    ("Attending: Maria de la Cruz, MD", ["Maria de la Cruz"]),
    ("Electronically signed by: Smith, John A.", ["Smith, John A."]),
    ("We admitted John Smith yesterday.", ["John Smith"]),
    ("John R. Smith denies chest pain.", ["John R. Smith"]),
    ("J. R. Whitfield reviewed the film.", ["J. R. Whitfield"]),
    ("Stefanía K. Oddgeirsdóttir called.", ["Stefanía K. Oddgeirsdóttir"]),
    ("Her daughter Margarethe brought her in.", ["Margarethe"]),
    ("Doe, Jane, RN", ["Doe, Jane"]),
    ("Thanks,\nKatarzyna", ["Katarzyna"]),
    ("Jennifer's mother called.", ["Jennifer"]),
    (wide("JOHN SMITH") + " lives alone", [wide("JOHN SMITH")]),
    ("Mr. Graves has Graves' disease", ["Graves"]),
]
NOT_FOUND = [
    "Graves' disease and Cushing syndrome were excluded.",
    "Parkinson's disease, Addison disease, Crohn's colitis, Hodgkin lymphoma.",
    "The Guillain-Barré syndrome; the Glasgow Coma Scale; a positive Babinski sign.",
    "Started Aspirin, Warfarin and Metformin in May.",
    "Results: Patients in Group A. Methods and Conclusions follow.",
    "MS patients and MS Relapses",
    "Staphylococcus aureus and Escherichia coli grew.",
    "Chest X-Ray, Physical Exam, Assessment and Plan",
    "Patient: 45 year old male",
    "From: Monday To: Friday",
    "123 Main Dr, apartment 4",
]


@pytest.mark.parametrize(("text", "names"), FOUND, ids=lambda value: str(value)[:30])
def test_a_name_is_found_and_its_title_stays(text: str, names: list[str]) -> None:
    assert found(FAST, text, EntityType.PERSON) == names


@pytest.mark.parametrize("text", NOT_FOUND, ids=lambda text: text[:30])
def test_terms_of_medicine_and_headings_are_no_names(text: str) -> None:
    assert found(FAST, text, EntityType.PERSON) == []


def test_the_structured_profile_reads_cues_only() -> None:
    text = "Patient Name: Jane Roe. We admitted John Smith."
    assert found(STRUCTURED, text) == ["Jane Roe"]


def test_a_cue_is_level_three_and_two_lists_are_level_two() -> None:
    spans = FAST.detect(Document.of("Dr. Brandt and then Julia Brandt"))
    assert {span.start: span.level for span in spans} == {4: 3, 20: 2}


class FixedTagger:
    def __init__(self, *entities: tuple[str, str]) -> None:
        self._entities = entities

    def entities(self, text: str) -> list[Entity]:
        return [(text.index(value), text.index(value) + len(value), label) for value, label in self._entities]


def test_a_tagged_name_ends_at_a_chinese_full_stop() -> None:
    detector = EnglishNameDetector("max-recall", tagger=FixedTagger(("qn。\nPt", "PERSON")))
    assert found(detector, "阿托伐他汀20mg qn。\nPt 方姣", EntityType.PERSON) == []


@pytest.mark.parametrize(
    ("text", "entity", "expected"),
    [
        ("We met Rubija there.", ("Rubija", "PERSON"), ["Rubija"]),
        ("Sjogren syndrome was found.", ("Sjogren syndrome", "PERSON"), []),
        ("It was MRSA again.", ("MRSA", "PERSON"), []),
        ("We went to Lendava then.", ("Lendava", "PERSON"), []),
        ("The Avalara office is closed.", ("Avalara", "PERSON"), []),
        ("Then Wendy spoke.", ("Wendy", "GPE"), ["Wendy"]),
        ("Thanks, Wendy", ("Wendy", "ORG"), ["Wendy"]),
    ],
)
def test_the_lists_judge_what_a_tagger_says(text: str, entity: tuple[str, str], expected: list[str]) -> None:
    detector = EnglishNameDetector("max-recall", tagger=FixedTagger(entity))
    assert found(detector, text, EntityType.PERSON) == expected


def test_a_missing_extra_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedward.common.desensitize.detectors import spacy_adapter
    from fedward.common.errors import ConfigError

    spacy_adapter.load_model.cache_clear()

    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("fedward.common.desensitize.detectors.spacy_adapter.importlib.import_module", refuse)
    with pytest.raises(ConfigError) as caught:
        EnglishNameDetector("max-recall")
    monkeypatch.undo()
    spacy_adapter.load_model.cache_clear()
    assert "fedward[en]" in caught.value.advice


@given(st.text(max_size=200))
def test_any_text_gives_spans_inside_it(text: str) -> None:
    document = Document.of(text)
    for span in FAST.detect(document):
        assert 0 <= span.start < span.end <= len(text)


ALPHABET = st.sampled_from(
    [*"JohnSmith Dr.,:'-\n\u2019\u200b", "Name: ", "Mary ", "van ", "İ", "ß", "\ud800", "ñ", "王"]
)


@given(st.lists(ALPHABET, max_size=60).map("".join))
def test_name_like_noise_gives_spans_inside_it(text: str) -> None:
    for span in FAST.detect(Document.of(text)):
        assert 0 <= span.start < span.end <= len(text)


@given(
    st.sampled_from(["Dr. {}", "Patient Name: {}", "my name is {}"]), st.sampled_from(["Lena Horvat", "Bo Li", "Ngozi"])
)
def test_a_cued_name_is_found_behind_any_cue(cue: str, name: str) -> None:
    assert found(FAST, f"Note. {cue.format(name)}\nEnd.", EntityType.PERSON) == [name]


def test_medical_abstracts_are_hardly_touched() -> None:
    rows = shared_rows("pubmedqa_l/data.jsonl")[:200]
    texts = ["\n".join(v for v in row.values() if isinstance(v, str) and len(v) > 40) for row in rows]
    changed = sum(len(name) for text in texts for name in found(FAST, text))
    assert changed <= 0.003 * sum(map(len, texts))


def test_exported_names_are_sorted() -> None:
    assert names_en.__all__ == sorted(set(names_en.__all__) & set(dir(names_en)), key=str.casefold)
