"""What a vault holds, by kind. A kind is ephemeral or durable here, in code, and by no setting.

The data key of an *ephemeral* kind lives in the process's memory alone: no slot is ever written, and a crash or the end
of the run leaves noise. The data key of a *durable* kind stands, wrapped, in a slot.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RUN_ID_BYTES: Final = 16
SITE_DATA: Final = bytes(RUN_ID_BYTES)
"""In the place of a run's id, for what belongs to no run: training data, quarantine."""


class Kind(StrEnum):
    """Of an object; its key and its readers follow from it."""

    SHARD = "shard"
    AUGMENTED = "augmented"
    OPTIMIZER = "optimizer"
    DATASET_CACHE = "dataset_cache"
    PROBE = "probe"
    SHADOW = "shadow"
    TRAINING = "training"
    QUARANTINE = "quarantine"
    CHECKPOINT = "checkpoint"
    ADAPTER = "adapter"
    SHEETS = "sheets"
    SCORES = "scores"
    REPORT = "report"
    LOG = "log"
    INDEX = "index"

    @property
    def is_ephemeral(self) -> bool:
        """Whether its key dies with the process."""
        return self in EPHEMERAL


EPHEMERAL: Final = frozenset({Kind.SHARD, Kind.AUGMENTED, Kind.OPTIMIZER, Kind.DATASET_CACHE, Kind.PROBE, Kind.SHADOW})
DURABLE: Final = frozenset(Kind) - EPHEMERAL
KEPT: Final = frozenset({Kind.ADAPTER, Kind.REPORT})
"""What of a run outlives it."""

__all__ = ["DURABLE", "EPHEMERAL", "KEPT", "Kind", "RUN_ID_BYTES", "SITE_DATA"]
