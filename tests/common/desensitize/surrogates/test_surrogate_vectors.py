"""Pinned replacements: a changed one makes corpora of one key disagree, so it is a decision and a new version."""

import json
from pathlib import Path

import pytest

from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.surrogates.making import document

FILE = Path(__file__).parents[3] / "vectors/surrogates_v1.json"
VECTORS = json.loads(FILE.read_text("utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['type']} {vector['original']}")
def test_replacement_is_the_pinned_one(vector: dict[str, str]) -> None:
    made = document("P-0001").replace(EntityType(vector["type"]), vector["original"])
    assert (made.text, made.action) == (vector["text"], vector["action"])
