"""What privacy costs in held-out loss, by way of aggregating: one grid of runs on one data set, paired by seed.

All arms of a seed share the split, the start, the draws of patients and the noise (research runs, seeded), so their
differences are less noisy than they themselves. Learning rates are tuned for each arm with the same budget, on a seed
of its own; that is fair only on public text, for each trial on private records would have to be charged.

Rows are appended to a file as they are made: a grid that is stopped goes on where it was.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedward.common.errors import ConfigError
from fedward.simulations.console import Interface, RoundProgress, Silent
from fedward.simulations.driver import (
    Options,
    find_base,
    load_session,
    make_job,
    read_all,
    run_in_process,
    tokenise_all,
)
from fedward.simulations.measure import held_out_utility
from fedward.simulations.recipe import read_recipe

if TYPE_CHECKING:
    from rich.console import Console

ARMS: Mapping[str, Mapping[str, Any]] = {
    "ffa": {"lora.aggregation": "ffa", "lora.a_init": "random"},
    "ffa-orthonormal": {"lora.aggregation": "ffa", "lora.a_init": "orthonormal"},
    "fedsvd": {"lora.aggregation": "fedsvd"},
    "alternate": {"lora.aggregation": "alternate", "lora.a_init": "orthonormal"},
    "naive": {"lora.aggregation": "naive", "lora.a_init": "random"},
}
"""Name to the settings that make it."""

_TUNED_AS: Mapping[str, str] = {"fedsvd": "ffa-orthonormal"}
"""With plain SGD the two take the same path (a turn of B·A commutes with the steps), so they share a learning rate."""

NO_PRIVACY = math.inf
"""The epsilon of an arm without clipping and noise."""

TUNING_SEED = 1000
_COMPARISONS = (("ffa", "naive"), ("ffa-orthonormal", "ffa"), ("fedsvd", "ffa-orthonormal"), ("fedsvd", "ffa"))
_SAME_LOSS_NATS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One run."""

    arm: str
    epsilon: float
    """Target; infinite without privacy."""
    seed: int
    learning_rate: float
    loss_nats: float
    """Held-out loss of all sites' tokens together."""
    loss_base_nats: float
    """The same of the base model."""
    worst_site_perplexity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """What is run: every arm at every epsilon with every seed."""

    recipe: Path
    data_root: Path
    arms: Sequence[str] = tuple(ARMS)
    epsilons: Sequence[float] = (8.0, 3.0, NO_PRIVACY)
    seeds: Sequence[int] = (11, 12, 13)
    rates: Sequence[float] = ()
    """Learning rates to choose from, for each arm at each epsilon; none: the recipe's own."""
    changes: Mapping[str, Any]
    """Further settings, as of ``--set``."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.arms) - set(ARMS))
        if unknown:
            raise ConfigError(f"no arm {unknown[0]!r}", hint=f"Choose from {', '.join(ARMS)}.")
        if TUNING_SEED in self.seeds:
            raise ConfigError(f"seed {TUNING_SEED} is the one that learning rates are tuned with")


def measure(grid: Grid, *, rows_file: Path, ui: Interface) -> dict[str, Any]:
    """Run what is missing in ``rows_file`` and sum it up.

    Returns:
        ``rows``: every run of the evaluation seeds; ``table``: perplexity by arm and epsilon, mean and every seed;
        ``comparisons``: differences of the loss in nats, paired by seed, with their standard error.
    """
    rows = {(row.arm, row.epsilon, row.seed, row.learning_rate): row for row in _read(rows_file)}

    def ensure(arm: str, epsilon: float, seed: int, rate: float | None) -> Row:
        known = [
            row for key, row in rows.items() if key[:3] == (arm, epsilon, seed) and (rate is None or key[3] == rate)
        ]
        if known:
            return known[0]
        row = _run(grid, arm, epsilon, seed, rate, ui)
        rows[arm, epsilon, seed, row.learning_rate] = row
        _append(rows_file, row)
        return row

    chosen: list[Row] = []
    for epsilon in grid.epsilons:
        for arm in grid.arms:
            tuned_as = _TUNED_AS.get(arm, arm)
            rate = _tuned(grid.rates, lambda rate, a=tuned_as, e=epsilon: ensure(a, e, TUNING_SEED, rate))  # type: ignore[misc]
            chosen += [ensure(arm, epsilon, seed, rate) for seed in grid.seeds]
    return {
        "recipe": grid.recipe.name,
        "rows": [_plain(row) for row in chosen],
        "table": _table(chosen),
        "comparisons": _comparisons(chosen),
    }


def _tuned(rates: Sequence[float], run: Callable[[float], Row]) -> float | None:
    """The rate with the least held-out loss; None if there is no choice."""
    return min(rates, key=lambda rate: run(rate).loss_nats) if rates else None


def _run(grid: Grid, arm: str, epsilon: float, seed: int, rate: float | None, ui: Interface) -> Row:
    private = math.isfinite(epsilon)
    changes: dict[str, Any] = {
        **grid.changes,
        **ARMS[arm],
        "seed": seed,
        "privacy.mode": "local" if private else "none",
        "evaluation.sample_tokens": 0,
    }
    if private:
        changes["privacy.epsilon"] = epsilon
    if rate is not None:
        changes["training.learning_rate"] = rate
    recipe = read_recipe(grid.recipe, changes)
    options = Options(data_root=grid.data_root, out=Path(), seeded_noise=True)
    quiet = Silent()
    base = find_base(recipe, options, quiet)
    session = load_session(recipe, base)
    sites = tokenise_all(recipe, read_all(recipe, options, quiet), session, quiet)
    job = make_job(recipe, options, session, base)
    title = f"{arm}, epsilon {epsilon:g}, seed {seed}, rate {recipe.training.learning_rate:g}"
    with ui.bar(title, job.plan.rounds * len(sites)) as tick:
        progress = RoundProgress(quiet, tick, num_rounds=job.plan.rounds, num_sites=len(sites))
        result = run_in_process(job, sites, session, progress)
    from fedward.common.lora import adapters

    start = adapters.initial_adapter(job.plan.layout, job.plan.seed)  # B = 0: the base, whatever A is
    before = held_out_utility(session, start, sites, quiet, "")
    after = held_out_utility(session, result.adapter, sites, quiet, "")
    if before.perplexity is None or after.perplexity is None:
        raise ConfigError("no held-out text to measure on", hint="Raise evaluation.heldout_share.")
    return Row(
        arm=arm,
        epsilon=epsilon,
        seed=seed,
        learning_rate=recipe.training.learning_rate,
        loss_nats=math.log(after.perplexity),
        loss_base_nats=math.log(before.perplexity),
        worst_site_perplexity=max(site[0] for site in after.by_site.values() if site is not None),
    )


# ---------------------------------------------------------------------------------------------------- summing up


def _table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    groups: dict[tuple[float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.epsilon, row.arm), []).append(row)
    return [
        {
            "arm": arm,
            "epsilon": _finite(epsilon),
            "learning_rate": group[0].learning_rate,
            "perplexity": math.exp(statistics.fmean(row.loss_nats for row in group)),
            "perplexity_by_seed": [math.exp(row.loss_nats) for row in group],
            "perplexity_base": math.exp(statistics.fmean(row.loss_base_nats for row in group)),
            "worst_site_perplexity": statistics.fmean(row.worst_site_perplexity for row in group),
            "loss_nats": statistics.fmean(row.loss_nats for row in group),
        }
        for (epsilon, arm), group in groups.items()
    ]


def _comparisons(rows: Sequence[Row]) -> list[dict[str, Any]]:
    loss = {(row.arm, row.epsilon, row.seed): row.loss_nats for row in rows}
    found = []
    for epsilon in dict.fromkeys(row.epsilon for row in rows):
        for first, second in _COMPARISONS:
            seeds = [row.seed for row in rows if (row.arm, row.epsilon) == (first, epsilon)]
            pairs = [(loss[first, epsilon, s], loss.get((second, epsilon, s))) for s in seeds]
            gaps = [a - b for a, b in pairs if b is not None]
            if len(gaps) > 1:
                found.append({"first": first, "second": second, "epsilon": _finite(epsilon), **_compared(gaps)})
    return found


def _compared(gaps: Sequence[float]) -> dict[str, Any]:
    """Mean of first minus second, its standard error, and what may be said of it: below zero, the first is better."""
    mean = statistics.fmean(gaps)
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    same_sign = all(gap < 0 for gap in gaps) or all(gap > 0 for gap in gaps)
    if same_sign and abs(mean) > 2 * error and abs(mean) > 1e-6:
        said = "better" if mean < 0 else "worse"
    elif mean <= max(error, _SAME_LOSS_NATS):
        said = "not worse"
    else:
        said = "undecided"
    return {"difference_nats": mean, "standard_error_nats": error, "by_seed_nats": list(gaps), "first_is": said}


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Two tables: perplexities, and differences with what they say."""
    from rich.table import Table

    runs = Table("arm", "epsilon", "rate", "perplexity", "by seed", "worst site")
    for line in figures["table"]:
        by_seed = ", ".join(f"{value:.1f}" for value in line["perplexity_by_seed"])
        runs.add_row(
            line["arm"],
            _shown(line["epsilon"]),
            f"{line['learning_rate']:g}",
            f"{line['perplexity_base']:,.1f} → {line['perplexity']:,.1f}",
            by_seed,
            f"{line['worst_site_perplexity']:,.1f}",
        )
    console.print(runs)
    pairs = Table("first", "against", "epsilon", "difference (nats)", "standard error", "the first is")
    for line in figures["comparisons"]:
        pairs.add_row(
            line["first"],
            line["second"],
            _shown(line["epsilon"]),
            f"{line['difference_nats']:+.4f}",
            f"{line['standard_error_nats']:.4f}",
            line["first_is"],
        )
    console.print(pairs)


def _shown(epsilon: float | None) -> str:
    return "none" if epsilon is None else f"{epsilon:g}"


# ---------------------------------------------------------------------------------------------------- the file


def _plain(row: Row) -> dict[str, Any]:
    return {**asdict(row), "epsilon": _finite(row.epsilon)}


def _finite(epsilon: float) -> float | None:
    """JSON has no infinity: None stands for no privacy."""
    return epsilon if math.isfinite(epsilon) else None


def _append(path: Path, row: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:  # one write of one line: two processes may share the file
        file.write(json.dumps(_plain(row)) + "\n")


def _read(path: Path) -> Iterable[Row]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            values = json.loads(line)
            values["epsilon"] = NO_PRIVACY if values["epsilon"] is None else values["epsilon"]
            yield Row(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path}, line {number}: not a row of this benchmark", hint="Use a new file.") from error
