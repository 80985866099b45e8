"""``fedward vault`` in careless hands, and among files that somebody laid out."""

import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.client.sealed_files import listed
from fedward.common.errors import ConfigError, WrongRecipientError

RUNNER = CliRunner()


def run(*words: object) -> str:
    result = RUNNER.invoke(app, ["vault", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "my.key"
    return path, json.loads(run("keygen", path, "--json"))["public_key"]


@pytest.fixture
def sealed(tmp_path: Path, key: tuple[Path, str]) -> Path:
    plain, path = tmp_path / "notes.txt", tmp_path / "notes.fwe"
    plain.write_bytes(b"a note " * 1000)
    run("seal", plain, path, "--to", key[1])
    return path


def test_a_key_given_twice_is_one_recipient(sealed: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"# the team\n{key[1]}\n\n  # again\n{key[1]}\n", encoding="utf-8-sig")
    shown = run("rekey", sealed, "-i", key[0], "--to", key[1], "--to", keys, "--json")
    assert json.loads(shown)["recipients"] == 1
    run("open", sealed, tmp_path / "out", "-i", key[0])


def test_a_bad_line_in_a_file_of_keys_is_named_by_its_number(
    sealed: Path, key: tuple[Path, str], tmp_path: Path
) -> None:
    keys = tmp_path / "fedward-keys.txt"
    keys.write_text(f"{key[1]}\n{key[1][:-1]}\n")
    with pytest.raises(ConfigError, match="line 2"):
        run("seal", sealed, tmp_path / "x", "--to", keys)


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"", b"x" * (1 << 20) + b"y"])
def test_a_file_that_holds_no_keys_is_refused_in_words(sealed: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    for entry in (tmp_path / "keys", tmp_path, tmp_path / "none", "k" * 5000):
        with pytest.raises(ConfigError):
            run("seal", sealed, tmp_path / "x", "--to", entry)


def test_a_damaged_copy_of_the_header_that_still_reads_is_healed(
    sealed: Path, key: tuple[Path, str], tmp_path: Path
) -> None:
    raw = sealed.read_bytes()
    for at in (8, 75, 90):  # the generation, and the context
        damaged = bytearray(raw)
        damaged[at] ^= 1
        sealed.write_bytes(damaged)
        assert json.loads(run("open", sealed, tmp_path / "out", "-i", key[0], "--json"))["whole"] is False
    run("rekey", sealed, "-i", key[0], "--to", key[1], "--reseal")
    assert json.loads(run("open", sealed, tmp_path / "out", "-i", key[0], "--json"))["name"] == "notes.txt"


def test_an_envelope_is_opened_from_a_pipe(sealed: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, sealed.read_bytes())
    os.close(writing)
    run("open", f"/dev/fd/{reading}", tmp_path / "out", "-i", key[0], "--name", "notes.txt")
    os.close(reading)
    assert (tmp_path / "out").read_bytes() == b"a note " * 1000


def test_links_pipes_folders_and_devices_are_never_replaced(
    sealed: Path, key: tuple[Path, str], tmp_path: Path
) -> None:
    link, fifo = tmp_path / "link", tmp_path / "fifo"
    link.symlink_to(sealed)
    os.mkfifo(fifo)
    for target in (link, fifo, tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError):
            run("open", sealed, target, "-i", key[0])
    for target in (link, fifo, tmp_path):
        with pytest.raises(ConfigError):
            run("rekey", target, "-i", key[0], "--to", key[1], "--reseal")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert link.is_symlink()


def test_a_second_name_of_a_file_does_not_keep_the_old_key(sealed: Path, key: tuple[Path, str]) -> None:
    second = sealed.with_name("second")
    second.hardlink_to(sealed)
    with pytest.raises(ConfigError, match="another name"):
        run("rekey", sealed, "-i", key[0], "--to", key[1], "--reseal")
    other = run("keygen", sealed.with_name("other")).strip()
    run("rekey", sealed, "-i", key[0], "--to", other)
    with pytest.raises(WrongRecipientError):
        run("open", second, sealed.with_name("out"), "-i", key[0])


def test_the_list_goes_on_past_what_cannot_be_read(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "cut.fwe").write_bytes(sealed.read_bytes()[:5000])
    damaged = bytearray(sealed.read_bytes())
    damaged[0] ^= 1
    (tmp_path / "magic.fwe").write_bytes(damaged)
    found = {entry.path.name: entry.fault for entry in listed(tmp_path)}
    assert set(found) == {"cut.fwe", "dangling", "magic.fwe", "notes.fwe"}
    assert found["cut.fwe"]
    assert found["dangling"]
    assert not found["magic.fwe"]


def test_no_name_of_a_file_steers_the_terminal(sealed: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    evil = tmp_path / "\x1b[2J"
    evil.mkdir()
    (evil / "cut.fwe").write_bytes(sealed.read_bytes()[:5000])
    assert "\x1b[2J" not in run("list", tmp_path)
    run("seal", tmp_path / "notes.txt", evil / "x", "--to", key[1], "--kind", "\x1b[2Jevil")
    assert "\x1b[2J" not in run("open", evil / "x", tmp_path / "out", "-i", key[0])


def test_a_name_that_is_no_utf8_is_refused_in_words(key: tuple[Path, str], tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xb2\xa1\xc0\xfa.txt")
    odd.write_bytes(b"text")
    with pytest.raises(ConfigError, match="UTF-8"):
        run("seal", odd, tmp_path / "x.fwe", "--to", key[1])
    run("seal", odd, tmp_path / "x.fwe", "--to", key[1], "--name", "history")


@pytest.mark.parametrize("spelling", ["%s\n", "%s\r\n", "\ufeff%s", "%s"])
def test_a_passphrase_is_the_same_from_any_editor(sealed: Path, tmp_path: Path, spelling: str) -> None:
    secret, path = tmp_path / "secret", tmp_path / "p.fwe"
    secret.touch(mode=0o600)
    secret.write_text("seven small words in a row", newline="")
    run("seal", sealed, path, "--passphrase-file", secret, "--scrypt")
    secret.write_text(spelling % "seven small words in a row", newline="")
    run("open", path, tmp_path / "out", "--passphrase-file", secret)


def test_files_that_are_no_secrets_are_refused_in_words(sealed: Path, tmp_path: Path) -> None:
    fifo, empty = tmp_path / "fifo", tmp_path / "empty"
    os.mkfifo(fifo, 0o600)
    empty.touch(mode=0o600)
    for option in ("--passphrase-file", "--identity"):
        for path in (tmp_path, fifo, empty):
            with pytest.raises(ConfigError):
                run("open", sealed, tmp_path / "out", option, path)
    with pytest.raises(ConfigError, match="not both"):
        run("open", sealed, tmp_path / "out", "--passphrase", "--passphrase-file", empty)
    with pytest.raises(ConfigError, match="--scrypt"):
        run("seal", sealed, tmp_path / "out", "--scrypt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_plaintext_behind(sealed: Path, key: tuple[Path, str], tmp_path: Path, number: int) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = ["vault", "open", str(fifo), str(tmp_path / "out"), "-i", str(key[0])]
    command = [sys.executable, "-m", "fedward", *words]
    root = Path(__file__).parents[2]
    with (
        subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL) as process,
        fifo.open("wb", buffering=0) as pipe,  # waits for the reader
    ):
        pipe.write(sealed.read_bytes()[:9000])  # the header, and no whole chunk
        while not any(path.name.startswith(".fedward.") for path in tmp_path.iterdir()):
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {process.wait(timeout=0.05)}")
        process.send_signal(number)
        process.wait(timeout=30)
    assert process.returncode == 128 + number
    assert {path.name for path in tmp_path.iterdir()} == {"my.key", "notes.txt", "notes.fwe", "fifo"}
