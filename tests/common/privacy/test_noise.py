"""The noise source."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.common.errors import ConfigError
from fedward.common.privacy import noise
from fedward.common.privacy.noise import Entropy, random_words, standard_normal

KEY = bytes(range(32))


@pytest.mark.parametrize("draws", [1, 4])
def test_values_are_standard_normal(draws: int) -> None:
    values = standard_normal(200_000, key=KEY, draws=draws).astype(np.float64)
    for probability in (0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999):
        below = float((values < NormalDist().inv_cdf(probability)).mean())
        assert abs(below - probability) < 5 * (probability * (1 - probability) / 200_000) ** 0.5
    assert abs(np.mean(values**4) - 3.0) < 5 * (96 / 200_000) ** 0.5


def test_values_are_not_correlated_with_their_neighbours_or_their_pair() -> None:
    values = standard_normal(16_384, key=KEY).astype(np.float64)
    for shift in (1, 2, 4096, 8192):
        assert abs(np.corrcoef(values[:-shift], values[shift:])[0, 1]) < 5 / (16_384 - shift) ** 0.5


def test_the_known_answer_of_a_fixed_key_stays() -> None:
    # Pins the derivation: a changed stream changes every seeded run.
    assert random_words(3, key=bytes(32)).tolist() == [9910523521560253916, 9736928157321283757, 13345931270979981139]
    assert standard_normal(3, key=bytes(32)) == pytest.approx([0.0077660, -0.0507536, 1.6289520], abs=1e-6)


def test_words_are_the_published_keystream() -> None:
    # AES-256 of the zero block under the zero key, the first block of counter mode from 0.
    assert random_words(2, key=bytes(32)).tobytes().hex() == "dc95c078a2408989ad48a21492842087"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8191, 8192, 8193, 20_001])
def test_any_count_is_given(count: int) -> None:
    values = standard_normal(count, key=KEY)
    assert values.shape == (count,)
    assert values.dtype == np.float32
    assert random_words(count, key=KEY).shape == (count,)


def test_the_tail_is_finite_at_both_ends_of_the_words() -> None:
    words = np.array([0, 2**64 - 1], np.uint64)
    first, second = noise._box_muller(np.stack([words, np.zeros(2, np.uint64)])[:, np.newaxis, :])
    assert first == pytest.approx([9.419, 0.0], abs=1e-3)
    assert second == pytest.approx([0.0, 0.0])


def test_the_default_is_the_operating_systems_csprng(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    monkeypatch.setattr(os, "urandom", counted)
    entropy = Entropy.system()
    assert entropy.normals(4).tolist() == standard_normal(4, key=bytes(32)).tolist()
    assert entropy.words(4).tolist() == random_words(4, key=bytes(32)).tolist()
    standard_normal(1)
    random_words(1)
    assert asked == [32] * 4, "one fresh key of 32 bytes for each draw"


@pytest.mark.parametrize("draw", [Entropy.normals, Entropy.words], ids=["normals", "words"])
def test_the_systems_draws_never_repeat(draw: Callable[[Entropy, int], NDArray[Any]]) -> None:
    entropy = Entropy.system()
    assert draw(entropy, 8).tolist() != draw(entropy, 8).tolist()
    assert draw(Entropy.system(), 8).tolist() != draw(Entropy.system(), 8).tolist()


def test_seeded_draws_repeat_under_the_same_key_and_differ_from_each_other() -> None:
    one, two = Entropy.seeded(KEY), Entropy.seeded(KEY)
    first, second = one.words(8), one.words(8)
    assert first.tolist() == two.words(8).tolist()
    assert second.tolist() == two.words(8).tolist()
    assert first.tolist() != second.tolist()
    assert first.tolist() != Entropy.seeded(bytes(32)).words(8).tolist()


def test_only_the_systems_entropy_is_private() -> None:
    assert Entropy.system().is_private is True
    assert Entropy.seeded(KEY).is_private is False


def test_a_key_shows_in_no_repr() -> None:
    shown = repr(Entropy.seeded(b"0123456789abcdef0123456789abcdef"))
    assert shown == "Entropy.seeded(…)"


def test_a_short_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 bytes"):
        Entropy.seeded(b"short")


@pytest.mark.parametrize(("count", "draws"), [(-1, 4), (1, 0), (1, 65)])
def test_numbers_that_cannot_be_are_refused(count: int, draws: int) -> None:
    with pytest.raises(ConfigError):
        standard_normal(count, draws=draws)


def test_half_the_tangent_gives_the_cosine_and_sine_of_every_angle() -> None:
    """The angles next to a pole, to zero and to a full turn included."""
    top = np.array([0, 1, 1 << 50, 1 << 51, (1 << 51) + 1, 1 << 52, (1 << 52) + 1, 3 << 51, (1 << 53) - 1], np.uint64)
    words = np.stack([np.full_like(top, 1 << 62), top << np.uint64(11)])[:, np.newaxis]
    angle = top.astype(np.float64) * 2.0**-53 * 2.0 * np.pi
    radius = np.sqrt(-2.0 * np.log(0.25))
    cosine, sine = noise._box_muller(words)
    assert np.abs(cosine - radius * np.cos(angle)).max() <= 2e-15
    assert np.abs(sine - radius * np.sin(angle)).max() <= 2e-15
