"""The chain: its published answers, and every way to change one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import LedgerError
from fedward.common.identity import Identity
from fedward.common.ledger.body import decimal, encode_body, parse_body, parse_decimal
from fedward.common.ledger.chain import (
    ChainJudge,
    Draft,
    Entry,
    Fault,
    Head,
    Verdict,
    before_genesis,
    entry_hash,
    judge_chain,
    key_id_of,
    link,
    rotation_draft,
)
from fedward.common.ledger.export import from_line, to_line
from tests.ledgers import IDENTITY, LEDGER_ID, account, chained, charge, clock, reserve

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/ledger_v1.json").read_text("utf-8"))
CHAIN = chained([account(), reserve(), charge(2), account("6"), reserve(number=2)])


def test_the_published_chain() -> None:
    head = before_genesis(bytes.fromhex(VECTORS["ledger_id"]))
    assert key_id_of(IDENTITY.public_key).hex() == VECTORS["key_id"]
    for vector in VECTORS["entries"]:
        fields = {name: value for name, value in json.loads(vector["body"]).items() if name not in ("n", "v")}
        draft = Draft(kind=vector["kind"], fields=fields)
        nonce = bytes.fromhex(vector["nonce"])
        entry = link(head, draft, identity=IDENTITY, at_ms=vector["at_ms"], nonce=nonce)
        assert entry.body == vector["body"].encode()
        assert entry.hash.hex() == vector["hash"]
        assert entry.signature.hex().startswith(vector["signature_starts"])
        head = Head(ledger_id=head.ledger_id, seq=entry.seq, hash=entry.hash)


def judged(entries: Sequence[Entry], *, identity: bytes | None = None, with_signatures: bool = True) -> Verdict:
    return judge_chain(entries, ChainJudge(LEDGER_ID, identity=identity, with_signatures=with_signatures))


def test_a_good_chain_is_good_at_both_levels() -> None:
    for with_signatures in (True, False):
        verdict = judged(CHAIN, identity=IDENTITY.public_key, with_signatures=with_signatures)
        assert verdict.is_good
        assert verdict.head == Head(ledger_id=LEDGER_ID, seq=5, hash=CHAIN[-1].hash)


STRANGER = Identity.generate()


def forged(entry: Entry, **change: object) -> Entry:
    """The entry with a field changed and a fresh, right hash, signed by a stranger."""
    changed = replace(entry, **change)  # type: ignore[arg-type]
    head = Head(ledger_id=LEDGER_ID, seq=changed.seq - 1, hash=changed.prev)
    assert changed.body is not None
    fields = {name: value for name, value in parse_body(changed.body).items() if name not in ("n", "v")}
    draft = Draft(kind=changed.kind, fields=fields)
    linked = link(head, draft, identity=STRANGER, at_ms=changed.at_ms, nonce=bytes(16))
    return replace(linked, key_id=entry.key_id)


def body_changed(entry: Entry) -> Entry:
    assert entry.body is not None
    body = entry.body.replace(b'"round":2', b'"round":3').replace(b'"epsilon":"6"', b'"epsilon":"9"')
    assert body != entry.body
    return replace(entry, body=body, body_sha256=hashlib.sha256(body).digest())


EDITS: list[tuple[str, Callable[[list[Entry]], list[Entry]], Fault, int]] = [
    ("a row deleted", lambda c: [*c[:3], *c[4:]], Fault.SEQ_GAP, 3),
    ("two rows swapped", lambda c: [*c[:2], c[3], c[2], *c[4:]], Fault.SEQ_GAP, 2),
    (
        "two rows swapped and numbered anew",
        lambda c: [*c[:2], replace(c[3], seq=2), replace(c[2], seq=3), *c[4:]],
        Fault.LINK_BROKEN,
        2,
    ),
    ("a row twice", lambda c: [*c[:3], c[2], *c[3:]], Fault.SEQ_GAP, 3),
    ("a body changed", lambda c: [*c[:4], body_changed(c[4]), c[5]], Fault.ENTRY_ALTERED, 4),
    ("a time changed", lambda c: [*c[:4], replace(c[4], at_ms=5), c[5]], Fault.ENTRY_ALTERED, 4),
    ("a kind changed", lambda c: [*c[:4], replace(c[4], kind="access"), c[5]], Fault.ENTRY_ALTERED, 4),
    ("a hash changed", lambda c: [*c[:4], replace(c[4], hash=bytes(32)), c[5]], Fault.ENTRY_ALTERED, 4),
    ("a link changed", lambda c: [*c[:4], replace(c[4], prev=bytes(32)), c[5]], Fault.LINK_BROKEN, 4),
    ("another key named", lambda c: [*c[:4], replace(c[4], key_id=bytes(32)), c[5]], Fault.ENTRY_ALTERED, 4),
    ("a signature changed", lambda c: [*c[:4], replace(c[4], signature=bytes(64)), c[5]], Fault.SIGNATURE_BAD, 4),
    ("the last entry by a stranger", lambda c: [*c[:5], forged(c[5])], Fault.ENTRY_ALTERED, 5),
    ("the genesis missing", lambda c: c[1:], Fault.SEQ_GAP, 0),
    ("nothing at all", lambda c: [], Fault.GENESIS_DIFFERS, 0),
]


@pytest.mark.parametrize(("edit", "fault", "seq"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_the_first_bad_entry_is_named(edit: Callable[[list[Entry]], list[Entry]], fault: Fault, seq: int) -> None:
    verdict = judged(edit(list(CHAIN)))
    assert (verdict.fault, verdict.bad_seq) == (fault, seq)
    if seq:
        assert verdict.head is not None
        assert verdict.head.seq == seq - 1


def appended(draft: Draft, identity: Identity, *, to: Sequence[Entry] = tuple(CHAIN)) -> list[Entry]:
    head = Head(ledger_id=LEDGER_ID, seq=to[-1].seq, hash=to[-1].hash)
    return [*to, link(head, draft, identity=identity, at_ms=clock(), nonce=bytes(16))]


def test_an_entry_by_a_stranger_is_refused() -> None:
    assert judged(appended(reserve(), STRANGER)).fault is Fault.KEY_UNKNOWN
    lying = appended(reserve(), STRANGER)
    lying[-1] = replace(lying[-1], key_id=key_id_of(IDENTITY.public_key))
    assert judged(lying).fault is Fault.ENTRY_ALTERED


def test_a_whole_chain_of_another_identity_is_told_by_the_pinned_key() -> None:
    other = chained([account()], identity=STRANGER)
    assert judged(other).is_good
    assert judged(other, identity=IDENTITY.public_key).fault is Fault.GENESIS_DIFFERS


def test_a_chain_of_another_ledger_is_refused() -> None:
    assert judged(chained([account()], ledger_id=bytes(16))).fault is Fault.ENTRY_ALTERED


def test_a_second_genesis_is_refused() -> None:
    draft = Draft(kind="genesis", fields={"identity": STRANGER.public_key.hex(), "ledger_id": "66" * 16})
    assert judged(appended(draft, IDENTITY)).fault is Fault.GENESIS_DIFFERS


def test_after_a_rotation_only_the_new_key_signs() -> None:
    new = Identity.generate()
    rotated = appended(rotation_draft(IDENTITY, new), IDENTITY)
    assert judged(appended(reserve(), new, to=rotated)).is_good
    assert judged(appended(reserve(), IDENTITY, to=rotated)).fault is Fault.KEY_UNKNOWN


def test_a_rotation_needs_both_keys() -> None:
    new, other = Identity.generate(), Identity.generate()
    draft = rotation_draft(IDENTITY, new)
    unproven = replace(draft, fields={**draft.fields, "proof": rotation_draft(IDENTITY, other).fields["proof"]})
    assert judged(appended(unproven, IDENTITY)).fault is Fault.SIGNATURE_BAD
    assert judged(appended(draft, new)).fault is Fault.KEY_UNKNOWN


@given(st.integers(1, 5), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_of_an_entry_is_named_at_its_place(seq: int, at: int, change: int) -> None:
    line = bytearray(to_line(CHAIN[seq]).encode())
    line[at % len(line)] ^= change
    try:
        entry = from_line(bytes(line).decode())
    except (LedgerError, UnicodeDecodeError):
        return
    if entry == CHAIN[seq]:
        return  # a capital hex digit, or a space
    verdict = judged([*CHAIN[:seq], entry, *CHAIN[seq + 1 :]])
    assert verdict.bad_seq == seq


@given(st.lists(st.sampled_from([account(), reserve(), Draft(kind="access", fields={"who": "张伟"})]), max_size=5))
def test_export_and_import_keep_every_hash(drafts: list[Draft]) -> None:
    entries = chained(drafts)
    assert [from_line(to_line(entry)) for entry in entries] == entries
    redacted = [from_line(to_line(entry, is_redacted=True)) for entry in entries]
    assert [entry.hash for entry in redacted] == [entry.hash for entry in entries]
    assert judged(redacted).is_good
    assert all(entry.body is None for entry in redacted[1:])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        "1",
        '{"seq":1}',
        "{" * 5000,
        to_line(CHAIN[0])[:-1],
        to_line(CHAIN[0]).replace("seq", "sEq"),
    ],
)
def test_a_line_that_is_no_entry_is_refused(line: str) -> None:
    with pytest.raises(LedgerError):
        from_line(line)


VALUES = st.recursive(
    st.text(max_size=5) | st.integers(-(10**15), 10**15) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=2, max_size=4), VALUES, max_size=4))
def test_bodies_are_read_as_they_were_written(fields: dict[str, object]) -> None:
    try:
        raw = encode_body(fields, bytes(16))  # type: ignore[arg-type]
    except LedgerError:
        assert any("\ud800" <= c <= "\udfff" for c in json.dumps(fields, ensure_ascii=False))
        return
    assert parse_body(raw) == {**fields, "v": 1, "n": "00" * 16}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"null",
        b'{"n":"%s","v":1} ' % (b"00" * 16),
        b'{"v":1,"n":"%s"}' % (b"00" * 16),
        b'{"n":"%s","v":2}' % (b"00" * 16),
        b'{"n":"%s","v":true}' % (b"00" * 16),
        b'{"n":"%s","v":1}' % (b"0" * 31),
        b'{"n":"%s","v":1}' % (b"AA" * 16),
        b'{"a":1.5,"n":"%s","v":1}' % (b"00" * 16),
        b'{"a":null,"n":"%s","v":1}' % (b"00" * 16),
        b'{"a":1,"a":1,"n":"%s","v":1}' % (b"00" * 16),
        b'{"a":%s,"n":"%s","v":1}' % (b"9" * 5000, b"00" * 16),
        b'{"a":%s1%s,"n":"%s","v":1}' % (b"[" * 5000, b"]" * 5000, b"00" * 16),
        b'{"a":"\xff","n":"%s","v":1}' % (b"00" * 16),
        b'{"a":NaN,"n":"%s","v":1}' % (b"00" * 16),
    ],
)
def test_bytes_that_no_writer_writes_are_refused(raw: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_body(raw)


@pytest.mark.parametrize("value", [1.5, None, b"", float("nan"), {1: 2}, ("a",), {"a": [0.1]}])
def test_values_that_json_spells_in_two_ways_are_refused(value: object) -> None:
    with pytest.raises(LedgerError):
        encode_body({"a": value}, bytes(16))  # type: ignore[dict-item]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_has_one_decimal_form(number: float) -> None:
    assert parse_decimal(decimal(number)) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(1e-6, "1e-6"), (5.0, "5"), (0.01, "0.01"), (1.1, "1.1"), (1e22, "1e22"), (-2.5e-10, "-2.5e-10")],
)
def test_known_decimal_forms(number: float, text: str) -> None:
    assert decimal(number) == text


@pytest.mark.parametrize("text", ["5.0", "05", "1e-06", "nan", "inf", "", " 5", "5 ", "+5", 5, None, "1_0", "\u0665"])
def test_another_spelling_of_a_number_is_refused(text: object) -> None:
    with pytest.raises(LedgerError):
        parse_decimal(text)


NEUTRAL = "01" + "00" * 31
"""The neutral point of the curve as a key: under it one signature fits every entry."""
FITS_ALL = bytes.fromhex(NEUTRAL) + bytes(32)


def signed_by_anyone(entry: Entry) -> Entry:
    """The entry with that key and that signature."""
    key_id = key_id_of(bytes.fromhex(NEUTRAL))
    body = hashlib.sha256(entry.body or b"").digest()
    own = entry_hash(LEDGER_ID, entry.seq, entry.prev, entry.kind, entry.at_ms, key_id, body)
    return replace(entry, key_id=key_id, hash=own, signature=FITS_ALL)


@pytest.mark.parametrize("with_signatures", [True, False])
def test_a_genesis_with_a_key_that_fits_every_signature_is_refused(with_signatures: bool) -> None:
    genesis = chained([])[0]
    fields = {name: value for name, value in genesis.fields.items() if name not in ("n", "v")}
    draft = Draft(kind="genesis", fields={**fields, "identity": NEUTRAL})
    nobody = link(before_genesis(LEDGER_ID), draft, identity=IDENTITY, at_ms=clock(), nonce=bytes(16))
    verdict = judged([signed_by_anyone(nobody)], with_signatures=with_signatures)
    assert (verdict.fault, verdict.bad_seq) == (Fault.GENESIS_DIFFERS, 0)


def test_a_rotation_to_a_key_that_fits_every_signature_is_refused() -> None:
    draft = Draft(kind="key.rotated", fields={"new": NEUTRAL, "proof": FITS_ALL.hex()})
    assert judged(appended(draft, IDENTITY)).fault is Fault.SIGNATURE_BAD
