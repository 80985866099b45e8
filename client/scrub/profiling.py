"""A file looked at for ``fedward desensitize profile``: its columns, and recall of canaries in its texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fedward.client.scrub import fields as paths
from fedward.client.scrub import rows, tables
from fedward.client.scrub.chunks import Mark, cut
from fedward.client.scrub.inputs import Input
from fedward.client.scrub.measure import sample_texts
from fedward.common.desensitize.canaries import inject
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.profile import LevelProposal, PolicyDraft, draft_policy, propose_levels, sample_rows
from fedward.common.desensitize.recall import MAX_HOST_CHARS, MAX_HOSTS
from fedward.common.desensitize.spans import EntityType

_BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Profiled:
    """The draft, and what it rests on."""

    toml: str = field(repr=False)
    draft: PolicyDraft

    def to_json(self) -> dict[str, Any]:
        """Counts and proposals, no value of the file."""
        return {
            "columns": [
                {
                    "name": column.name,
                    "fill_rate": round(column.fill_rate, 6),
                    "distinct": column.num_distinct,
                    "lengths": list(column.lengths),
                    "kind": column.guess.kind.value,
                    "type": None if column.guess.type is None else column.guess.type.value,
                    "action": column.guess.action.value,
                    "reason": column.guess.reason,
                }
                for column in self.draft.columns
            ],
            "levels": [
                {
                    "type": level.type.value,
                    "level": level.level,
                    "recall_low": round(level.recall.low, 6),
                    "over_scrub": round(level.over_scrub, 6),
                }
                for level in self.draft.levels
            ],
        }


def profile_file(found: Input, policy: DesensitizePolicy, keys: ScrubKeys) -> Profiled:
    """Profile a sample of the records, and draft a policy.

    Args:
        policy: what the draft starts from.
    """
    is_text = all(member.kind == "text" for member in found.members)
    sample = [] if is_text else sample_rows(_flat_rows(found), keys)
    draft = draft_policy(sample, policy, _levels(found, policy, keys))
    return Profiled(toml=draft.toml, draft=draft)


def _levels(found: Input, policy: DesensitizePolicy, keys: ScrubKeys) -> tuple[LevelProposal, ...]:
    hosts = [text[:MAX_HOST_CHARS] for text in sample_texts(found)][:MAX_HOSTS]
    if not hosts:
        return ()
    lowest = policy.model_copy(update={"levels": dict.fromkeys(EntityType, 1)})
    desensitizer = Desensitizer(lowest, keys)
    injected = list(inject(hosts, keys, policy.canaries))
    spans = []
    for start in range(0, len(injected), _BATCH):
        spans += desensitizer.found([item.text for item in injected[start : start + _BATCH]])
    return propose_levels(injected, spans, policy)


def _flat_rows(found: Input) -> Iterator[dict[str, object]]:
    """Every record as one flat row: path to value; of a list its last member."""
    for chunk in cut(list(found.files), found.members, start=Mark(0, 0, 1), index=0, split=True):
        member = found.members[chunk.start.member]
        if member.kind in ("parquet", "arrow"):
            _, table = tables.read(chunk.body, chunk.start.number)
            records = [record for _, _, record in table]
        else:
            raws = rows.read(member, chunk.start.number, chunk.body)
            records = [raw.record for raw in raws if raw.record is not None]
        for record in records:
            yield {leaf.path: leaf.value for leaf in paths.leaves(record)}


__all__ = ["profile_file", "Profiled"]
