"""Key files, credentials of a service, and keyrings that are trusted or not."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedward.common.errors import ConfigError, VaultPermissionError
from fedward.common.vault import unlocks
from fedward.common.vault.unlocks import CREDENTIAL, create_key_file, keyring_unlock, read_credential, read_key_file


def test_key_file_is_private_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    old = os.umask(0)
    try:
        made = create_key_file(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert read_key_file(path) == made


def test_two_key_files_differ(tmp_path: Path) -> None:
    assert create_key_file(tmp_path / "a").key != create_key_file(tmp_path / "b").key


def test_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        create_key_file(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_key_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "site.key"
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(VaultPermissionError):
        read_key_file(path)


def test_key_file_behind_a_link_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / "real.key")
    (tmp_path / "site.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(VaultPermissionError):
        read_key_file(tmp_path / "site.key")


def test_key_file_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key_file(tmp_path / "site.key")
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(VaultPermissionError):
        read_key_file(tmp_path / "site.key")


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33, b"x" * 5000])
def test_key_file_of_another_length_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="32 bytes"):
        read_key_file(path)


def test_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"site\.key"):
        read_key_file(tmp_path / "site.key")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_credential_of_a_service_is_taken(tmp_path: Path, mode: int) -> None:
    made = create_key_file(tmp_path / CREDENTIAL)
    (tmp_path / CREDENTIAL).chmod(mode)
    assert read_credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == made


def test_credential_that_everybody_reads_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / CREDENTIAL)
    (tmp_path / CREDENTIAL).chmod(0o444)
    with pytest.raises(VaultPermissionError):
        read_credential({"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("variables", [{}, {"CREDENTIALS_DIRECTORY": ""}])
def test_no_credential_is_none(variables: dict[str, str], tmp_path: Path) -> None:
    assert read_credential(variables) is None
    assert read_credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None


def backend(module: str, **attributes: object) -> Any:  # noqa: ANN401 - stands for an untyped library's object
    return type("Keyring", (), {"__module__": module, **attributes})()


class FakeKeyring:
    """What the package does, in memory."""

    def __init__(self, chosen: object) -> None:
        self._chosen = chosen
        self.stored: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> object:
        return self._chosen

    def get_password(self, service: str, account: str) -> str | None:
        return self.stored.get((service, account))

    def set_password(self, service: str, account: str, secret: str) -> None:
        self.stored[service, account] = secret


TRUSTED = backend("keyring.backends.SecretService")


def test_secret_of_the_keyring_is_made_once_and_found_again() -> None:
    ring = FakeKeyring(TRUSTED)
    made = keyring_unlock("alpha", is_new=True, keyring=ring)
    assert made.kind == "keyring"
    assert keyring_unlock("alpha", keyring=ring) == made
    with pytest.raises(ConfigError, match="already"):
        keyring_unlock("alpha", is_new=True, keyring=ring)


@pytest.mark.parametrize("stored", [None, "", "zz", "00" * 31])
def test_keyring_without_the_secret_says_so(stored: str | None) -> None:
    ring = FakeKeyring(TRUSTED)
    if stored is not None:
        ring.stored["fedward", "alpha"] = stored
    with pytest.raises(ConfigError, match="no secret"):
        keyring_unlock("alpha", keyring=ring)


@pytest.mark.parametrize(
    "chosen",
    [
        backend("keyring.backends.null"),
        backend("keyring.backends.fail"),
        backend("keyrings.alt.file"),
        backend("somebody.SecretService"),
        backend("keyring.backends.chainer", backends=[TRUSTED, backend("keyrings.alt.file")]),
        backend("keyring.backends.chainer", backends=[]),
    ],
    ids=["null", "fail", "plaintext", "unknown", "chain with plaintext", "empty chain"],
)
def test_backend_that_keeps_no_secret_is_refused(chosen: object) -> None:
    ring = FakeKeyring(chosen)
    with pytest.raises(ConfigError, match="not trusted"):
        keyring_unlock("alpha", is_new=True, keyring=ring)
    assert ring.stored == {}


def test_chain_of_trusted_backends_is_taken() -> None:
    chain = backend("keyring.backends.chainer", backends=[TRUSTED, backend("keyring.backends.libsecret")])
    assert keyring_unlock("alpha", is_new=True, keyring=FakeKeyring(chain)).kind == "keyring"


def test_missing_package_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(unlocks, "importlib", SimpleNamespace(import_module=missing))
    with pytest.raises(ConfigError, match="not installed"):
        keyring_unlock("alpha")
