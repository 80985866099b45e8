"""Columns that sound like identifiers and are none: what a model learns must survive."""

from pathlib import Path
from typing import Any

import pytest

from tests.client.scrub.samples import PHONE, read_jsonl, run, write_jsonl

HARMLESS: dict[str, Any] = {
    "drug_name": "Aspirin",
    "product_name": "Growth plan B",
    "file_name": "table-7",
    "科室": "心内科",
    "科室名称": "呼吸与危重症医学科",
    "department": "Cardiology",
    "label": "张力性头痛",
    "单位": "mmol/L",
    "检验单位": "g/L",
    "card_type": "Visa 2",
    "phone_model": "iPhone 13",
    "company": "n/a",
    "pin": "no",
    "密码": "无",
    "photo": "yes",
    "url_count": 3,
    "photo_count": 3,
    "phone_count": 2,
    "账户数": 3,
    "序列号": "3",
    "time_days": 14,
    "住院时间": 12,
}
TELLING: dict[str, Any] = {
    "name": "Wang Fang",
    "nurse_full_name": "王芳",
    "患者姓名": "王芳",
    "工作单位": "锦华电子",
    "phone": PHONE,
    "phone_home": int(PHONE),
    "mrn": "77",
    "卡号": "1234",
    "password": "hunter",
    "pin_code": 1234,
    "qq": 12345,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_sounds_like_an_identifier_stays(tmp_path: Path, name: str) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "复诊", name: HARMLESS[name]}])
    run(source, tmp_path / "out.jsonl")
    assert read_jsonl(tmp_path / "out.jsonl") == read_jsonl(source)


@pytest.mark.parametrize("name", TELLING)
def test_what_a_column_is_named_for_is_replaced(tmp_path: Path, name: str) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "复诊", name: TELLING[name]}])
    run(source, tmp_path / "out.jsonl")
    assert read_jsonl(tmp_path / "out.jsonl")[0][name] != TELLING[name]
