"""``fedward ledger backup|restore|recover``: parse, call, print. Heavy imports wait for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, Site, chosen_unlock, clock
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from fedward.common.ledger.recovery import Recovery


def backup(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sealed backup.")],
    site: Site,
    to: Annotated[
        list[str], typer.Option("--to", help="Public key of a recipient, or a file of such lines. Repeat it.")
    ],
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Seal the ledger as it is at this moment, and enter that. A copy of its file would lack the last entries."""
    from fedward.client.ledger_care import back_up
    from fedward.client.vault_keys import read_public

    unlock = chosen_unlock(site, key_file, passphrase, passphrase_file, keyring)
    recipients = [recipient for entry in to for recipient in read_public(entry)]
    digest = back_up(site, out, recipients, unlock=unlock, clock=clock)
    typer.echo(json.dumps({"backup": str(out), "sha256": digest.hex()}) if as_json else f"sealed into {out}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="As `fedward ledger backup` sealed it.")],
    site: Site,
    identity: Annotated[
        list[Path], typer.Option("--identity", "-i", help="Key file of `fedward vault keygen`. Repeat it.")
    ],
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a ledger that is gone.

    What was appended since is missing, and other sites hold its heads:
    the site is not let into a run before `fedward ledger recover` has charged it.
    """
    from fedward.client import ledger_care
    from fedward.client.vault_keys import read_key_file

    unlock = chosen_unlock(site, key_file, passphrase, passphrase_file, keyring)
    openers = [read_key_file(path) for path in identity]
    num_entries = ledger_care.restore(site, source, openers, unlock=unlock, clock=clock)
    typer.echo(json.dumps({"entries": num_entries}) if as_json else f"{num_entries:,} entries are back")


def recover(
    site: Site,
    exports: Annotated[list[Path], typer.Option("--with", help="Export of a peer or of the coordinator. Repeat it.")],
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN=PLAN", help="The accepted plan of a run, exactly. Repeat it."),
    ] = None,
    replies: Annotated[
        list[Path] | None, typer.Option("--reply", help="A TrainReply of this site, as the coordinator holds it.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account to charge, where there are several.")] = None,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Own up to entries that were lost, and charge what they may have been.

    Every run that a lost head names is charged in full,
    each round as often as its plan allows attempts.

    A run whose plan is not given cannot be bounded:
    the account is closed, and only a new policy opens it.
    The same where the anchor or a restored backup tells of a loss
    and no export is the coordinator's: other runs may be lost too.
    """
    from fedward.client import ledger_care

    unlock = chosen_unlock(site, key_file, passphrase, passphrase_file, keyring)
    evidence = ledger_care.Evidence(
        exports=tuple(exports), replies=tuple(replies or ()), plans=dict(_run(text) for text in runs or ())
    )
    found = ledger_care.recover(site, evidence, account=account, unlock=unlock, clock=clock)
    _print(found, as_json=as_json)


def _run(text: str) -> tuple[bytes, Path]:
    run, _, plan = text.partition("=")
    try:
        run_id = bytes.fromhex(run)
    except ValueError:
        run_id = b""
    if len(run_id) != 16 or not plan:
        raise ConfigError(f"--run {text}: expected 32 hex digits, = and a file")
    return run_id, Path(plan)


def _print(found: Recovery, *, as_json: bool) -> None:
    closed = [run_id.hex() for run_id in found.unbounded]
    if as_json:
        document = {"entries": len(found.drafts), "charged": [str(event) for event in found.events], "closed": closed}
        typer.echo(json.dumps(document))
        return
    typer.echo(f"{len(found.drafts)} entries appended")
    for event in found.events:
        typer.echo(f"  charged: {event}")
    if found.is_closed:
        typer.secho("  the account is closed: what was lost has no bound", fg="red", bold=True)


__all__ = ["backup", "recover", "restore"]
