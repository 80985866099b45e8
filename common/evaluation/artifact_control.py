"""Positive control of the search of artefacts: one planted file for each encoding and container must be found.

Invariants: what is planted is an invented sentence of its own, never a record or a canary of the run; a control that
cannot plant something says so and does not hold. Not handled here: the search (``artifacts``) and removing the files
(the caller gave the scratch folder).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from fedward.common.evaluation.artifacts import MAX_DEPTH, Needle, needle_forms, scan
from fedward.common.evaluation.containers import zstd
from fedward.common.evaluation.membership import Control
from fedward.common.evaluation.verdicts import Cell, Limits, Section, Verdict

PLANTED = Needle(text="探针 control needle: “样本” 50 % + 1, never a patient", token_ids=tuple(range(40_000, 40_012)))
_PADDING = b"\x00.. padding .. "


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", data)
    return out.getvalue()


def _parquet(data: bytes) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"text": [data] * 3}), out, compression="zstd")
    return out.getvalue()


def _arrow(data: bytes) -> bytes:
    import pyarrow as pa
    import pyarrow.ipc

    out, table = io.BytesIO(), pa.table({"text": [data] * 3})
    with pyarrow.ipc.new_file(out, table.schema, options=pyarrow.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return out.getvalue()


def _nested(data: bytes) -> bytes:
    for _ in range(MAX_DEPTH):
        data = gzip.compress(data)
    return data


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zip": _zip,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "parquet": _parquet,
    "arrow": _arrow,
    "nested": _nested,
}


def plant(folder: Path) -> dict[str, Path]:
    """Write one file for each form of the planted text and for each container; name and path of each.

    Raises:
        ImportError: Parquet and Arrow cannot be written here.
    """
    planted: dict[str, Path] = {}
    for number, (form, (_, encoding)) in enumerate(needle_forms([PLANTED]).items()):
        planted[f"{encoding} {number}"] = _write(folder / f"form-{number}", _PADDING + form + _PADDING)
    for name, pack in PACKERS.items():
        planted[name] = _write(folder / f"packed-{name}", pack(_PADDING + PLANTED.text.encode() + _PADDING))
    return planted


def _write(path: Path, data: bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(data)
    return path


def positive_control(folder: Path) -> Control:
    """Plant in an empty scratch folder, search it, and hold that every file was found."""
    try:
        planted = plant(folder)
    except ImportError:
        return Control(name="planted files", interval=None, holds=False, note="Parquet and Arrow are not installed")
    found = {hit.path for hit in scan([folder], [PLANTED], must_be_private=False).hits}
    missed = [name for name, path in planted.items() if path.name not in found]
    note = f"missed: {', '.join(missed)}" if missed else f"{len(planted)} files found"
    return Control(name="planted files", interval=None, holds=not missed, note=note)


def artifact_section(folders: list[Path], needles: list[Needle], scratch: Path) -> Section:
    """Search a run's folders with today's needles, beside the control.

    Args:
        folders: of the run and the sites.
        needles: of the run.
        scratch: empty; files of the control stay in it.
    """
    result = scan(folders, needles)
    hits = len(result.hits) + len(result.loose) + len(result.unsealed)
    verdict = (
        Verdict.FAIL if hits else Verdict.INCONCLUSIVE if result.not_scanned or not result.num_files else Verdict.PASS
    )
    cell = Cell(
        metric="hits",
        group="artifacts",
        estimate=float(hits),
        low=float(hits),
        high=float(hits),
        num_in=result.num_files,
        limits=Limits(passes=0.0, fails=0.0),
        headline=True,
        verdict=verdict,
        note=f"{len(result.not_scanned)} files not scanned" if result.not_scanned else "",
    )
    places = [
        f"{h.path}: needle {h.needle}, {h.encoding}, at {h.offset} of {'/'.join(h.layers) or 'file'}"
        for h in result.hits
    ]
    places += [f"{path}: others may read it" for path in result.loose]
    places += [f"{path}: not sealed" for path in result.unsealed]
    places += [f"{path}: not scanned, {reason}" for path, reason in result.not_scanned]
    return Section(section_id="artifacts", cells=(cell,), controls=(positive_control(scratch),), notes=tuple(places))


__all__ = ["artifact_section", "PACKERS", "plant", "PLANTED", "positive_control"]
