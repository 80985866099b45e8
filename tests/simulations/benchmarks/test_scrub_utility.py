from __future__ import annotations

import json
from pathlib import Path
from random import Random  # noqa: TID251

import numpy as np
import pytest

from fedward.common.errors import DataError
from fedward.simulations.benchmarks import scrub_utility
from fedward.simulations.benchmarks.scrub_utility import Scope

WORDS = {
    "心血管科": ("胸闷", "心悸", "血压偏高"),
    "消化科": ("胃痛", "反酸", "腹泻"),
    "神经科": ("头痛", "眩晕", "失眠"),
}


def write(path: Path, count: int) -> Path:
    rng = Random(4)
    lines = []
    for _ in range(count):
        label = rng.choice(sorted(WORDS))
        question = f"医生您好，我{rng.choice(WORDS[label])}{rng.randrange(2, 9)}天了，{rng.choice(WORDS[label])}。"
        lines.append(json.dumps({"label": label, "question": question, "text": "建议到医院检查。"}, ensure_ascii=False))
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_the_classifier_learns_what_can_be_learnt(tmp_path: Path) -> None:
    scope = Scope(data=write(tmp_path / "d.jsonl", 240), folds=3, epochs=3)
    labels, texts = scrub_utility.read(scope.data, None)
    targets = np.unique(labels, return_inverse=True)[1]
    assert scrub_utility.correct(texts, targets, scope).mean() > 0.95


def test_the_classifier_cannot_learn_labels_that_say_nothing(tmp_path: Path) -> None:
    scope = Scope(data=write(tmp_path / "d.jsonl", 240), folds=3, epochs=3)
    _, texts = scrub_utility.read(scope.data, None)
    targets = np.array([Random(n).randrange(3) for n in range(len(texts))])
    assert scrub_utility.correct(texts, targets, scope).mean() < 0.6


def test_both_arms_are_measured_with_an_interval(tmp_path: Path) -> None:
    figures = scrub_utility.measure(
        Scope(data=write(tmp_path / "d.jsonl", 60), folds=2, epochs=2, profile="structured")
    )
    for arm in ("plain", "injected"):
        low, high = figures[arm]["interval_points"]
        assert low <= figures[arm]["difference_points"] <= high
    assert figures["injected"]["changed_characters"] > figures["plain"]["changed_characters"]


@pytest.mark.parametrize("line", ["{", "[]", '{"label": "x"}'])
def test_what_is_no_labelled_text_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(DataError):
        scrub_utility.read(path, None)
