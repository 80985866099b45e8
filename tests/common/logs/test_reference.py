"""docs/logs.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from fedward.common.logs.fields import Duration
from fedward.common.logs.reference import table
from fedward.common.logs.retention import LOG_DAYS


def test_table_of_the_documentation_is_that_of_the_schemas(repository: Path) -> None:
    page = (repository / "docs" / "logs.md").read_text("utf-8")
    assert table() in page, "write it anew: python -m fedward.common.logs.reference"


def test_documentation_names_the_steps_and_the_days(repository: Path) -> None:
    page = (repository / "docs" / "logs.md").read_text("utf-8")
    assert f"{LOG_DAYS} days" in page
    assert Duration().label.removeprefix("duration: ") in page
