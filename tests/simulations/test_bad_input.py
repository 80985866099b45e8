"""Bad input: one clear error with a hint, an exit code, no traceback, nothing half-written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedward.cli import main
from tests.simulations.conftest import Writer

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Case:
    name: str
    change: Change
    says: str
    break_file: Callable[[Path], None] = lambda folder: None
    arguments: tuple[str, ...] = ()


def _section(section: str, **values: object) -> Change:
    return lambda document: document.setdefault(section, {}).update(values)


def _site(**values: object) -> Change:
    return lambda document: document["sites"][0].update(values)


def _nothing(document: dict[str, Any]) -> None:
    pass


def _long_records(document: dict[str, Any]) -> None:
    document["base"]["max_length_tokens"] = 4096
    document["training"]["max_batch_tokens"] = 8192


def _write(raw: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "site-0.jsonl").write_bytes(raw)

    return write


CASES = [
    Case("missing text column", _section("data", text_columns=["note"]), "note"),
    Case("missing patient column", _section("data", patient_column="person"), "person"),
    Case("empty file", _nothing, "site-0", break_file=_write(b"")),
    Case(
        "wrong encoding", _nothing, "utf-8", break_file=_write('{"patient": "p", "text": "咳嗽"}\n'.encode("gb18030"))
    ),
    Case("malformed line", _nothing, "line 1", break_file=_write(b'{"patient": \n')),
    Case("no such file", _site(path="elsewhere.jsonl"), "elsewhere.jsonl"),
    Case("site with no patient", _site(where={"kind": "letter"}), "site-0"),
    Case("no patient column at all", lambda d: d["data"].pop("patient_column"), "patient_column"),
    Case("base that is not there", _section("base", name="no/such/base"), "no/such/base"),
    Case("unknown key", _section("privacy", epsilonn=3.0), "epsilonn"),
    Case("unknown section", _section("extras", a=1), "extras"),
    Case("impossible epsilon", _section("privacy", epsilon=1e-9), "epsilon"),
    Case("negative epsilon", _section("privacy", epsilon=-1.0), "epsilon"),
    Case("noise too small for its epsilon", _section("privacy", noise_multiplier=0.4, epsilon=1.0), "noise_multiplier"),
    Case("unknown aggregation", _section("lora", aggregation="median"), "aggregation"),
    Case("no module of that name", _section("lora", targets=["nothing_proj"]), "nothing_proj"),
    Case("cohort above the sites", _section("secagg", min_cohort=9), "min_cohort"),
    Case("two sites of one name", _site(id="site-1"), "same id"),
    Case("a site called coordinator", _site(id="coordinator"), "coordinator"),
    Case("delta above one over the patients", _site(nominal_units=1_000_000), "delta"),
    Case("delta beyond accounting", _section("privacy", delta=1e-30), "delta"),
    Case("no room for a patient's records", _section("training", max_batch_tokens=64), "max_batch_tokens"),
    Case("records longer than the base reads", _long_records, "max_length_tokens"),
    Case("markup in a site's name", _site(id="[/nope]", path="elsewhere.jsonl"), "elsewhere.jsonl"),
    Case("rounds of no number", _nothing, "--rounds", arguments=("--rounds", "many")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_clear_error_and_writes_nothing(
    case: Case, recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_file(case.change)
    case.break_file(tmp_path)
    out = tmp_path / "out"
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["fedward", "simulate", str(recipe), "--out", str(out), *case.arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    said = capsys.readouterr().err
    assert exit_.value.code not in (0, None)
    assert case.says in said
    assert "Traceback" not in said
    assert "Hint:" in said or "Usage:" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_output_path_that_is_a_file_is_refused_before_any_work(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.write_text("precious", "utf-8")
    monkeypatch.setattr(sys, "argv", ["fedward", "simulate", str(recipe_file()), "--out", str(out)])
    with pytest.raises(SystemExit):
        main()
    assert "is a file" in capsys.readouterr().err
    assert out.read_text("utf-8") == "precious"


def test_no_cell_content_stands_in_an_error(
    recipe_file: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_file()
    (tmp_path / "site-0.jsonl").write_text('{"patient": ["Jane Doe"], "text": "HIV positive"}\n', "utf-8")
    monkeypatch.setattr(sys, "argv", ["fedward", "simulate", str(recipe), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()
    captured = capsys.readouterr()
    assert "Jane" not in captured.err + captured.out
    assert "HIV" not in captured.err + captured.out
