"""Columns of every type that Parquet and Arrow have: read, or refused, and never passed on because nobody knew them."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pytest

from fedward.client.scrub.inputs import open_input
from fedward.client.scrub.settings import MAX_RECORD_BYTES, Fields
from fedward.common.desensitize import checksums
from fedward.common.errors import DataError
from tests.client.scrub.samples import ID, NOTE, PHONE, PLANTED, POLICY, read_jsonl, run, write_jsonl

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

BORN = datetime.datetime(1961, 3, 7)


def through(tmp_path: Path, table: Any, **changes: Any) -> Any:  # noqa: ANN401 - pyarrow carries no types
    """The table after a run, by way of an Arrow stream, which holds more types than Parquet."""
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    run(tmp_path / "in.arrow", tmp_path / "out.arrow", **changes)
    with pa.ipc.open_stream((tmp_path / "out.arrow").read_bytes()) as stream:
        return stream.read_all()


def _columns() -> dict[str, Any]:
    ends = pa.array([1], pa.int32())
    return {
        "map": pa.array([[("phone", PHONE), ("note", NOTE)]], pa.map_(pa.string(), pa.string())),
        "map in a list": pa.array([[[("a", NOTE)]]], pa.list_(pa.map_(pa.string(), pa.string()))),
        "decimal": pa.array([decimal.Decimal(PHONE)], pa.decimal128(11, 0)),
        "decimal with places": pa.array([decimal.Decimal(PHONE)], pa.decimal128(20, 2)),
        "float of pandas": pa.array([float(PHONE)], pa.float64()),
        "view": pa.array([NOTE], pa.string_view()),
        "list view": pa.array([[NOTE]], pa.list_view(pa.string())),
        "runs": pa.RunEndEncodedArray.from_arrays(ends, pa.array([NOTE])),
        "extension": pa.ExtensionArray.from_storage(pa.json_(), pa.array([json.dumps({"phone": PHONE})])),
    }


@pytest.mark.parametrize("name", sorted(_columns()))
def test_no_type_of_column_carries_an_identifier_out(tmp_path: Path, name: str) -> None:
    column = _columns()[name]
    table = through(tmp_path, pa.table({"text": pa.array([NOTE]), "x": column}))
    assert table.schema.field("x").type == column.type
    shown = str(table.to_pylist())
    assert [value for value in PLANTED if value in shown] == []


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_shifted(tmp_path: Path, unit: str) -> None:
    table = through(tmp_path, pa.table({"born": pa.array([BORN], pa.timestamp(unit))}))
    (moved,) = table["born"].to_pylist()
    assert moved.date() != BORN.date()
    assert abs((moved.date() - BORN.date()).days) <= 364


def test_small_numbers_of_age_are_generalised(tmp_path: Path) -> None:
    table = through(tmp_path, pa.table({"age": pa.array([95, 40], pa.int8())}))
    assert table["age"].to_pylist() == [90, 40]


def test_vectors_of_small_numbers_pass_as_they_are(tmp_path: Path) -> None:
    vectors = pa.array([[0.5, 1.25]], pa.list_(pa.float32()))
    assert through(tmp_path, pa.table({"text": ["a"], "x": vectors}))["x"].to_pylist() == [[0.5, 1.25]]


@pytest.mark.parametrize(
    "keys", [[(1, PHONE)], [(PHONE, "a")]], ids=["keys that are no text", "keys that are identifiers"]
)
def test_maps_whose_keys_cannot_be_judged_are_refused(tmp_path: Path, keys: list[tuple[Any, str]]) -> None:
    kind = pa.map_(pa.string() if isinstance(keys[0][0], str) else pa.int64(), pa.string())
    with pytest.raises(DataError):
        through(tmp_path, pa.table({"x": pa.array([keys], kind)}))


def test_a_type_that_nobody_thought_of_is_refused(tmp_path: Path) -> None:
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
    with pytest.raises(DataError, match="not handled"):
        through(tmp_path, pa.table({"x": column}))


def test_a_date_that_only_a_placeholder_could_replace_becomes_null(tmp_path: Path) -> None:
    policy = POLICY.model_copy(update={"dates": "placeholder"})
    table = pa.table({"born": pa.array([BORN.date(), None]), "seen": pa.array([BORN, BORN], pa.timestamp("us"))})
    assert through(tmp_path, table, policy=policy).to_pylist() == [{"born": None, "seen": None}] * 2


def test_what_an_author_wrote_into_the_schema_does_not_pass(tmp_path: Path) -> None:
    field = pa.field("text", pa.string(), metadata={"comment": NOTE})
    features = {"text": {"dtype": "string", "_type": "Value"}}
    metadata = {
        "source": NOTE,
        "pandas": json.dumps({"columns": [], "index_columns": [], "attributes": {"of": NOTE}}),
        "huggingface": json.dumps({"info": {"features": features, "description": NOTE}}),
    }
    table = pa.table([pa.array(["a"])], schema=pa.schema([field], metadata=metadata))
    parquet.write_table(table, tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    raw = (tmp_path / "out.parquet").read_bytes()
    assert [value for value in PLANTED if value.encode() in raw] == []
    kept = parquet.read_schema(tmp_path / "out.parquet").metadata
    assert json.loads(kept[b"huggingface"]) == {"info": {"features": features}}
    assert json.loads(kept[b"pandas"]) == {"columns": [], "index_columns": []}


def test_resident_ids_written_as_numbers_stay_numbers_and_valid(tmp_path: Path) -> None:
    bodies = [f"{ID[:14]}{number:03d}" for number in range(1, 120)]
    numbers = [body + digit for body in bodies if (digit := checksums.id_cn_digit(body)) != "X"]
    write_jsonl(tmp_path / "in.jsonl", [{"text": "a", "x": int(number)} for number in numbers])
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = [str(record["x"]) for record in read_jsonl(tmp_path / "out.jsonl")]
    assert not set(written) & set(numbers)
    assert all(checksums.id_cn_digit(number[:17]) == number[17] for number in written)
    # The sex that a sequence tells is kept.
    assert [int(number[16]) % 2 for number in written] == [int(number[16]) % 2 for number in numbers]


def test_a_restored_table_may_be_desensitised_and_a_desensitised_one_not_twice(tmp_path: Path) -> None:
    through(tmp_path, pa.table({"text": [NOTE]}))
    settings: dict[str, Any] = {"kind": None, "encoding": None, "fields": Fields(), "limit": MAX_RECORD_BYTES}
    with pytest.raises(DataError, match="already"):
        open_input(tmp_path / "out.arrow", again=False, **settings)
    assert open_input(tmp_path / "in.arrow", again=False, **settings).members[0].kind == "arrow"
