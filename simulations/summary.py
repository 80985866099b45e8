"""The summary on the terminal: tables, samples, and where the files are."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fedward.client.printable import printable
from fedward.common.agreement import site_rank
from fedward.common.config import RunPlan
from fedward.common.lora.adapters import num_coordinates
from fedward.simulations import at_rest_report, noise_report, scrub_report, secagg_report
from fedward.simulations.measure import Sample
from fedward.simulations.report import Outcome, headline, report, trained_by_round, warnings
from fedward.simulations.traces import Traces

_SAMPLE_CHARS = 320


def show(outcome: Outcome, out: Path, console: Console) -> None:
    """Print the summary of a finished simulation."""
    console.print(_sites_table(outcome))
    for sample in outcome.samples:
        console.print(_sample_panel(sample))
    for line in warnings(outcome):
        console.print(Text(f"! {line}", style="yellow"))
    console.print(_closing(outcome, out))


def show_traces(traces: Traces, console: Console) -> None:
    """What the search for the marked notes found."""
    console.print(_traces_line(traces))
    for path, form in traces.places:
        console.print(Text(f"  {printable(str(path))} ({form})", style="red"))


def _traces_line(traces: Traces) -> Text:
    searched = f"{traces.files:,} files that were written meanwhile"
    if traces.places:
        return Text(f"! Training text lies in the clear, in {len(traces.places)} of {searched}:", style="bold red")
    text = Text(f"Traces   none of {traces.marks} marked notes in {searched}")
    if traces.left_out:
        text.append(f"; {traces.left_out} could not be searched", style="yellow")
    return text


def _figure(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    return f"{value:,.{0 if value >= 1000 else digits}f}"


def _sites_table(outcome: Outcome) -> Table:
    document, plan = report(outcome), outcome.job.plan
    num_rounds = len(outcome.result.rounds)
    title = f"{plan.name}: {num_rounds} round{'' if num_rounds == 1 else 's'}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("site", no_wrap=True)
    for name in ("patients", "records", "perplexity", "bits/byte", "ε"):
        table.add_column(name, justify="right", no_wrap=True)
    for site in document["sites"]:
        table.add_row(
            escape(site["id"]),
            f"{site['train_patients']:,}",
            f"{site['train_records']:,}",
            _change(site["ppl_base"], site["ppl_final"], 1),
            _change(site["bits_per_byte_base"], site["bits_per_byte_final"], 2),
            _figure(site["epsilon"]),
        )
    top = document["headline"]
    table.add_section()
    table.add_row("all", "", "", _change(top["ppl_base"], top["ppl_final"], 1), "", _figure(top["epsilon_max"]))
    return table


def _change(before: float | None, after: float | None, digits: int) -> str:
    return f"{_figure(before, digits)} → {_figure(after, digits)}"


def _sample_panel(sample: Sample) -> Panel:
    prompt = Text(_cut(sample.prompt), style="bold")
    before = Text("\nbefore  ", style="dim").append(_cut(sample.before), style="")
    after = Text("\nafter   ", style="green").append(_cut(sample.after), style="")
    return Panel(Group(prompt, before, after), title=f"{escape(sample.site_id)}, held-out note", title_align="left")


def _cut(text: str) -> str:
    # A prompt is cut between tokens, which may be in the middle of a Chinese character.
    flat = " ".join(text.replace("\ufffd", "").split())
    return flat if len(flat) <= _SAMPLE_CHARS else flat[:_SAMPLE_CHARS] + " …"


def _aggregation(plan: RunPlan) -> str:
    """The method, and how much of the adapter a site trains."""
    odd, even = trained_by_round(plan)
    trained = f"{odd:,}" if odd == even else f"{odd:,} (odd rounds) and {even:,} (even rounds)"
    ranks = {site_rank(plan, site.id) for site in plan.sites}
    by_rank = f", sites of rank {min(ranks)} to {max(ranks)}" if len(ranks) > 1 else ""
    return f"{plan.lora.aggregation}, trains {trained} of {num_coordinates(plan.layout):,} numbers{by_rank}"


def _beyond_one_unit(outcome: Outcome) -> str:
    """The epsilons of a person at several sites and of a whole patient, and a clip norm that was found."""
    plan, top = outcome.job.plan, headline(outcome)
    lines = []
    if "epsilon_across_sites" in top:
        sites = plan.privacy.max_sites_per_unit
        lines.append(f"A {plan.privacy.unit.value} at {sites} sites: ε = {_figure(top['epsilon_across_sites'])}")
    if "epsilon_patient" in top:
        limit = plan.training.max_records_per_unit
        lines.append(f"A whole patient with up to {limit} records: ε = {_figure(top['epsilon_patient'])}")
    if plan.privacy.needs_probe and outcome.result.clip_norm is not None:
        lines.append(f"Clip norm {outcome.result.clip_norm:.4g}, found by a private probe")
    return "".join(f"{line}\n" for line in lines)


def _closing(outcome: Outcome, out: Path) -> Text:
    top = headline(outcome)
    # The last two: `alternate` sends another factor in every other round.
    latest = outcome.result.rounds[-2:]
    down, up = (max(sizes) for sizes in zip(*((r.bytes_to_site, r.bytes_from_site) for r in latest), strict=True))
    text = Text()
    if top["ppl_base"] and top["ppl_final"]:
        style = "bold green" if top["ppl_final"] < top["ppl_base"] else "bold yellow"
        text.append(f"Perplexity {top['ppl_base']:.2f} → {top['ppl_final']:.2f}", style=style)
        text.append(f" ({top['ppl_final'] / top['ppl_base']:.2f} of the base's) in {top['seconds']:.0f} s\n")
    if outcome.job.plan.is_private:
        privacy = outcome.job.plan.privacy
        text.append(f"Each {privacy.unit.value} of each site: ε as above at δ = {privacy.delta:g}, add/remove one\n")
        text.append(_beyond_one_unit(outcome))
    text.append(scrub_report.line(outcome.sites))
    text.append(f"Aggregation: {_aggregation(outcome.job.plan)}\n")
    text.append(noise_report.line(outcome.job.plan, outcome.result))
    text.append(secagg_report.lines(outcome.job.plan, outcome.result))
    text.append(at_rest_report.line(outcome.at_rest))
    text.append(f"Per round and site: {down:,} bytes down, {up:,} bytes up\n")
    text.append(f"Adapter  {out / 'adapter'}\nReport   {out / 'report.json'}")
    return text
