"""A crashing process leaves no core file."""

import subprocess
import sys

_SCRIPT = """
import resource
from fedward.client.scrub.core_files import forbid_core_files
if {hard} is not None:
    resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))
forbid_core_files()
print(*resource.getrlimit(resource.RLIMIT_CORE))
"""


def limits(hard: int | None) -> list[int]:
    """Of a process of its own, for a limit that was lowered stays so."""
    command = [sys.executable, "-c", _SCRIPT.format(hard=hard)]
    return [int(word) for word in subprocess.run(command, check=True, capture_output=True).stdout.split()]


def test_no_core_is_written_and_none_is_handed_to_a_collector() -> None:
    assert limits(None) in ([1, 1], [0, 0])


def test_a_limit_of_nothing_that_stands_already_is_enough() -> None:
    assert limits(0) == [0, 0]
