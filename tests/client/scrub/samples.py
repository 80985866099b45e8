"""Invented records and a job over them; profile ``structured``, so that no tagger has to be loaded."""

import json
from pathlib import Path
from typing import Any

from fedward.client.scrub.run import Job, Summary, prepare, scrub_files
from fedward.client.scrub.settings import Fields
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import DesensitizePolicy

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
DESCRIPTOR = KeyDescriptor(key_id="1", site_id="hospital-a", created="2026-01-01", not_after="2036-12-31")
POLICY = DesensitizePolicy(profile="structured")
PHONE, ID, EMAIL = "13800138000", "110101199001011237", "wang.fang@example.com"
NOTE = f"患者电话{PHONE}，身份证号{ID}，住院号ZY1234567，2024年3月5日复诊，血压142/91mmHg。"
ENGLISH = f"Seen on 03/05/2024. Phone (212) 555-0123, e-mail {EMAIL}. BP 142/91."
PLANTED = (PHONE, ID, "ZY1234567", EMAIL, "(212) 555-0123", "2024年3月5日", "03/05/2024")


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def many(count: int) -> list[dict[str, Any]]:
    """Records that differ, so that a swap would show."""
    return [
        {"id": number, "text": f"第{number}条：{NOTE}" if number % 2 else f"Note {number}. {ENGLISH}"}
        for number in range(count)
    ]


def job(source: Path, target: Path, **changes: Any) -> Job:  # noqa: ANN401
    settings: dict[str, Any] = {"policy": POLICY, "keys": KEYS, "descriptor": DESCRIPTOR, "workers": 1, **changes}
    fields = Fields(text=tuple(settings.pop("field", ())), patient=settings.pop("patient", None))
    return Job(source=source, target=target, fields=fields, **settings)


def run(source: Path, target: Path, **changes: Any) -> Summary:  # noqa: ANN401
    made = job(source, target, **changes)
    return scrub_files(made, prepare(made))


def assert_clean(text: str) -> None:
    assert [value for value in PLANTED if value in text] == []
