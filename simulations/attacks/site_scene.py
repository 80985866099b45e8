"""Where the agent of a site is attacked: the tools of ``Scene``, used on bytes in and bytes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from fedward.common.config import SitePolicy
from fedward.common.errors import ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import ring
from fedward.common.secagg.bundles import open_dealt
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.state import Engagement
from fedward.common.secagg.terms import RoundPosition
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import expected
from fedward.simulations.attacks.loot import Sighting
from fedward.simulations.attacks.plays import Outcome
from fedward.simulations.attacks.scene import COUNT, SIZE, Scene
from fedward.simulations.attacks.site_cohort import STRICT_POLICY, AgentSite, Changes, SiteCohort


class SiteScene(Scene):
    """One run of real agents.

    Args:
        profile: of the run.
        cohort: the sites.
    """

    party = "site agent"
    secrets_survive = False
    """Whether a restarted process has what only the memory of the old one held."""
    cohort: SiteCohort

    def __init__(self, profile: Profile, cohort: SiteCohort) -> None:
        super().__init__(profile, cohort)
        cohort.guarded = self.victim

    @property
    def site(self) -> AgentSite:
        """The victim."""
        return self.cohort.sites[self.victim]

    @property
    def num_charged(self) -> int:
        """Releases in the victim's account, as its newest process counts them."""
        return self.site.num_charged

    def restart(self, name: str) -> None:
        """A site's process ends and another begins from what is on disk."""
        site = self.cohort.sites[name]
        memory = site.agent.memory
        site.restart()
        if self.secrets_survive and memory is not None:
            site.agent.memory = memory

    def close(self) -> None:
        """Remove what was on disk."""
        self.cohort.close()

    def tell(self, body: codec.Body) -> bytes:
        """Hand the victim a message of the coordinator."""
        return expected(bytes, self.cohort.tell(self.victim, self.cohort.sealed(body)))

    def _tell_all(self, name: str, shelf: PrekeyShelf) -> None:
        site = self.cohort.sites[name]
        own = site.state.armed[shelf.position]
        self.loot.add_key(own.mask)
        for dealer in () if self.is_strict else shelf.ready:
            pair = own.own_shares
            if dealer != name:
                pair = open_dealt(
                    shelf.bundle(dealer),
                    shelf.packet(dealer, name),
                    holder=name,
                    own=site.transport,
                    dealer_key=shelf.holders.transport_keys[dealer],
                )
            self.loot.add_pair(shelf.bundle(dealer), self.place(name), pair)

    def look(self, name: str, body: pb.Train | pb.Mask, trained: str = "") -> codec.Opened[pb.TrainReply]:
        """Have a site train for this cohort, and look at what it sends."""
        return self.see(name, expected(bytes, self.cohort.tell(name, self.cohort.sealed(body))))

    def see(self, name: str, reply: bytes) -> codec.Opened[pb.TrainReply]:
        """A vector has come."""
        self.sealed[name] = reply
        opened = self.cohort.opened(name, reply)
        expected(pb.TrainReply, opened.body)
        if name == self.victim:
            engagement = expected(Engagement, self.site.state.engagement)
            facts, hospital = engagement.facts, self.site.hospital
            quantiser = ring.Quantiser(scale_log2=facts.scale_log2, clamp_log2=facts.clamp_log2)
            truth = quantiser.quantise(hospital.last, dither_key=hospital.dither_key)
            vector = ring.from_bytes(opened.vector, facts.num_coordinates)
            self.sightings.append(
                Sighting(site_id=name, digest=engagement.digest, bundles=engagement.bundles, vector=vector, truth=truth)
            )
        self.vectors[name] = opened  # type: ignore[assignment]
        return self.vectors[name]

    def sum_of(self, at: RoundPosition, names: Iterable[str]) -> RingVector:
        """An attempt with an honest coordinator, to its end: the opened sum."""
        shelf = self.shelf(at)
        coordinator = self.cohort.coordinator(shelf, tuple(names))
        outcome, sends = Outcome(), []
        for name in coordinator.facts.bundles:
            opened = self.get_vector(name, coordinator.train_for(name))
            sends += outcome.note(coordinator.on_reply(name, opened, now_s=1.0))  # type: ignore[arg-type]
        while sends:
            send = sends.pop(0)
            reply = expected(bytes, self.cohort.tell(send.site_id, self.cohort.sealed(send.body)))
            sends += outcome.note(
                coordinator.on_reply(send.site_id, self.cohort.opened(send.site_id, reply), now_s=2.0)
            )
        return expected(np.ndarray, outcome.total and outcome.total.total).copy()


def sites(
    changes: Changes | None = None,
    *,
    policy: Mapping[str, object] | None = None,
    roster: Mapping[str, object] | None = None,
    is_on_disk: bool = False,
    strangers: tuple[str, ...] = (),
) -> Callable[[Profile], SiteScene]:
    """A scene for a row.

    Args:
        changes: to the plan, by table.
        policy: of the victim, where it is not what a site's policy is by default.
        roster: floors, where they are not the least ones.
        is_on_disk: whether the victim may be started again.
        strangers: invited by the plan, and not in the roster.
    """

    def begin(profile: Profile) -> SiteScene:
        # Validated, which ``model_copy`` is not: a policy that cannot be shows nothing.
        own = SitePolicy.model_validate(STRICT_POLICY.model_dump() | dict(policy or {}))
        cohort = SiteCohort(
            profile,
            COUNT,
            size=SIZE,
            changes=changes or {},
            policy=own,
            floors_of_roster=dict(roster or {}),
            is_on_disk=is_on_disk,
            strangers=strangers,
        )
        return SiteScene(profile, cohort)

    return begin


def first_refusal(*acts: Callable[[], object]) -> str:
    """Do all of these, whatever is refused; the code of the first refusal."""
    codes: list[str] = []
    for act in acts:
        try:
            act()
        except ProtocolError as error:
            codes.append(error.code)
    return codes[0] if codes else ""


__all__ = ["first_refusal", "sites", "SiteScene"]
