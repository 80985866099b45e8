import re

import pytest

from fedward.common.errors import ConfigError
from fedward.common.evaluation.canaries import CanarySheet, Group, open_sheet
from fedward.common.evaluation.canary_texts import (
    SECRET_SPACE,
    alternatives,
    plain_tokens,
    secret_canaries,
    token_list_digest,
    token_text,
    token_texts,
)
from tests.evaluations import VECTORS

KNOWN = VECTORS["sheet"]
TOKENS = KNOWN["tokens"]
SEED = bytes(range(32))


def a_sheet(count: int = 60) -> CanarySheet:
    return CanarySheet(
        run_id=b"run-1",
        site_id="north",
        plan_digest=bytes(32),
        token_list_digest=token_list_digest(TOKENS),
        seed=SEED,
        counts=dict.fromkeys((Group.TOKEN, Group.TOKEN_RESERVE, Group.SECRET, Group.SECRET_X6, Group.TWINS), count),
    )


def known_sheet() -> CanarySheet:
    return open_sheet(bytes.fromhex(KNOWN["commitment"]), bytes.fromhex(KNOWN["salt"]), KNOWN["bytes"].encode())


def test_texts_are_the_known_answer() -> None:
    sheet = known_sheet()
    assert list(token_texts(sheet, Group.TOKEN, TOKENS))[:2] == KNOWN["token_texts"]
    found = {group.value: [canary.text for canary in canaries] for group, canaries in secret_canaries(sheet).items()}
    assert found == KNOWN["secrets"]


def test_token_canaries_are_drawn_from_the_whole_list() -> None:
    seen = "".join(token_text(SEED, Group.TOKEN, index, TOKENS) for index in range(60)).split()
    assert len(seen) == 24 * 60
    assert {f"{token} " for token in seen} == set(TOKENS)


def test_pool_and_reserve_differ_in_every_text() -> None:
    sheet = a_sheet()
    pool, reserve = (set(token_texts(sheet, group, TOKENS)) for group in (Group.TOKEN, Group.TOKEN_RESERVE))
    assert len(pool | reserve) == 120


def test_special_tokens_and_parts_of_characters_are_no_plain_tokens() -> None:
    texts = ["<s>", "a", "\ufffd", "b\ufffd", "", "国"]
    assert plain_tokens(texts.__getitem__, len(texts), {0}) == ("a", "国")


def test_digest_of_a_token_list_depends_on_order_and_borders() -> None:
    digests = [token_list_digest(tokens) for tokens in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab"])]
    assert len(set(digests)) == 4


def test_another_token_list_than_the_sheets_is_refused() -> None:
    with pytest.raises(ConfigError, match="token list"):
        token_texts(a_sheet(), Group.TOKEN, [*TOKENS, "more"])


def test_short_lists_other_groups_and_seeds_are_refused() -> None:
    for call in (
        lambda: token_text(SEED, Group.TOKEN, 0, TOKENS[:63]),
        lambda: token_texts(a_sheet(), Group.SECRET, TOKENS),
        lambda: token_text(b"", Group.TOKEN, 0, TOKENS),
    ):
        with pytest.raises(ConfigError):
            call()


def test_names_stand_once_in_a_sheet_and_secrets_have_six_digits() -> None:
    canaries = [canary for group in secret_canaries(a_sheet(200)).values() for canary in group]
    assert len({canary.name for canary in canaries}) == len(canaries) == 600
    assert all(re.fullmatch(r"\d{6}", canary.secret) for canary in canaries)
    assert all(canary.text.count(canary.secret) == canary.text.count(canary.name) == 1 for canary in canaries)
    assert all(canary.text.startswith(canary.prefix) and canary.prefix for canary in canaries)


def test_members_and_twins_have_the_same_languages_slots_and_sentences() -> None:
    made = secret_canaries(a_sheet(600))

    def frames(group: Group) -> set[str]:
        return {c.text.replace(c.name, "N").replace(c.secret, "S") for c in made[group]}

    assert frames(Group.SECRET) == frames(Group.TWINS)
    assert {canary.language for canary in made[Group.TWINS]} == {"zh", "en"}


def test_names_and_secrets_are_not_in_the_representation() -> None:
    canary = secret_canaries(a_sheet(1))[Group.SECRET][0]
    assert not any(hidden in repr(canary) for hidden in (canary.name, canary.secret, canary.text))


def test_alternatives_are_drawn_from_the_space_of_secrets() -> None:
    drawn = [int(value) for index in range(200) for value in alternatives(SEED, Group.SECRET, index)]
    assert len(drawn) == 63 * 200
    assert abs(sum(drawn) / len(drawn) / SECRET_SPACE - 0.5) < 0.013  # five standard errors
    assert alternatives(SEED, Group.SECRET, 0) != alternatives(SEED, Group.TWINS, 0)
