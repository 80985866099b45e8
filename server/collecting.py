"""A network whose sites may be slow or lose their connection: asks again for answers, never for work twice.

Stands between the round loop and Flower's Grid in a deployment; a simulation never sees it. To the loop a request is
one message with one answer or one failure. Underneath:

* a signed ``Pending`` means that the site works on it: ``Collect`` follows, which is held like the request was;
* a failure by which nothing is known of the request (a lost node, a crashed or failing relay) means ``Collect`` every
  30 s, while the site is online;
* ``UNKNOWN_REQUEST``, signed, means that the daemon has forgotten: only then the same bytes go again;
* a failure that only an operator can mend is the loop's at once, and so is the end of the request's time.

A site or relay that answers with nothing but ``Pending`` or ``UNKNOWN_REQUEST`` is asked no faster than it may be.
Not handled here: what survives the coordinator's own end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.server.grid import Clock, Delivery, Grid, GridError, Post

RETRY_S = 30.0
"""Between two questions after a site whose message was lost."""
PENDING_GAP_S = 1.0
"""Fewest seconds between two questions to a site that says that it works: an honest one holds each for minutes."""
UNKNOWN = frozenset(
    {
        GridError.UNKNOWN,
        GridError.MESSAGE_UNAVAILABLE,
        GridError.REPLY_UNAVAILABLE,
        GridError.NODE_UNAVAILABLE,
        GridError.CLIENT_APP_CRASHED,
        GridError.RELAY,
    }
)
"""Failures after which the site may have the request, or the answer. The others are an operator's to mend."""


class _Next(Enum):
    """What goes out next."""

    COLLECT = auto()
    REQUEST = auto()


@dataclass(slots=True)
class _Errand:
    """One request of the round loop."""

    post: Post = field(repr=False)
    body_hash: bytes
    position: codec.Position
    ends_s: float
    message_id: str | None
    """Of what is on its way now; None: nothing is, until ``due_s``."""
    sent_s: float
    next: _Next = _Next.COLLECT
    due_s: float = 0.0


class CollectingGrid:
    """A ``Grid`` over another one.

    Args:
        grid: Flower's, or one that behaves like it.
        identity: the coordinator's; signs each ``Collect``.
        roster: names the key of every site.
        clock: time.
    """

    def __init__(self, grid: Grid, *, identity: Identity, roster: Roster, clock: Clock) -> None:
        self._grid = grid
        self._identity = identity
        self._roster = roster
        self._clock = clock
        self._errands: dict[str, _Errand] = {}
        """By the id that the round loop knows."""

    def sites(self) -> frozenset[str]:
        """See ``Grid.sites``."""
        return self._grid.sites()

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        """See ``Grid.push``. The id of the first sending stays the request's."""
        self._forget_late()
        message_ids, now_s = self._grid.push(posts), self._clock.now_s()
        places: dict[int, tuple[bytes, codec.Position]] = {}  # one request often goes to many sites
        for post, message_id in zip(posts, message_ids, strict=True):
            if message_id is not None:
                if id(post.payload) not in places:
                    places[id(post.payload)] = (codec.body_hash(post.payload), codec.claimed_position(post.payload))
                body_hash, position = places[id(post.payload)]
                self._errands[message_id] = _Errand(
                    post=post,
                    body_hash=body_hash,
                    position=position,
                    ends_s=now_s + post.ttl_s,
                    message_id=message_id,
                    sent_s=now_s,
                )
        return message_ids

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        """See ``Grid.pull``."""
        self._forget_late()
        wanted = {name: self._errands[name] for name in message_ids if name in self._errands}
        self._send_due(wanted)
        names = {errand.message_id: name for name, errand in wanted.items() if errand.message_id is not None}
        arrived = self._grid.pull(tuple(names)) if names else ()
        answers = [self._taken(names[item.message_id], item) for item in arrived if item.message_id in names]
        return tuple(answer for answer in answers if answer is not None)

    # ------------------------------------------------------------------------------------------------ parts

    def _taken(self, name: str, delivery: Delivery) -> Delivery | None:
        """What came for a request, if the round loop is to see it."""
        errand, now_s = self._errands[name], self._clock.now_s()
        errand.message_id = None
        if delivery.error is not None and delivery.error in UNKNOWN:
            errand.next, errand.due_s = _Next.COLLECT, now_s + RETRY_S
            return None
        if delivery.error is None:
            said = self._said(errand, delivery.payload)
            if isinstance(said, pb.Pending):
                errand.next, errand.due_s = _Next.COLLECT, errand.sent_s + PENDING_GAP_S
                return None
            if isinstance(said, pb.Refusal) and said.code == "UNKNOWN_REQUEST":
                # Twice in a row without work in between is no restart: slower then.
                again = errand.next is _Next.REQUEST
                errand.next, errand.due_s = _Next.REQUEST, now_s + (RETRY_S if again else 0.0)
                return None
        del self._errands[name]
        return Delivery(message_id=name, payload=delivery.payload, error=delivery.error)

    def _said(self, errand: _Errand, payload: bytes) -> pb.Pending | pb.Refusal | None:
        """A ``Pending`` or a refusal of this very request that the site signed; None: whatever else."""
        site = errand.post.site_id
        try:
            if codec.peek_type(payload) not in {pb.PENDING, pb.REFUSAL}:
                return None  # a vector is verified once, by the round loop
            opened = codec.open_message(payload, None, sender=site, public_key=self._roster.members[site])
        except (ProtocolError, KeyError):
            return None  # the round loop says what is wrong with it
        body = opened.body
        if not isinstance(body, pb.Pending | pb.Refusal) or opened.position != errand.position:
            return None
        return body if body.request_hash == errand.body_hash else None

    def _send_due(self, errands: Mapping[str, _Errand]) -> None:
        now_s = self._clock.now_s()
        due = [errand for errand in errands.values() if errand.message_id is None and now_s >= errand.due_s]
        online = self._grid.sites() if due else frozenset[str]()
        for errand in due:
            if errand.post.site_id not in online:
                continue
            payload = errand.post.payload if errand.next is _Next.REQUEST else self._collect(errand)
            post = Post(site_id=errand.post.site_id, payload=payload, ttl_s=errand.ends_s - now_s)
            (errand.message_id,) = self._grid.push([post])
            errand.sent_s, errand.due_s = now_s, now_s + RETRY_S

    def _collect(self, errand: _Errand) -> bytes:
        header = errand.position.header(COORDINATOR)
        return codec.seal(self._identity, pb.Collect(header=header, request_hash=errand.body_hash))

    def _forget_late(self) -> None:
        """The round loop has given these up; so do we, with their bytes."""
        now_s = self._clock.now_s()
        for name in [name for name, errand in self._errands.items() if now_s >= errand.ends_s]:
            del self._errands[name]


__all__ = ["CollectingGrid", "PENDING_GAP_S", "RETRY_S", "UNKNOWN"]
