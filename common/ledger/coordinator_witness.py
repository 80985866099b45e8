"""Heads that witnesses hold: the coordinator's side, as a machine without clock, disk or network.

It keeps the newest statement of each site, makes a numbered set of them whenever something new has come since the last
one, and gives that set, the signatures over the one before, and the questions and answers of sites that have started,
beside the requests that are due anyway. What a site says wrongly counts for nothing here: the site itself, or its
witnesses, will miss it. Not handled here: the coordinator's own chain, transport.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedward.common.identity import Identity, verify
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.head_entries import Confirmed, confirmed_drafts, recorded_drafts
from fedward.common.ledger.heads import Answer, HeadSet, HeadStatement, Question, signed_set
from fedward.common.messages.witness import MAX_QUESTIONS, Confirmation, CoordinatorPart, SitePart

MAX_ASKED = 8
"""Peers that are asked of one site: a site wants the answers of a few, and does not say of how many."""


@dataclass(slots=True)
class _Asking:
    """A site that has started and waits for answers."""

    nonce: bytes
    asked: set[str] = field(default_factory=set)
    answers: dict[str, Answer] = field(default_factory=dict)

    def wants(self, peer: str) -> bool:
        """Whether the next request to ``peer`` shall carry the question."""
        if peer in self.answers:
            return False
        return peer in self.asked or len(self.asked | self.answers.keys()) < MAX_ASKED


@dataclass(slots=True)
class CoordinatorWitness:
    """A run's.

    Args:
        identity: the coordinator's.
        keys: site to public key, by the roster.
        run_id: 16 bytes.
    """

    identity: Identity = field(repr=False)
    keys: Mapping[str, bytes] = field(repr=False)
    run_id: bytes
    _newest: dict[str, HeadStatement] = field(default_factory=dict, repr=False)
    _past: dict[str, set[bytes]] = field(default_factory=dict, repr=False)
    """By site: heads that a later one has replaced."""
    _is_new: bool = False
    _set: HeadSet | None = field(default=None, repr=False)
    _signatures: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Over the present set."""
    _confirmations: tuple[Confirmation, ...] = field(default=(), repr=False)
    """Over the one before; fixed when the present one was made, so that all sites are told the same."""
    _confirmed_number: int = 0
    _asking: dict[str, _Asking] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------------------------------------ hearing

    def hear(self, site_id: str, part: SitePart, position: tuple[int, int]) -> None:
        """Take what a site said beside a reply.

        Args:
            site_id: who, by its signature under the reply.
            part: all of it.
            position: round and attempt of the reply.
        """
        key = self.keys[site_id]
        head = part.head
        if head is not None and self._is_acceptable(site_id, key, head, position):
            before = self._newest.get(site_id)
            if before is not None and before.head != head.head:
                self._past.setdefault(site_id, set()).add(before.head)
            self._newest[site_id], self._is_new = head, True
        self._hear_confirmation(site_id, key, part)
        self._hear_answers(site_id, key, part.answers)
        self._hear_nonce(site_id, part.nonce)

    def _is_acceptable(self, site_id: str, key: bytes, head: HeadStatement, position: tuple[int, int]) -> bool:
        """A site that goes back would make all others refuse the set, and the coordinator look like a liar."""
        is_here = (head.site_id, head.run_id, head.position) == (site_id, self.run_id, position)
        before = self._newest.get(site_id)
        if before is not None:
            goes_on = head.ledger_id == before.ledger_id and head.position >= before.position
            is_new = head != before and head.head not in self._past.get(site_id, ())
            is_here = is_here and goes_on and is_new
        return is_here and head.is_signed_by(key)

    def _hear_confirmation(self, site_id: str, key: bytes, part: SitePart) -> None:
        """Of the present set alone: a signature over an older one comes too late to go round."""
        if self._set is None or part.confirmed_number != self._set.number:
            return
        if verify(key, part.confirmation, "ledger", "heads", self._set.digest):
            self._signatures[site_id] = part.confirmation

    def _hear_answers(self, site_id: str, key: bytes, answers: Iterable[Answer]) -> None:
        for answer in answers:
            asking = self._asking.get(answer.subject)
            if asking is None or (answer.witness, answer.nonce) != (site_id, asking.nonce):
                continue
            if answer.is_signed_by(key):
                asking.answers[site_id] = answer
        self.lost(site_id)

    def _hear_nonce(self, site_id: str, nonce: bytes) -> None:
        """A site says its nonce until it has answers enough."""
        known = self._asking.get(site_id)
        if not nonce:
            self._asking.pop(site_id, None)
        elif known is None or known.nonce != nonce:
            self._asking[site_id] = _Asking(nonce=nonce)

    def lost(self, site_id: str) -> None:
        """A site has answered without what it was asked, or not at all: another may be asked in its place."""
        for asking in self._asking.values():
            asking.asked.discard(site_id)

    # ------------------------------------------------------------------------------------------------ speaking

    @property
    def is_due(self) -> bool:
        """Whether a set is to be made before the next request: something new has been stated."""
        return self._is_new

    @property
    def is_asked(self) -> bool:
        """Whether a site waits for answers that nobody has given yet."""
        return any(not asking.answers for asking in self._asking.values())

    @property
    def position(self) -> tuple[int, int]:
        """The latest that a site has stated its head at: where the coordinator states its own."""
        return max((one.position for one in self._newest.values()), default=(0, 0))

    def make_set(self, own: HeadStatement) -> tuple[Draft, ...]:
        """Close the statements that have come; what is to be appended before the set leaves.

        Args:
            own: the coordinator's head of now.
        """
        drafts, number = self.last_drafts(), 0 if self._set is None else self._set.number
        self._confirmations = tuple(Confirmation(site_id=name, signature=found) for name, found in self._pairs)
        self._confirmed_number = number if self._confirmations else 0
        self._set = signed_set(self.identity, self.run_id, number + 1, [*self._newest.values(), own])
        self._signatures, self._is_new = {}, False
        return (*drafts, *recorded_drafts(self._set))

    @property
    def _pairs(self) -> list[tuple[str, bytes]]:
        """Signatures over the present set, in bytewise order of their sites."""
        return sorted(self._signatures.items(), key=lambda pair: pair[0].encode())

    def last_drafts(self) -> tuple[Draft, ...]:
        """The signatures over the present set; at the run's end no request carries them any more."""
        if self._set is None:
            return ()
        heads, pairs = self._set, tuple(self._pairs)
        return confirmed_drafts(
            Confirmed(run_id=self.run_id, number=heads.number, headset=heads.digest, signatures=pairs)
        )

    def part_for(self, site_id: str) -> CoordinatorPart:
        """What goes beside the next request to a site; the same for all that are in step."""
        own = self._asking.get(site_id)
        answers = () if own is None else tuple(own.answers.values())[:MAX_QUESTIONS]
        return CoordinatorPart(
            heads=self._set,
            confirmations=self._confirmations,
            confirmations_number=self._confirmed_number,
            questions=self._questions_for(site_id),
            answers=answers,
        )

    def _questions_for(self, site_id: str) -> tuple[Question, ...]:
        """Those that ``site_id`` is to answer; begun behind its own place, so that they are spread over all."""
        subjects = sorted(self._asking, key=str.encode)
        behind = [name for name in subjects if name.encode() > site_id.encode()]
        turned = [*behind, *(name for name in subjects if name.encode() < site_id.encode())]
        chosen = [name for name in turned if self._asking[name].wants(site_id)][:MAX_QUESTIONS]
        for name in chosen:
            self._asking[name].asked.add(site_id)
        return tuple(Question(subject=name, nonce=self._asking[name].nonce) for name in chosen)


__all__ = ["CoordinatorWitness", "MAX_ASKED"]
