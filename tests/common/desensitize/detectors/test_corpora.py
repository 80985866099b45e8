"""Manifests and the formats of public data sets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fedward.common.desensitize.detectors.corpora import Sentence, read_manifest
from fedward.common.errors import ConfigError

EXPECTED = Sentence("王芳在北京。", ((0, 2, "PERSON"), (3, 5, "LOC")))
FORMATS = {
    "spans": json.dumps({"text": "王芳在北京。", "spans": [[0, 2, "PERSON"], [3, 5, "GPE"]]}),
    "columns": "王 B-PER\n芳 I-PER\n在 O\n北 B-LOC\n京 I-LOC\n。 O\n",
    "slashes": "王芳/nr 在/o 北京/ns 。/o",
    "cluener": json.dumps(
        {"text": "王芳在北京。", "label": {"name": {"王芳": [[0, 1]]}, "address": {"北京": [[3, 4]]}}}
    ),
    "braces": "{{person_name:王芳}}在{{location:北京}}。",
}


def write_manifest(folder: Path, text: str, **changes: object) -> Path:
    data = text.encode()
    (folder / "data.txt").write_bytes(data)
    entry: dict[str, object] = {"name": "d", "path": "data.txt", "format": "spans", "licence": "own", "split": "train"}
    entry |= {"sha256": hashlib.sha256(data).hexdigest()} | changes
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    (folder / "manifest.toml").write_text("[[dataset]]\n" + "\n".join(lines) + "\n", "utf-8")
    return folder / "manifest.toml"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_sentence(name: str, tmp_path: Path) -> None:
    _, sentences = read_manifest(write_manifest(tmp_path, FORMATS[name], format=name))
    assert sentences == [EXPECTED]


def test_bioes_and_tabs_are_read_like_bio(tmp_path: Path) -> None:
    text = "王\tB_PER\r\n芳\tE_PER\r\n在\tO\r\n\r\n李\tS-PER\r\n"
    _, sentences = read_manifest(write_manifest(tmp_path, text, format="columns"))
    assert sentences == [Sentence("王芳在", ((0, 2, "PERSON"),)), Sentence("李", ((0, 1, "PERSON"),))]


def test_objects_over_several_lines_are_read(tmp_path: Path) -> None:
    text = json.dumps({"text": "王芳", "label": {"name": {"王芳": [[0, 1]]}}}, indent=2)
    _, sentences = read_manifest(write_manifest(tmp_path, text + "\n" + text, format="cluener"))
    assert sentences == [Sentence("王芳", ((0, 2, "PERSON"),))] * 2


def test_other_labels_are_left_out_and_the_longest_of_overlapping_ones_stays(tmp_path: Path) -> None:
    spans = [[0, 2, "ORG"], [0, 4, "ORG"], [4, 6, "PRODUCT"]]
    text = json.dumps({"text": "北京大学手机", "spans": spans})
    _, sentences = read_manifest(write_manifest(tmp_path, text))
    assert sentences[0].spans == ((0, 4, "ORG"),)


def test_a_data_set_says_in_the_model_what_it_is(tmp_path: Path) -> None:
    described, sentences = read_manifest(write_manifest(tmp_path, FORMATS["spans"], repeat=3))
    assert described[0]["licence"] == "own"
    assert described[0]["sentences"] == 1
    assert "path" not in described[0]
    assert len(sentences) == 3


REFUSED = {
    "a test split": {"split": "test"},
    "a dev split": {"split": "dev"},
    "no licence": {"licence": ""},
    "another file": {"sha256": "0" * 64},
    "a file that is not there": {"path": "gone.txt"},
    "an unknown format": {"format": "pickle"},
    "a wrong format": {"format": "cluener"},
    "an unknown key": {"extra": "x"},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_a_wrong_entry_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_manifest(write_manifest(tmp_path, FORMATS["braces"], **({"format": "braces"} | changes)))


@pytest.mark.parametrize("line", ["{", '{"text": 1, "spans": []}', '{"text": "王", "spans": [[0, 2, "PER"]]}', "[]"])
def test_a_damaged_line_is_refused_without_its_text(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read_manifest(write_manifest(tmp_path, line))
    assert line not in str(refused.value)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, FORMATS["spans"], sha256=hashlib.sha256(b"\xff\xfe").hexdigest())
    (tmp_path / "data.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_manifest(manifest)
