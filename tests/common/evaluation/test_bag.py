import numpy as np
import pytest

from fedward.common.errors import DataError
from fedward.common.evaluation.bag import bag_scores
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.membership import null_control
from tests.evaluations import flips

WORDS = ("fever", "cough", "insulin", "chart", "ward", "患者", "复查", "血压", "随访", "tablet")


def texts(count: int) -> list[str]:
    draws = Draws(3, "texts")
    return [" ".join(WORDS[i] for i in draws.below(12, len(WORDS))) for _ in range(count)]


def test_texts_that_differ_by_their_coin_alone_are_not_told_apart() -> None:
    coins = flips(2, 300)
    scores = bag_scores(texts(300), coins, Draws(1, "bag"))
    assert null_control("bag", scores[coins], scores[~coins]).holds


@pytest.mark.parametrize("mark", [" ", "。", "\ufeff", "患"])
def test_members_that_went_through_other_code_are_told_apart(mark: str) -> None:
    coins = flips(2, 300)
    changed = [text + mark * 2 if is_in else text for text, is_in in zip(texts(300), coins, strict=True)]
    scores = bag_scores(changed, coins, Draws(1, "bag"))
    assert not null_control("bag", scores[coins], scores[~coins]).holds


def test_scores_are_out_of_fold() -> None:
    coins = flips(4, 60)
    unique = [f"{number * 7919 % 99991:05d}" * 3 for number in range(60)]
    scores = bag_scores(unique, coins, Draws(1, "bag"))
    assert null_control("bag", scores[coins], scores[~coins]).holds  # fitted on themselves they would separate


@pytest.mark.parametrize("coins", [[True], [True, True, False], [1, 0, 1, 0]])
def test_impossible_coins_are_refused(coins: list[bool]) -> None:
    with pytest.raises(DataError):
        bag_scores(["a"] * len(coins), np.array(coins), Draws(1, "bag"))


def test_empty_texts_are_scored_alike() -> None:
    scores = bag_scores([""] * 6, np.array([True, False] * 3), Draws(1, "bag"))
    assert np.isfinite(scores).all()
