"""Our own tagger of people, places and organisations in Chinese: hashed features, one weight row each, best path.

A model is a file of arrays that carries its manifest: what it was trained on, by whom, under which licence. Reading
one runs no code. Equal text and model give equal tags on every machine, for scores are whole numbers until the path
is sought. Not handled here: training (``train_tagger``), which sentences are worth a look (``gate``), levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.detectors import crf
from fedward.common.desensitize.detectors.array_file import Arrays, read_arrays, read_file, write_arrays
from fedward.common.desensitize.detectors.characters import Codes, name_characters
from fedward.common.desensitize.detectors.crf import Chains, Floats
from fedward.common.desensitize.detectors.features import NUM_TEMPLATES, WordsHere, features
from fedward.common.desensitize.detectors.hashing import HashTable
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError

FORMAT: Final = "fedward-tagger-1"
MAX_CHAIN: Final = 128
"""A longer run without punctuation is cut; it costs memory and says nothing."""
_CHUNK: Final = 2048
"""Characters whose features are summed at a time: their rows stay in the processor's cache."""
_GROUP: Final = 1 << 16
_LANES: Final = 16
_ENTITY_TYPES: Final = (EntityType.PERSON, EntityType.LOC, EntityType.ORG)


class Tagged(NamedTuple):
    """A name on the best path."""

    start: int
    end: int
    type: EntityType
    margin: float
    """By how much its path beats the one that runs outside, in log-odds."""


def chains_of(codes: Codes, wanted: NDArray[np.bool_] | None = None) -> Chains:
    """Runs of characters that a name may hold, cut at ``MAX_CHAIN``; only those that touch ``wanted``, if given."""
    inside = np.concatenate([[False], name_characters(codes), [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    if wanted is not None and len(starts):
        before = np.concatenate([[0], np.cumsum(wanted)])
        kept = before[ends] > before[starts]
        starts, ends = starts[kept], ends[kept]
    pieces = -(-(ends - starts) // MAX_CHAIN)
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(starts, pieces) + number * MAX_CHAIN
    ends = np.minimum(np.repeat(ends, pieces), starts + MAX_CHAIN)
    return Chains.of(starts, ends - starts)


def places_of(chains: Chains) -> tuple[NDArray[np.intp], Chains]:
    """All places of ``chains`` one after the other, and the chains in that new numbering."""
    before = np.cumsum(chains.lengths) - chains.lengths
    offsets = np.arange(int(chains.lengths.sum())) - np.repeat(before, chains.lengths)
    return np.repeat(chains.starts, chains.lengths) + offsets, Chains(starts=before, lengths=chains.lengths)


@dataclass(frozen=True, kw_only=True)
class Tagger:
    """A trained model.

    Args:
        table: of the features that have a weight.
        weights: (C, 13) int8, one row a cell of ``table``.
        transitions: (13, 13) float32.
        scale: what one unit of a weight is worth.
        manifest: what it was trained on.
    """

    table: HashTable
    weights: NDArray[np.int8] = field(repr=False)
    transitions: Floats = field(repr=False)
    scale: float
    manifest: dict[str, Any]

    def __post_init__(self) -> None:
        # One row is one fetch of 32 bytes, the first row stands for "no such feature".
        rows = np.zeros((len(self.table.checks) + 1, _LANES), np.int16)
        occupied = np.flatnonzero(self.table.checks)
        rows[occupied + 1, : crf.NUM_TAGS] = self.weights
        object.__setattr__(self, "_rows", rows)
        transitions = np.where(crf.allowed(), self.transitions, crf.IMPOSSIBLE)
        object.__setattr__(self, "_transitions", transitions.astype(np.float32))

    def scores(self, codes: Codes, here: WordsHere, places: NDArray[np.intp]) -> Floats:
        """(P, 13) score of each tag at each place."""
        rows: NDArray[np.int16] = self._rows  # type: ignore[attr-defined]
        result = np.empty((len(places), crf.NUM_TAGS), np.float32)
        for start in range(0, len(places), _CHUNK):
            chunk = places[start : start + _CHUNK]
            cells = self.table.cells(features(codes, here, chunk))
            total = rows.take(cells[0], axis=0)
            for row in cells[1:]:
                total += rows.take(row, axis=0)
            result[start : start + _CHUNK] = total[:, : crf.NUM_TAGS]
        result *= np.float32(self.scale)
        return result

    def tag(self, codes: Codes, here: WordsHere, chains: Chains, *, eagerness: float = 0.0) -> list[Tagged]:
        """Names in ``chains``, from left to right.

        Args:
            codes: with ``REACH`` gaps at both ends.
            here: its words.
            chains: what to look at.
            eagerness: subtracted from the score of being outside while the path is sought, in log-odds; margins are
                reckoned without it, so one with a margin below 0 was found only by eagerness.
        """
        found: list[Tagged] = []
        for group in _groups(chains):
            found += self._tag_group(codes, here, group, eagerness)
        return sorted(found)

    def _tag_group(self, codes: Codes, here: WordsHere, chains: Chains, eagerness: float) -> list[Tagged]:
        places, inner = places_of(chains)
        scores = self.scores(codes, here, places)
        scores[:, crf.OUTSIDE] -= np.float32(eagerness)
        transitions: Floats = self._transitions  # type: ignore[attr-defined]
        tags = crf.best_paths(scores, transitions, inner)
        scores[:, crf.OUTSIDE] += np.float32(eagerness)
        return _names(places, tags, scores, transitions, inner)

    def support(self, codes: Codes, here: WordsHere, names: Sequence[tuple[int, int, EntityType]]) -> list[float]:
        """Margin of names that someone else found: what this model thinks of each, in log-odds against outside."""
        if not names:
            return []
        starts = np.array([start for start, _, _ in names], np.intp)
        lengths = np.array([end - start for start, end, _ in names], np.intp)
        spans = Chains(starts=starts, lengths=lengths)
        places, inner = places_of(spans)
        base = np.repeat([1 + 4 * _ENTITY_TYPES.index(type_) for _, _, type_ in names], lengths)
        part = np.full(len(places), crf.INSIDE)
        last = inner.starts + lengths - 1
        part[inner.starts] = crf.BEGIN
        part[last] = np.where(lengths == 1, crf.SINGLE, crf.END)
        tags = base + part - 1
        scores = self.scores(codes, here, places)
        gains = np.add.reduceat(scores[np.arange(len(tags)), tags] - scores[:, crf.OUTSIDE], inner.starts)
        transitions: Floats = self._transitions  # type: ignore[attr-defined]
        into = transitions[crf.OUTSIDE, tags[inner.starts]] + transitions[tags[last], crf.OUTSIDE]
        steps = np.concatenate([transitions[tags[:-1], tags[1:]], [0]])
        steps[last] = 0
        within = np.add.reduceat(steps, inner.starts)
        outside = (lengths + 1) * transitions[crf.OUTSIDE, crf.OUTSIDE]
        return [float(v) for v in gains + into + within - outside]

    def to_bytes(self) -> bytes:
        """The model file."""
        arrays: Arrays = {
            "checks": self.table.checks,
            "weights": self.weights,
            "transitions": self.transitions.astype(np.float32),
            "scale": np.array([self.scale], np.float32),
        }
        manifest = json.dumps(self.manifest, ensure_ascii=False, sort_keys=True)
        return write_arrays(arrays, {"format": FORMAT, "manifest": manifest})

    @classmethod
    def from_bytes(cls, raw: bytes, what: str) -> Tagger:
        """The inverse of ``to_bytes``.

        Raises:
            ConfigError: not such a file.
        """
        arrays, metadata = read_arrays(raw, what)
        if metadata.get("format") != FORMAT or set(arrays) != {"checks", "weights", "transitions", "scale"}:
            raise ConfigError(f"{what}: no tagger of format {FORMAT}", hint=_HINT)
        checks, weights = arrays["checks"], arrays["weights"]
        transitions, scale = arrays["transitions"], arrays["scale"]
        cells = len(checks) if checks.ndim == 1 else 0
        fits = (
            checks.dtype == np.uint16
            and 2 <= cells <= 1 << 24
            and cells & (cells - 1) == 0
            and weights.dtype == np.int8
            and weights.shape == (int(np.count_nonzero(checks)), crf.NUM_TAGS)
            and transitions.dtype == np.float32
            and transitions.shape == (crf.NUM_TAGS, crf.NUM_TAGS)
            and scale.dtype == np.float32
            and scale.shape == (1,)
        )
        if not fits or not np.isfinite(transitions).all() or not 0 < float(scale[0]) < 1:
            raise ConfigError(f"{what}: its arrays are not those of a tagger", hint=_HINT)
        try:
            manifest = json.loads(metadata.get("manifest", ""))
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict) or manifest.get("templates") != NUM_TEMPLATES:
            raise ConfigError(f"{what}: trained for another version", hint=_HINT)
        return cls(
            table=HashTable(checks=checks),
            weights=weights,
            transitions=transitions,
            scale=float(scale[0]),
            manifest=manifest,
        )


_HINT: Final = "`fedward desensitize train-tagger` writes a model for this version."


def _groups(chains: Chains) -> Iterator[Chains]:
    """Chains in groups of about ``_GROUP`` characters, so that long documents need no more memory."""
    group = np.cumsum(chains.lengths) // _GROUP
    cuts = np.flatnonzero(np.diff(group)) + 1
    for starts, lengths in zip(np.split(chains.starts, cuts), np.split(chains.lengths, cuts), strict=True):
        if len(starts):
            yield Chains(starts=starts, lengths=lengths)


def load_tagger(path: Path) -> Tagger:
    """The model in a file.

    Raises:
        ConfigError: no such file, or no model.
    """
    return Tagger.from_bytes(read_file(path), path.name)


def _names(
    places: NDArray[np.intp], tags: NDArray[np.uint8], scores: Floats, transitions: Floats, chains: Chains
) -> list[Tagged]:
    part = np.where(tags, (tags - 1) % 4 + 1, 0)
    firsts = np.flatnonzero((part == crf.BEGIN) | (part == crf.SINGLE))
    if not len(firsts):
        return []
    lasts = np.flatnonzero((part == crf.END) | (part == crf.SINGLE))
    gains = np.concatenate([[0.0], np.cumsum(scores[np.arange(len(tags)), tags] - scores[:, crf.OUTSIDE])])
    edge = np.zeros(len(tags) + 1, np.bool_)
    edge[chains.starts] = True
    edge[-1] = True
    steps = np.concatenate([[0], transitions[tags[:-1], tags[1:]]])
    steps[edge[:-1]] = 0
    moved = np.concatenate([[0.0], np.cumsum(steps)])
    # Transitions into, within and out of the name, against those of a path that stays outside there.
    before = np.where(edge[firsts], crf.OUTSIDE, tags[firsts - 1])
    after = np.where(edge[lasts + 1], crf.OUTSIDE, tags[np.minimum(lasts + 1, len(tags) - 1)])
    leaving = np.where(edge[lasts + 1], 0, transitions[tags[lasts], after])
    outside = np.where(edge[firsts], 0, transitions[before, crf.OUTSIDE])
    outside = outside + (lasts - firsts) * transitions[crf.OUTSIDE, crf.OUTSIDE]
    outside = outside + np.where(edge[lasts + 1], 0, transitions[crf.OUTSIDE, after])
    margins = gains[lasts + 1] - gains[firsts] + moved[lasts + 1] - moved[firsts] + leaving - outside
    kinds = (tags[firsts] - 1) // 4
    return [
        Tagged(int(places[a]), int(places[b]) + 1, _ENTITY_TYPES[k], float(m))
        for a, b, k, m in zip(firsts, lasts, kinds, margins, strict=True)
    ]


__all__ = ["chains_of", "load_tagger", "MAX_CHAIN", "places_of", "Tagged", "Tagger"]
