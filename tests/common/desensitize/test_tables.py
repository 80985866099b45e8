"""The shipped facts: how many there are, that they are what their sources give, and that a change shows."""

import itertools
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from fedward.common.desensitize import tables

FOLDER = Path(tables.__file__).parent
SOURCES = ("phonenumbers", "stdnum", "faker", "jionlp")


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, SOURCES)), reason="the packages that the facts come from are not installed")
@pytest.mark.filterwarnings("ignore")
def test_tables_are_what_their_sources_give() -> None:
    from fedward.common.desensitize.tables import build

    for name, make in build.TABLES.items():
        assert build.rendered(make()) == (FOLDER / f"{name}.json").read_text("utf-8"), name


def test_every_file_is_a_named_table_and_all_are_small() -> None:
    files = list(FOLDER.glob("*.json"))
    assert sorted(file.stem for file in files) == sorted(tables.TABLES)
    assert sum(file.stat().st_size for file in files) < 300_000


def test_every_table_names_its_source() -> None:
    assert all(tables.read_table(name)["source"] for name in tables.TABLES)


def test_counts_are_those_of_the_sources() -> None:
    blocks = tables.mobile_blocks()
    assert [sum(len(block) == n for block in blocks) for n in (3, 5)] == [52, 16]
    assert sum(10 ** (11 - len(block)) for block in blocks) == 5_216_000_000
    assert len(tables.county_codes()) == 6298
    assert len(tables.county_codes(in_force=True)) == 3137
    assert set(tables.county_codes(in_force=True)) < set(tables.county_codes())


def test_mobile_blocks_are_ascending_and_free_of_prefixes() -> None:
    blocks = tables.mobile_blocks()
    assert list(blocks) == sorted(blocks)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(blocks))


def test_ranking_tables_are_those_that_the_shipped_keys_were_made_with() -> None:
    """A changed digest is another permutation: add a new version and keep the old file."""
    assert tables.digest("cn_mobile.v1") == "c76ee5664547dc4ef4ff06e560c05b1e45e14db838f0f07b44ec2a73e9679497"
    assert tables.digest("cn_regions.v1") == "158b2b6d3481a0f0e1e5a3801e560c932940adb496a7783794864723ac54c506"


def test_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError):
        tables.read_table("../keys")


def test_character_maps_keep_lengths_and_agree() -> None:
    simplified, traditional = tables.to_simplified(), tables.to_traditional()
    assert all(len(c) == 1 for c in [*simplified.values(), *traditional.values()])
    assert all(simplified[ord(t)] == chr(s) for s, t in traditional.items())
    assert "陳偉歐陽".translate(simplified) == "陈伟欧阳"


def test_lists_hold_nothing_twice() -> None:
    names = tables.read_table("names_zh")
    for key in ("surnames", "male", "female", "neutral", "transliterated", "compound_surnames", "titles", "kin"):
        assert len(names[key]) == len(set(names[key])), key
    assert not set(names["male"]) & set(names["female"])
    english = tables.read_table("names_en")
    assert not set(english["male"]) & set(english["female"])
    assert json.dumps(english).isascii()
