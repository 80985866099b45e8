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
from fedward.common.logs.logger import RING_EVENTS, Drop, Log
from fedward.common.logs.reading import Line, in_order, parse_segment
from fedward.common.logs.segments import MAX_SEGMENT_BYTES, MAX_UNWRITTEN_SEGMENTS, SealedStream
from fedward.common.logs.shelves import EnvelopeShelf, SegmentName
from tests.log_sinks import AT_S, RUN, Clocks, MemoryShelf


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

    def sent(self, round_number: int = 1) -> None:
        self.log.event("round.sent", run=RUN, round=round_number, attempt=0)

    def after(self, seconds: float) -> None:
        self.clocks.now += seconds
        self.log.tick()

    def written(self) -> list[str]:
        """Names of all events on the shelf, in order."""
        segments = [parse_segment(raw) for raw in self.shelf.segments.values()]
        assert all(segment.num_unreadable == 0 for segment in segments)
        return [line.event for _, line in in_order(segments)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_event_is_written_with_the_first_tick_after_five_seconds(scene: Scene) -> None:
    with scene.kept():
        assert scene.written() == ["log.opened"]
        scene.sent()
        scene.after(4.9)
        assert scene.written() == ["log.opened"]
        scene.after(0.1)
        assert scene.written() == ["log.opened", "round.sent"]


def test_one_segment_is_one_envelope_that_grows(scene: Scene) -> None:
    with scene.kept():
        for step in range(1, 4):
            scene.sent(step)
            scene.after(5)
        assert scene.shelf.num_puts == 4
        assert len(scene.shelf.segments) == 1
        assert scene.shelf.full == []
    assert scene.shelf.full == list(scene.shelf.segments)


def test_nothing_is_written_where_nothing_happens(scene: Scene) -> None:
    with scene.kept():
        for _ in range(100):
            scene.after(5)
        assert scene.shelf.num_puts == 1


def test_segment_ends_after_ten_minutes_whether_something_happens_or_not(scene: Scene) -> None:
    with scene.kept():
        scene.after(590)
        scene.sent()
        scene.after(5)
        assert scene.shelf.full == []
        scene.after(5)
        (first,) = scene.shelf.full
        for _ in range(100):
            scene.after(5)
        assert scene.shelf.full == [first]
        scene.sent()
    assert [name.opened_at_s for name in scene.shelf.segments] == [AT_S, AT_S + 1100]


def test_segment_is_at_most_a_mebibyte(scene: Scene) -> None:
    with scene.kept():
        for step in range(12_000):
            scene.sent(step)
            if step % 500 == 0:
                scene.after(5)
    sizes = [len(raw) for raw in scene.shelf.segments.values()]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_SEGMENT_BYTES
    assert min(sizes[:-1]) > MAX_SEGMENT_BYTES - 4096
    assert scene.written().count("round.sent") == 12_000
    assert scene.shelf.full == list(scene.shelf.segments)


def test_segment_is_named_after_its_newest_first_event(scene: Scene) -> None:
    scene.sent()
    scene.clocks.now = 86_400.0  # locked for a day
    with scene.kept():
        scene.after(5)
    (name,) = scene.shelf.segments
    assert name.opened_at_s == AT_S + 86_400
    assert [line.at_s for line in lines_of(scene)] == [AT_S, AT_S + 86_400, AT_S + 86_405]


def test_flood_between_two_ticks_is_cut_and_counted(scene: Scene) -> None:
    with scene.kept():
        for step in range(RING_EVENTS + 7):
            scene.sent(step)
        scene.after(5)
        assert scene.log.dropped == {Drop.OVERRUN: 8}  # the word of it took a place too
    assert "log.dropped" in scene.written()
    assert scene.written().count("round.sent") == RING_EVENTS - 1


def test_shelf_that_fails_for_a_while_loses_nothing(scene: Scene) -> None:
    with scene.kept():
        scene.shelf.error = OSError(28, "no space")
        for step in range(300):  # over the end of the segment, too
            scene.sent(step)
            scene.after(5)
        assert scene.log.dropped == {Drop.SINK_FAILED: 300}
        scene.shelf.error = None
        scene.after(5)
        assert scene.written().count("round.sent") == 300


def test_shelf_that_fails_for_long_loses_what_comes_and_not_what_came(scene: Scene) -> None:
    with scene.kept():
        scene.shelf.error = OSError(28, "no space")
        for step in range(MAX_UNWRITTEN_SEGMENTS + 2):
            scene.sent(step)
            scene.after(600)
        scene.shelf.error = None
        scene.after(600)
        assert scene.log.dropped[Drop.OVERRUN] > 0
    assert [line.fields["round"] for line in lines_of(scene) if line.event == "round.sent"] == [
        0,
        1,
        2,
    ]  # the first has its opening's segment


def lines_of(scene: Scene) -> list[Line]:
    return [line for _, line in in_order([parse_segment(raw) for raw in scene.shelf.segments.values()])]


def test_crash_at_any_second_loses_less_than_five_seconds(scene: Scene) -> None:
    with scene.kept():
        for second in range(1, 60):
            scene.after(1)
            scene.sent(second)
            stored = [line.fields["round"] for line in lines_of(scene) if line.event == "round.sent"]
            assert second - int(stored[-1] if stored else 0) <= 5


# ---------------------------------------------------------------------------------------------------- envelopes

KEY = X25519Identity.generate()


def shelf_in(folder: Path) -> EnvelopeShelf:
    return EnvelopeShelf(folder, lambda: [KEY.recipient])


def name_of(number: int = 1) -> SegmentName:
    return SegmentName(opened_at_s=AT_S, boot="aa" * 4, number=number)


def test_segments_come_back_from_envelopes(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(2), b"second")
    shelf.put(name_of(1), b"first")
    shelf.put(name_of(1), b"first, longer")
    assert shelf.names() == (name_of(1), name_of(2))
    assert [shelf.read(name, [KEY]) for name in shelf.names()] == [b"first, longer", b"second"]
    shelf.delete(name_of(2))
    shelf.delete(name_of(2))
    assert shelf.names() == (name_of(1),)


def test_envelopes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        shelf = shelf_in(tmp_path / "logs")
        shelf.put(name_of(), b"x")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "logs").iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs", file)] == [0o700, 0o600]


@pytest.mark.parametrize("spoil", ["open", "link"])
def test_folder_that_others_may_enter_is_refused(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "logs"
    if spoil == "open":
        folder.mkdir()
        folder.chmod(0o755)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        shelf_in(folder)


def test_segment_opens_for_its_readers_alone(tmp_path: Path) -> None:
    shelf_in(tmp_path / "logs").put(name_of(), b"x")
    with pytest.raises(WrongRecipientError):
        shelf_in(tmp_path / "logs").read(name_of(), [X25519Identity.generate()])


def test_segment_under_another_name_does_not_open(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(1), b"x")
    shelf.put(name_of(2), b"y")
    first, second = sorted((tmp_path / "logs").rglob("*.fwe"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(ContextMismatchError):
        shelf.read(name_of(2), [KEY])


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path / "logs")
    shelf.put(name_of(), b"x")
    for stray in ("x.fwe", f"{name_of(2)}", ".fedward.tmp"):
        (tmp_path / "logs" / stray).write_bytes(b"")
    assert shelf.names() == (name_of(),)


def test_segment_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LogError):
        shelf_in(tmp_path / "logs").read(name_of(), [KEY])


@pytest.mark.parametrize("text", ["", "x", "1-aa-1", f"{name_of()} ", f"{name_of()}\n", str(name_of()).upper()])
def test_what_is_no_name_is_refused(text: str) -> None:
    assert SegmentName.parse(str(name_of())) == name_of()
    with pytest.raises(LogError):
        SegmentName.parse(text)
