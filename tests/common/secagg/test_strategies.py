"""Every way in which a server can play real participants off against each other: no sum of too few honest sites opens.

The server tells each honest site any cohort that the site takes, and asks it for shares under any survivors that the
site takes, or for none; sites that collude give both their shares of everything and sign whatever is wanted. What each
real participant answers is asked once for each of these; then all combinations are gone through. A sum opens when for
each honest member of its cohort one secret can be rebuilt: the seed of those in it, the mask key of those that are not.
Under ``resilient-malicious`` sites are asked for their word; that shares need enough of these is tested elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.floors import Floors, honest_sites
from fedward.common.secagg.frozen import to_wire
from fedward.common.secagg.journal import MemoryJournal
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.state import State
from fedward.common.secagg.statements import Survivor, in_order
from fedward.common.secagg.thresholds import Profile, shamir_threshold
from tests.secagg_cohort import Cohort, unchecked

Members = tuple[str, ...]
Story = tuple[Members, Members | None]
"""The cohort that a site is told, and the survivors under which it gives its shares; None: it is not asked."""


@dataclass
class Server:
    """Hostile, with accomplices, before it has asked for any share."""

    profile: Profile
    count: int
    num_colluders: int
    cohorts: dict[Members, int] = field(default_factory=dict)
    """That participants take, with their fewest survivors."""
    stories: dict[str, list[Story]] = field(default_factory=dict)
    """By honest site, those that it answers."""

    def __post_init__(self) -> None:
        floors = Floors(profile=self.profile, assumed_colluders=self.num_colluders)
        self.cohort = Cohort(self.profile, self.count, floors=floors)
        self.names = in_order(self.cohort.names)
        self.accomplices = set(self.names[: self.num_colluders])
        self.stories = {name: [] for name in self.names if name not in self.accomplices}
        self._states: dict[tuple[str, Members], State] = {}
        self._vectors: dict[tuple[str, Members], Survivor] = {}
        shelf = self.cohort.shelf()
        for members in subsets(self.names):
            self._tell(shelf, members)
        for members in self.cohorts:
            for survivors in subsets(members):
                self._ask(members, survivors)

    def _tell(self, shelf: PrekeyShelf, members: Members) -> None:
        """Have every site of a cohort send its vector, each from the state before it heard of any cohort."""
        before = {name: self.cohort.sites[name].state for name in self.names}
        try:
            coordinator = self.cohort.coordinator(shelf, members)
        except ProtocolError:
            return
        for name in members:
            site = self.cohort.sites[name]
            site.journal = MemoryJournal()
            self.cohort.accept(name, coordinator.train_for(name))
            body = self.cohort.opened(name, self.cohort.send(name)).body
            assert isinstance(body, pb.TrainReply)
            self._states[name, members], site.state = site.state, before[name]
            self._vectors[name, members] = Survivor(site_id=name, vector_hash=body.vector_hash, proof=body.proof)
        self.cohorts[members] = coordinator.facts.min_survivors
        for name in set(members) - self.accomplices:
            self.stories[name].append((members, None))

    def _ask(self, members: Members, survivors: Members) -> None:
        """Note which honest sites give their word or their shares under these survivors."""
        wire = to_wire(tuple(self._vectors[name, members] for name in survivors))
        kind = pb.Confirm if self.profile is Profile.RESILIENT_MALICIOUS else pb.Unmask
        for name in set(members) - self.accomplices:
            state = self._states[name, members]
            engagement = state.engagement
            assert engagement is not None
            body = kind(header=self.cohort.header(), cohort_digest=engagement.digest, survivors=wire)
            participant = self.cohort.sites[name].participant
            try:
                participant.receive(state, self.cohort.sealed(body), check=unchecked)
            except ProtocolError:
                continue
            self.stories[name].append((members, survivors))

    def gives(self, told: Mapping[str, Story], name: str) -> bool:
        """Whether a site gives its shares, if each honest site is told what ``told`` says."""
        members, survivors = told[name]
        # Nobody has the proof of a site for a cohort that it was not told.
        if survivors is None or any(told[peer][0] != members for peer in survivors if peer in told):
            return False
        words = sum(told[peer] == told[name] for peer in told) + len(self.accomplices & set(survivors))
        return self.profile is Profile.RESILIENT or words >= shamir_threshold(self.count)

    def opened(self, told: Mapping[str, Story]) -> Iterable[set[str]]:
        """Honest sites of each sum that opens."""
        seeds, keys = (dict.fromkeys(told, self.num_colluders) for _ in range(2))
        for name, (members, survivors) in told.items():
            if survivors is not None and self.gives(told, name):
                for peer in set(members) - self.accomplices:
                    (seeds if peer in survivors else keys)[peer] += 1
        threshold = shamir_threshold(self.count)
        assert not any(min(seeds[name], keys[name]) >= threshold for name in told), "both secrets of one site"
        for members in {members for members, _ in told.values()}:
            honest = set(members) - self.accomplices
            inside = {name for name in honest if seeds[name] >= threshold and told[name][0] == members}
            if inside and all(keys[name] >= threshold for name in honest - inside):
                yield inside

    @property
    def fewest(self) -> int:
        """Honest sites in any sum that opens, whatever the server does."""
        names = list(self.stories)
        plays = itertools.product(*self.stories.values())
        sums = (inside for play in plays for inside in self.opened(dict(zip(names, play, strict=True))))
        return min(map(len, sums))

    @property
    def promised(self) -> int:
        """h_min of the least cohort."""
        return min(
            honest_sites(
                self.profile,
                num_cohort=len(members),
                num_holders=self.count,
                min_survivors=least,
                colluders=self.num_colluders,
            )
            for members, least in self.cohorts.items()
        )


def subsets(names: Members) -> Iterable[Members]:
    return itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(1, len(names) + 1))


@pytest.mark.parametrize("profile", [Profile.RESILIENT, Profile.RESILIENT_MALICIOUS])
@pytest.mark.parametrize(("count", "num_colluders"), [(4, 0), (4, 1), (5, 1), (5, 2)])
def test_no_sum_has_fewer_honest_sites_than_promised_and_some_has_no_more(
    profile: Profile, count: int, num_colluders: int
) -> None:
    server = Server(profile, count, num_colluders)
    assert server.fewest == server.promised >= 2
