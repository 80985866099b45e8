"""Placeholders: [姓名1], [PHONE2], numbered within a document in the order in which its values come.

Not handled here: who gets one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fedward.common.desensitize.spans import EntityType

Language = Literal["zh", "en"]

_ZH = {
    EntityType.PERSON: "姓名",
    EntityType.PHONE: "电话",
    EntityType.EMAIL: "邮箱",
    EntityType.URL: "网址",
    EntityType.ID_CN: "身份证号",
    EntityType.SSN: "社保号",
    EntityType.NATIONAL_ID: "证件号",
    EntityType.PASSPORT: "护照号",
    EntityType.LICENCE: "证照号",
    EntityType.MRN: "病历号",
    EntityType.HEALTH_PLAN: "医保号",
    EntityType.CARD: "卡号",
    EntityType.ACCOUNT: "账号",
    EntityType.IBAN: "国际账号",
    EntityType.TXN: "流水号",
    EntityType.SECRET: "密码",
    EntityType.PLATE: "车牌",
    EntityType.VIN: "车架号",
    EntityType.DEVICE: "设备号",
    EntityType.IP: "网络地址",
    EntityType.HANDLE: "社交账号",
    EntityType.ORG_ID: "机构代码",
    EntityType.MASKED: "掩码",
    EntityType.DATE: "日期",
    EntityType.AGE: "年龄",
    EntityType.ADDRESS: "地址",
    EntityType.POSTCODE: "邮编",
    EntityType.LOC: "地点",
    EntityType.ORG: "机构",
    EntityType.IMAGE: "图片",
}


def is_chinese(text: str) -> bool:
    """Whether a text holds a Chinese character."""
    return not text.isascii() and any("\u3400" <= c <= "\u9fff" for c in text)


@dataclass(kw_only=True, slots=True)
class Placeholders:
    """The numbers that one document gave out."""

    _numbers: dict[EntityType, dict[str, int]] = field(default_factory=dict, repr=False)

    def of(self, type_: EntityType, key: str, language: Language) -> str:
        """The placeholder of a value; equal keys have equal ones."""
        numbers = self._numbers.setdefault(type_, {})
        number = numbers.setdefault(key, len(numbers) + 1)
        return f"[{_ZH[type_] if language == 'zh' else type_.value}{number}]"


__all__ = ["is_chinese", "Language", "Placeholders"]
