"""The root of the command line. Loads nothing heavy: each command imports what it needs when it runs."""

from __future__ import annotations

import io
import json
import signal
import sys
from typing import Annotated, NoReturn

import click
import typer
from typer import rich_utils

from fedward import __version__
from fedward.client.audit_cli import audit_app
from fedward.client.desensitize_cli import desensitize_app
from fedward.client.ledger_cli import ledger_app
from fedward.client.log_cli import logs
from fedward.client.printable import printable
from fedward.client.scrub_cli import scrub
from fedward.client.site_cli import site_app
from fedward.client.vault_cli import vault_app
from fedward.common.errors import FedwardError, NotYetError
from fedward.simulations.attack_cli import attack_app
from fedward.simulations.bench_cli import bench_app
from fedward.simulations.cli import demo, simulate

app = typer.Typer(
    name="fedward",
    help="Fine-tune one language model together, without sharing a record: LoRA, DP-SGD, federated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(simulate)
app.command()(scrub)
app.command()(logs)
app.add_typer(desensitize_app, name="desensitize")
app.add_typer(bench_app, name="bench")
app.add_typer(attack_app, name="attack")
app.add_typer(vault_app, name="vault")
app.add_typer(site_app, name="site")
app.add_typer(ledger_app, name="ledger")
app.add_typer(audit_app, name="audit")

_LINE_END = "\n"
_INTERRUPTED = 130
"""Exit code after Ctrl-C, by the shell's custom."""

_LATER = {
    "server": ("0.3", "the coordinator of a real consortium"),
    "evaluate": ("0.4", "utility and privacy attacks on a finished run"),
    "release": ("0.4", "the release gate"),
    "serve": ("0.5", "hardened serving of the tuned model"),
    "monitor": ("0.5", "live page and metrics"),
}
"""Command groups that are not in this version, with the version that brings them."""


def _announce(name: str, version: str, what: str) -> None:
    def command() -> None:
        raise NotYetError(f"`fedward {name}` is not in this version: {what} comes with version {version}")

    app.command(
        name,
        help=f"[dim]Not in this version: {what} comes with version {version}.[/]",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        rich_help_panel="Coming later",
    )(command)


for _name, (_version, _what) in _LATER.items():
    _announce(_name, _version, _what)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedward {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line; every error becomes one message, one hint and an exit code."""
    verbose = "--verbose" in sys.argv
    if verbose:
        # Also behind the command's name, where people put it.
        sys.argv = [sys.argv[0], "--verbose", *(word for word in sys.argv[1:] if word != "--verbose")]
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # under nohup a closed terminal ends nothing
            signal.signal(number, _on_terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ε shows a question mark
    try:
        code = app(standalone_mode=False)
    except FedwardError as error:
        _show(error, error.message, error.advice, error.exit_code, verbose=verbose)
    except click.ClickException as error:
        # Typer's own picture of a wrong option or argument.
        rich_utils.rich_format_error(error)
        _finish(error.format_message(), "`--help` shows what is accepted.", error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last edge: a person gets a sentence, and the traceback on request
        what = error.strerror if isinstance(error, OSError) else type(error).__name__
        _show(error, f"unforeseen: {what}", FedwardError.hint, 1, verbose=verbose)
    if code == _INTERRUPTED:
        _show(None, "interrupted", "Run it again; a run does not resume.", _INTERRUPTED, verbose=False)
    raise SystemExit(code if isinstance(code, int) else 0)


def _on_terminate(number: int, frame: object) -> NoReturn:
    """SIGTERM, or a closed terminal, ends like Ctrl-C: what was started is ended, temporary folders go."""
    raise SystemExit(128 + number)


def _show(error: Exception | None, message: str, hint: str, exit_code: int, *, verbose: bool) -> NoReturn:
    if verbose and error is not None:
        raise error
    typer.secho(f"Error: {printable(message, keep=_LINE_END)}", fg="red", bold=True, err=True)
    typer.secho(f"Hint:  {printable(hint, keep=_LINE_END)}", err=True)
    _finish(message, hint, exit_code)


def _finish(message: str, hint: str, exit_code: int) -> NoReturn:
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": message, "hint": hint, "exit_code": exit_code}))
    raise SystemExit(exit_code) from None


if __name__ == "__main__":
    main()
