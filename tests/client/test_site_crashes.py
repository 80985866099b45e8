"""A crash at any step of a release: whatever was begun stays counted, in the run's account and in the site's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fedward.client.site import SiteAgent
from fedward.common.agreement import PROBE_ROUND, round_event
from fedward.common.ledger.budget import BudgetAccount
from fedward.common.messages import codec
from fedward.common.privacy import clip_probe
from fedward.common.secagg.plain import PlainParticipant
from tests.federation_simulator import FakeTrainer, Federation, make_plan, refusal_of

AUTO = make_plan(privacy={"clip_norm": "auto"})


class _CrashError(BaseException):
    """The site catches everything else; this is the end of its process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crash:
    """At the given call of a method, before or after its work is done."""

    owner: type | object
    method: str
    call: int = 1
    after: bool
    read: bool
    """Whether private data was read by then."""

    @property
    def name(self) -> str:
        return f"{'after' if self.after else 'before'} call {self.call} of {self.method}"


# The run's account is the first to reserve and the second to be charged.
CRASHES = [
    Crash(owner=BudgetAccount, method="reserve", call=1, after=False, read=False),
    Crash(owner=BudgetAccount, method="reserve", call=1, after=True, read=False),
    Crash(owner=BudgetAccount, method="reserve", call=2, after=True, read=False),
    Crash(owner=FakeTrainer, method="work", after=False, read=False),
    Crash(owner=FakeTrainer, method="work", after=True, read=True),
    Crash(owner=BudgetAccount, method="charge", call=1, after=False, read=True),
    Crash(owner=BudgetAccount, method="charge", call=1, after=True, read=True),
    Crash(owner=BudgetAccount, method="charge", call=2, after=True, read=True),
    Crash(owner=PlainParticipant, method="vector", after=True, read=True),
    Crash(owner=codec, method="seal", after=False, read=True),
    Crash(owner=codec, method="seal", after=True, read=True),
]


def arrange(crash: Crash, method: str, patch: pytest.MonkeyPatch) -> None:
    original, calls = getattr(crash.owner, method), [0]

    def crashing(*args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] != crash.call:
            return original(*args, **kwargs)
        if crash.after:
            original(*args, **kwargs)
        raise _CrashError

    patch.setattr(crash.owner, method, crashing)


def restarted(federation: Federation, agent: SiteAgent) -> SiteAgent:
    """The site as its ledger has it."""
    return federation.agent(store=agent._store)


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.name)
@pytest.mark.parametrize("number", [PROBE_ROUND, 1], ids=["probe", "training"])
def test_a_crash_never_leaves_less_counted_than_was_begun(
    number: int, crash: Crash, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(AUTO if number == PROBE_ROUND else make_plan())
    event = clip_probe.EVENT if number == PROBE_ROUND else round_event(federation.plan)
    agent, request = federation.joined(), federation.train(number)
    work = "noisy_norms" if number == PROBE_ROUND else "update"
    with monkeypatch.context() as patch:
        arrange(crash, work if crash.method == "work" else crash.method, patch)
        with pytest.raises(_CrashError):
            agent.handle(request)
    trainer, again = federation.trainers["alpha"], restarted(federation, agent)
    assert bool(trainer.calls or trainer.probes) is crash.read
    if crash.read:
        assert again.history == again.accounts.of_site.history == (event,)
        # The position is used up: nothing can be released for it a second time under the same charge.
        assert refusal_of(again.handle(request)).code == "REPLAY_CONFLICT"
    else:
        assert again.history in ((), (event,))
