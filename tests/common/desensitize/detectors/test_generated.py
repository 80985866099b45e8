"""Sentences of our own: marked right, the same every time."""

from __future__ import annotations

from fedward.common.desensitize.detectors.generated import Draws, Maker, generated
from fedward.common.desensitize.detectors.lexicon import terms


def test_equal_seeds_give_equal_sentences_and_other_seeds_others() -> None:
    assert list(generated(50, seed=4)) == list(generated(50, seed=4))
    assert list(generated(50, seed=4)) != list(generated(50, seed=5))


def test_marks_lie_in_the_text_and_do_not_overlap() -> None:
    for text, spans in generated(500):
        edges = [edge for start, end, _ in spans for edge in (start, end)]
        assert edges == sorted(edges)
        assert all(0 <= start < end <= len(text) for start, end, _ in spans)
        assert "{" not in text


def test_every_type_occurs_and_so_do_sentences_without_a_name() -> None:
    sentences = list(generated(500))
    assert {type_ for _, spans in sentences for _, _, type_ in spans} == {"PERSON", "LOC", "ORG"}
    assert any(not spans for _, spans in sentences)


def test_terms_are_never_marked_as_people() -> None:
    people = {text[a:b] for text, spans in generated(2000) for a, b, type_ in spans if type_ == "PERSON"}
    assert len(people & terms()) < len(people) / 100


def test_more_names_are_used() -> None:
    maker = Maker(Draws(1), people=["测试名"])
    assert any(maker.fill("P") == ("测试名", "PERSON") for _ in range(30))
