"""Requests out, answers in: sealing, transport, deadlines, and what of an answer can be believed.

Nothing is decided here; an answer is a body that its site signed, or the code of what came in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.server.grid import Clock, Delivery, Grid, Post
from fedward.server.witness import HeadExchange

_POLL_S = 0.25
TRANSPORT = "TRANSPORT"
LATE = "LATE"

Reply = TypeVar("Reply", bound=codec.Body)


@dataclass(frozen=True, slots=True)
class Request:
    """What is remembered of a request: not its bytes, for there may be many of them."""

    tag: str
    """What the sender knows it by."""
    hashes: tuple[bytes, bytes]
    """How a refusal may name it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one request."""

    site_id: str
    request: Request
    payload: bytes = field(repr=False)
    failure: str
    """Why nothing came; empty: something did."""


@dataclass(slots=True)
class Traffic:
    """Bytes by site, and the trips in which all of them went."""

    to_site: Counter[str] = field(default_factory=Counter)
    from_site: Counter[str] = field(default_factory=Counter)
    trips: int = 0

    @property
    def most_to_site(self) -> int:
        """Of the site that was sent the most."""
        return max(self.to_site.values(), default=0)

    @property
    def most_from_site(self) -> int:
        """Of the site that sent the most."""
        return max(self.from_site.values(), default=0)


@dataclass(kw_only=True, slots=True)
class Exchange:
    """The coordinator's post office.

    Args:
        identity: signs every request.
        roster: names the key of every site.
        grid: the network.
        clock: time.
        witness: what is exchanged of ledgers beside the messages; None: nothing.
    """

    identity: Identity
    roster: Roster
    grid: Grid
    clock: Clock
    witness: HeadExchange | None = None
    traffic: Traffic = field(default_factory=Traffic)
    _waiting: dict[str, tuple[str, Request, float]] = field(init=False, default_factory=dict, repr=False)
    """Message id to site, request and deadline."""
    _lost: list[Answer] = field(init=False, default_factory=list, repr=False)

    def new_round(self) -> None:
        """Count anew, and wait no longer for what was sent before."""
        self.traffic = Traffic()
        self.forget()

    def forget(self) -> None:
        """Wait no longer for anything."""
        self._waiting.clear()
        self._lost.clear()

    # ------------------------------------------------------------------------------------------------ sending

    def seal(self, body: codec.Body, *, vector: bytes = b"") -> bytes:
        """A request, signed."""
        return codec.seal(self.identity, body, vector=vector)

    def send(self, sites: Iterable[str], raw: bytes, *, timeout_s: float, tag: str = "") -> None:
        """Send a request to each of the sites; ``poll`` gives the answers."""
        posts, requests = self._posts(sites, raw, timeout_s, tag)
        deadline_s = self.clock.now_s() + timeout_s
        for post, request, message_id in zip(posts, requests, self.grid.push(posts), strict=True):
            self.traffic.to_site[post.site_id] += len(post.payload)
            if message_id is None:
                self._lost.append(Answer(post.site_id, request, b"", f"{TRANSPORT}:refused"))
            else:
                self._waiting[message_id] = (post.site_id, request, deadline_s)

    def _posts(self, sites: Iterable[str], raw: bytes, timeout_s: float, tag: str) -> tuple[list[Post], list[Request]]:
        """What goes to each; sites that are told the same beside it share one frame: it may hold a large vector."""
        frames: dict[bytes, tuple[bytes, Request]] = {}
        posts, requests = [], []
        for site in sites:
            part = b"" if self.witness is None else self.witness.part_for(site)
            if part not in frames:
                frame = codec.beside(raw, part) if part else raw
                frames[part] = frame, Request(tag, codec.hashes_of(frame))
            frame, request = frames[part]
            posts.append(Post(site_id=site, payload=frame, ttl_s=timeout_s))
            requests.append(request)
        return posts, requests

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come, or a failure to be told."""
        return bool(self._waiting or self._lost)

    @property
    def waiting_for(self) -> frozenset[str]:
        """Sites whose answer to something is still to come."""
        return frozenset(site for site, _, _ in self._waiting.values())

    def poll(self) -> list[Answer]:
        """What has come since the last call; who is out of time is ``LATE``. Lets time pass if there is nothing."""
        answers, self._lost = self._lost, []
        now_s = self.clock.now_s()
        for message_id, (site, request, deadline_s) in list(self._waiting.items()):
            if now_s >= deadline_s:
                del self._waiting[message_id]
                answers.append(Answer(site, request, b"", LATE))
        deliveries = self.grid.pull(tuple(self._waiting)) if self._waiting else ()
        for delivery in deliveries:
            if delivery.message_id in self._waiting:
                site, request, _ = self._waiting.pop(delivery.message_id)
                self.traffic.from_site[site] += len(delivery.payload)
                answers.append(Answer(site, request, delivery.payload, _transport_failure(delivery)))
        if not answers and not deliveries and self._waiting:
            self.clock.wait_s(_POLL_S)
        return answers

    def ask(self, sites: Iterable[str], raw: bytes, timeout_s: float) -> Iterator[Answer]:
        """Send one request to many sites; an answer for each, as they come, the missing ones last."""
        self.traffic.trips += 1
        self.send(sites, raw, timeout_s=timeout_s)
        while self.is_waiting:
            yield from self.poll()

    # ------------------------------------------------------------------------------------------------ opening

    def opened(
        self, answer: Answer, kind: type[Reply], position: codec.Position
    ) -> tuple[codec.Opened[Reply] | None, str]:
        """The reply, or the code of what came in its place."""
        if answer.failure:
            self._miss(answer.site_id)
            return None, answer.failure
        key = self.roster.members[answer.site_id]
        try:
            if codec.peek_type(answer.payload) == pb.REFUSAL:
                refusal = codec.open_message(answer.payload, pb.Refusal, sender=answer.site_id, public_key=key)
                if refusal.body.request_hash not in answer.request.hashes:
                    return None, "REPLAY_CONFLICT"  # an old refusal, played again
                self._hear(answer, refusal.position)
                return None, printable("/".join(filter(None, (refusal.body.code, refusal.body.rule)))) or "REFUSED"
            opened = codec.open_message(answer.payload, kind, sender=answer.site_id, public_key=key)
            if opened.position != position:
                return None, "REPLAY_CONFLICT"
            self._hear(answer, position)
        except ProtocolError as error:
            return None, error.code
        return opened, ""

    def _hear(self, answer: Answer, position: codec.Position) -> None:
        if self.witness is not None:
            self.witness.hear(answer.site_id, answer.payload, (position.round_number, position.attempt))

    def _miss(self, site_id: str) -> None:
        if self.witness is not None:
            self.witness.lost(site_id)


def _transport_failure(delivery: Delivery) -> str:
    return "" if delivery.error is None else f"{TRANSPORT}:{delivery.error.name.lower()}"


def printable(code: str) -> str:
    """A stranger's text, cut to what may stand in a log line; maybe nothing."""
    return "".join(c for c in code if c.isascii() and (c.isalnum() or c in "_/:-"))[:80]


__all__ = ["Answer", "Exchange", "LATE", "printable", "Reply", "Request", "TRANSPORT", "Traffic"]
