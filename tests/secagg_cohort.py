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
    Outcome,
    Site,
    dither_of,
    play,
    stream_of,
    unchecked,
    update_of,
)

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
