"""What a site says in its log of the messages it handles: positions, codes, classes; nothing that depends on data."""

from __future__ import annotations

from collections.abc import Sequence

from fedward.common.errors import ProtocolError
from fedward.common.logs.logger import log
from fedward.common.messages import codec
from fedward.common.secagg.journal import EntryKind, JournalEntry

_SAID = {
    EntryKind.PREKEY: "round.prekeyed",
    EntryKind.ACCEPTED: "round.accepted",
    EntryKind.SENT: "round.sent",
    EntryKind.CONFIRMED: "round.confirmed",
    EntryKind.RELEASED: "round.released",
}
"""What of the journal is said; the rest is the coordinator's, or once a run."""


def written_down(entries: Sequence[JournalEntry]) -> None:
    """Steps of masked rounds that are durable now."""
    for entry in entries:
        if entry.kind in _SAID:
            log.event(_SAID[entry.kind], run=entry.run_id, round=entry.round_number, attempt=entry.attempt)


def refused(position: codec.Position, error: ProtocolError) -> None:
    """A signed refusal goes out."""
    log.event(
        "request.refused",
        run=position.run_id,
        round=position.round_number,
        attempt=position.attempt,
        code=error.code,
        rule=error.rule.partition(",")[0] or None,  # the first, where the steward has all of them disclosed
    )


def abstains(position: codec.Position, error: Exception) -> None:
    """The site cannot do its part. The class alone: the text of a foreign exception may quote a record."""
    place = {"run": position.run_id, "round": position.round_number, "attempt": position.attempt}
    log.failure("site.abstained", error, **place)


__all__ = ["abstains", "refused", "written_down"]
