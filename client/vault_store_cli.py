"""``fedward vault objects|read|rotate``: a site's vault from the command line. Heavy imports wait for the call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.printable import printable
from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, RoleName, Site, chosen, opened
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from fedward.client.site_folder import SiteFolder
    from fedward.common.vault.index import ObjectInfo

_DEFAULT_MAX_BYTES = 1 << 30


def objects(
    site: Site,
    role: RoleName,
    kind: Annotated[str | None, typer.Option(help="This kind alone.")] = None,
    run: Annotated[str | None, typer.Option(help="This run alone, in hex.")] = None,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """List what a role may see. Each listing of a kind is an entry in the ledger."""
    from fedward.common.vault.kinds import Kind
    from fedward.common.vault.roles import OPENING, Action, Role, is_allowed

    actor, run_id = chosen(Role, role, "--role"), _run_id(run)
    asked = [chosen(Kind, kind, "--kind")] if kind is not None else list(Kind)
    seeing = (Action.LIST, *sorted(OPENING))
    seen = [k for k in asked if any(is_allowed(actor, k, action, is_released=True) for action in seeing)]
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        found = [
            info
            for one in (seen if kind is None else asked)  # a kind that was asked for by name is refused by name
            for info in folder.vault.listing(one, principal=folder.principal(actor), run_id=run_id)
        ]
    if as_json:
        typer.echo(json.dumps({"role": actor, "kinds": seen, "objects": [_row(info) for info in found]}))
    else:
        _print(found)


def read(
    object_id: Annotated[str, typer.Argument(metavar="OBJECT", help="Its id, as `fedward vault objects` shows it.")],
    site: Site,
    role: RoleName,
    max_bytes: Annotated[int, typer.Option(min=0, help="Refuse more plaintext than this.")] = _DEFAULT_MAX_BYTES,
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Write an object to standard output, if the role may read it; an entry in the ledger comes first.

    Never to a file of its own making, and not to a terminal.
    A pipe or a redirection is your decision; what it makes is not protected.
    """
    import sys

    from fedward.common.vault.roles import Role

    actor = chosen(Role, role, "--role")
    if sys.stdout.isatty():  # with --json too: base64 hides nothing from who scrolls back
        raise ConfigError("an object is not written to a terminal", hint="Pipe it on, or redirect it.")
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        info = folder.vault.info(object_id)
        content = folder.vault.read(object_id, principal=folder.principal(actor), max_bytes=max_bytes)
    if as_json:
        import base64

        typer.echo(json.dumps({**_row(info), "base64": base64.b64encode(content).decode()}))
    else:
        sys.stdout.buffer.write(content)


def rotate(
    site: Site,
    kind: Annotated[list[str] | None, typer.Option(help="This kind alone; repeat it. Default: every kind.")] = None,
    reseal: Annotated[
        bool, typer.Option("--reseal", help="Encrypt all objects of --kind anew too: for a suspected loss.")
    ] = False,
    due: Annotated[
        bool, typer.Option("--due", help="Only what is overdue: keys of kinds after 90 days, of roles after 180.")
    ] = False,
    role: RoleName = "operator",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """New keys for the vault: every slot is wrapped anew, objects stay as they are.

    Copies of old slots open with nothing any more.
    A data key that was copied still opens its objects: use --reseal.
    With --due, from a timer, it keeps the schedule.
    """
    from fedward.common.vault.kinds import DURABLE, Kind
    from fedward.common.vault.roles import Action, Office, Role

    if due and (kind or reseal):
        raise ConfigError("--due goes by the schedule alone", hint="Leave --kind and --reseal out.")
    kinds = [chosen(Kind, name, "--kind") for name in kind or sorted(DURABLE)]
    if any(one.is_ephemeral for one in kinds):
        raise ConfigError("--kind: an ephemeral kind has no key to rotate", hint="Its key dies with the run.")
    if reseal and not kind:
        raise ConfigError("--reseal needs a --kind", hint="It rewrites all objects of that kind.")
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        folder.vault.gate.check(Office.KEYS, Action.ROTATE, principal=folder.principal(chosen(Role, role, "--role")))
        num_resealed = sum(folder.vault.reseal(one) for one in kinds) if reseal else 0
        roles = _rotate_due(folder) if due else []
        if not reseal and not due:
            folder.vault.rotate(kinds)
        epochs = {str(one): folder.keystore.kek_epoch(one) for one in kinds}
    if as_json:
        typer.echo(json.dumps({"epochs": epochs, "resealed": num_resealed, **({"due": roles} if due else {})}))
    elif due:
        typer.echo(f"new keys for what was due: {', '.join(roles) or 'nothing'}")
    else:
        typer.echo(f"new keys for {len(epochs)} kinds; {num_resealed} objects encrypted anew")


def _rotate_due(folder: SiteFolder) -> list[str]:
    """Keep the schedule; the kinds and roles that were overdue. A role's change renews the keys of what it reads."""
    from fedward.common.vault.key_records import Purpose
    from fedward.common.vault.kinds import Kind
    from fedward.common.vault.roles import Role
    from fedward.common.vault.rotation import overdue

    found = overdue(folder.keystore, folder.clock())
    roles = [Role(one.name) for one in found if one.purpose is Purpose.ROLE]
    if roles:
        folder.vault.rotate_roles(roles)
    late = overdue(folder.keystore, folder.clock())
    kinds = [Kind(one.name) for one in late if one.purpose is Purpose.KEK]
    if kinds:
        folder.vault.rotate(kinds)
    return [one.name for one in found]


def _run_id(text: str | None) -> bytes | None:
    from fedward.common.vault.index import is_object_id

    if text is None:
        return None
    if not is_object_id(text):
        raise ConfigError("--run: expected 32 hex digits", hint="`fedward ledger show` names the runs.")
    return bytes.fromhex(text)


def _row(info: ObjectInfo) -> dict[str, object]:
    return {
        "object": info.object_id,
        "kind": str(info.kind),
        "name": info.name,
        "run": info.run_id.hex() if any(info.run_id) else None,
        "bytes": info.num_bytes,
        "released": info.is_released,
    }


def _print(found: list[ObjectInfo]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("object", "kind", "name", "run", "sealed bytes", "released", title=f"{len(found)} objects")
    for row in map(_row, found):
        cells = [row["object"], row["kind"], row["name"], row["run"] or "–", f"{row['bytes']:,}"]
        table.add_row(*(Text(printable(cell)) for cell in cells), "yes" if row["released"] else "no")
    Console().print(table)


__all__ = ["objects", "read", "rotate"]
