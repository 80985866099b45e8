"""``fedward scrub``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import datetime
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedward.client.scrub.run import Job, Summary
    from fedward.client.scrub.settings import Kind
    from fedward.common.desensitize.policy import DesensitizePolicy


class Language(StrEnum):
    """Whose names are looked for."""

    auto = "auto"
    zh = "zh"
    en = "en"


class ProfileName(StrEnum):
    """How much is done to find names."""

    structured = "structured"
    fast = "fast"
    max_recall = "max-recall"


class FormatName(StrEnum):
    """Formats of an input."""

    jsonl = "jsonl"
    csv = "csv"
    text = "text"
    parquet = "parquet"
    arrow = "arrow"


In = Annotated[Path, typer.Argument(metavar="IN", help="A file, or a folder of a saved data set.", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Where the result goes.", show_default=False)]
Policy = Annotated[Path | None, typer.Option("--policy", help="policy.toml; without one: balanced, profile fast.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="The site's key. Without one: a key of this run alone, destroyed at its end."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Of text, JSON lines and CSV. Without it: UTF-8, or clearly GB 18030.")
]
Lang = Annotated[Language | None, typer.Option("--lang", help="Which names are looked for; auto goes by the script.")]
Profile = Annotated[
    ProfileName | None,
    typer.Option(
        "--profile",
        help="structured: numbers and dates alone; fast: names and addresses too; max-recall: every tagger.",
    ),
]
Format = Annotated[FormatName | None, typer.Option("--format", help="Of the input; without it by the suffix.")]


def scrub(
    source: In,
    target: Out,
    lang: Lang = None,
    policy: Policy = None,
    key: Key = None,
    profile: Profile = None,
    layers: Annotated[
        str | None, typer.Option("--layers", help="entity, and if wanted semantic and noise, with commas.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field", help="A field of free text that must be there, such as messages[*].content. Repeatable."
        ),
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option("--patient", help="The field that says whose record it is; patient_id if there is one."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for desensitize_report.json and .html.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes; the output is the same for any number.")
    ] = None,
    encoding: Encoding = None,
    format_: Format = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count and report; write no output.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unreadable records out, and name them in the quarantine file.")
    ] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Take texts above 8 MiB in pieces that are cut at paragraphs.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Take an input that is already desensitised.")] = False,
    quarantine_text: Annotated[
        bool,
        typer.Option("--quarantine-text", help="Write the records that were left out, in plain, beside the output."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Replace what identifies people in a file: Chinese, English and mixed text, JSON lines, CSV, Parquet, data sets.

    Works with nothing but IN and OUT. A record that fails the leak check is left out and named, never let through.
    """
    from rich.console import Console

    from fedward.client.scrub.core_files import forbid_core_files
    from fedward.client.scrub.progress import progress_on
    from fedward.client.scrub.run import Job, prepare, scrub_files
    from fedward.client.scrub.settings import Fields

    forbid_core_files()
    console = Console(stderr=True, soft_wrap=True)
    rules = read_policy(policy, lang, profile, layers)
    keys, descriptor = keys_of(key, rules)
    job = Job(
        source=source,
        target=target,
        policy=rules,
        keys=keys,
        descriptor=descriptor,
        fields=Fields(text=tuple(field or ()), patient=patient),
        kind=kind_of(format_),
        encoding=encoding,
        workers=workers,
        dry_run=dry_run,
        skip_bad=skip_bad,
        split=split,
        again=again,
        quarantine_text=quarantine_text,
        # The day of the key and not today's: the same key gives the same output whenever it runs.
        record_date=today() if descriptor is None else datetime.date.fromisoformat(descriptor.created),
        measure=report is not None,
    )
    found = prepare(job)
    _announce(job, console)
    with progress_on(console, found.num_bytes) as progress:
        summary = scrub_files(job, found, progress)
    document = _report(job, summary, report)
    _show(job, summary, report, console)
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))


def read_policy(
    path: Path | None, lang: Language | None, profile: ProfileName | None, layers: str | None
) -> DesensitizePolicy:
    """The policy with the command line's changes.

    Raises:
        ConfigError: names the setting that is wrong.
    """
    from fedward.common.desensitize.policy import DesensitizePolicy, load_policy
    from fedward.common.settings import to_json, validated

    found = DesensitizePolicy() if path is None else load_policy(path)
    changes: dict[str, Any] = {}
    if lang is not None:
        changes["language"] = lang.value
    if profile is not None:
        changes["profile"] = profile.value
    if layers is not None:
        changes["layers"] = [layer.strip() for layer in layers.split(",")]
    if not changes:
        return found
    return validated(DesensitizePolicy, to_json({**found.model_dump(mode="json"), **changes}, "policy"), "the options")


def kind_of(name: FormatName | None) -> Kind | None:
    """The format that was named, or None."""
    found: dict[str, Kind] = {"jsonl": "jsonl", "csv": "csv", "text": "text", "parquet": "parquet", "arrow": "arrow"}
    return None if name is None else found[name.value]


def today() -> datetime.date:
    """The day in UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date()  # noqa: TID251 - the edge, where the clock comes from


def keys_of(path: Path | None, rules: DesensitizePolicy) -> tuple[Any, Any]:
    """The site's key with its descriptor, or a key of this run alone.

    Raises:
        ConfigError: FPE without a key of the site.
    """
    from fedward.client.scrub.key_file import read_key
    from fedward.common.desensitize.keys import ScrubKeys
    from fedward.common.desensitize.policy import Action
    from fedward.common.errors import ConfigError

    if path is not None:
        return read_key(path)
    actions = {*rules.actions.values(), *(column.action for column in rules.columns.values())}
    if Action.FPE in actions:
        raise ConfigError(
            "the policy encrypts, and there is no key: nobody could restore it",
            hint="Give --key; `fedward desensitize key FILE --site NAME` makes one.",
        )
    return ScrubKeys.one_run(), None


def _announce(job: Job, console: Console) -> None:
    if job.descriptor is None:
        console.print(
            "A key of this run alone: surrogates are consistent within the run and linkable to nothing later. "
            "An interrupted run starts anew.",
            style="dim",
        )
    if job.quarantine_text:
        console.print("! --quarantine-text: records that are left out are written in plain.", style="yellow")


def _report(job: Job, summary: Summary, folder: Path | None) -> dict[str, Any]:
    from fedward.client.scrub.reporting import write_report
    from fedward.common.desensitize.report import Facts, build

    facts = Facts(
        tally=summary.tally,
        policy=job.policy,
        site_id=job.keys.site_id,
        key_id=job.keys.key_id,
        is_one_run=job.descriptor is None,
        output_sha256=summary.digest,
        input_bytes=summary.found.num_bytes,
        seconds=summary.seconds,
        canaries=summary.canaries,
        over_scrub=summary.over_scrub,
        interrupted=summary.resumed_chunks,
    )
    document = build(facts)
    if folder is not None:
        write_report(document, folder)
    return document


def _show(job: Job, summary: Summary, report: Path | None, console: Console) -> None:
    from fedward.client.scrub.progress import counts_line
    from fedward.client.scrub.quarantine import quarantine_path

    tally, rate = summary.tally, summary.found.num_bytes / 1e6 / max(summary.seconds, 1e-9)
    lines = [counts_line(tally), f"{tally.changed_share:.2%} of the characters changed; {rate:.2f} MB/s"]
    if summary.resumed_chunks:
        lines.append(f"{summary.resumed_chunks} chunks of an interrupted run were taken over")
    if summary.started_anew:
        lines.append("an interrupted run lay there, of another key, policy or input: started anew")
    if summary.quarantined:
        kinds = f"{tally.failed:,} by the leak check, {tally.refused:,} unreadable"
        where = "" if job.dry_run else f": see {quarantine_path(job.target).name}"
        lines.append(f"{summary.quarantined:,} records left out ({kinds}){where}")
    if job.dry_run:
        lines.append("dry run: nothing was written")
    if report is not None:
        lines.append(f"Report  {report / 'desensitize_report.html'}")
    for line in lines:
        console.print(line, highlight=False, markup=False)
