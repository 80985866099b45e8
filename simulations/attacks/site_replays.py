"""The attacks on a site's protocol machine once more, on the agent that an institution runs around it.

The agent has checks of its own before the machine's, so a control leaves out both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedward.client import site
from fedward.client.accepted_run import AcceptedRun
from fedward.client.site import SiteAgent
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks import bundle_rows, cohort_rows, round_rows, survivor_rows
from fedward.simulations.attacks.bundle_rows import transport_keys_swapped
from fedward.simulations.attacks.cohort_rows import FLOOR
from fedward.simulations.attacks.holes import Hole, instead, without
from fedward.simulations.attacks.scene import Scene
from fedward.simulations.attacks.site_scene import SiteScene, sites
from fedward.simulations.attacks.table import Attack

PLAN = without(site, "require_run", "PLAN_MISMATCH")
PROFILE = without(site, "require_run", "PROFILE_FORBIDDEN")
USED = without(AcceptedRun, "require_new", "REPLAY_CONFLICT")
SECRETS_SURVIVE = instead(SiteScene, "secrets_survive", True, "an agent whose secrets survive a restart")

BESIDES: Mapping[str, Sequence[Hole]] = {
    "another roster in the header": [without(SiteAgent, "_open", "ROSTER_MISMATCH")],
    "another plan, that is another clip, noise or weight rule": [PLAN],
    "another run": [PLAN],
    "another masked profile": [PROFILE],
    "plain_ring, that is no masks": [PROFILE],
    # Strangers train no column, so that the plan asks for more survivors than there are.
    "four sites of the server's own making around the victim": [FLOOR],
    "the same Train again, byte for byte": [USED],
    "another cohort for the same position": [USED],
    "a bundle from before a restart": [SECRETS_SURVIVE],
}
"""Checks of the agent's own, by attack."""
ELSEWHERE = {
    "a request forged by whoever carries it",
    "fewer coordinates",
    "a bundle of an older round",
    "every peer's transport key swapped later in the run",
    "an older round",
    "server and a colluder pool all they hold",
    "a field of its own in a site's reply",
}
"""Played on the agent in another way, in other files; or not about a site. The agent would not even train for fewer
coordinates than its model has."""


def on_the_agent(attack: Attack) -> Attack:
    """The same attack; what the agent checks besides is left out of the control too."""
    besides = tuple(BESIDES.get(attack.name, ()))

    def holes(profile: Profile) -> tuple[Hole, ...]:
        return (*attack.holes_for(profile), *besides)

    return replace(attack, holes=holes, scene=sites(is_on_disk=SECRETS_SURVIVE in besides))


_MACHINES = (*cohort_rows.ATTACKS, *bundle_rows.ATTACKS, *survivor_rows.ATTACKS, *round_rows.ATTACKS)
_LATER = next(row for row in bundle_rows.ATTACKS if row.name == "every peer's transport key swapped later in the run")
ATTACKS = (
    *(on_the_agent(row) for row in _MACHINES if row.scene is Scene and row.name not in ELSEWHERE),
    replace(on_the_agent(_LATER), play=transport_keys_swapped((1, 1))),
)

__all__ = ["ATTACKS", "on_the_agent", "PLAN", "PROFILE", "SECRETS_SURVIVE", "USED"]
