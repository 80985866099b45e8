"""Workers, interruptions, encodings, and what a refused run leaves behind."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedward.client.scrub import pool
from fedward.client.scrub import run as runs
from fedward.client.scrub.chunks import Chunk
from fedward.client.scrub.encodings import encoding_of
from fedward.client.scrub.journal import Journal
from fedward.client.scrub.quarantine import quarantine_path
from fedward.client.scrub.run import prepare, scrub_files
from fedward.client.scrub.work import Done
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.value_search import scan_for_values
from fedward.common.errors import ConfigError, DesensitizationError, EncodingError, RunError
from tests.client.scrub.samples import NOTE, PLANTED, POLICY, job, many, read_jsonl, run, write_jsonl


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("chunks", "run"):
        monkeypatch.setattr(f"fedward.client.scrub.{module}.CHUNK_BYTES", 2000)


@pytest.mark.usefixtures("small_chunks")
def test_output_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(200))
    digests = {run(source, tmp_path / f"{count}.jsonl", workers=count).digest for count in (1, 2, 3)}
    assert len(digests) == 1


def test_policy_reaches_the_workers_whole(tmp_path: Path) -> None:
    changes = {
        "levels": {"PHONE": 1},
        "actions": {"PHONE": "placeholder"},
        "columns": {"mobile": {"kind": "direct", "action": "fpe", "type": "PHONE"}},
    }
    policy = DesensitizePolicy.model_validate_json(json.dumps({**POLICY.model_dump(mode="json"), **changes}))
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": NOTE, "mobile": "13900139000"}] * 3)
    digests = {run(source, tmp_path / f"{n}.jsonl", policy=policy, workers=n).digest for n in (1, 2)}
    assert len(digests) == 1
    (first, *_) = read_jsonl(tmp_path / "2.jsonl")
    assert "[电话1]" in first["text"]
    assert first["mobile"].startswith("1")
    assert first["mobile"] != "13900139000"


def test_keys_are_neither_in_the_arguments_nor_in_the_environment_of_a_worker(tmp_path: Path) -> None:
    made = job(write_jsonl(tmp_path / "a.jsonl", many(2)), tmp_path / "b.jsonl", workers=2)
    processes = pool.Processes(runs._setup(made, prepare(made)), 2)
    try:
        for pid in processes.pids:
            for name in ("cmdline", "environ"):
                shown = Path(f"/proc/{pid}/{name}").read_bytes()
                assert made.keys.secret.hex().encode() not in shown
                assert made.keys.secret not in shown
    finally:
        processes.close()


class _Dying(pool.Processes):
    """One worker is killed before the chunks come."""

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Done]]:
        os.kill(self.pids[0], signal.SIGKILL)
        return super().run(chunks)


@pytest.mark.usefixtures("small_chunks")
def test_dead_worker_ends_the_run_without_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Processes", _Dying)
    with pytest.raises(RunError, match="worker died"):
        run(write_jsonl(tmp_path / "a.jsonl", many(200)), tmp_path / "b.jsonl", workers=2)
    assert not (tmp_path / "b.jsonl").exists()


def test_error_of_a_worker_comes_as_its_code_and_place(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "a"}\n{"text": 13800138000\n', "utf-8")
    with pytest.raises(Exception, match="line 2: malformed JSON") as caught:
        run(source, tmp_path / "b.jsonl", workers=2)
    assert "13800138000" not in str(caught.value)


class _StopError(BaseException):
    pass


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """End the run after so many durable chunks, as Ctrl-C would."""
    add, count = Journal.add, iter(range(10**6))

    def stopping(self: Journal, chunk: Chunk, done: Done) -> None:
        if next(count) == after:
            raise _StopError
        add(self, chunk, done)

    monkeypatch.setattr(Journal, "add", stopping)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("after", [0, 1, 5])
def test_interrupted_run_goes_on_and_gives_the_same_bytes(tmp_path: Path, after: int) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(100))
    whole = run(source, tmp_path / "whole.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, after)
        with pytest.raises(_StopError):
            run(source, tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()
    resumed = run(source, tmp_path / "b.jsonl")
    assert resumed.resumed_chunks == after
    assert resumed.digest == whole.digest
    assert resumed.tally.to_json() == whole.tally.to_json()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("change", ["key", "policy", "input"])
def test_another_key_policy_or_input_starts_anew(tmp_path: Path, change: str) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(100))
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(_StopError):
            run(source, tmp_path / "b.jsonl")
    settings: dict[str, Any] = {}
    if change == "key":
        settings["keys"] = ScrubKeys(secret=bytes(32), site_id="hospital-a", key_id="1")
    elif change == "policy":
        settings["policy"] = POLICY.model_copy(update={"dates": "keep_weekday"})
    else:
        write_jsonl(source, many(101))
    summary = run(source, tmp_path / "b.jsonl", **settings)
    assert (summary.resumed_chunks, summary.started_anew) == (0, True)


@pytest.mark.usefixtures("small_chunks")
def test_chunk_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(100))
    whole = run(source, tmp_path / "whole.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 4)
        with pytest.raises(_StopError):
            run(source, tmp_path / "b.jsonl")
    parts = tmp_path / ".b.jsonl.parts"
    (parts / "00000002.out").write_bytes(b"x")
    resumed = run(source, tmp_path / "b.jsonl")
    assert (resumed.resumed_chunks, resumed.digest) == (2, whole.digest)


@pytest.mark.usefixtures("small_chunks")
def test_interrupted_run_of_a_key_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(100))
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(_StopError):
            run(source, tmp_path / "b.jsonl", keys=ScrubKeys.one_run(), descriptor=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


@pytest.mark.usefixtures("small_chunks")
def test_parts_of_a_run_hold_no_planted_value(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(100))
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 5)
        with pytest.raises(_StopError):
            run(source, tmp_path / "b.jsonl")
    parts = list((tmp_path / ".b.jsonl.parts").iterdir())
    assert len(parts) == 12  # five chunks of two files, the run's name, the lock
    for path in parts:
        assert [value for value in PLANTED if value.encode() in path.read_bytes()] == []


def test_second_run_with_the_same_output_is_refused(tmp_path: Path) -> None:
    made = job(write_jsonl(tmp_path / "a.jsonl", many(2)), tmp_path / "b.jsonl")
    journal = Journal(made.target, {})
    with journal.locked(), pytest.raises(ConfigError, match="another run"):
        scrub_files(made, prepare(made))


def leaking(monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    """Records with ``marker`` fail the leak check."""
    from dataclasses import replace

    honest = Desensitizer.records

    def sabotaged(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return [
            replace(result, text=None, leaks=("original PHONE",)) if marker in result.source else result
            for result in honest(self, *args, **kwargs)
        ]

    monkeypatch.setattr(Desensitizer, "records", sabotaged)


def test_failing_record_is_left_out_and_named_by_a_handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaking(monkeypatch, "第7条")
    policy = POLICY.model_copy(update={"max_quarantine": 0.1})
    summary = run(write_jsonl(tmp_path / "a.jsonl", many(20)), tmp_path / "b.jsonl", policy=policy)
    assert (summary.tally.failed, summary.quarantined) == (1, 1)
    assert [record["id"] for record in read_jsonl(tmp_path / "b.jsonl")] == [i for i in range(20) if i != 7]
    (entry,) = read_jsonl(quarantine_path(tmp_path / "b.jsonl"))
    assert (entry["place"], entry["code"], entry["detail"]) == ("line 8", "leak", "original PHONE")
    assert len(entry["handle"]) == 16
    assert [value for value in PLANTED if value in json.dumps(entry, ensure_ascii=False)] == []


def test_more_failing_records_than_allowed_leave_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaking(monkeypatch, "第7条")
    with pytest.raises(DesensitizationError, match="1 of 20 records fail the leak check") as caught:
        run(write_jsonl(tmp_path / "a.jsonl", many(20)), tmp_path / "b.jsonl")
    assert caught.value.exit_code != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_gb18030_and_utf8_twins_give_equal_text(tmp_path: Path, suffix: str) -> None:
    line = {
        "txt": NOTE + "\n\n",
        "csv": f'1,"{NOTE}"\n',
        "jsonl": json.dumps({"text": NOTE}, ensure_ascii=False) + "\n",
    }
    text = ("id,note\n" if suffix == "csv" else "") + line[suffix] * 5
    for encoding in ("utf-8", "gb18030"):
        folder = tmp_path / encoding
        folder.mkdir()
        (folder / f"a.{suffix}").write_bytes(text.encode(encoding))
        run(folder / f"a.{suffix}", folder / f"b.{suffix}")
    first, second = ((tmp_path / encoding / f"b.{suffix}").read_bytes() for encoding in ("utf-8", "gb18030"))
    assert first == second


ENCODINGS = [
    ("utf-8", "血压稳定。".encode(), "utf-8"),
    ("utf-8 with a mark", "\ufeff血压稳定。".encode(), "utf-8"),
    ("ascii", b"stable", "utf-8"),
    ("gb18030", "患者血压稳定，继续服药。".encode("gb18030"), "gb18030"),
]


@pytest.mark.parametrize(("name", "data", "expected"), ENCODINGS, ids=[name for name, _, _ in ENCODINGS])
def test_encoding_is_found(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert encoding_of(tmp_path / "a.txt", None) == expected


REFUSED = [
    ("big5", "病人血壓穩定，繼續服藥，兩週後回診。".encode("big5")),
    ("latin-1", "Größe, müde, Fuß".encode("latin-1")),
    ("utf-16", "患者".encode("utf-16")),
    ("utf-8 with one bad byte", "患者".encode() + b"\xff" + "稳定 stable".encode()),
]


@pytest.mark.parametrize(("name", "data"), REFUSED, ids=[name for name, _ in REFUSED])
def test_doubtful_encoding_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(EncodingError):
        encoding_of(tmp_path / "a.txt", None)


def test_big5_is_read_when_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("病人電話13800138000".encode("big5"))
    run(tmp_path / "a.txt", tmp_path / "b.txt", encoding="big5")
    assert (tmp_path / "b.txt").read_text("utf-8").startswith("病人電話1")


@pytest.mark.usefixtures("small_chunks")
def test_nothing_that_a_run_leaves_holds_a_planted_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, out = write_jsonl(tmp_path / "a.jsonl", many(60)), tmp_path / "out"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 2)
        with pytest.raises(_StopError):
            run(source, out / "b.jsonl")
    run(source, out / "b.jsonl", workers=2)
    assert list(scan_for_values([out, caplog.text.encode()], PLANTED)) == []


def test_optional_layers_change_prose_and_no_other_field(tmp_path: Path) -> None:
    changes = {"layers": ("entity", "semantic", "noise"), "noise_rate": 0.10, "semantic_rate": 0.10}
    policy = POLICY.model_copy(update=changes)
    prose = "患者因为咳嗽来到医院，医生认为情况比较稳定，建议继续观察并且按时服药。" * 5
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": prose, "title": prose}])
    run(source, tmp_path / "b.jsonl", policy=policy)
    (record,) = read_jsonl(tmp_path / "b.jsonl")
    assert record["text"] != prose
    assert record["title"] == prose
