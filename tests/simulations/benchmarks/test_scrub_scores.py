from __future__ import annotations

import math
from pathlib import Path

import pytest

from fedward.common.desensitize.intervals import wilson
from fedward.common.errors import DataError
from fedward.simulations.benchmarks.scrub_corpora import read_corpus, read_lines
from fedward.simulations.benchmarks.scrub_scores import Found, score
from fedward.simulations.scrub_corpus.gold import NEUTRAL, Gold, Sample

TEXT = "张三电话13800138000，流水99。"
GOLD = (Gold(0, 2, "PERSON", "plain"), Gold(4, 15, "PHONE", "plain"), Gold(18, 20, NEUTRAL, "plain"))
SAMPLE = Sample(document_id="d", patient_id="p", kind="t", text=TEXT, gold=GOLD)


def test_a_span_whose_every_character_is_redacted_is_covered_whatever_its_type() -> None:
    scores = score([SAMPLE], [[Found(0, 1, "ORG"), Found(1, 4, "LOC")]])
    assert scores.types["PERSON"].recall == 1.0
    assert scores.types["PHONE"].recall == 0.0


def test_a_span_of_which_one_character_is_left_is_missed_and_shown() -> None:
    scores = score([SAMPLE], [[Found(4, 14, "PHONE")]])
    assert scores.types["PHONE"].covered == 0
    assert scores.types["PHONE"].precision == 1.0
    assert [one.type for one in scores.misses] == ["PERSON", "PHONE"]
    assert "⟦13800138000⟧" in scores.misses[1].shown


def test_a_hit_of_another_type_is_false_but_for_types_that_people_mix_up() -> None:
    card = Sample(document_id="d", patient_id="p", kind="t", text="4" * 16, gold=(Gold(0, 16, "CARD", "plain"),))
    assert score([card], [[Found(0, 16, "ACCOUNT")]]).types["ACCOUNT"].precision == 1.0
    assert score([card], [[Found(0, 16, "PHONE")]]).types["PHONE"].precision == 0.0


def test_a_hit_on_a_neutral_span_counts_neither_way() -> None:
    scores = score([SAMPLE], [[Found(18, 20, "TXN")]])
    assert "TXN" not in scores.types
    assert NEUTRAL not in scores.types


def test_over_scrub_is_the_share_of_other_characters_that_went() -> None:
    scores = score([SAMPLE], [[Found(2, 4, "PERSON"), Found(3, 15, "PHONE")]])
    assert scores.other_characters == len(TEXT) - 2 - 11 - 2
    assert scores.over_scrub == 2 / scores.other_characters


def test_types_that_a_corpus_does_not_annotate_are_not_judged() -> None:
    scores = score([SAMPLE], [[Found(16, 18, "DATE")]], types={"PERSON"})
    assert scores.over_scrub == 0.0
    assert "DATE" not in scores.types


def test_a_share_of_nothing_is_not_a_number() -> None:
    counts = score([SAMPLE], [[]]).types["PERSON"]
    assert math.isnan(counts.precision)
    assert counts.recall == 0.0


# The design's own figures: without a miss the lower end is n / (n + z squared).
@pytest.mark.parametrize(("trials", "least"), [(1000, 0.99617), (3838, 0.9990)])
def test_wilson_without_a_miss(trials: int, least: float) -> None:
    low, high = wilson(trials, trials)
    assert low == pytest.approx(least, abs=5e-6)
    assert high == pytest.approx(1.0)


def test_wilson_of_half() -> None:
    low, high = wilson(5, 10)  # Newcombe 1998, method 3, gives 0.2366 to 0.7634
    assert (round(low, 4), round(high, 4)) == (0.2366, 0.7634)


FORMS = {
    "columns": "张 B-PER\n三 I-PER\n在 O\n京 B-LOC\n\n好 O\n",
    "tabs": "张\tB-PER\n三\tI-PER\n在\tO\n京\tB-LOC\n\n好\tO\n",
    "underscores": "张 B_nr\n三 E_nr\n在 O\n京 S_ns\n\n好 O\n",
    "spans": '{"text": "张三在京", "spans": [[0, 2, "PERSON"], [3, 4, "LOC"]]}\n{"text": "好", "spans": []}\n',
    "cluener": '{"text": "张三在京", "label": {"name": {"张三": [[0, 1]]}, "address": {"京": [[3, 3]]}}}\n'
    '{\n "text": "好",\n "label": {}\n}',
    "presidio": '[{"full_text": "张三在京", "spans": ['
    '{"entity_type": "PERSON", "start_position": 0, "end_position": 2},'
    '{"entity_type": "GPE", "start_position": 3, "end_position": 4}]},'
    '{"full_text": "好", "spans": []}]',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_corpus_is_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text(FORMS[form], "utf-8")
    first, second = read_corpus(path)
    assert (first.text, second.text) == ("张三在京", "好")
    assert [(gold.start, gold.end, gold.type) for gold in first.gold] == [(0, 2, "PERSON"), (3, 4, "LOC")]
    assert second.gold == ()


@pytest.mark.parametrize(
    "content",
    ["", "张 X-PER\n", '{"text": "a", "spans": [[0, 9, "PERSON"]]}', '{"text": "a"', "[1]", '{"text": "a"}'],
)
def test_what_is_no_corpus_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError):
        read_corpus(path)


def test_plain_lines_have_no_gold(tmp_path: Path) -> None:
    path = tmp_path / "news.txt"
    path.write_text("第一行\n\n第二行\n", "utf-8")
    assert [(one.text, one.gold) for one in read_lines(path)] == [("第一行", ()), ("第二行", ())]
