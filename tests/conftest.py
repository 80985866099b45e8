"""Settings of all tests: hypothesis repeatable and without time limits, a strict log, a clear word on missing links."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fedward.common.logs.logger import log

settings.register_profile("fedward", deadline=None, derandomize=True)
settings.load_profile("fedward")

ROOMS = ("client", "common", "server", "simulations")


def pytest_configure(config: pytest.Config) -> None:
    broken = [room for room in ROOMS if not (config.rootpath / "fedward" / room).is_dir()]
    if broken:
        raise pytest.UsageError(
            f"fedward/{broken[0]} is no link to a folder: clone with `git config core.symlinks true`, "
            "or install the wheel (docs/adr/0001-rooms-are-links.md)"
        )


@pytest.fixture(scope="module", autouse=True)
def umask_of_before() -> Iterator[None]:
    """Commands set the umask of their process, which here is that of all tests."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session", autouse=True)
def strict_log() -> Iterator[None]:
    """What a site would drop from its log and count, raises here."""
    with log.strict():
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the source tree."""
    return Path(__file__).parents[1]
