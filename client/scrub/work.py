"""One chunk from bytes to bytes: the whole of a worker's duty, in this process or in another one's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fedward.client.scrub import rows, tables
from fedward.client.scrub.records import Quarantined, RecordScrubber
from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import Member, Setup
from fedward.common.desensitize.tally import Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What became of a chunk."""

    body: bytes = field(repr=False)
    tally: Tally
    left_out: tuple[Quarantined, ...] = field(repr=False)

    def describe(self) -> dict[str, Any]:
        """All but the body, as plain values."""
        return {"tally": self.tally.to_json(), "left_out": [tuple(item) for item in self.left_out]}

    @classmethod
    def of(cls, body: bytes, described: dict[str, Any]) -> Done:
        """The inverse of ``describe``."""
        return cls(
            body=body,
            tally=Tally.from_json(described["tally"]),
            left_out=tuple(Quarantined(*item) for item in described["left_out"]),
        )


class ChunkWorker:
    """Desensitises chunks.

    Args:
        setup: policy, key, fields, members.
    """

    def __init__(self, setup: Setup) -> None:
        self._members = setup.members
        self._scrubber = RecordScrubber(setup)

    def process(self, member_index: int, number: int, body: bytes) -> Done:
        """Desensitise one chunk.

        Args:
            number: of its first line or row.

        Raises:
            RefusalError: a bad record, unless bad ones are skipped.
        """
        member = self._members[member_index]
        if member.kind in ("parquet", "arrow"):
            return self._table(member, number, body)
        found = list(rows.read(member, number, body))
        items = ((raw.number, raw.place, raw.raw, raw.record, raw.refusal) for raw in found)
        written, tally, left_out = self._scrubber.scrub(member.name, items)
        lines = [
            rows.write(member, raw, record)
            for raw, record in zip(found, written, strict=True)
            if record is not None or (raw.record is None and raw.refusal is None)
        ]
        return Done(body=b"".join(lines), tally=tally, left_out=tuple(left_out))

    def _table(self, member: Member, number: int, body: bytes) -> Done:
        batch, found = tables.read(body, number)
        items = (
            (row, place, repr(record).encode("utf-8", "backslashreplace"), record, None) for row, place, record in found
        )
        written, tally, left_out = self._scrubber.scrub(member.name, items)
        return Done(body=tables.write(batch, written), tally=tally, left_out=tuple(left_out))


def code_of(error: BaseException) -> dict[str, str]:
    """An exception as codes: what may cross to another process."""
    if isinstance(error, RefusalError):
        return {"code": error.code, "place": error.place, "detail": error.detail}
    return {"code": "unforeseen", "place": "", "detail": type(error).__name__}


__all__ = ["ChunkWorker", "code_of", "Done"]
