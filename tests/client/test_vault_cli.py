"""``fedward vault`` as a person uses it."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.vault_keys import parse_public, public_text, read_key_file, write_key_file
from fedward.common.envelope.recipients import X25519Identity
from fedward.common.errors import (
    ChunkCorruptError,
    ConfigError,
    ContextMismatchError,
    NotAnEnvelopeError,
    WrongRecipientError,
)

RUNNER = CliRunner()


def run(*words: object, typed: str = "") -> str:
    """Standard output of a command that must succeed."""
    result = RUNNER.invoke(app, ["vault", *map(str, words)], input=typed, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"a note " * 30_000)
    return path


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "my.key"
    return path, json.loads(run("keygen", path, "--json"))["public_key"]


def test_a_file_is_sealed_listed_and_opened(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    sealed, opened = tmp_path / "notes.fwe", tmp_path / "out.txt"
    run("seal", plain, sealed, "--to", key[1], "--kind", "training")
    assert plain.read_bytes()[:7] not in sealed.read_bytes()
    rows = json.loads(run("list", tmp_path, "--json").splitlines()[-1])["envelopes"]
    assert [(row["kind"], row["name"], row["recipients"]) for row in rows] == [("training", "notes.txt", ["x25519"])]
    run("open", sealed, opened, "-i", key[0])
    assert opened.read_bytes() == plain.read_bytes()
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600


def test_a_passphrase_is_typed_twice_to_seal_and_once_to_open(plain: Path, tmp_path: Path) -> None:
    sealed, opened = tmp_path / "notes.fwe", tmp_path / "out.txt"
    words = "seven small words in a row\n"
    shown = run("seal", plain, sealed, "--passphrase", "--scrypt", "--compress", typed=words * 2)
    assert words.strip() not in shown
    run("open", sealed, opened, "--passphrase", typed=words)
    assert opened.read_bytes() == plain.read_bytes()


def test_rekeying_changes_who_opens_it(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    sealed, opened, other = tmp_path / "notes.fwe", tmp_path / "out.txt", tmp_path / "other.key"
    other_line = run("keygen", other).strip()
    run("seal", plain, sealed, "--to", key[1])
    payload = sealed.read_bytes()[8192:]
    run("rekey", sealed, "-i", key[0], "--to", other_line)
    assert sealed.read_bytes()[8192:] == payload
    run("open", sealed, opened, "-i", other)
    with pytest.raises(WrongRecipientError):
        run("open", sealed, opened, "-i", key[0])
    run("rekey", sealed, "-i", other, "--to", key[1], "--reseal")
    assert sealed.read_bytes()[8192:] != payload
    run("open", sealed, opened, "-i", key[0], "--kind", "file", "--name", "notes.txt")
    assert opened.read_bytes() == plain.read_bytes()


def test_a_fault_leaves_the_output_as_it_was(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    sealed, opened = tmp_path / "notes.fwe", tmp_path / "out.txt"
    run("seal", plain, sealed, "--to", key[1])
    raw = bytearray(sealed.read_bytes())
    raw[100_000] ^= 1
    sealed.write_bytes(raw)
    opened.write_text("before")
    for command in (
        ("open", sealed, opened, "-i", key[0]),
        ("rekey", sealed, "-i", key[0], "--to", key[1], "--reseal"),
    ):
        with pytest.raises(ChunkCorruptError):
            run(*command)
    assert opened.read_text() == "before"
    assert sealed.read_bytes() == bytes(raw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.key", "notes.fwe", "notes.txt", "out.txt"]


def test_another_kind_or_name_than_wanted_is_refused(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    sealed = tmp_path / "notes.fwe"
    run("seal", plain, sealed, "--to", key[1])
    for option in (("--kind", "adapter"), ("--name", "other.txt")):
        with pytest.raises(ContextMismatchError):
            run("open", sealed, tmp_path / "out", "-i", key[0], *option)


def test_what_cannot_be_is_refused_in_words(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    sealed = tmp_path / "notes.fwe"
    run("seal", plain, sealed, "--to", key[1])
    refused: list[tuple[tuple[object, ...], type[Exception]]] = [
        (("seal", plain, sealed), ConfigError),
        (("seal", plain, plain, "--to", key[1]), ConfigError),
        (("seal", plain, tmp_path / "no" / "where", "--to", key[1]), ConfigError),
        (("seal", tmp_path / "none", sealed, "--to", key[1]), ConfigError),
        (("seal", plain, sealed, "--to", "fedward-x25519:00"), ConfigError),
        (("open", sealed, tmp_path / "out"), ConfigError),
        (("open", plain, tmp_path / "out", "-i", key[0]), NotAnEnvelopeError),
        (("list", tmp_path / "none"), ConfigError),
        (("keygen", key[0]), ConfigError),
    ]
    for words, error in refused:
        with pytest.raises(error):
            run(*words)


def test_a_key_file_that_others_can_read_is_refused(key: tuple[Path, str]) -> None:
    key[0].chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        read_key_file(key[0])


def test_a_mistyped_key_is_refused_without_being_quoted(tmp_path: Path) -> None:
    identity = X25519Identity.generate()
    line = public_text(identity.recipient)
    assert parse_public(line) == identity.recipient
    for wrong in (line[:-1] + ("0" if line[-1] != "0" else "1"), line[:20], "", line.replace("x25519", "x448")):
        with pytest.raises(ConfigError):
            parse_public(wrong)
    path = tmp_path / "key"
    write_key_file(path, identity)
    secret = path.read_text()
    path.write_text(secret.replace(secret[30:32], "zz"))
    with pytest.raises(ConfigError) as caught:
        read_key_file(path)
    assert identity.to_bytes().hex()[10:20] not in str(caught.value)


def test_a_strangers_name_cannot_steer_the_terminal(plain: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    run("seal", plain, tmp_path / "x.fwe", "--to", key[1], "--name", "\x1b[2J[red]evil")
    shown = run("list", tmp_path)
    assert "\x1b[2J" not in shown
    assert "[red]evil" in shown.replace("\n", "")
