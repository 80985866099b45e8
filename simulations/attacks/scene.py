"""Where an attack is played: a cohort of real sites, a victim, a colluding site, and the tools of a hostile server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import graph_views, ring, statements
from fedward.common.secagg.bundles import Bundle, open_dealt
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.frozen import to_wire
from fedward.common.secagg.journal import EntryKind, JournalEntry
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.state import Engagement, State, restored
from fedward.common.secagg.statements import Survivor, in_order
from fedward.common.secagg.terms import RoundPosition
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import FIRST, Cohort, dither_of, expected, stream_of, update_of
from fedward.simulations.attacks.loot import Loot, Sighting

COUNT = 5
SIZE = 64
"""A guess at chance has one word of these right once in 2^26."""
Change = Callable[["Scene", pb.Train], None]
GIVEN = {
    pb.TRAIN_REPLY: "a vector",
    pb.UNMASK_REPLY: "shares",
    pb.CONFIRM_REPLY: "a confirmation",
    pb.PREKEY_REPLY: "a bundle",
    pb.PLAN_ACCEPT: "an acceptance",
}
"""What a site can be made to give away, the worst first."""


class Scene:
    """One run against one profile.

    ``party`` is what is attacked: here the bare machine of the protocol.

    Args:
        profile: of the run.
        cohort: the sites; by default five. One of them, the accomplice, tells the server all it has: the masked
            profiles reckon with that.
    """

    party = "participant"

    def __init__(self, profile: Profile, cohort: Cohort | None = None) -> None:
        self.profile = profile
        self.cohort = cohort or Cohort(profile, COUNT, size=SIZE)
        self.names = in_order(self.cohort.names)
        self.victim, self.accomplice = self.names[1], self.names[3 if len(self.names) > 3 else 2]
        self.peers = tuple(name for name in self.names if name != self.victim)
        self.loot = Loot()
        self.sightings: list[Sighting] = []
        self.guesses: list[tuple[RingVector, RingVector]] = []
        """At a vector of the victim, by other ways than taking masks off; each with what it should be."""
        self.random_bytes = stream_of("mallory")
        self.code = ""
        """What a party said that refused nothing to the server: a rejection, a complaint, a void round."""
        self.vectors: dict[str, codec.Opened[pb.TrainReply]] = {}
        self.sealed: dict[str, bytes] = {}
        """The vectors as they travel, the last of each site."""
        self._shelves: dict[RoundPosition, PrekeyShelf] = {}

    @property
    def is_strict(self) -> bool:
        """Whether there are no shares."""
        return self.profile is Profile.STRICT

    @property
    def is_confirmed(self) -> bool:
        """Whether survivors are confirmed first."""
        return self.profile is Profile.RESILIENT_MALICIOUS

    @property
    def num_charged(self) -> int:
        """Vectors of the victim that its budget was charged for."""
        return sum(entry.kind is EntryKind.SENT for entry in self.cohort.sites[self.victim].written)

    @property
    def given(self) -> dict[str, int]:
        """How many different replies of each kind the victim has given; the same bytes again count once."""
        replies = {reply for name, reply in self.cohort.heard if name == self.victim}
        kinds = [codec.peek_type(reply) for reply in replies]
        return {text: kinds.count(kind) for kind, text in GIVEN.items()}

    def place(self, name: str) -> int:
        """A holder's x-coordinate."""
        return self.names.index(name) + 1

    def place_with(self, name: str, dealer: str) -> int:
        """A holder's x-coordinate among those of one dealer: on a sparse graph each has its own; 0: none."""
        graph = self.cohort.graph
        if graph is None:
            return self.place(name)
        return 0 if name == dealer else graph.neighbours(dealer).index(name) + 1

    def near(self, name: str, names: Iterable[str]) -> tuple[str, ...]:
        """Those that a site shares secrets with, itself among them."""
        given = tuple(names)
        return given if self.cohort.graph is None else self.cohort.graph.around(name, given)

    def is_recovered(self) -> bool:
        """Whether the server can tell one vector of the victim from all it has."""
        for seen in self.sightings:
            self.loot.rebuild(seen.bundles.values())
        guesses = [(self.loot.guess(seen), seen.truth) for seen in self.sightings]
        return any(np.array_equal(guess, truth) for guess, truth in (*guesses, *self.guesses))

    def close(self) -> None:
        """Nothing to remove."""

    def restart(self, name: str) -> None:
        """A site's process ends and another begins."""
        site = self.cohort.sites[name]
        site.state = self.comes_back(site.state, site.journal.entries(self.cohort.terms.run_id))

    @staticmethod
    def comes_back(state: State, entries: Iterable[JournalEntry]) -> State:
        """What a site remembers after a restart: what it wrote down."""
        return restored(entries)

    # ------------------------------------------------------------------------------------------------ bundles

    def shelf(self, at: RoundPosition = FIRST) -> PrekeyShelf:
        """Bundles of all sites for a position, asked for once; the accomplice tells its secrets."""
        if at not in self._shelves:
            self.keep(self.cohort.shelf(at))
        return self._shelves[at]

    def keep(self, shelf: PrekeyShelf) -> None:
        """Use these bundles, which a hostile request got."""
        self._shelves[shelf.position] = shelf
        for name in self.colluders:
            self._tell_all(name, shelf)

    @property
    def colluders(self) -> tuple[str, ...]:
        """Sites that tell the server all they have."""
        return (self.accomplice,)

    def _tell_all(self, name: str, shelf: PrekeyShelf) -> None:
        site = self.cohort.sites[name]
        own = site.state.armed[shelf.position]
        self.loot.add_key(own.mask)
        for dealer in () if self.is_strict else self.near(name, shelf.ready):
            pair = own.own_shares
            if dealer != name:
                pair = open_dealt(
                    shelf.bundle(dealer),
                    shelf.packet(dealer, name),
                    holder=name,
                    own=site.participant.transport,
                    dealer_key=shelf.holders.transport_keys[dealer],
                )
            self.loot.add_pair(shelf.bundle(dealer), self.place_with(name, dealer), pair)

    def ask_bundle(self, name: str, body: pb.Prekey) -> pb.Dealing:
        """What one site deals for a target."""
        return expected(pb.PrekeyReply, self.cohort.opened(name, self.cohort.ask(name, body)).body).dealing

    def resigned(self, name: str, wire: pb.Bundle) -> pb.Bundle:
        """A bundle that its owner, who helps, signed as it now stands."""
        bundle = Bundle.from_wire(name, wire)
        signature = statements.sign(self.cohort.identity(name), "BUNDLE", bundle.digest())
        return replace(bundle, signature=signature).to_wire()

    # ------------------------------------------------------------------------------------------------ vectors

    def coordinator(self, at: RoundPosition = FIRST) -> RoundCoordinator:
        """An honest one, before the first vector."""
        return self.cohort.coordinator(self.shelf(at))

    def train(self, at: RoundPosition = FIRST) -> pb.Train:
        """The honest request to the victim, to be changed."""
        return self.coordinator(at).train_for(self.victim)

    def get_vector(self, name: str, body: pb.Train, trained: str = "") -> codec.Opened[pb.TrainReply]:
        """Have a site train for this cohort, and look at what it sends."""
        return self.look(name, body, trained)

    def look(self, name: str, body: pb.Train | pb.Mask, trained: str = "") -> codec.Opened[pb.TrainReply]:
        """The same for any message that tells a cohort."""
        expected(type(None), self.cohort.tell(name, self.cohort.sealed(body)))
        engagement = expected(Engagement, self.cohort.sites[name].state.engagement)
        self.sealed[name] = self.cohort.send(name, trained)
        opened = self.cohort.opened(name, self.sealed[name])
        expected(pb.TrainReply, opened.body)
        if name == self.victim:
            facts, label = engagement.facts, trained or name
            quantiser = ring.Quantiser(scale_log2=facts.scale_log2, clamp_log2=facts.clamp_log2)
            truth = quantiser.quantise(update_of(label, facts.num_coordinates), dither_key=dither_of(label))
            vector = ring.from_bytes(opened.vector, facts.num_coordinates)
            seen = Sighting(
                site_id=name, digest=engagement.digest, bundles=engagement.bundles, vector=vector, truth=truth
            )
            self.sightings.append(seen)
        self.vectors[name] = opened  # type: ignore[assignment]
        return self.vectors[name]

    def get_vectors(
        self, names: Iterable[str] = (), *, at: RoundPosition = FIRST, change: Change = lambda _, __: None
    ) -> None:
        """The same of several sites, by default all."""
        coordinator = self.coordinator(at)
        for name in names or self.names:
            body = coordinator.train_for(name)
            change(self, body)
            self.get_vector(name, body)

    def survivors(self, names: Iterable[str]) -> list[pb.Survivor]:
        """Sites with their word for the vectors they sent; a repeated name stands as often as it is given."""
        found = []
        for name in sorted(names, key=str.encode):
            body = self.vectors[name].body
            found.append(Survivor(site_id=name, vector_hash=body.vector_hash, proof=body.proof))
        return to_wire(tuple(found))

    # ------------------------------------------------------------------------------------------------ shares

    def unmask(
        self, name: str, survivors: list[pb.Survivor], confirmations: Iterable[pb.Confirmation] = ()
    ) -> pb.Unmask:
        """The request for shares, under the cohort digest that this site answered."""
        body = pb.Unmask(
            header=self.cohort.header(self._position(name)),
            cohort_digest=self._engagement(name).digest,
            survivors=survivors,
            confirmations=confirmations,
        )
        return body if self.cohort.graph is None else graph_views.unmask_for(self.cohort.graph, body, name)

    def confirm(self, name: str, survivors: list[pb.Survivor]) -> pb.Confirm:
        """The request to confirm survivors."""
        asked = self.unmask(name, survivors)
        return pb.Confirm(header=asked.header, cohort_digest=asked.cohort_digest, survivors=asked.survivors)

    def get_confirmation(self, name: str, survivors: list[pb.Survivor]) -> pb.Confirmation:
        """A site's signature over these survivors."""
        reply = self.cohort.ask(name, self.confirm(name, survivors))
        body = expected(pb.ConfirmReply, self.cohort.opened(name, reply).body)
        return pb.Confirmation(site_id=name, signature=body.signature)

    def get_shares(
        self, name: str, survivors: list[pb.Survivor], confirmations: Iterable[pb.Confirmation] = ()
    ) -> pb.UnmaskReply:
        """Have a site release shares, and keep them."""
        bundles = self._engagement(name).bundles
        reply = self.cohort.ask(name, self.unmask(name, survivors, confirmations))
        body = expected(pb.UnmaskReply, self.cohort.opened(name, reply).body)
        places = {dealer: self.place_with(name, dealer) for dealer in bundles}
        self.loot.add_reply(bundles, [entry.site_id for entry in survivors], places, body)
        return body

    def open_with(self, names: Iterable[str], survivors: list[pb.Survivor]) -> None:
        """The last trips of a round, the same survivors for all that are asked."""
        asked = tuple(names)
        confirmations = [self.get_confirmation(name, survivors) for name in asked] if self.is_confirmed else []
        for name in asked:
            self.get_shares(name, survivors, confirmations)

    def betray(self) -> None:
        """Get the seed of the victim from peers that were told an honest cohort in which it sent no vector."""
        if not self.is_strict:
            self.get_vectors(self.peers)
            self.open_with(self.peers, self.survivors(self.names))

    def _engagement(self, name: str) -> Engagement:
        return expected(Engagement, self.cohort.sites[name].state.engagement)

    def _position(self, name: str) -> RoundPosition:
        return self._engagement(name).position


__all__ = ["Change", "COUNT", "Scene", "SIZE"]
