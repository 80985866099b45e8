"""Rules for Chinese names: what each finds, where it ends, and what looks like one and is none."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector
from fedward.common.desensitize.spans import EntityType

RULES = ChineseNameDetector("structured")


class Case(NamedTuple):
    text: str
    names: tuple[str, ...]


CASES = [
    # labels
    Case("姓名：张伟 性别：男", ("张伟",)),
    Case("姓名:张建国籍贯:山东", ("张建国",)),
    Case("姓名：张 三 性别：男", ("张 三",)),
    Case("姓名　：　欧阳娜娜", ("欧阳娜娜",)),
    Case("户名：买买提", ("买买提",)),
    Case("姓名,张三\n性别,男\n", ("张三",)),
    Case("户名，张三，账号，6222021234567890128", ("张三",)),
    Case('"姓名","李思远"\n"科室","内科"', ("李思远",)),
    Case("姓名,性别,年龄\n", ()),
    Case("收款人,付款人,金额\n", ()),
    Case("请核对姓名,王姓患者在外等候", ()),
    Case("主持人：谢谢各位", ()),
    Case("主持人：各位领导", ()),
    Case("原董事长昨日被查", ()),
    Case("该院原院长出席", ()),
    Case("收款人：李明明 付款人：王五", ("李明明", "王五")),
    Case("经办人：周 复核：无", ()),
    Case("法定代表人为陈国庆，注册资本", ("陈国庆",)),
    Case("主治医师：贺知远 住院医师：上官云", ("贺知远", "上官云")),
    Case("患者：王芳，女", ("王芳",)),
    Case("患者：高血压三年", ()),
    Case("联系人：不详", ()),
    # roles
    Case("用户张三的身份证号是", ("张三",)),
    Case("患者孙丽，电话", ("孙丽",)),
    Case("患者王芳于昨日入院", ("王芳",)),
    Case("委托人关翰武向上官康生汇款，双方", ("上官康生",)),
    Case("委托人邓华向霍功会汇款，双方", ("邓华", "霍功会")),
    Case("随访由向医生负责。", ("向",)),
    Case("主治醫師于醫師，生命徵象", ("于",)),
    Case("由于医生短缺", ()),
    Case("主治医生向医生说明情况", ()),
    Case("用户向余额宝转账", ()),
    Case("客户向原账户转账", ()),
    Case("委托人王芳向李雷汇款", ("王芳", "李雷")),
    Case("储户诸葛明办理挂失", ("诸葛明",)),
    Case("我叫李小明，今年五岁", ("李小明",)),
    Case("患者张力，男", ("张力",)),
    Case("患者高血压、白细胞升高", ()),
    Case("患者应积极治疗，患者马上手术", ()),
    Case("患者于2025年入院", ()),
    Case("患者张口困难，常伴发热", ()),
    Case("患者谷丙转氨酶升高", ()),
    # kin and parties
    Case("患者之子王强签字", ("王强",)),
    Case("患者的母亲李桂英诉", ("李桂英",)),
    Case("丈夫陈刚陪同", ("陈刚",)),
    Case("妇女儿童工作", ()),
    # titles: the title stays
    Case("请王医生会诊", ("王",)),
    Case("司马医生查房", ("司马",)),
    Case("周五王医生出诊", ("王",)),
    Case("崔树旺教授门诊", ("崔树旺",)),
    Case("張醫師查房", ("張",)),
    Case("李某到银行", ("李",)),
    Case("主任医生说，谢谢医生", ()),
    Case("高血压医生，由专科医生处理", ()),
    Case("对于老师来说", ()),
    # 老 小 阿
    Case("老张和小李来了", ("老张", "小李")),
    Case("老师说小时候的小米粥", ()),
    Case("阿莫西林、阿司匹林", ()),
    # middle dots
    Case("美国总统比尔·克林顿说", ("比尔·克林顿",)),
    Case("阿力木•买买提来院", ("阿力木•买买提",)),
    Case("新闻·体育", ()),
    # Traditional
    Case("患者黃曉明，男，住院", ("黃曉明",)),
    # terms
    Case("何首乌15g，徐长卿6g，白塞病，马凡综合征，黄斑变性", ()),
    Case("姓名：何首乌", ("何首乌",)),
]


def found(text: str) -> tuple[str, ...]:
    spans = RULES.detect(Document.of(text))
    assert all(span.type is EntityType.PERSON and span.level == 3 for span in spans)
    return tuple(dict.fromkeys(text[span.start : span.end] for span in spans))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_rules(case: Case) -> None:
    assert found(case.text) == case.names


@given(st.text(alphabet="患者姓名：:王欧阳芳医生老小·张 \n\u200b的在", max_size=60))
def test_hits_lie_in_the_source(text: str) -> None:
    assert all(0 <= s.start < s.end <= len(text) for s in RULES.detect(Document.of(text)))


@given(st.text(max_size=120))
def test_any_text_is_read(text: str) -> None:
    assert all(0 <= s.start < s.end <= len(text) for s in RULES.detect(Document.of(text)))


def test_a_zero_width_character_inside_a_name_goes_with_it() -> None:
    text = "姓名：王\u200b芳，女"
    (span,) = RULES.detect(Document.of(text))
    assert text[span.start : span.end] == "王\u200b芳"
