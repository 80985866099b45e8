"""Hard negatives: what looks like an identifier and is none, and the regression fixtures F1 to F5."""

from __future__ import annotations

import pytest

from tests.common.desensitize.detectors.marked import ENGINES, found

UNTOUCHED = """
黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567
批号：13912345678
条码13912345678
样本条码110101199001011234
型号 13912345678
lot 13912345678
血压142/91mmHg
血小板 213×10^9/L，WBC 6.5×10^9/L
阿司匹林100mg bid po，0.9%氯化钠注射液100ml
体温36.5℃，HR 78 bpm, BP 120/80
血糖5.6-7.8mmol/L，pH 7.35
CA19-9 35.2，CA125 12.3U/ml，HLA-B27，IgG4
T2N1M0，G3P1，EGFR 19外显子，c.1799T>A
GB/T 37964-2019
GB/T 42460-2023标准
ISO 9001:2015
NCT01234567，rs12345678，NM_000546.6
国药准字H20013800
国药准字Z20013800，
表单号20240305001
20240305123456
20240305123456789
1709612345678
1709612345
¥13,800,138,000.00
￥13800138000
金额13800138000.00元
13800138000元
余额13800138000.50
116.397428, 39.90923
坐标39.9092312345,116.3974281234
0.13912345678
3.1415926535
版本1.2.3.4
version 1.2.3.4
v1.2.3.4
1.2.840.10008.1.2
EC 3.1.1.11
ISBN 978-7-111-12345-6
ISBN 9787111123456
12345678901
10012345678
12012345678
14012345678
17912345678
110101199013011234
123456789012345678
6222021234567890
4111111111111112
1234567890123456
1 2 3 4 5 6 7 8 9 10
12 34 56 78 90
100 200 300
第12页，图3-2，表4
3-5天，10年3月，病程3年2月，3个月5天
今天上午8:30，两周前，8:30-17:00，12:30:45
于2025年办理，2024年，二〇二四年，2023-2024年，1990年代
2024-02-30，2024年13月5日
89岁，年龄45岁，aged 45，≥90岁，90岁以上，18-90岁，90后
更新A12345B
C++ std::cout，a::b
**重点**说明，2**10
the order of 5 items, phone calls 3 times, card games
password is required, record 2024, case 12
hotel 12345678
an average of 140 physicians, scores of 8.3/19 and 4.18/10
SN9558, DL-154319
7179d941e15e874b0dea8f30ee1386de
QQ音乐，微信支付，电话随访
call 2019-2020, cell 5000000, plate 384, fiscal year ending 2024, lot 12
医保支付1234.56元，账户余额12345678.90元，订单2份
018202650695
""".strip().splitlines()

F = {
    "F1": "用户张三的身份证号是«ID_CN 110101199001011234»,手机号是«PHONE 13800138000»,于2025年办理贷款业务",
    "F2": "«ID_CN 110101199001011237»",
    "F3": "委托人王芳向李雷汇款",
    "F4": "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567",
    "F5": "患者孙丽，电话«PHONE 138 0013 8000»；欧阳娜娜",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", UNTOUCHED)
def test_hard_negatives_stay(text: str, engine: str) -> None:
    assert found(text, "re" if engine == "re" else "re2") == text


@pytest.mark.parametrize("name", F)
def test_the_naive_recipes_faults_are_not_ours(name: str) -> None:
    assert found(F[name]) == F[name]


@pytest.mark.parametrize("digits", ["110101199001011237", "6222021234567890128", "3013912345678901234567"])
def test_groups_are_atomic_so_no_phone_lies_inside_a_longer_number(digits: str) -> None:
    assert "PHONE" not in found(f"号{digits}")


@pytest.mark.parametrize("beside", ["a{}", "{}a", "9{}", "{}0", "_x{}", "{}Z"])
def test_a_letter_or_digit_beside_a_number_rejects_it(beside: str) -> None:
    text = beside.format("13800138000")
    assert found(text) == text
