"""``evaluation.json``: what an evaluation measured, in a form that can be checked, signed and refused.

Invariants: finite numbers or null with a note, never NaN; a verdict that is better than its own numbers allow is
refused when a report is read, whoever signed it, and so is an unknown major version; no record text, no output, no
unit id. The schema is this module's pydantic model (``schema()``). Not handled here: HTML, and the gate (``gate``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedward.common.errors import EvaluationError
from fedward.common.evaluation.thresholds import DEFAULTS
from fedward.common.evaluation.verdicts import Cell, Limits, Section, Verdict, is_better, rejudge, worst
from fedward.common.identity import Identity, verify

SCHEMA = "fedward.evaluation/1"
MAX_REPORT_BYTES = 16 << 20
_LONG = 4_096
_MANY = 10_000

Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=_LONG)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, serialize_by_alias=True
    )


class CellRecord(_Part):
    """One judged number."""

    metric: Name
    group: Name
    score: Name = ""
    estimate: Finite | None
    low: Finite | None = None
    high: Finite | None = None
    level: Finite = 0.95
    upper: Finite | None = None
    """One-sided 95 % upper end: what a PASS is judged by."""
    lower: Finite | None = None
    """One-sided lower end at 5 % over the cells of the section: what a FAIL is judged by."""
    n_in: int = Field(ge=0)
    n_out: int = Field(ge=0)
    limit_pass: Finite | None = Field(default=None, alias="pass")
    limit_fail: Finite | None = Field(default=None, alias="fail")
    limit_claim: Finite | None = None
    limit_estimate: Finite | None = None
    headline: bool = False
    verdict: Literal["PASS", "WARN", "FAIL", "INCONCLUSIVE"]
    note: Text = ""

    def is_within(self, default: Limits) -> bool:
        """Whether it was judged by limits as tight as these."""
        if self.limit_pass is None or self.limit_fail is None:
            return False
        return self.limit_pass <= default.passes and self.limit_fail <= default.fails

    @model_validator(mode="after")
    def _is_no_better_than_its_numbers(self) -> CellRecord:
        if self.estimate is None and is_better(Verdict(self.verdict), Verdict.INCONCLUSIVE):
            raise ValueError("a cell without an estimate is inconclusive, or fails")
        if self.estimate is None or self.limit_pass is None or self.limit_fail is None:
            return self
        limits = Limits(
            passes=self.limit_pass,
            fails=self.limit_fail,
            claim=math.inf if self.limit_claim is None else self.limit_claim,
            estimate=math.inf if self.limit_estimate is None else self.limit_estimate,
        )
        lower = self.low if self.lower is None else self.lower
        upper = self.estimate if self.upper is None else self.upper
        found = rejudge(self.estimate, math.nan if lower is None else lower, upper, limits, headline=self.headline)
        if is_better(Verdict(self.verdict), found):
            raise ValueError("a verdict that its numbers do not bear")
        return self


class ControlRecord(_Part):
    """A check of the attack itself."""

    name: Name
    holds: bool
    estimate: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    note: Text = ""


class Cost(_Part):
    """What a section took."""

    cpu_s: Finite | None = None
    forwards: int | None = Field(default=None, ge=0)


class SectionRecord(_Part):
    """One question."""

    id: Name
    verdict: Literal["PASS", "WARN", "FAIL", "INCONCLUSIVE"]
    cells: tuple[CellRecord, ...] = Field(max_length=_MANY)
    controls: tuple[ControlRecord, ...] = Field(default=(), max_length=_MANY)
    notes: tuple[Text, ...] = Field(default=(), max_length=_MANY)
    cost: Cost = Cost()

    @model_validator(mode="after")
    def _is_no_better_than_its_cells(self) -> SectionRecord:
        found = worst([Verdict(cell.verdict) for cell in self.cells])
        if found is not Verdict.FAIL and not all(control.holds for control in self.controls):
            found = Verdict.INCONCLUSIVE
        if is_better(Verdict(self.verdict), found):
            raise ValueError(f"section {self.id}: a verdict that its cells and controls do not bear")
        return self


class Claim(_Part):
    """What a site's account says."""

    unit: Literal["patient", "record"]
    neighbours: Name
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """None: nothing is claimed."""
    delta: Annotated[float, Field(gt=0, lt=1)]
    epsilon_at_delta_audit: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


class Committed(_Part):
    """What a site committed to before round 1, and what it opened."""

    canaries: Hex32
    records: Hex32 | None = None
    opened: bool = False


class GateRecord(_Part):
    """The sum of it."""

    verdict: Literal["PASS", "WARN", "FAIL", "INCONCLUSIVE"]
    blocking: tuple[Name, ...]


class ControlRow(_Part):
    """One row of the table of controls."""

    id: Name
    evidence: Text
    holds: bool | None


class Report(_Part):
    """Everything."""

    schema_: Literal["fedward.evaluation/1"] = Field(default="fedward.evaluation/1", alias="schema")
    run_id: Annotated[str, Field(pattern="^[0-9a-f]{2,64}$")]
    plan_digest: Hex32
    base_digest: Hex32
    adapter_digest: Hex32
    suite: Literal["quick", "full", "acceptance"]
    versions: dict[Name, Name] = Field(default_factory=dict)
    seeds: dict[Name, int] = Field(default_factory=dict)
    hardware: Text = ""
    created_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    claims: dict[Name, Claim] = Field(default_factory=dict)
    sections: tuple[SectionRecord, ...] = Field(max_length=100)
    gate: GateRecord
    commitments: dict[Name, Committed] = Field(default_factory=dict)
    ledger_heads: dict[Name, Hex32] = Field(default_factory=dict)
    thresholds: dict[Name, dict[Name, Finite]] = Field(default_factory=dict)
    deviations: tuple[Text, ...] = ()
    controls: tuple[ControlRow, ...] = ()

    @model_validator(mode="after")
    def _is_no_better_than_its_sections(self) -> Report:
        ids = [section.id for section in self.sections]
        if len(set(ids)) != len(ids):
            raise ValueError("a section stands twice")
        found = overall([Verdict(section.verdict) for section in self.sections], self.deviations)
        if is_better(Verdict(self.gate.verdict), found):
            raise ValueError("gate: a verdict that the sections do not bear")
        if not self.deviations and (loose := next(self._loosened(), "")):
            raise ValueError(f"{loose}: no limit, or a looser one than the default, and no deviation is listed")
        if set(self.gate.blocking) != {section.id for section in self.sections if section.verdict in _BLOCKING}:
            raise ValueError("gate: blocking sections are those that fail or are inconclusive")
        return self

    def _loosened(self) -> Iterator[str]:
        """Metrics whose measured cells are not judged by the default limits or tighter ones."""
        for section in self.sections:
            for cell in section.cells:
                for name in (f"{section.id}.{cell.group}.{cell.metric}", f"{section.id}.{cell.metric}"):
                    default = DEFAULTS.get(name)
                    if default is not None and cell.estimate is not None and not cell.is_within(default):
                        yield name

    def to_bytes(self) -> bytes:
        """UTF-8 JSON."""
        return self.model_dump_json(by_alias=True, indent=1).encode()


_BLOCKING = (Verdict.FAIL.value, Verdict.INCONCLUSIVE.value)


def overall(verdicts: Sequence[Verdict], deviations: Sequence[str]) -> Verdict:
    """The worst section; with a loosened threshold WARN at best."""
    found = worst(verdicts)
    return Verdict.WARN if found is Verdict.PASS and deviations else found


def build(sections: Sequence[Section], *, deviations: Sequence[str] = (), **facts: Any) -> Report:  # noqa: ANN401
    """The report of sections that were judged.

    Args:
        sections: as measured.
        deviations: thresholds that were loosened.
        facts: the other fields of ``Report`` by name.

    Raises:
        EvaluationError: a fact that cannot be; the message names the field, never its value.
    """
    records = tuple(map(_section_record, sections))
    gate = GateRecord(
        verdict=overall([section.verdict for section in sections], deviations).value,
        blocking=tuple(record.id for record in records if record.verdict in _BLOCKING),
    )
    try:
        return Report(sections=records, gate=gate, deviations=tuple(deviations), **facts)
    except ValidationError as error:
        raise EvaluationError(f"no report can be made: {_first(error)}") from None


def parse(raw: bytes) -> Report:
    """A report, checked: schema, finite numbers, and no verdict better than its numbers.

    Raises:
        EvaluationError: another schema, or anything that cannot be.
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise EvaluationError("the evaluation file is larger than any report")
    try:
        return Report.model_validate_json(raw)
    except ValidationError as error:
        raise EvaluationError(
            f"no evaluation file of {SCHEMA}: {_first(error)}",
            hint="Evaluate the run again with this version.",
        ) from None


def schema() -> dict[str, Any]:
    """JSON Schema of the file."""
    return Report.model_json_schema(by_alias=True)


def sign(raw: bytes, evaluator: Identity) -> bytes:
    """64 bytes: the evaluator's signature over the file as it is."""
    return evaluator.sign("document", "evaluation", hashlib.sha256(raw).digest())


def is_signed(raw: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the file is the evaluator's."""
    return verify(public_key, signature, "document", "evaluation", hashlib.sha256(raw).digest())


def _section_record(section: Section) -> SectionRecord:
    return SectionRecord(
        id=section.section_id,
        verdict=section.verdict.value,
        cells=tuple(map(_cell_record, section.cells)),
        controls=tuple(
            ControlRecord(
                name=control.name,
                holds=control.holds,
                estimate=control.interval.value if control.interval else None,
                low=control.interval.low if control.interval else None,
                high=control.interval.high if control.interval else None,
                note=control.note,
            )
            for control in section.controls
        ),
        notes=section.notes,
        cost=Cost(cpu_s=section.cpu_s),
    )


def _cell_record(cell: Cell) -> CellRecord:
    facts: dict[str, Any] = {"estimate": cell.estimate, "low": cell.low, "high": cell.high}
    facts |= {"upper": cell.upper, "lower": cell.lower}
    if cell.limits is not None:
        facts |= {"pass": cell.limits.passes, "fail": cell.limits.fails}
        facts |= {"limit_claim": cell.limits.claim, "limit_estimate": cell.limits.estimate}
    finite = {name: value if value is not None and math.isfinite(value) else None for name, value in facts.items()}
    return CellRecord.model_validate(
        finite
        | {
            "metric": cell.metric,
            "group": cell.group,
            "score": cell.score,
            "n_in": cell.num_in,
            "n_out": cell.num_out,
            "headline": cell.headline,
            "verdict": cell.verdict.value,
            "note": cell.note,
        }
    )


def _first(error: ValidationError) -> str:
    """The first complaint: where and what, without the value."""
    found: Mapping[str, Any] = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, found['loc'])) or 'file'}: {found['msg']}"


__all__ = [
    "build",
    "CellRecord",
    "Claim",
    "Committed",
    "ControlRecord",
    "ControlRow",
    "Cost",
    "GateRecord",
    "is_signed",
    "MAX_REPORT_BYTES",
    "overall",
    "parse",
    "Report",
    "SCHEMA",
    "schema",
    "SectionRecord",
    "sign",
]
