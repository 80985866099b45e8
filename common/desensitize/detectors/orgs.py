"""Organisations by the grammar of their names: hospitals, schools, employers, branches of banks, public offices.

Chinese: a suffix (医院, 支行, 有限公司), and the name before it back to a known place or to the word that leads to it.
English: capitalised words with a suffix ("Mercy Hospital", "Acme Ltd"), or a head and "of" ("University of Leeds").
A suffix without a name (医院, 我院, "the Hospital") is none. Level 2: a name and a suffix; 3: with a known place or a
legal form.

Invariants: pure; every repeat is bounded, so time is linear in the text.
Not handled here: names without a suffix, which only a tagger finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from fedward.common.desensitize.detectors.addresses import Language
from fedward.common.desensitize.detectors.addresses_en import Found
from fedward.common.desensitize.detectors.addresses_zh import known_place
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lexicon_en import english_lexicon, name_key
from fedward.common.desensitize.spans import EntityType, Level, Span
from fedward.common.desensitize.tables import simplified

_ZH_SUFFIXES: Final = (
    "社区卫生服务中心|卫生服务中心|卫生服务站|妇幼保健院|疾病预防控制中心|疾控中心|急救中心|体检中心|医学中心"
    "|卫生院|卫生所|卫生室|保健院|疗养院|养老院|敬老院|福利院"
    "|医院|诊所|门诊部|大药房|药房|药店"
    "|有限责任公司|股份有限公司|有限公司|分公司|子公司|公司|集团|合作社|事务所|工厂|水泥厂|钢铁厂|化工厂"
    "|制药厂|电厂|机械厂|纺织厂|食品厂"
    "|商业银行|农村信用社|信用社|银行|支行|分行|营业部|分理处|储蓄所|证券|信托"
    "|职业技术学院|研究生院|大学|学院|中学|小学|幼儿园|职高|技校|学校|研究院|研究所|实验室"
    "|派出所|公安局|分局|检察院|法院|税务局|管理局|教育局|卫健委|民政局|交警大队|居委会|村委会|委员会|协会"
    "|基金会|出版社|报社|电视台"
    "|大酒店|酒店|宾馆|饭店|超市|商场"
)
_ZH_LEGAL: Final = ("公司", "支行", "分行", "大学", "派出所", "法院")
_ZH_SUFFIX = re.compile("|".join(sorted(_ZH_SUFFIXES.split("|"), key=len, reverse=True)))
_ZH_MORE = re.compile(
    rf"(?:[（(][\u3400-\u9fff]{{2,10}}[)）])?(?:附属|第[一二三四五六七八九十]{{1,2}}"
    rf"|[\u3400-\u9fff]{{0,8}}?)(?:{_ZH_SUFFIXES})"
)
_ZH_SOFT = re.compile(
    "[的了是在与及或于到至往从自由对向将被把给不没我你您他她它这那该本各每某个们着过得吗呢吧啊么最就去来找看叫跑想要会能很]"
    "|(?<!华)为|(?<![协仁永祥泰人谐太义颐])和(?![平谐睦美佑康])|有(?!限)|无(?!锡)"
)
"""Words between a name and what leads to it; a few of them are part of names (协和, 华为, 无锡)."""
_ZH_HARD: Final = "，。、；：！？「」\u201c\u201d\"'（）()《》【】:;,.!?/|=+*<>~"
_ZH_VERBS = re.compile(
    r"(?:就诊|住院|转诊|转院|入院|收治|转入|转至|转往|转到|送至|送往|送到|送入|前往|赶往|来到|来我|去过|去了"
    r"|就职|任职|工作|供职|就读|毕业|考入|考取|来自|隶属|位于|建议|曾经|曾|现于|目前|已经|经过|通过|委托|联系"
    r"|入住|调入|调至|调到|打入|汇入|汇到|存进|打到|收治于|请|收款人|付款人|开户行|开户|户名|汇款|转账|存入|办理|单位名称|工作单位|单位|名称|患者|病人|上级|外|当地"
    r"|附近|某些|一些|许多|很多|哪家|哪个|哪些|哪里|哪儿|什么|几个|一次|一位|一所|一名|最近|今年|去年|明年"
    r"|上个月|决定|治疗|复诊|复查|配合|权威|较好|定期|应当|省级|市级|以上|知道|几家|多家|两家|一家|这家|那家"
    r"|所有|正规|大型|专业|专科|公立|私立|民营|综合性?|三甲|二甲|三级甲?等?|二级"
    r"|知名|著名|好的|回|换|进|让|请|问|说|比|如|像|即|还|又|再|也|都|(?<![育英成秀俊良])才|可以|应该|必须|需要|最好|直接|立即"
    r"|马上|及时|尽快|赶紧|时候|之后|以后|之前|[0-9一二三四五六七八九十两几]个?(?:天|周|月|年|日|次"
    r"|小时)[后前]?|送|转|带)"
)
_ZH_GENERIC = re.compile(
    r"(?:第?[一二三四五六七八九十]{0,2}|市|省|县|区|镇|乡|村|州|旗|级|人民|中心|中|西|总|分|地方|部队|军队"
    r"|社区|儿童|妇女|妇产科?|妇科|男科|肿瘤|口腔|眼科|骨科|皮肤科?|精神|传染病|专科|综合|三甲|公立|私立|正规"
    r"|附属|教学|医科|国有|商业|农村|股份|科技|有限"
    r"|责任|保险|证券|小微|高等|职业|技术|重点|普通|公办|民办|大|小|医学|医药|网上|手机|开户|发卡|贷款|收单|我"
    r"|本|外|该|贵|同|院|校|行|所|上级|下级|基层|本地|外地|当地|连锁|快递|物流|物业|装修|旅游|制药|药业|生物"
    r"|器械|设备|上市|全国|国家|中国|世界|动物|中西医结合|结合|中医药?|互联网|健康|宠物|公安|武警|三阳|加工"
    r"|[\u3400-\u9fff]{0,3}(?:病|癫痫|肝|科|瘤|肾|眼|牙))*"
)
"""What may stand before a suffix without naming anything."""
_ZH_MAX: Final = 18

_EN_HEADS: Final = (
    "Hospital|Hospitals|Clinic|Clinics|Medical Center|Medical Centre|Health Center|Health Centre|Health System"
    "|Medical Group|Infirmary|Hospice|Nursing Home|Pharmacy|University|College|Institute|Academy|High School"
    "|Elementary School"
    "|Middle School|Primary School|Grammar School|School|Bank|Credit Union|Trust|Insurance|Assurance|Securities"
    "|Foundation|Association|Society|Laboratories|Laboratory|Corporation|Company|Industries|Enterprises|Holdings"
    "|Technologies|Systems|Solutions|Consulting|Associates|Partners|Group|Agency|Orchestra"
)
_EN_LEGAL: Final = (
    r"Inc\.?|LLC|L\.L\.C\.|Ltd\.?|LLP|PLC|plc|Corp\.?|Co\.|GmbH|AG|S\.A\.|N\.V\.|B\.V\.|Pty|Incorporated|Limited"
)
_EN_WORD = r"(?:St\. |Mt\. |Ft\. )?[A-Z][\w'\u2019&-]{0,30}"
_EN_BEFORE = re.compile(
    rf"(?<![\w.'\u2019&-])(?:{_EN_WORD}[ ]){{1,5}}(?:{_EN_HEADS})(?![\w])"
    rf"(?: (?:of|for|at) (?:the )?{_EN_WORD}(?: {_EN_WORD}){{0,2}})?(?:,? (?:{_EN_LEGAL})(?!\w))?"
)
_EN_LEGAL_FORM = re.compile(
    rf"(?<![\w.'\u2019&-])[A-Z][\w'\u2019&.-]{{0,30}}(?:(?:,? and|,? &|,)? [A-Z][\w'\u2019&.-]{{0,30}}){{0,4}}"
    rf",? (?:{_EN_LEGAL})(?!\w)"
)
_EN_OF = re.compile(
    rf"(?<!\w)(?:University|College|Bank|Institute|Hospital|Ministry|Department|School|Church|Academy)"
    rf" (?:of|for) (?:the )?{_EN_WORD}(?:(?: (?:of|and|for))? {_EN_WORD}){{0,4}}"
)
_EN_FIRM = re.compile(
    r"(?<![\w,])[A-Z]\w{1,30}, [A-Z]\w{1,30},? (?:and|&) [A-Z]\w{1,30}"
    r"(?= (?:Orchestra|LLP|LLC|Inc|Ltd|Group|Associates|Partners|is an? (?:\w{1,20} ){0,2}(?:agency|firm|company"
    r"|practice)))"
)
_HAS_LEGAL_FORM = re.compile(rf" (?:{_EN_LEGAL})").search
_HAS_TWO_NAMES = re.compile(r", [A-Z]\w{1,30},? (?:and|&) ").search
"""What a hit of the two patterns holds, found at a fraction of their cost."""
_EN_ARTICLES: Final = frozenset(
    (
        "the",
        "a",
        "an",
        "this",
        "that",
        "our",
        "your",
        "his",
        "her",
        "their",
        "my",
        "its",
        "in",
        "at",
        "of",
        "for",
        "from",
    )
)
_HAS_CAPITAL = re.compile("[A-Z]").search


class OrganisationDetector:
    """ORG in the way of one language."""

    def __init__(self, language: Language) -> None:
        self._find = _chinese if language == "zh" else _english

    def detect(self, document: Document) -> list[Span]:
        """Organisations; a department or branch behind the name goes with it."""
        return [
            Span(*document.span_of_chars(hit.start, hit.end), hit.type, int(hit.level), hit.method)
            for hit in self._find(document.text)
        ]


def _chinese(source: str) -> Iterator[Found]:
    text = simplified(source)
    end = 0
    for match in _ZH_SUFFIX.finditer(text):
        if match.start() < end:
            continue
        start, placed = _zh_start(text, match.start(), end)
        name = text[start : match.start()]
        if len(name) < 2 or (not placed and _ZH_GENERIC.fullmatch(name)):
            continue
        end = _zh_end(text, match.end())
        sure = placed or (text[:end].endswith(_ZH_LEGAL) and len(name) > 3)
        yield Found(start, end, EntityType.ORG, Level.CHECKED if sure else Level.WITNESS, "zh.org")


def _zh_start(text: str, suffix: int, floor: int) -> tuple[int, bool]:
    """Where the name begins, and whether a known place begins it."""
    start, low = suffix, max(floor, suffix - _ZH_MAX)
    while start > low and not (text[start - 1] in _ZH_HARD or text[start - 1].isspace()):
        start -= 1
    place = known_place(text, start, suffix)
    breaks = [match.end() for match in _ZH_SOFT.finditer(text, start, suffix)]
    while place is not None and any(place + 1 < at for at in breaks):
        place = known_place(text, place + 1, suffix)
    if place is not None:
        return place, True
    start = max([start, *breaks])
    for end in _verbs(text, start, suffix):
        start = end
    return (start, False) if suffix - start <= 12 else (suffix, False)


def _verbs(text: str, start: int, suffix: int) -> Iterator[int]:
    """Ends of the words that lead to an organisation; a name of two characters is left."""
    for match in _ZH_VERBS.finditer(text, start, suffix):
        yield match.end()


def _zh_end(text: str, end: int) -> int:
    """A second suffix right behind: 招商银行上海分行, 复旦大学附属中山医院."""
    for _ in range(3):
        match = _ZH_MORE.match(text, end)
        if match is None or _ZH_SOFT.search(match[0]) or any(c in _ZH_HARD for c in match[0].strip("（()）")):
            break
        end = match.end()
    return end


def _english(text: str) -> Iterator[Found]:
    if not _HAS_CAPITAL(text):
        return
    for pattern, level, may_hit in (
        (_EN_BEFORE, Level.WITNESS, _HAS_CAPITAL),
        (_EN_OF, Level.WITNESS, _HAS_CAPITAL),
        (_EN_LEGAL_FORM, Level.CHECKED, _HAS_LEGAL_FORM),
        (_EN_FIRM, Level.CHECKED, _HAS_TWO_NAMES),
    ):
        for match in pattern.finditer(text) if may_hit(text) else ():
            start = _en_start(match)
            if start is not None:
                yield Found(start, match.end(), EntityType.ORG, level, "en.org")


@cache
def _heads() -> frozenset[str]:
    return frozenset(name_key(word) for head in _EN_HEADS.split("|") for word in head.split())


def _en_start(match: re.Match[str]) -> int | None:
    """Where the name begins without articles; None where nothing but ordinary words are left."""
    lexicon = english_lexicon()
    words = [(m.start(), name_key(m[0].strip(".,"))) for m in re.finditer(r"\S+", match[0])]
    while words and words[0][1] in _EN_ARTICLES:
        words = words[1:]
    named = [key for _, key in words if key not in _EN_ARTICLES and key not in _heads() and key != "and"]
    ordinary = all(key in lexicon.words and key not in lexicon.places for key in named)
    return None if not named or ordinary else match.start() + words[0][0]


__all__ = ["OrganisationDetector"]
