"""``fedward shred``: destroy a run, and show that it is gone. Heavy imports wait for the call."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fedward.client.printable import printable
from fedward.client.site_options import Ask, Json, KeyFile, Keyring, PassphraseFile, RoleName, chosen
from fedward.common.errors import ConfigError, FedwardError, ShreddingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedward.client.shred_runs import Target, Unlocking
    from fedward.common.shredding.certificate import Certificate, SignedCertificate
    from fedward.common.shredding.verify import Verification

_FOUND_BAD = 3


def shred(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, 32 hex digits; or the OUT of demo or simulate.")],
    site: Annotated[Path | None, typer.Option("--site", help="The site's folder; with a run's id.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Destroy nothing: look whether the run is gone.")] = False,
    ciphertext: Annotated[
        Path | None,
        typer.Option("--ciphertext", help="With --verify: a backup's folder, to be tried with all keys."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Write the certificate here; with --verify: judge this one.")
    ] = None,
    medium: Annotated[
        str | None, typer.Option("--medium", help="flash, journal or snapshots: what you know; it only lowers.")
    ] = None,
    rotate_root: Annotated[
        bool, typer.Option("--rotate-root", help="Replace the key file, keyring secret or passphrase too.")
    ] = False,
    keep_release: Annotated[
        bool, typer.Option("--keep-release", help="Keep adapter and report, as at the regular end of a run.")
    ] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="With --verify --certificate, elsewhere: the site's ledger or its export.")
    ] = None,
    roster: Annotated[Path | None, typer.Option(help="With --ledger: the roster that pins the site's key.")] = None,
    role: RoleName = "steward",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Destroy a run: its keys, scratch, caches and all in the clear. A signed certificate goes into the ledger.

    The guarantee is that its keys are gone. What overwriting is worth on your
    disk is printed beside it. Imported records are of no run and stay.

    Exit code 0: done, or gone; 3: it cannot be destroyed, or is not gone.
    """
    from fedward.client.shred_runs import Unlocking, target_of

    if not verify and (ciphertext or ledger or roster):
        raise ConfigError("--ciphertext, --ledger and --roster go with --verify", hint="--verify destroys nothing.")
    if verify and (rotate_root or keep_release or medium):
        raise ConfigError("--verify changes nothing", hint="Leave --rotate-root, --keep-release and --medium out.")
    unlocking = Unlocking(key_file=key_file, ask=passphrase, passphrase_file=passphrase_file, keyring=keyring)
    if verify and certificate is not None:
        _verify_certificate(run, site, certificate, ledger, roster, as_json=as_json)
        return
    target = target_of(run, site)
    if verify:
        _verify(target, unlocking, ciphertext, as_json=as_json)
        return
    if certificate is not None and (len(target.parties) != 1 or target.run_id is None):
        raise ConfigError("--certificate takes one run of one site", hint="The ledgers hold all certificates.")
    signed, failed = _shred(target, unlocking, role, medium, is_released_kept=keep_release, is_root_new=rotate_root)
    if certificate is not None:
        _write(certificate, signed)
    if signed or not failed:
        _print_shredded([_read(one) for one in signed], as_json=as_json)
    if failed:
        _raise(failed, len(target.parties))


def _shred(
    target: Target, unlocking: Unlocking, role: str, medium: str | None, *, is_released_kept: bool, is_root_new: bool
) -> tuple[list[SignedCertificate], list[tuple[Path, FedwardError]]]:
    """The certificates, and the folders of a target of several that could not be done: each is on its own."""
    from fedward.client.root_change import root_change
    from fedward.client.shred_runs import require_may_shred, shred_runs
    from fedward.common.shredding.media import parse_claim
    from fedward.common.vault.kinds import KEPT
    from fedward.common.vault.roles import Role

    claim = None if medium is None else parse_claim(medium)
    actor = chosen(Role, role, "--role")
    keep = frozenset(KEPT if is_released_kept else ())
    done: list[SignedCertificate] = []
    failed: list[tuple[Path, FedwardError]] = []
    for path in target.parties:
        try:
            with unlocking.opened(path) as party:
                require_may_shred(party, actor)
                change = root_change(party, unlocking.key_file_of(path)) if is_root_new else None
                done += shred_runs(party, target.run_id, claim=claim, keep=keep, replace_root=change)
        except FedwardError as error:
            if len(target.parties) == 1:
                raise
            failed.append((path, error))
    return done, failed


def _raise(failed: list[tuple[Path, FedwardError]], num_parties: int) -> NoReturn:
    (path, first), *_ = failed
    what = f"{len(failed)} of {num_parties} folders were not shredded; {path}: {first.message}"
    raise ShreddingError(what, hint=first.advice) from first


def _read(signed: SignedCertificate) -> Certificate:
    """What this process has signed a moment ago."""
    from fedward.common.shredding.certificate import Certificate

    return Certificate.from_bytes(signed.document)


def _write(path: Path, signed: Iterable[SignedCertificate]) -> None:
    from fedward.client.sealed_files import replacing, write_all

    *_, last = signed
    with replacing(path) as file:
        write_all(file, last.to_bytes())


def _verify(target: Target, unlocking: Unlocking, ciphertext: Path | None, *, as_json: bool) -> None:
    from fedward.client.shred_runs import of_one_backup, verify_runs

    found: list[tuple[str, Verification]] = []
    for path in target.parties:
        with unlocking.opened(path) as party:
            found += [(party.party_id, one) for one in verify_runs(party, target.run_id, ciphertext)]
    if target.run_id is None:
        found = of_one_backup(found)
    is_good = bool(found) and all(one.is_good for _, one in found)
    if as_json:
        rows = [_verification_row(name, one) for name, one in found]
        typer.echo(json.dumps({"verified": is_good, "runs": rows}))
    else:
        for name, one in found:
            _print_verification(name, one)
        if not found:
            typer.secho("no run was shredded here", fg="red", bold=True)
    if not is_good:
        raise typer.Exit(_FOUND_BAD)


def _verify_certificate(
    run: str, site: Path | None, certificate: Path, ledger: Path | None, roster: Path | None, *, as_json: bool
) -> None:
    from fedward.client.shred_runs import verify_certificate
    from fedward.common.vault.folder import LEDGER
    from fedward.common.vault.index import is_object_id

    if not is_object_id(run):
        raise ConfigError("RUN: expected 32 hex digits", hint="Name the run that the certificate should be of.")
    chain = ledger or (site.joinpath(*LEDGER) if site else None)
    if chain is None:
        raise ConfigError("--ledger or --site is missing", hint="A certificate is judged against the site's ledger.")
    judged, is_there = verify_certificate(certificate, bytes.fromhex(run), ledger=chain, roster=roster)
    limits = "Judged: the signature, the ledger and the certificate's place in it"
    limits += (
        ", the roster." if roster else "; no roster was given, so the ledger's own word is believed who the site is."
    )
    if as_json:
        facts = {"verified": is_there, "in_ledger": is_there, "sees_the_disk": False}
        typer.echo(json.dumps({**facts, "certificate": _plain(judged)}))
    else:
        _print_certificate(judged)
        typer.echo(limits)
        typer.secho("A certificate says nothing that was seen: nobody but the site sees its disk.", fg="yellow")
        if not is_there:
            typer.secho("NOT in this ledger", fg="red", bold=True)
    if not is_there:
        raise typer.Exit(_FOUND_BAD)


def _plain(certificate: Certificate) -> dict[str, Any]:
    return asdict(certificate)


def _print_shredded(certificates: list[Certificate], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"shredded": [_plain(one) for one in certificates]}))
        return
    if not certificates:
        typer.echo("nothing is left to shred")
    for one in certificates:
        _print_certificate(one)


_ASSURANCE = {
    "erased": "erased: no key that could open anything of it is left",
    "erased-logical": "erased-logical: no key is left in use; whoever finds an old slot AND an old keystore on the "
    "medium and has the root opens it",
}


def _print_certificate(one: Certificate) -> None:
    typer.secho(f"{printable(one.site_id)}  run {one.run_id}  {_ASSURANCE[one.assurance]}", fg="green")
    kinds = ", ".join(f"{row.count} {row.kind}" for row in one.objects) or "no object"
    root = "; the keystore's root was replaced" if one.root_replaced else ""
    typer.echo(
        f"  destroyed: {kinds}; {len(one.data_keys)} data keys, {len(one.keks)} key-encryption keys replaced{root}"
    )
    cleared = f"{one.caches_cleared} cached and temporary, {one.plaintext_found} in the clear ({one.plaintext_medium})"
    typer.echo(f"  files removed: {cleared}")
    for row in one.media:
        typer.echo(f"  overwriting of {row.path_class} on {row.medium}: {row.passes} pass, worth: {row.verdict}")
    if one.kept:
        typer.echo(f"  kept: {', '.join(f'{row.count} {row.kind}' for row in one.kept)}")


def _verification_row(name: str, one: Verification) -> dict[str, object]:
    trial = one.trial
    return {
        "site": name,
        "run": one.run_id.hex(),
        "gone": one.is_good,
        "findings": list(one.findings),
        "assurance": one.certificate.assurance if one.certificate else None,
        "keys": one.num_keys,
        "ciphertexts": None
        if trial is None
        else {
            "refused_every_key": trial.num_refused,
            "opened": [str(path) for path in trial.opened],
            "opened_by_old_keystore": [str(path) for path in trial.opened_by_old],
            "unreadable": [str(path) for path in trial.unreadable],
            "kept": trial.num_kept,
            "other": trial.num_other,
        },
    }


def _print_verification(name: str, one: Verification) -> None:
    word = "gone" if one.is_good else f"NOT shown to be gone: {', '.join(one.findings)}"
    typer.secho(f"{printable(name)}  run {one.run_id.hex()}  {word}", fg="green" if one.is_good else "red")
    if one.trial is not None:
        tried = f"{one.trial.num_refused} ciphertexts refused every one of {one.num_keys} keys"
        rest = f"{one.trial.num_kept} of kinds that are kept, {one.trial.num_other} of others passed over"
        typer.echo(f"  {tried}; {rest}")
        for path in (*one.trial.opened, *one.trial.opened_by_old, *one.trial.unreadable):
            typer.echo(f"  {printable(str(path))}")


__all__ = ["shred"]
