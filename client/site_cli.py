"""``fedward site``: what a site's own people ask. Heavy imports wait for the call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedward.client import relay_cli, site_keys_cli, site_policy_cli
from fedward.client.printable import printable

if TYPE_CHECKING:
    from fedward.client.ledger_files import Judged
    from fedward.client.policy_check import Verdict
    from fedward.common.config import SitePolicy
    from fedward.common.privacy.accounting import PrivacyEvent

site_app = typer.Typer(
    help="A site's keys, roles, policy, budget, and what runs beside its daemon.", no_args_is_help=True
)
policy_app = typer.Typer(help="The site's own policy.", no_args_is_help=True)
site_app.add_typer(policy_app, name="policy")
site_app.command("init")(site_keys_cli.init)
site_app.command("rotate")(site_keys_cli.rotate)
site_app.command("grant")(site_keys_cli.grant)
site_app.command("revoke")(site_keys_cli.revoke)
site_app.command("approve")(site_policy_cli.approve)
policy_app.command("set")(site_policy_cli.set_policy)
relay_cli.add_to(site_app)

_REFUSED = 3
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


@policy_app.command("check")
def check(
    plan_path: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="A run plan.")],
    policy_path: Annotated[Path | None, typer.Option("--policy", help="A policy.toml; without it: built in.")] = None,
    site_id: Annotated[str | None, typer.Option("--site", help="Judge as this site of the plan.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="The site's ledger: what is spent already.")] = None,
    scrub_path: Annotated[
        Path | None, typer.Option("--scrub-policy", help="How the records are desensitised; without it: built in.")
    ] = None,
    account: Annotated[str, typer.Option(help="Account in the ledger.")] = "default",
    as_json: Json = False,
) -> None:
    """Explain every rule's verdict on a plan. Reads no data. Exit code 0: accepted, 3: refused, 2: not a plan."""
    from fedward.client import policy_check
    from fedward.common.config import SitePolicy
    from fedward.common.desensitize.policy import DesensitizePolicy, load_policy

    plan = policy_check.load_plan(plan_path)
    policy = SitePolicy() if policy_path is None else policy_check.load_policy(policy_path)
    site = policy_check.require_site(plan, site_id)
    history = () if ledger is None else _history(ledger, account, policy)
    scrub = DesensitizePolicy() if scrub_path is None else load_policy(scrub_path)
    verdicts = policy_check.check(plan, policy, site_id=site, history=history, desensitized=scrub)
    refused = [verdict.rule for verdict in verdicts if not verdict.holds]
    if as_json:
        rows = [_row(verdict) for verdict in verdicts]
        typer.echo(json.dumps({"accepted": not refused, "refused_by": refused, "site": site, "rules": rows}))
    else:
        _print(verdicts, site)
    if refused:
        raise typer.Exit(_REFUSED)


@site_app.command("budget")
def budget(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="ledger.db, or an export.")], as_json: Json = False
) -> None:
    """What each account has spent, what its cap is, and what is reserved and open. The ledger is judged first."""
    judged = _judged(ledger)
    if as_json:
        accounts = [
            {
                "account": a.name,
                "unit": a.unit,
                "delta": a.delta,
                "epsilon": a.epsilon,
                "cap": a.epsilon_cap,
                "left": max(0.0, a.epsilon_cap - a.epsilon),
                "open_reservations": a.num_open,
            }
            for a in judged.accounts
        ]
        typer.echo(json.dumps({"accounts": accounts}))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("account", "unit", "delta", "epsilon spent", "cap", "open reservations", title="Privacy budget")
    for a in judged.accounts:
        numbers = (f"{a.delta:g}", f"{a.epsilon:.4f}", f"{a.epsilon_cap:g}", str(a.num_open))
        table.add_row(Text(printable(a.name)), Text(printable(a.unit)), *numbers)
    Console().print(table)


def _history(path: Path, account: str, policy: SitePolicy) -> Sequence[PrivacyEvent]:
    from fedward.common.errors import ConfigError

    found = [known for known in _judged(path).accounts if known.name == account]
    if not found:
        raise ConfigError(f"--account: the ledger has no account {account!r}", hint="`fedward site budget` lists them.")
    if found[0].delta != policy.account_delta:
        raise ConfigError(
            f"the ledger's account is at delta {found[0].delta:g}, the policy's at {policy.account_delta:g}",
            hint="An account keeps its delta for life: set account_delta to it, or name another --account.",
        )
    return found[0].history


def _judged(path: Path) -> Judged:
    """A ledger that was judged whole and good.

    Raises:
        LedgerInvalidError: it was found bad.
    """
    from fedward.client.ledger_files import VerifyLevel, judge_file
    from fedward.common.errors import LedgerInvalidError

    judged = judge_file(path, VerifyLevel.BUDGET)
    if not judged.verdict.is_good:
        raise LedgerInvalidError(f"entry {judged.verdict.bad_seq}: {judged.verdict.fault}")
    return judged


def _row(verdict: Verdict) -> dict[str, object]:
    return {
        "rule": verdict.rule,
        "plan": {name: _plain(value) for name, value in verdict.asked.items()},
        "direction": verdict.direction,
        "limit": {name: _plain(value) for name, value in verdict.limit.items()},
        "holds": verdict.holds,
        "nearest": verdict.nearest,
    }


def _plain(value: object) -> object:
    """What JSON can hold."""
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else str(value)


def _print(verdicts: Sequence[Verdict], site: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text(f"The plan, as {site} judges it")  # not as markup: a site's name may hold brackets
    table = Table("rule", "the plan says", "", "the policy allows", "verdict", title=title)
    for verdict in verdicts:
        word = Text("holds", style="green") if verdict.holds else Text("refused", style="bold red")
        if verdict.nearest is not None:
            word.append(f"; nearest: {verdict.nearest}", style="yellow")
        table.add_row(verdict.rule, Text(_shown(verdict.asked)), verdict.direction, Text(_shown(verdict.limit)), word)
    Console().print(table)
    refused = [verdict.rule for verdict in verdicts if not verdict.holds]
    if refused:
        typer.secho(f"refused: {', '.join(refused)}", fg="red", bold=True)
    else:
        typer.secho("accepted", fg="green", bold=True)


def _shown(values: dict[str, object]) -> str:
    return "\n".join(f"{name}: {_short(value)}" for name, value in values.items())


def _short(value: object) -> str:
    plain = _plain(value)
    text = printable(", ".join(map(str, plain)) if isinstance(plain, list) else "none" if plain is None else str(plain))
    return text if len(text) <= 60 else f"{text[:57]}…"


__all__ = ["site_app"]
