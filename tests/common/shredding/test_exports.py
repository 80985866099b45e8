"""What each module of the room exports."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from fedward.common import shredding

MODULES = sorted(path.stem for path in Path(shredding.__path__[0]).glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(f"fedward.common.shredding.{name}")
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
