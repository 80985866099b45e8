"""A cohort in memory: real participants and a real coordinator of one run, message by message.

The machines are values, so an attack or a test may go on from any state as often as it likes. All that looks random is
derived from names, so a run can be repeated; nothing here is fit for anything but trying the protocol out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedward.common.config import COORDINATOR
from fedward.common.errors import RunError
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import graph_seed, graph_views, plain, ring
from fedward.common.secagg.coordinator import Deadlines, RoundCoordinator
from fedward.common.secagg.floors import MAX_SITES, Floors
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_seed import Commitment
from fedward.common.secagg.journal import JournalEntry, MemoryJournal
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.participant import Check, Participant, Step
from fedward.common.secagg.prekeys import PrekeyShelf, TransportKey, target_for
from fedward.common.secagg.state import Engagement, State
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.terms import RingTerms, RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts

SECRET = bytes(range(32))
RUN_ID = b"\x11" * 16
LAYOUT, MODEL = b"\x77" * 32, b"\x55" * 32
PROFILES = (Profile.STRICT, Profile.RESILIENT, Profile.RESILIENT_MALICIOUS)
FIRST: RoundPosition = (1, 0)
DEADLINES = Deadlines(train_s=100.0, reply_s=10.0)
T = TypeVar("T")


def unchecked(_: CohortFacts) -> None:
    """A site that finds nothing wrong with model and budget."""


def expected(kind: type[T], value: object) -> T:
    """``value``, which must be of this kind for the play to make sense."""
    if not isinstance(value, kind):
        raise RunError(f"the play is off: expected {kind.__name__}, got {type(value).__name__}")
    return value


def site_names(count: int) -> tuple[str, ...]:
    """In an order that is not the bytewise one, and of different lengths."""
    return tuple(sorted((f"{'site' if i % 2 else 'S'}-{i}" for i in range(count)), key=lambda name: name[::-1]))


def stream_of(name: str) -> Callable[[int], bytes]:
    """Bytes that are the same in every run of the tests, and never twice the same."""
    calls = iter(range(1 << 30))
    return lambda count: hashlib.shake_256(f"{name} {next(calls)}".encode()).digest(count)


def update_of(site_id: str, size: int) -> NDArray[np.float32]:
    """(size,) in [−1, 1): what a site has to say."""
    words = np.frombuffer(hashlib.shake_256(site_id.encode()).digest(4 * size), "<u4")
    return ((words >> np.uint32(8)).astype(np.float64) * 2.0**-23 - 1).astype(np.float32)


def dither_of(site_id: str) -> bytes:
    """32 bytes."""
    return hashlib.sha256(b"dither " + site_id.encode()).digest()


@dataclass
class Site:
    """A participant with its state and journal."""

    participant: Participant
    state: State = field(default_factory=State)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    written: list[JournalEntry] = field(default_factory=list)
    """All that was made durable, in order."""

    def take(self, step: Step) -> bytes | None:
        """Keep what came of a step, durable first."""
        self.journal.append(step.entries)
        self.written += step.entries
        self.state = step.state
        return step.reply


@dataclass
class Cohort:
    """All sites of a run, and what a coordinator knows."""

    profile: Profile
    count: int
    size: int = 5
    num_rounds: int = 5
    max_attempts: int = 2
    floors: Floors | None = None
    named: tuple[str, ...] = ()
    late_cohort: bool = False
    required: int = 0
    first_round: int = 1
    is_sparse: bool | None = None
    """Whether the run has a sparse mask graph; None: if it has more sites than share with everybody."""
    check: Check = unchecked
    """Asked by every site before it accepts a cohort."""
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    """Whatever a site sent, in order."""

    @cached_property
    def chief(self) -> Identity:
        """The coordinator's."""
        return Identity.simulated(SECRET, COORDINATOR)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the sites."""
        return self.named or site_names(self.count)

    def identity(self, name: str) -> Identity:
        """Of a party."""
        return Identity.simulated(SECRET, name)

    @cached_property
    def terms(self) -> Terms:
        """Of the run, the same for all."""
        members = {name: self.identity(name).public_key for name in self.names}

        def ring_of(_: int, num_sites: int) -> RingTerms:
            clamp = ring.default_clamp_log2(num_sites)
            return RingTerms(layout_digest=LAYOUT, num_coordinates=self.size, scale_log2=clamp, clamp_log2=clamp)

        return Terms(
            run_id=RUN_ID,
            roster=Roster(coordinator_key=self.chief.public_key, members=members),
            plan_digest=b"\x44" * 32,
            num_rounds=self.num_rounds,
            max_attempts=self.max_attempts,
            floors=self.floors or Floors(profile=self.profile),
            ring=ring_of,
            late_cohort=self.late_cohort,
            required_survivors=lambda _: self.required,
            first_round=self.first_round,
            is_sparse=self.count > MAX_SITES if self.is_sparse is None else self.is_sparse,
        )

    @cached_property
    def sites(self) -> dict[str, Site]:
        """By id."""
        return {
            name: Site(
                Participant(
                    site_id=name,
                    identity=self.identity(name),
                    terms=self.terms,
                    transport=AgreementKey.generate(stream_of(f"transport {name}")),
                    random_bytes=stream_of(f"secrets {name}"),
                )
            )
            for name in self.names
        }

    @cached_property
    def transport_keys(self) -> dict[str, TransportKey]:
        """As the sites' ``PlanAccept`` states them."""
        return {name: TransportKey(*site.participant.accept_fields()) for name, site in self.sites.items()}

    # ------------------------------------------------------------------------------------------------ mask graph

    @cached_property
    def members(self) -> dict[str, Commitment]:
        """What the sites commit to, as their ``PlanAccept`` states it."""
        return {name: Commitment(*site.participant.graph_fields()) for name, site in self.sites.items()}

    def graph_request(self) -> pb.Graph:
        """For the sites' parts in the mask graph."""
        members = [
            pb.GraphMember(site_id=name, commitment=self.members[name].value, signature=self.members[name].signature)
            for name in in_order(self.members)
        ]
        return pb.Graph(header=self.header((0, 0)), members=members)

    @cached_property
    def shown(self) -> dict[str, bytes]:
        """What the sites contribute, by an extra trip."""
        request = self.graph_request()
        replies = {name: self.opened(name, self.ask(name, request)).body for name in in_order(self.members)}
        return {name: expected(pb.GraphReply, body).shown for name, body in replies.items()}

    @cached_property
    def graph(self) -> MaskGraph | None:
        """Of the run, if it is sparse."""
        if not self.terms.is_sparse:
            return None
        return graph_seed.graph_of(self.terms, self.shown, num_committed=len(self.members))

    def reveals(self) -> list[pb.GraphReveal]:
        """As they go with a request for bundles."""
        if self.graph is None:
            return []
        commitments = {name: stated.value for name, stated in self.members.items()}
        return list(graph_seed.reveals_of(self.shown, commitments))

    # ------------------------------------------------------------------------------------------------ messages

    def header(self, at: RoundPosition = FIRST) -> pb.Header:
        """Of the coordinator's messages."""
        return self.terms.position(at).header(COORDINATOR)

    def sealed(self, body: codec.Body, *, vector: bytes = b"") -> bytes:
        """By the coordinator."""
        return codec.seal(self.chief, body, vector=vector)

    def opened(self, name: str, reply: bytes) -> codec.Opened[codec.Body]:
        """What a site says."""
        return codec.open_message(reply, None, sender=name, public_key=self.identity(name).public_key)

    def target(self, at: RoundPosition = FIRST, names: Iterable[str] = ()) -> pb.Target:
        """For bundles of these sites, or of all."""
        return target_for(at, {name: self.transport_keys[name] for name in names or self.names}, self.graph)

    def prekey(self, at: RoundPosition = FIRST, names: Iterable[str] = (), *, to: str = "") -> pb.Prekey:
        """The extra trip for bundles; on a sparse graph the request is each site's own."""
        target = self.target(at, names)
        if self.graph is not None and to:
            target = graph_views.target_for(self.graph, target, to)
        return pb.Prekey(header=self.header(at), target=target, reveals=self.reveals())

    def train(self, at: RoundPosition = FIRST, num_cohort: int = 0) -> pb.Train:
        """As the plan prescribes it, without the cohort's keys."""
        own = self.terms.ring(at[0], num_cohort or self.count)
        return pb.Train(
            header=self.header(at),
            model_digest=MODEL,
            layout_digest=own.layout_digest,
            num_coordinates=own.num_coordinates,
            scale_log2=own.scale_log2,
            clamp_log2=own.clamp_log2,
            vector_hash=codec.vector_hash(b""),
        )

    # ------------------------------------------------------------------------------------------------ trips

    def shelf(self, at: RoundPosition = FIRST, names: Iterable[str] = ()) -> PrekeyShelf:
        """Bundles of the sites, by an extra trip."""
        request = self.prekey(at, names)
        shelf = PrekeyShelf(terms=self.terms, target=request.target, graph=self.graph)
        for holder in request.target.holders:
            own = request if self.graph is None else self.prekey(at, names, to=holder.site_id)
            reply = self.ask(holder.site_id, own)
            body = expected(pb.PrekeyReply, self.opened(holder.site_id, reply).body)
            shelf.put(holder.site_id, body.dealing)
        return shelf

    def ask(self, name: str, body: codec.Body) -> bytes:
        """A site's answer to a request that it answers at once."""
        return expected(bytes, self.tell(name, self.sealed(body)))

    def tell(self, name: str, raw: bytes) -> bytes | None:
        """Hand a site what travelled; None where it has to train first."""
        site = self.sites[name]
        return self._noted(name, site.take(site.participant.receive(site.state, raw, check=self.check)))

    def _noted(self, name: str, reply: bytes | None) -> bytes | None:
        if reply is not None:
            self.heard.append((name, reply))
        return reply

    def coordinator(
        self,
        shelf: PrekeyShelf,
        cohort: Iterable[str] = (),
        upcoming: pb.Target | None = None,
        total: ring.RingVector | None = None,
    ) -> RoundCoordinator:
        """Of one attempt, with the bundles of a shelf."""
        names = tuple(cohort) or shelf.ready
        return RoundCoordinator(
            terms=self.terms,
            train=self.train(shelf.position, len(names)),
            shelf=shelf,
            cohort=names,
            total=np.empty(self.size, "<u4") if total is None else total,
            deadlines=DEADLINES,
            now_s=0.0,
            upcoming=upcoming,
        )

    def accept(self, name: str, body: pb.Train) -> None:
        """A site accepts a cohort and begins to train."""
        expected(type(None), self.tell(name, self.sealed(body)))

    def send(self, name: str, trained: str = "") -> bytes:
        """A site has trained, and sends its vector; ``trained`` names what it found, by default like the site."""
        site, label = self.sites[name], trained or name
        facts = expected(Engagement, site.state.engagement).facts
        quantiser = ring.Quantiser(scale_log2=facts.scale_log2, clamp_log2=facts.clamp_log2)
        size = facts.num_coordinates
        writer = quantiser.writer(update_of(label, size), dither_key=dither_of(label))
        step = site.participant.send(site.state, np.empty(size, "<u4"), writer=writer)
        return expected(bytes, self._noted(name, site.take(step)))

    def vectors(self, coordinator: RoundCoordinator) -> dict[str, bytes]:
        """Every site's masked vector, sealed."""
        replies = {}
        for name in coordinator.facts.bundles:
            self.accept(name, coordinator.train_for(name))
            replies[name] = self.send(name)
        return replies

    def plain_sum(self, names: Iterable[str], num_cohort: int) -> ring.RingVector:
        """The sum of these sites without masks."""
        facts = replace(
            self.terms.facts(FIRST, self.train(num_cohort=num_cohort), holders_hash=ZERO_HASH, bundles={}),
            profile=plain.PROFILE,
            bundles=dict.fromkeys(names, ZERO_HASH),
            min_survivors=1,
        )
        aggregator = plain.PlainRing()
        coordinator = aggregator.coordinator(facts)
        for name in facts.bundles:
            participant = aggregator.participant(name)
            coordinator.add(
                name, participant.vector(facts, update_of(name, self.size), weight=1.0, dither_key=dither_of(name))
            )
        return coordinator.open().total
