"""What each privacy mode is worth at one epsilon: held-out perplexity on invented hospitals, paired by seed.

Arms, all with the same records, split, sample rate, clip, number of DP-SGD steps, epsilon and delta:

* ``central``: one party that holds all records, one step a round (mode ``local`` with a single site): no trust needed
  among sites, because there is only one. What mode ``distributed`` is to come near.
* ``distributed``: five sites, shares of noise, profile ``resilient``; ``distributed-strict`` the same under ``strict``;
  ``distributed-all-honest`` under ``strict`` without colluders: no surplus noise, which shows what the surplus costs.
* ``local``: five sites, each with its whole noise, in the best of several ways: one step a round with the same server
  optimiser, and several local steps a round. ``local-one-step``: the first of these ways alone.
* ``none``: ``central`` without clip and noise.

Each arm's learning rate, and the way of ``local``, is chosen on a seed of its own by held-out loss. That is fair on
invented records alone: on real ones each trial would have to be charged. Noise is seeded, so a run repeats. Runs are
appended to a file as they are made: a grid that is stopped goes on where it was.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedward.common.config import to_json, validated
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
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
from fedward.simulations.recipe import Recipe
from fedward.simulations.sites import SiteData

if TYPE_CHECKING:
    from rich.console import Console

    from fedward.client.training.base_model import Base
    from fedward.client.training.session import AdapterSession

POOL = "pool"
TUNING_SEED = 1000
_SAME_LOSS_NATS = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to spend the steps."""

    pooled: bool = False
    mode: str = "local"
    profile: str = "resilient"
    assumed_colluders: int | None = None
    steps_per_round: int = 1
    server_rates: tuple[float, ...] = ()
    """Of FedAdam, to choose from; none: FedAvg."""
    local_rates: tuple[float, ...] = (0.5,)
    """Of the sites' plain SGD, to choose from; not used where FedAdam sees single steps, which it normalises."""

    @property
    def rates(self) -> tuple[float, ...]:
        """What is tuned."""
        return self.server_rates or self.local_rates


_ADAM = (0.01, 0.02, 0.04, 0.08)
_SGD = (0.5, 1.0, 2.0, 4.0)
_ONE_STEP = Way(server_rates=_ADAM)
ARMS: Mapping[str, tuple[Way, ...]] = {
    "central": (Way(pooled=True, server_rates=_ADAM),),
    "distributed": (Way(mode="distributed", server_rates=_ADAM),),
    "distributed-strict": (Way(mode="distributed", profile="strict", server_rates=_ADAM),),
    "distributed-all-honest": (Way(mode="distributed", profile="strict", assumed_colluders=0, server_rates=_ADAM),),
    "local": (_ONE_STEP, Way(steps_per_round=5, local_rates=_SGD)),
    "local-one-step": (_ONE_STEP,),
    "none": (Way(pooled=True, mode="none", server_rates=(0.02, 0.04, 0.08, 0.16)),),
}
_TUNED_AS: Mapping[str, str] = {"distributed-strict": "distributed", "distributed-all-honest": "distributed"}
"""The same but for less surplus noise, so they share the rate."""
COMPARISONS = (
    ("distributed", "central"),
    ("distributed-strict", "central"),
    ("distributed-all-honest", "central"),
    ("distributed", "local"),
    ("distributed-strict", "local"),
    ("central", "none"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The size of the experiment."""

    epsilon: float = 2.0
    delta: float = 1e-5
    num_sites: int = 5
    patients_per_site: int = 2500
    heldout_records: int = 50
    num_steps: int = 20
    sample_rate: float = 0.008
    rank: int = 1
    max_length_tokens: int = 48
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    arms: tuple[str, ...] = tuple(ARMS)

    def __post_init__(self) -> None:
        if TUNING_SEED in self.seeds:
            raise ConfigError(f"seed {TUNING_SEED} is the one that learning rates are tuned with")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One run."""

    arm: str
    seed: int
    rate: float
    steps_per_round: int
    noise_multiplier: float | None
    honest_shares: int | None
    loss_nats: float
    loss_base_nats: float


def measure(scope: Scope, ui: Interface, *, rows_file: Path | None = None) -> dict[str, Any]:
    """Tune every arm, then run it with every seed.

    Args:
        rows_file: finished runs of the same scope; what is missing is run and appended. None: all are run.

    Returns:
        ``rows``, ``table``, ``comparisons``, ``tuning``; everything that a reader needs to repeat it in ``scope``.
    """
    bench = _Bench(scope, ui, rows_file)
    rows: list[Row] = []
    tuning: list[dict[str, Any]] = []
    chosen: dict[str, tuple[Way, float]] = {}
    with bench.hospitals(TUNING_SEED) as root:
        for arm in scope.arms:
            if _TUNED_AS.get(arm) in chosen:
                chosen[arm] = (ARMS[arm][0], chosen[_TUNED_AS[arm]][1])
                continue
            trials = [(way, rate) for way in ARMS[arm] for rate in way.rates]
            losses = [bench.run(root, arm, way, rate, TUNING_SEED).loss_nats for way, rate in trials]
            chosen[arm] = trials[losses.index(min(losses))]
            tuning += [
                {"arm": arm, "steps_per_round": way.steps_per_round, "rate": rate, "loss_nats": loss}
                for (way, rate), loss in zip(trials, losses, strict=True)
            ]
    for seed in scope.seeds:
        with bench.hospitals(seed) as root:
            rows += [bench.run(root, arm, *chosen[arm], seed) for arm in scope.arms]
    return {
        "scope": asdict(scope),
        "rows": [asdict(row) for row in rows],
        "table": [_line(arm, [row for row in rows if row.arm == arm]) for arm in scope.arms],
        "comparisons": [
            _compared(first, second, rows)
            for first, second in COMPARISONS
            if {first, second} <= set(scope.arms) and len(scope.seeds) > 1
        ],
        "tuning": tuning,
    }


@dataclass(slots=True)
class _Bench:
    """What the runs share: the base, and results that two arms would compute alike."""

    scope: Scope
    ui: Interface
    rows_file: Path | None = None
    _session: tuple[AdapterSession, Base] | None = None
    _read: dict[tuple[int, bool], tuple[list[SiteData], float]] = field(default_factory=dict)
    """By seed and whether the records are pooled: the sites, and the base's loss on them."""
    _known: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows_file is None or not self.rows_file.exists():
            return
        for line in self.rows_file.read_text("utf-8").splitlines():
            found = json.loads(line)
            if found["scope"] != _settings_of(self.scope):
                raise ConfigError(f"{self.rows_file} holds runs of another size", hint="Give a new file.")
            self._known[found["key"]] = Row(**found["row"])

    @contextmanager
    def hospitals(self, seed: int) -> Iterator[Path]:
        """The records of a seed: a folder a site, and one with all of them."""
        from fedward.simulations.hospitals import generate_hospitals

        scope = self.scope
        self._read.clear()
        with tempfile.TemporaryDirectory(prefix="fedward-modes-") as folder:
            pooled: dict[str, list[str]] = {"train": [], "heldout": []}
            made = generate_hospitals(
                seed=seed,
                num_sites=scope.num_sites,
                patients_per_site=scope.patients_per_site,
                heldout_patients_per_site=scope.heldout_records,
            )
            for hospital in made:
                for part, notes in (("train", hospital.notes), ("heldout", hospital.heldout)):
                    # One note a patient: all sites weigh alike, and no held-out set is cut by its order.
                    first = {f"{hospital.site_id}/{note.patient_id}": note.text for note in reversed(notes)}
                    lines = [json.dumps({"patient_id": patient, "text": text}) for patient, text in first.items()]
                    _write(Path(folder) / hospital.site_id / f"{part}.jsonl", lines)
                    pooled[part] += lines
            for part, lines in pooled.items():
                _write(Path(folder) / POOL / f"{part}.jsonl", lines)
            yield Path(folder)

    def run(self, root: Path, arm: str, way: Way, rate: float, seed: int) -> Row:
        """One run, or the same one that another arm has made."""
        optimizer = "fedadam" if way.server_rates else "sgd"
        kind = "pooled" if way.pooled else way.profile
        key = f"{way.mode} {kind} {way.assumed_colluders} {way.steps_per_round} {optimizer} {rate} {seed}"
        if key not in self._known:
            row = self._known[key] = self._run(root, arm, way, rate, seed)
            if self.rows_file is not None:
                line = {"key": key, "scope": _settings_of(self.scope), "row": asdict(row)}
                with self.rows_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        return replace(self._known[key], arm=arm)

    def _run(self, root: Path, arm: str, way: Way, rate: float, seed: int) -> Row:
        recipe = recipe_of(self.scope, way, rate, seed)
        options, quiet = Options(data_root=root, out=Path(), seeded_noise=True), Silent()
        if self._session is None:
            base = find_base(recipe, options, quiet)
            self._session = load_session(recipe, base), base
        session, base = self._session
        if (seed, way.pooled) not in self._read:
            sites = tokenise_all(recipe, read_all(recipe, options, quiet), session, quiet)
            start = adapters.initial_adapter(session.layout, seed)  # B = 0: the base, whatever A is
            self._read[seed, way.pooled] = (sites, self._loss(session, start, sites))
        sites, loss_of_base = self._read[seed, way.pooled]
        job = make_job(recipe, options, session, base)
        title = f"{arm}, seed {seed}, {way.steps_per_round} steps a round, rate {rate:g}"
        with self.ui.bar(title, job.plan.rounds * len(sites)) as tick:
            progress = RoundProgress(quiet, tick, num_rounds=job.plan.rounds, num_sites=len(sites))
            result = run_in_process(job, sites, session, progress)
        return Row(
            arm=arm,
            seed=seed,
            rate=rate,
            steps_per_round=way.steps_per_round,
            noise_multiplier=job.plan.privacy.noise_multiplier,
            honest_shares=_honest(job.plan_bytes),
            loss_nats=self._loss(session, result.adapter, sites),
            loss_base_nats=loss_of_base,
        )

    @staticmethod
    def _loss(session: AdapterSession, adapter: adapters.Adapter, sites: Sequence[SiteData]) -> float:
        found = held_out_utility(session, adapter, sites, Silent(), "").perplexity
        if found is None:
            raise ConfigError("no held-out text to measure on")
        return math.log(found)


def recipe_of(scope: Scope, way: Way, rate: float, seed: int) -> Recipe:
    """The recipe of one run."""
    names = [POOL] if way.pooled else [f"hospital-{number:02d}" for number in range(1, scope.num_sites + 1)]
    units = scope.patients_per_site * (scope.num_sites if way.pooled else 1)
    distributed = way.mode == "distributed"
    server: dict[str, Any] = {"optimizer": "fedadam", "learning_rate": rate} if way.server_rates else {}
    document = {
        "schema": "fedward.recipe/1",
        "name": "privacy modes",
        "seed": seed,
        "rounds": scope.num_steps // way.steps_per_round,
        "base": {"name": "embedded", "max_length_tokens": scope.max_length_tokens},
        "lora": {"rank": scope.rank, "alpha": 2.0 * scope.rank},
        "privacy": {"mode": way.mode, "epsilon": scope.epsilon, "delta": scope.delta},
        "training": {
            "sample_rate": scope.sample_rate,
            "steps_per_round": way.steps_per_round,
            "learning_rate": way.local_rates[0] if way.server_rates else rate,
            "max_records_per_unit": 1,
        },
        "server": server,
        "secagg": {
            "profile": "plain_ring" if way.pooled else way.profile,
            "min_cohort": 1 if way.pooled else 3,
            "assumed_colluders": way.assumed_colluders,
            "weights": "fixed_denominator" if distributed else "uniform",
        },
        "evaluation": {"max_heldout_records": scope.heldout_records * (scope.num_sites if way.pooled else 1)},
        "data": {"text_columns": ["text"], "patient_column": "patient_id"},
        "sites": [
            {"id": name, "nominal_units": units, "path": f"{name}/train.jsonl", "heldout_path": f"{name}/heldout.jsonl"}
            for name in names
        ],
    }
    return validated(Recipe, to_json(document, "the benchmark's recipe"), "the benchmark's recipe")


def _honest(plan_bytes: bytes) -> int | None:
    from fedward.common.config import RunPlan
    from fedward.common.distributed_terms import honest_shares, is_distributed

    plan = RunPlan.from_bytes(plan_bytes)
    return honest_shares(plan, len(plan.sites)) if is_distributed(plan) else None


def _settings_of(scope: Scope) -> dict[str, Any]:
    """What two grids must share to share runs, as JSON has it."""
    return {name: value for name, value in asdict(scope).items() if name not in {"seeds", "arms"}}


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


# ---------------------------------------------------------------------------------------------------- summing up


def _line(arm: str, rows: Sequence[Row]) -> dict[str, Any]:
    losses = [row.loss_nats for row in rows]
    return {
        "arm": arm,
        "rate": rows[0].rate,
        "steps_per_round": rows[0].steps_per_round,
        "noise_multiplier": rows[0].noise_multiplier,
        "honest_shares": rows[0].honest_shares,
        "perplexity": math.exp(statistics.fmean(losses)),
        "perplexity_by_seed": [math.exp(loss) for loss in losses],
        "perplexity_base": math.exp(statistics.fmean(row.loss_base_nats for row in rows)),
        "loss_nats": statistics.fmean(losses),
        "loss_deviation_nats": statistics.stdev(losses) if len(losses) > 1 else None,
        "gain_nats": statistics.fmean(row.loss_base_nats - row.loss_nats for row in rows),
    }


def _compared(first: str, second: str, rows: Sequence[Row]) -> dict[str, Any]:
    """First minus second, paired by seed; ``within_noise`` as the design has it: max(2 SE, 0.02 nats)."""
    losses = {(row.arm, row.seed): row.loss_nats for row in rows}
    seeds = [row.seed for row in rows if row.arm == first]
    gaps = [losses[first, seed] - losses[second, seed] for seed in seeds]
    mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
    gain = {
        arm: statistics.fmean(row.loss_base_nats - row.loss_nats for row in rows if row.arm == arm)
        for arm in (first, second)
    }
    return {
        "first": first,
        "second": second,
        "difference_nats": mean,
        "standard_error_nats": error,
        "by_seed_nats": gaps,
        "gain_ratio": gain[first] / gain[second],
        "within_noise": abs(mean) <= max(2 * error, _SAME_LOSS_NATS),
        "first_is_better": mean < 0 and abs(mean) > 2 * error and all(gap < 0 for gap in gaps),
    }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Perplexities, and differences with what they say."""
    from rich.table import Table

    runs = Table("arm", "rate", "steps a round", "noise", "h", "perplexity", "by seed", "loss ± deviation")
    for line in figures["table"]:
        runs.add_row(
            line["arm"],
            f"{line['rate']:g}",
            str(line["steps_per_round"]),
            "–" if line["noise_multiplier"] is None else f"{line['noise_multiplier']:.4f}",
            "–" if line["honest_shares"] is None else str(line["honest_shares"]),
            f"{line['perplexity_base']:.1f} → {line['perplexity']:.1f}",
            ", ".join(f"{value:.1f}" for value in line["perplexity_by_seed"]),
            f"{line['loss_nats']:.3f} ± {line['loss_deviation_nats'] or 0:.3f}",
        )
    console.print(runs)
    pairs = Table("first", "against", "difference (nats)", "standard error", "gain ratio", "said")
    for line in figures["comparisons"]:
        said = "better" if line["first_is_better"] else "within noise" if line["within_noise"] else "differs"
        pairs.add_row(
            line["first"],
            line["second"],
            f"{line['difference_nats']:+.4f}",
            f"{line['standard_error_nats']:.4f}",
            f"{line['gain_ratio']:.2f}",
            said,
        )
    console.print(pairs)


__all__ = ["ARMS", "COMPARISONS", "measure", "recipe_of", "Row", "Scope", "show", "Way"]
