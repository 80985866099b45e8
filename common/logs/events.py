"""Every event that can be logged: a name, a level, fields of the closed types. What is not here is not logged.

Left out on purpose (control T2, ``tests/common/logs/test_events.py`` holds it): ids of records and units, losses of
samples, sizes of batches and data sets, how long a training took, values of parameters and gradients, text, names and
paths of files, keys, tokens. A mean loss is logged by the coordinator alone, as the figure that a plan's metric opened:
noise is in it and the sites have paid for it (dp-training, section 1); a site logs none at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from fedward.common.logs.fields import COUNT, ERROR, HASH, LINE, MODULE, RUN_ID, Choice, Duration, FieldType, Whole
from fedward.common.messages.wire import RELAY_ERRORS

CODES = Choice(
    (
        "ABSTAIN",
        "APPROVAL_MISSING",
        "ATTEMPT_CLOSED",
        "ATTEMPT_LIMIT",
        "BAD_ENCODING",
        "BAD_SIGNATURE",
        "BAD_VECTOR",
        "BUDGET_REFUSED",
        "COHORT_MALFORMED",
        "COHORT_TOO_SMALL",
        "CONFIRM_MISSING",
        "CONFIRM_QUORUM",
        "DIGEST_MISMATCH",
        "DUPLICATE_VECTOR",
        "GRAPH_MISMATCH",
        "HEADS_CONFLICT",
        "HOLDERS_MISMATCH",
        "HONEST_FLOOR",
        "KEY_INVALID",
        "LATE",
        "LEDGER_ROLLED_BACK",
        "MODEL_MISMATCH",
        "NO_BUNDLE",
        "OWN_BUNDLE_ALTERED",
        "PLAN_LIMIT",
        "PLAN_MISMATCH",
        "POLICY_ALTERED",
        "POLICY_REFUSED",
        "PREKEY_EXISTS",
        "PREKEY_STALE",
        "PREKEY_UNKNOWN",
        "PROFILE_FORBIDDEN",
        "REFUSED",
        "REPLAY_CONFLICT",
        "ROSTER_MISMATCH",
        "ROUND_ORDER",
        "ROUND_VOID",
        "SELF_NOT_IN_SURVIVORS",
        "SHARE_INCONSISTENT",
        "SHARE_UNREADABLE",
        "SUM_IMPLAUSIBLE",
        "SUM_OUT_OF_RANGE",
        "SURVIVORS_CHANGED",
        "SURVIVORS_INVALID",
        "SURVIVORS_TOO_FEW",
        "SURVIVOR_UNPROVEN",
        "THRESHOLD_MISMATCH",
        "THRESHOLD_UNUSABLE",
        "TRANSPORT",
        "UNKNOWN_REQUEST",
        "UNKNOWN_SITE",
        "WITNESS_MISSING",
    ),
    label="enum: a refusal code",
)
"""Refusal codes and what stands in their place where no answer came."""
RULES = Choice(
    (
        "account_delta",
        "aggregation",
        "approval",
        "attempt_ttl",
        "auxiliary_noise",
        "base_model",
        "clip",
        "cohort",
        "delta",
        "desensitization",
        "epsilon_run",
        "epsilon_total",
        "honest_floor",
        "internal",
        "lora_parameters",
        "lora_rank",
        "lora_targets",
        "metrics",
        "noise",
        "plan_limit",
        "privacy_mode",
        "profile",
        "records_per_unit",
        "rounds",
        "sample_rate",
        "sequence_length",
        "sites_per_unit",
        "steps",
        "sum_norm",
        "unit",
        "weights",
        "witness",
    ),
    label="enum: a rule of the site's policy",
)
RELAY_CODES = Choice(tuple(sorted(RELAY_ERRORS)), label="enum: a relay's code")
ROUND = COUNT
ATTEMPT = COUNT
TALLY = Whole(0, (1 << 53) - 1)
MOST_SITES = Whole(0, 65_535)
_LOGGED = Choice(("WARNING", "ERROR", "CRITICAL"))


class Level(StrEnum):
    """How urgent it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What one event may say."""

    name: str
    level: Level
    means: str
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """All must be given."""
    may_have: Mapping[str, FieldType] = field(default_factory=dict)
    """May be left out, or be None."""
    is_state: bool = False
    """A change of state: with warnings and errors, what the system's own journal is told, words alone."""

    @property
    def all_fields(self) -> dict[str, FieldType]:
        """Of both kinds."""
        return {**self.fields, **self.may_have}

    @property
    def is_told(self) -> bool:
        """Whether it is for the system's journal too."""
        return self.is_state or self.level is not Level.INFO


_RUN: Mapping[str, FieldType] = {"run": RUN_ID}
_PLACE: Mapping[str, FieldType] = {**_RUN, "round": ROUND, "attempt": ATTEMPT}
_WHERE: Mapping[str, FieldType] = {"error": ERROR, "module": MODULE, "line": LINE}
_STEPS = {
    "prekeyed": "one-time keys for a round were made and written down",
    "accepted": "a `Train` was accepted; its position is used up",
    "sent": "a vector may have left; its charge is durable",
    "confirmed": "the survivors were confirmed",
    "released": "shares may have left",
}
_SCHEMAS = (
    # ------------------------------------------------------------------------------------------------ the log itself
    Schema(name="log.opened", level=Level.INFO, means="the sealed log takes events from here on"),
    Schema(name="log.closed", level=Level.INFO, means="the sealed log was closed in good order"),
    Schema(
        name="log.dropped",
        level=Level.WARNING,
        means="since the last of these, so much was not logged, or not in full",
        fields={
            "unknown_event": TALLY,
            "unknown_field": TALLY,
            "wrong_type": TALLY,
            "missing_field": TALLY,
            "overrun": TALLY,
            "sink_failed": TALLY,
        },
    ),
    Schema(
        name="log.expired",
        level=Level.INFO,
        means="segments older than `log_days` were deleted; the ledger has `log.purged`",
        fields={"segments": COUNT, "days": COUNT},
    ),
    # ------------------------------------------------------------------------------------------------ a site's life
    Schema(
        name="site.state",
        level=Level.INFO,
        means="the daemon's state changed",
        fields={"state": Choice(("locked", "loading", "ready", "running", "draining", "stopped"))},
        may_have={"took": Duration()},
        is_state=True,
    ),
    Schema(
        name="plan.accepted",
        level=Level.INFO,
        means="the site takes part in a run",
        fields={**_RUN, "plan": HASH},
    ),
    *(Schema(name=f"round.{step}", level=Level.INFO, means=means, fields=_PLACE) for step, means in _STEPS.items()),
    Schema(name="run.ended", level=Level.INFO, means="the site closed a run", fields=_RUN),
    Schema(
        name="request.refused",
        level=Level.WARNING,
        means="the site refused a message, signed",
        fields={**_PLACE, "code": CODES},
        may_have={"rule": RULES},
    ),
    Schema(
        name="site.abstained",
        level=Level.WARNING,
        means="the site could not do its part; the refusal that follows says ABSTAIN",
        fields={**_PLACE, **_WHERE},
    ),
    Schema(
        name="model.differs",
        level=Level.WARNING,
        means="the site came to another final model than the coordinator states",
        fields={**_RUN, "code": CODES},
    ),
    Schema(
        name="refusal.unwritten",
        level=Level.WARNING,
        means="a refusal was given that the ledger did not take",
        fields={**_RUN, **_WHERE},
    ),
    # ------------------------------------------------------------------------------------------------ its sockets
    Schema(
        name="peer.refused",
        level=Level.WARNING,
        means="a connection to the relay's socket was closed",
        fields={"why": Choice(("account", "too_many", "no_descriptor"))},
        may_have={"uid": COUNT},
    ),
    Schema(
        name="call.ended",
        level=Level.WARNING,
        means="a call got a status in place of an answer",
        fields={"why": Choice(("too_large", "too_slow", "malformed", "locked", "internal")), **_WHERE},
    ),
    Schema(
        name="request.unread",
        level=Level.WARNING,
        means="what came was not signed by the coordinator, or is for another roster; refused, signed",
        fields={"code": CODES, "bytes": TALLY},
    ),
    Schema(
        name="agent.failed",
        level=Level.ERROR,
        means="the site's agent raised, which it never should",
        fields=_WHERE,
    ),
    Schema(
        name="drain.cut",
        level=Level.WARNING,
        means="the daemon ends with so many requests open: told twice, or `drain_timeout_s` is over",
        fields={"open": COUNT},
    ),
    # ------------------------------------------------------------------------------------------------ relay, SuperNode
    Schema(name="relay.failed", level=Level.WARNING, means="the site raised towards the relay", fields=_WHERE),
    Schema(
        name="relay.unanswered",
        level=Level.WARNING,
        means="the relay got no answer from the daemon",
        fields={"code": RELAY_CODES, "bytes": TALLY},
    ),
    Schema(
        name="relay.idle",
        level=Level.WARNING,
        means="no task could be taken from the SuperNode, or it could not be ended",
        fields=_WHERE,
        may_have={"status": COUNT},
    ),
    Schema(name="supernode.ended", level=Level.ERROR, means="Flower's SuperNode raised", fields=_WHERE),
    # ------------------------------------------------------------------------------------------------ a coordinator's
    Schema(
        name="run.started",
        level=Level.INFO,
        means="all sites have answered the offer",
        fields={**_RUN, "accepted": MOST_SITES, "refused": MOST_SITES},
    ),
    Schema(
        name="site.left_out",
        level=Level.INFO,
        means="a site's answer is missing or refused; `site` is its place in the plan",
        fields={**_RUN, "round": ROUND, "site": MOST_SITES, "code": CODES},
        may_have={"rule": RULES},
    ),
    Schema(
        name="round.opened",
        level=Level.INFO,
        means="a sum was opened and applied",
        fields={**_PLACE, "cohort": MOST_SITES, "survivors": MOST_SITES},
        may_have={"took": Duration()},
    ),
    Schema(
        name="trend.opened",
        level=Level.INFO,
        means="a metric that the plan pays for, as it was opened: the mean loss over a round's cohort, noise and all",
        fields={**_RUN, "round": ROUND, "metric": Choice(("unit_loss",)), "thousandths": Whole(-1_000_000, 1_000_000)},
    ),
    # ------------------------------------------------------------------------------------------------ what went wrong
    Schema(
        name="error.uncaught",
        level=Level.ERROR,
        means="an exception that nobody caught",
        fields={**_WHERE, "where": Choice(("main", "thread", "task", "finaliser"))},
    ),
    Schema(name="warning.raised", level=Level.WARNING, means="a Python warning", fields=_WHERE),
    Schema(
        name="library.logged",
        level=Level.WARNING,
        means="a library's own log, cut to who and where",
        fields={"logger": MODULE, "severity": _LOGGED, "module": MODULE, "line": LINE},
        may_have={"error": ERROR},
    ),
)
EVENTS: Mapping[str, Schema] = MappingProxyType({schema.name: schema for schema in _SCHEMAS})

__all__ = ["ATTEMPT", "CODES", "EVENTS", "Level", "MOST_SITES", "RELAY_CODES", "ROUND", "RULES", "Schema", "TALLY"]
