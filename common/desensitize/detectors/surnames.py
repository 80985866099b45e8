"""Chinese surnames: common and rare ones of one character, compound ones, and the characters of transliterated names.

Facts, in ``data/surnames.json``; the common ones cover about nineteen people of twenty. Simplified forms only: text is
mapped before it is compared. Not handled here: telling a surname from the word that begins with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Final

TRANSLITERATION: Final = (
    "阿埃艾安昂奥巴白班邦鲍贝本比彼毕波伯勃博布茨查达戴丹德登狄迪蒂杜多顿厄恩尔法菲费芬丰弗福夫盖冈戈哥格葛根古哈海汉亨华惠霍基吉加贾简杰金京"
    "喀卡凯坎康考柯科克肯库夸奎拉莱赖兰朗劳勒雷黎里利立莉丽林琳隆卢鲁伦罗洛马玛迈麦曼芒梅门蒙孟米密明莫默姆穆内纳娜南尼涅宁纽努诺欧帕派潘庞佩"
    "彭皮平珀普奇齐恰乔琼丘让日荣瑞若萨赛桑瑟森沙莎山舍圣施什石史斯丝松苏索塔泰坦汤唐特提图托瓦万旺威维韦魏温文翁沃乌武西希锡夏谢辛欣休许雪雅"
    "亚延扬耶叶伊易因英尤约泽扎詹珍兹佐卓"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surnames:
    """Facts about names.

    Args:
        common: one character each.
        rare: one character each; many are words of their own.
        compound: two to four characters.
    """

    common: frozenset[str]
    rare: frozenset[str]
    compound: tuple[str, ...]
    single: frozenset[str] = field(init=False, repr=False)
    """Common and rare ones."""

    def __post_init__(self) -> None:
        """Unite once what is asked for at every name."""
        object.__setattr__(self, "single", self.common | self.rare)


@cache
def surnames() -> Surnames:
    """The table that ships with the package."""
    file = resources.files("fedward.common.desensitize.detectors.data").joinpath("surnames.json")
    table = json.loads(file.read_text("utf-8"))
    return Surnames(common=frozenset(table["common"]), rare=frozenset(table["rare"]), compound=tuple(table["compound"]))


__all__ = ["Surnames", "surnames", "TRANSLITERATION"]
