from __future__ import annotations

from collections.abc import Sequence

import pytest

from fedward.common.desensitize import overscrub
from fedward.common.desensitize.overscrub import OverScrub, hard_negatives, merged, over_scrub, touched
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType as E
from tests.common.desensitize.scrubbed import NOTE_ZH, scrub


def test_the_shipped_hard_negatives_are_two_hundred_different_ones() -> None:
    texts = [item.text for item in hard_negatives()]
    assert len(texts) == len(set(texts)) >= 200
    assert {item.language for item in hard_negatives()} == {"zh", "en"}


def test_touched_texts_are_counted_by_type() -> None:
    def find(texts: Sequence[str]) -> list[list[E]]:
        return [[E.PERSON, E.PERSON, E.DATE] if index < 3 else [] for index in range(len(texts))]

    result = touched(find)
    assert (result.num_touched, result.types) == (3, ((E.DATE, 3), (E.PERSON, 3)))
    assert result.low < result.share == 3 / result.num < result.high
    assert result.is_fine


def test_more_than_two_percent_is_not_fine() -> None:
    assert not touched(lambda texts: [[E.PERSON]] * 5 + [[]] * (len(texts) - 5)).is_fine


def test_the_proxies_of_a_record() -> None:
    found = over_scrub(NOTE_ZH.source, NOTE_ZH.text, NOTE_ZH.issued)
    assert found.num_chars == len(NOTE_ZH.source)
    assert found.num_changed == sum(i.span.end - i.span.start for i in NOTE_ZH.issued)
    assert (found.num_terms, found.share_terms_unchanged) == (1, 1.0)  # 头痛
    assert (found.num_entities, found.num_merged) == (5, 0)


def test_a_term_that_is_gone_is_counted() -> None:
    note = scrub("黄斑变性与头痛", [("黄斑", E.PERSON, "李娜")])
    found = over_scrub(note.source, note.text, note.issued)
    assert (found.num_terms, found.num_terms_lost, found.share_terms_unchanged) == (2, 1, 0.5)


@pytest.mark.parametrize(("second", "num_merged"), [("赵敏", 0), ("李娜", 1)])
def test_two_people_that_become_one_are_counted(second: str, num_merged: int) -> None:
    note = scrub("王芳与孙丽", [("王芳", E.PERSON, "李娜"), ("孙丽", E.PERSON, second)])
    assert over_scrub(note.source, note.text, note.issued).num_merged == num_merged


def test_one_person_that_becomes_two_is_counted() -> None:
    note = scrub("王芳，又王 芳", [("王芳", E.PERSON, "李娜"), ("王 芳", E.PERSON, "赵敏")])
    assert over_scrub(note.source, note.text, note.issued).num_merged == 1


@pytest.mark.parametrize(("second", "num_wrong"), [("2024年11月24日", 0), ("2024年11月25日", 1)])
def test_an_interval_that_changed_is_counted(second: str, num_wrong: int) -> None:
    note = scrub(
        "2024-03-05入院，2024年3月15日出院，20240306手术",
        [("2024-03-05", E.DATE, "2024-11-14"), ("2024年3月15日", E.DATE, second), ("20240306", E.DATE, "20241115")],
    )
    found = over_scrub(note.source, note.text, note.issued)
    assert (found.num_intervals, found.num_intervals_wrong) == (2, num_wrong)


def test_placeholders_and_coarse_dates_have_no_interval() -> None:
    note = scrub(
        "2024-03-05，2024年3月",
        [("2024-03-05", E.DATE, "[DATE1]"), ("2024年3月", E.DATE, "2024年")],
        {E.DATE: Action.PLACEHOLDER},
    )
    assert over_scrub(note.source, note.text, note.issued).num_intervals == 0


def test_sums_do_not_depend_on_the_order() -> None:
    parts = [OverScrub(num_chars=3, num_changed=1), OverScrub(num_chars=5, num_terms=2, num_terms_lost=1)]
    assert merged(parts) == merged(parts[::-1]) == OverScrub(num_chars=8, num_changed=1, num_terms=2, num_terms_lost=1)
    assert merged([]) == OverScrub()
    assert OverScrub().share_changed == 0.0


def test_all_is_sorted() -> None:
    assert overscrub.__all__ == sorted(set(overscrub.__all__) & set(dir(overscrub)), key=str.casefold)
