"""A row of the attack table, and how it is played: once against the real parties, once with a hole as a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from fedward.common.errors import ProtocolError
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import PROFILES
from fedward.simulations.attacks.holes import Hole, opened
from fedward.simulations.attacks.scene import Scene

SHARED = (Profile.RESILIENT, Profile.RESILIENT_MALICIOUS)
"""The profiles with shares."""
Play = Callable[[Any], bool]
"""An attack on a ``Stage``. It tells whether the server got what it was after: a forged thing taken for good, say; the
victim's vector is looked for in any case, and what the victim gave away is counted. A refusal ends it."""
VECTOR = "the victim's vector"


class Stage(Protocol):
    """Where an attack is played: ``Scene``, or another that can say what came of it."""

    code: str
    party: str
    """What is attacked."""

    @property
    def num_charged(self) -> int:
        """Vectors of the victim that its budget was charged for."""
        ...

    @property
    def given(self) -> Mapping[str, int]:
        """How many different replies of each kind the victim has given."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...

    def is_recovered(self) -> bool:
        """Whether the server can tell one vector of the victim from all it has."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """One row, for each profile in which it makes sense."""

    name: str
    part: str
    """Row of the design's table."""
    play: Play
    expected: str
    """Refusal code of the site, or code of the coordinator; empty: it is answered, and gains nothing."""
    holes: Sequence[Hole] | Callable[[Profile], Sequence[Hole]]
    """Checks that the control plays without."""
    profiles: tuple[Profile, ...] = PROFILES
    scene: Callable[[Profile], Stage] = Scene
    attacker: str = "server"
    vector_in: tuple[Profile, ...] = ()
    """Profiles in which the control must give the victim's vector, and not only take what is forged."""
    rule: str = ""
    """Of the site's policy, which the refusal names beside its code."""
    charges: int = 0
    """Vectors that the victim is rightly charged for on the way."""
    party: str = ""
    """Who must see through it; empty: the victim, as its scene has it."""
    gain: str = ""
    """What the play itself measures, where the victim's replies do not show it: a false sum that is accepted, say."""
    is_known_limit: bool = False
    """It passes, and the documentation says so; it must not give the vector away."""

    def holes_for(self, profile: Profile) -> tuple[Hole, ...]:
        """Of the control."""
        return tuple(self.holes(profile) if callable(self.holes) else self.holes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came of playing a row once."""

    code: str
    rule: str
    charged: int
    passed: bool
    recovered: bool
    given: Mapping[str, int]
    """Different replies of the victim, by kind."""
    party: str

    def gain_over(self, real: Trial, attack: Attack) -> str:
        """What this trial got that the real one did not; empty: nothing that could be measured."""
        if self.recovered:
            return VECTOR
        if not self.passed:
            return ""
        return attack.gain or next((kind for kind, count in self.given.items() if count > real.given[kind]), "")


def try_out(attack: Attack, profile: Profile, holes: Sequence[Hole] = ()) -> Trial:
    """Play a row once, from the beginning."""
    with opened(holes), closing(attack.scene(profile)) as scene:
        try:
            passed, code, rule = attack.play(scene), "", ""
        except ProtocolError as error:
            passed, code, rule = False, error.code, error.rule
        return Trial(
            code=code or scene.code,
            rule=rule,
            charged=scene.num_charged,
            passed=passed,
            recovered=scene.is_recovered(),
            given=scene.given,
            party=attack.party or scene.party,
        )


def judge(attack: Attack, profile: Profile) -> dict[str, Any]:
    """Play a row and its control: one object of the report.

    ``succeeded``: the server has got what it may not have. ``is_sound``: the refusal and the charge are the expected
    ones, and the control shows that the attack works where the check is missing: the vector is recovered, or a reply of
    the victim is there that the real one did not give, or what the play measures has come true.
    """
    trial, holes = try_out(attack, profile), attack.holes_for(profile)
    control = try_out(attack, profile, holes)
    got = control.gain_over(trial, attack)
    works = got == VECTOR if profile in attack.vector_in else bool(got)
    found, wanted = (trial.code, trial.rule, trial.charged), (attack.expected, attack.rule, attack.charges)
    gained = trial.recovered or (trial.passed and not attack.is_known_limit)
    return {
        "attack": attack.name,
        "part": attack.part,
        "profile": profile.value,
        "attacker": attack.attacker,
        "against": trial.party,
        "expected": attack.expected,
        "received": trial.code,
        "rule": trial.rule,
        "charged": trial.charged,
        "vector_recovered": trial.recovered,
        "succeeded": gained,
        "is_as_expected": found == wanted,
        "is_known_limit": attack.is_known_limit,
        "control": {
            "checks_off": [hole.name for hole in holes],
            "received": control.code,
            "vector_recovered": control.recovered,
            "got": got,
            "succeeded": works,
        },
        "is_sound": found == wanted and works,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Headline figures of a report."""
    return {
        "attacks": len(rows),
        "succeeded": sum(bool(row["succeeded"]) for row in rows),
        "broken": sum(not row["is_sound"] for row in rows),
    }


__all__ = ["Attack", "judge", "Play", "SHARED", "Stage", "summary", "Trial", "try_out"]
