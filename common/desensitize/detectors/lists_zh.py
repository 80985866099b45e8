"""Words and patterns by which Chinese names are found: labels, roles, kin, titles; surnames that mislead.

Not handled here: what the rules do with them (``rules_zh``, ``contexts_zh``).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from fedward.common.desensitize.detectors.surnames import TRANSLITERATION, surnames

HAN: Final = "\u3400-\u9fff"
SPACED: Final = f"[{HAN}][ \u3000]{{1,2}}[{HAN}](?:[ \u3000]{{0,2}}[{HAN}])?"
"""A name with blanks in it, as forms align them."""
STOPS: Final = frozenset(
    "的了在为向与和及是因于对把被将给从由到至往经按就也都又还要会可能没未不无有之其此该这那您你我他她它们吗呢吧啊呀哦嗯么什"
    "怎哪谁且或若如则但并而后前中内外上下间今昨次每再已曾正等所以让叫使用请需应做去来说讲称问告诉看见找想觉得很太更最非常"
    "性男女岁号第约某者名位个年月日时分秒自住现系患诊查检测拟予行入出转收付汇存取办申签"
)
"""Characters that a rule takes for the end of a name; a tagger may know better, and spans are united."""
CUT: Final = frozenset("的了在为向与和及是因于对把被将给从由到就也都又还要会没未不有这那您你我他她吗呢吧")
"""Never the last character of a name that no list knows; without 于 and 之 where they begin a given name."""

NAME_LABELS: Final = (
    "姓名|患者姓名|病人姓名|客户姓名|用户姓名|本人姓名|父亲姓名|母亲姓名|配偶姓名|家长姓名|职工姓名|员工姓名|学生姓名|代理人姓名|曾用名|名字|户名|账户名|"
    "账户名称|开户名|收款人|付款人|汇款人|收款方|付款方|持卡人|开户人|经办人|经办|复核人|复核|审核人|审核|审批人|制单人|制单|记账人|授权人|授权|"
    "签名|签字|签章|医师签名|医生签名|家属签名|患者签名|患者签字|联系人|紧急联系人|联络人|监护人|法定代表人|法人代表|法人|委托人|受托人|被委托人|"
    "被保险人|投保人|受益人|申请人|担保人|保证人|借款人|共同借款人|贷款人|出借人|抵押人|出质人|承租人|出租人|买受人|出卖人|主治医师|主治医生|主管医师|"
    "主管医生|经治医师|经治医生|住院医师|主任医师|副主任医师|责任医师|值班医师|值班医生|接诊医生|接诊医师|首诊医师|手术医师|手术者|术者|主刀|主刀医师|"
    "一助|二助|第一助手|麻醉师|麻醉医师|器械护士|巡回护士|责任护士|值班护士|护士长|记录者|记录人|书写者|检查者|检查医师|报告医师|报告者|报告人|"
    "审核医师|审核者|送检医师|送检医生|申请医师|申请医生|病史陈述者|病史提供者|陈述者|供史者|陪同人|陪护人|代办人|代理人|柜员|客户经理|理财经理|"
    "收件人|寄件人|发件人|受检者|受试者|捐献者|班主任|负责人|责任人|项目负责人|主持人|通讯员|译者|责任编辑|主编"
)
"""What follows the colon is a name, whatever it looks like."""
LABELS: Final = (
    "患者|病人|客户|用户|储户|会员|供者|受者|本人|父亲|母亲|配偶|丈夫|妻子|儿子|女儿|家属|家长|医师|医生|大夫|护士|助手|经理|甲方|乙方|丙方|"
    "原告|被告|证人|当事人|老师|记者|作者|编辑|摄影|导演|主演|编剧"
)
"""What follows the colon may also be a sentence."""
ROLES: Final = (
    "患者|病人|患儿|用户|客户|储户|持卡人|委托人|受托人|被委托人|收款人|付款人|汇款人|开户人|经办人|代办人|代理人|申请人|借款人|担保人|贷款人|"
    "投保人|被保险人|受益人|监护人|联系人|法定代表人|当事人|原告|被告|上诉人|被上诉人|死者|伤者|产妇|孕妇|柜员|会员|家属|家长|同学|同事|我叫|"
    "名叫|姓名|户名|本人|叫做|名为|嫌疑人|被害人|证人|记者|通讯员|医师|医生|大夫|护士|教授|主任|院长|经理|客户经理|行长|"
    "学生|执行人|核对人|共有人|签署人|投诉人|驾驶人|驾驶员|见证人|来电人|报案人|举报人|户主|业主|车主|房东|租客|司机|乘客|寄件人|收件人|取件人|"
    "负责人|主刀|助手|麻醉师|店员|房主|机主|转账人|存款人|取款人|领取人|报名人|投递员|快递员|陪护|护工|授权|拾到|"
    "代收人|签收人|接收人|交接人|保管人|领用人|操作人|监督人|公证人|继承人|立遗嘱人|赠与人|受赠人|发起人|责任人|送检人|采样人|核查人|登记"
    "人|填表人|填报人|制表人|编制人|批准人|起草人|校对人|拟稿人|经手人|提货人|交款人|缴款人|领款人|转出人|转入人|复核人|审核人|审批人|记录人|报告人|被告人|债务人|债权人|收治"
)
FIRM_ROLES: Final = frozenset(
    [
        "联系人",
        "紧急联系人",
        "监护人",
        "户名",
        "姓名",
        "借款人",
        "担保人",
        "贷款人",
        "委托人",
        "受托人",
        "收款人",
        "付款人",
        "汇款人",
        "持卡人",
        "开户人",
        "经办人",
        "代办人",
        "代理人",
        "申请人",
        "投保人",
        "被保险人",
        "受益人",
        "法定代表人",
        "学生",
        "执行人",
        "核对人",
        "共有人",
        "签署人",
        "投诉人",
        "驾驶人",
        "见证人",
        "来电人",
        "报案人",
        "举报人",
        "户主",
        "业主",
        "车主",
        "寄件人",
        "收件人",
        "取件人",
        "负责人",
        "储户",
        "死者",
        "伤者",
        "嫌疑人",
        "被害人",
        "证人",
        "负责人",
        "客户经理",
        "司机",
        "代收人",
        "签收人",
        "接收人",
        "交接人",
        "保管人",
        "领用人",
        "操作人",
        "监督人",
        "公证人",
        "继承人",
        "立遗嘱人",
        "赠与人",
        "受赠人",
        "发起人",
        "责任人",
        "送检人",
        "采样人",
        "核查人",
        "登记人",
        "填表人",
        "填报人",
        "制表人",
        "编制人",
        "批准人",
        "起草人",
        "校对人",
        "拟稿人",
        "经手人",
        "提货人",
        "交款人",
        "缴款人",
        "领款人",
        "转出人",
        "转入人",
        "复核人",
        "审核人",
        "审批人",
        "记录人",
        "报告人",
        "被告人",
        "债务人",
        "债权人",
        "收治",
        "名叫",
        "我叫",
        "柜员",
        "医师",
        "医生",
        "护士",
        "家长",
        "授权",
        "拾到",
    ]
)
"""Roles before which a rare surname counts, if the name stands between marks: 紧急联系人武凯，"""
KIN: Final = (
    "患者之子|患者之女|患者之妻|患者之夫|患者之母|患者之父|患者之兄"
    "|患者之弟|患者之姐|患者之妹|患者之媳|患者之婿|患者之孙|其子|其女"
    "|其妻|其夫|其母|其父|其兄|其弟|其姐|其妹|其媳|其婿|其孙|之子"
    "|之女|长子|长女|次子|次女|幼子|幼女|丈夫|妻子|儿子|女儿|儿媳"
    "|女婿|父亲|母亲|爱人|配偶|哥哥|姐姐|弟弟|妹妹|外甥|侄子|侄女"
    "|孙子|孙女|爷爷|奶奶|外公|外婆|未婚妻|未婚夫"
)
TITLES: Final = (
    "副主任(?:医师|医生|护师|药师)?|主任(?:医师|医生|护师|药师)?|主治医(?:生|师)|住院医(?:生|师)|主管医(?:生|师)|医生|医师|大夫|护士长?|护师|药师|教授|副教授|院长|副院长|科长|处长|局长|厅长|部长|"
    "市长|县长|省长|书记|先生|女士|小姐|太太|夫人|老师|经理|总经理|副总|行长|董事长|总裁|总监|董事|同志|阿姨|叔叔|大爷|大妈|大娘|大叔|大姐|大哥|"
    "奶奶|爷爷|伯伯|师傅|同学|老板|律师|法官|警官|检察官|博士|院士|研究员|工程师|教练|队长|班长|主席|校长|老先生|老太太|某某|某"
)
MOSTLY_WORDS: Final = frozenset(
    "向和都有从那过时是明全公位来由应相强解经关能同水连成管习后万方单于常查易安祝高温白但游曾满权容宣惠荣衡"
)
"""Surnames that after a role or before a title are mostly another word; 高 and 白 count where a list knows the name."""
BEFORE_TITLES: Final = frozenset("高温白安方")
"""Those of them that a title makes a surname again."""
ALONE_BEFORE_TITLES: Final = BEFORE_TITLES | frozenset("万常游曾易单管关")
"""The same where no given name stands in between."""
PREPOSITIONS: Final = frozenset("向和都有从那过是来由应经同后于但能")
"""Before a title they are a surname only behind a colon or a department."""
LOOSE: Final = frozenset("时明全公相水连习查位成满宣银祝") | PREPOSITIONS
"""Before a title they need a mark, a link or a role in front."""
LINKS: Final = frozenset("是找给请问让由被跟叫拨约见谢科院部处室:：")
MEASURES: Final = frozenset("一二三四五六七八九十两几各那这每诸多哪某首")
"""Before 位 they count people: 两位医生."""
SPEAKER: Final = "主持人"
NAME_ENDS: Final = frozenset("和有会中如可正年月自行若之")
"""Characters of ``STOPS`` that end a name where a mark follows: no preposition stands before a comma."""
LIST_LABELS: Final = (
    "签到|出席|列席|缺席|请假|到会|参会人员|参加人员|与会人员|参加者|出席者|成员|组员|名单|人员名单|值班人员|值班"
    "|抢救人员|参与人员"
)
NO_VALUE: Final = frozenset("不无未待同其见本已请暂或和与是否的")
"""A field that begins so holds no name."""
NO_NICKS: Final = (
    "老师 老路 老常 老成 老白 老鼠 老公 老板 老牛 老马 老龙 老江 "
    "老宋 老花 老边 老化 老龄 老来 老强 小时 小于 小儿 小米 小麦 "
    "小心 小孔 小白 小江 小路 小车 小石 小常 小康 小马 小牛 小毛 "
    "小汤 小段 小包 小池 小项 小曲 小钟 小肖 小单 小万 小费 小向 "
    "小金 小方 小平 小安 小关 小成 小明 小季 小解 小水 小边 小花 "
    "小虎 小熊 小龙 小叶 小管 小汪 小贝 小支 小相 小连 小全 小阳 "
    "小温 阿胶 阿司 阿莫 阿奇 阿托 阿姨 阿米 阿尔 阿拉 阿房 阿里 "
    "阿伦 阿贝 阿马 阿金 阿波 阿普 阿苏 阿布 阿古 阿德 阿法 阿卡 "
    "阿霉 阿克 阿扎 阿尼 阿洛 阿维 阿万 阿根 阿富 阿斯 "
)
"""Words that only look like 老, 小 or 阿 before a surname."""


_ENDS_OF_ROLES: Final = (
    "医师|医生|大夫|护士|业主|店员|客户|患者|经理|顾问|柜员|主管|要求|联系|感谢|回访|拜访|助理|主刀|术者|班主任|家属|儿子|女儿|妻子|丈夫|父亲"
    "|母亲|弟弟|妹妹|哥哥|姐姐|监护人|配偶|爱人|家长"
)
ENDS_OF_ROLES: Final = tuple(_ENDS_OF_ROLES.split("|"))
"""Right before a surname with its title: 上级医师房主任, 业主柯女士."""
MAX_LIST: Final = 64
MAX_SOUNDS: Final = 6
MAX_TAG: Final = 40
"""How far back the beginning of a tag is looked for."""
LISTED: Final = frozenset(("label", "role", "dotted"))
"""Hits behind which 和 or 、 brings another name."""
SPEAKS: Final = re.compile("[:：]|在吗|在不在|在家吗")
"""Who is spoken to, or speaks."""
LATIN_LABEL: Final = re.compile("(?i:name|patient|customer|contact|cust_nm|xm)(?:\\\\?[\"'”\u2019])?[ ]{0,2}$")
"""Field names of forms and exports before a Chinese name."""
LATIN_LABEL_CHARS: Final = 12
SOUNDS: Final = (
    TRANSLITERATION
    + "买提热合木江努不都吾曼依玉素甫吐逊库完瓦措旦增次仁央卡孜肉孜汗依明祖农麦尔艾力帕提孜热合曼嘎巴桑扎顿珠平措拉姆"
)
_CLOSED: Final = r"(?:\\?[\"'”\u2019])?"
"""What closes a label, also in a string inside of a string."""
_OPENED: Final = r"(?:\\?[\"'“\u2018])?"
_ATTRIBUTE: Final = r"[ ][\w:-]{1,20}=[^<>\n]{1,40}>"
"""The rest of a tag behind its name."""
_NEXT_CELL: Final = (
    r"(?:[ \u3000]{0,4}[\t|\uff5c][ \u3000]{0,8}|[】\])）][ \u3000]{0,2}|[:：][ \u3000]{0,2}\r?\n[ \u3000]{0,4}"
    r"|</\w{1,4}>\s{0,4}<\w{1,4}>)"
)
"""A tab, the bar of a table, a closed bracket, a line behind a colon, the next cell of HTML."""


def _longest_first(words: str) -> str:
    return "|".join(sorted(set(words.split("|")), key=lambda word: (-len(word), word)))


@cache
def rules() -> tuple[re.Pattern[str], ...]:
    """The rules for labels that announce a name, for labels, for labels with 为, for roles, and for 老, 小 and 阿."""
    compound = "|".join(sorted(surnames().compound, key=len, reverse=True))
    single = "".join(sorted(surnames().single))
    surname = f"(?:{compound}|[{single}])"
    roles = roles_pattern()
    return (
        re.compile(
            f"(?:{_longest_first(f'{NAME_LABELS}|{LIST_LABELS}')}){_CLOSED}[ \u3000]{{0,2}}"
            f"(?:[:：=>]|[（(【\\[]|{_ATTRIBUTE})[ \u3000]{{0,4}}{_OPENED}(?=[{HAN}])"
        ),
        re.compile(
            f"(?:{_longest_first(LABELS)}){_CLOSED}[ \u3000]{{0,2}}[:：（(>][ \u3000]{{0,4}}{_OPENED}(?={surname})"
        ),
        re.compile(f"(?:{_longest_first(f'{NAME_LABELS}|医生|医师|护士|司机')})[是为叫](?={surname})"),
        # A blank inside is common in forms; the role itself goes into no name.
        re.compile(f"(?:{roles})[ \u3000]{{0,1}}(?={surname})"),
        re.compile(f"[老小阿](?:{compound}|[{single}])(?![{HAN}]?[0-9])"),
    )


@cache
def openings() -> re.Pattern[str]:
    """A mark behind the Latin name of a field."""
    return re.compile(f"[:：=>][ \u3000]{{0,4}}{_OPENED}(?=[{HAN}])")


@cache
def cells() -> re.Pattern[str]:
    """A label in one cell or line and Chinese characters in the next; those may be another label."""
    return re.compile(f"(?:{_longest_first(NAME_LABELS)}|name|Name|NAME){_CLOSED}{_NEXT_CELL}{_OPENED}(?=[{HAN}])")


@cache
def records() -> re.Pattern[str]:
    """A label that is a whole cell of comma-separated values, and Chinese characters in the next: 姓名,张三."""
    begins = r"(?:^|(?<=[\r\n,，;；\0])) {0,2}[\"']?"
    ends = r"[\"']? ?[,，;；] {0,2}[\"']?"
    return re.compile(f"{begins}(?:{_longest_first(NAME_LABELS)}){ends}(?=[{HAN}])")


@cache
def field_labels() -> frozenset[str]:
    """Labels of names: in a row of headings the next cell holds one more of them."""
    return frozenset(f"{NAME_LABELS}|{LABELS}|{LIST_LABELS}".split("|"))


@cache
def beds() -> re.Pattern[str]:
    """3床的, before a patient's name."""
    return re.compile(f"床的?[ \u3000]?(?=[{HAN}])")


@cache
def titles() -> re.Pattern[str]:
    """Every title."""
    return re.compile(TITLES)


@cache
def delimited() -> re.Pattern[str]:
    """What fills a field: two to four characters, or a name with blanks."""
    return re.compile(f"[{HAN}]{{2,4}}(?![{HAN}·])|{SPACED}(?![{HAN}:：])")


@cache
def spaced_name() -> re.Pattern[str]:
    """A name with blanks, before a mark or a title."""
    return re.compile(f"{SPACED}(?=[^{HAN}:：]|$|家属|医生|医师|先生|女士|主任|护士)")


@cache
def no_nicks() -> frozenset[str]:
    """Words that are no nicknames."""
    return frozenset(NO_NICKS.split())


@cache
def roles_pattern() -> str:
    """The roles and kin as an alternation, longest first."""
    return _longest_first(f"{ROLES}|{KIN}")


def titles_pattern() -> str:
    """The titles as an alternation, without the half masks 某 and 某某."""
    return TITLES.removesuffix("|某某|某")


def ends_with_role(text: str, end: int) -> bool:
    """Whether a role such as 医师 or 业主 ends there."""
    return text[max(0, end - 4) : end].endswith(ENDS_OF_ROLES)


__all__ = [
    "ALONE_BEFORE_TITLES",
    "beds",
    "cells",
    "BEFORE_TITLES",
    "CUT",
    "delimited",
    "ENDS_OF_ROLES",
    "ends_with_role",
    "field_labels",
    "FIRM_ROLES",
    "HAN",
    "KIN",
    "LABELS",
    "LATIN_LABEL",
    "LATIN_LABEL_CHARS",
    "LINKS",
    "LIST_LABELS",
    "LISTED",
    "LOOSE",
    "MAX_LIST",
    "MAX_SOUNDS",
    "MAX_TAG",
    "MEASURES",
    "MOSTLY_WORDS",
    "NAME_ENDS",
    "NAME_LABELS",
    "no_nicks",
    "NO_NICKS",
    "NO_VALUE",
    "openings",
    "PREPOSITIONS",
    "records",
    "ROLES",
    "roles_pattern",
    "rules",
    "SOUNDS",
    "SPACED",
    "SPEAKER",
    "spaced_name",
    "SPEAKS",
    "STOPS",
    "TITLES",
    "titles",
    "titles_pattern",
]
