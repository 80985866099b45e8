"""What the design asks of accuracy, on a corpus that was written without a look at the rules; and a control that fails.

Bounds are those of the benchmark. Public corpora are judged by ``fedward bench scrub --accuracy``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedward.simulations.benchmarks import scrub_accuracy
from fedward.simulations.benchmarks.scrub_accuracy import BOUNDS, STRUCTURED_ZH, Scope
from fedward.simulations.benchmarks.scrub_corpora import read_corpus
from fedward.simulations.benchmarks.scrub_scores import Scores, score
from fedward.simulations.benchmarks.scrub_subjects import Function, Pipeline, Reading
from fedward.simulations.scrub_corpus.generator import corpus, hard_negatives
from fedward.simulations.scrub_corpus.gold import Sample
from tests.common.desensitize import naive

SEED = 77_003
Judged = tuple[dict[str, Any], Scores, list[Reading]]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return corpus(SEED, 1500, "zh", hits_per_kb=10.0)


@pytest.fixture(scope="module")
def judged(samples: list[Sample]) -> Judged:
    return scrub_accuracy.judge_structured(Pipeline("structured"), samples)


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["zh_structured_recall", "zh_structured_precision"])
def test_structured_identifiers_in_chinese(judged: Judged, figure: str) -> None:
    figures, scores, _ = judged
    assert figures[figure] >= BOUNDS[figure][1], scrub_accuracy.examples(scores, STRUCTURED_ZH)


@pytest.mark.slow
def test_every_surrogate_is_valid(judged: Judged) -> None:
    assert judged[0]["surrogates_checked"] > 3000
    assert judged[0]["invalid_surrogates_by_type"] == {}


@pytest.mark.slow
def test_no_original_value_is_left(judged: Judged) -> None:
    assert judged[0]["originals_left"] == 0


@pytest.mark.slow
def test_hardly_a_record_fails_the_leak_check(judged: Judged) -> None:
    assert judged[0]["quarantined_share"] <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("language", ["zh", "en"])
def test_hard_negatives_are_left_alone(language: str) -> None:
    share, hits = scrub_accuracy.share_touched(Pipeline("fast"), hard_negatives(language))
    assert share <= BOUNDS[f"hard_negatives_{language}"][1], hits


@pytest.mark.slow
def test_persons_in_notes_with_known_values() -> None:
    notes = [one for one in corpus(SEED + 1, 500, "zh", hits_per_kb=10.0) if one.kind in ("zh.clinical", "zh.bank")]
    readings = Pipeline("max-recall", use_known=True).read(notes)
    scores = score(notes, [reading.found for reading in readings])
    shown = scrub_accuracy.examples(scores, ["PERSON"])
    assert scores.types["PERSON"].recall >= BOUNDS["notes_person_recall"][1], shown
    assert scores.types["PERSON"].precision >= BOUNDS["notes_person_precision"][1], shown


@pytest.mark.slow
def test_persons_and_addresses_of_presidios_synthetic_set(repository: Path) -> None:
    path = repository.parent / "shared/data/presidio_synth/synth_dataset_v2.json"
    if not path.exists():
        pytest.skip("the public data set presidio_synth is not here")
    samples = read_corpus(path)
    scores = score(samples, [one.found for one in Pipeline("max-recall").read(samples)], types={"PERSON", "ADDRESS"})
    shown = scrub_accuracy.examples(scores, ["PERSON", "ADDRESS"])
    assert scores.types["PERSON"].recall >= BOUNDS["presidio_person_recall"][1], shown
    assert scores.types["PERSON"].precision >= BOUNDS["presidio_person_precision"][1], shown
    assert scores.types["ADDRESS"].recall >= BOUNDS["presidio_address_recall"][1], shown


@pytest.mark.slow
def test_the_naive_recipe_misses_every_bound(samples: list[Sample]) -> None:
    control = Function(naive.spans, naive.replaced)
    figures, scores, _ = scrub_accuracy.judge_structured(control, samples)
    assert figures["zh_structured_recall"] < 0.7
    assert figures["originals_left"] > 1000
    assert scores.types["PERSON"].recall < 0.6
    assert scrub_accuracy.share_touched(control, hard_negatives("zh"))[0] > BOUNDS["hard_negatives_zh"][1]


def test_a_small_run_gives_every_figure_and_no_text_of_public_corpora() -> None:
    figures = scrub_accuracy.measure(Scope(documents=40, names_profile="fast"))
    assert set(BOUNDS) <= set(figures)
    assert set(figures["skipped"]) == {"msra", "cluener", "presidio_synth"}
    assert all(figures[name] is None for name in BOUNDS if name.startswith(("msra", "cluener", "presidio")))
    assert set(figures["missed"]) <= set(BOUNDS)
    json.dumps(figures, allow_nan=False)
    assert not any(name.startswith(("msra", "cluener", "presidio")) for name in figures["examples"])


def test_a_figure_below_its_bound_or_no_number_is_missed() -> None:
    figures = {"zh_structured_recall": 0.5, "invalid_surrogates": 1, "notes_person_recall": float("nan")}
    assert scrub_accuracy.missed(figures) == ["zh_structured_recall", "invalid_surrogates", "notes_person_recall"]
    assert scrub_accuracy.missed({"zh_structured_recall": 1.0, "invalid_surrogates": 0}) == []
