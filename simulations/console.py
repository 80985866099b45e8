"""What a person sees while a simulation runs: stages, progress bars with the time left, the final summary.

Progress goes to standard error, results to standard output, so that ``--json`` can be piped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.markup import escape

from fedward.common.agreement import PROBE_ROUND

if TYPE_CHECKING:
    from fedward.server.rounds import RoundRecord


class Ticker(Protocol):
    """Moves one progress bar."""

    def __call__(self, done: float, note: str = "") -> None:
        """Show that ``done`` of the total are done."""
        ...


class Interface(Protocol):
    """What the driver tells a user."""

    def bar(self, title: str, total: float) -> Any:  # noqa: ANN401 - a context manager of a Ticker
        """A progress bar for the time of a ``with`` block."""
        ...

    def say(self, text: str) -> None:
        """One line."""
        ...


class Silent:
    """Says nothing; for tests and for ``--quiet``."""

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator[Ticker]:
        """See ``Interface.bar``."""
        yield lambda done, note="": None

    def say(self, text: str) -> None:
        """See ``Interface.say``."""


class RichInterface:
    """Bars and lines on standard error."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator[Ticker]:
        """See ``Interface.bar``."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=False) as progress:
            task = progress.add_task(title, total=total, note="")

            def tick(done: float, note: str = "") -> None:
                progress.update(task, completed=done, note=note)

            yield tick

    def say(self, text: str) -> None:
        """See ``Interface.say``."""
        self.console.print(text)


class RoundProgress:
    """The round loop's observer: one bar over all rounds, sites and steps."""

    def __init__(self, ui: Interface, tick: Ticker, *, num_rounds: int, num_sites: int) -> None:
        self._ui = ui
        self._tick = tick
        self._num_rounds = num_rounds
        self._num_sites = num_sites
        self._answered = 0
        self._round = 1

    def run_started(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        """See ``Observer.run_started``."""
        for site, code in sorted(refusals.items()):
            self._ui.say(f"[yellow]{escape(site)} does not take part: {escape(code)}[/]")

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """See ``Observer.site_answered``."""
        is_probe = round_number == PROBE_ROUND
        if outcome != "ok":
            where = "probe of gradient norms" if is_probe else f"round {round_number}"
            self._ui.say(f"[yellow]{where}: {escape(site_id)} left out: {escape(outcome)}[/]")
        if is_probe:
            self._tick(self._answered, "probe of gradient norms")
            return
        self._answered += 1
        self._round = round_number
        self.step(0, 1)

    def clip_found(self, clip_norm: float) -> None:
        """See ``Observer.clip_found``."""
        self._ui.say(f"Clip norm {clip_norm:.4g}: the median of the cohort's gradient norms, by a private probe")

    def step(self, done: int, total: int) -> None:
        """A site has done that many of its steps in this round."""
        note = f"round {self._round}/{self._num_rounds}"
        self._tick(self._answered + min(done / max(total, 1), 1.0), note)

    def round_finished(self, record: RoundRecord) -> None:
        """See ``Observer.round_finished``."""
        self._answered = record.round_number * self._num_sites
        self._round = record.round_number + 1 if record.round_number < self._num_rounds else record.round_number
        self.step(0, 1)
