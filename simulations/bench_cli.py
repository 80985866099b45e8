"""``fedward bench``: parse, measure, print. Heavy imports wait for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedward.common.errors import ConfigError
from fedward.simulations.cli import Json

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
    repeats: Annotated[int, typer.Option("--repeats", min=5, help="Timed repetitions; the least counts.")] = 7,
    quick: Annotated[bool, typer.Option("--quick", help="Short vectors, few sites; times then say little.")] = False,
    as_json: Json = False,
) -> None:
    """What secure aggregation costs a site and the server, against Flower's SecAgg+ and the bare keystream.

    Fails if a bound is missed. Takes about seven minutes.
    """
    from rich.console import Console

    from fedward.simulations.benchmarks import secagg, secagg_tables
    from fedward.simulations.console import RichInterface

    figures = secagg.measure(secagg.Scope.quick() if quick else secagg.Scope(repeats=repeats), RichInterface())
    secagg_tables.show(figures, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(figures))
    if figures["misses"]:
        raise typer.Exit(1)


@bench_app.command("scrub")
def bench_scrub(
    quick: Annotated[bool, typer.Option("--quick", help="Little text; figures then say little.")] = False,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Instead: what is found, what is left alone; fails if a bound is missed.")
    ] = False,
    documents: Annotated[int, typer.Option("--documents", min=20, help="Invented documents for --accuracy.")] = 1200,
    msra: Annotated[Path | None, typer.Option("--msra", help="MSRA's test set, for --accuracy.")] = None,
    cluener: Annotated[Path | None, typer.Option("--cluener", help="CLUENER's dev set, for --accuracy.")] = None,
    presidio_synth: Annotated[
        Path | None, typer.Option("--presidio-synth", help="presidio-research's synthetic set, for --accuracy.")
    ] = None,
    plain: Annotated[Path | None, typer.Option("--plain", help="Lines of news, for --accuracy.")] = None,
    utility: Annotated[
        Path | None,
        typer.Option("--utility", help="Instead: departments told from raw and scrubbed zh_medical_dialogue."),
    ] = None,
    as_json: Json = False,
) -> None:
    """How fast text is desensitised, against Presidio, jionlp and LAC on the same text; or how well.

    CPU seconds on one core. Peers that are not installed are skipped, and the verdict says so. With --utility, a
    classifier and a federated training run are made twice each; that takes some minutes.
    """
    from rich.console import Console

    from fedward.simulations.benchmarks import scrub, scrub_accuracy, scrub_tables, scrub_training, scrub_utility
    from fedward.simulations.console import RichInterface

    console, ui = Console(stderr=as_json, highlight=False), RichInterface()
    if utility is not None:
        classifier = scrub_utility.measure(scrub_utility.Scope(data=utility), ui)
        training = scrub_training.measure(scrub_training.Scope(data=utility), ui)
        figures: dict[str, Any] = {"classifier": classifier, "training": training}
        figures["misses"] = [name for name, part in figures.items() if not part["passed"]]
        scrub_tables.show_utility(figures, console)
    elif accuracy:
        scope = scrub_accuracy.Scope(
            documents=documents, msra=msra, cluener=cluener, presidio_synth=presidio_synth, plain=plain
        )
        figures = scrub_accuracy.measure(scope, ui)
        scrub_tables.show_accuracy(figures, console)
    else:
        figures = scrub.measure(scrub.Scope.quick() if quick else scrub.Scope(), ui)
        scrub_tables.show(figures, console)
    if as_json:
        typer.echo(json.dumps(figures))
    if figures["missed" if accuracy else "misses"]:
        raise typer.Exit(1)


@bench_app.command("utility")
def bench_utility(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, on public data.")],
    rows: Annotated[Path, typer.Option("--rows", help="File of finished runs; a stopped grid goes on from it.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the sites' files; default: the recipe's.")
    ] = None,
    arms: Annotated[str, typer.Option("--arms", help="Ways of aggregating, with commas.")] = "",
    epsilons: Annotated[str, typer.Option("--epsilons", help="With commas; inf is without privacy.")] = "8,3,inf",
    seeds: Annotated[str, typer.Option("--seeds", help="With commas.")] = "11,12,13",
    rates: Annotated[str, typer.Option("--rates", help="Learning rates to choose from, with commas.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override any setting of the recipe.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Held-out perplexity by way of aggregating, epsilon and seed, with differences paired by seed."""
    from rich.console import Console

    from fedward.simulations.benchmarks import utility
    from fedward.simulations.console import RichInterface
    from fedward.simulations.recipe import parse_setting

    grid = utility.Grid(
        recipe=recipe,
        data_root=data or recipe.parent,
        arms=tuple(filter(None, arms.split(","))) or tuple(utility.ARMS),
        epsilons=_numbers(epsilons, "--epsilons"),
        seeds=tuple(_whole(seed, "--seeds") for seed in _numbers(seeds, "--seeds")),
        rates=_numbers(rates, "--rates"),
        changes=dict(parse_setting(text) for text in settings or ()),
    )
    figures = utility.measure(grid, rows_file=rows, ui=RichInterface())
    utility.show(figures, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(figures))


@bench_app.command("modes")
def bench_modes(
    epsilon: Annotated[float, typer.Option("--epsilon", min=0.01, help="Of every private arm.")] = 2.0,
    seeds: Annotated[str, typer.Option("--seeds", help="With commas.")] = "11,12,13,14,15",
    arms: Annotated[str, typer.Option("--arms", help="Privacy modes, with commas; none given: all.")] = "",
    patients: Annotated[int, typer.Option("--patients", min=100, help="Of a site.")] = 2500,
    rows: Annotated[
        Path | None, typer.Option("--rows", help="File of finished runs; a stopped grid goes on from it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Held-out perplexity by privacy mode at one epsilon, on invented hospitals, with differences paired by seed."""
    from rich.console import Console

    from fedward.simulations.benchmarks import modes
    from fedward.simulations.console import RichInterface

    named = tuple(filter(None, arms.split(","))) or tuple(modes.ARMS)
    unknown = sorted(set(named) - set(modes.ARMS))
    if unknown:
        raise ConfigError(f"no arm {unknown[0]!r}", hint=f"Choose from {', '.join(modes.ARMS)}.")
    numbers = tuple(_whole(seed, "--seeds") for seed in _numbers(seeds, "--seeds"))
    scope = modes.Scope(epsilon=epsilon, seeds=numbers, arms=named, patients_per_site=patients)
    figures = modes.measure(scope, RichInterface(), rows_file=rows)
    modes.show(figures, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(figures))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"{option} {text!r}: expected numbers with commas between") from None
    if not all(number > 0 for number in found):  # this way round NaN is refused
        raise ConfigError(f"{option} {text!r}: expected numbers above 0")
    return found


def _whole(number: float, option: str) -> int:
    if number != int(number):
        raise ConfigError(f"{option}: {number:g} is no whole number")
    return int(number)


def _print_bench(figures: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console(stderr=as_json, highlight=False).print(table)
    if as_json:
        typer.echo(json.dumps(figures))
