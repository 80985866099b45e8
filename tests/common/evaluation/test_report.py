import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import EvaluationError
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.membership import Control
from fedward.common.evaluation.report import MAX_REPORT_BYTES, Report, build, is_signed, overall, parse, schema, sign
from fedward.common.evaluation.verdicts import Cell, Limits, Section, Verdict, judge, unmeasured
from fedward.common.identity import Identity

FACTS: dict[str, Any] = {
    "run_id": "ab12",
    "plan_digest": "11" * 32,
    "base_digest": "22" * 32,
    "adapter_digest": "33" * 32,
    "suite": "full",
    "created_at": "2026-11-30T12:00:00Z",
}


def a_cell(value: float) -> Cell:
    interval = Interval(value=value, low=value - 0.02, high=value + 0.02)
    return judge(
        lambda level: interval,
        Limits(passes=0.7, fails=0.8),
        metric="auc",
        group="token",
        score="loss",
        num_in=200,
        num_out=200,
        cells_in_section=1,
        headline=True,
    )


def a_section(name: str, value: float) -> Section:
    return Section(section_id=name, cells=(a_cell(value),))


REPORT = build([a_section("membership", 0.5), a_section("audit", 0.9)], **FACTS)
RAW = REPORT.to_bytes()


def edited(*path: str | int, value: object) -> bytes:
    document = json.loads(RAW)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document).encode()


def test_report_reads_back_to_itself() -> None:
    assert parse(RAW) == REPORT
    assert parse(RAW).to_bytes() == RAW


def test_gate_is_the_worst_section_and_names_what_blocks() -> None:
    assert (REPORT.gate.verdict, REPORT.gate.blocking) == ("FAIL", ("audit",))
    assert build([a_section("membership", 0.5)], **FACTS).gate.verdict == "PASS"
    assert build([], **FACTS).gate.verdict == "INCONCLUSIVE"


def test_loosened_threshold_makes_warn_the_best() -> None:
    assert build([a_section("membership", 0.5)], deviations=["x"], **FACTS).gate.verdict == "WARN"
    assert overall([Verdict.FAIL], ["x"]) is Verdict.FAIL


def test_limits_stand_under_their_names_in_the_file() -> None:
    cell = json.loads(RAW)["sections"][0]["cells"][0]
    assert (cell["pass"], cell["fail"], cell["limit_claim"]) == (0.7, 0.8, None)
    assert json.loads(RAW)["schema"] == "fedward.evaluation/1"


def test_no_number_is_ever_nan_or_infinite() -> None:
    odd = Cell(metric="a", group="b", estimate=None, low=math.nan, high=math.inf, verdict=Verdict.INCONCLUSIVE)
    raw = build(
        [Section(section_id="x", cells=(odd,), controls=(Control(name="c", interval=None, holds=True),))], **FACTS
    ).to_bytes()
    assert b"NaN" not in raw
    assert b"Infinity" not in raw
    json.loads(raw, parse_constant=lambda name: pytest.fail(name))


CASES = [
    ("another schema", edited("schema", value="fedward.evaluation/2")),
    ("unknown field", edited("more", value=1)),
    ("not a number", RAW.replace(b'"estimate": 0.5', b'"estimate": NaN', 1)),
    ("number as text", edited("sections", 0, "cells", 0, "estimate", value="0.5")),
    ("cell better than its numbers", edited("sections", 1, "cells", 0, "verdict", value="PASS")),
    ("estimate taken away", edited("sections", 0, "cells", 0, "estimate", value=None)),
    ("section better than its cells", edited("sections", 1, "verdict", value="PASS")),
    ("gate better than its sections", edited("gate", "verdict", value="WARN")),
    ("blocking section left out", edited("gate", "blocking", value=[])),
    ("failed control forgotten", edited("sections", 0, "controls", value=[{"name": "bag", "holds": False}])),
    ("limit loosened in silence", edited("sections", 0, "cells", 0, "pass", value=0.75)),
    ("limit taken away", edited("sections", 0, "cells", 0, "pass", value=None)),
    ("section twice", edited("sections", 0, "id", value="audit")),
    ("digest too short", edited("adapter_digest", value="33")),
    ("local time", edited("created_at", value="2026-11-30T12:00:00")),
    ("no JSON", b"{"),
    ("too large", b" " * (MAX_REPORT_BYTES + 1)),
]


@pytest.mark.parametrize("raw", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_what_cannot_be_is_refused(raw: bytes) -> None:
    assert raw != RAW
    with pytest.raises(EvaluationError):
        parse(raw)


def test_loosened_limit_that_is_listed_is_taken_and_warns() -> None:
    document = json.loads(edited("sections", 0, "cells", 0, "pass", value=0.75))
    document["deviations"] = ["membership.token.auc.passes: 0.75 in place of 0.7"]
    assert parse(json.dumps(document).encode()).deviations


def test_a_verdict_worse_than_its_numbers_is_taken() -> None:
    document = json.loads(RAW)
    document["sections"][0]["verdict"] = document["sections"][0]["cells"][0]["verdict"] = "INCONCLUSIVE"
    document["gate"]["blocking"] = ["membership", "audit"]
    assert parse(json.dumps(document).encode()).sections[0].verdict == "INCONCLUSIVE"


@given(estimate=st.floats(0, 1), low=st.floats(0, 1), high=st.floats(0, 1))
def test_any_measured_cell_makes_a_report_that_is_read(estimate: float, low: float, high: float) -> None:
    interval = Interval(value=estimate, low=low, high=high)
    cell = judge(
        lambda level: interval,
        Limits(passes=0.5, fails=0.6),
        metric="auc",
        group="token",
        num_in=30,
        num_out=30,
        cells_in_section=3,
    )
    raw = build([Section(section_id="membership", cells=(cell, unmeasured("tpr", "token", "why")))], **FACTS).to_bytes()
    assert parse(raw).sections[0].cells[0].verdict == cell.verdict


def test_impossible_facts_are_refused_without_their_value() -> None:
    with pytest.raises(EvaluationError) as caught:
        build([], **{**FACTS, "run_id": "a secret"})
    assert "secret" not in caught.value.message
    assert "run_id" in caught.value.message


def test_signature_is_over_the_bytes() -> None:
    evaluator = Identity.generate()
    signature = sign(RAW, evaluator)
    assert is_signed(RAW, signature, evaluator.public_key)
    assert not is_signed(RAW + b" ", signature, evaluator.public_key)
    assert not is_signed(RAW, signature, Identity.generate().public_key)


def test_file_obeys_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="a dependency of Ray")
    jsonschema.validate(json.loads(RAW), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(RAW) | {"suite": "none"}, schema())


def test_every_field_of_the_page_is_in_the_schema() -> None:
    fields = {"schema", "run_id", "plan_digest", "base_digest", "adapter_digest", "suite", "versions", "seeds"}
    fields |= {"hardware", "created_at", "claims", "sections", "gate", "commitments", "ledger_heads"}
    fields |= {"thresholds", "deviations", "controls"}
    assert set(schema()["properties"]) == fields
    assert set(Report.model_fields) == fields - {"schema"} | {"schema_"}
