"""A row of the attack table, and how it is played: once against the real parties, once with a hole as a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fedward.common.errors import FedwardError, ProtocolError
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import PROFILES
from fedward.simulations.attacks.holes import Hole, opened
from fedward.simulations.attacks.scene import Scene

SHARED = (Profile.RESILIENT, Profile.RESILIENT_MALICIOUS)
"""The profiles with shares."""
Play = Callable[[Any], bool]
"""An attack. It tells whether the server got what it was after: a forged thing taken for good, say; the victim's vector
is looked for in any case. A refusal ends it."""


class Stage(Protocol):
    """Where an attack is played: ``Scene``, or another that can say what came of it."""

    code: str

    @property
    def num_charged(self) -> int:
        """Vectors of the victim that its budget was charged for."""
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
    charges: int = 0
    """Vectors that the victim is rightly charged for on the way."""
    is_stand_in: bool = False
    """The rule is kept by the caller of the protocol, a site's agent; the play stands in for it."""
    is_known_limit: bool = False
    """It passes, and the documentation says so; it must not give the vector away."""

    def holes_for(self, profile: Profile) -> tuple[Hole, ...]:
        """Of the control."""
        return tuple(self.holes(profile) if callable(self.holes) else self.holes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came of playing a row once."""

    code: str
    charged: int
    passed: bool
    recovered: bool


def try_out(attack: Attack, profile: Profile, holes: Sequence[Hole] = ()) -> Trial:
    """Play a row once, from the beginning."""
    with opened(holes):
        scene = attack.scene(profile)
        try:
            passed, code = attack.play(scene), ""
        except ProtocolError as error:
            passed, code = False, error.code
        except FedwardError:
            # What a site's agent makes of any other error before it has sent something.
            passed, code = False, "ABSTAIN"
        charged = scene.num_charged
    return Trial(code=code or scene.code, charged=charged, passed=passed, recovered=scene.is_recovered())


def judge(attack: Attack, profile: Profile) -> dict[str, Any]:
    """Play a row and its control: one object of the report.

    ``succeeded``: the server has got what it may not have. ``is_sound``: the refusal and the charge are the expected
    ones, and the control shows that the attack works where the check is missing.
    """
    trial, holes = try_out(attack, profile), attack.holes_for(profile)
    control = try_out(attack, profile, holes)
    works = control.recovered if profile in attack.vector_in else control.passed or control.recovered
    is_as_expected = trial.code == attack.expected and trial.charged == attack.charges
    gained = trial.recovered or (trial.passed and not attack.is_known_limit)
    return {
        "attack": attack.name,
        "part": attack.part,
        "profile": profile.value,
        "attacker": attack.attacker,
        "expected": attack.expected,
        "received": trial.code,
        "charged": trial.charged,
        "vector_recovered": trial.recovered,
        "succeeded": gained,
        "is_as_expected": is_as_expected,
        "is_stand_in": attack.is_stand_in,
        "is_known_limit": attack.is_known_limit,
        "control": {
            "checks_off": [hole.name for hole in holes],
            "received": control.code,
            "vector_recovered": control.recovered,
            "succeeded": works,
        },
        "is_sound": is_as_expected and works,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Headline figures of a report."""
    return {
        "attacks": len(rows),
        "succeeded": sum(bool(row["succeeded"]) for row in rows),
        "broken": sum(not row["is_sound"] for row in rows),
    }


__all__ = ["Attack", "judge", "Play", "SHARED", "Stage", "summary", "Trial", "try_out"]
