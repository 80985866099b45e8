"""``fedward attack policy``: every limit of a compliant plan loosened, one at a time, against the real site agent.

The policy's limits stand exactly where the plan is. A row changes one value of the plan by the least step that loosens
it, or makes it NaN, infinite or of another type, and offers the plan, signed by the coordinator. The site must refuse
with a signed message that names the rule, enter that in its ledger once, and must not have read data. The unchanged
plan must be accepted. Each row is played once more against a site that lacks its rule: that control accepts, or meets
what stands behind the rule.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fedward.client import policy as guard
from fedward.client.ledger_store import MemoryStore
from fedward.client.policy import RULES
from fedward.client.site import SiteAgent
from fedward.common.config import COORDINATOR, SitePolicy, digest_of
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position
from fedward.common.privacy.noise import Entropy
from fedward.simulations.attacks.played_trainer import PlayedTrainer

SITE = "site-0"
NUM_SITES = 5
_RUN_ID = b"\x33" * 16
_DIGEST = "ab" * 32
_LAYOUT = [
    {"name": "base_model.model.q_proj.lora_A.weight", "shape": [4, 8]},
    {"name": "base_model.model.q_proj.lora_B.weight", "shape": [6, 4]},
]
_METRIC = {"name": "unit_loss", "clamp": 8.0, "noise_multiplier": 4.0}
COMPLIANT: Mapping[str, Any] = {
    "schema": "fedward.plan/1",
    "name": "compliant",
    "rounds": 4,
    "desensitize": {"required": True},
    "base": {"digest": _DIGEST, "max_length_tokens": 128},
    "lora": {"rank": 4, "targets": ["q_proj"], "aggregation": "ffa"},
    "privacy": {"epsilon": 3.0, "delta": 1e-6, "clip_norm": 1.0, "noise_multiplier": 2.0, "max_sites_per_unit": 2},
    "training": {"sample_rate": 0.05, "steps_per_round": 5, "max_records_per_unit": 4},
    "secagg": {
        "profile": "resilient",
        "min_cohort": 4,
        "weights": "declared",
        "metrics": [_METRIC],
        "sum_norm_bound": 64.0,
        "reply_timeout_s": 600.0,
        "trip_timeout_s": 60.0,
    },
    "sites": [{"id": f"site-{i}", "nominal_units": 1000} for i in range(NUM_SITES)],
    "layout": _LAYOUT,
}
"""A plan as a careful consortium would write it."""
POLICY = SitePolicy(
    max_epsilon=3.0,
    account_epsilon=3.0,
    account_delta=1e-6,
    max_delta=1e-6,
    min_noise_multiplier=2.0,
    max_clip_norm=1.0,
    max_sample_rate=0.05,
    max_rounds=4,
    max_steps_per_round=5,
    base_models=(_DIGEST,),
    max_length_tokens=128,
    max_records_per_unit=4,
    min_sites_per_unit=2,
    max_lora_rank=4,
    max_parameters=56,
    lora_targets=("q_proj",),
    aggregations=("ffa",),
    weights=("declared",),
    max_sum_norm=64.0,
    profiles=("resilient",),
    min_cohort=4,
    allowed_metrics=("unit_loss",),
    attempt_ttl_s=660.0,
)
"""Its limits stand where the plan is: whatever loosens the plan is beyond them."""


_SCRUB = DesensitizePolicy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """One value of the plan changed.

    Args:
        path: in the plan.
        value: instead; numbers that JSON cannot spell are written as JavaScript does.
        rule: that must be named; empty: the plan is refused before any rule, for it is not a plan.
        code: of the refusal.
        policy: what else the site's policy has, for rules that a plan's own checks would hide.
        scrub: under which policy the site's records were desensitised; None: they are as they came.
    """

    path: str
    value: Any
    rule: str
    code: str = "POLICY_REFUSED"
    policy: Mapping[str, Any] = field(default_factory=dict)
    scrub: DesensitizePolicy | None = _SCRUB

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.path} = {self.value}"


_NOT_A_PLAN = {"rule": "", "code": "BAD_ENCODING"}
_NUMBERS = (
    ("privacy.epsilon", "privacy.delta", "privacy.clip_norm", "privacy.noise_multiplier"),
    ("training.sample_rate", "secagg.sum_norm_bound", "secagg.reply_timeout_s", "secagg.trip_timeout_s"),
    ("rounds", "training.steps_per_round", "training.max_records_per_unit", "lora.rank", "base.max_length_tokens"),
)
MUTATIONS: tuple[Mutation, ...] = (
    Mutation(path="privacy.mode", value="none", rule="privacy_mode"),
    Mutation(path="privacy.mode", value="distributed", rule="privacy_mode"),
    Mutation(path="privacy.unit", value="record", rule="unit"),
    Mutation(path="secagg.profile", value="strict", rule="profile", code="PROFILE_FORBIDDEN"),
    Mutation(path="secagg.profile", value="plain_ring", rule="profile", code="PROFILE_FORBIDDEN"),
    Mutation(path="secagg.min_cohort", value=3, rule="cohort", code="COHORT_TOO_SMALL"),
    Mutation(
        path="secagg.assumed_colluders",
        value=0,
        rule="honest_floor",
        code="HONEST_FLOOR",
        policy={"assumed_colluders": 1},
    ),
    Mutation(path="desensitize.required", value=False, rule="desensitization", scrub=None),
    Mutation(path="desensitize.least_profile", value="max-recall", rule="desensitization"),
    Mutation(path="desensitize.safe_harbor", value=True, rule="desensitization"),
    Mutation(path="secagg.reply_timeout_s", value=600.5, rule="attempt_ttl"),
    Mutation(path="secagg.trip_timeout_s", value=60.5, rule="attempt_ttl"),
    Mutation(path="base.digest", value="cd" * 32, rule="base_model"),
    Mutation(path="base.digest", value="", rule="base_model"),
    Mutation(path="base.max_length_tokens", value=129, rule="sequence_length"),
    Mutation(path="training.max_records_per_unit", value=5, rule="records_per_unit"),
    Mutation(path="privacy.max_sites_per_unit", value=1, rule="sites_per_unit"),
    Mutation(path="privacy.delta", value=1.0001e-6, rule="delta"),
    Mutation(path="privacy.clip_norm", value=1.0001, rule="clip"),
    Mutation(path="privacy.clip_norm", value="auto", rule="clip"),
    Mutation(path="training.sample_rate", value=0.0501, rule="sample_rate"),
    Mutation(path="training.sample_rate", value="auto", rule="sample_rate"),
    Mutation(path="rounds", value=5, rule="rounds"),
    Mutation(path="training.steps_per_round", value=6, rule="steps"),
    Mutation(path="lora.rank", value=5, rule="lora_rank", policy={"max_parameters": 70}),
    Mutation(path="layout", value=_LAYOUT, rule="lora_parameters", policy={"max_parameters": 55}),
    Mutation(path="lora.targets", value=["q_proj", "v_proj"], rule="lora_targets"),
    Mutation(path="lora.targets", value=["all-linear"], rule="lora_targets"),
    Mutation(path="lora.aggregation", value="naive", rule="aggregation"),
    Mutation(path="lora.aggregation", value="alternate", rule="aggregation"),
    Mutation(path="secagg.weights", value="private", rule="weights"),
    Mutation(path="secagg.sum_norm_bound", value=64.5, rule="sum_norm"),
    Mutation(path="secagg.sum_norm_bound", value=None, rule="sum_norm"),
    Mutation(path="privacy.noise_multiplier", value=1.999, rule="noise"),
    Mutation(path="privacy.noise_multiplier", value=None, rule="noise"),
    Mutation(path="secagg.metrics", value=[{**_METRIC, "noise_multiplier": 1.99}], rule="auxiliary_noise"),
    Mutation(path="secagg.metrics", value=[_METRIC], rule="metrics", policy={"allowed_metrics": ()}),
    Mutation(path="sites", value=200_000, rule="account_delta", policy={"account_delta": 1e-5}),
    Mutation(path="privacy.epsilon", value=0.01, rule="epsilon_run"),
    Mutation(path="privacy.epsilon", value=3.5, rule="epsilon_run", policy={"max_epsilon": 0.2}),
    Mutation(
        path="privacy.epsilon", value=3.0, rule="epsilon_total", code="BUDGET_REFUSED", policy={"account_epsilon": 0.2}
    ),
    *(
        Mutation(path=path, value=float(number), **_NOT_A_PLAN)  # type: ignore[arg-type]
        for paths in _NUMBERS
        for path in paths
        for number in ("nan", "inf")
    ),
    Mutation(path="rounds", value=True, **_NOT_A_PLAN),  # type: ignore[arg-type]
    Mutation(path="privacy.delta", value="1e-6", **_NOT_A_PLAN),  # type: ignore[arg-type]
    Mutation(path="privacy.trust_me", value=1, **_NOT_A_PLAN),  # type: ignore[arg-type]
)


class ClosedTrainer(PlayedTrainer):
    """Data that nobody may read while a plan is judged; reading is counted."""

    def __init__(self) -> None:
        self.reads = 0

    def update(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - it never returns
        """See ``duties.Trainer.update``."""
        self.reads += 1
        raise AssertionError("data was read")

    def noisy_norms(self, *_: object, **__: object) -> Any:  # noqa: ANN401
        """See ``duties.Trainer.noisy_norms``."""
        return self.update()

    def clipped_sum(self, *_: object, **__: object) -> Any:  # noqa: ANN401
        """See ``duties.Trainer.clipped_sum``."""
        return self.update()

    def count_units(self) -> int:
        """See ``duties.Trainer.count_units``."""
        self.update()
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the site said to a plan."""

    is_accepted: bool
    code: str = ""
    rule: str = ""
    reads: int = 0
    charged: int = 0
    entries: int = 0
    """Verdicts that the site's ledger has of it."""


def mutated(mutation: Mutation | None) -> bytes:
    """The plan's bytes with one value changed, past all checks that a plan makes of itself."""
    document = json.loads(json.dumps(COMPLIANT))
    if mutation is not None and mutation.path == "sites":
        document["sites"][0]["nominal_units"] = mutation.value
    elif mutation is not None:
        *tables, name = mutation.path.split(".")
        place = document
        for table in tables:
            place = place[table]
        place[name] = mutation.value
    _follow(document, mutation)
    return json.dumps(document).encode()


def _follow(document: dict[str, Any], mutation: Mutation | None) -> None:
    """What must change along, for the plan to be one: a hostile coordinator would not stumble over that."""
    path = mutation.path if mutation is not None else ""
    if path == "lora.rank" and type(document["lora"]["rank"]) is int:
        rank = document["lora"]["rank"]
        document["layout"][0]["shape"][0] = document["layout"][1]["shape"][1] = rank
    if path == "secagg.profile" and document["secagg"]["profile"] == "plain_ring":
        document["secagg"]["sum_norm_bound"] = 64.0
    if path == "privacy.mode" and document["privacy"]["mode"] == "distributed":
        document["training"]["steps_per_round"] = 1
        document["secagg"]["weights"] = "fixed_denominator"
        document["secagg"]["metrics"] = []
        document["privacy"]["max_sites_per_unit"] = 2
    if path == "training.sample_rate":
        document["secagg"]["metrics"] = []


def offered(raw: bytes, policy: SitePolicy, scrub: DesensitizePolicy | None = _SCRUB) -> Answer:
    """Offer a plan to a fresh site and read its signed answer."""
    keys = {name: Identity.simulated(bytes(32), name) for name in (COORDINATOR, *_names())}
    roster = Roster(
        coordinator_key=keys[COORDINATOR].public_key,
        members={name: keys[name].public_key for name in _names()},
        profiles=("strict", "resilient", "resilient-malicious", "plain_ring"),
    )
    trainer, store = ClosedTrainer(), MemoryStore(keys[SITE], SITE)
    agent = SiteAgent(
        site_id=SITE,
        identity=keys[SITE],
        roster=roster,
        policy=policy,
        trainer=trainer,
        desensitized=scrub,
        entropy_for=lambda round_number, attempt: Entropy.system(),
        store=store,
    )
    position = Position(run_id=_RUN_ID, roster_hash=roster.hash, plan_digest=digest_of(raw), profile=_profile_in(raw))
    offer = codec.seal(keys[COORDINATOR], pb.PlanOffer(header=position.header(COORDINATOR), plan=raw))
    reply = codec.open_message(agent.handle(offer), None, sender=SITE, public_key=keys[SITE].public_key)
    answer = Answer(
        is_accepted=isinstance(reply.body, pb.PlanAccept),
        reads=trainer.reads,
        charged=len(agent.accounts.of_site.history),
        entries=len(store.plans.judged_since(0, hashlib.sha256(roster.coordinator_key).hexdigest())),
    )
    if isinstance(reply.body, pb.Refusal):
        return replace(answer, code=reply.body.code, rule=reply.body.rule)
    return answer


def _names() -> tuple[str, ...]:
    return tuple(site["id"] for site in COMPLIANT["sites"])


def _profile_in(raw: bytes) -> str:
    """What the header must say, so that the offer does not fail for that."""
    return str(json.loads(raw)["secagg"]["profile"])


@contextmanager
def _without(rule: str) -> Iterator[None]:
    """The guard as it would be had somebody forgotten this rule."""
    kept = guard.RULES
    guard.RULES = tuple(found for found in RULES if found.name != rule)
    try:
        yield
    finally:
        guard.RULES = kept


def measure(on_row: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Play all rows.

    Args:
        on_row: called after each, for a progress bar.
    """
    unchanged = offered(mutated(None), POLICY)
    rows = []
    for mutation in MUTATIONS:
        rows.append(_row(mutation))
        on_row()
    accepted = sum(row["accepted"] for row in rows)
    wrong = sum(not row["is_as_expected"] for row in rows)
    unruled = sorted({rule.name for rule in RULES} - {mutation.rule for mutation in MUTATIONS})
    passed = unchanged.is_accepted and not accepted and not wrong and not unruled
    return {
        "mutations": len(rows),
        "accepted": accepted,
        "wrong_rule": wrong,
        "unmutated_accepted": unchanged.is_accepted,
        "data_reads": unchanged.reads + sum(row["data_reads"] for row in rows),
        "rules_without_row": unruled,
        "rows": rows,
        "passed": passed,
    }


def _row(mutation: Mutation) -> dict[str, Any]:
    policy = POLICY.model_copy(update=dict(mutation.policy))
    raw = mutated(mutation)
    answer = offered(raw, policy, mutation.scrub)
    control = None
    if mutation.rule:
        with _without(mutation.rule):
            control = offered(raw, policy, mutation.scrub)
    is_expected = not answer.is_accepted and (answer.code, answer.rule) == (mutation.code, mutation.rule)
    clean = answer.reads == 0 and answer.charged == 0 and answer.entries == 1
    return {
        "mutation": mutation.name,
        "rule": mutation.rule,
        "accepted": answer.is_accepted,
        "got_code": answer.code,
        "got_rule": answer.rule,
        "data_reads": answer.reads,
        "ledger_entries": answer.entries,
        "control_accepted": None if control is None else control.is_accepted,
        "control_met": "" if control is None else " ".join(filter(None, (control.code, control.rule))),
        "is_as_expected": is_expected and clean,
    }


__all__ = ["COMPLIANT", "measure", "Mutation", "mutated", "MUTATIONS", "offered", "POLICY"]
