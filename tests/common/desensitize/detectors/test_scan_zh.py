# ruff: noqa: RUF001 - full-width text is what is read
"""Chinese spellings of every structured type."""

from __future__ import annotations

import pytest

from fedward.common.desensitize.detectors.document import Document
from tests.common.desensitize.detectors.marked import DETECTORS, ENGINES, found, mark

PHONES = [
    "13800138000",
    "138-0013-8000",
    "138 0013 8000",
    "138.0013.8000",
    "138—0013—8000",
    "138\u30000013\u30008000",
    "+8613800138000",
    "+86 138 0013 8000",
    "+86-138-0013-8000",
    "0086-138-0013-8000",
    "(+86)13800138000",
    "（+86）13800138000",
    "86-13800138000",
    "１３８００１３８０００",
    "138\u200b0013\u200b8000",
    "17400012345",
    "010-62345678",
    "(010) 62345678",
    "（010）62345678",
    "0571 87654321",
    "021-6234-5678",
    "+86-10-62345678",
    "010-62345678-8001",
    "010-62345678转8001",
    "0571-87654321 ext. 123",
    "400-820-8820",
    "400 820 8820",
]
IDS = [
    "110101199001011237",
    "11010519491231002X",
    "11010519491231002x",
    "110101 19900101 1237",
    "110101-19900101-1237",
    "110101 1990 0101 1237",
    "110105 19491231 002X",
    "１１０１０１１９９００１０１１２３７",
    "810000199001011230",
    "820000199001011232",
    "830000199001011234",
]
CARDS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "6222021234567890128",
    "6222 0212 3456 7890 128",
    "5555555555554444",
    "378282246310005",
    "3782 822463 10005",
    "3530111333300000",
]
EMAILS = [
    "wangfang@example.com",
    "wang.fang+tag@mail.example.com.cn",
    "13800138000@163.com",
    "ｗａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ",
]
PLATES = [
    "京A12345",
    "京A·12345",
    "京A•12345",
    "京A 12345",
    "京A-12345",
    "京AD12345",
    "沪A·D12345",
    "沪AF12345",
    "沪A12345F",
    "粤Z·1234港",
    "粤Z1234澳",
    "京A1234学",
    "沪B1234警",
    "浙A1234挂",
    "浙A12345挂",
    "川A1B2C3",
    "新A12345",
]
RECORDS = ["ZY1234567", "0012345678", "12345678", "ZY-2024-00123", "M123456", "2024-00123"]
FIELD = [
    "{label}：{v}，",
    "{label}{v}。",
    "{label}:{v};",
    "{label} {v}",
    "{label}为{v}的",
    "【{label}】{v}、",
    "{label}（{v}）",
]
FIELD += [
    '"{label}":"{v}"',
    "{label}号={v}",
    "{label}\t{v}",
    "**{label}**：{v}",
    "| {label} | {v} |",
    "{label}（本人）：{v}",
]
FREE = ["{v}", "张三{v}李四", "（{v}）", "1、{v}；", "见{v}/", '"{v}"']


def _fields(type_: str, labels: list[str], values: list[str]) -> list[str]:
    return [
        form.format(label=label, v=f"«{type_} {value}»")
        for i, value in enumerate(values)
        for form in FIELD
        for label in (labels[i % len(labels)], labels[(i + 1) % len(labels)])
    ]


def _free(type_: str, values: list[str]) -> list[str]:
    return [form.format(v=f"«{type_} {value}»") for value in values for form in FREE]


MARKED = [
    *_fields("PHONE", ["电话", "手机", "联系电话", "座机", "联系方式", "手机号码"], PHONES),
    *_free("PHONE", PHONES),
    *_fields("ID_CN", ["身份证", "证件号码", "公民身份号码", "居民身份证号"], IDS),
    *_free("ID_CN", IDS),
    *_fields("CARD", ["卡号", "银行卡", "信用卡号", "收款卡号"], CARDS),
    *_free("CARD", CARDS),
    *_fields("EMAIL", ["邮箱", "电子邮件", "联系邮箱"], EMAILS),
    *_free("EMAIL", EMAILS),
    *_fields("PLATE", ["车牌", "车牌号码", "号牌"], PLATES),
    *_free("PLATE", PLATES),
    *_fields("MRN", ["住院号", "病案号", "门诊号", "病历号", "就诊号", "患者ID", "就诊卡号", "登记号"], RECORDS),
]
SINGLE = [
    "客服电话：«PHONE 95588»。",
    "电话：«PHONE 62345678»",
    "電話：«PHONE 07-3247587»",
    "电话«PHONE 6234-5678转801»",
    "电话：«PHONE 15412345678»",
    "总机«PHONE 01062345678»",
    "手机：«PHONE 13800138000»/«PHONE 13900139000»",
    "«PHONE 13800138000»、«PHONE 13900139000»；«PHONE 13700137000»",
    "手机«PHONE 13800138000»身份证«ID_CN 110101199001011237»邮箱«EMAIL a.b@c.com»",
    "张三 «PHONE 13800138000» «ID_CN 110101199001011237» 男",
    "身份证：«ID_CN 110101900101123»",
    "身份证号码为：«ID_CN 110101199001011234»",
    "卡号«CARD 6222021234567890123»，",
    "账号：«ACCOUNT 310076661234567»",
    "对公账户«ACCOUNT 1234 5678 9012»",
    "住院号：«MRN ZY1234567»、«MRN ZY1234568»",
    "病历号«MRN MRN00012345»",
    "护照号：«PASSPORT E12345678»",
    "往来港澳通行证号码：«PASSPORT CA1234567»",
    "台胞证«PASSPORT 01234567»",
    "军官证：军字第«LICENCE 1234567»号",
    "执业证书编号：«LICENCE 110110000001234»",
    "驾驶证档案编号：«LICENCE 110012345678»",
    "医保卡号：«HEALTH_PLAN A12345678»",
    "社保卡号«HEALTH_PLAN 123456789012»",
    "香港身份证«NATIONAL_ID A123456(7)»",
    "交易流水号：«TXN 20240305123456789»",
    "订单号«TXN 13800138000»",
    "验证码是：«SECRET 123456»，",
    "«SECRET 123456»是您的验证码",
    "密码：«SECRET Abc@1234»!",
    "尾号为«SECRET 1234»的银行卡",
    "身份证后四位«SECRET 123X»",
    "车架号：«VIN LSVAA4187E2184847»",
    "设备序列号：«DEVICE SN12345678»",
    "mac地址«DEVICE 00-1A-2B-3C-4D-5E»",
    "登录IP «IP 10.0.0.12».",
    "IP地址：«IP 192.168.123.100»，",
    "微信号：«HANDLE wx_abc123»",
    "QQ：«HANDLE 123456789»",
    "统一社会信用代码：«ORG_ID 91350100M000100Y43»",
    "手机«MASKED 138****8000»",
    "身份证«MASKED 110101********1237»",
    "卡«MASKED 6222 **** **** 1234»",
    "户名«MASKED 张**»，",
    "«MASKED 李*明»已签收",
    "邮箱«MASKED z***g@qq.com»",
    "邮编«POSTCODE 100081»",
    "见«URL https://example.com/a?b=1»，",
    "图«IMAGE https://x.com/a/b.jpg»，",
    "见 «IMAGE upload/face_001.jpg»",
    "手机«PHONE 一三八零零一三八零零零»",
    "身份证号码：«ID_CN 一一零一零一一九九零零一零一一二三七»",
    "患者«AGE 92»岁",
    "«AGE 九十二»岁",
    "«AGE 一百零二»岁",
    "年龄：«AGE 93»",
    "«DATE 2024年3月5日»-«DATE 3月9日»",
    "«DATE 2024-03-05»至«DATE 2024-03-09»",
    "6 «DATE 2024-01-05» «PHONE 13800138000»",
    "出生日期：«DATE 19900101»，",
]
DATES = [
    "2024年3月5日",
    "2024 年 3 月 5 日",
    "2024年3月",
    "24年3月5日",
    "3月5日",
    "3月5号",
    "2024-03-05",
    "2024/3/5",
    "2024.03.05",
    "二〇二四年三月五日",
    "二零二四年三月",
    "一九九〇年十二月三十一日",
    "三月五日",
    "民国113年3月5日",
    "民国一百一十三年三月五日",
    "２０２４年３月５日",
]


@pytest.mark.parametrize("marked", MARKED)
def test_every_spelling_is_found_in_every_field(marked: str) -> None:
    assert found(marked) == marked


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("marked", SINGLE)
def test_labelled_and_unmistakable_values_are_found(marked: str, engine: str) -> None:
    assert found(marked, "re" if engine == "re" else "re2") == marked


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("form", ["于{}入院", "（{}）", "日期：{}。"])
def test_dates_are_found_in_every_written_form(date: str, form: str) -> None:
    marked = form.format(f"«DATE {date}»")
    assert found(marked) == marked


def test_the_fallback_engine_finds_what_google_re2_finds() -> None:
    texts = [marked.replace("«", " ").replace("»", " ") for marked in MARKED[::7]]
    documents = [Document.of(text) for text in texts]
    by_engine = [
        [mark(d.source, spans) for d, spans in zip(documents, DETECTORS[engine].detect_many(documents), strict=True)]
        for engine in ENGINES
    ]
    assert by_engine[0] == by_engine[1]
