"""The figures of ``fedward bench secagg`` as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each point, then the headline and what misses its bound."""
    console.print(_points(figures))
    console.print(_headline(figures))
    if not figures["is_judged"]:
        console.print("[yellow]A small grid: its times say little.[/]")
    elif figures["misses"]:
        missed = ", ".join(f"{name} = {value:.3g}" for name, value in figures["misses"].items())
        console.print(f"[yellow]Bounds missed: {escape(missed)}[/]")
    else:
        console.print("[green]All bounds hold.[/]")


def _points(figures: Mapping[str, Any]) -> Table:
    title = "CPU seconds, Flower's and ours; ratios above 1: ours takes less"
    table = Table("parameters, sites, lost", title=title)
    for name in ("site", "÷", "÷ whole", "÷ floor", "server", "÷", "÷ opening", "÷ floor", "bytes"):
        table.add_column(name, justify="right")
    for row in figures["rows"]:
        table.add_row(
            f"{row['parameters']:.0e}, {row['sites']}, {row['dropouts']}",
            f"{row['flower_client_cpu_s']:.3g} / {row['client_cpu_s']:.3g}",
            f"{row['client_speedup_vs_flower']:.1f}",
            f"{row['client_whole_speedup_vs_flower']:.1f}",
            f"{row['client_over_floor']:.2f}",
            f"{row['flower_server_cpu_s']:.3g} / {row['server_cpu_s']:.3g}",
            f"{row['server_speedup_vs_flower']:.1f}",
            f"{row['server_with_opening_speedup_vs_flower']:.1f}",
            f"{row['server_over_floor']:.2f}",
            f"{row['bytes_per_parameter']:.3f}",
        )
    return table


def _headline(figures: Mapping[str, Any]) -> Table:
    table = Table("figure", "value", "what it is")
    for name, value in figures.items():
        if name in figures["definitions"]:
            table.add_row(name, _shown(value), escape(figures["definitions"][name]))
    return table


def _shown(value: bool | float | Mapping[str, float]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(f"{num_sites}: {of_site:.2f}" for num_sites, of_site in value.items())
