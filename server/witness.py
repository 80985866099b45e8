"""The coordinator's part in the witness protocol: heads of ledgers go round beside the messages of a run.

A set of heads is in the coordinator's own ledger before it leaves. Not handled here: what the machine decides
(``common.ledger.coordinator_witness``), and where the ledger lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.coordinator_witness import CoordinatorWitness
from fedward.common.ledger.heads import HeadStatement, stated_head
from fedward.common.ledger.trail import HeadTrail
from fedward.common.messages import codec
from fedward.common.messages.witness import CoordinatorPart, SitePart


@dataclass(kw_only=True, slots=True)
class HeadExchange:
    """A run's.

    Args:
        identity: the coordinator's.
        roster: names the key of every site.
        trail: the coordinator's ledger.
        run_id: 16 bytes.
    """

    identity: Identity = field(repr=False)
    roster: Roster
    trail: HeadTrail
    run_id: bytes
    _machine: CoordinatorWitness = field(init=False, repr=False)
    _last: tuple[CoordinatorPart, bytes] = field(init=False, default=(CoordinatorPart(), b""), repr=False)
    """The last part and its bytes: sites that are in step are told the same, and a set may be long."""

    def __post_init__(self) -> None:
        self._machine = CoordinatorWitness(identity=self.identity, keys=self.roster.members, run_id=self.run_id)

    def hear(self, site_id: str, reply: bytes, position: tuple[int, int]) -> None:
        """Take what came beside a reply that the site has signed.

        Raises:
            ProtocolError: ``BAD_ENCODING``.
        """
        self._machine.hear(site_id, SitePart.from_bytes(codec.witness_of(reply)), position)

    def lost(self, site_id: str) -> None:
        """Nothing came for a request."""
        self._machine.lost(site_id)

    @property
    def is_asked(self) -> bool:
        """Whether a site has started and nobody has answered for it yet."""
        return self._machine.is_asked

    def part_for(self, site_id: str) -> bytes:
        """What goes beside the next request to a site; a new set is made, and durable, first where one is due."""
        if self._machine.is_due:
            self.trail.append(self._machine.make_set(self._own_head()))
        part = self._machine.part_for(site_id)
        if part != self._last[0]:
            self._last = part, part.to_bytes()
        return self._last[1]

    def close(self) -> None:
        """At the run's end: the signatures over its last set are written down."""
        drafts = self._machine.last_drafts()
        if drafts:
            self.trail.append(drafts)

    def _own_head(self) -> HeadStatement:
        head, (round_number, attempt) = self.trail.head, self._machine.position
        return stated_head(
            self.identity,
            COORDINATOR,
            ledger_id=head.ledger_id,
            run_id=self.run_id,
            round_number=round_number,
            attempt=attempt,
            head=head.hash,
        )


__all__ = ["HeadExchange"]
