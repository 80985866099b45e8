"""What each module of the structured detector offers."""

from __future__ import annotations

import importlib

import pytest

NAMES = ["anchors", "dates", "hits", "labels", "numbers", "reading", "rules", "runs", "scan", "short_runs", "values"]


@pytest.mark.parametrize("name", NAMES)
def test_all_is_sorted_and_present(name: str) -> None:
    module = importlib.import_module(f"fedward.common.desensitize.detectors.{name}")
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
