"""Chinese names by what stands around them, and what looks alike and is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.addresses import AddressDetector
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector
from fedward.common.desensitize.spans import EntityType

RULES = ChineseNameDetector("structured")
FAST = ChineseNameDetector("fast")


def found(text: str, detector: ChineseNameDetector = RULES) -> list[str]:
    spans = detector.detect(Document.of(text))
    return sorted({text[s.start : s.end] for s in spans if s.type is EntityType.PERSON and s.level > 1})


NAMES = [
    # rows with a number
    ("| 位洁 | (+86)13188888888 |", "位洁"),
    ("李四 6217001234567890123；位敏 6217001234567890123", "位敏"),
    ("<tr><td>薄发</td><td>15929123456</td></tr>", "薄发"),
    ('{"name":"成达勇","id_card":"110101199001011237"}', "成达勇"),
    ("1. 彭雪有 15071682742", "彭雪有"),
    ("values ('华露超','630102194401010123')", "华露超"),
    ("客服记录，关秀18722566132。", "关秀"),
    # phrases behind the name
    ("边东与宋学有系夫妻，", "宋学有"),
    ("110101199001011237与薛昌成名下卡", "薛昌成"),
    ("向沈毓和（还款卡号 4111）", "沈毓和"),
    ("拾到景兴裕身份证一张", "景兴裕"),
    ("其监护人管之有称患者好转", "管之有"),
    ("值班护士已通知，投诉人龙豪来电（", "龙豪"),
    ("护士：邹\u3000厚家属在吗", "邹\u3000厚"),
    ("患者儿子汪子和要求转院", "汪子和"),
    # a stated surname
    ("我姓易，叫易丽云。", "易"),
    ("我姓易，叫易丽云。", "易丽云"),
    ("我姓许，叫许\u3000凯。", "许\u3000凯"),
    ("或者找任民嘉。", "任民嘉"),
    # rare surnames behind firm roles
    ("紧急联系人武凯，", "武凯"),
    ("担保人姜\u3000凯，身份证", "姜\u3000凯"),
    ("会议签到：马胜利、方政和、司进；", "方政和"),
    ("抢救医生为路翰和和李思敏。", "李思敏"),
    # surnames before titles
    ("上次是查医生看的吗", "查"),
    ("请易医生会诊", "易"),
    ("尊敬的雷先生，您", "雷"),
    ("业主植女士（", "植"),
    ("上级医师房主任查房", "房"),
    ("随访由高医生负责", "高"),
    ("店员：龙女士对吧", "龙"),
    ("请心内科王教授会诊", "王"),
    ("主診醫生成醫生；", "成"),
    ("对，上官医生，", "上官"),
    ("上次是买买提医生看的", "买买提"),
    ("小康：黄主任好", "小康"),
    ("老成在吗？", "老成"),
    # Latin letters
    ("姓名：John Smith，男", "John Smith"),
    ("姓名：ZHANG WEI，", "ZHANG WEI"),
    ("患者 Mary Kowalski 今晨", "Mary Kowalski"),
    ("请Smith医生会诊", "Smith"),
    ("我叫Siobhan O'Donnell，", "Siobhan O'Donnell"),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_name_is_found_by_its_surroundings(text: str, name: str) -> None:
    assert name in found(text)


NO_NAMES = [
    "顾客：13815104439，或",
    "单号 13800138000",
    "方式：13815104439",
    "金水区 13815104439",
    "患者（门诊号：ZY2242220，身份证",
    "（如下）为",
    "两位医生、各位老师、这位女士",
    "任何医生，班主任老师，主管医生",
    "祝老师节日快乐",
    "请向医生说明；由医生决定；患者和医生",
    "老师们、同志们",
    "患者满意，患者权益",
    "妇女儿童工作",
    "推选常务主席一人",
    "老百姓说",
    "患者 CT 示，患者BP 120/80，联系人：Tel",
    "医生 Warfarin 5mg",
]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_only_looks_like_a_name_stays(text: str) -> None:
    assert found(text) == []


TERMS = [
    "贷款资金用途为日常经营周转，还款来源",
    "民族：苗族",
    "高尔基体与内质网相连。孟德尔遗传定律。",
    "牛顿第二定律说明加速度与合力成正比。",
    "哈希值e3b0，普朗克常数6.6，阿伏伽德罗常数6.0，频率50赫兹。",
    "合计金额壹佰贰拾叁万肆仟伍佰陆拾元整。",
    "车牌桂A·D19456，",
]


@pytest.mark.parametrize("text", TERMS)
def test_a_term_a_unit_a_numeral_or_a_plate_is_no_name(text: str) -> None:
    assert found(text, FAST) == []


ADDRESSES = [
    "江苏省苏州市吴中区建设一路592号幸福里小区22幢1单元1492房",
    "深圳市福田区解放大道939号万科城市花园4单元892号",
    "浙江省杭州市西湖区学院路337号锦绣家园29幢3单元385号",
    "北京市海淀区建设一路994号翠湖天地3151房",
    "浙江省杭州市西湖区天府大道北段295号碧桂园凤凰城12幢2615室",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_estate_behind_the_number_of_its_road_belongs_to_the_address(address: str) -> None:
    text = f"家住{address}。"
    spans = AddressDetector("zh").detect(Document.of(text))
    assert [text[s.start : s.end] for s in spans] == [address]


@given(st.text(st.sampled_from("我姓易叫丽云，。与系夫妻（身份证1380014 |:：找John \u3000医生和、床的\n"), max_size=80))
def test_any_text_gives_spans_inside_it(text: str) -> None:
    for span in RULES.detect(Document.of(text)):
        assert 0 <= span.start < span.end <= len(text)


def test_rules_are_linear_on_long_runs() -> None:
    for piece in ("王", "姓王，", "A ", "1 3 ", "John "):
        assert len(RULES.detect(Document.of(piece * 20_000))) <= 20_000


@pytest.mark.parametrize("text", ["本片由JohnCarpenter执导", "制作人MikeNewell表示"])
def test_a_name_whose_blank_was_dropped_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize("text", ["用PowerPoint做报告", "使用JavaScript编写", "在YouTube上播出"])
def test_a_product_in_mixed_case_is_no_name(text: str) -> None:
    assert not found(text)
