"""The sealed stream: what is written when, where, and how little a crash or a stranger costs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedward.common.envelope.recipients import X25519Identity
from fedward.common.errors import ConfigError, ContextMismatchError, LogError, WrongRecipientError
from fedward.common.logs.logger import Drop, Log
from fedward.common.logs.reading import in_order, parse_segment
from fedward.common.logs.segments import MAX_RUNS, MAX_SEGMENT_BYTES, MAX_UNWRITTEN, SealedStream
from fedward.common.logs.shelves import SITE, EnvelopeShelf, SegmentName
from tests.log_sinks import AT_S, RUN, Clocks, MemoryShelf

PLAN = bytes(32)


class Scene:
    """A log on a shelf, and time."""

    def __init__(self) -> None:
        self.clocks = Clocks()
        self.shelf = MemoryShelf()
        self.log = Log(clock_s=self.clocks.wall_s)

    @contextmanager
    def kept(self) -> Iterator[None]:
        stream = SealedStream(self.shelf, now_s=self.clocks.now_s, random_bytes=lambda size: b"\xaa" * size)
        with self.log.kept_in(stream):
            yield

    def sent(self, round_number: int = 1, run: bytes = RUN) -> None:
        self.log.event("round.sent", run=run, round=round_number, attempt=0)

    def written(self) -> list[str]:
        """Names of all events on the shelf, in order."""
        segments = [parse_segment(raw) for raw in self.shelf.segments.values()]
        assert all(segment.num_unreadable == 0 for segment in segments)
        return [line.event for _, line in in_order(segments)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_first_event_is_written_at_once_and_later_ones_within_five_seconds(scene: Scene) -> None:
    with scene.kept():
        assert scene.written() == ["log.opened"]
        scene.sent()
        scene.clocks.now = 4.9
        scene.log.tick()
        assert scene.written() == ["log.opened"]
        scene.clocks.now = 5.0
        scene.log.tick()
        assert scene.written() == ["log.opened", "round.sent"]


def test_one_segment_is_one_envelope_that_grows(scene: Scene) -> None:
    with scene.kept():
        for step in range(1, 4):
            scene.sent(step)
            scene.clocks.now += 5
            scene.log.tick()
        assert scene.shelf.num_puts == 4
        assert len(scene.shelf.segments) == 1


def test_nothing_is_written_where_nothing_happens(scene: Scene) -> None:
    with scene.kept():
        for _ in range(50):
            scene.clocks.now += 5
            scene.log.tick()
        assert scene.shelf.num_puts == 1


def test_segment_ends_after_ten_minutes(scene: Scene) -> None:
    with scene.kept():
        scene.clocks.now = 599.0
        scene.sent()
        assert len(scene.shelf.segments) == 1
        scene.clocks.now = 600.0
        scene.sent()
    assert len(scene.shelf.segments) == 2
    assert [name.opened_at_s for name in scene.shelf.names()] == [AT_S, AT_S + 600]


def test_segment_is_at_most_a_mebibyte(scene: Scene) -> None:
    with scene.kept():
        for step in range(12_000):
            scene.clocks.now += 0.01
            scene.sent(step)
    sizes = [len(raw) for raw in scene.shelf.segments.values()]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_SEGMENT_BYTES
    assert min(sizes[:-1]) > MAX_SEGMENT_BYTES - 4096
    assert scene.written().count("round.sent") == 12_000


def test_run_that_began_here_has_segments_of_its_own(scene: Scene) -> None:
    with scene.kept():
        scene.sent()
        scene.log.event("plan.accepted", run=RUN, plan=PLAN)
        scene.sent()
        scene.log.event("site.state", state="running")
    by_run = {
        name.run_id: [line.event for line in parse_segment(raw).lines] for name, raw in scene.shelf.segments.items()
    }
    assert by_run == {
        SITE: ["log.opened", "round.sent", "site.state", "log.closed"],
        RUN: ["plan.accepted", "round.sent"],
    }


def test_runs_of_a_stranger_open_no_segments(scene: Scene) -> None:
    with scene.kept():
        for number in range(100):
            scene.log.event("request.refused", run=number.to_bytes(16, "big"), round=0, attempt=0, code="PLAN_MISMATCH")
    assert len(scene.shelf.segments) == 1


def test_no_more_than_eight_runs_have_segments_that_grow(scene: Scene) -> None:
    runs = [bytes([number]) * 16 for number in range(1, 21)]
    with scene.kept():
        for run in runs:
            scene.log.event("plan.accepted", run=run, plan=PLAN)
        before = set(scene.shelf.names())
        scene.clocks.now = 601.0
        for run in runs:
            scene.sent(run=run)
    late = {name.run_id for name in scene.shelf.names() if name.opened_at_s > AT_S}
    assert late == {SITE, *runs[-MAX_RUNS:]}
    assert before


def test_flood_between_two_writes_is_cut_and_counted(scene: Scene) -> None:
    with scene.kept():
        for step in range(MAX_UNWRITTEN + 7):
            scene.sent(step)
        assert scene.log.dropped[Drop.OVERRUN] == 7
        scene.clocks.now = 5.0
        scene.log.tick()
        scene.sent()
    assert "log.dropped" in scene.written()
    assert scene.written().count("round.sent") == MAX_UNWRITTEN + 1


def test_shelf_that_fails_for_a_while_loses_nothing(scene: Scene) -> None:
    with scene.kept():
        scene.shelf.error = OSError(28, "no space")
        for step in range(3):
            scene.clocks.now += 5
            scene.sent(step)
        assert scene.log.dropped[Drop.SINK_FAILED] == 3
        scene.shelf.error = None
        scene.clocks.now += 5
        scene.log.tick()
        assert scene.written().count("round.sent") == 3


def test_full_segment_that_cannot_be_written_is_tried_again(scene: Scene) -> None:
    with scene.kept():
        scene.sent()
        scene.shelf.error = OSError(28, "no space")
        scene.clocks.now = 700.0
        scene.sent(2)
        scene.sent(3)
        assert scene.log.dropped == {Drop.SINK_FAILED: 1, Drop.OVERRUN: 1}  # not tried again at once
        scene.shelf.error = None
        scene.clocks.now = 705.0
        scene.sent(4)
    assert scene.written().count("round.sent") == 2


def test_crash_loses_what_came_within_the_last_five_seconds_alone(scene: Scene) -> None:
    stream = SealedStream(scene.shelf, now_s=scene.clocks.now_s)
    kept = scene.log.kept_in(stream)
    kept.__enter__()
    for second in range(1, 60):
        scene.clocks.now = float(second)
        scene.sent(second)
        scene.log.tick()
        last = max(
            (line.fields.get("round", 0) for _, line in in_order([*map(parse_segment, scene.shelf.segments.values())])),
            key=int,
        )
        assert second - int(last) < 5


# ---------------------------------------------------------------------------------------------------- envelopes

KEY = X25519Identity.generate()


def shelf_in(folder: Path) -> EnvelopeShelf:
    return EnvelopeShelf(folder, [KEY.recipient], identities=[KEY])


def name_of(number: int = 1, run_id: bytes = RUN) -> SegmentName:
    return SegmentName(opened_at_s=AT_S, boot="aa" * 4, number=number, run_id=run_id)


def test_segments_come_back_from_envelopes(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(2), b"second")
    shelf.put(name_of(1, SITE), b"first")
    shelf.put(name_of(1, SITE), b"first, longer")
    assert shelf.names() == (name_of(1, SITE), name_of(2))
    assert [shelf.read(name) for name in shelf.names()] == [b"first, longer", b"second"]
    shelf.delete(name_of(2))
    shelf.delete(name_of(2))
    assert shelf.names() == (name_of(1, SITE),)


def test_envelopes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        shelf = shelf_in(tmp_path / "logs")
        shelf.put(name_of(), b"x")
    finally:
        os.umask(before)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").rglob("*")}
    assert modes == {True: 0o700, False: 0o600}
    assert not [path for path in (tmp_path / "logs").rglob("*") if b"round" in path.name.encode()]


@pytest.mark.parametrize("spoil", ["open", "link"])
def test_folder_that_others_may_enter_is_refused(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "logs"
    if spoil == "open":
        folder.mkdir(mode=0o755)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        shelf_in(folder)


def test_segment_opens_for_its_readers_alone(tmp_path: Path) -> None:
    shelf_in(tmp_path / "logs").put(name_of(), b"x")
    stranger = EnvelopeShelf(tmp_path / "logs", [KEY.recipient], identities=[X25519Identity.generate()])
    with pytest.raises(WrongRecipientError):
        stranger.read(name_of())


def test_segment_under_another_name_does_not_open(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(1), b"x")
    shelf.put(name_of(2), b"y")
    first, second = sorted((tmp_path / "logs").rglob("*.fwe"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(ContextMismatchError):
        shelf.read(name_of(2))


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(), b"x")
    for stray in ("x.fwe", f"{name_of()}", ".fedward.tmp"):
        (tmp_path / "logs" / RUN.hex() / stray).write_bytes(b"")
    (tmp_path / "logs" / "other").mkdir()
    (tmp_path / "logs" / "other" / f"{name_of()}.fwe").write_bytes(b"")
    assert shelf.names() == (name_of(),)


def test_segment_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LogError):
        shelf_in(tmp_path / "logs").read(name_of())


@pytest.mark.parametrize("text", ["", "x", "1-aa-1", f"{name_of()} ", f"{name_of()}\n", str(name_of()).upper()])
def test_what_is_no_name_is_refused(text: str) -> None:
    assert SegmentName.parse(str(name_of()), RUN) == name_of()
    with pytest.raises(LogError):
        SegmentName.parse(text, RUN)
