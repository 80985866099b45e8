"""What overwriting did and what it refused. Names of files are in no repr: they may tell something."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fedward.common.errors import ShreddingError


class Refusal(StrEnum):
    """Why something stays where it is."""

    OWNER = "owner"
    DEVICE = "device"
    """A device node."""
    MOUNT = "mount"
    """Another file system is mounted there."""
    CHANGED = "changed"
    """Replaced by another thing while it was looked at."""
    DEPTH = "depth"
    DENIED = "denied"
    """The system does not allow it: an immutable file, a medium that is read-only or broken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Something that stays. Its name may tell something and is only for its owner's eyes."""

    reason: Refusal
    path: str = field(repr=False)
    """Relative to the folder that was given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overwritten:
    """What was done."""

    num_files: int = 0
    num_folders: int = 0
    num_bytes: int = 0
    """Of files, as long as they were."""
    num_unnamed: int = 0
    """Links, sockets and pipes: they hold nothing and were removed unopened."""
    num_shared: int = 0
    """Files that had a second name; it now holds nothing."""
    num_unwritten: int = 0
    """Files that could not be overwritten (the disk is full or broken) and were truncated and removed."""
    refused: tuple[Refused, ...] = ()

    def __add__(self, other: Overwritten) -> Overwritten:
        """Both together."""
        return Overwritten(
            num_files=self.num_files + other.num_files,
            num_folders=self.num_folders + other.num_folders,
            num_bytes=self.num_bytes + other.num_bytes,
            num_unnamed=self.num_unnamed + other.num_unnamed,
            num_shared=self.num_shared + other.num_shared,
            num_unwritten=self.num_unwritten + other.num_unwritten,
            refused=self.refused + other.refused,
        )

    def require_complete(self) -> Overwritten:
        """This, if nothing was refused.

        Raises:
            ShreddingError: something stays. Its name is not told: it may be the name of a source.
        """
        if self.refused:
            reasons = ", ".join(sorted({refused.reason for refused in self.refused}))
            raise ShreddingError(f"{len(self.refused)} thing(s) of the run could not be removed ({reasons})")
        return self


__all__ = ["Overwritten", "Refusal", "Refused"]
