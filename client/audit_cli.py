"""``fedward audit``: who has which role, and who does not use it. Heavy imports wait for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.printable import printable
from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, Site, clock, opened

if TYPE_CHECKING:
    from fedward.common.vault.grants import Grant

audit_app = typer.Typer(help="Audits of a site. (Of plans and optimisers: version 0.4.)", no_args_is_help=True)


@audit_app.callback()
def _group() -> None:
    """A group, also with one command."""


@audit_app.command("idle")
def idle(
    site: Site,
    days: Annotated[int, typer.Option(min=0, help="Without use for at least so long. 0: every grant.")] = 90,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take these roles back; opens the site as steward.")] = False,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Grants that nobody used. Without --revoke only the ledger is read: no key, and the daemon may run.

    The daemon's grants, your own as steward and the last steward's are listed and never revoked here.
    """
    now = clock()
    revoked: list[Grant] = []
    if revoke:
        with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
            from fedward.common.vault.roles import Role

            gate, steward = folder.vault.gate, folder.principal(Role.STEWARD)
            found = gate.grants.idle(now, days)
            for grant in found:
                is_own = grant.subject == steward.subject  # used right now, and to the end of this list
                is_kept = grant.role == Role.DAEMON or (
                    grant.role == Role.STEWARD and (is_own or len(gate.grants.holders(Role.STEWARD)) == 1)
                )
                if not is_kept:
                    gate.revoke(grant.subject, Role(grant.role), principal=steward)
                    revoked.append(grant)
    else:
        found = _of_ledger(site, now, days)
    if as_json:
        rows = [{**_row(grant, now), "revoked": grant in revoked} for grant in found]
        typer.echo(json.dumps({"days": days, "idle": rows, "revoked": len(revoked)}))
    else:
        _print(found, revoked, now)


def _of_ledger(site: Path, now: int, days: int) -> tuple[Grant, ...]:
    """What a ledger that holds says; read alone.

    Raises:
        LedgerInvalidError: it does not hold.
    """
    from fedward.client.ledger_files import VerifyLevel, judge_file, reading
    from fedward.common.errors import LedgerInvalidError
    from fedward.common.vault.audit import Record
    from fedward.common.vault.folder import LEDGER

    path = site.joinpath(*LEDGER)
    verdict = judge_file(path, VerifyLevel.SIGNED).verdict
    if not verdict.is_good:
        raise LedgerInvalidError(f"entry {verdict.bad_seq}: {verdict.fault}")
    with reading(path) as entries:
        return Record(entries).grants.idle(now, days)


def _row(grant: Grant, now: int) -> dict[str, object]:
    return {
        "subject": grant.subject,
        "role": grant.role,
        "idle_days": grant.idle_days(now),
        "used": grant.used_at_ms is not None,
    }


def _print(found: tuple[Grant, ...], revoked: list[Grant], now: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("subject", "role", "days without use", "ever used", "", title=f"{len(found)} idle grants")
    for grant in found:
        row = _row(grant, now)
        cells = [row["subject"], row["role"], row["idle_days"], "yes" if row["used"] else "never"]
        table.add_row(*(Text(printable(cell)) for cell in cells), "revoked" if grant in revoked else "")
    Console().print(table)


__all__ = ["audit_app"]
