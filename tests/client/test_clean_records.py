import json
from dataclasses import replace
from typing import Any

import pytest

from fedward.client import clean_records as cleaning
from fedward.client.clean_records import clean_records
from fedward.client.intake import Record
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import CanaryTargets, DesensitizePolicy
from fedward.common.errors import DesensitizationError
from tests.client.scrub.samples import KEYS, NOTE, PHONE, assert_clean

POLICY = DesensitizePolicy(profile="structured", canaries=CanaryTargets(num_structured=24, num_names=0))


def record(patient: str, text: str = NOTE, label: str | None = None) -> Record:
    return Record(patient_id=patient, text=text, label=label)


def test_texts_are_replaced_and_order_patients_and_labels_stay() -> None:
    records = [record(f"A{number % 3:06d}", f"第{number}次，{NOTE}", str(number)) for number in range(9)]
    clean = clean_records(records, POLICY, KEYS)
    assert [(r.patient_id, r.label) for r in clean.records] == [(r.patient_id, r.label) for r in records]
    assert [r.text.split("，")[0] for r in clean.records] == [f"第{number}次" for number in range(9)]
    assert_clean("\n".join(r.text for r in clean.records))
    assert clean.tally.by_type["PHONE"] == 9


def test_a_number_with_a_label_in_one_record_is_found_without_one_in_another_of_the_patient() -> None:
    records = [record("A000001", "住院号ZY7654321"), record("A000001", "见ZY7654321"), record("B000002", "见ZY7654321")]
    mine, again, others = clean_records(records, POLICY, KEYS).records
    assert again.text == f"见{mine.text.removeprefix('住院号')}"
    assert others.text == "见ZY7654321"  # nothing says that it is a number of this patient


def test_the_patients_id_itself_is_replaced_in_the_text() -> None:
    (clean,) = clean_records([record("QX998877", "编码QX998877，复诊。")], POLICY, KEYS).records
    assert "QX998877" not in clean.text
    assert clean.patient_id == "QX998877"


def test_the_cut_into_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(f"A{number % 5:06d}", f"第{number}次，{NOTE}") for number in range(20)]
    whole = clean_records(records, POLICY, KEYS).records
    monkeypatch.setattr(cleaning, "_BATCH_RECORDS", 3)
    assert clean_records(records, POLICY, KEYS).records == whole


def test_canaries_are_counted_on_the_sites_own_texts() -> None:
    rows = {row["type"]: row for row in clean_records([record("A000001")], POLICY, KEYS).canaries}
    assert rows["PHONE"]["injected"] == 24
    assert 0 <= rows["PHONE"]["low"] <= rows["PHONE"]["recall"] <= 1


def sabotaged(monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    honest = Desensitizer.records

    def leaking(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        results = honest(self, *args, **kwargs)
        return [replace(r, text=None, leaks=("original PHONE",)) if marker in r.source else r for r in results]

    monkeypatch.setattr(Desensitizer, "records", leaking)


def test_failing_record_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sabotaged(monkeypatch, "第3次")
    records = [record("A000001", f"第{number}次，{NOTE}") for number in range(6)]
    clean = clean_records(records, POLICY.model_copy(update={"max_quarantine": 0.5}), KEYS)
    assert (len(clean.records), clean.tally.failed) == (5, 1)
    assert not any(r.text.startswith("第3次") for r in clean.records)


def test_too_many_failing_records_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sabotaged(monkeypatch, "第3次")
    records = [record("A000001", f"第{number}次，{NOTE}") for number in range(6)]
    with pytest.raises(DesensitizationError, match="1 of 6") as caught:
        clean_records(records, POLICY, KEYS)
    assert PHONE not in caught.value.message


def test_two_sites_give_one_value_different_surrogates() -> None:
    (mine,) = clean_records([record("A000001")], POLICY, KEYS).records
    (theirs,) = clean_records(
        [record("A000001")], POLICY, ScrubKeys(secret=KEYS.secret, site_id="hospital-b", key_id="1")
    ).records
    assert mine.text != theirs.text


def test_what_is_counted_holds_no_plaintext() -> None:
    clean = clean_records([record("A000001")], POLICY, KEYS)
    assert_clean(json.dumps([clean.tally.to_json(), list(clean.canaries)], ensure_ascii=False))
    assert_clean(repr(clean))
