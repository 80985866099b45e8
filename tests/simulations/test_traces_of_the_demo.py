"""`fedward demo` as a user starts it: what it leaves behind, searched by other means than its own, and shredded."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedward.common.ledger.reader import LedgerReader
from fedward.common.vault.folder import LEDGER
from fedward.simulations.base import embedded_base_dir
from fedward.simulations.hospitals.marks import ALPHABET, MARKS_PER_SITE
from fedward.simulations.parties import SERVER, SITES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Sandbox:
    """A home, caches and temporary folders of its own for processes that are started in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out, self.data = root / "out", root / "data"
        for name in ("home", "tmp", "cache", "runtime"):
            (root / name).mkdir(mode=0o700)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))},
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fedward", *words]

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The JSON line of a command that ends with ``code``."""
        done = subprocess.run(
            self.command(*words),
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def files(self) -> Iterator[Path]:
        """All that lies in the sandbox but the source data, and what of ours lies in shared memory."""
        places = [self.root / name for name in ("out", "home", "tmp", "cache", "runtime")]
        for place in (*places, *Path("/dev/shm").glob("fedward-*")):
            yield from (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def planted(data: Path) -> list[str]:
    """The first lines of marked notes, as the files of the hospitals have them."""
    lines = [line for path in data.glob("*/train.jsonl") for line in path.read_bytes().splitlines()]
    firsts = [json.loads(line)["text"].split("\n")[0] for line in lines]
    marks = [line for line in firsts if re.fullmatch(r"([a-z]{6} ){3}[a-z]{6}", line) or set(line) <= set(ALPHABET)]
    assert len(marks) == 3 * MARKS_PER_SITE
    return marks


def spellings(mark: str) -> list[bytes]:
    """Text, base64 at each alignment, and token ids."""
    from tokenizers import Tokenizer

    ids = (
        Tokenizer.from_file(str(embedded_base_dir() / "tokenizer.json"))
        .encode(mark, add_special_tokens=False)
        .ids[1:-1]
    )
    arrays = [struct.pack(f"<{len(ids)}{code}", *ids) for code in "HIQ"]
    cores = [base64.b64encode(b"\0" * lead + mark.encode())[4:-4] for lead in range(3)]
    return [mark.encode(), mark.encode("utf-16-le"), mark.encode("utf-16-be"), *cores, *arrays]


def holders(files: Iterator[Path], marks: list[str]) -> set[Path]:
    wanted = [form for mark in marks for form in spellings(mark)]
    return {path for path in files if any(form in path.read_bytes() for form in wanted)}


def test_after_a_demo_no_mark_is_in_the_clear_and_a_planted_one_is_found(sandbox: Sandbox) -> None:
    line = sandbox.run(
        "demo", "--sites", "3", "--rounds", "1", "--keep-data", str(sandbox.data), "--out", str(sandbox.out), "--json"
    )
    marks = planted(sandbox.data)
    assert line["traces_found"] == 0
    assert holders(sandbox.files(), marks) == set()
    (sandbox.root / "tmp" / "left.bin").write_bytes(spellings(marks[0])[-2])
    assert holders(sandbox.files(), marks) == {sandbox.root / "tmp" / "left.bin"}


def test_after_a_shred_every_ciphertext_of_the_run_refuses_every_key_that_is_left(sandbox: Sandbox) -> None:
    sandbox.run("demo", "--sites", "3", "--rounds", "1", "--out", str(sandbox.out), "--json")
    kept = sandbox.root / "backup"
    for party in (sandbox.out / SERVER, *(sandbox.out / SITES).glob("hospital-??")):
        shutil.copytree(party / "runs", kept / party.name / "runs")
    assert len(list(kept.rglob("*.fwe"))) >= 4 * 2
    shredded = sandbox.run("shred", str(sandbox.out), "--json")["shredded"]
    assert {one["site_id"] for one in shredded} == {"server", "hospital-01", "hospital-02", "hospital-03"}
    found = sandbox.run("shred", str(sandbox.out), "--verify", "--ciphertext", str(kept), "--json")
    assert found["verified"]
    assert sum(row["ciphertexts"]["refused_every_key"] for row in found["runs"]) >= 8
    assert not list((sandbox.out / SERVER / "runs").rglob("*.fwe"))


def test_a_demo_that_was_killed_is_cleared_up_by_the_next(sandbox: Sandbox) -> None:
    words = ("demo", "--sites", "3", "--keep-data", str(sandbox.data), "--out", str(sandbox.out))
    with subprocess.Popen(
        sandbox.command(*words), cwd=ROOT, env=sandbox.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Federated rounds" in line:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    marks = planted(sandbox.data)
    assert holders(sandbox.files(), marks) == set()  # also before anything is cleared up
    sandbox.run(*words, "--rounds", "1", "--json")
    with LedgerReader((sandbox.out / SERVER).joinpath(*LEDGER)) as reader:
        reasons = [entry.fields["reason"] for entry in reader.entries() if entry.kind == "shred.intended"]
    assert reasons == ["run_aborted", "run_ended"]
    assert not list(Path("/dev/shm").glob("fedward-*/*/tmp/*"))
