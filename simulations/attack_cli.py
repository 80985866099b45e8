"""``fedward attack``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_COLUMNS = 180

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
    # Piped into a file, a table of sentences wants more than the 80 columns that are assumed there.
    width = None if (sys.stderr if as_json else sys.stdout).isatty() else _PIPED_COLUMNS
    _show(figures, Console(stderr=as_json, highlight=False, width=width))
    if as_json:
        typer.echo(json.dumps(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


@attack_app.command("policy")
def attack_policy(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Loosen a compliant plan, one limit at a time, against a site's own policy; fails if a plan passes.

    A row shows the rule that the signed refusal named, and what a site without that rule did with the same plan.
    """
    from rich.console import Console

    from fedward.simulations.attacks.policy import measure

    figures = measure()
    width = None if (sys.stderr if as_json else sys.stdout).isatty() else _PIPED_COLUMNS
    _show_policy(figures, Console(stderr=as_json, highlight=False, width=width))
    if as_json:
        typer.echo(json.dumps(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


def _show_policy(figures: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("loosened", "refused by", "a site without that rule", title="A compliant plan, one limit loosened")
    for row in figures["rows"]:
        met = " ".join(filter(None, (row["got_code"], row["got_rule"])))
        style = "green" if row["is_as_expected"] else "red"
        behind = {None: "–", True: "accepts it", False: f"meets {row['control_met']}"}[row["control_accepted"]]
        table.add_row(Text(row["mutation"]), Text("ACCEPTED" if row["accepted"] else met, style=style), behind)
    console.print(table)
    unmutated = "accepted" if figures["unmutated_accepted"] else "REFUSED"
    style = "green" if figures["passed"] else "red"
    console.print(
        f"[{style}]{figures['mutations']} mutations, {figures['accepted']} accepted, {figures['wrong_rule']} with "
        f"another rule than expected; the unchanged plan was {unmutated}; data reads: {figures['data_reads']}[/]"
    )


def _show(figures: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table

    table = Table("attack", "against", "profiles", title="Against Fedward: what the attack met")
    table.add_column("met", overflow="fold")
    table.add_column("charged", justify="right")
    table.add_column("the control got")
    parts: dict[str, dict[tuple[str, ...], list[Mapping[str, Any]]]] = {}
    for row in figures["rows"]:
        alike = (row["attack"], row["against"], _met(row), str(row["charged"]))
        parts.setdefault(row["part"], {}).setdefault(alike, []).append(row)
    for part, groups in parts.items():
        table.add_section()
        table.add_row(f"[bold]{part}[/]")
        for (name, against, met, charged), rows in groups.items():
            shown = _profiles([row["profile"] for row in rows])
            table.add_row(f"  {name}", against, shown, met, charged, _control([row["control"] for row in rows]))
    console.print(table)
    if "flower" in figures:
        _show_flower(figures["flower"], figures["seed_entropy"], console)
    _show_summary(figures, console)


def _show_summary(figures: Mapping[str, Any], console: Console) -> None:
    rows = figures["rows"]
    parties = Counter(row["against"] for row in rows)
    gains = Counter(row["control"]["vector_recovered"] for row in rows)
    for what, why in figures["not_played"].items():
        console.print(f"Not played: {what}: {why}.")
    console.print(f"Attacked: {', '.join(f'{party} {count}' for party, count in parties.items())}.")
    others = gains[False]
    console.print(f"The controls got the victim's vector {gains[True]} times, and {others} times what the table says.")
    style = "green" if figures["passed"] else "red"
    console.print(
        f"[{style}]{figures['attacks']} attacks, {figures['succeeded']} succeeded, {figures['broken']} broken[/]"
    )


def _profiles(found: Sequence[str]) -> str:
    shared = {"resilient", "resilient-malicious"}
    if set(found) == {"strict", *shared}:
        return "all"
    return "with shares" if set(found) == shared else ", ".join(found)


def _met(row: Mapping[str, Any]) -> str:
    met = " ".join(filter(None, (row["received"], row["rule"]))) or "answered, in vain"
    if row["succeeded"]:
        return f"[red]SUCCEEDED ({met})[/]"
    if not row["is_as_expected"]:
        return f"[red]BROKEN: {met}, expected {row['expected'] or 'an answer'}[/]"
    return "[yellow]passes: a known limit[/]" if row["is_known_limit"] else f"[green]{met}[/]"


def _control(controls: Sequence[Mapping[str, Any]]) -> str:
    if not all(control["succeeded"] for control in controls):
        return "[red]nothing: it shows nothing[/]"
    return " or ".join(dict.fromkeys(control["got"] for control in controls))


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
