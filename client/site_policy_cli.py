"""``fedward site policy set`` and ``fedward site approve``: the steward's words. Heavy imports wait for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.printable import printable
from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, RoleName, Site, chosen, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedward.client.policy_file import Change
    from fedward.common.ledger.plans import Waiting

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def set_policy(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The new policy, in TOML.")],
    site: Site,
    role: RoleName = "steward",
    yes: Yes = False,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Set the site's policy: shows what changes, what is loosened in red, asks, and enters it in the ledger.

    What it tightens binds from the site's next start, what it loosens only plans that are accepted later.
    """
    from fedward.client import policy_file
    from fedward.common.config import SitePolicy
    from fedward.common.errors import ConfigError, PolicyAlteredError
    from fedward.common.vault.roles import Role

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Check the path.") from error
    new = policy_file.parse_policy(raw, path.name)
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        try:
            old, was_altered = policy_file.current_policy(folder)[0], False
        except PolicyAlteredError:
            old, was_altered = SitePolicy(), True
        changes = policy_file.differences(old, new)
        if not as_json:
            _show(changes, was_altered=was_altered)
        if not yes:
            typer.confirm("Set this policy?", abort=True, err=as_json)
        digest = policy_file.set_policy(folder, raw, principal=folder.principal(chosen(Role, role, "--role")))
    names = {"changed": [c.name for c in changes], "loosened": [c.name for c in changes if c.is_loosened]}
    facts = {"policy": digest.hex(), "was_altered": was_altered, **names}
    typer.echo(json.dumps(facts) if as_json else f"set: {digest.hex()}")


def _show(changes: Sequence[Change], *, was_altered: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if was_altered:
        console.print("The present file is not the one that was set last; compared with the defaults instead.")
    if not changes:
        console.print("No rule changes.")
        return
    table = Table("field", "old", "new", "", title="Changes of the policy")
    for change in changes:
        style = "bold red" if change.is_loosened else "green"
        cells = (change.name, _words(change.old), _words(change.new))
        table.add_row(*(Text(cell, style=style) for cell in cells), "loosened" if change.is_loosened else "tightened")
    console.print(table)


def _words(value: object) -> str:
    if value is None:
        return "none"
    return printable(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def approve(
    site: Site,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run id, or its first digits. Without: list what waits.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="SHA-256 of the plan, or its first digits.")] = None,
    role: RoleName = "steward",
    yes: Yes = False,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Approve a plan that breaks no rule and waits, under a policy with approve = "manual".

    The coordinator offers it again; it is judged again, and accepted. No word lets a plan pass that a rule refuses.
    """
    from fedward.client import approvals
    from fedward.common.vault.roles import Role

    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        waiting = approvals.waiting_plans(folder)
        if run is None:
            _list(waiting, as_json=as_json)
            return
        found = approvals.chosen_plan(waiting, run, plan)
        if not yes:
            typer.confirm(f"Approve plan {found.plan} of run {found.run_id}?", abort=True, err=as_json)
        approvals.approve(folder, found, principal=folder.principal(chosen(Role, role, "--role")))
    facts = {"approved": {"run": found.run_id, "plan": found.plan}}
    typer.echo(json.dumps(facts) if as_json else f"approved: plan {found.plan} of run {found.run_id}")


def _list(waiting: Sequence[Waiting], *, as_json: bool) -> None:
    rows = [{"run": one.run_id, "plan": one.plan, "since_ms": one.since_ms} for one in waiting]
    if as_json:
        typer.echo(json.dumps({"waiting": rows}))
        return
    for row in rows:
        typer.echo(printable(f"run {row['run']}  plan {row['plan']}"))
    if not rows:
        typer.echo("no plan waits")


__all__ = ["approve", "set_policy"]
