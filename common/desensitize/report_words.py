"""The words of the HTML report in English and in Chinese: headings, columns, statements, row names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]

WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Desensitisation report", "脱敏报告"),
    "summary": ("Summary", "概要"),
    "records": ("records read", "读取记录"),
    "written": ("records written", "写出记录"),
    "quarantined_by_leak_check": ("left out by the leak check", "未通过泄漏检查而剔除"),
    "unreadable": ("unreadable, left out", "无法读取而剔除"),
    "replaced": ("identifiers replaced", "已替换标识符"),
    "changed_share": ("share of characters changed", "改动字符占比"),
    "unseen": ("share of characters no names model read", "未经姓名模型阅读的字符占比"),
    "gbt": ("level by GB/T 42460-2023", "GB/T 42460-2023 等级"),
    "warnings": ("Warnings", "警告"),
    "no_warnings": ("none", "无"),
    "by_type": ("By type", "按类型"),
    "type": ("type", "类型"),
    "count": ("count", "数量"),
    "method": ("method", "方法"),
    "level": ("level", "置信级"),
    "action": ("action", "处理方式"),
    "hits": ("Hits by type, method, level and action", "按类型、方法、置信级与处理方式统计"),
    "validators": ("What the hits rest on", "命中依据"),
    "known": ("known value", "已知值"),
    "checked": ("checksum or grammar", "校验或语法"),
    "witness": ("one witness", "单一佐证"),
    "pattern": ("pattern alone", "仅模式"),
    "canaries": ("Canaries: estimated recall", "金丝雀：召回率估计"),
    "no_canaries": ("No canaries were injected; recall is not estimated.", "未注入金丝雀，未估计召回率。"),
    "injected": ("injected", "注入"),
    "caught": ("caught", "找到"),
    "recall": ("recall", "召回率"),
    "interval": ("Wilson 95 %", "威尔逊 95% 区间"),
    "target": ("target", "目标"),
    "passes": ("passes", "通过"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "over_scrub": ("Over-scrub", "过度脱敏"),
    "measure": ("measure", "指标"),
    "value": ("value", "数值"),
    "outcomes": ("Outcomes", "处理结果"),
    "outcome": ("outcome", "结果"),
    "quarantined": ("quarantined", "隔离"),
    "coincidence": ("coincidence with another value", "与其他值巧合"),
    "inconsistent": ("inconsistent surrogates", "替换值不一致"),
    "fixed_point": ("fixed points", "不动点"),
    "redrawn": ("redrawn", "重新抽取"),
    "low_confidence": ("Low-confidence items", "低置信项"),
    "handles": ("keyed handles (HMAC); no plaintext", "带密钥句柄（HMAC），不含明文"),
    "k_anonymity": ("k-anonymity of the quasi-identifiers", "准标识符的 k-匿名"),
    "not_measured": ("not measured", "未测量"),
    "classes": ("classes", "等价类"),
    "k_min": ("smallest class", "最小等价类"),
    "share_below_threshold": ("share of records in classes below 5", "等价类小于 5 的记录占比"),
    "suggestions": ("suggested generalisations", "建议的泛化"),
    "safe_harbor": ("Safe Harbor, 45 CFR 164.514(b)(2)", "安全港，45 CFR 164.514(b)(2)"),
    "row": ("row", "项"),
    "what": ("identifier", "标识符"),
    "found": ("found", "发现"),
    "status": ("status", "状态"),
    "note": ("note", "说明"),
    "covered": ("covered", "已覆盖"),
    "not handled": ("not handled", "未处理"),
    "not applicable": ("not applicable", "不适用"),
    "claimed": ("policy safe_harbor", "策略 safe_harbor"),
    "levels": ("Level and evidence, GB/T 42460-2023", "等级与依据，GB/T 42460-2023"),
    "evidence": ("evidence", "依据"),
    "statements": ("What this report does not promise", "本报告不作的承诺"),
    "provenance": ("Provenance", "来源"),
    "columns": ("Columns", "列"),
    "column": ("column", "列名"),
    "values": ("values", "值数"),
    "key": ("key", "密钥"),
    "one_run": ("one run, destroyed at its end", "单次运行，结束即销毁"),
    "policy": ("policy", "策略"),
    "tables": ("tables", "数据表"),
    "output": ("output", "输出"),
    "versions": ("versions", "版本"),
    "seconds": ("seconds", "秒"),
    "changed_characters": ("characters changed", "改动字符"),
    "sample_texts": ("texts in the sample", "抽样文本"),
    "terms_unchanged_share": ("share of terms unchanged", "术语保持不变的占比"),
    "entities_merged": ("entities merged or parted", "实体合并或拆分"),
    "intervals_wrong": ("intervals between dates changed", "日期间隔改变"),
    "hard_negatives": ("hard negatives", "难负例"),
    "hard_negatives_touched_share": ("share of hard negatives touched", "难负例被改动的占比"),
    "no_surrogate": ("no surrogate of this form", "无此形式的替换值"),
    "unreadable_value": ("form not readable", "形式无法解析"),
    "impossible_date": ("impossible dates", "不可能的日期"),
    "profile": ("profile", "档位"),
    "stance": ("stance", "取向"),
    "language": ("language", "语言"),
    "scope": ("scope", "范围"),
    "dates": ("dates", "日期"),
    "address": ("address", "地址"),
    "safe_harbor_policy": ("safe harbor", "安全港"),
    "layers": ("layers", "层"),
}

STATEMENTS_ZH: Mapping[str, str] = {
    "pipl": "输出属于去标识化（《个人信息保护法》第五十一条、第七十三条），仍是个人信息；"
    "它不是匿名化，任何时候都不得称为匿名化。",
    "fpe": "保留格式加密（FPE）的输出是个人数据：持有密钥者可以还原。",
    "surrogates": "替换值可能与正在使用的号码相同：中国没有为虚构用途预留号段。",
    "layers": "语义层与噪声层没有任何形式化保证。它们使复制与关联变得更难；读者或模型可能将其还原。"
    "一次运行的保证来自差分隐私训练。",
    "gbt_37964": "采用 GB/T 37964-2019 意义上的技术：抑制、假名化、泛化、随机化。",
    "gbt_37964_fpe": "采用 GB/T 37964-2019 意义上的技术：抑制、假名化、泛化、随机化、保留格式加密。",
    "limits": "行文中的准标识符（罕见病、已知事件）任何标注器都无法穷尽。图像、PDF 与 DICOM 不在处理范围内。"
    "口述数字仅在有标签时才能发现。",
}
WARNINGS_ZH: Mapping[str, str] = {
    "scope_site": "范围为 site：姓名替换是一种可按频率破解的代换密码。",
    "structured": "档位为 structured：未查找行文中的姓名、机构与地址。",
    "safe_harbor_key": "输出中有由该密钥从个人派生的代码，且密钥被保留：不属于安全港。"
    "请不用 --key 运行，或删除这些列。",
    "mostly_replaced": "超过一半的字符被替换：这是文本吗？",
    "failed": "{} 条记录未通过泄漏检查，不在输出中。",
    "canaries_missed": "以下类型的金丝雀召回率低于策略目标：{}。",
    "no_canaries": "未注入金丝雀：未估计召回率。",
    "terms_lost": "仅 {} 的医学与金融术语保持不变。",
}
ROW_NOTES_ZH: Mapping[str, str] = {
    "attachments": "图像链接与 data: URI 被删除；不读取附件",
    "shift": "日期平移不属于安全港，而属于专家判定",
    "labelled": "仅限带标签的代码：无标签的号码不因其长而成为标识符",
    "kept": "策略保留：{}",
    "not_looked": "档位为 structured，未在行文中查找",
    "english_places": "不在地址中的英文地名仅由档位 max-recall 查找",
}
EVIDENCE_ZH: Mapping[str, str] = {
    "not_looked": "档位为 structured：未查找行文中的姓名",
    "kept": "策略保留了直接标识符：{}",
    "classes": "准标识符列的最小等价类有 {} 人（无患者字段时为记录）；行文中的准标识符不在此数之内",
    "small_classes": "直接标识符已替换；仍有仅 {} 人（无患者字段时为记录）的等价类",
    "not_measured": "直接标识符已替换；策略中无人指明准标识符，其风险未测量",
}
CANARIES_NOTE_ZH = "这是偏乐观的估计：金丝雀由检测器的作者编写，虽不使用其代码与数据表。真实写法会更常被漏掉。"
SAFE_HARBOR_NOTE_ZH = (
    "安全港还要求持有者并不实际知悉剩余信息可识别某人，任何工具都无法为此作证。"
    "由个人派生的代码，除非销毁密钥，不属于安全港。"
)
ROWS_ZH: Mapping[str, str] = {
    "A": "姓名",
    "B": "州以下地理区划",
    "C": "除年份外的日期；89 岁以上年龄",
    "D": "电话号码",
    "E": "传真号码",
    "F": "电子邮箱",
    "G": "社会保障号、身份证号",
    "H": "病案号",
    "I": "医保受益人号",
    "J": "账号",
    "K": "证书与执照号",
    "L": "车辆标识与车牌",
    "M": "设备标识与序列号",
    "N": "网址",
    "O": "IP 地址",
    "P": "生物特征",
    "Q": "正面照片",
    "R": "其他唯一编号或代码",
}


def word(key: str, language: Language) -> str:
    """A word of the report; what has none is its own name."""
    pair = WORDS.get(key)
    return key.replace("_", " ") if pair is None else pair[language == "zh"]


__all__ = [
    "CANARIES_NOTE_ZH",
    "EVIDENCE_ZH",
    "Language",
    "ROW_NOTES_ZH",
    "ROWS_ZH",
    "SAFE_HARBOR_NOTE_ZH",
    "STATEMENTS_ZH",
    "WARNINGS_ZH",
    "word",
    "WORDS",
]
