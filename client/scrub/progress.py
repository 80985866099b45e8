"""How far a run is: a bar on a terminal, a line every half minute elsewhere. Counts only, never text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console

from fedward.common.desensitize.tally import Tally

LINE_SECONDS = 30.0
_MB = 1e6
_SHOWN_TYPES = 4


class Progress(Protocol):
    """Told after every chunk."""

    def update(self, done_bytes: int, tally: Tally) -> None:
        """So many bytes of the input are done; ``tally`` is of all of them."""


class Silent:
    """Says nothing."""

    def update(self, done_bytes: int, tally: Tally) -> None:
        """See ``Progress``."""


class Lines:
    """A line every ``LINE_SECONDS``.

    Args:
        total_bytes: of the input.
        say: takes a line.
        now_s: monotonic seconds.
    """

    def __init__(
        self, total_bytes: int, say: Callable[[str], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._say, self._now_s = total_bytes, say, now_s
        self._start = self._last = now_s()

    def update(self, done_bytes: int, tally: Tally) -> None:
        """See ``Progress``."""
        now = self._now_s()
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        share = 100 * done_bytes / max(self._total, 1)
        rate = done_bytes / _MB / max(now - self._start, 1e-9)
        self._say(f"{share:.0f} %, {done_bytes / _MB:.1f} MB, {rate:.2f} MB/s; {counts_line(tally)}")


def counts_line(tally: Tally) -> str:
    """Records and the commonest types, in a few words."""
    by_type = sorted(tally.by_type.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count:,}" for name, count in by_type[:_SHOWN_TYPES])
    rest = sum(count for _, count in by_type[_SHOWN_TYPES:])
    shown += f", others {rest:,}" if rest else ""
    return f"{tally.records:,} records: {shown or 'nothing found'}"


@contextmanager
def progress_on(console: Console, total_bytes: int) -> Iterator[Progress]:
    """A bar if ``console`` is a terminal, else lines."""
    if not console.is_terminal:
        yield Lines(total_bytes, lambda line: console.print(line, highlight=False, markup=False))
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total_bytes)

        class _Bar:
            def update(self, done_bytes: int, tally: Tally) -> None:
                """See ``Progress``."""
                bar.update(task, completed=done_bytes, description=counts_line(tally))

        yield _Bar()


__all__ = ["counts_line", "LINE_SECONDS", "Lines", "Progress", "progress_on", "Silent"]
