import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from fedward.common.evaluation.gate import (
    FULL_SUITE,
    Decision,
    Keys,
    Override,
    SignedOverride,
    decide,
    sign_override,
)
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.report import build, sign
from fedward.common.evaluation.verdicts import Limits, Section, Verdict, judge, unmeasured
from fedward.common.identity import Identity
from tests.common.evaluation.test_report import FACTS

EVALUATOR, AUDITOR = Identity.generate(), Identity.generate()
SITES = {name: Identity.generate() for name in ("north", "south")}
KEYS = Keys(
    evaluator=EVALUATOR.public_key,
    auditors={"auditor": AUDITOR.public_key},
    sites={name: site.public_key for name, site in SITES.items()},
)
ADAPTER = bytes.fromhex(FACTS["adapter_digest"])
NOW = datetime(2026, 12, 1, tzinfo=UTC)
VALUES = {Verdict.PASS: 0.5, Verdict.WARN: 0.75, Verdict.FAIL: 0.9}


def a_section(name: str, verdict: Verdict) -> Section:
    if verdict is Verdict.INCONCLUSIVE:
        return Section(section_id=name, cells=(unmeasured("auc", "token", "why"),))
    interval = Interval(value=VALUES[verdict], low=VALUES[verdict], high=VALUES[verdict])
    cell = judge(
        lambda level: interval,
        Limits(passes=0.7, fails=0.8),
        metric="auc",
        group="token",
        num_in=99,
        num_out=99,
        cells_in_section=1,
    )
    return Section(section_id=name, cells=(cell,))


def a_file(changed: dict[str, Verdict] | None = None, *, left_out: Sequence[str] = (), **facts: Any) -> bytes:  # noqa: ANN401
    changed = changed or {}
    sections = [a_section(name, changed.get(name, Verdict.PASS)) for name in FULL_SUITE if name not in left_out]
    return build(sections, **(FACTS | facts)).to_bytes()


def decision(raw: bytes, override: SignedOverride | None = None, **changes: Any) -> Decision:  # noqa: ANN401
    given: dict[str, Any] = {"adapter_digest": ADAPTER, "keys": KEYS, "now": NOW} | changes
    return decide(raw, sign(raw, EVALUATOR), override=override, **given)


def an_override(raw: bytes, sections: Sequence[str], signers: dict[str, Identity], **changes: Any) -> SignedOverride:  # noqa: ANN401
    facts: dict[str, Any] = {
        "adapter_digest": ADAPTER.hex(),
        "evaluation_digest": hashlib.sha256(raw).hexdigest(),
        "sections": tuple(sections),
        "reason": "The ward needs it this week; a second evaluation is under way.",
        "expires_at": "2026-12-02T00:00:00Z",
    }
    told = Override(**(facts | changes)).to_bytes()
    return SignedOverride(raw=told, signatures={name: sign_override(told, signer) for name, signer in signers.items()})


EVERYBODY = {"auditor": AUDITOR, **SITES}


def test_full_suite_that_passes_opens_the_gate() -> None:
    found = decision(a_file())
    assert (found.is_open, found.verdict, found.exit_code) == (True, Verdict.PASS, 0)
    assert found.supports_epsilon


@pytest.mark.parametrize("name", FULL_SUITE)
def test_every_section_that_fails_closes_it(name: str) -> None:
    found = decision(a_file({name: Verdict.FAIL}))
    assert (found.is_open, found.blocking, found.exit_code) == (False, (name,), 3)
    assert name in found.reasons[0]


@pytest.mark.parametrize("name", FULL_SUITE)
def test_every_section_that_is_inconclusive_closes_it(name: str) -> None:
    found = decision(a_file({name: Verdict.INCONCLUSIVE}))
    assert (found.is_open, found.blocking, found.exit_code) == (False, (name,), 4)


@pytest.mark.parametrize("name", FULL_SUITE)
def test_every_section_that_is_missing_closes_it(name: str) -> None:
    found = decision(a_file(left_out=[name]))
    assert (found.is_open, found.blocking, found.exit_code) == (False, (name,), 4)


def test_warnings_pass() -> None:
    found = decision(a_file({"membership": Verdict.WARN}))
    assert (found.is_open, found.verdict) == (True, Verdict.WARN)


def test_what_is_not_signed_of_another_adapter_or_quick_stays_closed() -> None:
    raw = a_file()
    assert not decide(raw, bytes(64), adapter_digest=ADAPTER, keys=KEYS, now=NOW).is_open
    assert not decide(raw, sign(raw, AUDITOR), adapter_digest=ADAPTER, keys=KEYS, now=NOW).is_open
    assert not decision(raw, adapter_digest=bytes(32)).is_open
    assert not decision(a_file(suite="quick")).is_open
    assert not decision(b"{}").is_open


def test_right_override_opens_it() -> None:
    raw = a_file({"membership": Verdict.FAIL})
    found = decision(raw, an_override(raw, ["membership"], EVERYBODY))
    assert (found.is_open, found.is_overridden, found.supports_epsilon) == (True, True, True)
    assert found.blocking == ("membership",)


@pytest.mark.parametrize("name", ["audit", "optimizer", "accounting"])
def test_adapter_over_a_failed_account_carries_no_epsilon(name: str) -> None:
    raw = a_file({name: Verdict.FAIL})
    assert not decision(raw, an_override(raw, [name], EVERYBODY)).supports_epsilon


def test_auditor_alone_overrides_what_is_inconclusive_and_not_what_fails() -> None:
    unsure, failed = a_file({"prompts": Verdict.INCONCLUSIVE}), a_file({"prompts": Verdict.FAIL})
    assert decision(unsure, an_override(unsure, ["prompts"], {"auditor": AUDITOR})).is_open
    assert not decision(failed, an_override(failed, ["prompts"], {"auditor": AUDITOR})).is_open


RAW = a_file({"membership": Verdict.FAIL, "audit": Verdict.FAIL})
BOTH = ["membership", "audit"]
GOOD = an_override(RAW, BOTH, EVERYBODY)
BAD = [
    ("expired", an_override(RAW, BOTH, EVERYBODY, expires_at="2026-12-01T00:00:00Z"), "expired"),
    ("other adapter", an_override(RAW, BOTH, EVERYBODY, adapter_digest="44" * 32), "another adapter"),
    ("other evaluation", an_override(a_file(), BOTH, EVERYBODY), "another evaluation"),
    ("partial", an_override(RAW, ["audit"], EVERYBODY), "membership"),
    ("missing site", an_override(RAW, BOTH, {"auditor": AUDITOR, "north": SITES["north"]}), "south"),
    ("no auditor", an_override(RAW, BOTH, SITES), "auditor"),
    ("a site in the auditor's place", an_override(RAW, BOTH, {**EVERYBODY, "auditor": SITES["north"]}), "auditor"),
    ("unknown signer", an_override(RAW, BOTH, {"somebody": Identity.generate()}), "auditor"),
    ("tampered", dataclasses.replace(GOOD, raw=GOOD.raw.replace(b"this week", b"this year")), "auditor"),
    ("no file", SignedOverride(raw=b"{", signatures={}), "no file"),
    ("too large", SignedOverride(raw=b" " * 100_000, signatures={}), "larger"),
    ("impossible date", an_override(RAW, BOTH, EVERYBODY, expires_at="2026-99-01T00:00:00Z"), "no file"),
    (
        "short reason",
        dataclasses.replace(GOOD, raw=GOOD.raw.replace(b"; a second evaluation is under way", b"")),
        "too short",
    ),
]


def test_the_override_that_the_bad_ones_are_made_of_is_good() -> None:
    assert decision(RAW, GOOD).is_open


@pytest.mark.parametrize(("override", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_override_that_does_not_hold_changes_nothing(override: SignedOverride, reason: str) -> None:
    found = decision(RAW, override)
    assert (found.is_open, found.is_overridden, found.exit_code) == (False, False, 3)
    assert reason in found.reasons[0]


def test_no_override_opens_an_unsigned_file() -> None:
    assert not decide(RAW, bytes(64), adapter_digest=ADAPTER, keys=KEYS, now=NOW, override=GOOD).is_open


def test_fail_of_a_run_without_known_sites_cannot_be_overridden() -> None:
    assert not decision(RAW, GOOD, keys=dataclasses.replace(KEYS, sites={})).is_open
