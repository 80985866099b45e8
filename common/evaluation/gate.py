"""May an adapter leave? The evaluation file, its signature, and who signed an override.

Invariants: closed unless everything holds; a section of the full suite that is missing blocks like one that is
inconclusive; an override names the adapter, the evaluation and every blocking section, expires, and is signed by an
auditor, for a FAIL by every site of the run, too; one that is expired, foreign or partial changes nothing. Not handled
here: the audit chain (an override goes there first), export, and reading files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedward.common.errors import EvaluationError
from fedward.common.evaluation.report import Hex32, Report, is_signed, parse
from fedward.common.evaluation.verdicts import Verdict, worst
from fedward.common.identity import Identity, verify

FULL_SUITE = (
    "accounting",
    "optimizer",
    "membership",
    "audit",
    "extraction",
    "prompts",
    "inversion",
    "artifacts",
    "utility",
)
SUPPORTS_EPSILON = frozenset({"audit", "optimizer", "accounting"})
"""Released over one of these, an adapter carries no epsilon."""
MIN_REASON_CHARS = 40
MAX_OVERRIDE_BYTES = 1 << 16
EXIT_FAIL = 3
EXIT_INCONCLUSIVE = 4


class Override(BaseModel):
    """Why an adapter may leave all the same, and until when."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    kind: Literal["fedward.override/1"] = "fedward.override/1"
    adapter_digest: Hex32
    evaluation_digest: Hex32
    """SHA-256 of the evaluation file."""
    sections: tuple[Annotated[str, Field(max_length=100)], ...] = Field(min_length=1, max_length=len(FULL_SUITE) + 100)
    reason: str = Field(min_length=MIN_REASON_CHARS, max_length=4_000)
    expires_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

    def to_bytes(self) -> bytes:
        """UTF-8 JSON; what is signed."""
        return self.model_dump_json().encode()


def sign_override(raw: bytes, signer: Identity) -> bytes:
    """64 bytes: a signature over the override as it is."""
    return signer.sign("document", "override", hashlib.sha256(raw).digest())


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedOverride:
    """An override file.

    Args:
        raw: its bytes.
        signatures: by signer's id.
    """

    raw: bytes
    signatures: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Whose signatures count.

    Args:
        evaluator: of the evaluation file.
        auditors: identities of role auditor, by id.
        sites: those of the run, by id.
    """

    evaluator: bytes
    auditors: Mapping[str, bytes]
    sites: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the gate says.

    Args:
        is_open: whether the adapter may leave.
        verdict: of the run, missing sections counted.
        blocking: sections that close it, or would without the override.
        reasons: why it stays closed; empty where it is open.
        is_overridden: whether an override opened it.
        supports_epsilon: whether the exported card may carry an epsilon.
        exit_code: 0 open, 3 FAIL, 4 INCONCLUSIVE or unusable.
    """

    is_open: bool
    verdict: Verdict
    blocking: tuple[str, ...]
    reasons: tuple[str, ...]
    is_overridden: bool
    supports_epsilon: bool
    exit_code: int


def decide(
    raw: bytes,
    signature: bytes,
    *,
    adapter_digest: bytes,
    keys: Keys,
    now: datetime,
    override: SignedOverride | None = None,
) -> Decision:
    """Judge a release.

    Args:
        raw: the evaluation file.
        signature: of its evaluator.
        adapter_digest: of the adapter that is to leave.
        keys: whose signatures count.
        now: aware, UTC.
        override: None for none.
    """
    try:
        report = parse(raw)
    except EvaluationError as error:
        return _closed(Verdict.INCONCLUSIVE, (), error.message)
    if foreign := _why_foreign(report, raw, signature, adapter_digest, keys):
        return _closed(Verdict.INCONCLUSIVE, (), foreign)
    verdict, blocking = _judged(report)
    if verdict in (Verdict.PASS, Verdict.WARN):
        return _open(verdict, (), is_overridden=False)
    if override is None:
        return _closed(verdict, blocking, f"{verdict}: {', '.join(blocking) or 'the gate of the file'}")
    refused = _why_not(override, raw, report, verdict, blocking, keys, now)
    if refused:
        return _closed(verdict, blocking, refused)
    return _open(verdict, blocking, is_overridden=True)


def _why_foreign(report: Report, raw: bytes, signature: bytes, adapter_digest: bytes, keys: Keys) -> str:
    """Why a file says nothing about this release; empty if it does."""
    if not is_signed(raw, signature, keys.evaluator):
        return "the evaluation file is not signed by its evaluator"
    if report.adapter_digest != adapter_digest.hex():
        return "the evaluation is of another adapter"
    return "" if report.suite == "full" else f"suite {report.suite}: a release needs the full one"


def _judged(report: Report) -> tuple[Verdict, tuple[str, ...]]:
    present = {section.id: Verdict(section.verdict) for section in report.sections}
    missing = [name for name in FULL_SUITE if name not in present]
    verdict = worst([Verdict(report.gate.verdict), *[Verdict.INCONCLUSIVE for _ in missing]])
    return verdict, (*report.gate.blocking, *missing)


def _why_not(
    override: SignedOverride,
    raw: bytes,
    report: Report,
    verdict: Verdict,
    blocking: tuple[str, ...],
    keys: Keys,
    now: datetime,
) -> str:
    """The first reason for which an override changes nothing; empty if it holds."""
    if len(override.raw) > MAX_OVERRIDE_BYTES:
        return "override: larger than any"
    try:
        told = Override.model_validate_json(override.raw)
        expires_at = datetime.fromisoformat(told.expires_at)
    except (ValidationError, ValueError):
        return "override: no file of fedward.override/1, or a reason that is too short"
    if told.adapter_digest != report.adapter_digest:
        return "override: of another adapter"
    if told.evaluation_digest != hashlib.sha256(raw).hexdigest():
        return "override: of another evaluation"
    if not now < expires_at:
        return "override: expired"
    left = sorted(set(blocking) - set(told.sections))
    if left:
        return f"override: does not name {', '.join(left)}"
    return _unsigned(override, verdict, keys)


def _unsigned(override: SignedOverride, verdict: Verdict, keys: Keys) -> str:
    digest = hashlib.sha256(override.raw).digest()

    def signers(known: Mapping[str, bytes]) -> set[str]:
        given = override.signatures
        return {name for name in known if verify(known[name], given.get(name, b""), "document", "override", digest)}

    auditors = signers(keys.auditors)
    if not auditors:
        return "override: not signed by an auditor"
    missing = sorted(set(keys.sites) - signers(keys.sites))
    if verdict is Verdict.FAIL and (missing or not keys.sites):
        return f"override of a FAIL: not signed by {', '.join(missing) or 'any site'}"
    return ""


def _open(verdict: Verdict, blocking: tuple[str, ...], *, is_overridden: bool) -> Decision:
    return Decision(
        is_open=True,
        verdict=verdict,
        blocking=blocking,
        reasons=(),
        is_overridden=is_overridden,
        supports_epsilon=not SUPPORTS_EPSILON & set(blocking),
        exit_code=0,
    )


def _closed(verdict: Verdict, blocking: tuple[str, ...], reason: str) -> Decision:
    return Decision(
        is_open=False,
        verdict=verdict,
        blocking=blocking,
        reasons=(reason,),
        is_overridden=False,
        supports_epsilon=False,
        exit_code=EXIT_FAIL if verdict is Verdict.FAIL else EXIT_INCONCLUSIVE,
    )


__all__ = [
    "decide",
    "Decision",
    "EXIT_FAIL",
    "EXIT_INCONCLUSIVE",
    "FULL_SUITE",
    "Keys",
    "MIN_REASON_CHARS",
    "Override",
    "sign_override",
    "SignedOverride",
    "SUPPORTS_EPSILON",
]
