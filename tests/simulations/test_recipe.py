from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedward.common.errors import ConfigError
from fedward.simulations.recipe import Recipe, parse_setting, read_recipe
from tests.simulations.conftest import Writer

RECIPES = sorted((Path(__file__).parents[2] / "simulations" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_name_five_sites(path: Path) -> None:
    assert len(read_recipe(path).sites) == 5


def test_a_site_takes_from_the_shared_settings_what_it_leaves_out(recipe_file: Writer, tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(lambda d: d["sites"][1].update(patient_column="kind", where={"kind": "note"})))
    assert recipe.source("site-0", tmp_path).patient_column == "patient"
    own = recipe.source("site-1", tmp_path)
    assert (own.patient_column, own.where, own.text_columns) == ("kind", {"kind": "note"}, ("text",))


def test_changes_from_the_command_line_lie_over_the_recipe(recipe_file: Writer) -> None:
    recipe = read_recipe(recipe_file(), {"rounds": 9, "base.name": "smollm2", "privacy.mode": "none"})
    assert (recipe.rounds, recipe.base.name, recipe.privacy.mode) == (9, "smollm2", "none")


def test_the_draft_plan_carries_ids_and_nominal_units_but_no_paths(recipe_file: Writer) -> None:
    plan = read_recipe(recipe_file()).draft_plan()
    assert [site.nominal_units for site in plan.sites] == [20, 20, 20]
    assert b"jsonl" not in plan.to_bytes()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = ", b"a = nan\n", b"a = 2024-01-01\n", b""])
def test_a_file_that_is_no_recipe_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        read_recipe(path)


def test_a_recipe_survives_its_json_form(recipe_file: Writer) -> None:
    recipe = read_recipe(recipe_file())
    assert Recipe.model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.sample_rate=0.05", ("training.sample_rate", 0.05)),
        ("base.name=smollm2", ("base.name", "smollm2")),
        ('lora.targets=["q_proj"]', ("lora.targets", ["q_proj"])),
        ("rounds = 3", ("rounds", 3)),
    ],
)
def test_a_setting_on_the_command_line_is_toml_or_a_word(text: str, expected: tuple[str, object]) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("key", ["sites.0.nominal_units", "name.first"])
def test_a_setting_inside_what_is_no_section_is_refused(key: str, recipe_file: Writer) -> None:
    with pytest.raises(ConfigError, match="cannot be set here"):
        read_recipe(recipe_file(), {key: 999})


def test_a_value_that_is_no_number_is_refused_by_its_name(recipe_file: Writer) -> None:
    with pytest.raises(ConfigError, match=r"training\.learning_rate is not a finite number"):
        read_recipe(recipe_file(), {"training.learning_rate": float("nan")})


def test_a_misspelt_key_is_named_rather_than_the_one_it_should_have_been(recipe_file: Writer) -> None:
    def misspell(document: dict[str, Any]) -> None:
        document["sites"][1]["nominal_unit"] = document["sites"][1].pop("nominal_units")

    with pytest.raises(ConfigError, match=r"unknown key 'sites\.1\.nominal_unit'"):
        read_recipe(recipe_file(misspell))


@pytest.mark.parametrize("text", ["rounds", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_setting(text)
