"""``fedward demo`` and ``fedward simulate``: parse, call, print. Heavy imports wait for the call."""

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


class ModeName(StrEnum):
    """Where the noise is added."""

    local = "local"
    distributed = "distributed"


Mode = Annotated[
    ModeName | None,
    typer.Option(
        "--mode",
        help="local: every site adds all the noise; distributed: each a share, one step a round, so that epsilon "
        "rests on the masks.",
    ),
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
    mode: Mode = None,
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
            site_ids,
            seed=seed,
            epsilon=epsilon,
            rounds=rounds,
            private=not no_dp,
            base=base or "embedded",
            distributed=mode is ModeName.distributed,
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
    mode: Mode = None,
    no_dp: NoDp = False,
    seed: Seed = None,
    seeded_noise: SeededNoise = False,
    as_json: Json = False,
) -> None:
    """Run a recipe on files of your own: several sites, one adapter, an epsilon and a report."""
    from fedward.simulations.driver import Stopwatch
    from fedward.simulations.recipe import DISTRIBUTED, parse_setting, read_recipe

    options: dict[str, Any] = {
        "base.name": base,
        "rounds": rounds,
        "privacy.epsilon": epsilon,
        "seed": seed,
        **(DISTRIBUTED if mode is ModeName.distributed else {"privacy.mode": mode and mode.value}),
        **({"privacy.mode": "none"} if no_dp else {}),
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
    import sys

    from rich.console import Console

    from fedward.common.logs.logger import log
    from fedward.simulations.console import RichInterface
    from fedward.simulations.driver import Options, simulate
    from fedward.simulations.report import headline
    from fedward.simulations.summary import show

    options = Options(data_root=root, out=out, runtime=runtime.value, seeded_noise=seeded_noise)
    with log.shown_on(lambda: sys.stderr):  # another one while a progress bar is drawn
        outcome = simulate(recipe, options, RichInterface(), watch)
    show(outcome, out, Console(stderr=as_json, highlight=False))
    if as_json:
        files = {"adapter_dir": str(out / "adapter"), "report_json": str(out / "report.json")}
        typer.echo(json.dumps({**headline(outcome), **files}))
