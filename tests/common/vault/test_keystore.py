"""The keystore: who opens it, what is in it, and that a crash between two saves loses no key."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedward.common.envelope.recipients import Passphrase, PassphraseCost
from fedward.common.errors import (
    ConfigError,
    ContextMismatchError,
    EnvelopeError,
    KeystoreLockedError,
    VaultError,
    VaultPermissionError,
)
from fedward.common.identity import Identity
from fedward.common.vault.files import Place, PrivateFolder
from fedward.common.vault.key_records import KeyRecord, Purpose, decoded, encoded
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock, PassphraseUnlock, Unlock
from tests.envelopes import CHEAP

LEDGER_ID = bytes([0x66]) * 16
IDENTITY = Identity.from_bytes(bytes(range(32)))
KEY = KeyUnlock.of_secret(bytes([1]) * 32, "key-file")
OTHER_KEY = KeyUnlock.of_secret(bytes([2]) * 32, "keyring")
WORDS = PassphraseUnlock(key=Passphrase(text="correct horse battery", cost=CHEAP))
WRONG_WORDS = PassphraseUnlock(key=Passphrase(text="wrong horse battery", cost=CHEAP))
ROOT, STORE = "keys/root.slot", "keys/keystore.fwe"


@pytest.fixture
def folder(tmp_path: Path) -> PrivateFolder:
    return PrivateFolder.create(tmp_path / "site")


def create(folder: PrivateFolder, *unlocks: Unlock) -> Keystore:
    return Keystore.create(folder, ledger_id=LEDGER_ID, unlocks=unlocks, identity=IDENTITY, at_ms=7)


def reopened(folder: PrivateFolder, *unlocks: Unlock, ledger_id: bytes = LEDGER_ID) -> Keystore:
    return Keystore.open(folder, ledger_id=ledger_id, unlocks=unlocks)


def secrets_of(store: Keystore) -> dict[tuple[str, str, int], bytes]:
    return {(r.purpose, r.name, r.epoch): r.secret for name in store.names for r in store.records(*name)}


@pytest.mark.parametrize("unlock", [KEY, OTHER_KEY, WORDS], ids=lambda unlock: unlock.kind)
def test_each_kind_of_unlock_opens_it(folder: PrivateFolder, unlock: Unlock) -> None:
    made = create(folder, unlock)
    again = reopened(folder, unlock)
    assert secrets_of(again) == secrets_of(made)
    assert again.identity.public_key == IDENTITY.public_key
    assert again.unlock_kinds == (unlock.kind,)


def test_it_holds_a_key_for_every_durable_kind_and_every_role(folder: PrivateFolder) -> None:
    made = create(folder, KEY)
    assert {name for purpose, name in made.names if purpose is Purpose.KEK} == set(DURABLE)
    assert {name for purpose, name in made.names if purpose is Purpose.ROLE} == set(Role)
    assert len(set(secrets_of(made).values())) == len(DURABLE) + len(Role) + 3


def test_key_unlock_derives_nothing_slowly(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("a passphrase was derived")

    monkeypatch.setattr("fedward.common.envelope.recipients.PassphraseCost.derive", refuse)
    create(folder, KEY)
    reopened(folder, KEY)


def test_default_passphrase_is_argon2id() -> None:
    assert Passphrase(text="correct horse battery").cost.kdf.name == "ARGON2ID"


@pytest.mark.parametrize("damage", ["wrong key", "wrong words", "no root", "no store", "root", "store", "store's end"])
def test_whatever_fails_the_error_is_one(folder: PrivateFolder, damage: str) -> None:
    create(folder, KEY, WORDS)
    for name, at in (("root", 200), ("store", 200), ("store's end", -1)):
        if damage == name:
            path = folder.root / (ROOT if name == "root" else STORE)
            raw = bytearray(path.read_bytes())
            raw[at] ^= 1
            if name == "store":  # both copies of the header
                raw[at + 4096] ^= 1
            path.write_bytes(raw)
    if damage.startswith("no "):
        (folder.root / (ROOT if damage == "no root" else STORE)).unlink()
    wrong: dict[str, Unlock] = {"wrong key": OTHER_KEY, "wrong words": WRONG_WORDS}
    unlock = wrong.get(damage, KEY)
    with pytest.raises(KeystoreLockedError) as caught:
        reopened(folder, unlock)
    assert (caught.value.message, caught.value.advice) == ("the keystore does not open", KeystoreLockedError.hint)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_keystore_does_not_open_beside_another_ledger(folder: PrivateFolder) -> None:
    create(folder, KEY)
    with pytest.raises(ContextMismatchError):
        reopened(folder, KEY, ledger_id=bytes(16))


def test_nothing_of_it_is_in_the_clear(folder: PrivateFolder) -> None:
    made = create(folder, KEY, WORDS)
    raw = (folder.root / ROOT).read_bytes() + (folder.root / STORE).read_bytes()
    assert not any(secret in raw or secret.hex().encode() in raw for secret in secrets_of(made).values())
    assert "01" * 16 not in repr(KEY) + repr(WORDS)
    assert secrets_of(made)["identity", "self", 1].hex() not in repr(made.records(Purpose.IDENTITY, "self"))


def test_it_is_never_made_anew(folder: PrivateFolder) -> None:
    create(folder, KEY)
    with pytest.raises(VaultError):
        create(folder, KEY)


def test_two_unlocks_stand_side_by_side(folder: PrivateFolder) -> None:
    made = create(folder, KEY, WORDS)
    assert secrets_of(reopened(folder, KEY)) == secrets_of(reopened(folder, WORDS)) == secrets_of(made)


def test_unlock_is_added_without_the_other_at_hand(folder: PrivateFolder) -> None:
    create(folder, WORDS)
    reopened(folder, WORDS).add_unlock(KEY)
    by_key = reopened(folder, KEY)
    by_key.begin([(Purpose.KEK, Kind.LOG)], at_ms=8)  # a save without the passphrase
    assert secrets_of(reopened(folder, WORDS)) == secrets_of(by_key)
    assert by_key.unlock_kinds == ("passphrase", "key-file")


def test_unlock_that_is_there_is_not_added_twice(folder: PrivateFolder) -> None:
    made = create(folder, KEY)
    with pytest.raises(ConfigError):
        made.add_unlock(KEY)
    assert made.unlock_kinds == ("key-file",)
    reopened(folder, KEY)


def test_keystore_without_an_unlock_is_refused(folder: PrivateFolder) -> None:
    with pytest.raises(ConfigError):
        create(folder)


def test_replaced_root_opens_by_the_new_unlocks_alone(folder: PrivateFolder) -> None:
    made = create(folder, KEY, WORDS)
    old = {name: (folder.root / name).read_bytes() for name in (ROOT, STORE)}
    made.replace_root([OTHER_KEY])
    assert secrets_of(reopened(folder, OTHER_KEY)) == secrets_of(made)
    for unlock in (KEY, WORDS):
        with pytest.raises(KeystoreLockedError):
            reopened(folder, unlock)
    (folder.root / ROOT).write_bytes(old[ROOT])  # the old root from a backup opens not the new store
    with pytest.raises(KeystoreLockedError):
        reopened(folder, KEY)


@pytest.mark.parametrize("num_writes", [0, 1, 2])
def test_crash_while_the_root_is_replaced_leaves_one_that_opens(
    folder: PrivateFolder, num_writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(folder, KEY)
    write, done = PrivateFolder.write, 0

    def crashing(self: PrivateFolder, place: Place, data: bytes) -> None:
        nonlocal done
        if done == num_writes:
            raise KeyboardInterrupt
        done += 1
        write(self, place, data)

    with monkeypatch.context() as patched:
        patched.setattr(PrivateFolder, "write", crashing)
        with pytest.raises(KeyboardInterrupt):
            made.replace_root([OTHER_KEY])
    again = reopened(folder, OTHER_KEY if num_writes == 2 else KEY)
    assert secrets_of(again) == secrets_of(made)
    again.begin([], at_ms=9)
    reopened(folder, OTHER_KEY if num_writes == 2 else KEY)


def test_change_of_a_key_keeps_both_until_it_is_finished(folder: PrivateFolder) -> None:
    made = create(folder, KEY)
    name = (Purpose.KEK, Kind.LOG)
    made.begin([name], at_ms=8)
    pending = reopened(folder, KEY)
    assert pending.pending == (name,)
    assert [record.epoch for record in pending.records(*name)] == [2, 1]
    pending.begin([name], at_ms=9)  # again, after a crash: no third epoch
    pending.finish([name])
    after = reopened(folder, KEY)
    assert [(record.epoch, record.created_at_ms) for record in after.records(*name)] == [(2, 8)]
    assert after.pending == ()


def test_change_that_did_not_take_place_is_withdrawn(folder: PrivateFolder) -> None:
    made = create(folder, KEY)
    made.begin([(Purpose.IDENTITY, "self")], at_ms=8)
    made.withdraw((Purpose.IDENTITY, "self"))
    assert reopened(folder, KEY).identity.public_key == IDENTITY.public_key


def test_key_of_a_role_changes_with_the_kek_and_with_the_role(folder: PrivateFolder) -> None:
    made = create(folder, KEY)
    keys = [made.role_key(Role.AUDITOR, Kind.SCORES).to_bytes(), made.role_key(Role.AUDITOR, Kind.SHEETS).to_bytes()]
    for name in ((Purpose.KEK, Kind.SCORES), (Purpose.ROLE, Role.AUDITOR)):
        made.begin([name], at_ms=8)
        made.finish([name])
        keys.append(made.role_key(Role.AUDITOR, Kind.SCORES).to_bytes())
    assert len(set(keys)) == 4


def test_key_that_could_not_be_saved_is_not_used(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(folder, KEY)
    before = secrets_of(made)

    def full(*_: object) -> None:
        raise VaultError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(PrivateFolder, "write", full)
        with pytest.raises(VaultError):
            made.begin([(Purpose.KEK, Kind.LOG)], at_ms=8)
        with pytest.raises(VaultError):
            made.add_unlock(OTHER_KEY)
        with pytest.raises(VaultError):
            made.replace_root([OTHER_KEY])
    assert secrets_of(made) == before == secrets_of(reopened(folder, KEY))
    assert made.unlock_kinds == ("key-file",)


def test_ephemeral_kind_has_no_kek(folder: PrivateFolder) -> None:
    with pytest.raises(VaultError):
        create(folder, KEY).keks(Kind.SHARD)


@pytest.mark.parametrize("name", [ROOT, STORE])
def test_file_that_others_may_read_is_refused(folder: PrivateFolder, name: str) -> None:
    create(folder, KEY)
    (folder.root / name).chmod(0o640)
    with pytest.raises(VaultPermissionError):
        reopened(folder, KEY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at=st.integers(0, 12_000), bit=st.integers(0, 7), name=st.sampled_from([ROOT, STORE]))
def test_flipped_bit_is_healed_or_refused_with_our_own_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, name: str
) -> None:
    folder = PrivateFolder.create(tmp_path_factory.mktemp("keys") / "site")
    made = create(folder, KEY)
    path = folder.root / name
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    with suppress(VaultError, EnvelopeError):
        assert secrets_of(reopened(folder, KEY)) == secrets_of(made)


RECORD = KeyRecord(id=bytes(16), purpose=Purpose.KEK, name="log", epoch=1, created_at_ms=7, secret=bytes(32))


def test_records_come_back_from_their_bytes() -> None:
    assert decoded(encoded(["keyring"], [RECORD])) == (("keyring",), [RECORD])


def changed(**fields: object) -> bytes:
    document = json.loads(encoded([], [RECORD]))
    document["keys"][0].update(fields)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        encoded([], [RECORD, RECORD]),
        encoded([], [RECORD]).replace(b"/1", b"/2"),
        changed(epoch=True),
        changed(epoch=0),
        changed(epoch="1"),
        changed(secret="00"),
        changed(purpose="other"),
        changed(id="0"),
        changed(more=1),
        b'{"schema": "fedward.keystore/1", "schema": "fedward.keystore/1", "unlocks": [], "keys": []}',
        b"[" * 100_000,
    ],
)
def test_records_that_cannot_be_are_refused_in_words(plain: bytes) -> None:
    with pytest.raises(VaultError):
        decoded(plain)


def test_root_whose_change_ended_in_an_error_still_opens_what_is_saved_later(
    folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(folder, KEY)
    rename = PrivateFolder.rename

    def not_durable(self: PrivateFolder, place: Place, name: str) -> None:
        rename(self, place, name)
        if name == "root.slot":
            raise VaultError("Input/output error")  # of the fsync behind the rename: it is there all the same

    with monkeypatch.context() as patched:
        patched.setattr(PrivateFolder, "rename", not_durable)
        with pytest.raises(VaultError):
            made.replace_root([OTHER_KEY])
    made.begin([(Purpose.KEK, Kind.LOG)], at_ms=8)
    assert secrets_of(reopened(folder, OTHER_KEY)) == secrets_of(made)


@pytest.mark.parametrize("name", [ROOT, STORE])
def test_file_that_is_too_long_is_the_same_error_as_a_wrong_unlock(folder: PrivateFolder, name: str) -> None:
    create(folder, KEY)
    with (folder.root / name).open("ab") as file:
        file.write(bytes(3 << 20))
    with pytest.raises(KeystoreLockedError):
        reopened(folder, KEY)


def test_wrong_passphrase_costs_what_a_right_one_costs_though_the_keys_are_damaged(
    folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(folder, WORDS)
    (folder.root / STORE).write_bytes(b"damaged")
    derive, num_derived = type(CHEAP).derive, []

    def counted(self: PassphraseCost, passphrase: bytes, salt: bytes) -> bytes:
        num_derived.append(1)
        return derive(self, passphrase, salt)

    monkeypatch.setattr(PassphraseCost, "derive", counted)
    for unlock in (WORDS, WRONG_WORDS):
        with pytest.raises(KeystoreLockedError):
            reopened(folder, unlock)
    assert len(num_derived) == 2
