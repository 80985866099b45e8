"""The vault as its callers use it: what is stored comes back, to whom it may, with an entry before it does."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import (
    ChunkCorruptError,
    ConfigError,
    ContextMismatchError,
    EnvelopeError,
    EnvelopeTooLargeError,
    ObjectNotFoundError,
    ObjectReplacedError,
    VaultError,
    WrongRecipientError,
)
from fedward.common.vault.kinds import EPHEMERAL, SITE_DATA, Kind
from fedward.common.vault.roles import Action, Role
from tests.vaults import OTHER_RUN, RUN, entries, files, new_site, open_site, principal, put, writer

DAEMON = principal(Role.DAEMON)
STEWARD = principal(Role.STEWARD)
WRITTEN = sorted(set(Kind) - {Kind.INDEX})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    with new_site(tmp_path / "site") as opened:
        yield opened


def object_file(site: SiteFolder, object_id: str) -> Path:
    return next(site.path.rglob(f"{object_id}.fwe"))


@pytest.mark.parametrize("kind", [Kind.CHECKPOINT, Kind.SHARD])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(size=st.sampled_from([0, 1, 65_535, 65_536, 65_537, 131_572]), seed=st.binary(min_size=1, max_size=8))
def test_reading_gives_what_was_put(site: SiteFolder, kind: Kind, size: int, seed: bytes) -> None:
    data = (seed * (size // len(seed) + 1))[:size]
    object_id = put(site, kind, data)
    assert site.vault.read(object_id, principal=DAEMON) == data


def test_durable_object_is_there_after_a_restart(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"weights", name="round 3")
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(object_id, principal=DAEMON) == b"weights"
        assert [info.name for info in again.vault.find(Kind.CHECKPOINT)] == ["round 3"]


@pytest.mark.parametrize("kind", sorted(EPHEMERAL))
def test_ephemeral_object_has_no_slot_and_does_not_outlive_its_process(site: SiteFolder, kind: Kind) -> None:
    object_id = put(site, kind, b"a tokenised record")
    sealed = object_file(site, object_id).read_bytes()
    assert b"record" not in sealed
    assert files(site.path / "runs", ".slot") == []
    site.close()
    with open_site(site.path) as again:
        with pytest.raises(ObjectNotFoundError):
            again.vault.read(object_id, principal=DAEMON)
        assert files(again.path / "runs") == []


def test_names_and_contents_stand_nowhere_in_the_clear(site: SiteFolder) -> None:
    put(site, Kind.TRAINING, b"canary-content" * 9, name="canary-name", run_id=SITE_DATA)
    found = [path for path in files(site.path) if b"canary" in path.read_bytes() or "canary" in path.name]
    assert found == []


def test_older_object_put_back_is_refused(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"old")
    old = object_file(site, object_id).read_bytes()
    site.vault.reseal(Kind.CHECKPOINT)
    object_file(site, object_id).write_bytes(old)
    with pytest.raises(ObjectReplacedError):
        site.vault.read(object_id, principal=DAEMON)
    assert entries(site, "access")[-1]["reason"] == "replaced"


@pytest.mark.parametrize("other", ["name", "kind", "run"])
def test_object_copied_to_another_place_is_refused(site: SiteFolder, other: str) -> None:
    mine = put(site, Kind.CHECKPOINT, b"mine")
    kind = Kind.SCORES if other == "kind" else Kind.CHECKPOINT
    theirs = put(site, kind, b"their", run_id=OTHER_RUN if other == "run" else RUN)
    object_file(site, theirs).write_bytes(object_file(site, mine).read_bytes())
    with pytest.raises(ObjectReplacedError):
        site.vault.read(theirs, principal=DAEMON)


@pytest.mark.parametrize(
    ("other", "error"), [("name", ContextMismatchError), ("kind", WrongRecipientError), ("run", WrongRecipientError)]
)
def test_copied_object_would_not_open_either_if_the_index_named_it(
    site: SiteFolder, other: str, error: type[EnvelopeError], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = put(site, Kind.CHECKPOINT, b"mine")
    kind = Kind.SCORES if other == "kind" else Kind.CHECKPOINT
    theirs = put(site, kind, b"their", run_id=OTHER_RUN if other == "run" else RUN)
    object_file(site, theirs).write_bytes(object_file(site, mine).read_bytes())
    monkeypatch.setattr("fedward.common.vault.store.file_digest", lambda _: site.vault.info(theirs).digest)
    with pytest.raises(error):
        site.vault.read(theirs, principal=DAEMON)
    assert entries(site, "access")[-1]["reason"] == "damaged"


def test_changed_chunk_is_refused(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"x" * 100)
    path = object_file(site, object_id)
    raw = bytearray(path.read_bytes())
    raw[8192] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ChunkCorruptError):
        site.vault.open(object_id, principal=DAEMON)


@pytest.mark.parametrize("fault", ["older", "missing", "changed"])
def test_index_that_was_replaced_stops_the_start(site: SiteFolder, fault: str) -> None:
    put(site, Kind.CHECKPOINT)
    path = site.path / "runs" / RUN.hex() / "index.fwe"
    old = path.read_bytes()
    put(site, Kind.CHECKPOINT)
    site.close()
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(old if fault == "older" else path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ObjectReplacedError):
        open_site(site.path)


def test_deleted_object_is_gone_and_others_stay(site: SiteFolder) -> None:
    first = put(site, Kind.TRAINING, b"first", run_id=SITE_DATA)
    second = put(site, Kind.TRAINING, b"second", run_id=SITE_DATA)
    path = object_file(site, first)
    site.vault.delete(first, principal=STEWARD)
    assert not path.exists()
    with pytest.raises(ObjectNotFoundError):
        site.vault.read(first, principal=DAEMON)
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(second, principal=DAEMON) == b"second"


def test_open_gives_a_file_that_cannot_be_written_and_ends(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"0123456789")
    with site.vault.open(object_id, principal=DAEMON) as file:
        assert (file.read(3), file.seek(-2, io.SEEK_END), file.read()) == (b"012", 8, b"89")
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_path_in_memory_serves_a_library_and_is_gone_after(site: SiteFolder) -> None:
    before = files(site.path)
    object_id = put(site, Kind.CHECKPOINT, b"0123456789" * 10_000)
    with site.vault.as_path(object_id, principal=DAEMON) as path:
        assert path.read_bytes() == b"0123456789" * 10_000
        with path.open("r+b", buffering=0) as file, pytest.raises(OSError, match="not permitted"):
            file.write(b"x")
    assert not path.exists()
    assert len(files(site.path)) == len(before) + 4  # object, index and their slots; nothing else was written


def test_more_plaintext_than_allowed_is_refused(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"0123456789")
    with pytest.raises(EnvelopeTooLargeError):
        site.vault.read(object_id, principal=DAEMON, max_bytes=9)


def test_object_of_an_unknown_id_is_not_found(site: SiteFolder) -> None:
    with pytest.raises(ObjectNotFoundError):
        site.vault.read("00" * 16, principal=DAEMON)


@pytest.mark.parametrize("name", ["", "x" * 257, "\ud800"])
def test_name_that_cannot_be_is_refused(site: SiteFolder, name: str) -> None:
    with pytest.raises(ConfigError):
        put(site, Kind.CHECKPOINT, name=name)


def test_run_id_that_cannot_be_is_refused(site: SiteFolder) -> None:
    with pytest.raises(ConfigError):
        put(site, Kind.CHECKPOINT, run_id=b"short")


def test_writing_opens_nothing(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    with pytest.raises(VaultError, match="does not open"):
        site.vault.read(object_id, principal=DAEMON, action=Action.WRITE)


def test_find_tells_by_kind_name_and_run(site: SiteFolder) -> None:
    for run_id in (RUN, OTHER_RUN):
        for name in ("a", "b"):
            put(site, Kind.CHECKPOINT, name=name, run_id=run_id)
    assert len(site.vault.find()) == 4
    assert [info.name for info in site.vault.find(Kind.CHECKPOINT, run_id=RUN)] == ["a", "b"]
    assert {info.run_id for info in site.vault.find(name="a")} == {RUN, OTHER_RUN}
    assert site.vault.find(Kind.ADAPTER) == ()


def test_source_that_fails_leaves_nothing(site: SiteFolder) -> None:
    class Broken(io.RawIOBase):
        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    before = files(site.path, ".fwe")
    with pytest.raises(VaultError):
        site.vault.put(Kind.CHECKPOINT, "x", Broken(), run_id=RUN, principal=writer(Kind.CHECKPOINT))
    assert files(site.path, ".fwe") == before
    assert files(site.path, ".next") == []


class Endless(io.RawIOBase):
    """Bytes that are nowhere in memory."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what the envelope asks with
        size = min(len(buffer), self._left)
        self._left -= size
        return size


def test_large_object_is_put_in_constant_memory(site: SiteFolder) -> None:
    num_bytes = 48 << 20
    tracemalloc.start()
    try:
        object_id = site.vault.put(
            Kind.CHECKPOINT, "big", Endless(num_bytes), run_id=RUN, principal=writer(Kind.CHECKPOINT)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert site.vault.info(object_id).num_bytes > num_bytes


def test_large_object_is_opened_and_closed_in_its_own_size_of_memory(site: SiteFolder) -> None:
    num_bytes = 24 << 20
    object_id = site.vault.put(
        Kind.CHECKPOINT, "big", Endless(num_bytes), run_id=RUN, principal=writer(Kind.CHECKPOINT)
    )
    tracemalloc.start()
    try:
        with site.vault.open(object_id, principal=DAEMON) as file:
            assert file.seek(0, io.SEEK_END) == num_bytes
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < num_bytes + (8 << 20)
