"""A participant's state: frozen values, each step makes a new one.

Secrets are in memory only and go as soon as nothing can ask for them: a new state does not hold what the old one held.
Python cannot promise that no copy of the bytes is left behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from fedward.common.secagg.bundles import Bundle, Holders, OwnBundle
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.keys import SharePair
from fedward.common.secagg.terms import RoundPosition
from fedward.common.secagg.transcript import CohortFacts

MAX_ARMED = 4
"""Bundles that are kept for positions to come; a coordinator that asks for more loses the earliest."""

MAX_ANSWERS = 16
"""Replies that are kept for the same requests, the newest: an attempt has a handful, and whoever asks for the same in
ever new words must not fill the memory."""


class Phase(StrEnum):
    """Where a site stands in the attempt it is in."""

    IDLE = "idle"
    ARMED = "armed"
    TRAINING = "training"
    READY = "ready"
    """Trained, and waiting for a late cohort."""
    SENT = "sent"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    VOID = "void"


@dataclass(frozen=True, kw_only=True, slots=True)
class NextBundle:
    """What the bundle in the attempt's last reply is for."""

    position: RoundPosition
    holders: Holders


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """What can still be asked of a site about one attempt."""

    own: OwnBundle = field(repr=False)
    plus: tuple[bytes, ...] = field(repr=False, default=())
    """Keys of the masks that are added; empty once the vector is made."""
    minus: tuple[bytes, ...] = field(repr=False, default=())
    shares: Mapping[str, SharePair] = field(repr=False, default_factory=dict)
    """By dealer, those that opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagement:
    """The attempt that a site is in."""

    request: tuple[str, bytes]
    """Type and body hash of what it began with."""
    facts: CohortFacts
    digest: bytes
    bundles: Mapping[str, Bundle]
    threshold: int
    complaints: tuple[str, ...]
    next: NextBundle | None
    secrets: Secrets | None = field(repr=False)
    vector_hash: bytes = b""
    survivors_hash: bytes = b""

    @property
    def position(self) -> RoundPosition:
        """Round and attempt."""
        return self.facts.round_number, self.facts.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A site that trains before it is told its cohort."""

    request: tuple[str, bytes]
    facts: CohortFacts
    """With neither cohort nor ring."""
    bundle: NextBundle


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """All that a participant remembers of a run."""

    phase: Phase = Phase.IDLE
    last: RoundPosition = (0, -1)
    """The last position at which a cohort was accepted."""
    prekeyed: frozenset[RoundPosition] = frozenset()
    """Positions after it that a bundle was made for, in this process or before."""
    armed: Mapping[RoundPosition, OwnBundle] = field(default_factory=dict, repr=False)
    transport_keys: Mapping[str, bytes] = field(default_factory=dict)
    """Of other sites, pinned when first seen."""
    engagement: Engagement | None = None
    pending: Pending | None = None
    answers: Mapping[tuple[str, bytes], bytes] = field(default_factory=dict, repr=False)
    """Type and body hash of a request to the reply it got: bodies of two types may be the same bytes."""
    graph_list: bytes = b""
    """Hash of the list of commitments for which the contribution to the mask graph was shown; empty: it was not."""
    graph: MaskGraph | None = None
    """Of the run, once agreed on; a sparse one. Forgotten with the process, for it is told with every ``Prekey``."""

    def arm(self, own: OwnBundle) -> State:
        """With one more bundle laid in."""
        armed = {**self.armed, own.position: own}
        kept = sorted(armed)[-MAX_ARMED:]
        return replace(
            self, prekeyed=self.prekeyed | {own.position}, armed={position: armed[position] for position in kept}
        )

    def answered(self, request: tuple[str, bytes], reply: bytes) -> State:
        """With the reply kept for the same request."""
        answers = {**self.answers, request: reply}
        return replace(self, answers=dict(list(answers.items())[-MAX_ANSWERS:]))

    def engage(self, engagement: Engagement) -> State:
        """In a new attempt: everything of earlier ones is gone."""
        return replace(self._at(engagement.position), engagement=engagement)

    def begin_late(self, pending: Pending) -> State:
        """In a new attempt whose cohort is told later."""
        return replace(self._at(pending.bundle.position), pending=pending)

    def _at(self, position: RoundPosition) -> State:
        return replace(
            self,
            phase=Phase.TRAINING,
            last=position,
            prekeyed=frozenset(at for at in self.prekeyed if at > position),
            armed={at: own for at, own in self.armed.items() if at > position},
            engagement=None,
            pending=None,
            answers={},
        )

    def without_secrets(self, phase: Phase) -> State:
        """The attempt goes on or ends without anything that could open it."""
        engagement = self.engagement and replace(self.engagement, secrets=None)
        return replace(self, phase=phase, engagement=engagement, pending=None)

    def abandoned(self) -> State:
        """The site does not send what the cohort waits for: the training failed, for example."""
        return self.without_secrets(Phase.VOID)

    def closed(self) -> State:
        """Nothing can be asked any more: time is out, or the run is over. Positions stay used."""
        return replace(self.without_secrets(Phase.VOID), armed={}, answers={})


def restored(entries: Iterable[JournalEntry]) -> State:
    """The state after a restart: the positions that were used, and none of the secrets."""
    written = list(entries)
    used = [(entry.round_number, entry.attempt) for entry in written if entry.kind is EntryKind.ACCEPTED]
    last = max(used, default=(0, -1))
    made = {(entry.round_number, entry.attempt) for entry in written if entry.kind is EntryKind.PREKEY}
    shown = next((entry.digest for entry in written if entry.kind is EntryKind.GRAPH), b"")
    return State(last=last, prekeyed=frozenset(at for at in made if at > last), graph_list=shown)


__all__ = ["Engagement", "MAX_ANSWERS", "MAX_ARMED", "NextBundle", "Pending", "Phase", "restored", "Secrets", "State"]
