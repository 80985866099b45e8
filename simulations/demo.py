"""``fedward demo``: synthetic hospitals in Chinese and English, fine-tuned together with the default plan."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fedward.common.config import to_json, validated
from fedward.common.errors import ConfigError
from fedward.simulations.console import Interface
from fedward.simulations.driver import Stopwatch
from fedward.simulations.recipe import Recipe

PATIENTS_PER_SITE = 400
HELDOUT_PATIENTS = 40
_TOO_FEW_FOR_RESILIENT = 3

PLAN: dict[str, Any] = {
    "schema": "fedward.recipe/1",
    "name": "demo: synthetic hospitals",
    "rounds": 6,
    "base": {"name": "embedded", "max_length_tokens": 112},
    "lora": {"rank": 8, "alpha": 16.0, "targets": ["all-linear"]},
    "privacy": {"epsilon": 5.0, "delta": 1e-5, "clip_norm": 1.0},
    "training": {
        "sample_rate": 0.06,
        "steps_per_round": 8,
        "optimizer": "sgd",
        "learning_rate": 0.7,
        "max_records_per_unit": 1,
        "max_batch_tokens": 4096,
    },
    "evaluation": {"max_heldout_records": 120, "sample_tokens": 32},
    "scrub": {"canaries": {"num_structured": 200, "num_names": 200}},
}
"""The default plan of the demo; every setting is explained in ``docs/plan.md``."""


@contextmanager
def demo_data(
    *, seed: int, num_sites: int, keep: Path | None, ui: Interface, watch: Stopwatch
) -> Iterator[tuple[Path, list[str]]]:
    """Generate the hospitals' files; yields their folder and the sites' ids.

    Args:
        keep: leave the files here; None: a temporary folder that is removed at the end.
    """
    if keep is not None and keep.exists() and not keep.is_dir():
        raise ConfigError(f"{keep} is a file", hint="Give a folder with --keep-data.")
    with tempfile.TemporaryDirectory(prefix="fedward-demo-") if keep is None else nullcontext(str(keep)) as folder:
        with watch.stage("generate"):
            site_ids = _generate(Path(folder), seed=seed, num_sites=num_sites, ui=ui)
        yield Path(folder), site_ids


def _generate(folder: Path, *, seed: int, num_sites: int, ui: Interface) -> list[str]:
    from fedward.simulations.hospitals import generate_hospitals, write_site

    with ui.bar("Inventing hospitals", num_sites) as tick:
        hospitals = generate_hospitals(
            seed=seed,
            num_sites=num_sites,
            patients_per_site=PATIENTS_PER_SITE,
            heldout_patients_per_site=HELDOUT_PATIENTS,
        )
        for index, hospital in enumerate(hospitals):
            write_site(hospital, folder / hospital.site_id)
            tick(index + 1)
    return [hospital.site_id for hospital in hospitals]


def profile_for(num_sites: int) -> str:
    """``resilient``, for which three sites are too few."""
    return "resilient" if num_sites > _TOO_FEW_FOR_RESILIENT else "strict"


def demo_recipe(
    site_ids: list[str],
    *,
    seed: int,
    epsilon: float | None,
    rounds: int | None,
    private: bool,
    base: str,
    distributed: bool = False,
) -> Recipe:
    """The default plan for these sites.

    Args:
        distributed: as many steps, each a round of its own, with the noise in shares.

    Raises:
        ConfigError: a value from the command line that cannot be.
    """
    if distributed and not private:
        raise ConfigError("mode distributed without noise", hint="Give either --mode distributed or --no-dp.")
    privacy = {**PLAN["privacy"], "mode": "local" if private else "none"}
    if epsilon is not None:
        privacy["epsilon"] = epsilon
    document = {
        **PLAN,
        "seed": seed,
        "rounds": rounds or PLAN["rounds"],
        "privacy": privacy,
        "base": {**PLAN["base"], "name": base},
        "secagg": {"profile": profile_for(len(site_ids)), "min_cohort": min(3, len(site_ids))},
        "data": {"text_columns": ["text"], "patient_column": "patient_id", "label_column": "label"},
        "sites": [
            {
                "id": site_id,
                "nominal_units": PATIENTS_PER_SITE,
                "path": f"{site_id}/train.jsonl",
                "heldout_path": f"{site_id}/heldout.jsonl",
            }
            for site_id in site_ids
        ],
    }
    if distributed:
        steps = PLAN["rounds"] * PLAN["training"]["steps_per_round"]
        document = {
            **document,
            "rounds": rounds or steps,
            "privacy": {**privacy, "mode": "distributed"},
            "training": {**PLAN["training"], "steps_per_round": 1},
            "server": {"optimizer": "fedadam"},
            "secagg": {**document["secagg"], "weights": "fixed_denominator"},
        }
    return validated(Recipe, to_json(document, "the demo's recipe"), "the demo's recipe")
