"""What `fedward simulate` may and may not do to the output folder, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.cli import main
from fedward.common.shredding.scratch import site_mark
from fedward.simulations import driver
from fedward.simulations.parties import SERVER
from tests.simulations.conftest import PARTIES, Writer


def simulate(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a run in this process."""
    kept = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["fedward", "simulate", *words])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, kept)
    return int(ended.value.code or 0)


def a_file(path: Path) -> None:
    path.write_text("precious", "utf-8")


def a_foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("precious", "utf-8")


def a_broken_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("make", [a_file, a_foreign_folder, a_broken_link])
def test_something_else_in_place_of_the_adapter_is_left_alone(
    make: Callable[[Path], None], recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out / "adapter")
    assert simulate(monkeypatch, str(recipe_file()), "--out", str(out)) == 2
    assert {path.name for path in out.iterdir()} == {"adapter"}


@pytest.mark.parametrize("make", [a_foreign_folder, a_broken_link])
def test_something_else_in_place_of_the_report_is_left_alone(
    make: Callable[[Path], None], recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out / "report.json")
    assert simulate(monkeypatch, str(recipe_file()), "--out", str(out)) == 2
    assert [path.name for path in out.iterdir()] == ["report.json"]


@pytest.mark.parametrize("name", ["x" * 300, "a\x00b"])
def test_an_impossible_name_is_one_clear_error(
    name: str, recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(monkeypatch, str(recipe_file()), "--out", str(tmp_path / name), "--json") in {1, 2}
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert set(json.loads(captured.out.splitlines()[-1])) == {"error", "hint", "exit_code"}


def test_no_adapter_lies_beside_the_report_of_another_run(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, recipe = tmp_path / "out", str(recipe_file())
    assert simulate(monkeypatch, recipe, "--out", str(out)) == 0

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(driver, "write_atomically", crash)
    assert simulate(monkeypatch, recipe, "--out", str(out), "--no-dp") == 1
    assert {path.name for path in out.iterdir()} == {"adapter", *PARTIES}


def test_an_unforeseen_fault_is_a_sentence_and_a_json_line(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object) -> None:
        raise KeyError("Jane Doe")

    monkeypatch.setattr(driver, "read_all", crash)
    assert simulate(monkeypatch, str(recipe_file()), "--out", str(tmp_path / "out"), "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["error"] == "unforeseen: KeyError"
    assert "Jane" not in captured.err + captured.out


def test_the_last_line_of_json_has_the_headline_and_the_files(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert simulate(monkeypatch, str(recipe_file()), "--out", str(out), "--json") == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"rounds", "sites", "epsilon_max", "delta", "ppl_base", "ppl_final", "seconds"} <= set(line)
    assert (out / "report.json").samefile(line["report_json"])
    assert (out / "adapter").samefile(line["adapter_dir"])
    assert line["noise"] == "operating system"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_no_result_and_no_trace_but_the_budgets(
    number: signal.Signals, code: int, recipe_file: Writer, tmp_path: Path
) -> None:
    recipe = recipe_file(lambda document: document.update(rounds=500))
    out = tmp_path / "out"
    before = {path.name for path in tmp_path.iterdir()}
    command = [sys.executable, "-m", "fedward", "simulate", str(recipe), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:  # the rounds begin once the base is measured
                if "Held-out text, base model" in line:
                    break
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert {path.name for path in tmp_path.iterdir()} - before <= {"out"}
    assert not out.exists() or {path.name for path in out.iterdir()} == PARTIES
    assert not list(Path("/dev/shm").glob(f"{site_mark(out / SERVER)}/*"))  # the scratch went with the run
