"""What a message from the coordinator must be before a site looks at what it asks for: a plan, a run, members.

Pure. Not handled here: the site's policy and its budgets (``policy``), and the messages of a masked round.
"""

from __future__ import annotations

from collections.abc import Collection

from fedward.client.accepted_run import AcceptedRun
from fedward.common.config import RunPlan, digest_of
from fedward.common.errors import ConfigError, PlanError, ProtocolError
from fedward.common.identity import Roster
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import check_layout
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.codec import Position


def offered_plan(position: Position, body: pb.PlanOffer, profiles: Collection[str]) -> RunPlan:
    """The plan of an offer that says of itself what it is.

    Args:
        profiles: that the site can run, whatever its policy allows.

    Raises:
        ProtocolError: ``PLAN_MISMATCH``, ``BAD_ENCODING``, ``PROFILE_FORBIDDEN`` or ``ROUND_ORDER``.
    """
    if digest_of(body.plan) != position.plan_digest:
        raise ProtocolError("PLAN_MISMATCH", "the plan is not the one that the header names")
    try:
        plan = RunPlan.from_bytes(body.plan)
        # Rules and prefixes go by lora.rank, what is trained goes by the layout: they must be one.
        check_layout(adapters.ordered(plan.layout), plan.lora.rank)
    except ConfigError as error:
        raise ProtocolError("BAD_ENCODING", error.message) from error
    if position.profile != plan.secagg.profile or position.profile not in profiles:
        raise ProtocolError("PROFILE_FORBIDDEN", "the profile is not one that this site runs", rule="profile")
    if (position.round_number, position.attempt) != (0, 0):
        raise ProtocolError("ROUND_ORDER", "a plan is offered before the first round")
    return plan


def check_members(plan: RunPlan, roster: Roster, site_id: str) -> None:
    """Refuse a plan without this site, or with a stranger.

    Raises:
        ProtocolError: ``UNKNOWN_SITE``.
    """
    try:
        plan.site(site_id)
    except PlanError as error:
        raise ProtocolError("UNKNOWN_SITE", error.message) from error
    if any(site.id not in roster.members for site in plan.sites):
        raise ProtocolError("UNKNOWN_SITE", "the plan names a site that is not in the roster")


def require_run(run: AcceptedRun | None, position: Position) -> AcceptedRun:
    """The run that a message is for, if the site is in it.

    Raises:
        ProtocolError: ``PLAN_MISMATCH`` or ``PROFILE_FORBIDDEN``.
    """
    if run is None or run.run_id != position.run_id:
        raise ProtocolError("PLAN_MISMATCH", "this site is not in that run")
    if digest_of(run.plan_bytes) != position.plan_digest:
        raise ProtocolError("PLAN_MISMATCH", "the message is for another plan")
    if run.plan.secagg.profile != position.profile:
        raise ProtocolError("PROFILE_FORBIDDEN", "the message is for another profile")
    return run


__all__ = ["check_members", "offered_plan", "require_run"]
