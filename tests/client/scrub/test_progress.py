import io

import pytest
from rich.console import Console

from fedward.client.scrub.progress import LINE_SECONDS, Lines, counts_line, progress_on
from fedward.common.desensitize.tally import Tally


def tally(**by_type: int) -> Tally:
    found = Tally(records=1234)
    for type_, count in by_type.items():
        found.hits[type_, "rule", 2, "surrogate"] = count
    return found


def test_line_comes_every_half_minute_and_not_before() -> None:
    now, said = [0.0], list[str]()
    lines = Lines(10_000_000, said.append, lambda: now[0])
    for seconds in (1.0, LINE_SECONDS - 1, LINE_SECONDS, LINE_SECONDS + 1, 2 * LINE_SECONDS):
        now[0] = seconds
        lines.update(5_000_000, tally(PHONE=7))
    assert said == [
        "50 %, 5.0 MB, 0.17 MB/s; 1,234 records: PHONE 7",
        "50 %, 5.0 MB, 0.08 MB/s; 1,234 records: PHONE 7",
    ]


def test_rare_types_are_added_up() -> None:
    assert counts_line(tally(A=5, B=4, C=3, D=2, E=1, F=1)) == "1,234 records: A 5, B 4, C 3, D 2, others 2"
    assert counts_line(Tally(records=1)) == "1 records: nothing found"


def test_kept_types_are_no_replacements() -> None:
    found = tally(PHONE=1)
    found.hits["LOC", "rule", 2, "keep"] = 9
    assert found.by_type == {"PHONE": 1}


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_shows_counts_on_a_terminal_and_nothing_at_once_elsewhere(is_terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=200)
    with progress_on(console, 100) as progress:
        progress.update(50, tally(PHONE=7))
    assert ("PHONE 7" in out.getvalue()) is is_terminal
