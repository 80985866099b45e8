"""Real libraries inside the scratch: what they write behind one's back is there, and gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "CANARY-Mustermann-4711"
CHILD = """
import json, os, sys, tempfile
from pathlib import Path
from fedward.common.shredding.media import Medium, Storage, Verdict
from fedward.common.shredding.scratch import Scratch, ScratchPlace

folder, canary = Path(sys.argv[1]), sys.argv[2]
medium = Medium(fs_type="tmpfs", storage=Storage.MEMORY, verdict=Verdict.MEMORY)
with Scratch(ScratchPlace(folder=folder, medium=medium, is_memory=True)) as scratch:
    import datasets, huggingface_hub.constants, torch
    rows = datasets.load_dataset("json", data_files=sys.argv[3], split="train", keep_in_memory=True)
    rows = rows.map(lambda row: {"twice": row["text"] * 2})
    torch.save({"text": canary}, Path(tempfile.gettempdir(), "state.pt"))
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(canary)
    inside = [str(path) for path in folder.rglob("*") if path.is_file()]
    caches = [str(datasets.config.HF_DATASETS_CACHE), huggingface_hub.constants.HF_HUB_CACHE]
    with_canary = sum(canary.encode() in Path(path).read_bytes() for path in inside)
print(json.dumps({
    "late": scratch.late_imports, "inside": len(inside), "with_canary": with_canary, "caches": caches,
    "removed": scratch.shredded.num_files, "rows": rows[0]["twice"].count(canary), "left": folder.exists(),
}))
"""


@pytest.mark.slow
def test_nothing_that_real_libraries_cached_is_left_anywhere(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    home, outer, folder = tmp_path / "home", tmp_path / "outer", tmp_path / "scratch"
    for made in (home, outer, folder):
        made.mkdir(mode=0o700)
    source = tmp_path / "records.jsonl"
    source.write_text(json.dumps({"text": CANARY}) + "\n", "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "TMP"))}
    environment = {**kept, "HOME": str(home), "TMPDIR": str(outer)}
    words = [sys.executable, "-W", "ignore", "-c", CHILD, str(folder), CANARY, str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True, env=environment)
    facts = json.loads(done.stdout.splitlines()[-1])
    assert (facts["late"], facts["rows"], facts["left"]) == ([], 2, False)
    assert facts["inside"] >= facts["with_canary"] >= 2  # the control: they did write it
    assert facts["removed"] >= facts["inside"]
    assert all(Path(cache).is_relative_to(folder) for cache in facts["caches"])
    left = [path for root in (home, outer) for path in root.rglob("*") if path.is_file()]
    assert [path for path in left if CANARY.encode() in path.read_bytes()] == []
