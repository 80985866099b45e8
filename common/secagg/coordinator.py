"""The server's side of one attempt: events in, actions out.

It sees masked vectors, adds each into one accumulator and forgets it, so its memory is O(L) whatever the number of
sites. When every site has answered, or time is out, the survivors are frozen and written down before anything is asked
of them; the shares that they release take off exactly the masks that stand in the sum. A sum that no honest vectors
have is not opened.

Not handled here: sealing and transport, the clock (``now_s`` comes with each event), durability, bundles (``prekeys``).
"""

from __future__ import annotations

from collections.abc import Mapping

from fedward.common.config import COORDINATOR
from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import Vector
from fedward.common.secagg import statements
from fedward.common.secagg.actions import Action, Fault, Finished, Persist, Prekeyed, Rejected, Voided
from fedward.common.secagg.aggregator import CohortSum
from fedward.common.secagg.bundles import Bundle
from fedward.common.secagg.coordinator_parts import (
    Collection,
    CoordinatorPhase,
    Deadlines,
    Told,
    confirmations_asked,
    confirmed_entry,
    mask_of,
    opening_of,
    quorum_of,
    shares_asked,
    told_train,
)
from fedward.common.secagg.frozen import FrozenSum, to_wire
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.ring import RingVector, add_into, from_bytes
from fedward.common.secagg.shares import is_share
from fedward.common.secagg.statements import Survivor, in_order, is_ordered, survivors_hash
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import CohortFacts


class RoundCoordinator:
    """One attempt of one round.

    Args:
        terms: of the run.
        train: the ``Train`` of this attempt as the plan prescribes it; the cohort's keys are filled in here.
        shelf: bundles for this position.
        cohort: sites that take part, each with a bundle on the shelf.
        total: (L,) uint32, the accumulator, kept from round to round; overwritten.
        deadlines: of the trips.
        now_s: monotonic seconds.
        upcoming: what the last reply's bundle is for; None in the last round.
        threads: for taking off masks.

    Raises:
        ProtocolError: the cohort is one that sites would refuse.
    """

    def __init__(
        self,
        *,
        terms: Terms,
        train: pb.Train,
        shelf: PrekeyShelf,
        cohort: tuple[str, ...],
        total: RingVector,
        deadlines: Deadlines,
        now_s: float,
        upcoming: pb.Target | None = None,
        threads: int = 1,
    ) -> None:
        filled = told_train(terms, train, shelf, cohort, upcoming)
        self._begin(terms, filled, shelf.target, upcoming, total, deadlines, threads, shelf.graph)
        packets = {
            site_id: [shelf.packet(dealer, site_id) for dealer in self._opening.around(site_id)]
            for site_id in filled.cohort
        }
        self._told = Told(terms=terms, train=filled, graph=shelf.graph, packets=packets, digests=self._facts.bundles)
        self._phase = CoordinatorPhase.COLLECTING
        self._waiting = set(filled.cohort)
        self._deadline_s = now_s + deadlines.train_s

    def _begin(
        self,
        terms: Terms,
        train: pb.Train,
        target: pb.Target,
        upcoming: pb.Target | None,
        total: RingVector,
        deadlines: Deadlines,
        threads: int,
        graph: MaskGraph | None,
    ) -> None:
        self._graph = graph
        self._terms, self._train, self._target, self._upcoming = terms, train, target, upcoming
        self._total, self._deadlines, self._threads = total, deadlines, threads
        self._at = (train.header.round, train.header.attempt)
        self._bundles = {
            site_id: Bundle.from_wire(site_id, wire) for site_id, wire in zip(train.cohort, train.bundles, strict=True)
        }
        holders_hash = next(iter(self._bundles.values())).holders_hash
        self._position = terms.position(self._at)  # kept: the roster's hash is costly, and every reply is compared
        self._facts = terms.facts(self._at, train, holders_hash=holders_hash, bundles=self._bundles)
        self._digest = self._facts.digest()
        if total.shape != (train.num_coordinates,):
            raise ConfigError(f"an accumulator of {total.size} for {train.num_coordinates} coordinates")
        self._ring = terms.ring(self._at[0], len(self._bundles))
        self._collected = Collection()
        self._confirmations: dict[str, bytes] = {}
        self._frozen_hash = b""
        """Of the survivors; empty until they are frozen."""
        self._replies: dict[str, pb.UnmaskReply] = {}
        self._opening = opening_of(self._bundles, self._digest, target, graph)
        self._quorum = quorum_of(self._bundles, target, graph)

    @classmethod
    def resume(
        cls,
        *,
        terms: Terms,
        entries: Mapping[EntryKind, JournalEntry],
        total: RingVector,
        deadlines: Deadlines,
        now_s: float,
        threads: int = 1,
        graph: MaskGraph | None = None,
    ) -> tuple[RoundCoordinator, tuple[Action, ...]]:
        """Go on after a crash from what was written down; the same requests are sent again.

        Args:
            terms: of the run.
            entries: of the attempt: ``FROZEN``, and ``CONFIRMED`` if it was written.
            total: the accumulator; overwritten.
            deadlines: of the trips.
            now_s: monotonic seconds.
            threads: for taking off masks.
            graph: of the run, where it is sparse.

        Raises:
            ProtocolError: ``ROUND_VOID``: nothing of use was written.
        """
        if EntryKind.FROZEN not in entries:
            raise ProtocolError("ROUND_VOID", "the survivors were not frozen")
        frozen = FrozenSum.from_entry(entries[EntryKind.FROZEN], total)
        self = cls.__new__(cls)
        self._begin(terms, frozen.train, frozen.target, frozen.next, total, deadlines, threads, graph)
        self._collected.survivors = {survivor.site_id: survivor for survivor in frozen.survivors}
        self._collected.complaints = set(frozen.complaints)
        confirmed = entries.get(EntryKind.CONFIRMED)
        if confirmed is not None:
            asked = pb.Unmask.FromString(confirmed.detail)
            self._confirmations = {entry.site_id: entry.signature for entry in asked.confirmations}
            self._frozen_hash = survivors_hash(self._survivors)
            return self, self._ask_unmask(now_s)
        return self, self._after_freezing(now_s)

    # ------------------------------------------------------------------------------------------------ what it says

    @property
    def phase(self) -> CoordinatorPhase:
        """Where the attempt stands."""
        return self._phase

    @property
    def facts(self) -> CohortFacts:
        """What the cohort must have been told alike."""
        return self._facts

    @property
    def waiting(self) -> frozenset[str]:
        """Sites whose reply to the present trip is missing."""
        return frozenset(self._waiting)

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """Sites whose vector is in the sum, with their word for it."""
        return self._survivors

    def train_for(self, site_id: str) -> pb.Train:
        """The ``Train`` of one site: the common one, with the packets that are for it."""
        return self._told.train_for(site_id)

    def mask_for(self) -> pb.Mask:
        """What tells a late cohort whom it is made of; the same for every site."""
        return mask_of(self._train)

    # ------------------------------------------------------------------------------------------------ events

    def on_reply(self, site_id: str, opened: codec.Opened[codec.Body], *, now_s: float) -> tuple[Action, ...]:
        """A reply whose signature holds has come."""
        body = opened.body
        try:
            if opened.position != self._position:
                raise ProtocolError("REPLAY_CONFLICT", "a reply for another position")
            if isinstance(body, pb.TrainReply):
                actions = self._take_vector(site_id, body, opened.vector)
            elif isinstance(body, pb.ConfirmReply):
                actions = self._take_confirmation(site_id, body)
            elif isinstance(body, pb.UnmaskReply):
                actions = self._take_shares(site_id, body)
            else:
                raise ProtocolError("BAD_ENCODING", "not a reply of this profile")
        except ProtocolError as error:
            rejected = Rejected(site_id, error.code)
            if error.code in {"DUPLICATE_VECTOR", "LATE", "REPLAY_CONFLICT"}:
                return (rejected,)
            return (rejected, *self.on_failure(site_id, now_s=now_s))
        return (*actions, *self._advance(now_s))

    def on_failure(self, site_id: str, *, now_s: float) -> tuple[Action, ...]:
        """A site refuses, is gone, or gave no use of its reply to this trip."""
        self._waiting.discard(site_id)
        return self._advance(now_s)

    def on_time(self, now_s: float) -> tuple[Action, ...]:
        """Time has passed."""
        return self._advance(now_s)

    # ------------------------------------------------------------------------------------------------ collecting

    def _take_vector(self, site_id: str, body: pb.TrainReply, vector: Vector) -> tuple[Action, ...]:
        if site_id not in self._bundles:
            raise ProtocolError("UNKNOWN_SITE", "a vector from a site outside the cohort")
        if site_id in self._collected.survivors:
            raise ProtocolError("DUPLICATE_VECTOR", "a second vector from one site")
        if self._phase is not CoordinatorPhase.COLLECTING or site_id not in self._waiting:
            raise ProtocolError("LATE", "the survivors are frozen, or the site was given up")
        if body.cohort_digest != self._digest:
            raise ProtocolError("DIGEST_MISMATCH", "the site was told another cohort")
        statement = statements.vector_statement(self._digest, site_id, body.vector_hash)
        if not statements.holds(self._terms.roster.members[site_id], body.proof, "VECTOR", statement):
            raise ProtocolError("BAD_VECTOR", "a vector without its site's signature over this cohort")
        complaints = list(body.complaints)
        if complaints and not (is_ordered(complaints) and set(complaints) <= set(self._bundles) - {site_id}):
            raise ProtocolError("BAD_ENCODING", "complaints unsorted, repeated or about strangers")
        try:
            arrived = from_bytes(vector, self._facts.num_coordinates)
        except ConfigError as error:
            raise ProtocolError("BAD_VECTOR", error.message) from error
        if self._collected.survivors:
            add_into(self._total, arrived)
        else:  # saves a pass over an accumulator of zeros
            self._total[:] = arrived
        self._collected.survivors[site_id] = Survivor(site_id=site_id, vector_hash=body.vector_hash, proof=body.proof)
        self._collected.complaints |= {(dealer, site_id) for dealer in complaints}
        self._waiting.discard(site_id)
        upcoming = (Prekeyed(site_id, body.next),) if body.HasField("next") else ()
        return upcoming if self._terms.profile is Profile.STRICT else ()

    def _advance(self, now_s: float) -> tuple[Action, ...]:
        """What follows from the replies that are in, and from the time."""
        if self._phase in (CoordinatorPhase.OPEN, CoordinatorPhase.VOID):
            return ()
        is_over = not self._waiting or now_s >= self._deadline_s
        if self._phase is CoordinatorPhase.COLLECTING:
            return self._end_collecting(is_over, now_s)
        if self._phase is CoordinatorPhase.CONFIRMING:
            return self._end_confirming(is_over, now_s)
        return self._end_unmasking(is_over)

    def _end_collecting(self, is_over: bool, now_s: float) -> tuple[Action, ...]:
        arrived, wanted = len(self._collected.survivors), self._facts.min_survivors
        # Under strict and near the floor, a lost site ends the attempt at once: nobody needs to wait for the rest.
        if arrived + (0 if is_over else len(self._waiting)) < wanted:
            return self._void("ROUND_VOID")
        if not is_over:
            return ()
        if self._terms.profile is Profile.STRICT:
            return self._open(()) if self._in_range(self._total) else self._void("SUM_OUT_OF_RANGE")
        if self._graph is not None and not self._can_open(self._graph):
            return self._void("ROUND_VOID")
        unreadable = [dealer for dealer in self._bundles if self._readable(dealer) < self._target.threshold]
        if unreadable:  # the next attempt goes without them
            return (*(Fault(dealer, "", "SHARE_UNREADABLE") for dealer in unreadable), *self._void("ROUND_VOID"))
        frozen = FrozenSum(
            train=self._train,
            target=self._target,
            survivors=self._survivors,
            complaints=tuple(sorted(self._collected.complaints)),
            next=self._upcoming,
            total=self._total,
        )
        entry = frozen.entry(self._terms.run_id, survivors_hash(self._survivors))
        return (Persist(entry), *self._after_freezing(now_s))

    def _can_open(self, graph: MaskGraph) -> bool:
        """Whether the survivors are such as each of them accepts, on a sparse graph."""
        survivors = self._collected.survivors
        return self._quorum.is_met(survivors) and graph.holds_together(survivors)

    def _readable(self, dealer: str) -> int:
        """Survivors that hold a readable packet of ``dealer``."""
        complaining = {holder for accused, holder in self._collected.complaints if accused == dealer}
        return self._quorum.of(dealer, set(self._collected.survivors) - complaining)

    @property
    def _survivor_ids(self) -> tuple[str, ...]:
        return in_order(self._collected.survivors)

    @property
    def _survivors(self) -> tuple[Survivor, ...]:
        return tuple(self._collected.survivors[site_id] for site_id in self._survivor_ids)

    def _after_freezing(self, now_s: float) -> tuple[Action, ...]:
        self._frozen_hash = survivors_hash(self._survivors)
        if self._terms.profile is Profile.RESILIENT:
            return self._ask_unmask(now_s)
        self._next_trip(CoordinatorPhase.CONFIRMING, self._collected.survivors, now_s)
        header = self._position.header(COORDINATOR)
        body = pb.Confirm(header=header, cohort_digest=self._digest, survivors=to_wire(self._survivors))
        return confirmations_asked(self._graph, body, self._waiting)

    def _next_trip(self, phase: CoordinatorPhase, sites: Mapping[str, object], now_s: float) -> None:
        self._phase = phase
        self._waiting = set(sites)
        self._deadline_s = now_s + self._deadlines.reply_s

    # ------------------------------------------------------------------------------------------------ confirming

    def _take_confirmation(self, site_id: str, body: pb.ConfirmReply) -> tuple[Action, ...]:
        if self._phase is not CoordinatorPhase.CONFIRMING or site_id not in self._waiting:
            raise ProtocolError("LATE", "a confirmation that nobody waits for")
        expected = self._frozen_hash
        if body.cohort_digest != self._digest or body.survivors_hash != expected:
            raise ProtocolError("DIGEST_MISMATCH", "a confirmation of another cohort or other survivors")
        statement = statements.confirm_statement(self._digest, expected)
        if not statements.holds(self._terms.roster.members[site_id], body.signature, "CONFIRM", statement):
            raise ProtocolError("BAD_SIGNATURE", "a confirmation that its site did not sign")
        self._confirmations[site_id] = body.signature
        self._waiting.discard(site_id)
        return ()

    def _end_confirming(self, is_over: bool, now_s: float) -> tuple[Action, ...]:
        to_come = set() if is_over else self._waiting
        if not self._quorum.is_met(to_come | set(self._confirmations)):
            return self._void("ROUND_VOID")
        if not is_over:
            return ()
        actions = self._ask_unmask(now_s)
        # Written down, so that after a crash the very same request is sent again and gets the very same reply.
        entry = confirmed_entry(self._terms.run_id, self._at, self._frozen_hash, self._unmask())
        return (Persist(entry), *actions)

    # ------------------------------------------------------------------------------------------------ unmasking

    def _unmask(self) -> pb.Unmask:
        confirmations = [
            pb.Confirmation(site_id=site_id, signature=self._confirmations[site_id])
            for site_id in in_order(self._confirmations)
        ]
        return pb.Unmask(
            header=self._position.header(COORDINATOR),
            cohort_digest=self._digest,
            survivors=to_wire(self._survivors),
            confirmations=confirmations,
            next=self._upcoming,
        )

    def _ask_unmask(self, now_s: float) -> tuple[Action, ...]:
        # Only who confirmed will answer.
        asked = self._confirmations if self._terms.profile is Profile.RESILIENT_MALICIOUS else self._collected.survivors
        self._next_trip(CoordinatorPhase.UNMASKING, asked, now_s)
        return shares_asked(self._graph, self._unmask(), self._waiting)

    def _take_shares(self, site_id: str, body: pb.UnmaskReply) -> tuple[Action, ...]:
        if self._phase not in (CoordinatorPhase.UNMASKING, CoordinatorPhase.OPEN) or site_id not in self._waiting:
            raise ProtocolError("LATE", "shares that nobody waits for")
        given = self._opening.around(site_id)
        num_survivors = sum(member in self._collected.survivors for member in given)
        counts = len(body.seed_shares), len(body.key_shares)
        if body.survivors_hash != self._frozen_hash or counts != (num_survivors, len(given) - num_survivors):
            raise ProtocolError("DIGEST_MISMATCH", "shares for other survivors")
        if not all(share == b"" or is_share(share) for share in (*body.seed_shares, *body.key_shares)):
            raise ProtocolError("BAD_ENCODING", "a share that is no field element")
        self._replies[site_id] = body
        self._waiting.discard(site_id)
        # Also when the sum is open already: the bundle is for the next round.
        return (Prekeyed(site_id, body.next),) if body.HasField("next") else ()

    def _end_unmasking(self, is_over: bool) -> tuple[Action, ...]:
        if self._quorum.is_met(self._replies):
            secrets, missing = self._opening.rebuild(self._survivor_ids, self._replies)
            faults = tuple(Fault(dealer, holder) for dealer, holder in self._opening.faults)
            if not missing:
                plus, minus = self._opening.remaining_masks(self._survivor_ids, secrets)
                # Looked at chunk by chunk in the same pass, while it is in the cache.
                is_right = apply_masks(self._total, plus=plus, minus=minus, check=self._in_range, threads=self._threads)
                return self._open(faults) if is_right else (*faults, *self._void("SUM_OUT_OF_RANGE"))
            if is_over:
                hopeless = tuple(Fault(dealer, "") for dealer in missing)
                return (*faults, *hopeless, *self._void("ROUND_VOID"))
        to_come = set() if is_over else self._waiting
        return () if self._quorum.is_met(to_come | set(self._replies)) else self._void("ROUND_VOID")

    def _in_range(self, words: RingVector) -> bool:
        """Whether these words of the sum are such as honest vectors give."""
        ring = self._ring
        return ring.quantiser.in_range(words, len(self._collected.survivors), noise_steps=ring.noise_steps)

    def _open(self, faults: tuple[Action, ...]) -> tuple[Action, ...]:
        self._phase = CoordinatorPhase.OPEN
        opened = CohortSum(total=self._total, survivors=self._survivor_ids)
        return (*faults, Finished(opened))

    def _void(self, code: str) -> tuple[Action, ...]:
        self._phase = CoordinatorPhase.VOID
        self._waiting.clear()
        return (Voided(code),)


__all__ = ["Collection", "CoordinatorPhase", "Deadlines", "RoundCoordinator"]
