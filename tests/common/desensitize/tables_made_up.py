"""Invented tables: a Chinese bank, an English clinic, columns without a name that says anything."""

from __future__ import annotations

from fedward.common.desensitize.canary_values import VALUES
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.spans import EntityType as E

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="bank-a", key_id="1")
NUM_ROWS = 200


def _value(draw: KeyedStream, type_: E, language: str) -> str:
    return VALUES[type_, language](draw).text


def bank_zh(num_rows: int = NUM_ROWS) -> list[dict[str, object]]:
    """Customers of a bank."""
    draw = KeyedStream.of(KEYS, "table", "zh")
    return [
        {
            "客户号": f"{10000000 + index * 37}",
            "户名": _value(draw, E.PERSON, "zh"),
            "证件号码": _value(draw, E.ID_CN, "zh"),
            "手机": _value(draw, E.PHONE, "zh"),
            "账号": draw.digits(17),
            "性别": draw.choice("男女"),
            "出生日期": f"{1950 + draw.below(50)}-{1 + draw.below(12):02d}-{1 + draw.below(28):02d}",
            "家庭住址": f"浙江省杭州市西湖区文三路{1 + draw.below(400)}号",
            "职业": draw.choice(("教师", "工人", "医生", "职员")),
            "余额": draw.below(10**7) / 100,
            "备注": draw.choice(
                ("客户来电询问贷款进度，已经告知需要补充材料。", "柜台办理，一切正常，客户表示满意，没有异议。")
            ),
        }
        for index in range(num_rows)
    ]


def clinic_en(num_rows: int = NUM_ROWS) -> list[dict[str, object]]:
    """Patients of a clinic."""
    draw = KeyedStream.of(KEYS, "table", "en")
    return [
        {
            "row": index,
            "PatientName": _value(draw, E.PERSON, "en"),
            "mrn": draw.digits(8),
            "SSN": f"{1 + draw.below(665):03d}-{1 + draw.below(99):02d}-{1 + draw.below(9999):04d}",
            "home_phone": _value(draw, E.PHONE, "en") if draw.below(3) else None,
            "zip": f"{90000 + draw.below(900)}",
            "age": 18 + draw.below(70),
            "sex": draw.choice("MF"),
            "admission_date": f"2024-{1 + draw.below(12):02d}-{1 + draw.below(28):02d}",
            "diagnosis": draw.choice(("pneumonia", "asthma", "stroke")),
            "clinical notes": "Patient was seen and examined. Stable, no fever, will come back.",
        }
        for index in range(num_rows)
    ]


def nameless(num_rows: int = NUM_ROWS) -> list[dict[str, object]]:
    """Columns called c1, c2 and so on."""
    draw = KeyedStream.of(KEYS, "table", "none")
    return [
        {
            "c1": _value(draw, E.PERSON, "zh"),
            "c2": _value(draw, E.PERSON, "en"),
            "c3": _value(draw, E.CARD, "en"),
            "c4": _value(draw, E.EMAIL, "en"),
            "c5": f"X{draw.digits(9)}",
            "c6": draw.choice("ABC"),
            "c7": "The patient was seen and examined in the morning.",
            "c8": None,
            "c9": f"20{10 + draw.below(10)}/{1 + draw.below(12)}/{1 + draw.below(28)}",
        }
        for _ in range(num_rows)
    ]


__all__ = ["bank_zh", "clinic_en", "KEYS", "nameless", "NUM_ROWS"]
