"""Levels ``witnessed`` and ``cross``: the heads that a chain has recorded, and those that others recorded of it.

A chain that was cut short, or replaced whole by one that its owner signed, is good in itself; only what others hold
shows it. So the heads that stand in another's chain, signed by this chain's keys, must be on this chain, or be owned up
to in ``ledger.recovered``. Two sets under one number, both signed by the coordinator, are its lie and are named too.

Pure: takes entries that were judged as a chain already. Signatures of others are judged where their keys are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedward.common.config import COORDINATOR
from fedward.common.errors import LedgerError
from fedward.common.identity import verify
from fedward.common.ledger.anchor import Anchor, require_anchored
from fedward.common.ledger.chain import GENESIS, KEY_ROTATED, Entry, Fault, Head
from fedward.common.ledger.head_entries import (
    HEADS_CONFIRMED,
    HEADS_RECORDED,
    RECOVERED,
    SetReader,
    read_confirmed,
    read_recovered,
)
from fedward.common.ledger.heads import HeadSet, HeadStatement

CHARGE = "budget.charge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong with the heads of a chain."""

    fault: Fault
    detail: str
    seq: int | None = None


@dataclass(kw_only=True, slots=True)
class HeadsOfChain:
    """What a chain says of heads, gathered entry by entry.

    Args:
        keys: party to public key, by a roster; empty: the signatures of others are not judged.
    """

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ledger_id: bytes = b""
    site_id: str = ""
    signers: set[bytes] = field(default_factory=set, repr=False)
    seqs: dict[bytes, int] = field(default_factory=dict, repr=False)
    """Hash to number, of all entries."""
    sets: dict[tuple[bytes, int], tuple[int, HeadSet]] = field(default_factory=dict, repr=False)
    """Run and number to the entry that ends a set, and the set; the first where there are two."""
    owned_up: set[bytes] = field(default_factory=set, repr=False)
    """Heads that this chain lost, and says so."""
    last_seq: int = -1
    recorded_seq: int = -1
    """The last own entry that a recorded set holds, or one behind it."""
    confirmed_seq: int = -1
    """The same of sets that others signed too."""
    charges: list[int] = field(default_factory=list)
    _reader: SetReader = field(default_factory=SetReader, repr=False)

    # ------------------------------------------------------------------------------------------------ one chain

    def take(self, entry: Entry) -> Finding | None:
        """Follow one entry; what is wrong with it as a record of heads.

        Raises:
            LedgerError: an entry of these kinds that is none.
        """
        self.last_seq = entry.seq
        finding = None
        if entry.kind in (GENESIS, KEY_ROTATED):
            self._take_key(entry)
        elif entry.kind == HEADS_RECORDED:
            finding = self._take_set(entry)
        elif entry.kind == HEADS_CONFIRMED:
            finding = self._take_confirmed(entry)
        elif entry.kind == RECOVERED:
            self.owned_up.update(one.head for one in read_recovered(entry))
        elif entry.kind == CHARGE:
            self.charges.append(entry.seq)
        self.seqs[entry.hash] = entry.seq
        return finding

    def _take_key(self, entry: Entry) -> None:
        fields = entry.fields
        self.signers.add(bytes.fromhex(str(fields["identity" if entry.kind == GENESIS else "new"])))
        if entry.kind == GENESIS:
            self.ledger_id, self.site_id = bytes.fromhex(str(fields["ledger_id"])), str(fields["site_id"])

    def _take_set(self, entry: Entry) -> Finding | None:
        heads = self._reader.take(entry)
        if heads is None:
            return None
        stranger = self._stranger_in(heads)
        if stranger is not None:
            return Finding(fault=Fault.HEADS_CONFLICT, seq=entry.seq, detail=f"a head that {stranger} did not sign")
        _, known = self.sets.setdefault((heads.run_id, heads.number), (entry.seq, heads))
        if known.digest != heads.digest:
            detail = f"the coordinator signed two head sets of number {heads.number} in run {heads.run_id.hex()}"
            return Finding(fault=Fault.HEADS_CONFLICT, seq=entry.seq, detail=detail)
        for own in self._own(heads.statements):
            if own.head not in self.seqs and own.head not in self.owned_up:
                detail = f"{_place(own)}: recorded here and not on this chain"
                return Finding(fault=Fault.HEAD_MISSING, seq=entry.seq, detail=detail)
            self.recorded_seq = max(self.recorded_seq, self.seqs.get(own.head, -1))
        return None

    def _stranger_in(self, heads: HeadSet) -> str | None:
        if not self.keys:
            return None
        if not heads.is_signed_by(self.keys[COORDINATOR]):
            return COORDINATOR
        return heads.unsigned_party(self.keys)

    def _own(self, statements: Iterable[HeadStatement]) -> list[HeadStatement]:
        """Those of this ledger that this chain's keys signed."""
        return [one for one in statements if one.ledger_id == self.ledger_id and self._has_signed(one)]

    def _has_signed(self, statement: HeadStatement) -> bool:
        return any(statement.is_signed_by(key) for key in self.signers)

    def _take_confirmed(self, entry: Entry) -> Finding | None:
        found = read_confirmed(entry)
        _, heads = self.sets.get((found.run_id, found.number), (0, None))
        if heads is None or heads.digest != found.headset:
            detail = "signatures over a head set that is not recorded here"
            return Finding(fault=Fault.HEADS_CONFLICT, seq=entry.seq, detail=detail)
        for name, signature in found.signatures:
            key = self.keys.get(name)
            if self.keys and (key is None or not verify(key, signature, "ledger", "heads", heads.digest)):
                return Finding(fault=Fault.HEADS_CONFLICT, seq=entry.seq, detail=f"{name} did not sign this head set")
        own = [self.seqs.get(one.head, -1) for one in self._own(heads.statements)]
        self.confirmed_seq = max(self.confirmed_seq, *own, -1)
        return None

    @property
    def tail(self) -> range:
        """Entries behind the last head that others confirmed: nobody else could prove that they were there."""
        return range(self.confirmed_seq + 1, self.last_seq + 1)

    @property
    def unwitnessed_charges(self) -> tuple[int, ...]:
        """Charges behind the last own head in a recorded set."""
        return tuple(seq for seq in self.charges if seq > self.recorded_seq)

    def anchor_finding(self, anchor: Anchor) -> Finding | None:
        """Whether the chain reaches its anchor."""
        at_seq = next((one for one, seq in self.seqs.items() if seq == anchor.head.seq), None)
        try:
            require_anchored(anchor, Head(ledger_id=self.ledger_id, seq=self.last_seq, hash=b""), self.signers, at_seq)
        except LedgerError as error:
            return Finding(fault=Fault.HEAD_MISSING, detail=f"{error.message} (witness: the anchor)")
        return None

    # ------------------------------------------------------------------------------------------------ two chains

    def against(self, other: HeadsOfChain) -> Finding | None:
        """The first thing in another's chain that this one does not bear out, or the other way about."""
        for _, heads in other.sets.values():
            finding = self._missing_of(heads, other.site_id) or self._conflict_with(heads)
            if finding is not None:
                return finding
        for seq, heads in self.sets.values():
            for one in other._own(heads.statements):
                if one.head not in other.seqs and one.head not in other.owned_up:
                    detail = f"{_place(one)}: recorded here, and missing from the ledger of {other.site_id}"
                    return Finding(fault=Fault.HEAD_MISSING, seq=seq, detail=detail)
        return None

    def _missing_of(self, heads: HeadSet, witness: str) -> Finding | None:
        for one in heads.statements:
            if one.head in self.seqs or one.head in self.owned_up or not self._has_signed(one):
                continue
            detail = f"{_place(one)}: recorded by {witness}"
            if one.ledger_id != self.ledger_id:
                return Finding(fault=Fault.GENESIS_DIFFERS, seq=0, detail=f"{detail}, of another ledger")
            return Finding(fault=Fault.HEAD_MISSING, detail=detail)
        return None

    def _conflict_with(self, heads: HeadSet) -> Finding | None:
        seq, own = self.sets.get((heads.run_id, heads.number), (None, None))
        if own is None or own.digest == heads.digest:
            return None
        detail = f"head set {heads.number} of run {heads.run_id.hex()} is another one there"
        return Finding(fault=Fault.HEADS_CONFLICT, seq=seq, detail=detail)


def _place(statement: HeadStatement) -> str:
    where = f"round {statement.round_number}, attempt {statement.attempt}"
    return f"the head of {where} of run {statement.run_id.hex()}"


__all__ = ["Finding", "HeadsOfChain"]
