"""``fedward ledger``: judge, show and export a ledger. Heavy imports wait for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client.ledger_care_cli import backup, recover, restore
from fedward.client.printable import printable
from fedward.common.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from fedward.client.ledger_files import Judged, VerifyLevel, Witnesses
    from fedward.common.ledger.body import Value
    from fedward.common.ledger.chain import Entry
    from fedward.common.ledger.witnessed import HeadsOfChain

ledger_app = typer.Typer(help="Judge, show, export, back up and recover a site's ledger.", no_args_is_help=True)
for _command in (backup, restore, recover):
    ledger_app.command()(_command)

_FOUND_BAD = 3
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]
Ledger = Annotated[Path, typer.Argument(metavar="LEDGER", help="ledger.db, or an export (JSON lines).")]


@ledger_app.command("verify")
def verify(
    path: Ledger,
    level: Annotated[
        str, typer.Option(help="chain, signed, budget, witnessed or cross; each includes the one before.")
    ] = "budget",
    identity: Annotated[
        str | None, typer.Option(help="Public key (64 hex digits) that must have begun this ledger.")
    ] = None,
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Export of another party, for level cross (which is then the default). Repeat it."),
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The ledger's anchor; of a site's folder it is found, from level witnessed on.")
    ] = None,
    roster: Annotated[Path | None, typer.Option(help="The pinned roster: judges the signatures of others too.")] = None,
    as_json: Json = False,
) -> None:
    """Judge every entry; names the first bad one. Exit code 0: good, 3: found bad.

    A ledger that was replaced as a whole, or cut short, is good in itself:
    only its anchor and the heads that other parties recorded show it.
    Take its export after theirs: it has to hold every head that they recorded.
    """
    from fedward.client.ledger_files import VerifyLevel, judge_file

    level = "cross" if others and level == "budget" else level
    if level not in list(VerifyLevel):
        raise ConfigError(f"--level {level}: expected one of {', '.join(VerifyLevel)}", hint="The default is budget.")
    witnesses = _witnesses(path, VerifyLevel(level), others or [], anchor, roster)
    judged = judge_file(path, VerifyLevel(level), identity=_public_key(identity), witnesses=witnesses)
    _print_verdict(judged, level, as_json=as_json)
    if not judged.verdict.is_good:
        raise typer.Exit(_FOUND_BAD)


@ledger_app.command("show")
def show(
    path: Ledger,
    count: Annotated[int, typer.Option("--last", min=1, max=100_000, help="How many entries.")] = 20,
    as_json: Json = False,
) -> None:
    """The last entries, as they stand there, unjudged."""
    from fedward.client.ledger_files import last_entries

    entries = last_entries(path, count)
    if as_json:
        typer.echo(json.dumps({"entries": [_row(entry) for entry in entries]}))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("seq", "at (UTC)", "kind", "body", title=f"Last {len(entries)} entries", title_justify="left")
    for entry in entries:
        row = _row(entry)
        cells = [str(row["seq"]), str(row["at"]), str(row["kind"]), json.dumps(row["body"], ensure_ascii=False)]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


@ledger_app.command("export")
def export(
    path: Ledger,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="JSON lines, one entry each.")],
    redacted: Annotated[
        bool, typer.Option("--redacted", help="Leave bodies out: the form to give to another party.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write all entries as JSON lines; any party can judge them, redacted or not."""
    from fedward.client.ledger_files import reading
    from fedward.client.sealed_files import replacing, require_different, write_all
    from fedward.common.ledger.export import to_line

    require_different(path, out)
    _require_no_database(out)
    num_entries = 0
    with reading(path) as entries, replacing(out) as file:
        for entry in entries:
            write_all(file, (to_line(entry, is_redacted=redacted) + "\n").encode())
            num_entries += 1
    sentence = f"{num_entries:,} entries{', without bodies' if redacted else ''}: {out}"
    typer.echo(json.dumps({"exported": str(out), "entries": num_entries}) if as_json else sentence)


def _require_no_database(out: Path) -> None:
    """A ledger is never replaced, also not another one's by this one's export.

    Raises:
        ConfigError: a database stands there.
    """
    if out.is_file():
        with out.open("rb") as file:
            if file.read(6) == b"SQLite":
                raise ConfigError(f"{out} is a database and is not replaced", hint="Name another output.")


def _witnesses(
    path: Path, level: VerifyLevel, others: list[Path], anchor: Path | None, roster: Path | None
) -> Witnesses:
    """What the ledger is held against.

    Raises:
        ConfigError: options that do not go with the level, or no file for level ``cross``.
    """
    from fedward.client.ledger_files import VerifyLevel, Witnesses
    from fedward.common.identity import MAX_ROSTER_BYTES, Roster

    if (level is VerifyLevel.CROSS) != bool(others):
        raise ConfigError("level cross is judged with the exports of others", hint="Name each one behind --with.")
    if level not in (VerifyLevel.WITNESSED, VerifyLevel.CROSS):
        if anchor is not None or roster is not None:
            raise ConfigError("--anchor and --roster go with --level witnessed or cross")
        return Witnesses()
    beside = path.absolute().parent.parent / "state" / "anchor"
    if anchor is None and path.suffix == ".db" and beside.is_file():
        anchor = beside
    found = None
    if roster is not None:
        try:
            with roster.open("rb") as file:
                found = Roster.from_bytes(file.read(MAX_ROSTER_BYTES + 1))
        except OSError as error:
            raise ConfigError(f"{roster}: {error.strerror}", hint="Check the path.") from error
    return Witnesses(roster=found, anchor=anchor, others=tuple(others))


def _public_key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError("--identity: expected 64 hex digits", hint="The roster lists every member's key.")
    return key


def _print_verdict(judged: Judged, level: str, *, as_json: bool) -> None:
    verdict = judged.verdict
    document: dict[str, object] = {
        "verdict": "ok" if verdict.is_good else "BAD",
        "level": level,
        "ledger_id": judged.ledger_id.hex(),
        "entries": judged.num_entries,
        "fault": verdict.fault,
        "bad_seq": verdict.bad_seq,
        "detail": verdict.detail,
        "head": verdict.head.hash.hex() if verdict.head and verdict.is_good else None,
        "accounts": [
            {"account": a.name, "unit": a.unit, "epsilon": a.epsilon, "cap": a.epsilon_cap, "delta": a.delta}
            for a in judged.accounts
        ],
    }
    heads = judged.heads if verdict.is_good else None
    if heads is not None:
        document["heads"] = {
            "sets": len(heads.sets),
            "confirmed_seq": heads.confirmed_seq,
            "tail": [heads.tail.start, heads.tail.stop - 1] if heads.tail else None,
            "unwitnessed_charges": list(heads.unwitnessed_charges),
            "budget_judged": judged.is_budget_judged,
        }
    if as_json:
        typer.echo(json.dumps(document))
        return
    if verdict.is_good:
        typer.secho(f"good up to level {level}: {judged.num_entries:,} entries, head {document['head']}", fg="green")
        for account in judged.accounts:
            spent = f"epsilon {account.epsilon:.3f} of {account.epsilon_cap:g} at delta {account.delta:g}"
            typer.echo(f"  account {printable(account.name)} ({printable(account.unit)}): {spent}")
        if heads is not None:
            _print_heads(judged, heads)
    else:
        where = "" if verdict.bad_seq is None else f" at entry {verdict.bad_seq}"
        typer.secho(f"BAD{where}: {verdict.fault}. {verdict.detail}".rstrip(), fg="red", bold=True)


def _print_heads(judged: Judged, heads: HeadsOfChain) -> None:
    """How far others could prove this chain."""
    if not judged.is_budget_judged:
        typer.secho("  bodies were left out: the budget was not judged", fg="yellow")
    reach = f"up to entry {heads.confirmed_seq}" if heads.confirmed_seq >= 0 else "nothing of it"
    typer.echo(f"  sets of heads recorded: {len(heads.sets):,}; others confirmed {reach}")
    if heads.tail:
        behind = f"{len(heads.tail):,} entries, {heads.tail.start} to {heads.tail.stop - 1}"
        typer.echo(f"  behind the last confirmed head: {behind}")
    if heads.unwitnessed_charges:
        typer.secho(f"  charges that no head set holds: {len(heads.unwitnessed_charges):,}", fg="yellow")


def _row(entry: Entry) -> dict[str, object]:
    import datetime

    try:
        at = datetime.datetime.fromtimestamp(entry.at_ms / 1000, datetime.UTC).isoformat(timespec="seconds")
    except ValueError:  # beyond the year 9999
        at = f"{entry.at_ms} ms"
    return {"seq": entry.seq, "at": at, "kind": entry.kind, "body": _shown(entry)}


def _shown(entry: Entry) -> dict[str, Value] | str | None:
    """The body as it stands there: its fields, its text where it has none, None where it was left out."""
    if entry.body is None:
        return None
    try:
        return {name: value for name, value in entry.fields.items() if name not in ("n", "v")}
    except LedgerError:
        return entry.body.decode("utf-8", "replace")


__all__ = ["ledger_app"]
