"""Plans that a site's policy or roster forbids, offered to its agent.

A forbidden plan is offered as it is. Where it is accepted the rest is honest: the control is not over before the
victim's vector has come under it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from fedward.client import policy, site
from fedward.client.accounts import Accounts
from fedward.client.site import SiteAgent
from fedward.common.config import COORDINATOR, RunPlan, digest_of
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import ring
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.plain import PROFILE as PLAIN_RING
from fedward.common.secagg.plain import PlainRing
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks import site_cohort
from fedward.simulations.attacks.cohort import FIRST, PROFILES, expected
from fedward.simulations.attacks.cohort_rows import MEMBERS, NUMBERS, PLAN, SMALL, STRANGERS
from fedward.simulations.attacks.holes import Hole, instead, without
from fedward.simulations.attacks.scene import COUNT
from fedward.simulations.attacks.site_cohort import Changes, attacked_plan
from fedward.simulations.attacks.site_scene import SiteScene, sites
from fedward.simulations.attacks.site_train_rows import sent, unchanged
from fedward.simulations.attacks.table import Attack

REFUSED, FORBIDDEN = "POLICY_REFUSED", "PROFILE_FORBIDDEN"


def without_rules(*names: str) -> Hole:
    """A policy that has lost some of its rules."""
    left = tuple(rule for rule in policy.RULES if rule.name not in names)
    if len(left) != len(policy.RULES) - len(names):
        raise ValueError(f"not all of {names} are rules")
    return instead(policy, "RULES", left, f"a policy without its rule {' and '.join(names)}")


def bare_vector(scene: SiteScene) -> bool:
    """``plain_ring`` offered and asked for: what comes has no masks at all, and anybody can read it."""
    cohort = scene.cohort
    plan = attacked_plan(PLAIN_RING, cohort.names, cohort.size, {})
    cohort.plan, cohort.plan_bytes = plan, plan.to_bytes()
    scene.tell(pb.PlanOffer(header=cohort.position.header(COORDINATOR), plan=cohort.plan_bytes))
    body = cohort.train()
    body.cohort[:] = scene.names
    reply = cohort.opened(scene.victim, scene.tell(body))
    expected(pb.TrainReply, reply.body)
    quantiser = ring.Quantiser(scale_log2=body.scale_log2, clamp_log2=body.clamp_log2)
    hospital = scene.site.hospital
    truth = quantiser.quantise(hospital.last, dither_key=hospital.dither_key)
    scene.guesses.append((ring.from_bytes(reply.vector, cohort.size), truth))
    return True


def second_plan(scene: SiteScene) -> bool:
    """The run goes on, and its plan is offered again with less noise; passed if the site signs that too."""
    scene.get_vector(scene.victim, scene.train(FIRST))
    cohort = scene.cohort
    weaker: Changes = {"privacy": {"noise_multiplier": 1.5}}
    raw = attacked_plan(scene.profile.value, cohort.names, cohort.size, weaker).to_bytes()
    header = cohort.position.header(COORDINATOR)
    header.plan_digest = digest_of(raw)
    return bool(scene.tell(pb.PlanOffer(header=header, plan=raw)))


def other_bytes(scene: SiteScene) -> bool:
    """The plan that comes is not the one that the header names; passed if the site signs the header's."""
    cohort = scene.cohort
    document = json.loads(cohort.plan_bytes) | {"name": "another"}
    raw = RunPlan.from_bytes(json.dumps(document).encode()).to_bytes()
    return bool(scene.tell(pb.PlanOffer(header=cohort.position.header(COORDINATOR), plan=raw)))


def offer(
    name: str,
    changes: Changes,
    rule: str,
    code: str = REFUSED,
    *,
    allows: Mapping[str, object] | None = None,
    roster: Mapping[str, object] | None = None,
    besides: Sequence[Hole] = (),
    part: str = PLAN,
) -> Attack:
    """A plan that breaks one rule of the victim's policy.

    Args:
        name: of the attack.
        changes: to the plan.
        rule: that it breaks, and that the control has lost.
        code: of the rule.
        allows: of the victim's policy, where it is not the default one.
        roster: floors.
        besides: checks in the rounds that would stop it later.
        part: of the design's table.
    """
    return Attack(
        name=name,
        part=part,
        play=sent(unchanged),
        expected=code,
        rule=rule,
        holes=[without_rules(rule), *besides],
        scene=sites(changes, policy=allows, roster=roster),
    )


def barred(where: str) -> Callable[[Profile], SiteScene]:
    """A policy, or a roster, that has the other masked profiles only."""

    def begin(profile: Profile) -> SiteScene:
        others = {"profiles": tuple(other.value for other in PROFILES if other is not profile)}
        return sites(**{where: others})(profile)  # type: ignore[arg-type]

    return begin


def _forbidden(name: str, where: str) -> Attack:
    return Attack(
        name=name,
        part=PLAN,
        play=sent(unchanged),
        expected=FORBIDDEN,
        rule="profile",
        holes=[without_rules("profile")],
        scene=barred(where),
    )


SIMULATED = instead(site_cohort, "AGGREGATOR", PlainRing(), "an agent with the profile of simulations")
FLOORS = (*SMALL, without(Floors, "check_threshold", "THRESHOLD_UNUSABLE"))
SMALLER, HONEST = "COHORT_TOO_SMALL", "HONEST_FLOOR"
ALL_BUT_ONE = COUNT - 1

OF_COHORTS = (
    offer(
        "a plan for smaller cohorts than the policy's",
        {},
        "cohort",
        SMALLER,
        allows={"min_cohort": COUNT},
        part=MEMBERS,
    ),
    offer(
        "a plan for smaller cohorts than the roster's",
        {},
        "cohort",
        SMALLER,
        roster={"min_cohort": COUNT},
        part=MEMBERS,
    ),
    offer(
        "a plan with fewer honest sites than the policy wants",
        {},
        "honest_floor",
        HONEST,
        allows={"min_honest": COUNT},
        besides=FLOORS,
        part=NUMBERS,
    ),
    offer(
        "a plan with fewer colluders than the policy fears",
        {},
        "honest_floor",
        HONEST,
        allows={"assumed_colluders": ALL_BUT_ONE},
        besides=FLOORS,
        part=NUMBERS,
    ),
    offer(
        "a plan with fewer colluders than the roster states",
        {},
        "honest_floor",
        HONEST,
        roster={"assumed_colluders": ALL_BUT_ONE},
        besides=FLOORS,
        part=NUMBERS,
    ),
    Attack(
        name="a plan that invites a site outside the roster",
        part=STRANGERS,
        play=sent(unchanged),
        expected="UNKNOWN_SITE",
        holes=[without(site, "check_members", "UNKNOWN_SITE")],
        scene=sites(strangers=("zz-stranger",)),
    ),
)
OF_PRIVACY = (
    offer("a plan without noise", {"privacy": {"mode": "none", "noise_multiplier": None}}, "privacy_mode"),
    offer(
        "a plan with less noise than the policy's least",
        {"privacy": {"noise_multiplier": 0.2}, "training": {"sample_rate": 1e-7}},
        "noise",
    ),
    offer("a plan that costs more epsilon than the policy allows", {}, "epsilon_run", allows={"max_epsilon": 0.3}),
    offer("a plan that costs more epsilon than it says", {"privacy": {"epsilon": 0.3}}, "epsilon_run"),
    offer(
        "a plan that the site's account has no room for",
        {},
        "epsilon_total",
        "BUDGET_REFUSED",
        allows={"account_epsilon": 0.3},
    ),
    offer("a plan with a larger delta", {"privacy": {"delta": 1e-4}}, "delta"),
    offer(
        "a plan that protects single records",
        {"privacy": {"unit": "record"}},
        "unit",
        besides=[instead(Accounts, "counts", lambda self, unit: True, "an account that counts for any unit")],
    ),
    offer("a plan with a larger clip", {"privacy": {"clip_norm": 100.0}}, "clip"),
    offer(
        "a plan that samples more",
        {"privacy": {"noise_multiplier": 50.0}, "training": {"sample_rate": 0.9}},
        "sample_rate",
    ),
    offer("a plan of more rounds", {"rounds": 4}, "rounds", allows={"max_rounds": 3}),
    offer(
        "a plan of more steps a round",
        {},
        "steps",
        allows={"max_steps_per_round": 1},
    ),
    offer("a plan whose aggregation multiplies noise", {"lora": {"aggregation": "naive"}}, "aggregation"),
    offer("a plan with a larger adapter", {}, "lora_rank", allows={"max_lora_rank": 1}),
    offer(
        "a plan that waits longer than secrets may live",
        {"secagg": {"reply_timeout_s": 90_000.0}},
        "attempt_ttl",
    ),
)
ATTACKS = (
    *OF_COHORTS,
    *OF_PRIVACY,
    _forbidden("a profile that the policy does not allow", "policy"),
    _forbidden("a profile that the roster does not allow", "roster"),
    Attack(
        name="a plan for plain_ring, that is no masks",
        part=PLAN,
        play=bare_vector,
        expected=FORBIDDEN,
        rule="profile",
        holes=[without_rules("profile"), SIMULATED],
        scene=sites(),
        profiles=(Profile.RESILIENT,),
        vector_in=(Profile.RESILIENT,),
    ),
    Attack(
        name="the run's plan offered again with less noise",
        part=PLAN,
        play=second_plan,
        expected="REPLAY_CONFLICT",
        holes=[without(SiteAgent, "on_plan_offer", "REPLAY_CONFLICT")],
        scene=sites(),
        charges=1,
    ),
    Attack(
        name="another plan than the header of its offer names",
        part=PLAN,
        play=other_bytes,
        expected="PLAN_MISMATCH",
        holes=[without(site, "offered_plan", "PLAN_MISMATCH")],
        scene=sites(),
    ),
)

__all__ = ["ATTACKS"]
