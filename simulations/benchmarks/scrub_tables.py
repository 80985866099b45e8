"""The figures of ``fedward bench scrub`` as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Speed by contest and arm, the headline, the verdict."""
    for row in figures["rows"]:
        title = f"{row['contest']}, {row['hits_per_kb']:.1f} identifiers/kB"
        table = Table("arm", "MB/CPU s", "hits", "ours ÷", title=title)
        for name, rate in row["mb_per_cpu_s"].items():
            speedup = row["speedup"].get(name)
            table.add_row(
                name, f"{rate:.3g}", str(row["hits_found"][name]), "" if speedup is None else f"{speedup:.1f}"
            )
        console.print(table)
    console.print(_headline(figures))
    for name, reason in figures["skipped"].items():
        console.print(f"[yellow]{escape(name)} skipped: {escape(reason)}[/]")
    style = {"ok": "green", "FA": "red"}.get(figures["verdict"][:2], "yellow")
    console.print(f"[{style}]{escape(figures['verdict'])}[/]")


def show_accuracy(figures: Mapping[str, Any], console: Console) -> None:
    """Each bounded figure, then the tables by type."""
    from fedward.simulations.benchmarks.scrub_accuracy import BOUNDS

    table = Table("figure", "value", "bound", "")
    for name, (sense, bound) in BOUNDS.items():
        value = figures[name]
        state = "not measured" if value is None else "[red]missed[/]" if name in figures["missed"] else "[green]ok[/]"
        table.add_row(name, "" if value is None else f"{value:.4f}", f"{sense} {bound:g}", state)
    console.print(table)
    for title, types in figures["tables"].items():
        if title.endswith("_spellings"):
            continue
        rows = Table("type", "gold", "recall", "found", "precision", title=title)
        for name, row in types.items():
            rows.add_row(name, str(row["gold"]), _share(row["recall"]), str(row["found"]), _share(row["precision"]))
        console.print(rows)
    for name, reason in figures["skipped"].items():
        console.print(f"[yellow]{escape(name)} skipped: {escape(reason)}[/]")


def show_utility(figures: Mapping[str, Any], console: Console) -> None:
    """Accuracy of each pair of arms."""
    table = Table("trained", "raw", "scrubbed", "difference (points)", "95 %", "majority")
    pairs = {
        "classifier": figures["classifier"]["plain"],
        "classifier, identifiers put in": figures["classifier"]["injected"],
        "language model": figures["training"],
    }
    for name, pair in pairs.items():
        low, high = pair["interval_points"]
        shares = (f"{pair[key]:.4f}" for key in ("accuracy_raw", "accuracy_scrubbed"))
        table.add_row(
            name, *shares, f"{pair['difference_points']:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{pair['majority']:.4f}"
        )
    console.print(table)
    console.print("[yellow]Differs too much: " + ", ".join(figures["misses"]) if figures["misses"] else "[green]ok[/]")


def _headline(figures: Mapping[str, Any]) -> Table:
    table = Table("figure", "value", "what it is")
    for name, meaning in figures["definitions"].items():
        value = figures[name]
        table.add_row(name, "" if value is None else f"{value:,.4g}", escape(meaning))
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
