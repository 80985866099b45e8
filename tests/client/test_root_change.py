"""The secret that opens a keystore, replaced: the old one opens nothing, and no crash locks its owner out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fedward.client import root_change
from fedward.client.root_change import (
    replace_key_file,
    replace_keyring_secret,
    replace_passphrase,
    require_one_unlock,
    unlocks_beside,
)
from fedward.common.envelope.recipients import Passphrase
from fedward.common.errors import ConfigError, KeystoreLockedError
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.unlocks import KeyUnlock, PassphraseUnlock, keyring_unlock, read_key_file
from tests import shreddable
from tests.envelopes import CHEAP
from tests.shreddable import Killed, clock


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shreddable.create(tmp_path_factory.mktemp("made") / "alpha", runs=())


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return shreddable.copy_of(made, tmp_path / "alpha")


@pytest.fixture
def key_file(site: Path) -> Path:
    path = site.with_name("alpha.key")
    path.write_bytes(shreddable.SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture
def party(site: Path) -> Iterator[PartyFolder]:
    with shreddable.opened(site) as party:
        yield party


def opens(site: Path, key_file: Path) -> bool:
    """Whether the site opens by its key file, or by the one that a crash left beside it."""
    with PartyFolder.open(site, unlocks=unlocks_beside(key_file, read_key_file(key_file)), clock=clock) as party:
        return party.party_id == "alpha"


def test_old_key_file_opens_nothing_and_its_bytes_are_gone(party: PartyFolder, key_file: Path, tmp_path: Path) -> None:
    os.link(key_file, tmp_path / "blocks")
    replace_key_file(party, key_file)
    party.close()
    assert (tmp_path / "blocks").read_bytes() == b""
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert not key_file.with_name("alpha.key.next").exists()
    with pytest.raises(KeystoreLockedError):
        shreddable.opened(party.path)
    assert opens(party.path, key_file)


def test_crash_at_any_change_leaves_a_key_that_opens(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        site = shreddable.copy_of(made, tmp_path / str(number) / "alpha")
        key_file = site.with_name("alpha.key")
        key_file.write_bytes(shreddable.SECRET)
        key_file.chmod(0o600)
        with shreddable.opened(site) as party, shreddable.killed_at(number, monkeypatch) as count, suppress(Killed):
            replace_key_file(party, key_file)
        assert opens(site, key_file)
        with PartyFolder.open(site, unlocks=unlocks_beside(key_file, read_key_file(key_file)), clock=clock) as party:
            replace_key_file(party, key_file)
        assert [path.name for path in key_file.parent.iterdir()] in (["alpha", "alpha.key"], ["alpha.key", "alpha"])
        with PartyFolder.open(site, unlocks=[read_key_file(key_file)], clock=clock):
            pass
        if count[0] <= number:
            break
    assert 10 < number < 99


class Keyring:
    """A keyring of the operating system, as the module shows it."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {("fedward", "alpha"): shreddable.SECRET.hex()}

    def get_keyring(self) -> object:
        return type("Backend", (), {"__module__": "keyring.backends.SecretService"})()

    def get_password(self, service: str, account: str) -> str | None:
        return self.held.get((service, account))

    def set_password(self, service: str, account: str, password: str) -> None:
        self.held[service, account] = password

    def delete_password(self, service: str, account: str) -> None:
        del self.held[service, account]


def test_keyring_secret_is_replaced_and_the_old_one_nowhere(party: PartyFolder) -> None:
    keyring = Keyring()
    party.keystore.replace_root([KeyUnlock.of_secret(shreddable.SECRET, "keyring")])
    replace_keyring_secret(party, keyring=keyring)
    party.close()
    assert list(keyring.held) == [("fedward", "alpha")]
    assert keyring.held["fedward", "alpha"] != shreddable.SECRET.hex()
    with PartyFolder.open(party.path, unlocks=[keyring_unlock("alpha", keyring=keyring)], clock=clock) as again:
        assert again.keystore.unlock_kinds == ("keyring",)


def test_interrupted_change_in_the_keyring_is_taken_up(party: PartyFolder) -> None:
    keyring = Keyring()
    keyring.held["fedward", "alpha.next"] = "ab" * 32
    replace_keyring_secret(party, keyring=keyring)
    assert keyring.held == {("fedward", "alpha"): "ab" * 32}


def test_new_passphrase_opens(party: PartyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = Passphrase(text="correct horse battery", cost=CHEAP)
    monkeypatch.setattr(root_change, "asked_passphrase", lambda *_, **__: typed)
    replace_passphrase(party)
    party.close()
    with PartyFolder.open(party.path, unlocks=[PassphraseUnlock(key=typed)], clock=clock) as again:
        assert again.keystore.unlock_kinds == ("passphrase",)


def test_second_unlock_is_not_dropped(party: PartyFolder, key_file: Path) -> None:
    party.keystore.add_unlock(KeyUnlock.of_secret(bytes(32), "keyring"))
    with pytest.raises(ConfigError, match="two unlocks"):
        require_one_unlock(party)
    with pytest.raises(ConfigError, match="two unlocks"):
        root_change.root_change(party, key_file)


def test_credential_of_the_service_is_not_replaced(party: PartyFolder) -> None:
    with pytest.raises(ConfigError, match="credential"):
        root_change.root_change(party, None)


@pytest.mark.parametrize(
    ("kind", "name"), [("passphrase", "replace_passphrase"), ("keyring", "replace_keyring_secret")]
)
def test_change_follows_the_kind_of_the_unlock(
    kind: str, name: str, party: PartyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(root_change, name, lambda _: called.append(name))
    party.keystore.unlock_kinds = (kind,)
    root_change.root_change(party, None)()
    assert called == [name]
