"""The cohort that plays rounds in tests: the one of the attack command."""

from fedward.simulations.attacks.cohort import (
    DEADLINES,
    FIRST,
    LAYOUT,
    MODEL,
    PROFILES,
    RUN_ID,
    SECRET,
    Cohort,
    Site,
    dither_of,
    stream_of,
    unchecked,
    update_of,
)
from fedward.simulations.attacks.plays import Outcome, play

__all__ = [
    "Cohort",
    "DEADLINES",
    "dither_of",
    "FIRST",
    "LAYOUT",
    "MODEL",
    "Outcome",
    "play",
    "PROFILES",
    "RUN_ID",
    "SECRET",
    "Site",
    "stream_of",
    "unchecked",
    "update_of",
]
