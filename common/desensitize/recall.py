"""What the injected canaries say of a run: inject them into a sample of its texts, desensitise, count survivors.

Not handled here: canaries and intervals (``canaries``), and whether a run goes on (its caller).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedward.common.desensitize import canaries
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import Action, CanaryTargets
from fedward.common.desensitize.spans import EntityType

MAX_HOSTS = 400
MAX_HOST_CHARS = 400
_BATCH = 256
_UNSTRUCTURED = (EntityType.PERSON, EntityType.ORG, EntityType.LOC, EntityType.ADDRESS)
"""What the profile ``structured`` does not look for."""


def estimate_recall(
    desensitizer: Desensitizer, texts: Sequence[str], keys: ScrubKeys, targets: CanaryTargets
) -> list[dict[str, Any]]:
    """Rows of the canary table: type, injected, caught, recall, low, high, target, passes, missed.

    Args:
        texts: of the run; the first ``MAX_HOSTS`` are used, each cut to ``MAX_HOST_CHARS``.
        targets: how many of each type, and what they must show; with no canaries there are no rows.
    """
    hosts = [text[:MAX_HOST_CHARS] for text in texts if text.strip()][:MAX_HOSTS]
    if not hosts or not targets.num_structured + targets.num_names:
        return []
    injected = list(canaries.inject(hosts, keys, targets, types=_types(desensitizer)))
    redacted = []
    for start in range(0, len(injected), _BATCH):
        batch = [
            (item.text, Context(document_id=f"canary:{start + i}"))
            for i, item in enumerate(injected[start : start + _BATCH])
        ]
        redacted += [result.spans for result in desensitizer.records(batch)]
    return [_plain(row) for row in canaries.estimate(injected, redacted, targets).rows]


def _types(desensitizer: Desensitizer) -> tuple[EntityType, ...]:
    """What the policy keeps cannot be missed; what a profile does not look for is not judged."""
    policy = desensitizer.policy
    found = [type_ for type_ in canaries.CANARY_TYPES if policy.action_of(type_) is not Action.KEEP]
    if policy.profile == "structured":
        found = [type_ for type_ in found if type_ not in _UNSTRUCTURED]
    return tuple(found)


def _plain(row: canaries.CanaryRow) -> dict[str, Any]:
    return {
        "type": row.type.value,
        "injected": row.num,
        "caught": row.num - row.num_survived,
        "recall": round(row.recall, 6),
        "low": round(row.low, 6),
        "high": round(row.high, 6),
        "target": row.target,
        "passes": row.meets_target,
        "missed": dict(row.survived_by),
    }


__all__ = ["estimate_recall", "MAX_HOST_CHARS", "MAX_HOSTS"]
