"""``fedward bench vault``: sealing and opening against raw AES-256-GCM, file to file, and the memory it takes.

*Raw* is one AES-256-GCM context over the whole file, ``update_into`` in pieces of 1 MiB, the same two files; so both
sides read, encrypt and write the same bytes. Files lie in memory (tmpfs) where there is such a place: a disk would be
measured otherwise. Arms alternate; the least time of each counts. Peak memory is that of a fresh process.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from fedward.client.sealed_files import open_file, seal_file
from fedward.common.envelope.header import Compression, Context
from fedward.common.envelope.recipients import SlotKey
from fedward.common.envelope.rewrap import rewrap

_PIECE_BYTES = 1 << 20
_CONTEXT = Context(kind="bench", name="vault")
_MIN_RATIO = 0.8
_MAX_PEAK_MB = 16.0
_MAX_PEAK_DIFFERENCE_MB = 2.0
_MAX_REWRAP_RATIO = 1.5
_SMALL_BYTES = 1 << 20


def measure(*, size_mb: int, repeats: int) -> dict[str, object]:
    """All figures and the verdict.

    Args:
        size_mb: MiB of plaintext.
        repeats: turns of the alternating arms; at least 5 for figures that count.
    """
    home = Path("/dev/shm")  # noqa: S108 - tmpfs; the folder below has a random name and mode 0700
    parent = home if os.access(home, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        figures = _times(Path(folder), size_mb << 20, repeats)
    peaks = {mb: _peak_of_a_process(mb, parent) for mb in (64, size_mb)}
    figures |= {"size_mb": size_mb, "repeats": repeats, "medium": "memory" if parent else "disk"}
    figures |= {"peak_memory_mb": round(max(peaks.values()), 2), "peak_memory_mb_of_64": round(peaks[64], 2)}
    checks = {
        "seal_over_raw": float(str(figures["seal_over_raw"])) >= _MIN_RATIO,
        "open_over_raw": float(str(figures["open_over_raw"])) >= _MIN_RATIO,
        "rewrap_over_small": float(str(figures["rewrap_over_small"])) <= _MAX_REWRAP_RATIO,
        "peak_memory_mb": max(peaks.values()) <= _MAX_PEAK_MB,
        "constant_memory": abs(peaks[64] - peaks[size_mb]) <= _MAX_PEAK_DIFFERENCE_MB,
    }
    failed = [name for name, is_met in checks.items() if not is_met]
    return {**figures, "failed": failed, "verdict": "FAIL" if failed else "ok"}


def _times(folder: Path, size: int, repeats: int) -> dict[str, object]:
    plain, sealed, opened, raw = (folder / name for name in ("plain", "sealed", "opened", "raw"))
    _write_random(plain, size)
    slot = SlotKey(slot_id=bytes(16), key=secrets.token_bytes(32))
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    tag = _raw_encrypt(plain, raw, key, nonce)
    arms: dict[str, Callable[[], object]] = {
        "raw_encrypt": lambda: _raw_encrypt(plain, raw, key, nonce),
        "seal": lambda: seal_file(plain, sealed, [slot], context=_CONTEXT, compression=Compression.NONE),
        "raw_decrypt": lambda: _raw_decrypt(raw, opened, key, nonce, tag),
        "open": lambda: open_file(sealed, opened, [slot], max_plaintext_bytes=size),
    }
    least = dict.fromkeys(arms, float("inf"))
    for arm in arms.values():
        arm()  # Warms pages and leaves every target there: freeing the old one is a quarter of the time, for all alike.
    for _ in range(repeats):
        for name, arm in arms.items():
            least[name] = min(least[name], _cpu_s(arm))
    return {
        "seal_over_raw": round(least["raw_encrypt"] / least["seal"], 3),
        "open_over_raw": round(least["raw_decrypt"] / least["open"], 3),
        "seal_gb_per_cpu_s": round(size / least["seal"] / 1e9, 2),
        "open_gb_per_cpu_s": round(size / least["open"] / 1e9, 2),
        "rewrap_over_small": _rewrap_ratio(folder, sealed, slot, repeats),
    }


def _rewrap_ratio(folder: Path, large: Path, slot: SlotKey, repeats: int) -> float:
    """Re-wrapping the large file against a small one."""
    plain, small = folder / "small-plain", folder / "small"
    _write_random(plain, _SMALL_BYTES)
    seal_file(plain, small, [slot], context=_CONTEXT, compression=Compression.NONE)
    least = {large: float("inf"), small: float("inf")}
    for _ in range(20 * repeats):
        for path in least:
            least[path] = min(least[path], _cpu_s(lambda path=path: rewrap(path, [slot], [slot])))  # type: ignore[misc]
    return round(least[large] / least[small], 2)


def _cpu_s(arm: Callable[[], object]) -> float:
    start = time.process_time()
    arm()
    return time.process_time() - start


def _write_random(path: Path, size: int) -> None:
    piece = secrets.token_bytes(_PIECE_BYTES)
    with path.open("wb", buffering=0) as file:
        for _ in range(size // _PIECE_BYTES):
            file.write(piece)


def _raw_encrypt(source: Path, target: Path, key: bytes, nonce: bytes) -> bytes:
    context = Cipher(AES256(key), GCM(nonce)).encryptor()
    _through(context.update_into, source, target)
    context.finalize()
    return context.tag


def _raw_decrypt(source: Path, target: Path, key: bytes, nonce: bytes, tag: bytes) -> None:
    context = Cipher(AES256(key), GCM(nonce, tag)).decryptor()
    _through(context.update_into, source, target)
    context.finalize()


def _through(update_into: Callable[[memoryview, bytearray], int], source: Path, target: Path) -> None:
    """Pieces of 1 MiB through a cipher, from file to file, durable and renamed as ours is."""
    piece, out = bytearray(_PIECE_BYTES), bytearray(_PIECE_BYTES + 16)
    fresh = target.with_name(f".{target.name}.fresh")
    with source.open("rb", buffering=0) as plain, fresh.open("wb", buffering=0) as sealed:
        while count := plain.readinto(piece):
            written = update_into(memoryview(piece)[:count], out)
            sealed.write(memoryview(out)[:written])
        os.fsync(sealed.fileno())
    fresh.replace(target)


_PROBE = """
import json, sys, tempfile
from pathlib import Path
from fedward.simulations.benchmarks import vault
with tempfile.TemporaryDirectory(dir=sys.argv[2] or None) as folder:
    before = vault.peak_kib()
    vault.round_trip(Path(folder), int(sys.argv[1]) << 20)
    print(json.dumps((vault.peak_kib() - before) / 1024))
"""


def peak_kib() -> int:
    """The most memory this process had. Not ``ru_maxrss``: that remembers the process which started this one."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def round_trip(folder: Path, size: int) -> None:
    """Write, seal and open ``size`` random bytes."""
    plain, sealed, opened = (folder / name for name in ("plain", "sealed", "opened"))
    _write_random(plain, size)
    slot = SlotKey(slot_id=bytes(16), key=secrets.token_bytes(32))
    seal_file(plain, sealed, [slot], context=_CONTEXT, compression=Compression.NONE)
    open_file(sealed, opened, [slot], max_plaintext_bytes=size)


def _peak_of_a_process(size_mb: int, parent: Path | None) -> float:
    """MiB that a fresh process grew by above its imports."""
    command = [sys.executable, "-c", _PROBE, str(size_mb), str(parent or "")]
    done = subprocess.run(command, capture_output=True, check=True, timeout=600)  # noqa: S603 - our own interpreter
    return float(json.loads(done.stdout))
