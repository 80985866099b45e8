import gzip
import os
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import ConfigError
from fedward.common.evaluation import artifact_control, artifacts
from fedward.common.evaluation.artifact_control import PACKERS, PLANTED, artifact_section, plant, positive_control
from fedward.common.evaluation.artifacts import Needle, needle_forms, needles_of, scan
from fedward.common.evaluation.canaries import Group
from fedward.common.evaluation.canary_texts import SecretCanary
from fedward.common.evaluation.containers import kind_of
from fedward.common.evaluation.verdicts import Verdict

NEEDLE = Needle(text="患者王小明的住院号是 A-778 301")
OTHER = Needle(text="Nothing of this sentence")


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    root.mkdir(mode=0o700)
    return root


def test_every_encoding_and_container_is_planted_and_found(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra site")
    planted = plant(folder)
    found = {hit.path for hit in scan([folder], [PLANTED]).hits}
    assert {path.name for path in planted.values()} == found
    encodings = {name.split()[0] for name in planted} - set(PACKERS)
    assert encodings >= {
        "utf-8",
        "utf-16-le",
        "utf-16-be",
        "utf-32-le",
        "utf-32-be",
        "json",
        "percent",
        "hex",
        "base64",
    }
    assert encodings >= {"int16", "int32", "int64"}


def test_control_that_misses_a_container_does_not_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra site")
    monkeypatch.setattr(artifacts, "kind_of", lambda head: None if head.startswith(b"BZh") else kind_of(head))
    control = positive_control(folder)
    assert not control.holds
    assert control.note == "missed: bzip2"


def test_clean_run_has_no_hit(folder: Path) -> None:
    put(folder / "a/log.txt", b"nothing here" * 1000)
    put(folder / "cache.gz", gzip.compress(b"nothing here either"))
    result = scan([folder], [NEEDLE, OTHER])
    assert result.is_clean
    assert result.num_files == 2


def test_hit_names_the_place_and_never_the_text(folder: Path) -> None:
    put(folder / "a/log.gz", gzip.compress(b"12345" + NEEDLE.text.encode()))
    result = scan([folder], [OTHER, NEEDLE])
    hit = result.hits[-1]
    assert (hit.path, hit.layers, hit.offset, hit.encoding, hit.needle) == ("a/log.gz", ("gzip",), 5, "utf-8", 1)
    assert NEEDLE.text not in repr(result) + repr(NEEDLE)


def test_path_that_is_itself_the_hit_is_not_shown(folder: Path) -> None:
    put(folder / f"export {OTHER.text}.txt", b"x")
    result = scan([folder], [OTHER])
    assert OTHER.text not in repr(result)
    assert result.hits[0].layers == ("name",)


def test_secret_is_searched_for_with_its_name_and_never_alone() -> None:
    text = "客户王小明的取件码是123456，已于当日登记。"
    canary = SecretCanary(
        group=Group.SECRET, index=0, language="zh", name="王小明", slot="取件码", secret="123456", text=text
    )
    assert [needle.text for needle in needles_of(canary)] == [text, "王小明的取件码是123456"]


@pytest.mark.parametrize("text", ["123456", "短", ""])
def test_short_needles_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Needle(text=text)


def test_search_for_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError):
        scan([folder], [])


def test_too_deep_packing_is_not_called_clean(folder: Path) -> None:
    data = NEEDLE.text.encode()
    for _ in range(4):
        data = gzip.compress(data)
    put(folder / "deep", data)
    result = scan([folder], [NEEDLE])
    assert result.not_scanned == (("deep", "packed deeper than 3 layers"),)


def test_bomb_ends_as_not_scanned_in_little_memory(folder: Path) -> None:
    put(folder / "bomb.gz", gzip.compress(bytes(200 << 20), 1))
    tracemalloc.start()
    result = scan([folder], [NEEDLE], max_unpacked_bytes=20 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [reason for _, reason in result.not_scanned] == ["unpacks to more than is searched"]
    assert peak < 96 << 20


def test_large_member_is_searched_as_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_IN_MEMORY_BYTES", 1 << 16)
    text = NEEDLE.text.encode()
    put(folder / "a.gz", gzip.compress(bytes((1 << 16) - 7) + text + bytes(1 << 20) + text))
    put(folder / "b.gz", gzip.compress(gzip.compress(os.urandom(1 << 17))))
    result = scan([folder], [NEEDLE])
    assert [hit.offset for hit in result.hits] == [(1 << 16) - 7, (1 << 16) - 7 + len(text) + (1 << 20)]
    assert [name for name, _ in result.not_scanned] == ["b.gz"]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("gzip", gzip.compress(b"x" * 999)[:-9]),
        ("gzip checksum", gzip.compress(b"x" * 999)[:-8] + bytes(8)),
        ("zip", b"PK\x03\x04 broken"),
        ("bzip2", b"BZh9 broken"),
        ("xz", b"\xfd7zXZ\x00 broken"),
        ("zstd", b"\x28\xb5\x2f\xfd broken"),
        ("parquet", b"PAR1 broken"),
        ("arrow", b"ARROW1 broken"),
        ("zlib cut", zlib.compress(os.urandom(200_000))[:150_000]),
    ],
)
def test_damaged_container_is_not_called_clean(folder: Path, name: str, damaged: bytes) -> None:
    put(folder / "file", damaged)
    assert [path for path, _ in scan([folder], [NEEDLE]).not_scanned] == ["file"]


def test_what_comes_before_the_damage_is_searched(folder: Path) -> None:
    put(folder / "cut.gz", gzip.compress(NEEDLE.text.encode() + os.urandom(300_000))[:200_000])
    result = scan([folder], [NEEDLE])
    assert ("gzip",) in {hit.layers for hit in result.hits}
    assert [path for path, _ in result.not_scanned] == ["cut.gz"]


def test_encrypted_archive_is_not_called_clean(folder: Path) -> None:
    path = put(folder / "a.zip", b"")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("member", b"data")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the central directory says: encrypted
    path.write_bytes(raw)
    assert scan([folder], [NEEDLE]).not_scanned == (("a.zip", "zip: a member is encrypted"),)


@pytest.mark.parametrize("data", [b"he said", b"x\x9c no zlib", b"\xff\xff\xff\xff no arrow", b""])
def test_text_that_begins_like_a_container_is_no_damaged_one(folder: Path, data: bytes) -> None:
    put(folder / "file", data)
    assert scan([folder], [NEEDLE]).is_clean


@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=60),
    magic=st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1", b"ARROW1", b"x\x9c"]),
)
def test_any_file_is_searched_or_said_not_to_be(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(magic + data + NEEDLE.text.encode())
    assert [hit.needle for hit in scan([path], [NEEDLE], must_be_private=False).hits] == [0]


def test_links_pipes_and_missing_files(folder: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", NEEDLE.text.encode())
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe", 0o600)
    result = scan([folder, tmp_path / "absent"], [NEEDLE])
    assert result.hits == ()
    assert [name for name, _ in result.not_scanned] == ["absent"]


def test_what_others_may_read_is_named(folder: Path) -> None:
    put(folder / "tight", b"x")
    put(folder / "loose", b"x").chmod(0o640)
    put(folder / "sub/x", b"x")
    (folder / "sub").chmod(0o755)
    assert scan([folder], [NEEDLE]).loose == ("loose", "sub")


def test_what_claims_to_be_sealed_must_look_it(folder: Path) -> None:
    put(folder / "good.env", b"FEDWENV1" + os.urandom(20_000))
    put(folder / "plain.env", b"FEDWENV1" + b"plain text " * 2_000)
    put(folder / "bare.env", os.urandom(20_000))
    assert scan([folder], [NEEDLE], must_be_sealed=lambda path: path.suffix == ".env").unsealed == (
        "bare.env",
        "plain.env",
    )


def test_hits_are_bounded(folder: Path) -> None:
    put(folder / "full", NEEDLE.text.encode() * 5000)
    assert len(scan([folder], [NEEDLE]).hits) == artifacts.MAX_HITS


def test_token_runs_need_eight_tokens() -> None:
    short = Needle(text=OTHER.text, token_ids=tuple(range(1, 8)))
    long = Needle(text=OTHER.text, token_ids=tuple(range(1, 9)))
    assert not any(encoding.startswith("int") for _, encoding in needle_forms([short]).values())
    assert {e for _, e in needle_forms([long]).values() if e.startswith("int")} == {"int16", "int32", "int64"}


def test_section_passes_fails_and_is_inconclusive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra site")

    def section(name: str) -> Verdict:
        scratch = tmp_path / name
        scratch.mkdir()
        return artifact_section([folder], [NEEDLE], scratch).verdict

    assert section("no file") is Verdict.INCONCLUSIVE
    put(folder / "log", b"clean")
    assert section("clean") is Verdict.PASS
    broken = put(folder / "broken", b"PK\x03\x04")
    assert section("broken") is Verdict.INCONCLUSIVE
    broken.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(artifact_control, "PACKERS", {"unknown": lambda data: data[::-1]})
        assert section("blind search") is Verdict.INCONCLUSIVE
    put(folder / "leak", NEEDLE.text.encode())
    assert section("leak") is Verdict.FAIL
