"""``fedward demo``, ``fedward simulate`` and ``fedward bench``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedward.simulations.driver import Stopwatch
    from fedward.simulations.recipe import Recipe


class RuntimeName(StrEnum):
    """Where the simulated sites live."""

    inprocess = "inprocess"
    flwr = "flwr"


Out = Annotated[Path, typer.Option("--out", help="Folder for adapter/ and report.json.")]
Base = Annotated[str | None, typer.Option("--base", help="Base model: embedded, smollm2, a local folder, or a hub id.")]
Runtime = Annotated[
    RuntimeName, typer.Option("--runtime", help="inprocess: all sites in this process; flwr: `flwr run` with Ray.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
SeededNoise = Annotated[
    bool,
    typer.Option("--seeded-noise", help="Noise from the seed: repeatable, and without any privacy. For research."),
]
NoDp = Annotated[bool, typer.Option("--no-dp", help="Train without clipping and noise, as a baseline.")]
Rounds = Annotated[int | None, typer.Option("--rounds", min=1, help="Override the number of rounds.")]
Epsilon = Annotated[float | None, typer.Option("--epsilon", help="Override the target epsilon.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Override the public seed.")]


def demo(
    out: Out = Path("out/demo"),
    sites: Annotated[int, typer.Option("--sites", min=2, max=64, help="Number of hospitals.")] = 4,
    base: Base = None,
    runtime: Runtime = RuntimeName.inprocess,
    epsilon: Epsilon = None,
    rounds: Rounds = None,
    no_dp: NoDp = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Public seed of data and plan.")] = 7,
    seeded_noise: SeededNoise = False,
    keep_data: Annotated[
        Path | None, typer.Option("--keep-data", help="Leave the invented hospitals' files in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fine-tune with four invented hospitals, in Chinese and English, in under two minutes."""
    from fedward.simulations import demo as demos
    from fedward.simulations.console import RichInterface
    from fedward.simulations.driver import Stopwatch

    ui, watch = RichInterface(), Stopwatch()
    with demos.demo_data(seed=seed, num_sites=sites, keep=keep_data, ui=ui, watch=watch) as (root, site_ids):
        recipe = demos.demo_recipe(
            site_ids, seed=seed, epsilon=epsilon, rounds=rounds, private=not no_dp, base=base or "embedded"
        )
        _run(recipe, root, out, runtime, seeded_noise=seeded_noise, as_json=as_json, watch=watch)


def simulate(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML; see simulations/recipes.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the sites' files; default: the recipe's own.")
    ] = None,
    out: Out = Path("out/simulation"),
    base: Base = None,
    runtime: Runtime = RuntimeName.inprocess,
    epsilon: Epsilon = None,
    rounds: Rounds = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override any setting, e.g. --set training.sample_rate=0.05"),
    ] = None,
    no_dp: NoDp = False,
    seed: Seed = None,
    seeded_noise: SeededNoise = False,
    as_json: Json = False,
) -> None:
    """Run a recipe on files of your own: several sites, one adapter, an epsilon and a report."""
    from fedward.simulations.driver import Stopwatch
    from fedward.simulations.recipe import parse_setting, read_recipe

    options: dict[str, Any] = {
        "base.name": base,
        "rounds": rounds,
        "privacy.epsilon": epsilon,
        "privacy.mode": "none" if no_dp else None,
        "seed": seed,
    }
    changes = {key: value for key, value in options.items() if value is not None}
    read = read_recipe(recipe, changes | dict(parse_setting(text) for text in settings or ()))
    root = data or recipe.parent
    _run(read, root, out, runtime, seeded_noise=seeded_noise, as_json=as_json, watch=Stopwatch())


def _run(
    recipe: Recipe,
    root: Path,
    out: Path,
    runtime: RuntimeName,
    *,
    seeded_noise: bool,
    as_json: bool,
    watch: Stopwatch,
) -> None:
    from rich.console import Console

    from fedward.simulations.console import RichInterface
    from fedward.simulations.driver import Options, simulate
    from fedward.simulations.report import headline
    from fedward.simulations.summary import show

    options = Options(data_root=root, out=out, runtime=runtime.value, seeded_noise=seeded_noise)
    outcome = simulate(recipe, options, RichInterface(), watch)
    show(outcome, out, Console(stderr=as_json, highlight=False))
    if as_json:
        files = {"adapter_dir": str(out / "adapter"), "report_json": str(out / "report.json")}
        typer.echo(json.dumps({**headline(outcome), **files}))


bench_app = typer.Typer(help="Measure against a reference, side by side in one process.", no_args_is_help=True)


@bench_app.command("ring")
def bench_ring(
    size: Annotated[int, typer.Option("--size", min=1024, help="Coordinates of an update.")] = 1_000_000,
    num_sites: Annotated[int, typer.Option("--sites", min=1, max=64, help="Updates in a sum.")] = 8,
    repeats: Annotated[int, typer.Option("--repeats", min=3, help="Timed repetitions; the least counts.")] = 7,
    as_json: Json = False,
) -> None:
    """Cost of the ring: quantising, adding and opening against a plain float32 sum."""
    from fedward.simulations.benchmarks.ring import measure

    _print_bench(measure(size=size, num_sites=num_sites, repeats=repeats), as_json)


@bench_app.command("sampler")
def bench_sampler(
    size: Annotated[int, typer.Option("--size", min=1024, help="Samples of a draw.")] = 1_000_000,
    repeats: Annotated[int, typer.Option("--repeats", min=3, help="Timed repetitions; the least counts.")] = 7,
    as_json: Json = False,
) -> None:
    """Nanoseconds a sample of ring noise, against float noise and the bare keystream."""
    from fedward.simulations.benchmarks.sampler import measure

    _print_bench(measure(size=size, repeats=repeats), as_json)


@bench_app.command("dp")
def bench_dp(
    repeats: Annotated[int, typer.Option("--repeats", min=7, help="Interleaved repetitions of each arm.")] = 15,
    quick: Annotated[bool, typer.Option("--quick", help="Small models; times then say little.")] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Instead: white-box canary audit of every path; fails if one is off.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What a private step costs against the same step without privacy, against Opacus, and whether it is right.

    Arms: the non-private LoRA step, the same again (noise floor), our engine, Opacus' hooks, Opacus' ghost clipping.
    Every cpu_ratio_X is an arm's CPU time over the non-private step's, the median over interleaved repetitions, then
    the largest over three shapes; cpu_ratio_nonprivate is our engine's. flops_ratio and peak_memory_ratio are counted.
    """
    from rich.console import Console

    from fedward.simulations.benchmarks import dp, dp_audit, dp_tables
    from fedward.simulations.console import RichInterface

    console, ui = Console(stderr=as_json, highlight=False), RichInterface()
    if audit:
        figures = dp_audit.measure(ui)
        dp_tables.show_audit(figures, console)
    else:
        figures = dp.measure(dp.Scope.quick(repeats) if quick else dp.Scope.full(repeats), ui)
        dp_tables.show(figures, console)
    if as_json:
        typer.echo(json.dumps(figures))
    if not figures.get("passed", True):
        raise typer.Exit(1)


@bench_app.command("secagg")
def bench_secagg(
    repeats: Annotated[int, typer.Option("--repeats", min=5, help="Timed repetitions; the least counts.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Short vectors, few sites; times then say little.")] = False,
    as_json: Json = False,
) -> None:
    """What secure aggregation costs a site and the server, against Flower's SecAgg+ and the bare keystream."""
    from rich.console import Console

    from fedward.simulations.benchmarks import secagg, secagg_tables
    from fedward.simulations.console import RichInterface

    figures = secagg.measure(secagg.Scope.quick() if quick else secagg.Scope(repeats=repeats), RichInterface())
    secagg_tables.show(figures, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(figures))


def _print_bench(figures: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console(stderr=as_json, highlight=False).print(table)
    if as_json:
        typer.echo(json.dumps(figures))
