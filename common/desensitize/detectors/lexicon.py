"""Medical and financial terms that look like names: drugs, herbs, diseases, eponyms, tests, indices. They veto a name.

The list is our own (``data/terms.json``). A veto falls on a hit that a term covers or crosses, unless a cue stands
beside it: 张力性头痛 is a complaint, 患者张力 is a patient. Not handled here: English eponyms in English text.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final

MAX_TERM: Final = 8


@cache
def term_groups() -> dict[str, frozenset[str]]:
    """The terms by group; ``names_with_suffix`` are terms only before one of ``suffixes``."""
    text = resources.files("fedward.common.desensitize.detectors.data").joinpath("terms.json").read_text("utf-8")
    return {group: frozenset(terms.split()) for group, terms in json.loads(text).items()}


@cache
def terms() -> frozenset[str]:
    """Every term that is one wherever it stands, Simplified, two to eight characters."""
    table = term_groups()
    return frozenset().union(*(table[group] for group in ("herbs", "drugs", "findings", "eponyms", "finance")))


_ETHNIC: Final = frozenset(
    [
        "汉",
        "满",
        "蒙古",
        "回",
        "藏",
        "维吾尔",
        "苗",
        "彝",
        "壮",
        "布依",
        "朝鲜",
        "侗",
        "瑶",
        "白",
        "土家",
        "哈尼",
        "哈萨克",
        "傣",
        "黎",
        "傈僳",
        "佤",
        "畲",
        "高山",
        "拉祜",
        "水",
        "东乡",
        "纳西",
        "景颇",
        "柯尔克孜",
        "土",
        "达斡尔",
        "仫佬",
        "羌",
        "布朗",
        "撒拉",
        "毛南",
        "仡佬",
        "锡伯",
        "阿昌",
        "普米",
        "塔吉克",
        "怒",
        "乌孜别克",
        "俄罗斯",
        "鄂温克",
        "德昂",
        "保安",
        "裕固",
        "京",
        "塔塔尔",
        "独龙",
        "鄂伦春",
        "赫哲",
        "门巴",
        "珞巴",
        "基诺",
    ]
)
_NUMERALS: Final = frozenset("零〇壹贰叁肆伍陆柒捌玖拾佰仟万亿元圆角分整")
_OF_TERMS: Final = frozenset("性症病型样")
"""They make a longer term of a term: 张力性."""
_WHICH_WEEK: Final = frozenset("上本下每")
_DAYS_OF_WEEKS: Final = frozenset("周初 周中 周内 周末 周一 周二 周三 周四 周五 周六 周日".split())  # noqa: SIM905
_PROVINCES: Final = frozenset("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼")


def is_no_name(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` can be neither person nor organisation: 苗族, 伍佰陆, 上周, the head of a plate."""
    value = text[start:end]
    if (value.endswith("族") and value[:-1] in _ETHNIC) or value.endswith(("号", "号码")):
        return True
    if all(character in _NUMERALS for character in value) and (
        text[start - 1 : start] in _NUMERALS or text[end : end + 1] in _NUMERALS
    ):
        return True
    if value[-2:-1] in _PROVINCES and value[-1].isascii() and value[-1].isupper():
        return True
    if value[-1] in _OF_TERMS and value[:-1] in terms():
        return True
    if value[0] == "周" and (text[start - 1 : start] in _WHICH_WEEK or value in _DAYS_OF_WEEKS):
        return True
    return value[0] in _PROVINCES and text[start + 1 : start + 2].isascii() and text[start + 1 : start + 2].isupper()


def vetoed(text: str, start: int, end: int, *, cued: bool = False) -> bool:
    """Whether ``text[start:end]`` is a term, is part of one, or reaches into one that begins before it.

    A longer hit that merely has a term inside is a name of its own: 白云飞 is none of the clouds. 威尔逊 is a term only
    before 病.

    Args:
        text: Simplified.
        cued: a label, role or title stands beside the hit; then only a longer term that begins with it counts.
    """
    known = terms()
    if cued:
        longest = min(len(text), start + MAX_TERM)
        return any(text[start:last] in known for last in range(end + 1, longest + 1))
    for first in range(max(0, start - MAX_TERM + 1), start + 1):
        # From the hit's own first character only a term that covers it counts, from before it any that reaches it.
        shortest = end if first == start else start + 1
        for last in range(max(shortest, first + 2), min(len(text), first + MAX_TERM) + 1):
            if text[first:last] in known:
                return True
    table = term_groups()
    return text[start:end] in table["names_with_suffix"] and any(
        text.startswith(suffix, end) for suffix in table["suffixes"]
    )


__all__ = ["is_no_name", "MAX_TERM", "term_groups", "terms", "vetoed"]
