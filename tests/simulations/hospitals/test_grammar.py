from __future__ import annotations

import re

import pytest

from fedward.common.errors import ConfigError
from fedward.simulations.hospitals.grammar import expand
from fedward.simulations.hospitals.lexicon import Language, house_styles, public_rules, specialties
from fedward.simulations.hospitals.seeded import stream


def test_slots_are_filled_recursively_and_capitals_are_kept() -> None:
    rules = {"greeting": ("hello {who}",), "who": ("world",)}
    assert expand("{Greeting}!", rules, stream("t", 1)) == "Hello world!"


def test_ranges_stay_within_their_bounds() -> None:
    rng = stream("t", 2)
    whole = {int(expand("{3-5}", {}, rng)) for _ in range(200)}
    decimal = [expand("{0.5-1.5}", {}, rng) for _ in range(200)]
    assert whole == {3, 4, 5}
    assert all(re.fullmatch(r"[01]\.\d", number) and 0.5 <= float(number) <= 1.5 for number in decimal)


def test_no_alternative_is_repeated_before_all_were_used() -> None:
    rules = {"colour": ("red", "green", "blue")}
    words = expand("{colour} {colour} {colour}", rules, stream("t", 3)).split()
    assert sorted(words) == ["blue", "green", "red"]


def test_unknown_slot_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"no rule for \{colour\}"):
        expand("{colour}", {}, stream("t", 4))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_specialty_knows_the_same_conditions_in_both_languages(language: Language) -> None:
    for specialty, english in zip(specialties(language), specialties("en"), strict=True):
        assert specialty.key == english.key
        assert len(specialty.conditions) == len(english.conditions) >= 2
        for condition in specialty.conditions:
            assert all(len(set(rule)) == len(rule) >= 1 for rule in condition.private.values())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_rule_of_the_grammars_can_be_expanded(language: Language) -> None:
    rng = stream("t", 5)
    specialty = specialties(language)[0]
    condition = specialty.conditions[0]
    facts = ("name", "mrn", "sex", "birth", "age", "phone", "email", "address", "card", "resident_id", "doctor")
    given = dict.fromkeys((*facts, "date", "date_next", "test"), ("-",))
    for rules in (
        *({**style, **condition.private, **given} for style in house_styles(language)),
        {**public_rules(language), **condition.public},
    ):
        for alternatives in rules.values():
            for alternative in alternatives:
                assert "{" not in expand(alternative, rules, rng)
