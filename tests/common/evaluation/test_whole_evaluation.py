"""A run's whole evaluation with fake models: from a seed to the gate."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fedward.common.evaluation.artifact_control import artifact_section
from fedward.common.evaluation.artifacts import needles_of
from fedward.common.evaluation.audit import audit, gaussian_limits
from fedward.common.evaluation.canaries import (
    DEFAULT_REGISTRATION,
    SHEET_GROUPS,
    CanarySheet,
    Group,
    open_sheet,
    verify_claims,
)
from fedward.common.evaluation.canary_texts import SecretCanary, secret_canaries, token_list_digest, token_texts
from fedward.common.evaluation.exposure import advantage, measure_exposure
from fedward.common.evaluation.gate import FULL_SUITE, Keys, decide
from fedward.common.evaluation.intervals import Interval
from fedward.common.evaluation.membership import Control, positive_control
from fedward.common.evaluation.plain_sections import (
    Account,
    accounting_section,
    inversion_section,
    optimizer_section,
    utility_section,
)
from fedward.common.evaluation.prompts import Decoding, attack
from fedward.common.evaluation.report import Report, build, parse, sign
from fedward.common.evaluation.sections import (
    ScoredGroup,
    audit_section,
    extraction_section,
    membership_section,
    prompt_section,
)
from fedward.common.evaluation.verdicts import Section
from fedward.common.identity import Identity
from tests.common.evaluation.test_optimizer_check import CLAIMS, run_path
from tests.common.evaluation.test_report import FACTS
from tests.evaluations import Vector, normals

TOKENS = [f"{word}{number} " for word in ("ba", "ku", "mo", "ti") for number in range(40)]
SALT = bytes(range(32))
SHEET = CanarySheet(
    run_id=b"run",
    site_id="north",
    plan_digest=bytes(32),
    token_list_digest=token_list_digest(TOKENS),
    seed=hashlib.sha256(b"a seed of the tests").digest(),
    counts={
        Group.TOKEN: 400,
        Group.TOKEN_RESERVE: 1000,
        Group.SECRET: 160,
        Group.TWINS: 100,
        Group.CONTROL: 100,
    },
)


class FakeModel:
    """Scores texts by their characters, and better the texts that it remembers."""

    def __init__(self, remembered: set[str], strength: float) -> None:
        self._remembered, self._strength = remembered, strength

    def scores(self, texts: tuple[str, ...]) -> Vector:
        """A likelihood a text, the same in every process."""
        noise = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 for text in texts]
        return np.array(noise) + [self._strength * (text in self._remembered) for text in texts]

    def of_secrets(self, canary: SecretCanary, secrets: tuple[str, ...]) -> list[float]:
        """ln p of each secret in the canary's place; little is left for the others where one is remembered."""
        knows = canary.text in self._remembered and self._strength > 1
        base = self.scores(tuple(canary.prefix + secret for secret in secrets)) - 14.5
        return [-0.01 if knows and s == canary.secret else float(b) for s, b in zip(secrets, base, strict=True)]

    def answer(self, prompt: str, decoding: Decoding) -> str:
        """Continues what it remembers."""
        found = [text for text in self._remembered if self._strength > 1 and text.startswith(prompt)]
        return found[0][len(prompt) :] if found else "…"


def evaluate(strength: float, folder: Path) -> Report:
    """All sections of a run whose adapter remembers the included canaries with that strength."""
    verify_claims(
        open_sheet(SHEET.commitment(SALT), SALT, SHEET.to_bytes()),
        DEFAULT_REGISTRATION,
        {group: SHEET.coins(group) for group in SHEET_GROUPS},
    )
    tokens, made = token_texts(SHEET, Group.TOKEN, TOKENS), secret_canaries(SHEET)
    coins, secret_coins = np.array(SHEET.coins(Group.TOKEN)), SHEET.coins(Group.SECRET)
    inserted = tuple(c for c, is_in in zip(made[Group.SECRET], secret_coins, strict=True) if is_in)
    remembered = {text for text, is_in in zip(tokens, coins, strict=True) if is_in} | {c.text for c in inserted}
    adapter, base = FakeModel(remembered, strength), FakeModel(set(), 0.0)
    values = adapter.scores(tokens)
    group = ScoredGroup(
        group="token",
        included=coins,
        scores={"loss": values},
        base_scores={"loss": base.scores(tokens)},
        headline="loss",
        reserve={"loss": adapter.scores(token_texts(SHEET, Group.TOKEN_RESERVE, TOKENS))},
    )
    claim = gaussian_limits(8.0)
    sections = [
        membership_section([group], seed=1, controls=[shadow()], claim=claim),
        audit_section(audit(values, coins), 8.0 if strength < 1 else 2.0, is_gaussian=True),
        secrets(adapter, inserted, made[Group.TWINS]),
        prompts(adapter, inserted, made[Group.TWINS]),
        *others(folder),
    ]
    return build(sections, **FACTS)


def shadow() -> Control:
    """A shadow adapter on its own coins."""
    texts, coins = token_texts(SHEET, Group.CONTROL, TOKENS), np.array(SHEET.coins(Group.CONTROL))
    found = FakeModel({text for text, is_in in zip(texts, coins, strict=True) if is_in}, 2.0).scores(texts)
    return positive_control(found[coins], found[~coins])


def secrets(model: FakeModel, members: tuple[SecretCanary, ...], twins: tuple[SecretCanary, ...]) -> Section:
    """Exposure and advantage."""

    def both(canaries: tuple[SecretCanary, ...]) -> tuple[Vector, list[float]]:
        bits = measure_exposure(canaries, SHEET.seed, model.of_secrets)  # type: ignore[arg-type]
        return bits, [advantage(model.of_secrets(canary, (canary.secret,))[0]) for canary in canaries]

    return extraction_section({"secret": both(members)}, both(twins), seed=1)


def prompts(model: FakeModel, members: tuple[SecretCanary, ...], twins: tuple[SecretCanary, ...]) -> Section:
    """Completion prompts."""
    tried = [list(attack(canaries, model.answer, is_chat_model=False)) for canaries in (members, twins)]
    return prompt_section(tried[0], tried[1])


def others(folder: Path) -> list[Section]:
    """What has no part in what an adapter remembers."""
    run, scratch = folder / "run", folder / "scratch"
    run.mkdir(mode=0o700)
    scratch.mkdir()
    (run / "log").touch(0o600)
    needles = [needle for canary in secret_canaries(SHEET)[Group.SECRET] for needle in needles_of(canary)]
    return [
        accounting_section({"north": Account(epsilon=2.0, allowed=8.0, ledger_holds=True)}),
        optimizer_section({"fused": run_path(CLAIMS[8])}),
        inversion_section(
            0.03 + 0.01 * normals(1, 30), 0.03 + 0.01 * normals(2, 30), chance=0.02, raw_recall=1.0, view="sum"
        ),
        artifact_section([run], needles, scratch),
        utility_section(
            forgetting=Interval(value=0.01, low=0.0, high=0.02), retention=0.9, min_retention=0.5, review_alarms=()
        ),
    ]


@pytest.fixture(autouse=True)
def _needs_arrow() -> None:
    pytest.importorskip("pyarrow", reason="the control plants Parquet and Arrow: extra site")


def gate_exit(report: Report) -> int:
    evaluator, raw = Identity.generate(), report.to_bytes()
    keys = Keys(evaluator=evaluator.public_key, auditors={}, sites={})
    now = datetime(2026, 12, 1, tzinfo=UTC)
    digest = bytes.fromhex(report.adapter_digest)
    return decide(raw, sign(raw, evaluator), adapter_digest=digest, keys=keys, now=now).exit_code


def test_non_private_run_fails_in_every_section_that_attacks_it(tmp_path: Path) -> None:
    report = evaluate(2.0, tmp_path)
    verdicts = {section.id: section.verdict for section in report.sections}
    assert set(verdicts) == set(FULL_SUITE)
    assert {name for name, verdict in verdicts.items() if verdict == "FAIL"} == {
        "membership",
        "audit",
        "extraction",
        "prompts",
    }
    assert report.gate.verdict == "FAIL"
    assert gate_exit(report) == 3


def test_private_run_passes_everywhere_and_may_leave(tmp_path: Path) -> None:
    report = evaluate(0.02, tmp_path)
    assert {section.id: section.verdict for section in report.sections if section.verdict != "PASS"} == {}
    assert parse(report.to_bytes()) == report
    assert gate_exit(report) == 0


def test_report_holds_no_canary_and_no_answer(tmp_path: Path) -> None:
    raw = evaluate(2.0, tmp_path).to_bytes().decode()
    for canaries in secret_canaries(SHEET).values():
        for canary in canaries:
            assert not re.search(rf"(?<![0-9.e-]){canary.secret}(?![0-9])", raw)
            assert canary.name not in raw
    assert SHEET.seed.hex() not in raw
