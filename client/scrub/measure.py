"""What is estimated on a sample of an input's own texts: recall by injected canaries, and proxies of over-scrub.

The sample is the beginning of each file, so that measuring reads no file twice and the same input gives the same
figures. Not handled here: what they must show (``policy``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedward.client.scrub import rows, tables
from fedward.client.scrub.chunks import Chunk, Mark, cut
from fedward.client.scrub.fields import leaves
from fedward.client.scrub.inputs import Input
from fedward.common.desensitize import overscrub
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.recall import estimate_recall

MAX_TEXTS = 1000
_MIN_CHARS = 12
"""A shorter value is no prose to put a sentence into."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimates:
    """Rows of the canary table, and proxies by name."""

    canaries: tuple[dict[str, Any], ...] = ()
    over_scrub: dict[str, Any]

    @property
    def missed(self) -> list[str]:
        """Types whose recall misses the policy's target."""
        return [row["type"] for row in self.canaries if not row["passes"]]


def estimate(found: Input, policy: DesensitizePolicy, keys: ScrubKeys, descriptor: KeyDescriptor | None) -> Estimates:
    """Measure a sample."""
    desensitizer = Desensitizer(policy, keys, descriptor=descriptor)
    texts = list(sample_texts(found))
    return Estimates(
        canaries=tuple(estimate_recall(desensitizer, texts, keys, policy.canaries)),
        over_scrub=_over_scrub(desensitizer, texts),
    )


def sample_texts(found: Input, limit: int = MAX_TEXTS) -> Iterator[str]:
    """The first texts of each file, as many of each."""
    share = max(1, limit // len(found.members))
    for record_texts in (_texts(found, index) for index in range(len(found.members))):
        for count, text in enumerate(record_texts):
            if count >= share:
                break
            yield text


def sample_records(found: Input, index: int) -> Iterator[dict[str, Any]]:
    """The readable records of the first chunk of a file."""
    member = found.members[index]
    chunk: Chunk | None = next(
        cut(list(found.files), found.members, start=Mark(index, 0, 1), index=0, split=True), None
    )
    if chunk is None:
        return
    if member.kind in ("parquet", "arrow"):
        _, records = tables.read(chunk.body, chunk.start.number)
        yield from (record for _, _, record in records)
        return
    for raw in rows.read(member, chunk.start.number, chunk.body):
        if raw.record is not None:
            yield raw.record


def _texts(found: Input, index: int) -> Iterator[str]:
    for record in sample_records(found, index):
        for leaf in leaves(record):
            if isinstance(leaf.value, str) and len(leaf.value) >= _MIN_CHARS:
                yield leaf.value


def _over_scrub(desensitizer: Desensitizer, texts: list[str]) -> dict[str, Any]:
    batch = [(text, Context(document_id=f"sample:{number}")) for number, text in enumerate(texts)]
    done = desensitizer.records(batch)
    proxies = overscrub.merged(
        overscrub.over_scrub(result.source, result.text, result.issued) for result in done if result.text is not None
    )

    def types_in(negatives: Any) -> Any:  # noqa: ANN401 - as ``touched`` wants it
        items = [(text, Context(document_id=f"negative:{number}")) for number, text in enumerate(negatives)]
        return [[span.type for span in result.spans] for result in desensitizer.records(items)]

    negatives = overscrub.touched(types_in)
    return {
        "sample_texts": len(texts),
        "terms_unchanged_share": round(proxies.share_terms_unchanged, 6),
        "entities_merged": proxies.num_merged,
        "intervals_wrong": proxies.num_intervals_wrong,
        "hard_negatives": negatives.num,
        "hard_negatives_touched_share": round(negatives.share, 6),
    }


__all__ = ["estimate", "Estimates", "MAX_TEXTS", "sample_records", "sample_texts"]
