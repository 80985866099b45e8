"""The report of a run: JSON, and its pages in two languages."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fedward.client.scrub.reporting import JSON_NAME, PAGES, write_report
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy, DesensitizePolicy
from fedward.common.desensitize.report import SAFE_HARBOR_ROWS, Facts, build, class_sizes
from fedward.common.desensitize.report_html import render
from fedward.common.desensitize.report_words import WORDS
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tally import MAX_HANDLES, MAX_PERSONS, Tally
from tests.client.scrub.samples import KEYS, PLANTED, POLICY, many, run, write_jsonl

ROW = {"type": "PHONE", "injected": 4000, "caught": 3990, "recall": 0.9975, "low": 0.9954, "high": 0.9986}
CANARIES = [{**ROW, "target": 0.999, "passes": False, "missed": {}}]


FAST = DesensitizePolicy()


def document(policy: DesensitizePolicy = FAST, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    facts: dict[str, Any] = {"tally": Tally(records=10, characters=100), "policy": policy, "canaries": CANARIES}
    facts |= {"site_id": "hospital-a", "key_id": "1", "is_one_run": False}
    return build(Facts(**{**facts, **changes}))


def open_rows(policy: DesensitizePolicy) -> str:
    rows = document(policy)["safe_harbor"]["rows"]
    return "".join(row["row"] for row in rows if row["status"] == "not handled")


def codes(found: dict[str, Any]) -> set[str]:
    return {warning["code"] for warning in found["warnings"]}


def test_report_of_a_run_holds_counts_and_no_planted_value(tmp_path: Path) -> None:
    summary = run(write_jsonl(tmp_path / "a.jsonl", many(20)), tmp_path / "b.jsonl")
    raw = json.dumps(document(tally=summary.tally), ensure_ascii=False)
    assert json.loads(raw)["by_type"]["PHONE"] == 20
    assert [value for value in PLANTED if value in raw] == []


def test_all_eighteen_rows_of_safe_harbor_have_a_status() -> None:
    rows = document()["safe_harbor"]["rows"]
    assert "".join(row["row"] for row in rows) == "ABCDEFGHIJKLMNOPQR"
    assert {row["status"] for row in rows} <= {"covered", "not applicable", "not handled"}
    # Places of the size of a city are kept, and a date shift is no Safe Harbor.
    assert [row["row"] for row in rows if row["status"] == "not handled"] == ["B", "C", "P", "Q"]


def test_safe_harbor_by_every_tagger_leaves_attachments_alone_open() -> None:
    harbor = FAST.model_copy(update={"safe_harbor": True})
    assert open_rows(harbor.model_copy(update={"profile": "max-recall"})) == "PQ"
    assert open_rows(harbor) == "BPQ"
    assert open_rows(harbor.model_copy(update={"language": "zh"})) == "PQ"


@pytest.mark.parametrize("type_", [EntityType.DATE, EntityType.AGE, EntityType.CARD, EntityType.ORG_ID])
def test_a_row_of_which_one_type_is_kept_is_not_covered(type_: EntityType) -> None:
    harbor = FAST.model_copy(update={"safe_harbor": True, "language": "zh", "actions": {type_: Action.KEEP}})
    row = next(letter for letter, _, types in SAFE_HARBOR_ROWS if type_ in types)
    assert row in open_rows(harbor)


def test_a_city_in_prose_does_not_stay_under_safe_harbor() -> None:
    policy = DesensitizePolicy(safe_harbor=True)
    assert policy.action_of(EntityType.LOC) is Action.GENERALISE
    result = Desensitizer(policy, KEYS).record("患者来自苏州市，现居昆山。", Context(document_id="1"))
    assert "苏州" not in (result.text or "")


def test_codes_of_a_kept_key_are_no_safe_harbor() -> None:
    harbor, tally = FAST.model_copy(update={"safe_harbor": True}), Tally(records=1)
    assert "safe_harbor_key" not in codes(document(harbor, tally=tally))
    tally.columns["patient_id", "surrogate"] = 1
    assert "safe_harbor_key" in codes(document(harbor, tally=tally))
    assert "safe_harbor_key" not in codes(document(harbor, tally=tally, is_one_run=True))


def test_a_column_that_is_encrypted_is_named_among_the_techniques() -> None:
    encrypted = ColumnPolicy(kind=ColumnClass.DIRECT, action=Action.FPE, type=EntityType.MRN)
    found = document(FAST.model_copy(update={"columns": {"mrn": encrypted}}))
    assert "encryption" in found["statements"]["gbt_37964_fpe"]
    assert "保留格式加密。" in render(found, "zh")
    assert "保留格式加密。" not in render(document(), "zh")


def test_records_of_one_patient_are_no_crowd(tmp_path: Path) -> None:
    records = [{"patient_id": f"P{number % 2}", "性别": "男", "text": "复诊"} for number in range(20)]
    named = POLICY.model_copy(update={"columns": {"性别": ColumnPolicy(kind=ColumnClass.QUASI)}})
    summary = run(write_jsonl(tmp_path / "a.jsonl", records), tmp_path / "b.jsonl", policy=named)
    assert document(named, tally=summary.tally)["k_anonymity"]["k_min"] == 2
    for record in records:
        del record["patient_id"]
    summary = run(write_jsonl(tmp_path / "c.jsonl", records), tmp_path / "d.jsonl", policy=named)
    assert document(named, tally=summary.tally)["k_anonymity"]["k_min"] == 20


def test_people_of_one_combination_are_told_apart_up_to_a_crowd() -> None:
    summed = Tally()
    for start in range(0, 3 * MAX_PERSONS, 50):
        part = Tally()
        for person in range(start, start + 50):
            part.add_class("aa", f"{person:04d}")
            part.add_class("aa", "0000")
        summed.add(Tally.from_json(part.to_json()))
    assert class_sizes(summed.classes) == [(MAX_PERSONS, 6 * MAX_PERSONS)]


def test_low_confidence_items_beyond_the_handles_are_counted() -> None:
    tally = Tally(records=1)
    tally.hits["PHONE", "digits", 1, "surrogate"] = 5000
    tally.low.update({f"{number:016x}": 1 for number in range(MAX_HANDLES)})
    assert document(tally=tally)["low_confidence"]["items"] == 5000


def test_kept_type_is_named_and_brings_level_one() -> None:
    policy = FAST.model_copy(update={"actions": {EntityType.PHONE: Action.KEEP}})
    found = document(policy)
    assert found["gbt_42460"]["level"] == 1
    assert {row["row"]: row["status"] for row in found["safe_harbor"]["rows"]}["D"] == "not handled"


def test_level_three_needs_quasi_identifiers_that_a_person_has_named() -> None:
    tally = Tally(records=20)
    tally.quasi["sex"] = 20
    tally.classes.update({"aa": 10, "bb": 10})
    named = FAST.model_copy(update={"columns": {"sex": ColumnPolicy(kind=ColumnClass.QUASI)}})
    assert document(tally=tally)["gbt_42460"]["level"] == 2
    assert document(named, tally=tally)["gbt_42460"]["level"] == 3
    tally.classes["cc"] = 1
    assert document(named, tally=tally)["gbt_42460"]["level"] == 2
    assert document(named, tally=tally)["k_anonymity"]["suggestions"]


def test_what_a_reader_must_not_overlook_is_a_warning() -> None:
    policy = POLICY.model_copy(update={"scope": "site"})
    tally = Tally(records=10, failed=1, characters=10, changed=9)
    found = document(policy, tally=tally, over_scrub={"terms_unchanged_share": 0.5})
    expected = {"scope_site", "structured", "mostly_replaced", "failed", "canaries_missed", "terms_lost"}
    assert codes(found) == expected
    assert codes(document(canaries=[])) == {"no_canaries"}


def test_profile_without_names_covers_no_names() -> None:
    found = document(POLICY)
    assert [row["row"] for row in found["safe_harbor"]["rows"] if row["status"] == "not handled"] == list("ABCPQ")
    assert found["gbt_42460"]["level"] == 1


def test_every_report_says_what_it_does_not_promise() -> None:
    statements = document()["statements"]
    assert "still personal information" in statements["pipl"]
    assert "personal data" in statements["fpe"]
    assert "no formal guarantee" in statements["layers"]
    assert "China reserves no range" in statements["surrogates"]


class _Balanced(HTMLParser):
    """Counts tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ANN401
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_well_formed_and_escapes_names_of_columns(language: Any) -> None:  # noqa: ANN401
    tally = Tally(records=1)
    tally.columns["<script>alert(1)</script>", "drop"] = 1
    page = render(document(tally=tally), language, other="x.html")
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "<script" not in page


def test_every_word_has_both_languages() -> None:
    assert [key for key, pair in WORDS.items() if len(pair) != 2 or not all(pair)] == []


def test_report_is_written_in_three_files(tmp_path: Path) -> None:
    write_report(document(), tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {JSON_NAME, *PAGES.values()}
    assert "脱敏报告" in (tmp_path / "report" / PAGES["zh"]).read_text("utf-8")


def test_tallies_add_up_in_any_order() -> None:
    keys = ScrubKeys.one_run()
    assert keys.key_id == "one-run"
    first, second = Tally(records=2, characters=5), Tally(records=3, failed=1)
    first.low["bb"], second.low["aa"] = 1, 2
    first.hits["PHONE", "mobile", 2, "surrogate"] = 4
    one, other = Tally(), Tally()
    one.add(first)
    one.add(second)
    other.add(second)
    other.add(first)
    assert one.to_json() == other.to_json()
    assert Tally.from_json(json.loads(one.dumps())).to_json() == one.to_json()
