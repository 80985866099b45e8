import csv
import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedward.client.scrub.inputs import mark_of
from fedward.client.scrub.quarantine import quarantine_path
from tests.client.scrub.samples import (
    ENGLISH,
    ID,
    KEYS,
    NOTE,
    PHONE,
    POLICY,
    assert_clean,
    many,
    read_jsonl,
    run,
    write_jsonl,
)


def test_jsonl_keeps_order_fields_and_types(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"text": NOTE, "n": 3, "share": 0.5, "ok": True, "none": None, "list": [1, "血压稳定"]},
        {"text": "无"},
    ]
    run(write_jsonl(tmp_path / "a.jsonl", records), tmp_path / "b.jsonl")
    first, second = read_jsonl(tmp_path / "b.jsonl")
    assert list(first) == list(records[0])
    assert {name: value for name, value in first.items() if name != "text"} == {
        name: value for name, value in records[0].items() if name != "text"
    }
    assert_clean(first["text"])
    assert second == {"text": "无"}


def test_blank_lines_stay_where_they_are(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "a"}\n\n{"text": "b"}\n', "utf-8")
    run(source, tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text("utf-8") == source.read_text("utf-8")


def test_chat_messages_and_nested_fields_are_read(tmp_path: Path) -> None:
    record = {"messages": [{"role": "user", "content": f"我的电话{PHONE}"}], "meta": {"contact": {"phone": PHONE}}}
    run(write_jsonl(tmp_path / "a.jsonl", [record]), tmp_path / "b.jsonl")
    written = (tmp_path / "b.jsonl").read_text("utf-8")
    assert_clean(written)
    assert json.loads(written)["messages"][0]["role"] == "user"


def test_one_value_has_one_surrogate_in_all_fields_of_a_record(tmp_path: Path) -> None:
    record = {"text": f"电话{PHONE}", "phone": PHONE, "number": int(PHONE)}
    run(write_jsonl(tmp_path / "a.jsonl", [record]), tmp_path / "b.jsonl")
    (written,) = read_jsonl(tmp_path / "b.jsonl")
    assert written["text"] == f"电话{written['phone']}"
    assert written["number"] == int(written["phone"])


def test_csv_keeps_header_delimiter_and_quoted_line_breaks(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text(f'id;note\r\n1;"第一行\n电话{PHONE}；""稳定"""\r\n2;无\r\n', "utf-8", newline="")
    run(source, tmp_path / "b.csv")
    text = (tmp_path / "b.csv").read_bytes().decode()
    assert_clean(text)
    rows = list(csv.reader(text.splitlines(keepends=True), delimiter=";"))
    assert rows[0] == ["id", "note"]
    assert rows[1][1].startswith("第一行\n电话1")
    assert rows[1][1].endswith('"稳定"')
    assert rows[2] == ["2", "无"]
    assert text.endswith("\r\n")


def test_plain_text_keeps_everything_but_identifiers(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(f"标题\n\n{NOTE}\n\n\n{ENGLISH}", "utf-8")
    run(source, tmp_path / "b.txt")
    written = (tmp_path / "b.txt").read_text("utf-8")
    assert_clean(written)
    assert written.startswith("标题\n\n患者电话")
    assert written.count("\n") == 5
    assert written.endswith("BP 142/91.")


def test_parquet_keeps_schema_lists_structs_and_other_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {
            "text": [NOTE, ENGLISH, None],
            "tags": [[f"电话{PHONE}", "稳定"], [], None],
            "who": [{"phone": PHONE, "age": 40}, {"phone": "", "age": None}, None],
            "mobile": pa.array([int(PHONE), 7, None], pa.int64()),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "score": pa.array([0.5, 1.5, None], pa.float32()),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", tmp_path / "b.parquet")
    written = parquet.read_table(tmp_path / "b.parquet")
    assert written.schema.equals(table.schema)
    assert_clean(json.dumps(written.to_pylist(), ensure_ascii=False))
    assert written["score"].to_pylist() == [0.5, 1.5, None]
    assert written["kind"].to_pylist() == ["a", "b", "a"]
    assert written["who"].to_pylist()[0]["age"] == 40


def test_saved_data_set_is_read_again_with_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": [NOTE, ENGLISH], "label": [0, 1]})
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "a"))
    run(tmp_path / "a", tmp_path / "b")
    found = datasets.load_from_disk(str(tmp_path / "b"))
    assert set(found) == {"train", "test"}
    assert found["train"]["label"] == [0, 1]
    assert_clean(json.dumps(list(found["test"]["text"]), ensure_ascii=False))


def test_date_columns_move_by_the_shift_of_the_patient(tmp_path: Path) -> None:
    import datetime

    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    day = datetime.date(2024, 3, 5)
    table = pa.table({"patient_id": ["P-0001"], "seen": pa.array([day], pa.date32()), "text": ["2024年3月5日复诊"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", tmp_path / "b.parquet")
    (row,) = parquet.read_table(tmp_path / "b.parquet").to_pylist()
    assert row["seen"] - day == datetime.timedelta(days=254)  # the known answer of the design
    assert row["text"] == f"{row['seen'].year}年{row['seen'].month}月{row['seen'].day}日复诊"


def test_records_of_a_patient_share_surrogates_and_ids_become_tokens(tmp_path: Path) -> None:
    records = [{"patient_id": who, "text": f"电话{PHONE}"} for who in ("A000001", "A000001", "B000002")]
    run(write_jsonl(tmp_path / "a.jsonl", records), tmp_path / "b.jsonl")
    first, again, other = read_jsonl(tmp_path / "b.jsonl")
    assert first == again
    assert other["text"] != first["text"]
    assert other["patient_id"] != first["patient_id"]
    assert "A000001" not in (tmp_path / "b.jsonl").read_text("utf-8")


def test_columns_of_the_policy_are_kept_dropped_and_replaced(tmp_path: Path) -> None:
    columns = {
        "diagnosis": {"kind": "sensitive", "action": "keep"},
        "id": {"kind": "direct", "action": "surrogate", "type": "ID_CN"},
        "scan": {"kind": "direct", "action": "drop"},
    }
    policy = POLICY.model_validate({**POLICY.model_dump(), "columns": columns}, strict=False)
    record = {"id": ID, "diagnosis": "2型糖尿病", "scan": "x.png", "text": f"证件{ID}"}
    run(write_jsonl(tmp_path / "a.jsonl", [record]), tmp_path / "b.jsonl", policy=policy)
    (written,) = read_jsonl(tmp_path / "b.jsonl")
    assert written["diagnosis"] == "2型糖尿病"
    assert written["scan"] == ""
    assert written["id"] != ID
    assert written["text"] == f"证件{written['id']}"  # a known value, although no label stands before it


def test_output_is_marked_private_and_without_a_quarantine_list(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(3))
    summary = run(source, tmp_path / "b.jsonl")
    mark = json.loads(mark_of(tmp_path / "b.jsonl").read_text("utf-8"))
    assert (mark["policy"], mark["key_id"], mark["sha256"]) == (POLICY.digest, KEYS.key_id, summary.digest)
    assert (tmp_path / "b.jsonl").stat().st_mode & 0o077 == 0
    assert not quarantine_path(tmp_path / "b.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(4))
    summary = run(source, tmp_path / "b.jsonl", dry_run=True)
    assert summary.tally.records == 4
    assert summary.tally.by_type["PHONE"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_columns_that_are_named_like_identifiers_are_replaced_without_a_policy(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    rows = [["姓名", "手机号", "性别", "account_status", "备注"], ["张伟", PHONE, "男", "active", f"电话{PHONE}，张伟"]]
    source.write_text("".join(",".join(row) + "\n" for row in rows), "utf-8")
    summary = run(source, tmp_path / "b.csv")
    header, row = csv.reader((tmp_path / "b.csv").read_text("utf-8").splitlines())
    assert header == rows[0]
    assert row[0] != "张伟"
    assert row[1] != PHONE
    assert row[2:4] == ["男", "active"]
    assert row[4] == f"电话{row[1]}，{row[0]}"
    assert summary.tally.quasi == {"性别": 1}


def test_age_column_of_numbers_stays_a_number(tmp_path: Path) -> None:
    records = [{"age": 40, "text": "无"}, {"age": 95, "text": "无"}]
    run(write_jsonl(tmp_path / "a.jsonl", records), tmp_path / "b.jsonl")
    assert [record["age"] for record in read_jsonl(tmp_path / "b.jsonl")] == [40, 90]


def test_paragraphs_of_a_text_share_surrogates_and_one_shift(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"2024年3月5日入院，电话{PHONE}。\n\n2024年3月12日出院，电话{PHONE}。\n", "utf-8")
    run(tmp_path / "a.txt", tmp_path / "b.txt")
    text = (tmp_path / "b.txt").read_text("utf-8")
    days = [datetime.date(*map(int, found)) for found in re.findall(r"(\d+)年(\d+)月(\d+)日", text)]
    assert days[1] - days[0] == datetime.timedelta(7)
    assert len(set(re.findall("电话([0-9]{11})", text))) == 1
