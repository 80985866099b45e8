"""``fedward vault``: seal, open and re-key files, and see what lies sealed. Heavy imports wait for the call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client import vault_store_cli
from fedward.client.passphrases import asked_passphrase
from fedward.client.printable import printable
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from fedward.client.sealed_files import Listed
    from fedward.common.envelope.header import Context
    from fedward.common.envelope.recipients import Identity, Passphrase, Recipient

vault_app = typer.Typer(help="Seal, open and re-key files; use a site's vault.", no_args_is_help=True)
vault_app.command("objects")(vault_store_cli.objects)
vault_app.command("read")(vault_store_cli.read)
vault_app.command("rotate")(vault_store_cli.rotate)

_DEFAULT_MAX_BYTES = 64 << 30

To = Annotated[
    list[str] | None,
    typer.Option("--to", help="Public key of a recipient (fedward-x25519:…), or a file of such lines. Repeat it."),
]
IdentityFile = Annotated[
    list[Path] | None, typer.Option("--identity", "-i", help="Key file of `fedward vault keygen`. Repeat it.")
]
Ask = Annotated[bool, typer.Option("--passphrase", "-p", help="Ask for a passphrase.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A passphrase in a file of mode 0600, without its line end.")
]
MaxBytes = Annotated[int, typer.Option("--max-bytes", min=0, help="Refuse more plaintext than this.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


@vault_app.command("keygen")
def keygen(out: Annotated[Path, typer.Argument(help="The new key file, mode 0600.")], as_json: Json = False) -> None:
    """Make a key pair: the file keeps the secret, the printed line is for others."""
    from fedward.client.vault_keys import public_text, write_key_file
    from fedward.common.envelope.recipients import X25519Identity

    identity = X25519Identity.generate()
    write_key_file(out, identity)
    line = public_text(identity.recipient)
    typer.echo(json.dumps({"public_key": line}) if as_json else line)


@vault_app.command("seal")
def seal(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The envelope.")],
    to: To = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    scrypt: Annotated[bool, typer.Option("--scrypt", help="scrypt instead of Argon2id: less memory.")] = False,
    compress: Annotated[
        bool, typer.Option("--compress", help="zstd first. The sealed length then tells something of the content.")
    ] = False,
    kind: Annotated[str, typer.Option(help="What it is; in the clear.")] = "file",
    name: Annotated[str | None, typer.Option(help="Which one; in the clear. Default: the file's name.")] = None,
    as_json: Json = False,
) -> None:
    """Seal a file for public keys, a passphrase or both (AES-256-GCM). Its length stays visible."""
    from fedward.client.sealed_files import seal_file
    from fedward.common.envelope.header import Compression, Context

    recipients = _recipients(to, asked_passphrase(passphrase, passphrase_file, is_new=True, is_scrypt=scrypt))
    context = Context(kind=kind, name=source.name if name is None else name)
    compression = Compression.ZSTD if compress else Compression.NONE
    seal_file(source, out, recipients, context=context, compression=compression)
    _say(as_json, f"sealed for {len(recipients)}: {out}", sealed=str(out), recipients=len(recipients))


@vault_app.command("open")
def open_(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An envelope.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The plaintext, mode 0600.")],
    identity: IdentityFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    kind: Annotated[str | None, typer.Option(help="Refuse another kind.")] = None,
    name: Annotated[str | None, typer.Option(help="Refuse another name.")] = None,
    max_bytes: MaxBytes = _DEFAULT_MAX_BYTES,
    as_json: Json = False,
) -> None:
    """Open an envelope; on any fault nothing is left at OUT."""
    from fedward.client.sealed_files import open_file

    identities = _identities(identity, asked_passphrase(passphrase, passphrase_file))
    opened = open_file(
        source,
        out,
        identities,
        max_plaintext_bytes=max_bytes,
        require=lambda context: _require_stated(context, kind, name),
    )
    context, is_whole = opened.context, opened.is_header_whole
    if not is_whole:
        typer.secho("One copy of the header is damaged; `fedward vault rekey` repairs it.", fg="yellow", err=True)
    _say(as_json, f"opened {context.kind} {context.name}: {out}", kind=context.kind, name=context.name, whole=is_whole)


@vault_app.command("rekey")
def rekey(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An envelope.")],
    identity: IdentityFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    to: To = None,
    new_passphrase: Annotated[bool, typer.Option("--new-passphrase", help="Ask for a new passphrase.")] = False,
    new_passphrase_file: Annotated[Path | None, typer.Option(help="A new passphrase, as above.")] = None,
    reseal: Annotated[bool, typer.Option("--reseal", help="A new file key: rewrite the whole file.")] = False,
    max_bytes: MaxBytes = _DEFAULT_MAX_BYTES,
    as_json: Json = False,
) -> None:
    """Make --to and the new passphrase the only recipients.

    Without --reseal only a header is written: at once, whatever the size.
    Who has copied the file, or its old header, still opens that copy.
    With --reseal all is encrypted under a new file key; old copies stay.
    """
    from fedward.client.sealed_files import reseal_file
    from fedward.common.envelope.rewrap import rewrap

    identities = _identities(identity, asked_passphrase(passphrase, passphrase_file))
    recipients = _recipients(to, asked_passphrase(new_passphrase, new_passphrase_file, is_new=True))
    if reseal:
        reseal_file(path, identities, recipients, max_plaintext_bytes=max_bytes)
    else:
        rewrap(path, identities, recipients)
    _say(
        as_json, f"{path}: {len(recipients)} recipients", rekeyed=str(path), recipients=len(recipients), resealed=reseal
    )


@vault_app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A folder or a file.")], as_json: Json = False
) -> None:
    """Show what sealed files say of themselves. Without a key nothing of it is proven."""
    from fedward.client.sealed_files import listed

    if not folder.exists():
        raise ConfigError(f"{folder}: no such file or folder", hint="Check the path.")
    found = listed(folder)
    if as_json:
        typer.echo(json.dumps({"envelopes": [_row(entry) for entry in found]}))
    else:
        _table(found)


def _row(entry: Listed) -> dict[str, object]:
    if entry.header is None or entry.context is None:
        return {"path": str(entry.path), "fault": entry.fault}
    return {
        "path": str(entry.path),
        "kind": entry.context.kind,
        "name": entry.context.name,
        "run": entry.context.run_id.hex() if any(entry.context.run_id) else None,
        "recipients": [stanza.type.name.lower() for stanza in entry.header.stanzas],
        "compression": entry.header.compression.name.lower(),
        "generation": entry.header.generation,
        "bytes": entry.num_bytes,
    }


def _table(found: Sequence[Listed]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Sealed files, as they describe themselves (unproven without a key)", title_justify="left")
    for column in ("path", "kind", "name", "run", "recipients", "bytes"):
        table.add_column(column, justify="right" if column == "bytes" else "left")
    for row in map(_row, found):
        if "fault" in row:
            table.add_row(Text(printable(row["path"])), Text(f"unreadable: {row['fault']}", style="red"))
            continue
        recipients = row["recipients"]
        assert isinstance(recipients, list)  # noqa: S101 - for the type checker
        cells = [str(row["path"]), str(row["kind"]), str(row["name"]), str(row["run"] or "–"), ", ".join(recipients)]
        table.add_row(*map(Text, map(printable, cells)), f"{row['bytes']:,}")
    Console().print(table)


def _require_stated(context: Context, kind: str | None, name: str | None) -> None:
    from fedward.common.errors import ContextMismatchError

    for what, wanted, stated in (("kind", kind, context.kind), ("name", name, context.name)):
        if wanted is not None and wanted != stated:
            raise ContextMismatchError(f"this envelope holds another {what} than {wanted!r}")


def _recipients(to: Sequence[str] | None, passphrase: Passphrase | None) -> list[Recipient]:
    from fedward.client.vault_keys import read_public

    found: list[Recipient] = []
    for entry in to or ():
        found += [recipient for recipient in read_public(entry) if recipient not in found]
    if passphrase is not None:
        found.append(passphrase)
    if not found:
        raise ConfigError("nobody to seal for", hint="Give --to with a public key, or a passphrase.")
    return found


def _identities(files: Sequence[Path] | None, passphrase: Passphrase | None) -> list[Identity]:
    from fedward.client.vault_keys import read_key_file

    found: list[Identity] = [read_key_file(path) for path in files or ()]
    if passphrase is not None:
        found.append(passphrase)
    if not found:
        raise ConfigError("nothing to open it with", hint="Give --identity with a key file, or --passphrase.")
    return found


def _say(as_json: bool, sentence: str, **facts: object) -> None:
    typer.echo(json.dumps(facts) if as_json else printable(sentence))


__all__ = ["vault_app"]
