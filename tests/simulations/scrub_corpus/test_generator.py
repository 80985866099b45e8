from __future__ import annotations

import re
from itertools import pairwise
from random import Random  # noqa: TID251

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.simulations.scrub_corpus import generator, numbers
from fedward.simulations.scrub_corpus.gold import NEUTRAL, Draft
from fedward.simulations.scrub_corpus.spelling import spelled

STRUCTURED_ZH = {"ID_CN", "PHONE", "CARD", "EMAIL", "PLATE", "MRN"}
ALL_ZH = STRUCTURED_ZH | {"PERSON", "ORG", "ADDRESS", "DATE", "ACCOUNT", "TXN", "SECRET", "HANDLE", "IP", "IBAN", "URL"}
ALL_EN = {"PERSON", "ORG", "ADDRESS", "DATE", "SSN", "PHONE", "EMAIL", "CARD", "ACCOUNT", "MRN", "IBAN", "IP", "VIN"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), language=st.sampled_from(["zh", "en"]), density=st.sampled_from([1.0, 5.0, 14.0]))
def test_gold_spans_are_sorted_disjoint_and_inside(seed: int, language: str, density: float) -> None:
    one = generator.sample(seed, 0, language, hits_per_kb=density)
    assert all(0 <= gold.start < gold.end <= len(one.text) for gold in one.gold)
    assert all(first.end <= second.start for first, second in pairwise(one.gold))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_same_seed_gives_the_same_corpus_and_another_another(language: str) -> None:
    first = generator.corpus(1, 30, language)
    assert first == generator.corpus(1, 30, language)
    assert first != generator.corpus(2, 30, language)


@pytest.mark.parametrize(("language", "types"), [("zh", ALL_ZH), ("en", ALL_EN)])
def test_every_type_occurs(language: str, types: set[str]) -> None:
    found = {gold.type for one in generator.corpus(3, 600, language) for gold in one.gold}
    assert types <= found


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("density", "least", "most"), [(1.0, 0.8, 1.2), (5.0, 4.0, 6.0), (14.0, 10.0, 20.0)])
def test_density_is_near_what_is_asked(language: str, density: float, least: float, most: float) -> None:
    samples = generator.corpus_of_bytes(4, 100_000, language, hits_per_kb=density)
    assert least <= generator.hits_per_kb_of(samples) <= most


def test_every_spelling_of_phones_and_ids_occurs() -> None:
    spellings = {
        (gold.type, gold.spelling) for one in generator.corpus(5, 3000, "zh", hits_per_kb=14.0) for gold in one.gold
    }
    common = {"plain", "spaced", "hyphened", "wide", "zero-width", "no-break"}
    assert {("PHONE", name) for name in (*common, "country code", "landline")} <= spellings
    assert {("ID_CN", name) for name in (*common, "mistyped", "15 digits", "small x")} <= spellings


def test_plain_ids_and_cards_are_valid_and_mistyped_ones_are_not() -> None:
    samples = generator.corpus(6, 800, "zh", hits_per_kb=14.0)
    values = [(gold, one.value_of(gold)) for one in samples for gold in one.gold]
    ids = {(gold.spelling, numbers.is_resident_id(value)) for gold, value in values if gold.type == "ID_CN"}
    assert {("plain", True), ("mistyped", False)} <= ids
    assert ("plain", False) not in ids
    assert ("small x", False) not in ids
    assert all(numbers.luhn_sum(v) == 0 for gold, v in values if gold.type == "CARD" and gold.spelling == "plain")


def test_known_values_are_those_of_the_documents_patient() -> None:
    samples = generator.corpus(7, 100, "zh", hits_per_kb=14.0)
    assert all(numbers.is_resident_id(one.known["ID_CN"][0]) for one in samples)
    clinical = [one for one in samples if one.kind == "zh.clinical"]
    named = [one for one in clinical if one.known["PERSON"][0] in one.text]
    assert len(named) > len(clinical) / 2


@pytest.mark.parametrize("language", ["zh", "en"])
def test_hard_negatives_are_many_and_differ(language: str) -> None:
    lines = generator.hard_negatives(language)
    assert len(lines) >= 150
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_hard_negatives_hold_no_valid_number(language: str) -> None:
    runs = [run for line in generator.hard_negatives(language) for run in re.findall("[0-9X]{11,19}", line)]
    assert runs
    assert not any(numbers.is_resident_id(run) for run in runs)
    assert not any(len(run) == 11 and run[:3] in numbers.MOBILE_PREFIXES for run in runs)


def test_a_draft_counts_identifiers_and_not_neutral_spans() -> None:
    draft = Draft()
    draft.add("tel ")
    draft.put("PHONE", "123")
    draft.put(NEUTRAL, "x")
    assert (draft.text, draft.num_hits) == ("tel 123x", 1)
    assert [(gold.start, gold.end) for gold in draft.gold()] == [(4, 7), (7, 8)]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9), value=st.text("0123456789", min_size=8, max_size=19))
def test_a_spelling_keeps_every_digit(seed: int, value: str) -> None:
    text, _ = spelled(Random(seed), value, ((3, 4), (4, 4, 4)))
    assert "".join(str(int(c)) for c in text if c.isdigit()) == value
