"""What desensitisation costs a language model: the same federated run on raw and on scrubbed text, then departments.

Four sites tune the embedded base with LoRA on lines "question, department", without noise, so that what differs is the
text alone. A held-out question's department is the one with which the tuned model finds the line likeliest. Both arms
have the same records, sites, seed and steps; each is judged on its own kind of text.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  # the split, the same for both arms
from typing import TYPE_CHECKING, Any

from fedward.common.errors import DataError
from fedward.simulations.benchmarks.scrub_subjects import Pipeline
from fedward.simulations.console import Interface, RoundProgress, Silent
from fedward.simulations.scrub_corpus.gold import Sample

if TYPE_CHECKING:
    from fedward.client.training.session import AdapterSession

MAX_LOSS_POINTS = 2.0
"""How much accuracy may differ, in points of a hundred."""
NUM_SITES = 4
_MAX_CHARACTERS = 40
"""Of a question: the department behind it has to lie within the model's length."""

_RECIPE = """
schema = "fedward.recipe/1"
name = "departments"
seed = 12
rounds = {rounds}
[base]
name = "embedded"
max_length_tokens = 128
[lora]
rank = 16
alpha = 32.0
targets = ["all-linear"]
[privacy]
mode = "none"
unit = "patient"
clip_norm = 1.0
[training]
sample_rate = 0.05
steps_per_round = {steps}
learning_rate = 2.0
max_records_per_unit = 1
max_batch_tokens = 8192
[secagg]
min_cohort = 3
weights = "declared"
[evaluation]
heldout_share = 0.02
max_heldout_records = 20
sample_tokens = 0
[data]
path = "train.jsonl"
text_columns = ["text"]
patient_column = "id"
"""
_SITE = '[[sites]]\nid = "s{0}"\nnominal_units = {1}\nwhere = {{ site = "s{0}" }}\n'
_DO_WITHOUT = {"desensitize.required": False}
"""The text comes as it is to be: scrubbed before, or on purpose not at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is run."""

    data: Path
    """JSON Lines with ``label`` and ``title``."""
    profile: str = "fast"
    rounds: int = 6
    steps: int = 30
    held_out: int = 1000
    seed: int = 1


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Train both arms.

    Returns:
        ``accuracy_raw``, ``accuracy_scrubbed``, ``difference_points`` paired by record with its 95 % interval,
        ``majority``, ``changed_records``, ``passed``.
    """
    labels, raw = _read(scope.data)
    order = Random(scope.seed).sample(range(len(raw)), len(raw))  # noqa: S311  # a split
    labels, raw = [labels[n] for n in order], [raw[n] for n in order]
    scrubbed = _scrubbed(raw, scope.profile)
    with (ui or Silent()).bar("Desensitisation, training", 2) as tick:
        first = _arm(raw, labels, scope)
        tick(1, "scrubbed")
        second = _arm(scrubbed, labels, scope)
    gaps = [100.0 * (b - a) for a, b in zip(first, second, strict=True)]
    mean = sum(gaps) / len(gaps)
    error = 1.959964 * math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
    judged = labels[: scope.held_out]
    return {
        "accuracy_raw": sum(first) / len(first),
        "accuracy_scrubbed": sum(second) / len(second),
        "difference_points": mean,
        "interval_points": (mean - error, mean + error),
        "majority": max(map(judged.count, set(judged))) / len(judged),
        "changed_records": sum(a != b for a, b in zip(raw, scrubbed, strict=True)),
        "records": len(raw),
        "passed": abs(mean) <= MAX_LOSS_POINTS,
    }


def _read(path: Path) -> tuple[list[str], list[str]]:
    labels, texts = [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            labels.append(str(record["label"]))
            texts.append(str(record["title"])[:_MAX_CHARACTERS])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path.name}, line {number}: expected label and title") from error
    return labels, texts


def _scrubbed(texts: Sequence[str], profile: str) -> list[str]:
    samples = [
        Sample(document_id=f"t{n}", patient_id=f"t{n}", kind="training", text=text, gold=())
        for n, text in enumerate(texts)
    ]
    return [reading.text or "" for reading in Pipeline(profile).read(samples)]


def _arm(texts: Sequence[str], labels: Sequence[str], scope: Scope) -> list[bool]:
    """Train on all but the first ``held_out`` records; whether each of those is told right."""
    lines = [f"{text}\n科室：" for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with (root / "train.jsonl").open("w", encoding="utf-8") as file:
            for n in range(scope.held_out, len(lines)):
                row = {"id": f"r{n}", "site": f"s{n % NUM_SITES}", "text": lines[n] + labels[n]}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        units = (len(lines) - scope.held_out) // NUM_SITES
        sites = "".join(_SITE.format(n, units) for n in range(NUM_SITES))
        (root / "recipe.toml").write_text(_RECIPE.format(rounds=scope.rounds, steps=scope.steps) + sites, "utf-8")
        session = _trained(root)
    return _told(session, lines[: scope.held_out], labels[: scope.held_out], sorted(set(labels)))


def _trained(root: Path) -> AdapterSession:
    from fedward.simulations.driver import (
        Options,
        find_base,
        load_session,
        make_job,
        read_all,
        run_in_process,
        tokenise_all,
    )
    from fedward.simulations.recipe import read_recipe

    quiet = Silent()
    recipe = read_recipe(root / "recipe.toml", _DO_WITHOUT)
    options = Options(data_root=root, out=Path(), seeded_noise=True)
    base = find_base(recipe, options, quiet)
    session = load_session(recipe, base)
    sites = tokenise_all(recipe, read_all(recipe, options, quiet), session, quiet)
    job = make_job(recipe, options, session, base)
    with quiet.bar("", 1) as tick:
        progress = RoundProgress(quiet, tick, num_rounds=job.plan.rounds, num_sites=len(sites))
        session.load(run_in_process(job, sites, session, progress).adapter)
    return session


def _told(session: AdapterSession, lines: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> list[bool]:
    from fedward.common.evaluation.utility import score_texts

    tokenizer = session.tokenizer
    ids = [
        [tokenizer.bos_token_id, *tokenizer.encode(line + label, add_special_tokens=False), tokenizer.eos_token_id]
        for line in lines
        for label in classes
    ]
    scores = score_texts(session.model, ids, [1] * len(ids), pad_token_id=int(tokenizer.pad_token_id))
    losses = [score.nll_nats for score in scores]
    right = []
    for n, label in enumerate(labels):
        of_line = losses[n * len(classes) : (n + 1) * len(classes)]
        right.append(classes[of_line.index(min(of_line))] == label)
    return right
