"""The gate lets names through and most text without one not."""

from __future__ import annotations

import numpy as np
import pytest

from fedward.common.desensitize.detectors import gate
from fedward.common.desensitize.detectors.characters import codes_of
from fedward.common.desensitize.detectors.features import words_here
from fedward.common.desensitize.detectors.words import shipped_words


def passes(text: str) -> bool:
    codes = codes_of(text)
    here = words_here(codes, shipped_words())
    return bool((gate.candidates(codes, here) | gate.bodies(text, codes, here)).any())


@pytest.mark.parametrize(
    "text",
    [
        "昨天张伟明来过",
        "今天陪欧阳娜娜看病",
        "见到克林顿了",
        "阿依古丽·买买提",
        "转到北京协和医院",
        "住在青山县柳河镇",
        "陈静瑜做过",
        "黃曉明住院",
    ],
)
def test_text_with_a_name_passes(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize(
    "text", ["", "血压正常", "建议多喝热水", "需要继续服用药物治疗", "感谢您的咨询", "定期复查肝功能"]
)
def test_text_without_a_candidate_does_not(text: str) -> None:
    assert not passes(text)


def test_the_mask_has_one_place_a_character() -> None:
    codes = codes_of("张伟𠀀\ud800在北京")
    assert gate.candidates(codes, words_here(codes, shipped_words())).shape == codes.shape
    assert gate.candidates(codes, words_here(codes, shipped_words())).dtype == np.bool_
