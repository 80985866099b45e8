from __future__ import annotations

import importlib
import json

import pytest

from fedward.common.desensitize.detectors import build_names_en
from fedward.common.desensitize.detectors.lexicon_en import EPONYMS, english_lexicon, name_key


@pytest.mark.parametrize(
    ("word", "key"),
    [("Szöllősy", "szollosy"), ("O\u2019NEILL", "o'neill"), ("Łukasz", "lukasz"), ("Þór", "thor"), ("", "")],
)
def test_a_key_is_lower_case_and_without_accents(word: str, key: str) -> None:
    assert name_key(word) == key


def test_names_of_many_languages_are_listed() -> None:
    lexicon = english_lexicon()
    assert all(map(lexicon.is_name, ("katarzyna", "nguyen", "okafor", "bjork", "smith", "zsofia", "yildiz")))


def test_function_words_are_no_names_and_everyday_names_are_words_too() -> None:
    lexicon = english_lexicon()
    assert not any(map(lexicon.is_name, ("the", "and", "who", "said")))
    assert {"will", "grace", "may", "young"} <= lexicon.words


def test_the_eponyms_of_the_design_are_listed() -> None:
    assert {"graves", "cushing", "addison", "parkinson", "crohn", "hodgkin"} <= EPONYMS


def test_the_shipped_lists_are_what_the_builder_gives() -> None:
    faker = pytest.importorskip("faker")
    shipped = build_names_en.PATH.read_text("ascii")
    if f"Faker {faker.VERSION} " not in json.loads(shipped)["source"]:
        pytest.skip("another Faker than the lists were built from")
    assert build_names_en.build() == shipped


def test_the_detectors_do_not_import_faker() -> None:
    module = importlib.import_module("fedward.common.desensitize.detectors.lexicon_en")
    assert "faker" not in vars(module)


def test_the_lists_stay_small() -> None:
    assert build_names_en.PATH.stat().st_size < 400_000
