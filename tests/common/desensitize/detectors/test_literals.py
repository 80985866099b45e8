"""Squeezed text and the way back, against the plain definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.literals import SEPARATORS, Squeezed, squeeze
from fedward.common.desensitize.tables import to_simplified

texts = st.text(st.sampled_from([*"aÅé1中張\U00020000ø", *SEPARATORS]), max_size=40)


@given(texts, st.data())
def test_a_squeezed_span_leads_back_to_its_characters(text: str, data: st.DataObject) -> None:
    squeezed = Squeezed(text)
    places = [place for place, character in enumerate(text) if character not in SEPARATORS]
    assert len(squeezed.squeezed) == len(places)
    if not places:
        return
    start = data.draw(st.integers(0, len(places) - 1))
    end = data.draw(st.integers(start + 1, len(places)))
    gaps = [after - before for before, after in zip(places[start : end - 1], places[start + 1 : end], strict=True)]
    expected = None if max(gaps, default=1) > 4 else (places[start], places[end - 1] + 1)
    assert squeezed.span(start, end) == expected


@given(texts)
def test_a_place_counts_the_characters_kept_before_it(text: str) -> None:
    squeezed = Squeezed(text)
    kept = [character not in SEPARATORS for character in text]
    assert [squeezed.place(at) for at in range(len(text) + 1)] == [sum(kept[:at]) for at in range(len(text) + 1)]


def test_usual_characters_are_squeezed_like_rare_ones() -> None:
    assert squeeze("A-b, ·（張）。1！") == "ab张。1！"
    assert all(squeeze(chr(code)) == to_simplified().get(code, chr(code)) for code in range(0x4E00, 0xA000))
