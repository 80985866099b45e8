"""``fedward attack``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

attack_app = typer.Typer(help="Hostile servers and lying sites against the real protocol.", no_args_is_help=True)


@attack_app.callback()
def attack() -> None:
    """Each attack is played twice: against the real parties, and as a control against parties without the check."""


@attack_app.command("secagg")
def attack_secagg(
    only: Annotated[str, typer.Option("--only", help="Play only the attacks whose name contains this text.")] = "",
    flower: Annotated[
        bool, typer.Option("--flower/--no-flower", help="Show three of them against Flower's SecAgg+ client too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Attack secure aggregation as a hostile server; fails if an attack succeeds or its control does not.

    A row shows the code that the attack met, whether the victim's budget was charged, and what the control, the same
    play with the named check cut out of the code, got: the victim's vector, or a forged thing taken for good.
    """
    from rich.console import Console

    from fedward.common.errors import ConfigError
    from fedward.simulations.attacks.secagg import ATTACKS, measure
    from fedward.simulations.console import RichInterface

    chosen = [row for row in ATTACKS if only.casefold() in row.name.casefold()]
    if not chosen:
        raise ConfigError(f"no attack has {only!r} in its name", hint="Run it without --only to see all names.")
    figures = measure(chosen, flower=flower and not only, ui=RichInterface())
    _show(figures, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


def _show(figures: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table

    profiles = sorted({row["profile"] for row in figures["rows"]}, key=len)
    table = Table("attack", "profiles", title="Against Fedward: what the attack met")
    table.add_column("met", overflow="fold")
    table.add_column("control")
    alike: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in figures["rows"]:
        alike.setdefault((row["attack"], _met(row)), []).append(row)
    for (name, met), rows in alike.items():
        found = [row["profile"] for row in rows]
        shown = "all" if set(found) == set(profiles) else ", ".join(found)
        table.add_row(name, shown, met, _control([row["control"] for row in rows]))
    console.print(table)
    if "flower" in figures:
        _show_flower(figures["flower"], figures["seed_entropy"], console)
    for what, why in figures["not_played"].items():
        console.print(f"Not played: {what}: {why}.")
    style = "green" if figures["passed"] else "red"
    console.print(
        f"[{style}]{figures['attacks']} attacks, {figures['succeeded']} succeeded, {figures['broken']} broken[/]"
    )


def _met(row: Mapping[str, Any]) -> str:
    met = row["received"] or "answered, in vain"
    if row["succeeded"]:
        return f"[red]SUCCEEDED ({met})[/]"
    if not row["is_as_expected"]:
        return f"[red]BROKEN: {met}, expected {row['expected'] or 'an answer'}[/]"
    return "[yellow]passes: a known limit[/]" if row["is_known_limit"] else f"[green]{met}[/]"


def _control(controls: Sequence[Mapping[str, Any]]) -> str:
    if not all(control["succeeded"] for control in controls):
        return "[red]did not succeed[/]"
    return "got the vector" if any(control["vector_recovered"] for control in controls) else "passed"


def _show_flower(rows: Sequence[Mapping[str, Any]], entropy: Sequence[Mapping[str, Any]], console: Console) -> None:
    from rich.table import Table

    table = Table("attack", "against", "the victim's vector", title="The same against Flower's shipped client")
    for row in rows:
        table.add_row(row["attack"], row["against"], "recovered" if row["vector_recovered"] else row["refused"])
    console.print(table)
    table = Table("mask generator", "bits of a seed that vary", "", title="Seed entropy")
    for row in entropy:
        verdict = "[green]all count[/]" if row["passed"] else "[yellow]can be searched[/]"
        table.add_row(row["generator"], f"{row['varying_seed_bits']} of {row['seed_bits']}", verdict)
    console.print(table)
