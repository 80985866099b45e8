"""What a coordinator asks its caller to do, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class Send:
    """Seal this and send it."""

    site_id: str
    body: pb.Confirm | pb.Unmask


@dataclass(frozen=True, slots=True)
class Persist:
    """Make this durable before any later action is carried out."""

    entry: JournalEntry


@dataclass(frozen=True, slots=True)
class Rejected:
    """A site's reply is not used, and why."""

    site_id: str
    code: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A share that is not what its dealer signed; one of the two is at fault. No holder: no set of shares passes."""

    dealer: str
    holder: str
    code: str = "SHARE_INCONSISTENT"


@dataclass(frozen=True, slots=True)
class Prekeyed:
    """A site laid in its bundle for the next target."""

    site_id: str
    dealing: pb.Dealing


@dataclass(frozen=True, slots=True)
class Finished:
    """The sum is open."""

    total: CohortSum


@dataclass(frozen=True, slots=True)
class Voided:
    """The attempt gives nothing."""

    code: str


Action = Send | Persist | Rejected | Fault | Prekeyed | Finished | Voided

__all__ = ["Action", "Fault", "Finished", "Persist", "Prekeyed", "Rejected", "Send", "Voided"]
