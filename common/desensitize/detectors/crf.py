"""A linear chain over thirteen tags: the best path, and the derivatives of its likelihood, for many chains at once.

Chains are laid side by side by length, so a step costs the same few array operations for one as for a thousand, and
nothing is padded. Tags say where a character lies in a name (begin, inside, end, single) and of which type; paths
that no name can take are impossible. Source: Lafferty, McCallum, Pereira 2001. Not handled here: scores of characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TYPES: Final = ("PERSON", "LOC", "ORG")
OUTSIDE: Final = 0
BEGIN, INSIDE, END, SINGLE = 1, 2, 3, 4
"""The tag of a type's part is 4 * type + part."""
NUM_TAGS: Final = 1 + 4 * len(TYPES)
IMPOSSIBLE: Final = np.float32(-1e4)

Floats = NDArray[np.float32]


def allowed() -> NDArray[np.bool_]:
    """(13, 13) whether the second tag may follow the first."""
    table = np.zeros((NUM_TAGS, NUM_TAGS), np.bool_)
    for first in range(NUM_TAGS):
        for second in range(NUM_TAGS):
            inside = _part(first) in (BEGIN, INSIDE)
            goes_on = _part(second) in (INSIDE, END)
            table[first, second] = inside == goes_on and (not inside or _type(first) == _type(second))
    return table


def may_start() -> NDArray[np.bool_]:
    """(13,) whether a chain may start with the tag."""
    return np.array([_part(tag) in (0, BEGIN, SINGLE) for tag in range(NUM_TAGS)])


def may_end() -> NDArray[np.bool_]:
    """(13,) whether a chain may end with the tag."""
    return np.array([_part(tag) in (0, END, SINGLE) for tag in range(NUM_TAGS)])


def _part(tag: int) -> int:
    return (tag - 1) % 4 + 1 if tag else 0


def _type(tag: int) -> int:
    return (tag - 1) // 4 if tag else -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Chains:
    """Chains of places in one array, the longest first.

    Args:
        starts: (C,) first place of each chain.
        lengths: (C,) falling, none 0.
    """

    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]

    @classmethod
    def of(cls, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> Chains:
        """Sort chains."""
        order = np.argsort(-lengths, kind="stable")
        return cls(starts=starts[order], lengths=lengths[order])

    def steps(self) -> Iterator[NDArray[np.intp]]:
        """Places of the first, second, … character of every chain that has one."""
        if not len(self.lengths):
            return
        # counts[t]: how many chains are longer than t.
        longest = int(self.lengths[0])
        counts = np.searchsorted(-self.lengths, -np.arange(longest), side="left")
        for step in range(longest):
            yield self.starts[: counts[step]] + step


def best_paths(scores: Floats, transitions: Floats, chains: Chains) -> NDArray[np.uint8]:
    """The tag of each place on the best path of its chain; 0 outside the chains (Viterbi 1967).

    Args:
        scores: (N, 13) of each tag at each place.
        transitions: (13, 13) from, to; impossible ones at ``IMPOSSIBLE``.
        chains: places in ``scores``.
    """
    tags = np.zeros(len(scores), np.uint8)
    steps = list(chains.steps())
    if not steps:
        return tags
    start = np.where(may_start(), np.float32(0), IMPOSSIBLE)
    totals = [scores.take(steps[0], axis=0) + start]
    for places in steps[1:]:
        before = totals[-1][: len(places)]
        best = (before.T[:, None, :] + transitions[:, :, None]).max(axis=0)
        totals.append(best.T + scores.take(places, axis=0))
    last = np.where(may_end(), np.float32(0), IMPOSSIBLE)
    into = np.ascontiguousarray(transitions.T)
    chosen = np.zeros(0, np.intp)
    for places, total in zip(reversed(steps), reversed(totals), strict=True):
        ending = (total[len(chosen) :] + last).argmax(axis=1)
        going = (total[: len(chosen)] + into.take(chosen, axis=0)).argmax(axis=1)
        chosen = np.concatenate([going, ending])
        tags[places] = chosen
    return tags


def gradients(
    scores: Floats, transitions: Floats, chains: Chains, gold: NDArray[np.uint8]
) -> tuple[float, Floats, Floats]:
    """Log-likelihood of the gold tags, and its derivatives; by the scaled forward and backward sums.

    Args:
        scores: (N, 13).
        transitions: (13, 13).
        chains: places.
        gold: (N,) tags; possible paths.

    Returns:
        The sum over the chains; (N, 13) by score; (13, 13) by transition.
    """
    steps = list(chains.steps())
    weight = np.exp(transitions)
    shift = scores.max(axis=1, keepdims=True)
    local = np.exp(scores - shift)
    forward, scales = _forward(local, weight, steps)
    by_score = np.zeros_like(scores)
    by_transition = np.zeros_like(transitions)
    likelihood = 0.0
    beta = np.zeros((0, NUM_TAGS), np.float32)
    for t in range(len(steps) - 1, -1, -1):
        places = steps[t]
        alpha = forward[t]
        going = len(beta)
        message = np.broadcast_to(may_end().astype(np.float32), alpha.shape).copy()
        if going:
            inner = beta * local.take(steps[t + 1], axis=0)
            message[:going] = inner @ weight.T
            pair = alpha[:going].T @ (inner / (alpha[:going] * message[:going]).sum(axis=1, keepdims=True))
            by_transition -= pair * weight
            np.add.at(by_transition, (gold[steps[t][:going]], gold[steps[t + 1]]), 1)
            likelihood += float(transitions[gold[steps[t][:going]], gold[steps[t + 1]]].sum())
        joint = alpha * message
        total = joint.sum(axis=1, keepdims=True)
        by_score[places] = -joint / total
        by_score[places, gold[places]] += 1
        # The partition function is the product of the scales and, where a chain ends, of what is left.
        likelihood += float((scores[places, gold[places]] - shift[places, 0]).sum() - np.log(scales[t]).sum())
        likelihood -= float(np.log(total[going:]).sum())
        beta = message / message.max(axis=1, keepdims=True)
    return likelihood, by_score, by_transition


def _forward(local: Floats, weight: Floats, steps: list[NDArray[np.intp]]) -> tuple[list[Floats], list[Any]]:
    forward: list[Floats] = []
    scales: list[Any] = []
    for t, places in enumerate(steps):
        here = local.take(places, axis=0)
        alpha = here * may_start() if t == 0 else (forward[-1][: len(places)] @ weight) * here
        scale = alpha.sum(axis=1)
        forward.append((alpha / scale[:, None]).astype(np.float32))
        scales.append(scale)
    return forward, scales


__all__ = [
    "allowed",
    "BEGIN",
    "best_paths",
    "Chains",
    "END",
    "gradients",
    "IMPOSSIBLE",
    "INSIDE",
    "may_end",
    "may_start",
    "NUM_TAGS",
    "OUTSIDE",
    "SINGLE",
    "TYPES",
]
