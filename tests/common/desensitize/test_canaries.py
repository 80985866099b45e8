from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize import canaries, canary_values
from fedward.common.desensitize.canaries import CANARY_TYPES, Injected, Planted, estimate, inject
from fedward.common.desensitize.canary_values import VALUES
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import CanaryTargets
from fedward.common.desensitize.spans import EntityType, Span
from fedward.common.desensitize.validity import is_valid
from fedward.common.errors import EmptyDataError

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
FEW = CanaryTargets(num_structured=40, num_names=10)
TEXTS = ["患者一般情况可。无发热。\n继续观察。", "The patient is stable. No fever.\nWe go on."]


@functools.cache
def injected() -> tuple[Injected, ...]:
    return tuple(inject(TEXTS, KEYS, FEW))


def everything(item: Injected) -> list[Span]:
    return [Span(p.start, p.end, p.type, 3, "test") for p in item.planted]


def test_each_type_has_its_number() -> None:
    counts = {t: sum(p.type is t for item in injected() for p in item.planted) for t in CANARY_TYPES}
    assert counts.pop(EntityType.PERSON) == 20  # ten in each language
    assert set(counts.values()) == {40}


def test_the_host_text_stays_whole_around_its_canaries() -> None:
    for item in injected():
        sentences = [
            s for s in ("一般情况可", "无发热", "继续观察", "is stable", "No fever", "We go on") if s in item.text
        ]
        assert len(sentences) == 3


def test_no_canary_stands_inside_a_sentence_of_the_host() -> None:
    host = Injected(text=TEXTS[0], planted=())
    assert canaries._gaps(host.text, "zh") == [0, 8, 13, 18]
    assert canaries._gaps(TEXTS[1], "en") == [0, 22, 32, 33, 42]
    assert canaries._gaps("Lot no. 17 is here. It is.", "en") == [0, 19, 26]


@pytest.mark.parametrize(
    ("host", "lead"),
    [("货号", "。"), ("完。", ""), ("行\n", ""), ("", ""), ("Lot no", ". "), ("Done.", " "), ("Done. ", "")],
)
def test_a_sentence_that_the_host_leaves_open_is_closed_first(host: str, lead: str) -> None:
    assert canaries._lead(host[-2:], "en" if host.isascii() and host else "zh") == lead


def test_labels_near_far_and_absent_and_every_spelling_occur() -> None:
    planted = [p for item in injected() for p in item.planted]
    assert {p.label for p in planted if p.type is EntityType.PHONE} == {"near", "far", "absent"}
    assert {p.spelling for p in planted} >= {"plain", "separated", "full_width", "prefixed", "lower"}


def test_a_far_label_is_more_than_32_bytes_away() -> None:
    for item in injected():
        for p in item.planted:
            if p.label == "far":
                before = item.text[: p.start].rpartition("。" if p.language == "zh" else ". ")[2]
                assert len(before.encode()) > 32 + 6


@pytest.mark.parametrize("type_", [EntityType.ID_CN, EntityType.CARD, EntityType.IBAN, EntityType.EMAIL, EntityType.IP])
def test_canaries_with_a_check_digit_are_valid(type_: EntityType) -> None:
    values = [item.text[p.start : p.end] for item in injected() for p in item.planted if p.type is type_]
    assert values
    assert all(is_valid(type_, Document.of(value).text.upper()) for value in values)


def test_the_same_keys_give_the_same_canaries_and_others_do_not() -> None:
    other = ScrubKeys(secret=bytes(32), site_id="hospital-a", key_id="1")
    assert tuple(inject(TEXTS, KEYS, FEW)) == injected()
    assert tuple(inject(TEXTS, other, FEW)) != injected()


def test_a_text_in_one_language_gets_the_types_of_that_language() -> None:
    types = {p.type for item in inject([TEXTS[1]], KEYS, FEW) for p in item.planted}
    assert EntityType.ID_CN not in types
    assert EntityType.SSN in types


def test_a_long_text_is_cut_at_a_sentence() -> None:
    (item,) = inject(["无发热。" * 5000], KEYS, CanaryTargets(num_structured=1), types=[EntityType.PHONE])
    assert len(item.text) < 4200
    assert item.text.endswith("。")


@pytest.mark.parametrize("texts", [[], [""], [" \n"]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(EmptyDataError, match="canaries"):
        list(inject(texts, KEYS, FEW))


def test_without_a_miss_the_lower_end_is_the_known_answer() -> None:
    items = [Injected(text="x", planted=(Planted(EntityType.PHONE, 0, 1, "en", "near", "plain"),))] * 1000
    (row,) = estimate(items, [everything(item) for item in items]).rows
    assert (row.num_survived, row.recall, round(row.low, 5)) == (0, 1.0, 0.99617)
    assert not row.meets_target  # 0.999 needs 3,838


def test_3838_without_a_miss_meet_the_target() -> None:
    items = [Injected(text="x", planted=(Planted(EntityType.PHONE, 0, 1, "en", "near", "plain"),))] * 3838
    assert estimate(items, [everything(item) for item in items]).failures == ()
    assert estimate(items, [[], *(everything(item) for item in items[1:])]).failures == (EntityType.PHONE,)


def test_a_canary_of_which_one_digit_stays_has_survived() -> None:
    item = Injected(text="tel 138-0013", planted=(Planted(EntityType.PHONE, 4, 12, "en", "near", "separated"),))
    (row,) = estimate([item], [[Span(4, 11, EntityType.MRN, 2, "test")]]).rows
    assert row.num_survived == 1
    assert row.survived_by == (("en/near/separated", 1),)


def test_a_separator_may_stay_and_the_type_does_not_matter() -> None:
    item = Injected(text="tel 138-0013", planted=(Planted(EntityType.PHONE, 4, 12, "en", "near", "separated"),))
    spans = [Span(4, 7, EntityType.MRN, 2, "test"), Span(8, 12, EntityType.MRN, 2, "test")]
    assert estimate([item], [spans]).rows[0].num_survived == 0


@settings(max_examples=30)
@given(st.text(min_size=1).filter(str.strip), st.integers(1, 9))
def test_every_canary_stands_where_it_says(text: str, num: int) -> None:
    for item in inject([text], KEYS, CanaryTargets(num_structured=num, num_names=num)):
        for planted, value in zip(item.planted, item.values, strict=True):
            assert value.strip() == value != ""
            assert item.text[planted.start : planted.end] == value
        assert not any(a.end > b.start for a, b in zip(item.planted, item.planted[1:], strict=False))


@pytest.mark.parametrize("key", VALUES, ids=lambda key: f"{key[0]}-{key[1]}")
def test_a_generator_rarely_repeats_itself(key: tuple[EntityType, str]) -> None:
    draw = KeyedStream.of(KEYS, "test", "x")
    assert len({VALUES[key](draw).text for _ in range(300)}) > 250


@pytest.mark.parametrize("module", [canaries, canary_values])
def test_the_injector_imports_no_detector_and_no_surrogate(module: object) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))  # type: ignore[attr-defined]
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [
        name for name in imported if any(part in name for part in ("detect", "surrog", "table", "rank", "check"))
    ]


@pytest.mark.parametrize("module", [canaries, canary_values])
def test_all_is_sorted(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(set(names) & set(dir(module)), key=str.casefold)
