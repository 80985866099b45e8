"""Types of logged fields: a closed set, none of which holds text."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import TrainingError
from fedward.common.logs import fields
from fedward.common.logs.events import EVENTS
from fedward.common.logs.fields import COUNT, ERROR, LINE, MODULE, RUN_ID, Choice, Duration, FieldType, Whole
from fedward.common.logs.origin import MAX_NAME_CHARS
from tests.log_sinks import CANARY, hits

TYPES: list[FieldType] = list({id(kind): kind for s in EVENTS.values() for kind in s.all_fields.values()}.values())
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=40),
    st.just(CANARY),
    st.just(CANARY.encode()),
    st.lists(st.text(), max_size=3),
    st.dictionaries(st.text(), st.text(), max_size=2),
    st.sampled_from([ValueError, ValueError(CANARY), object(), int, TrainingError(CANARY)]),
)


class Word(StrEnum):
    A = "a"


class Liar(str):
    """Equals a word of ours, and says something else."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("a")


@given(value=ANYTHING, kind=st.sampled_from(TYPES))
def test_whatever_is_given_is_refused_or_stored_as_the_type_has_it(value: object, kind: FieldType) -> None:
    stored = kind.plain(value)
    assert stored is None or kind.holds(stored)
    assert stored is None or type(stored) in (str, int)
    assert hits(str(stored)) == []


@given(text=st.text(), kind=st.sampled_from(TYPES))
def test_text_becomes_a_word_of_ours_or_nothing(text: str, kind: FieldType) -> None:
    stored = kind.plain(text)
    assert stored is None or stored == "other" or stored == text.strip()
    if stored is not None and isinstance(kind, Choice):
        assert stored in kind.words


@given(value=st.floats(), kind=st.sampled_from(TYPES))
def test_real_numbers_become_a_coarse_duration_or_nothing(value: float, kind: FieldType) -> None:
    assert isinstance(kind, Duration) or kind.plain(value) is None


def test_choice_stores_its_own_word_and_not_the_object_that_equals_it() -> None:
    choice = Choice(["a"])
    stored = choice.plain(Liar(CANARY))
    assert stored == "a"
    assert type(stored) is str
    assert type(choice.plain(Word.A)) is str


@pytest.mark.parametrize("value", [True, False, -1, 8, 1.0, "1", None])
def test_whole_number_is_an_integer_within_its_bounds(value: object) -> None:
    assert Whole(0, 7).plain(value) is None


@pytest.mark.parametrize("value", [b"", b"1" * 15, b"1" * 17, "1" * 16, "1" * 32, bytearray(16), None])
def test_run_id_is_sixteen_bytes(value: object) -> None:
    assert RUN_ID.plain(value) is None
    assert RUN_ID.plain(b"\x01" * 16) == "01" * 16


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(0, "<=0.1s"), (0.1, "<=0.1s"), (0.11, "<=1s"), (59, "<=1min"), (3600, "<=1h"), (1e300, ">1h")],
)
def test_duration_falls_into_a_step(seconds: float, word: str) -> None:
    assert Duration().plain(seconds) == word


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, True, "1"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    assert Duration().plain(value) is None


def test_error_class_is_the_name_alone() -> None:
    assert ERROR.plain(TrainingError(CANARY)) == "TrainingError"
    assert ERROR.plain(KeyError) == "KeyError"
    assert ERROR.plain(UserWarning(CANARY)) == "UserWarning"


@pytest.mark.parametrize("name", [CANARY, "Gout4711", "Müller", "a.b", ""])
def test_class_that_was_made_of_data_has_no_name(name: str) -> None:
    made = type(name, (Exception,), {"__module__": "builtins", "__qualname__": name})
    assert ERROR.plain(made()) == "other"
    assert ERROR.plain(made) == "other"


@pytest.mark.parametrize("value", [int, object(), "ValueError", None, type])
def test_what_is_no_exception_is_refused(value: object) -> None:
    assert ERROR.plain(value) is None


def test_object_that_pretends_to_be_a_class_is_refused() -> None:
    class Pretender:
        __class__: Any = type

    assert ERROR.plain(Pretender()) is None


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("fedward.common.errors", "fedward.common.errors"),
        ("fedward.common.errors.4711", "fedward.common.errors"),
        (f"fedward.{CANARY}", "fedward"),
        ("json." * 40, "other"),
        (CANARY, "other"),
        ("", "other"),
        ("no_such_module_anywhere", "other"),
    ],
)
def test_module_is_a_loaded_one(name: str, stored: str) -> None:
    assert MODULE.plain(name) == stored


def test_module_that_was_merely_put_there_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    monkeypatch.setitem(sys.modules, "gout4711", types.ModuleType("gout4711"))
    assert MODULE.plain("gout4711") == "other"


@pytest.mark.parametrize("stored", ["<=1s "[:-1] + "x", "x" * (MAX_NAME_CHARS + 1), "a b", 1.5, True, None, "痛风"])
def test_what_no_type_gave_is_no_types(stored: object) -> None:
    assert not any(kind.holds(stored) for kind in (ERROR, MODULE, Duration(), COUNT, LINE, RUN_ID))


def test_exported_names_are_sorted() -> None:
    assert fields.__all__ == sorted(set(fields.__all__) & set(dir(fields)), key=str.casefold)
