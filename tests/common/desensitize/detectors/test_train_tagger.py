"""Training on a small manifest, the model file, and what the model then says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import crf
from fedward.common.desensitize.detectors.array_file import read_arrays, write_arrays
from fedward.common.desensitize.detectors.characters import codes_of
from fedward.common.desensitize.detectors.corpora import Sentence
from fedward.common.desensitize.detectors.features import REACH, words_here
from fedward.common.desensitize.detectors.generated import generated
from fedward.common.desensitize.detectors.tagger import MAX_CHAIN, Tagged, Tagger, chains_of, load_tagger
from fedward.common.desensitize.detectors.train_tagger import Training, train_tagger, trained
from fedward.common.desensitize.detectors.words import shipped_words
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError
from tests.common.desensitize.detectors.test_corpora import write_manifest

SMALL = Training(epochs=3, generated_sentences=0, drop=0.15, table_bits=16, max_features=30_000)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return trained(list(generated(1500, seed=9)), {"datasets": []}, SMALL)


def tag(tagger: Tagger, text: str, eagerness: float = 0.0) -> list[Tagged]:
    codes = codes_of("\0" * REACH + text + "\0" * REACH)
    names = tagger.tag(codes, words_here(codes, shipped_words()), chains_of(codes), eagerness=eagerness)
    return [name._replace(start=name.start - REACH, end=name.end - REACH) for name in names]


def test_a_trained_model_finds_names_it_never_saw(tagger: Tagger) -> None:
    names = tag(tagger, "患者欧阳梦琪，女，42岁，因“黄疸”入院。主治医师：贺知远")
    assert [(n.start, n.end, n.type) for n in names] == [(2, 6, EntityType.PERSON), (26, 29, EntityType.PERSON)]


def test_training_again_gives_the_same_bytes(tagger: Tagger) -> None:
    again = trained(list(generated(1500, seed=9)), {"datasets": []}, SMALL)
    assert again.to_bytes() == tagger.to_bytes()


def test_a_model_survives_its_file(tagger: Tagger, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(tagger.to_bytes())
    text = "客户王小明向李雷汇款，开户行中国工商银行杭州支行"
    assert tag(load_tagger(tmp_path / "m"), text, 2.0) == tag(tagger, text, 2.0)


def test_train_tagger_writes_a_model_that_names_its_data(tmp_path: Path) -> None:
    lines = [json.dumps({"text": s.text, "spans": s.spans}, ensure_ascii=False) for s in generated(200)]
    manifest = write_manifest(tmp_path, "\n".join(lines))
    told: list[str] = []
    train_tagger(manifest, tmp_path / "model", SMALL, progress=told.append)
    loaded = load_tagger(tmp_path / "model")
    assert loaded.manifest["datasets"][0]["licence"] == "own"
    assert loaded.manifest["training"]["epochs"] == 3
    assert len(told) == 4


def test_data_without_a_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="no name"):
        trained([Sentence("今天天气不错。", ())], {}, SMALL)


def _changed(tagger: Tagger, **arrays: NDArray[Any] | None) -> bytes:
    found, metadata = read_arrays(tagger.to_bytes(), "m")
    changed = {name: arrays.get(name, found.get(name)) for name in (*found, *arrays)}
    return write_arrays({name: array for name, array in changed.items() if array is not None}, metadata)


def test_a_model_that_does_not_fit_together_is_refused(tagger: Tagger) -> None:
    weights = np.zeros((3, crf.NUM_TAGS), np.int8)
    transitions = np.full((crf.NUM_TAGS, crf.NUM_TAGS), np.nan, np.float32)
    for raw in (
        _changed(tagger, weights=weights),
        _changed(tagger, transitions=transitions),
        _changed(tagger, scale=np.array([np.inf], np.float32)),
        _changed(tagger, scale=np.array([-1], np.float32)),
        _changed(tagger, checks=np.zeros(12345, np.uint16)),
        _changed(tagger, extra=np.zeros(1, np.uint8)),
        _changed(tagger, scale=None),
    ):
        with pytest.raises(ConfigError):
            Tagger.from_bytes(raw, "m")


@pytest.mark.parametrize(
    "metadata",
    [{}, {"format": "other"}, {"format": "fedward-tagger-1"}, {"format": "fedward-tagger-1", "manifest": "{"}],
)
def test_a_model_of_another_version_is_refused(tagger: Tagger, metadata: dict[str, str]) -> None:
    arrays, _ = read_arrays(tagger.to_bytes(), "m")
    with pytest.raises(ConfigError):
        Tagger.from_bytes(write_arrays(arrays, metadata), "m")


def test_documents_side_by_side_are_tagged_like_one_alone(tagger: Tagger) -> None:
    texts = ["患者王芳，女", "医生", "委托人李雷向韩梅梅汇款", "", "我叫赵国强，来自杭州"]
    apart = [tag(tagger, text) for text in texts]
    joined = tag(tagger, ("\0" * REACH).join(texts))
    offset, expected = 0, []
    for text, names in zip(texts, apart, strict=True):
        expected += [(n.start + offset, n.end + offset, n.type) for n in names]
        offset += len(text) + REACH
    assert [(n.start, n.end, n.type) for n in joined] == expected


def test_support_of_a_found_name_is_its_margin(tagger: Tagger) -> None:
    text = "\0" * REACH + "患者王芳的家属" + "\0" * REACH
    codes = codes_of(text)
    here = words_here(codes, shipped_words())
    (name,) = tagger.tag(codes, here, chains_of(codes))
    (support,) = tagger.support(codes, here, [name[:3]])
    assert support == pytest.approx(name.margin, abs=1e-3)


def test_eagerness_finds_more_and_never_less(tagger: Tagger) -> None:
    text = "，".join(sentence.text for sentence in generated(60, seed=77))
    calm, eager = tag(tagger, text), tag(tagger, text, 3.0)
    assert len(eager) >= len(calm)
    assert min(name.margin for name in eager) < min(name.margin for name in calm)


def test_long_runs_without_punctuation_are_cut() -> None:
    chains = chains_of(codes_of("王" * 1000))
    assert chains.lengths.max() == MAX_CHAIN
    assert chains.lengths.sum() == 1000


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_names_inside_it(tagger: Tagger, text: str) -> None:
    names = tag(tagger, text, 2.0)
    assert all(0 <= name.start < name.end <= len(text) for name in names)
    assert all(a.end <= b.start for a, b in itertools.pairwise(names))


@settings(max_examples=20, deadline=None)
@given(st.text(alphabet=st.characters(categories=["Cs", "Co", "Lo"]), max_size=60))
def test_lone_surrogates_and_rare_planes_are_read(tagger: Tagger, text: str) -> None:
    assert all(name.end <= len(text) for name in tag(tagger, text, 2.0))
