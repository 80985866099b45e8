"""Records as units: at most k of a patient, chosen by a hash, whatever the order."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from fedward.client.intake import Record
from fedward.client.record_units import record_units
from fedward.common.errors import ConfigError


def patient(name: str, num_records: int) -> tuple[Record, ...]:
    return tuple(Record(patient_id=name, text=f"{name} note {i}", label=None) for i in range(num_records))


def texts(units: tuple[tuple[Record, ...], ...]) -> set[str]:
    return {record.text for unit in units for record in unit}


def test_every_record_is_a_unit_of_its_own() -> None:
    units, left_out = record_units([patient("a", 2), patient("b", 1)], limit=8, seed=1)
    assert [len(unit) for unit in units] == [1, 1, 1]
    assert left_out == 0


@given(st.lists(st.integers(1, 12), max_size=6), st.integers(1, 5))
@settings(deadline=None, derandomize=True)
def test_no_patient_has_more_units_than_the_limit_and_the_rest_is_counted(sizes: list[int], limit: int) -> None:
    patients = [patient(f"p{i}", size) for i, size in enumerate(sizes)]
    units, left_out = record_units(patients, limit=limit, seed=3)
    of_patient = [sum(unit[0].patient_id == f"p{i}" for unit in units) for i in range(len(sizes))]
    assert of_patient == [min(size, limit) for size in sizes]
    assert left_out == sum(max(0, size - limit) for size in sizes)


def test_the_choice_does_not_depend_on_the_order_of_the_file() -> None:
    records = patient("a", 20)
    forward, backward = (record_units([r], limit=4, seed=7)[0] for r in (records, records[::-1]))
    assert texts(forward) == texts(backward)


def test_another_patient_changes_nothing_for_the_first() -> None:
    alone, _ = record_units([patient("a", 9)], limit=3, seed=7)
    beside, _ = record_units([patient("b", 9), patient("a", 9)], limit=3, seed=7)
    assert texts(alone) <= texts(beside)


def test_the_seed_is_the_key_of_the_choice() -> None:
    choices = {frozenset(texts(record_units([patient("a", 30)], limit=3, seed=seed)[0])) for seed in range(20)}
    assert len(choices) > 15


def test_equal_records_of_a_patient_are_bounded_too() -> None:
    same = tuple(Record(patient_id="a", text="the same", label="x") for _ in range(6))
    units, left_out = record_units([same], limit=2, seed=0)
    assert (len(units), left_out) == (2, 4)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nobody_is_refused(limit: int) -> None:
    with pytest.raises(ConfigError, match="limit"):
        record_units([patient("a", 2)], limit=limit, seed=0)
