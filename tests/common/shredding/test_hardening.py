"""Hardening: what each measure reports is what the system says, in a process of its own."""

from __future__ import annotations

import copy
import json
import mmap
import resource
import subprocess
import sys

import pytest

from fedward.common.errors import ShreddingError
from fedward.common.shredding import hardening
from fedward.common.shredding.hardening import MAX_LOCKED_BYTES, Hardened, LockedBytes

SECRET = bytes(range(32))
linux = pytest.mark.skipif(sys.platform != "linux", reason="no Linux")


def in_child(code: str) -> object:
    """What a process of its own prints as JSON: these measures cannot be taken back."""
    preamble = "import json, os, resource, ctypes\nfrom fedward.common.shredding.hardening import *\n"
    words = [sys.executable, "-c", preamble + code]
    return json.loads(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


@linux
def test_core_dumps_are_off_for_good() -> None:
    code = "h = harden(); print(json.dumps([h.has_no_core, resource.getrlimit(resource.RLIMIT_CORE)]))"
    assert in_child(code) == [True, [0, 0]]


@linux
def test_process_is_not_dumpable() -> None:
    code = "h = harden(); print(json.dumps([h.is_undumpable, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)]))"
    assert in_child(code) == [True, 0]


@linux
def test_own_descriptors_and_mounts_are_still_read_afterwards() -> None:
    code = """
harden()
if os.geteuid() == 0:
    os.setuid(65534)
harden()
fd = os.open("/", os.O_RDONLY)
print(json.dumps([os.stat(f"/proc/self/fd/{fd}").st_ino > 0, len(open("/proc/self/mountinfo").read()) > 0]))
"""
    assert in_child(code) == [True, True]


def test_system_without_these_calls_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "_function", lambda _: None)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: (_ for _ in ()).throw(ValueError))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    hardened = hardening.harden()
    assert hardened == Hardened(has_no_core=False, is_undumpable=False)
    assert len(hardened.sentences) == 2


def test_all_reached_needs_no_sentence() -> None:
    assert Hardened(has_no_core=True, is_undumpable=True).sentences == ()


def test_key_is_held_and_the_given_copy_zeroed() -> None:
    given = bytearray(SECRET)
    with LockedBytes.of(given) as locked:
        assert bytes(locked.view) == SECRET
        assert len(locked) == 32
    assert given == bytes(32)


def test_key_is_zeroed_at_the_end_also_for_who_holds_a_view() -> None:
    locked = LockedBytes.of(SECRET)
    view = locked.view
    locked.close()
    assert bytes(view) == bytes(32)


def test_destroyed_key_is_not_given_out() -> None:
    locked = LockedBytes.of(SECRET)
    locked.close()
    locked.close()
    with pytest.raises(ShreddingError, match="destroyed"):
        _ = locked.view


@pytest.mark.parametrize("size", [0, -1, MAX_LOCKED_BYTES + 1, True, 1.0])
def test_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ShreddingError, match="holds 1 to"):
        LockedBytes(size)


def test_key_is_not_shown_copied_or_stored() -> None:
    with LockedBytes.of(SECRET) as locked:
        assert "32 locked bytes" in repr(locked)
        for take in (copy.copy, copy.deepcopy):
            with pytest.raises(ShreddingError, match="not copied"):
                take(locked)


@linux
def test_lock_is_what_the_kernel_says() -> None:
    with LockedBytes(4096) as locked:
        address = locked._address
        with open("/proc/self/smaps", encoding="ascii", errors="replace") as file:
            text = file.read()
        region = next(part for part in _regions(text) if part[0] <= address < part[1])
        assert locked.is_locked == ("lo" in region[2])
        assert locked.is_undumped == ("dd" in region[2])


def _regions(text: str) -> list[tuple[int, int, list[str]]]:
    """Start, end and flags of every mapping (proc(5))."""
    found: list[tuple[int, int, list[str]]] = []
    bounds = (0, 0)
    for line in text.splitlines():
        if "-" in line.split(" ", 1)[0]:
            start, end = line.split(" ", 1)[0].split("-")
            bounds = int(start, 16), int(end, 16)
        elif line.startswith("VmFlags:"):
            found.append((*bounds, line.split()[1:]))
    return found


@linux
def test_limit_of_locked_memory_is_met_without_an_error() -> None:
    code = """
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.geteuid() == 0:
    os.setuid(65534)
k = LockedBytes.of(b"key"); print(json.dumps([k.is_locked, bytes(k.view).decode()]))
"""
    assert in_child(code) == [False, "key"]


@linux
def test_forked_process_has_no_key() -> None:
    code = """
k = LockedBytes.of(b"key")
r, w = os.pipe()
if os.fork() == 0:
    try:
        k.view
    except Exception as error:
        os.write(w, type(error).__name__.encode() + bytes(k._map[:3]))
    os._exit(0)
os.wait()
print(json.dumps([os.read(r, 99).decode(), bytes(k.view).decode()]))
"""
    assert in_child(code) == ["ShreddingError\0\0\0", "key"]


def test_pages_without_advice_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_DONTDUMP", raising=False)
    with LockedBytes(8) as locked:
        assert not locked.is_undumped
