"""Small data and recipes for the tests of the simulations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Writer = Callable[..., Path]
PARTIES = {"simulation.key", "sites", "server", "server.key"}
"""What the parties of a simulation keep in its output folder."""

_SYMPTOMS = ("cough", "fever", "chest pain", "palpitations", "乏力", "咳嗽三天")


def write_records(path: Path, *, num_patients: int = 24, prefix: str = "p") -> None:
    """A JSONL file with one to three short notes a patient."""
    rows = [
        {
            "patient": f"{prefix}{patient}",
            "text": f"Visit {visit}: {_SYMPTOMS[(patient + visit) % 6]}, BP 1{patient % 10}0/80. Plan: review.",
            "kind": "note",
        }
        for patient in range(num_patients)
        for visit in range(1 + patient % 3)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def toml_of(document: dict[str, Any]) -> str:
    """Just enough of TOML for recipes."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in document.items() if not isinstance(value, dict | list)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{k} = {_value(v)}" for k, v in value.items())]
        elif isinstance(value, list):
            for item in value:
                lines += [f"[[{key}]]", *(f"{k} = {_value(v)}" for k, v in item.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def small_recipe(num_sites: int = 3) -> dict[str, Any]:
    """A recipe whose run takes seconds."""
    return {
        "schema": "fedward.recipe/1",
        "name": "small",
        "seed": 3,
        "rounds": 2,
        "base": {"max_length_tokens": 48},
        "lora": {"rank": 2, "alpha": 4.0, "targets": ["q_proj", "v_proj"]},
        "privacy": {"epsilon": 5.0, "delta": 1e-5},
        "training": {"sample_rate": 0.25, "steps_per_round": 2, "max_records_per_unit": 2, "max_batch_tokens": 1024},
        "secagg": {"profile": "strict"},
        "evaluation": {"heldout_share": 0.2, "sample_tokens": 4},
        "desensitize": {"least_profile": "structured"},
        "scrub": {"profile": "structured", "canaries": {"num_structured": 12, "num_names": 0}},
        "data": {"text_columns": ["text"], "patient_column": "patient"},
        "sites": [{"id": f"site-{i}", "nominal_units": 20, "path": f"site-{i}.jsonl"} for i in range(num_sites)],
    }


@pytest.fixture
def recipe_file(tmp_path: Path) -> Writer:
    """Writes three sites' files and a recipe, changed by the caller; returns the recipe's path."""

    def write(change: Callable[[dict[str, Any]], None] | None = None) -> Path:
        document = small_recipe()
        for site in document["sites"]:
            write_records(tmp_path / site["path"], prefix=site["id"])
        if change is not None:
            change(document)
        path = tmp_path / "recipe.toml"
        path.write_text(toml_of(document), "utf-8")
        return path

    return write
