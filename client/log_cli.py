"""``fedward logs``: read a site's sealed log, in a role that may. Heavy imports wait for the call."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.printable import printable
from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, RoleName, Site, chosen, opened
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from fedward.client.site_folder import SiteFolder
    from fedward.common.logs.reading import Line
    from fedward.common.vault.roles import Role

_FOUND_BAD = 3
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RUN = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SINCE_HINT = "For example --since 2h, --since 3d or --since 2026-11-30T08:00."


def logs(
    site: Site,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="This run alone: 32 hex digits.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Not older: 30m, 2h, 3d, or a date or time in UTC. Default: all.")
    ] = None,
    role: RoleName = "operator",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Show the events of a site's log; for its operator and its steward.

    Every reading is in the ledger before anything is opened. Exit code 3: some of it could not be read.
    """
    from fedward.client.site_options import clock
    from fedward.common.vault.roles import Role

    if run is not None and not _RUN.fullmatch(run):
        raise ConfigError("RUN: expected 32 hex digits", hint="Without it, the log of all runs is shown.")
    actor, since_s = chosen(Role, role, "--role"), _since(since, clock() // 1000)
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        lines, num_bad = _read(folder, actor, since_s)
    rows = [line for line in lines if line.at_s >= since_s and run in (None, line.run)]
    if as_json:
        typer.echo(json.dumps({"events": [_row(line) for line in rows], "unreadable": num_bad}))
    else:
        for line in rows:
            typer.echo(printable(_text(line)))
        typer.echo(f"{len(rows)} events", err=True)
    if num_bad:
        typer.secho(f"{num_bad} segments or lines could not be read", fg="red", err=True)
        raise typer.Exit(_FOUND_BAD)


def _read(folder: SiteFolder, role: Role, since_s: int) -> tuple[list[Line], int]:
    """All events of the segments that may be young enough, in order; and how much could not be read.

    Raises:
        AccessRefusedError: the role may not.
    """
    from fedward.common.errors import AccessRefusedError, FedwardError
    from fedward.common.logs.reading import Segment, in_order, parse_segment
    from fedward.common.logs.segments import SPAN_S
    from fedward.common.logs.vault_shelf import VaultShelf
    from fedward.common.vault.kinds import Kind
    from fedward.common.vault.roles import Action
    from fedward.common.vault.roles import Role as Roles

    reader, num_bad = folder.principal(role), 0
    folder.vault.gate.check(Kind.LOG, Action.READ, principal=reader)  # also where there is nothing to read
    shelf = VaultShelf(folder, folder.principal(Roles.DAEMON))
    segments: list[Segment] = []
    for stored in shelf.stored():
        if stored.name.opened_at_s + SPAN_S < since_s:
            continue
        try:
            segments.append(parse_segment(shelf.read(stored, reader)))
        except AccessRefusedError:
            raise
        except FedwardError:  # one that was damaged does not hide the others
            num_bad += 1
    num_bad += sum(segment.num_unreadable for segment in segments)
    return [line for _, line in in_order(segments)], num_bad


def _since(text: str | None, now_s: int) -> int:
    """Seconds since 1970."""
    import datetime

    if text is None:
        return 0
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_s - int(ago[1]) * _SECONDS[ago[2]]
    try:
        found = datetime.datetime.fromisoformat(text)
        zone = found.tzinfo or datetime.UTC
        return int(found.replace(tzinfo=zone).timestamp())
    except (ValueError, OverflowError):
        raise ConfigError("--since: neither a time ago nor a date", hint=_SINCE_HINT) from None


def _time(line: Line) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(line.at_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(line: Line) -> dict[str, object]:
    return {"at": _time(line), "level": line.level.value, "event": line.event, **line.fields}


def _text(line: Line) -> str:
    words = (f"{name}={value}" for name, value in line.fields.items())
    return " ".join([_time(line), f"{line.level.value:7}", line.event, *words])


__all__ = ["logs"]
