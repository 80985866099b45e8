"""Made-up machines: a table of mounts and a ``/sys`` of block devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedward.common.shredding.media import System


class Machine:
    """A machine whose disks and mounts a test writes down.

    Args:
        root: an empty folder for its ``/sys`` and ``/proc/fs``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.device_by_path: dict[str, tuple[int, int]] = {}
        self._default = (8, 1)

    def disk(
        self,
        device: str,
        name: str,
        *,
        rotational: str | None = "1",
        bus: str = "pci0000:00/ata1",
        partition: str | None = None,
        slaves: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> Path:
        """A disk, and its number, which is that of its partition if it has one."""
        folder = self.root / "devices" / bus / "block" / name
        (folder / "queue").mkdir(parents=True)
        if rotational is not None:
            (folder / "queue/rotational").write_text(f"{rotational}\n")
        for inner, value in (attributes or {}).items():
            (folder / inner).parent.mkdir(parents=True, exist_ok=True)
            (folder / inner).write_text(f"{value}\n")
        (folder / "slaves").mkdir()
        for slave in slaves:
            target = next(self.root.glob(f"devices/**/block/{slave}"))
            (folder / "slaves" / slave).symlink_to(target)
        shown = folder
        if partition is not None:
            shown = folder / partition
            shown.mkdir()
            (shown / "partition").write_text("1\n")
        numbers = self.root / "dev/block"
        numbers.mkdir(parents=True, exist_ok=True)
        (numbers / device).symlink_to(shown)
        return folder

    def mount(self, device: str, point: str, fs_type: str, options: str = "rw", *, source: str = "/dev/x") -> None:
        """A line of the table, behind those before."""
        number = 20 + len(self.lines)
        self.lines.append(f"{number} 1 {device} / {point} rw,relatime shared:{number} - {fs_type} {source} {options}")

    def holds(self, path: Path | str, device: str) -> None:
        """``path`` and what is below it have this device number."""
        major, minor = device.split(":")
        self.device_by_path[str(path)] = int(major), int(minor)

    @property
    def system(self) -> System:
        """As ``medium_of`` takes it."""
        table = "".join(f"{line}\n" for line in self.lines).encode()
        return System(
            mountinfo=lambda: table,
            sys_root=self.root,
            ext_options=self.root / "proc-fs",
            device_of=self._device_of,
            is_linux=True,
        )

    def _device_of(self, path: Path) -> tuple[int, int]:
        known = [str(above) for above in (path, *path.parents) if str(above) in self.device_by_path]
        return self.device_by_path[known[0]] if known else self._default
