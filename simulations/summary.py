"""The summary on the terminal: tables, samples, and where the files are."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fedward.simulations.measure import Sample
from fedward.simulations.report import Outcome, headline, report, warnings

_SAMPLE_CHARS = 320


def show(outcome: Outcome, out: Path, console: Console) -> None:
    """Print the summary of a finished simulation."""
    console.print(_sites_table(outcome))
    for sample in outcome.samples:
        console.print(_sample_panel(sample))
    for line in warnings(outcome):
        console.print(Text(f"! {line}", style="yellow"))
    console.print(_closing(outcome, out))


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _sites_table(outcome: Outcome) -> Table:
    document = report(outcome)
    plan = outcome.job.plan
    unit = plan.privacy.unit.value
    epsilon_title = "ε" if not plan.is_private else f"ε per {unit}, δ = {plan.privacy.delta:g}"
    table = Table(title=f"{escape(plan.name)}: {len(outcome.result.rounds)} rounds", title_justify="left")
    table.add_column("site")
    for title in ("patients", "records", "perplexity before", "after", "bits/byte before", "after", epsilon_title):
        table.add_column(title, justify="right")
    for site in document["sites"]:
        table.add_row(
            escape(site["id"]),
            f"{site['train_patients']:,}",
            f"{site['train_records']:,}",
            _figure(site["ppl_base"]),
            _figure(site["ppl_final"]),
            _figure(site["bits_per_byte_base"], 3),
            _figure(site["bits_per_byte_final"], 3),
            _figure(site["epsilon"], 3),
        )
    top = document["headline"]
    table.add_section()
    table.add_row(
        "all", "", "", _figure(top["ppl_base"]), _figure(top["ppl_final"]), "", "", _figure(top["epsilon_max"], 3)
    )
    return table


def _sample_panel(sample: Sample) -> Panel:
    prompt = Text(sample.prompt.strip(), style="bold")
    before = Text("\nbefore  ", style="dim").append(_cut(sample.before), style="")
    after = Text("\nafter   ", style="green").append(_cut(sample.after), style="")
    return Panel(Group(prompt, before, after), title=f"{escape(sample.site_id)}, held-out note", title_align="left")


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SAMPLE_CHARS else flat[:_SAMPLE_CHARS] + " …"


def _closing(outcome: Outcome, out: Path) -> Text:
    top = headline(outcome)
    last = outcome.result.rounds[-1]
    text = Text()
    if top["ppl_base"] and top["ppl_final"]:
        text.append(f"Perplexity {top['ppl_base']:.2f} → {top['ppl_final']:.2f}", style="bold green")
        text.append(f" ({top['ppl_final'] / top['ppl_base']:.2f} of the base's) in {top['seconds']:.0f} s\n")
    text.append(f"Per round and site: {last.bytes_to_site:,} bytes down, {last.bytes_from_site:,} bytes up\n")
    text.append(f"Adapter  {out / 'adapter'}\nReport   {out / 'report.json'}")
    return text
