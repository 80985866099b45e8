"""``fedward desensitize``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedward.client.scrub_cli import (
    Encoding,
    Format,
    FormatName,
    In,
    Json,
    Key,
    Out,
    Policy,
    Profile,
    keys_of,
    kind_of,
    read_policy,
    today,
)

desensitize_app = typer.Typer(
    help="What belongs to `scrub`: profiles, checks, keys, the own tagger.", no_args_is_help=True
)


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

    descriptor = write_key(path, site_id=site, key_id=key_id, today=today())
    typer.echo(f"Key {descriptor.key_id} of {descriptor.site_id}, valid to {descriptor.not_after}: {path}")
    typer.echo("Whoever has it can restore encrypted columns. Keep a copy where the institution keeps its secrets.")


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
    keys, _ = keys_of(key, rules)
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


def _opened(source: Path, encoding: str | None, format_: FormatName | None) -> Any:  # noqa: ANN401 - an Input
    from fedward.client.scrub.core_files import forbid_core_files
    from fedward.client.scrub.inputs import open_input
    from fedward.client.scrub.settings import MAX_SPLIT_BYTES, Fields

    forbid_core_files()
    return open_input(
        source, kind=kind_of(format_), encoding=encoding, fields=Fields(), again=True, limit=MAX_SPLIT_BYTES
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
