"""``fedward scrub`` and ``fedward desensitize``: parse, call, print. Heavy imports wait for the call."""

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

desensitize_app = typer.Typer(
    help="What belongs to `scrub`: profiles, checks, keys, the own tagger.", no_args_is_help=True
)


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
    keys, descriptor = _keys(key, rules)
    job = Job(
        source=source,
        target=target,
        policy=rules,
        keys=keys,
        descriptor=descriptor,
        fields=Fields(text=tuple(field or ()), patient=patient),
        kind=_kind(format_),
        encoding=encoding,
        workers=workers,
        dry_run=dry_run,
        skip_bad=skip_bad,
        split=split,
        again=again,
        quarantine_text=quarantine_text,
        # The day of the key and not today's: the same key gives the same output whenever it runs.
        record_date=_today() if descriptor is None else datetime.date.fromisoformat(descriptor.created),
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


def _keys(path: Path | None, rules: DesensitizePolicy) -> tuple[Any, Any]:
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


@desensitize_app.command("key")
def new_key(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file; none is ever replaced.", show_default=False)
    ],
    site: Annotated[str, typer.Option("--site", help="Name of the institution.", show_default=False)],
    key_id: Annotated[str, typer.Option("--key-id", help="Another one is another version of the corpus.")] = "1",
) -> None:
    """Make a key for surrogates that stay the same across runs, and for columns that are to be restored."""
    from fedward.client.scrub.key_file import write_key

    descriptor = write_key(path, site_id=site, key_id=key_id, today=_today())
    typer.echo(f"Key {descriptor.key_id} of {descriptor.site_id}, valid to {descriptor.not_after}: {path}")
    typer.echo("Whoever has it can restore encrypted columns. Keep a copy where the institution keeps its secrets.")


def _today() -> datetime.date:
    return datetime.datetime.now(tz=datetime.UTC).date()  # noqa: TID251 - the edge, where the clock comes from


@desensitize_app.command("profile")
def profile_input(
    source: In,
    out: Annotated[Path | None, typer.Option("--out", help="Write the draft here instead of printing it.")] = None,
    policy: Policy = None,
    key: Key = None,
    profile: Profile = None,
    encoding: Encoding = None,
    format_: Format = None,
    as_json: Json = False,
) -> None:
    """Look at columns and texts, estimate recall with canaries, and draft a policy for a person to sign."""
    from fedward.client.scrub.profiling import profile_file

    rules = read_policy(policy, None, profile, None)
    keys, _ = _keys(key, rules)
    found = _opened(source, encoding, format_)
    draft = profile_file(found, rules, keys)
    if out is None:
        typer.echo(draft.toml)
    else:
        from fedward.common.atomic import write_atomically

        write_atomically(out, draft.toml.encode())
        typer.echo(f"A draft, to be read and signed: {out}", err=True)
    if as_json:
        typer.echo(json.dumps(draft.to_json(), ensure_ascii=False))


@desensitize_app.command("check")
def check(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="What a tool has written.", show_default=False)],
    against: Annotated[Path, typer.Option("--against", metavar="IN", help="What it was given.", show_default=False)],
    policy: Policy = None,
    profile: Profile = None,
    quarantine: Annotated[Path | None, typer.Option("--quarantine", help="List of records that were left out.")] = None,
    encoding: Encoding = None,
    format_: Format = None,
    as_json: Json = False,
) -> None:
    """The leak check alone: do direct identifiers of IN still stand in OUT? Any tool's output can be checked."""
    from fedward.client.scrub.check import check_output
    from fedward.common.errors import DesensitizationError

    rules = read_policy(policy, None, profile, None)
    # What fedward writes is UTF-8; another tool's output may be in the input's encoding.
    checked = check_output(_opened(against, encoding, format_), _opened(output, None, format_), rules, quarantine)
    if as_json:
        typer.echo(json.dumps(checked.to_json(), ensure_ascii=False))
    kinds = ", ".join(f"{name} in {count:,}" for name, count in sorted(checked.by_type.items()))
    if checked.leaking:
        raise DesensitizationError(
            f"{checked.leaking:,} of {checked.records:,} records still hold identifiers ({kinds}); the first: "
            f"{', '.join(checked.places[:5])}",
            hint="--json lists up to 100 places.",
        )
    typer.echo(f"{checked.records:,} records: no direct identifier of the input was found in the output", err=True)


KeyFile = Annotated[Path, typer.Option("--key", help="The key that encrypted.", show_default=False)]
PolicyFile = Annotated[Path, typer.Option("--policy", help="The policy that names the columns.", show_default=False)]


@desensitize_app.command("restore")
def restore(
    source: In, target: Out, key: KeyFile, policy: PolicyFile, encoding: Encoding = None, format_: Format = None
) -> None:
    """Encrypted columns back to their values. What comes out is plaintext; the use is written down beside the key."""
    _recode(source, target, key, None, policy, encoding, format_)


@desensitize_app.command("rekey")
def rekey(
    source: In,
    target: Out,
    key: KeyFile,
    new: Annotated[Path, typer.Option("--new-key", help="The key that is to encrypt.", show_default=False)],
    policy: PolicyFile,
    encoding: Encoding = None,
    format_: Format = None,
) -> None:
    """Encrypted columns to a new key, in one stream without plaintext on disk."""
    _recode(source, target, key, new, policy, encoding, format_)


def _recode(
    source: Path,
    target: Path,
    key: Path,
    new: Path | None,
    policy: Path,
    encoding: str | None,
    format_: FormatName | None,
) -> None:
    from fedward import __version__
    from fedward.client.scrub import restore as restoring
    from fedward.client.scrub.inputs import check_target
    from fedward.client.scrub.key_file import read_key
    from fedward.client.scrub.output import key_check
    from fedward.common.desensitize.policy import load_policy

    rules = load_policy(policy)
    keys, descriptor = read_key(key)
    old = restoring.encrypted_columns(rules, keys, descriptor)
    check_target(source, target)
    found = _opened(source, encoding, format_)
    action, marked = "restore", keys
    if not restoring.require_key(found, keys):
        typer.echo("No mark says which key this was written under: another key gives other values unseen.", err=True)
    functions: dict[str, restoring.Transform] = {name: restoring.decrypted(column) for name, column in old.items()}
    if new is not None:
        marked, fresh_descriptor = read_key(new)
        fresh = restoring.encrypted_columns(rules, marked, fresh_descriptor)
        functions = {name: restoring.decrypted(old[name], fresh[name]) for name in old}
        action = f"rekey to {marked.key_id}"
    now = datetime.datetime.now(tz=datetime.UTC)  # noqa: TID251 - the edge, where the clock comes from
    restoring.write_audit(key, action=action, source=source, count=None, now=now)
    mark = {"policy": rules.digest, "key_id": marked.key_id, "site_id": marked.site_id, "restored": new is None}
    mark |= {"fedward": __version__, "key_check": key_check(marked)}
    count = restoring.transform_columns(found, target, functions, mark)
    restoring.write_audit(key, action=f"{action}: done", source=source, count=count, now=now)
    typer.echo(f"{count:,} values of {len(functions)} columns", err=True)


def _kind(name: FormatName | None) -> Kind | None:
    found: dict[str, Kind] = {"jsonl": "jsonl", "csv": "csv", "text": "text", "parquet": "parquet", "arrow": "arrow"}
    return None if name is None else found[name.value]


def _opened(source: Path, encoding: str | None, format_: FormatName | None) -> Any:  # noqa: ANN401 - an Input
    from fedward.client.scrub.core_files import forbid_core_files
    from fedward.client.scrub.inputs import open_input
    from fedward.client.scrub.settings import MAX_SPLIT_BYTES, Fields

    forbid_core_files()
    return open_input(
        source, kind=_kind(format_), encoding=encoding, fields=Fields(), again=True, limit=MAX_SPLIT_BYTES
    )


@desensitize_app.command("train-tagger")
def train_tagger(
    data: Annotated[Path, typer.Option("--data", help="Manifest: licence, split and SHA-256 of each data set.")],
    out: Annotated[Path, typer.Option("--out", help="The model file.")],
) -> None:
    """Train the own tagger for Chinese names on what the manifest names; the manifest goes into the model file."""
    from fedward.common.desensitize.detectors.train_tagger import train_tagger as train

    train(data, out, progress=lambda line: typer.echo(line, err=True))
    typer.echo(f"Model   {out}")
