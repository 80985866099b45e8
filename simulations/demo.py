"""``fedward demo``: synthetic hospitals in Chinese and English, fine-tuned together with the default plan."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedward.common.config import to_json, validated
from fedward.common.errors import ConfigError
from fedward.simulations.console import Interface
from fedward.simulations.driver import Stopwatch
from fedward.simulations.passing_folder import passing_folder
from fedward.simulations.recipe import Recipe
from fedward.simulations.traces import Traces, default_folders, search, token_ids

PATIENTS_PER_SITE = 400
HELDOUT_PATIENTS = 40
_HOSPITAL_BYTES = 4 << 20
"""More than the files of one hospital take."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoData:
    """Invented hospitals on disk."""

    root: Path
    site_ids: list[str]
    marks: tuple[str, ...] = field(repr=False)
    """Phrases in the notes, by which a trace of them is recognised."""
    since_ns: int
    """When it began, by the file system's clock."""
    kept: Path | None
    """Where the files stay; None: they go."""

    def search(self, out: Path, base_path: Path) -> Traces:
        """Look for traces of the notes in what was written since; see ``traces``."""
        tokens = token_ids(base_path / "tokenizer.json", self.marks)
        return search(default_folders(out), self.marks, tokens=tokens, since_ns=self.since_ns, but=self.kept)


@contextmanager
def demo_data(
    *, seed: int, num_sites: int, keep: Path | None, ui: Interface, watch: Stopwatch, run_word: str = ""
) -> Iterator[DemoData]:
    """Generate the hospitals' files.

    Args:
        keep: leave the files here; None: a folder that is shredded at the end, in memory where that can be.
        run_word: of the marks; runs with the same are alike to the last byte.
    """
    if keep is not None and keep.exists() and not keep.is_dir():
        raise ConfigError(f"{keep} is a file", hint="Give a folder with --keep-data.")
    room_bytes = num_sites * _HOSPITAL_BYTES
    with passing_folder(room_bytes) if keep is None else nullcontext(keep) as root:
        root.mkdir(parents=True, exist_ok=True)
        since_ns = root.stat().st_ctime_ns if keep is None else _now_ns(root)
        with watch.stage("generate"):
            site_ids, phrases = _generate(root, seed=seed, num_sites=num_sites, ui=ui, run_word=run_word)
        yield DemoData(root=root, site_ids=site_ids, marks=phrases, since_ns=since_ns, kept=keep)


def _now_ns(folder: Path) -> int:
    """By the clock that stamps files."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".fedward-") as probe:
        return os.fstat(probe.fileno()).st_ctime_ns


def _generate(
    folder: Path, *, seed: int, num_sites: int, ui: Interface, run_word: str
) -> tuple[list[str], tuple[str, ...]]:
    from fedward.simulations.hospitals import generate_hospitals, write_site
    from fedward.simulations.hospitals.marks import marks, with_marks

    phrases: list[str] = []
    with ui.bar("Inventing hospitals", num_sites) as tick:
        hospitals = generate_hospitals(
            seed=seed,
            num_sites=num_sites,
            patients_per_site=PATIENTS_PER_SITE,
            heldout_patients_per_site=HELDOUT_PATIENTS,
        )
        for index, hospital in enumerate(hospitals):
            of_site = marks(seed, hospital, run=run_word)
            write_site(with_marks(hospital, of_site), folder / hospital.site_id)
            phrases += of_site
            tick(index + 1)
    return [hospital.site_id for hospital in hospitals], tuple(phrases)


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
