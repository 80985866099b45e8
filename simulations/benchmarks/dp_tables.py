"""The figures of ``fedward bench dp`` as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Headline, time by shape and arm, counts and errors by architecture, CUDA."""
    console.print(_headline(figures))
    console.print(_times(figures))
    console.print(_counts(figures))
    console.print(_architectures(figures))
    if isinstance(figures["cuda"], str):
        console.print(f"CUDA: {figures['cuda']}")
    else:
        console.print(_cuda(figures["cuda"]))
    style = {"ok": "green", "FA": "red"}.get(figures["verdict"][:2], "yellow")
    console.print(f"[{style}]{escape(figures['verdict'])}[/]")


def show_audit(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each path."""
    table = Table("path", "mu / theory", "noise / booked", "idle noise / booked", "torch RNG", "CPU s", "")
    for name, path in figures["paths"].items():
        table.add_row(
            name,
            f"{path['mu_ratio']:.3f}",
            f"{path['noise_ratio']:.3f}",
            f"{path['idle_noise_ratio']:.3f}",
            "untouched" if path["is_torch_generator_untouched"] else "USED",
            f"{path['cpu_s']:.2f}",
            "[green]passed[/]" if path["passed"] else "[red]FAILED[/]",
        )
    console.print(table)


def _headline(figures: Mapping[str, Any]) -> Table:
    table = Table("figure", "value", "what it is", title="private step against plain step")
    for name, value in figures.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.3g}" if value < 0.1 else f"{value:.4f}", escape(figures["definitions"][name]))
    return table


def _times(figures: Mapping[str, Any]) -> Table:
    arms = list(figures["shapes"][0]["cpu_ratio"])
    table = Table("CPU time ÷ non-private", *arms, title=f"median (quartiles) of {figures['repeats']} turns")
    named = [(row["name"], row) for row in figures["shapes"]]
    if figures["training_call"]:
        named.append(("embedded base, whole training call", figures["training_call"]))
    for name, row in named:
        table.add_row(name, *(_spread(row["cpu_ratio"].get(arm)) for arm in arms))
    return table


def _counts(figures: Mapping[str, Any]) -> Table:
    arms = list(figures["shapes"][0]["cpu_ratio"])
    table = Table("counted ÷ non-private", "", *arms)
    for row in figures["shapes"]:
        for title, kind in (("FLOPs", "flops_ratio"), ("peak bytes", "peak_memory_ratio")):
            table.add_row(row["name"], title, *(f"{row[kind][arm]:.4f}" for arm in arms))
    return table


def _architectures(figures: Mapping[str, Any]) -> Table:
    table = Table("architecture", "targets", "gradient error", "rolled units", "FLOPs", "peak", "CPU time", "again")
    for row in figures["architectures"]:
        table.add_row(
            row["architecture"],
            row["targets"],
            f"{row['relative_gradient_error']:.1e}",
            f"{row['rolled_units_error']:.2f}",
            f"{row['flops_ratio']['fused']:.4f}",
            f"{row['peak_memory_ratio']['fused']:.4f}",
            _spread(row["cpu_ratio"]["fused"]),
            _spread(row["cpu_ratio"]["noise_floor"]),
        )
    return table


def _cuda(rows: list[dict[str, Any]]) -> Table:
    table = Table("CUDA", "time ratio", "again", "peak ratio", "tokens/s plain", "tokens/s private")
    for row in rows:
        if "skipped" in row:
            table.add_row(row["name"], row["skipped"])
            continue
        speed, ratios = row["tokens_per_s"], row["time_ratio"]
        table.add_row(
            row["name"],
            f"{ratios['fused']:.3f}",
            f"{ratios['noise_floor']:.3f}",
            f"{row['peak_memory_ratio']:.3f}",
            f"{speed['nonprivate']:.0f}",
            f"{speed['fused']:.0f}",
        )
    return table


def _spread(value: Mapping[str, float] | None) -> str:
    return "–" if value is None else f"{value['median']:.3f} ({value['lower']:.3f}–{value['upper']:.3f})"
