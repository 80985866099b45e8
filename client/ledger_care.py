"""A site's ledger backed up, put back and recovered, in the site's own folder.

None of it opens the vault: what an old ledger does not know must not be cleared up. Not handled here: what a recovery
charges (``common.ledger.recovery``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fedward.client.ledger_files import VerifyLevel, Witnesses, judge_file, reading
from fedward.client.sealed_files import reading as reading_file
from fedward.client.sealed_files import replacing, require_different, write_all
from fedward.common.config import COORDINATOR, MAX_CONFIG_BYTES, RunPlan, digest_of
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import Identity as Opener
from fedward.common.envelope.recipients import Recipient
from fedward.common.envelope.stream import open_bytes, seal
from fedward.common.errors import ConfigError, LedgerError, LedgerInvalidError, ProtocolError
from fedward.common.ledger import backup
from fedward.common.ledger.anchor import Anchor, AnchorFile
from fedward.common.ledger.chain import ID_BYTES, Entry, position_of
from fedward.common.ledger.head_entries import RECOVERED, RESTORED
from fedward.common.ledger.reader import LedgerReader
from fedward.common.ledger.recovery import Recovery, lost_heads, recovery
from fedward.common.ledger.replay import PLAN_ACCEPTED, Account, BudgetReplay, Position
from fedward.common.ledger.store import Ledger
from fedward.common.ledger.witnessed import HeadsOfChain
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.vault.files import PrivateFolder
from fedward.common.vault.folder import ANCHOR, LEDGER, open_ledger
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.unlocks import Unlock

_CONTEXT = Context(kind=backup.CONTEXT_KIND, name=backup.CONTEXT_NAME, run_id=bytes(ID_BYTES))
_PLANS = (PLAN_ACCEPTED, "plan.signed")
_MAX_IMAGE_BYTES = 8 << 30
Clock = Callable[[], int]


@contextmanager
def _site_ledger(site: Path, unlock: Unlock, clock: Clock, *, is_anchored: bool) -> Iterator[Ledger]:
    """The ledger of a folder, open for writing; its anchor is asked, or set anew at the end."""
    folder = PrivateFolder(site)
    path, anchor = folder.path(LEDGER), AnchorFile(folder.path(ANCHOR))
    with LedgerReader(path) as reader:
        ledger_id = reader.ledger_id
    keystore = Keystore.open(folder, ledger_id=ledger_id, unlocks=[unlock])
    with open_ledger(path, keystore, clock, anchor if is_anchored else None) as ledger:
        yield ledger
        if not is_anchored:
            anchor.write(Anchor.of(ledger.head, keystore.identity))


# ---------------------------------------------------------------------------------------------------- backup


def back_up(site: Path, out: Path, recipients: Sequence[Recipient], *, unlock: Unlock, clock: Clock) -> bytes:
    """Seal the ledger as it is now into ``out``, and enter it; the SHA-256 of the sealed file.

    Raises:
        ConfigError: no recipient, or a path that cannot be.
        LedgerError: the ledger does not hold, or another process has it.
    """
    require_different(PrivateFolder(site).path(LEDGER), out)
    with _site_ledger(site, unlock, clock, is_anchored=True) as ledger:
        head, image, sealed = ledger.head, backup.image_of(PrivateFolder(site).path(LEDGER)), io.BytesIO()
        seal(io.BytesIO(image), sealed, recipients, context=_CONTEXT)
        with replacing(out) as file:
            write_all(file, sealed.getvalue())
        digest = hashlib.sha256(sealed.getvalue()).digest()
        ledger.append([backup.backup_draft(head, digest)], expected_head=head)
    return digest


def restore(site: Path, source: Path, openers: Sequence[Opener], *, unlock: Unlock, clock: Clock) -> int:
    """Put a backup in the place of a ledger that is gone; the number of its entries.

    Raises:
        LedgerError: a ledger is there, or the backup's does not hold.
        EnvelopeError: the backup does not open.
    """
    path = PrivateFolder(site).path(LEDGER)
    if path.exists():
        raise LedgerError("there is a ledger in this folder", hint="Move it away, and keep it: others may ask for it.")
    with reading_file(source) as sealed:
        image = bytes(open_bytes(sealed, openers, expect=_CONTEXT, max_plaintext_bytes=_MAX_IMAGE_BYTES))
    backup.put_back(path, image)
    try:
        verdict = judge_file(path, VerifyLevel.BUDGET).verdict
        if not verdict.is_good:
            raise LedgerInvalidError(f"entry {verdict.bad_seq} of the backup: {verdict.fault}")
        with _site_ledger(site, unlock, clock, is_anchored=False) as ledger:
            head = ledger.head
            ledger.append([backup.restored_draft(head)], expected_head=head)
    except BaseException:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        raise
    return head.seq + 1


# ---------------------------------------------------------------------------------------------------- recovery


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What others gave to a site that lost entries."""

    exports: tuple[Path, ...]
    """Of peers and the coordinator."""
    replies: tuple[Path, ...] = ()
    """``TrainReply`` frames of this site, as the coordinator holds them."""
    plans: Mapping[bytes, Path] = field(default_factory=dict)
    """Run id to the plan that the site accepted, as a file."""


@dataclass(kw_only=True, slots=True)
class _Chain:
    """A site's own chain, read once for a recovery."""

    heads: HeadsOfChain = field(default_factory=HeadsOfChain)
    replay: BudgetReplay = field(default_factory=BudgetReplay)
    counted: dict[bytes, set[tuple[int, int]]] = field(default_factory=dict)
    """By run, positions with a reservation that counts. What was voided may have been reserved again, and lost."""
    plans: dict[bytes, str] = field(default_factory=dict)
    """By run, the digest of the plan that was accepted."""
    is_restored: bool = False
    """It came from a backup, and nothing was recovered since: its anchor was set anew and tells of no loss."""
    _positions: dict[int, Position] = field(default_factory=dict)
    """Of reservations, by their number."""

    def take(self, entry: Entry) -> None:
        """Follow an entry."""
        self.heads.take(entry)
        self.replay.take(entry)
        if entry.kind == PLAN_ACCEPTED:
            self.plans.update([_accepted(entry)])
        elif entry.kind == "budget.reserve" and (position := position_of(entry.fields)) is not None:
            self._positions[entry.seq] = position
            self.counted.setdefault(position[0], set()).add(position[1:])
        elif entry.kind == "budget.void" and (voided := self._positions.get(_seq_of(entry))) is not None:
            self.counted[voided[0]].discard(voided[1:])
        elif entry.kind in (RESTORED, RECOVERED):
            self.is_restored = entry.kind == RESTORED


def _accepted(entry: Entry) -> tuple[bytes, str]:
    """Run and digest of an accepted plan."""
    fields = entry.fields
    return bytes.fromhex(str(fields["run"])), str(fields["plan"])


def _seq_of(entry: Entry) -> int:
    """The reservation that a void is of."""
    seq = entry.fields.get("reserve")
    return seq if isinstance(seq, int) else -1


def recover(site: Path, evidence: Evidence, *, account: str | None, unlock: Unlock, clock: Clock) -> Recovery:
    """Own up to what is missing and charge it, in one transaction.

    Args:
        site: the folder.
        evidence: what others hold.
        account: that is charged; None: the only one.

    Raises:
        LedgerError: the ledger, or one that was given, does not hold; or nothing is missing.
        ConfigError: a file or an account that cannot be.
    """
    folder = PrivateFolder(site)
    with _site_ledger(site, unlock, clock, is_anchored=False) as ledger:
        chain = _Chain()
        with reading(folder.path(LEDGER)) as entries:
            for entry in entries:
                chain.take(entry)
        others = [_heads(path) for path in evidence.exports]
        lost = lost_heads(chain.heads, others)
        runs = _runs(chain, [one.run_id for one in lost], evidence)
        is_ahead = _is_ahead(AnchorFile(folder.path(ANCHOR)).read(), chain.heads)
        if not lost and not runs and not is_ahead:
            raise LedgerError("nothing is missing by what was given", hint="Give the exports of more parties.")
        # A peer knows its own runs with this site; the coordinator knows all.
        is_blind = (is_ahead and not runs) or ((is_ahead or chain.is_restored) and not any(map(_is_server, others)))
        found = recovery(
            lost, runs, chain.counted, account=_account(chain, account), reason="recovery", is_blind=is_blind
        )
        ledger.append(found.drafts, expected_head=ledger.head)
    return found


def _heads(path: Path) -> HeadsOfChain:
    judged = judge_file(path, VerifyLevel.WITNESSED, witnesses=Witnesses())
    if judged.heads is None or not judged.verdict.is_good:
        raise LedgerError(f"{path.name}: entry {judged.verdict.bad_seq}: {judged.verdict.fault}")
    return judged.heads


def _is_server(heads: HeadsOfChain) -> bool:
    """Whether it is the coordinator's: the sets in it say which ledger that is."""
    stated = (found.of(COORDINATOR) for _, found in heads.sets.values())
    return any(one is not None and one.ledger_id == heads.ledger_id for one in stated)


def _is_ahead(anchor: Anchor | None, heads: HeadsOfChain) -> bool:
    """Whether the anchor knows an entry that is missing."""
    return anchor is None or (anchor.head.hash not in heads.seqs and anchor.is_signed_by(heads.signers))


def _runs(chain: _Chain, run_ids: Sequence[bytes], evidence: Evidence) -> dict[bytes, RunPlan | None]:
    """The runs in question, with the plans that the steward gave for them."""
    digests = {**dict(_told_plans(evidence.exports)), **chain.plans}
    found = set(run_ids)
    for path in evidence.replies:
        position = _reply(path, chain.heads)
        digests[position.run_id] = position.plan_digest.hex()
        if (position.round_number, position.attempt) not in chain.counted.get(position.run_id, ()):
            found.add(position.run_id)
    plans: dict[bytes, RunPlan | None] = dict.fromkeys(sorted(found))
    for run_id in plans.keys() & evidence.plans.keys():
        raw = _read(evidence.plans[run_id], MAX_CONFIG_BYTES)
        if run_id in digests and digest_of(raw).hex() != digests[run_id]:
            raise ConfigError(f"{evidence.plans[run_id]} is not the plan that this site accepted for that run")
        plans[run_id] = RunPlan.from_bytes(raw)
    return plans


def _told_plans(exports: Sequence[Path]) -> Iterator[tuple[bytes, str]]:
    """Run and plan as other parties accepted them; a redacted export does not say."""
    for path in exports:
        with reading(path) as entries:
            yield from (_accepted(entry) for entry in entries if entry.kind in _PLANS and entry.body is not None)


def _reply(path: Path, heads: HeadsOfChain) -> codec.Position:
    """Where a vector of this site belonged, by its own signature."""
    raw = _read(path, codec.MAX_MESSAGE_BYTES)
    for key in heads.signers:
        try:
            return codec.open_message(raw, pb.TrainReply, sender=heads.site_id, public_key=key).position
        except ProtocolError:
            continue
    raise ConfigError(f"{path} is no TrainReply of this site")


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Check the path.") from error
    if len(raw) > max_bytes:
        raise ConfigError(f"{path} is too long")
    return raw


def _account(chain: _Chain, name: str | None) -> tuple[str, Account]:
    accounts = chain.replay.accounts
    if name is None and len(accounts) == 1:
        name = next(iter(accounts))
    if name is None or name not in accounts:
        raise ConfigError(f"which account is charged? There are: {', '.join(sorted(accounts)) or 'none'}")
    return name, accounts[name]


__all__ = ["back_up", "Evidence", "recover", "restore"]
