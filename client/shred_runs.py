"""What ``fedward shred`` works on: one party's folder and a run, or the output of a demo with all its parties."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fedward.client.ledger_files import VerifyLevel, judge_file, reading
from fedward.client.root_change import unlocks_beside
from fedward.client.run_state import ends_state
from fedward.client.site_options import chosen_unlock, clock, default_key_file
from fedward.common.errors import CertificateError, ConfigError, LedgerInvalidError
from fedward.common.identity import MAX_ROSTER_BYTES, Roster
from fedward.common.shredding.certificate import Certificate, SignedCertificate
from fedward.common.shredding.intentions import Shreddings
from fedward.common.shredding.media import Claim
from fedward.common.shredding.shred import Shredder
from fedward.common.shredding.verify import Finding, Verification, find_in_chain, keys_of, verify_run
from fedward.common.vault.folder import LEDGER, PartyFolder
from fedward.common.vault.index import is_object_id
from fedward.common.vault.kinds import SITE_DATA, Kind
from fedward.common.vault.roles import Action, Office, Role
from fedward.common.vault.unlocks import read_credential

_MAX_CERTIFICATE_BYTES = 1 << 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The folders of parties, and the run; None: every run of each."""

    parties: tuple[Path, ...]
    run_id: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlocking:
    """How the parties' keystores are opened; the options of the command line."""

    key_file: Path | None = None
    ask: bool = False
    passphrase_file: Path | None = None
    keyring: bool = False

    def key_file_of(self, party: Path) -> Path | None:
        """Where the key file is; None where the secret is typed, in the keyring, or a credential of the service."""
        if self.ask or self.passphrase_file is not None or self.keyring:
            return None
        if self.key_file is None and read_credential(os.environ) is not None:
            return None
        return self.key_file or default_key_file(party)

    @contextmanager
    def opened(self, party: Path) -> Iterator[PartyFolder]:
        """The folder, open for this process alone."""
        os.umask(0o077)
        unlock = chosen_unlock(party, self.key_file, self.ask, self.passphrase_file, self.keyring)
        key_file = self.key_file_of(party)
        unlocks = [unlock] if key_file is None else unlocks_beside(key_file, unlock)
        with PartyFolder.open(party, unlocks=unlocks, clock=clock) as folder:
            yield folder


def target_of(run: str, site: Path | None) -> Target:
    """What RUN and ``--site`` name.

    Raises:
        ConfigError: neither a run with its site nor a folder with parties.
    """
    if is_object_id(run):
        if site is None:
            raise ConfigError("--site is missing: whose run is it?", hint="Name the site's folder.")
        return Target(parties=parties_in(site), run_id=bytes.fromhex(run))
    if site is not None:
        hint = "`fedward ledger show` names the runs; without --site, RUN is the output of a demo."
        raise ConfigError("RUN: expected 32 hex digits", hint=hint)
    return Target(parties=parties_in(Path(run)), run_id=None)


def parties_in(folder: Path) -> tuple[Path, ...]:
    """``folder`` itself if it is a party's, else those in its ``sites`` and ``server``.

    Raises:
        ConfigError: none.
    """
    inner = [folder / "server", *sorted((folder / "sites").glob("*"))]
    found = tuple(one for one in (folder, *inner) if one.joinpath(*LEDGER).is_file())
    if not found:
        hint = "It holds ledger/ledger.db; the output of a demo holds sites/ and server/."
        raise ConfigError(f"{folder}: no site's folder, nor one with sites in it", hint=hint)
    return found[:1] if found[0] == folder else found


def shred_runs(
    party: PartyFolder,
    run_id: bytes | None,
    *,
    claim: Claim | None,
    keep: frozenset[Kind],
    replace_root: Callable[[], None] | None,
) -> tuple[SignedCertificate, ...]:
    """Shred one run, or all that are here; what a crash left open is finished first.

    Args:
        party: open.
        run_id: None: all.
        claim: lowers the verdicts.
        keep: kinds that stay.
        replace_root: replaces the root, with the last run: what was shredded before lies behind the old root too.

    Raises:
        ShreddingError: nothing of this run is here, or something cannot be removed.
    """
    shredder = Shredder(party, claim=claim, end_state=ends_state(party))
    finished = shredder.finish_open()
    wanted = sorted(shredder.known_runs()) if run_id is None else [run_id]
    if wanted and run_id not in (None, *shredder.known_runs()):
        of_run = tuple(signed for signed in finished if _run_of(party, signed) == run_id)
        if of_run:  # a crash had left it half shredded
            return of_run
    done: list[SignedCertificate] = []
    for one in wanted:
        is_last = one == wanted[-1]
        change = replace_root if is_last else None
        last = Shredder(party, claim=claim, replace_root=change, end_state=ends_state(party))
        done.append(last.shred(one, keep=keep))
    return (*finished, *done)


def _run_of(party: PartyFolder, signed: SignedCertificate) -> bytes:
    return bytes.fromhex(signed.opened(party.identity.public_key).run_id)


def require_may_shred(party: PartyFolder, role: Role) -> None:
    """Ask the table; an entry either way.

    Raises:
        AccessRefusedError: the role may not change keys, or was not granted.
    """
    party.vault.gate.check(Office.KEYS, Action.ROTATE, principal=party.principal(role))


def verify_runs(party: PartyFolder, run_id: bytes | None, ciphertext: Path | None) -> tuple[Verification, ...]:
    """Look at one run, or at every run that is here or was shredded."""
    if run_id is not None:
        return (verify_run(party, run_id, ciphertext=ciphertext),)
    shreddings = Shreddings(party.trail.entries())
    runs = {done.run_id for done in shreddings.done} | Shredder(party).known_runs()
    return tuple(verify_run(party, one, ciphertext=ciphertext) for one in sorted(runs - {SITE_DATA}))


def of_one_backup(found: Sequence[tuple[str, Verification]]) -> list[tuple[str, Verification]]:
    """Of all runs of all parties, looked at with one folder: it need not hold every run, but it must hold some."""
    if not any(one.trial is not None and Finding.NOTHING_TRIED not in one.findings for _, one in found):
        return list(found)
    return [
        (name, replace(one, findings=tuple(item for item in one.findings if item is not Finding.NOTHING_TRIED)))
        for name, one in found
    ]


def verify_certificate(
    path: Path, run_id: bytes | None, *, ledger: Path, roster: Path | None
) -> tuple[Certificate, bool]:
    """Judge a certificate that came alone: signature, roster, and whether the ledger has it.

    Returns:
        The certificate; whether it stands in the ledger where it says.

    Raises:
        CertificateError: no certificate, not signed by the site, or of another run.
        LedgerInvalidError: the ledger does not hold.
        IdentityError: no roster.
    """
    signed = SignedCertificate.from_bytes(_limited(path, _MAX_CERTIFICATE_BYTES))
    judged = judge_file(ledger, VerifyLevel.SIGNED)
    if not judged.verdict.is_good:
        raise LedgerInvalidError(f"entry {judged.verdict.bad_seq}: {judged.verdict.fault}")
    with reading(ledger) as entries:
        stated = list(entries)
    pinned = None if roster is None else Roster.from_bytes(_limited(roster, MAX_ROSTER_BYTES))
    keys = keys_of(stated).values() if pinned is None else [pinned.coordinator_key, *pinned.members.values()]
    key = _signer(signed, keys)
    certificate, is_there = find_in_chain(signed, stated, key, run_id=run_id)
    if pinned is not None and pinned.members.get(certificate.site_id, pinned.coordinator_key) != key:
        raise CertificateError("the roster has another key for this site")
    return certificate, is_there


def _signer(signed: SignedCertificate, keys: Iterable[bytes]) -> bytes:
    """The key that signed.

    Raises:
        CertificateError: none of ``keys``.
    """
    for key in keys:
        with suppress(CertificateError):
            signed.opened(key)
            return key
    raise CertificateError("the certificate is not signed by a key that is known, or is none")


def _limited(path: Path, limit: int) -> bytes:
    """A small file.

    Raises:
        ConfigError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Check the path.") from error
    if len(raw) > limit:
        raise ConfigError(f"{path}: too long for what it should be", hint="Check the path.")
    return raw


__all__ = [
    "of_one_backup",
    "parties_in",
    "require_may_shred",
    "shred_runs",
    "Target",
    "target_of",
    "Unlocking",
    "verify_certificate",
    "verify_runs",
]
