"""Build ``names_en.json``: lists of given names, surnames and ordinary words, facts taken from Faker's providers (MIT).

Run as ``python -m fedward.common.desensitize.detectors.build_names_en`` with Faker installed; it is no dependency of
the detectors. The same Faker gives the same bytes. A word that is also a name stays a name and is listed as ordinary
too, which is what makes it ambiguous ("May", "Young", "Grace").

Not handled here: what the lists mean for a decision (``names_en``).
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fedward.common.desensitize.detectors.lexicon_en import name_key

PATH = Path(__file__).with_name("data") / "names_en.json"
_LATIN_NAME = re.compile(r"[a-z][a-z'-]{1,19}")
_WORD = re.compile(r"[a-z]{3,20}")
_IGNORED = ("prefix", "suffix", "format")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for item in value:
            yield from _strings(item)


def _attributes(provider: type, start: str, ignored: Iterable[str] = ()) -> Iterator[str]:
    for name in dir(provider):
        if name.startswith(start) and not any(part in name for part in ignored):
            value = getattr(provider, name)
            if not callable(value):
                yield from _strings(value)


def _locales(package: str) -> list[str]:
    folder = Path(importlib.import_module(f"faker.providers.{package}").__file__ or "").parent
    return sorted(path.name for path in folder.iterdir() if (path / "__init__.py").is_file())


def _names(start: str) -> set[str]:
    found: set[str] = set()
    for locale in _locales("person"):
        for text in _attributes(_provider(f"person.{locale}"), start, _IGNORED):
            found.update(key for part in text.split() if _LATIN_NAME.fullmatch(key := name_key(part)))
    return found


def _provider(module: str) -> type:
    provider: type = importlib.import_module(f"faker.providers.{module}").Provider
    return provider


def _keys(texts: Iterable[str]) -> set[str]:
    return {key for text in texts for key in _WORD.findall(name_key(text))}


def _lists() -> dict[str, set[str]]:
    lorem, job, company = _provider("lorem.en_US"), _provider("job.en_US"), _provider("company.en_US")
    world, states = _provider("address.en"), _provider("address.en_US")
    ordinary = (*_attributes(lorem, "word_list"), *_attributes(job, "jobs"))
    sales = (*_attributes(company, "bsWords"), *_attributes(company, "catch_phrase_words"))
    return {
        "first": _names("first_name"),
        "last": _names("last_name"),
        "words": _keys((*ordinary, *sales)),
        "places": _keys((*_attributes(world, "countries"), *_attributes(states, "states"))),
        "streets": _keys(_attributes(states, "street_suffixes")),
    }


def build() -> str:
    """The file's text: one JSON object whose lists are strings of words, for a small file and a short diff."""
    version = importlib.import_module("faker").VERSION
    head = {"source": f"Faker {version} (MIT): person (Latin locales), lorem, job, company, address (English)"}
    body = {name: " ".join(sorted(values)) for name, values in _lists().items()}
    return json.dumps(head | body, indent=0, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(build(), "utf-8")


__all__ = ["build", "PATH"]
