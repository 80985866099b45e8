"""What a site's agent remembers: positions, budgets, left runs, secrets and their time; and what a failure tells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedward.client.accepted_run import AcceptedRun
from fedward.client.duties import Assignment, Duties, Part
from fedward.client.masked_run import MaskedRun
from fedward.client.site import SiteAgent
from fedward.common.agreement import round_event
from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError, TrainingError
from fedward.common.identity import Identity
from fedward.common.ledger.budget import BudgetAccount
from fedward.common.ledger.replay import BudgetReplay
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import epsilon
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.ring import Quantiser
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.simulations.attacks.bundle_rows import MANY
from fedward.simulations.attacks.cohort import FIRST, PROFILES, RUN_ID, expected
from fedward.simulations.attacks.coordinator_rows import ABSTAINS
from fedward.simulations.attacks.holes import instead, without
from fedward.simulations.attacks.round_rows import AGAIN, FORGETFUL, POOLED, RETRY, SCANNED
from fedward.simulations.attacks.scene import Scene
from fedward.simulations.attacks.site_cohort import Changes, Hospital, attacked_plan
from fedward.simulations.attacks.site_scene import SiteScene, sites
from fedward.simulations.attacks.site_train_rows import sent, unchanged
from fedward.simulations.attacks.survivor_rows import CLOSED
from fedward.simulations.attacks.table import SHARED, Attack

SECOND: RoundPosition = (1, 1)
OTHER_RUN = b"\x13" * 16
BESIDE = "a loss in a refusal"

# ------------------------------------------------------------------------------------------------ budget

ONE_ROUND: Changes = {"rounds": 1}
_EVENT = round_event(attacked_plan("strict", ("a", "b", "c"), 2, ONE_ROUND))
RUN_CAP, SITE_CAP = ((epsilon([_EVENT], delta) + epsilon([_EVENT] * 2, delta)) / 2 for delta in (1e-5, 1e-6))
"""Room for one release and not for two: at the delta of the plan, and of the site's account."""


def dropped_out(scene: SiteScene) -> bool:
    """Two attempts at one round; passed if a vector comes for the second one too."""
    return sent(unchanged, at=SECOND, after=(FIRST,))(scene)


def older_attempt(scene: SiteScene) -> bool:
    """The first attempt after the second one."""
    scene.shelf(FIRST)
    return sent(unchanged, at=FIRST, after=(SECOND,))(scene)


# ------------------------------------------------------------------------------------------------ runs, time


def left_run(scene: SiteScene) -> bool:
    """A first attempt, another run, and the first run offered again.

    Passed if it goes on with an account that knows nothing of what was spent.
    """
    scene.get_vector(scene.victim, scene.train(FIRST))
    for run_id in (OTHER_RUN, RUN_ID):
        scene.cohort.join(run_id)
    scene.get_vector(scene.victim, scene.train(SECOND))
    return len(scene.site.agent.history) == 1


def time_passes(scene: SiteScene) -> None:
    """More than the victim's policy gives an attempt."""
    scene.site.now_s += scene.cohort.policy.attempt_ttl_s + 1


def run_ends(scene: SiteScene) -> None:
    """The coordinator closes the run."""
    scene.tell(pb.RunEnd(header=scene.cohort.position.header(COORDINATOR), model_digest=bytes(32)))


def train_after(event: Callable[[SiteScene], None]) -> Callable[[SiteScene], bool]:
    """All have laid in bundles; passed if the victim's still gives a vector after this."""

    def play(scene: SiteScene) -> bool:
        body = scene.train()
        event(scene)
        scene.get_vector(scene.victim, body)
        return True

    return play


def unmask_after(event: Callable[[SiteScene], None]) -> Callable[[SiteScene], bool]:
    """All vectors are there; passed if the victim still helps to open them after this."""

    def play(scene: SiteScene) -> bool:
        scene.get_vectors()
        asked = scene.confirm if scene.is_confirmed else scene.unmask
        body: codec.Body = asked(scene.victim, scene.survivors(scene.names))
        event(scene)
        return bool(scene.tell(body))

    return play


_masked_run = SiteAgent._masked_run


def never_over(self: SiteAgent, run: AcceptedRun, transport: AgreementKey | None) -> MaskedRun | None:
    """A run that has no transport key any more goes on with the old one."""
    return self._masked if transport is None else _masked_run(self, run, transport)


NEVER_CLOSES = instead(MaskedRun, "close", lambda self: None, "an agent that destroys no secrets")
NEVER_OVER = (
    NEVER_CLOSES,
    instead(SiteAgent, "_masked_run", never_over, "an agent that keeps its transport key"),
    without(SiteAgent, "on_masked", "ATTEMPT_CLOSED"),
    without(AcceptedRun, "require_new", "ATTEMPT_CLOSED"),
)

# ------------------------------------------------------------------------------------------------ retry, pooling


def retry_without(scene: SiteScene) -> bool:
    """Two sums whose difference would be the victim's vector; passed too if a peer was charged once for both."""
    difference = scene.sum_of(FIRST, scene.names) - scene.sum_of(SECOND, scene.peers)
    scene.guesses.append((difference, scene.sightings[0].truth))
    return {scene.cohort.sites[name].num_charged for name in scene.peers} != {2}


_carry_out = Duties.carry_out


def old_update(self: Duties, task: Assignment) -> Part:
    """What a site sent before, charged again."""
    hospital = expected(Hospital, self.trainer)
    if hospital.kept is None:
        hospital.kept = _carry_out(self, task)
    else:
        self.accounts.charge(task.permits)
    return hospital.kept


def pool(scene: SiteScene) -> bool:
    """An honest round; passed if one word of the best guess at the victim's vector is right."""
    scene.sum_of(FIRST, scene.names)
    seen = scene.sightings[-1]
    scene.loot.rebuild(seen.bundles.values())
    return bool(np.any(scene.loot.guess(seen) == seen.truth))


# ------------------------------------------------------------------------------------------------ failures


def not_a_number(scene: SiteScene) -> bool:
    """The victim's training has gone wrong; passed if a vector leaves all the same."""

    def spoil(found: NDArray[np.float32]) -> NDArray[np.float32]:
        found[3] = np.nan
        return found

    scene.site.hospital.spoil = spoil
    with np.errstate(invalid="ignore"):
        return sent(unchanged)(scene)


def failure_scanned(scene: SiteScene) -> bool:
    """The victim's training breaks off; passed if its refusal tells of what."""

    def spoil(_: NDArray[np.float32]) -> NDArray[np.float32]:
        raise TrainingError("diverged: loss 31.7")

    scene.site.hospital.spoil = spoil
    raw = scene.site.agent.handle(scene.cohort.sealed(scene.train()))
    scene.code = expected(pb.Refusal, scene.cohort.opened(scene.victim, raw).body).code
    return b"31.7" in raw


_seal = codec.seal


def talkative(self: SiteAgent, position: codec.Position, request_hash: bytes, error: ProtocolError) -> bytes:
    """A refusal that says why."""
    body = pb.Refusal(
        header=position.header(self.site_id), request_hash=request_hash, code=error.code, rule=error.message
    )
    return _seal(expected(Identity, self._identity), body)


def _budget(name: str, changes: Changes, policy: dict[str, object] | None = None) -> Attack:
    return Attack(
        name=name,
        part=MANY,
        play=dropped_out,
        expected="BUDGET_REFUSED",
        holes=[without(BudgetAccount, "reserve", "BudgetExhaustedError")],
        scene=sites(changes, policy=policy),
        charges=1,
    )


ATTACKS = (
    _budget("a retry that the run's epsilon has no room for", {**ONE_ROUND, "privacy": {"epsilon": RUN_CAP}}),
    _budget("a retry that the site's account has no room for", ONE_ROUND, {"account_epsilon": SITE_CAP}),
    Attack(
        name="an attempt more than the policy allows",
        part=MANY,
        play=sent(unchanged, at=SECOND),
        expected="ATTEMPT_LIMIT",
        holes=[without(Terms, "check_round", "ATTEMPT_LIMIT")],
        scene=sites(policy={"max_attempts": 1}),
    ),
    Attack(
        name="an older attempt",
        part=AGAIN,
        play=older_attempt,
        expected="ROUND_ORDER",
        holes=[
            *FORGETFUL,
            without(Participant, "_require_new", "ROUND_ORDER"),
            without(AcceptedRun, "require_new", "ROUND_ORDER"),
        ],
        scene=sites(),
        charges=1,
    ),
    Attack(
        name="a run offered again that the site has left",
        part=AGAIN,
        play=left_run,
        expected="REPLAY_CONFLICT",
        holes=[
            without(SiteAgent, "on_plan_offer", "REPLAY_CONFLICT"),
            instead(BudgetReplay, "_accepted", lambda self, fields: None, "a ledger that takes a run twice"),
        ],
        scene=sites(),
        charges=1,
    ),
    Attack(
        name="a retry without the victim after a full first attempt",
        part=RETRY,
        play=retry_without,
        expected="",
        holes=[instead(Duties, "carry_out", old_update, "agents that send the old update again")],
        scene=sites(),
        vector_in=PROFILES,
        charges=1,
    ),
    Attack(
        name="server and a colluder pool all they hold",
        part=POOLED,
        play=pool,
        expected="",
        holes=[instead(Scene, "colluders", property(lambda scene: scene.peers), "all sites but the victim collude")],
        scene=sites(),
        vector_in=PROFILES,
        charges=1,
    ),
    Attack(
        name="Train after the time of its bundle",
        part=CLOSED,
        play=train_after(time_passes),
        expected="PREKEY_UNKNOWN",
        holes=[NEVER_CLOSES],
        scene=sites(),
    ),
    Attack(
        name="Unmask after the time of its attempt",
        part=CLOSED,
        play=unmask_after(time_passes),
        expected="ATTEMPT_CLOSED",
        holes=[NEVER_CLOSES],
        scene=sites(),
        profiles=SHARED,
        charges=1,
    ),
    Attack(
        name="Train after the end of the run",
        part=CLOSED,
        play=train_after(run_ends),
        expected="ATTEMPT_CLOSED",
        holes=NEVER_OVER,
        scene=sites(),
    ),
    Attack(
        name="Unmask after the end of the run",
        part=CLOSED,
        play=unmask_after(run_ends),
        expected="ATTEMPT_CLOSED",
        holes=NEVER_OVER,
        scene=sites(),
        profiles=SHARED,
        charges=1,
    ),
    Attack(
        name="NaN in the victim's update",
        part=ABSTAINS,
        play=not_a_number,
        expected="ABSTAIN",
        holes=[without(Quantiser, "_quantise_chunk", "ConfigError")],
        attacker="fate",
        scene=sites(),
        # Records were read: what was set aside for that stays counted, though nothing leaves.
        charges=1,
    ),
    Attack(
        name="the refusal scanned after a training that failed",
        part=SCANNED,
        play=failure_scanned,
        expected="ABSTAIN",
        holes=[instead(SiteAgent, "_refuse", talkative, "an agent whose refusals say why")],
        scene=sites(),
        charges=1,
        gain=BESIDE,
    ),
)

__all__ = ["ATTACKS"]
