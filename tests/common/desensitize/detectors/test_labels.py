"""Labels: which kind, how near, and never inside a longer word."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors import labels
from fedward.common.desensitize.detectors.rules import finder

NEAREST = [
    ("批号：", "OTHER"),
    ("联系电话（本人）", "PHONE"),
    ("hotel ", None),
    ("userPhone=", "PHONE"),
    ("Order No. ", "TXN"),
    ("样本，电话", "PHONE"),
    ("MRN#: ", "MRN"),
    ("medical_record_number=", "MRN"),
    ("电话，", None),
    ("discard ", None),
    ("cardholder ", None),
    ("驾驶证号", "LICENCE"),
    ("", None),
]


@pytest.mark.parametrize("engine", ["re2", "re"])
@pytest.mark.parametrize(("before", "kind"), NEAREST)
def test_the_nearest_label(before: str, kind: str | None, engine: str) -> None:
    looked = labels.Labels(lambda pattern: finder(pattern, "re" if engine == "re" else "re2"))
    found = looked.nearest(before.encode(), len(before.encode()))
    assert (found and found[0]) == kind


@pytest.mark.parametrize("kind", labels.WORDS)
def test_every_label_is_found_as_a_label_of_its_first_kind(kind: str) -> None:
    looked = labels.Labels(lambda pattern: finder(pattern, "re2"))
    for word in "|".join(labels.WORDS[kind]).split("|"):
        data = word.encode()
        if len(data) <= labels.MAX_LABEL_BYTES:
            assert looked.nearest(data, len(data)) is not None, word


def test_labels_are_lower_case_words_without_pattern_characters() -> None:
    for zh, latin in labels.WORDS.values():
        assert not set("()[]{}*+?^\\") & set(zh + latin)
        assert latin == latin.lower()
