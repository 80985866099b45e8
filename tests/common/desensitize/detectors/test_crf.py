"""The best path and the derivatives, against every path counted one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import crf
from fedward.common.desensitize.detectors.crf import Chains, best_paths, gradients

LENGTHS = (3, 1, 4, 2)


def _problem(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], Chains]:
    rng = np.random.default_rng(seed)  # noqa: TID251
    scores = rng.normal(size=(sum(LENGTHS), crf.NUM_TAGS)).astype(np.float32)
    transitions = rng.normal(size=(crf.NUM_TAGS, crf.NUM_TAGS)).astype(np.float32)
    transitions = np.where(crf.allowed(), transitions, crf.IMPOSSIBLE).astype(np.float32)
    starts = np.cumsum([0, *LENGTHS[:-1]])
    return scores, transitions, Chains.of(starts, np.array(LENGTHS))


def _paths(length: int) -> list[tuple[int, ...]]:
    allowed, first, last = crf.allowed(), crf.may_start(), crf.may_end()
    return [
        path
        for path in itertools.product(range(crf.NUM_TAGS), repeat=length)
        if first[path[0]] and last[path[-1]] and all(allowed[a, b] for a, b in itertools.pairwise(path))
    ]


def _value(path: tuple[int, ...], scores: NDArray[np.float32], transitions: NDArray[np.float32]) -> float:
    here = sum(float(scores[k, tag]) for k, tag in enumerate(path))
    return here + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("seed", range(5))
def test_the_best_path_is_the_best_of_all(seed: int) -> None:
    scores, transitions, chains = _problem(seed)
    tags = best_paths(scores, transitions, chains)
    start = 0
    for length in LENGTHS:
        mine = scores[start : start + length]
        best = max(_paths(length), key=lambda path: _value(path, mine, transitions))
        assert tuple(tags[start : start + length]) == best
        start += length


def test_the_likelihood_is_that_of_all_paths() -> None:
    scores, transitions, chains = _problem(7)
    gold = best_paths(scores, transitions, chains)
    expected, start = 0.0, 0
    for length in LENGTHS:
        mine = scores[start : start + length]
        total = math.log(sum(math.exp(_value(path, mine, transitions)) for path in _paths(length)))
        expected += _value(tuple(int(t) for t in gold[start : start + length]), mine, transitions) - total
        start += length
    assert gradients(scores, transitions, chains, gold)[0] == pytest.approx(expected, rel=1e-4)


def test_the_derivatives_are_those_of_small_steps() -> None:
    scores, transitions, chains = _problem(3)
    gold = best_paths(*_problem(4))
    _, by_score, by_transition = gradients(scores, transitions, chains, gold)
    step = np.float32(1e-2)
    for place, tag in ((0, 0), (2, 4), (5, 1), (9, 0)):
        up, down = scores.copy(), scores.copy()
        up[place, tag] += step
        down[place, tag] -= step
        slope = (gradients(up, transitions, chains, gold)[0] - gradients(down, transitions, chains, gold)[0]) / 0.02
        assert by_score[place, tag] == pytest.approx(slope, abs=5e-3)
    for first, second in ((0, 0), (0, 1), (1, 3), (4, 0)):
        up, down = transitions.copy(), transitions.copy()
        up[first, second] += step
        down[first, second] -= step
        slope = (gradients(scores, up, chains, gold)[0] - gradients(scores, down, chains, gold)[0]) / 0.02
        assert by_transition[first, second] == pytest.approx(slope, abs=5e-3)


def test_no_chain_gives_no_tag() -> None:
    none = np.zeros(0, np.intp)
    scores = np.ones((3, crf.NUM_TAGS), np.float32)
    tags = best_paths(scores, np.zeros((crf.NUM_TAGS, crf.NUM_TAGS), np.float32), Chains.of(none, none))
    assert tags.tolist() == [0, 0, 0]


def test_only_names_that_close_are_possible() -> None:
    assert not crf.allowed()[crf.BEGIN, crf.OUTSIDE]
    assert not crf.allowed()[crf.BEGIN, 4 + crf.END]
    assert crf.allowed()[crf.BEGIN, crf.END]
    assert crf.allowed()[crf.END, 4 + crf.BEGIN]
