"""Field labels in Chinese and English: what stands before a value and says what it is.

A label counts at most 32 bytes before its value and within the field, which ``，。；,;`` and the newline end. Among
several the nearest counts. A label of another kind (``OTHER``: batch, bar code, model, standard …) makes a number
less likely to be a person's.

Invariants: patterns are bytes with ASCII classes and alternations only, so both engines read them alike; a label in
Latin letters never counts inside a longer word. Not handled here: the values (``values``).
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol


class Find(Protocol):
    """The span of the first hit from an offset on, and before another."""

    def __call__(self, data: bytes, at: int, end: int = ..., /) -> tuple[int, int] | None:
        """None if there is none."""


OTHER: Final = "OTHER"
MONEY: Final = "MONEY"


def _aligned(words: str) -> str:
    """Labels as forms align them, with a blank between the characters."""
    return "|".join(blank.join(word) for word in words.split("|") for blank in (" ", "\u3000"))


# A blank may be missing, an underscore, a hyphen or several blanks; Latin letters match in either case.
_NUMBER_WORDS = "numbers|number|num|nos|no|nr|id|code|#"
WORDS: dict[str, tuple[str, str]] = {
    "PHONE": (
        "联系电话|联系方式|联系手机|移动电话|手机号码|手机号|手机|电话号码|电话|座机|固话|传真|热线|客服|总机|致电|拨打|"
        "回电|来电|联络|家属联系|分机|号码归属|呼叫转移|电联|打给|传呼|短号|電話|電话|手機|聯絡|傳真|行動|流動",
        "telephone|tel|phone|mobile|cell phone|cellphone|cell|fax|call|hotline|contact|ph|mob|whatsapp|landline|"
        "dial|pager|sms|extension|switchboard|tele|msisdn",
    ),
    "ID": (
        "居民身份证|公民身份|身份证件|身份证|身份號|身份證|身份识别号|证件|公民号码|身份信息|身份号|居住证|"
        "有效证|身分證|身分证|" + _aligned("身份证"),
        "identity card|id card|idcard|identity|id number|identification|national id|resident id|citizen id|"
        "id no|id code|id|sfz|certno|cert no|idno|identity document",
    ),
    "SSN": ("社会安全号|社安号", "social security|ssn|soc sec|ssa|ss#|ss #|ss no|ss number"),
    "NATIONAL_ID": (
        "香港身份证|台湾身份证|澳门身份证|统一编号|护照外证件|国民身份证|纳税人识别号|税号|香港身份證",
        "national insurance|nino|ni number|ni no|nhs number|nhs no|nhs|aadhaar|aadhar|pan card|nric|fin number|hkid|"
        "sin|social insurance|tfn|tax file|tax id|taxpayer id|tin|itin|ein|cpf|dni|nie|curp|rut|cnp|pesel|bsn|"
        "personal identity|national identity|national identification|codice fiscale|my number|emirates id",
    ),
    "PASSPORT": (
        "护照|港澳通行证|通行证|回乡证|台胞证|旅行证|護照|通行證|签证|海员证",
        "passport|visa|travel document|entry permit",
    ),
    "LICENCE": (
        "驾驶证|驾照|行驶证|军官证|士兵证|警官证|执业证书|执业证|执业医师|资格证书|资格证|律师证|工作证|"
        "学生证|学号|工号|员工编号|职工号|胸牌号|档案编号|残疾人证|残疾证|退休证|结婚证|出生医学证明|出生证|記者证|记者证",
        "driver license|drivers license|driver's license|driver licence|drivers licence|driver's licence|"
        "driving licence|driving license|dl|license|licence|npi|dea|medical licence|medical license|lic|"
        "registration|staff id|staff no|employee id|employee no|employee number|student id|badge|certificate|upin",
    ),
    "MRN": (
        "住院号|住院编号|住院流水号|住院登记号|病案号|病案编号|病案首页号|病历号|病历编号|病例号|门诊号|门诊编号|"
        "门诊病历号|就诊号|就诊卡|就诊编号|诊疗卡|登记号|患者编号|患者号|患者ID|病人ID|病人号|病人编号|患者标识|病员号|"
        "急诊号|留观号|体检号|体检编号|影像号|放射号|检查号|超声号|病理号|档案号|健康档案号|健康卡|随访编号|受试者编号|"
        "受试者号|筛选号|入组号|住院號|病歷號|门诊卡|就医卡|一卡通|住院ID|登记ID|手术编号|挂号序号|挂号单号|建档号|"
        + _aligned("住院号|病案号|病历号|门诊号|就诊号|登记号|患者号|急诊号|体检号|档案号"),
        "mrn|medical record|med rec|medrec|med record|chart|patient id|patient no|patient number|patient identifier|"
        "patient code|patient account|patient #|pat id|pt id|pt no|pid|hospital no|hospital number|hospital id|"
        "encounter|visit no|visit id|visit number|admission no|admission number|admission id|inpatient no|"
        "inpatient number|inpatient id|outpatient no|outpatient number|outpatient id|case no|case number|case id|"
        "record no|record number|record id|record|accession|unit no|unit number|subject id|subject no|health record|"
        "hosp no|specimen id|specimen no|file no|mr no|mr number|mr #|mr|emr no|ehr id|urn|csn|har",
    ),
    "HEALTH_PLAN": (
        "医保卡|医疗保险|医保编号|医保号|医保电脑号|医保个人编号|社保卡|社保号|社会保障卡|社会保障号|社会保险|参保号|"
        "参保编号|个人编号|医疗证|医保证|新农合|合作医疗证|保险单号|保单号|保单|医保账号|健保卡|医保|"
        + _aligned("医保卡|医保号|社保卡|社保号|保单号"),
        "member id|member no|member number|subscriber id|subscriber no|subscriber number|policy|insurance id|"
        "insurance no|insurance number|insurance policy|health plan|beneficiary|medicare|medicaid|group number|"
        "group no|group id|hicn|mbi|enrollee id|insured id|plan id|certificate holder|health insurance|"
        "health card|member|subscriber",
    ),
    "CARD": (
        "银行卡|信用卡|借记卡|储蓄卡|卡号|贷记卡|工资卡|社会卡|结算卡|尾号卡|刷卡|銀行卡|卡號|绑定卡|收款卡|还款卡|"
        "他行卡|本人卡|扣款卡|公务卡",
        "credit card|debit card|bank card|payment card|card number|card no|card|visa card|mastercard|amex|pan|"
        "cc number|ccn|unionpay|cardno",
    ),
    "ACCOUNT": (
        "银行账号|银行账户|账号|帐号|账户|帐户|存折|对公户|收款账|付款账|资金账|证券账|基金账|股东代码|股东账|客户号|"
        "客户编号|客户代码|会员号|会员卡|会员编号|贷款号|借据号|贷款账|还款账|公积金账|户号|開戶|帳號|賬號|卡折号|折号|"
        "资产账户|交易账|结算账|联行号|借款账",
        "bank account|account|acct|a/c|acc|routing|aba|sort code|bsb|customer id|customer no|customer number|"
        "client id|client no|client number|loan|mortgage|membership|user id|userid|checking|savings|deposit to",
    ),
    "IBAN": ("国际银行账号", "iban"),
    "TXN": (
        "交易流水号|交易流水|业务流水号|流水号|流水|交易号|交易单号|交易编号|交易参考号|订单号|订单编号|订单|商户单号|"
        "商户订单号|支付单号|凭证号|凭证编号|回单号|回单编号|参考号|运单号|快递单号|发票号|发票代码|合同编号|合同号|"
        "业务编号|业务单号|申请编号|受理编号|受理号|工单号|工单编号|案件编号|案件号|缴费单号|退款单号|退货单号|物流单号|結算号|结算单号|转账编号|"
        "授权码|授权号|票据号|支票号|保函编号",
        "transaction|txn|trans|reference|ref|order|confirmation|tracking|invoice|receipt|trace|booking|voucher|ticket|"
        "payment id|utr|rrn|authorization code|approval code|auth code|check no|check number|cheque|claim|contract",
    ),
    "TAIL": (
        "卡尾号|尾号|后四位|末四位|后4位|末4位|最后四位|尾数|尾4位",
        "ending in|ending with|card ending|account ending|ends in|ends with|last four digits|"
        "last 4 digits|last four|last 4|last4",
    ),
    "CODE": (
        "短信验证码|验证码|校验码|动态码|确认码|识别码|安全码|取件码|提取码|激活码|驗證碼|取号码|授权码|PIN码",
        "otp|one time code|one time passcode|verification code|security code|passcode|pin|cvv2|cvv|cvc2|cvc|cvn|csc|"
        "access code|login code|authentication code|2fa code|confirmation code|card verification",
    ),
    "WORD": (
        "动态密码|动态口令|取款密码|支付密码|交易密码|登录密码|查询密码|初始密码|密码|口令|暗码|密保|密碼|令牌|密钥",
        "one time password|password|passwd|pwd|auth token|secret|token|passphrase|api key|apikey|secret key",
    ),
    "PLATE": (
        "车牌号|车牌|牌照|车号|号牌|車牌|车辆号|车辆",
        "license plate|licence plate|number plate|plate|vehicle registration|vehicle reg|vrn|registration plate",
    ),
    "VIN": ("车架号|车辆识别|车架|大架号|发动机号", "vin|vehicle identification|chassis|frame no|engine no"),
    "DEVICE": (
        "设备序列号|设备编号|设备号|设备ID|设备识别码|设备标识|序列号|出厂编号|机身号|机器编号|终端号|起搏器编号|植入物编号|"
        "串号|物理地址|仪器编号|机身编码|产品序列|监护仪编号|泵序列号",
        "imei|imsi|meid|iccid|udid|idfa|mac address|mac addr|mac|serial|s/n|sn|device|terminal id|implant|"
        "pacemaker|udi|android id|advertising id",
    ),
    "IP": (
        "登录IP|IP地址|登录地址|客户端地址|服务器|网关|来源地址",
        "ip address|ip addr|ip|ipv4|ipv6|host|server|gateway|address|ping|remote addr|client ip|dns",
    ),
    "HANDLE": (
        "微信号|微信|QQ号码|QQ号|QQ|企鹅号|微博|抖音号|抖音|快手号|小红书号|小红书|支付宝账号|支付宝|钉钉号|钉钉|飞书|"
        "推特|脸书|淘宝账号|旺旺|京东账号|用户名|昵称|网名|登录名|登录账号|陌陌|知乎|贴吧|哔哩哔哩|领英",
        "wechat id|wechat|weixin|wxid|wx|qq|weibo|line id|skype id|skype|telegram|twitter|instagram|facebook|"
        "tiktok|douyin|snapchat|linkedin|username|user name|screen name|nickname|kakaotalk|"
        "kakao|viber|zalo|alipay|discord|github",
    ),
    "ORG_ID": (
        "统一社会信用代码|社会信用代码|信用代码|组织机构代码|营业执照|机构代码|注册号|税务登记",
        "uscc|unified social credit|credit code|company registration|business registration|business licence|"
        "business license|company no|company number|usci",
    ),
    "POSTCODE": ("邮政编码|邮编|郵編|郵遞區號", "postcode|postal code|post code"),
    "DATE": (
        "出生日期|出生年月|出生|生日|日期|时间|年月日|生于|入院|出院|就诊|手术日|随访|开户日|到期日|有效期|有效期至|签发",
        "dob|d o b|date of birth|birth date|birthdate|birthday|born|date|dated|doa|dod|admitted|discharged|"
        "admission date|discharge date|visit date|expires|expiry|exp date",
    ),
    OTHER: (
        "批号|批次|批准文号|批文|条码|条形码|型号|规格|国药准字|注册证|样本|标本|试剂|货号|产品编号|产品号|药品编码|编码|"
        "版本|固件|软件|标准|文号|表单|申请单|试管|批准|章节|期刊|书号|物料|料号|库存|编号|坐标|经度|纬度|时间戳|"
        "耗材|资产编号|床号|机型|货架|生产批|国标|专利|备案号|准字|样品|门牌|总数|共计|检验单|基因",
        "lot|batch|barcode|bar code|model|catalog|catalogue|cat no|sku|part no|part number|part|isbn|issn|doi|pmid|"
        "pmcid|version|ver|build|firmware|release|figure|fig|table|page|pages|section|sample|nct|standard|"
        "item|product|ndc|upc|ean|timestamp|epoch|revision|rev|chapter|form|asset|coordinates|lat|lon|gene|code|patent",
    ),
    MONEY: (
        "金额|余额|人民币|限额|额度|总额|合计|本金|利息|还款额|应还|实付|￥|¥|市值|资产|收入|工资|存款|贷款余额|消费",
        "amount|balance|usd|rmb|cny|eur|gbp|hkd|total|price|cost|sum|fee|charge|charges|credit limit",
    ),
}
MAX_LABEL_BYTES = 32
_FORCES = "(?:军|政|后|装|参|南|北|东|西|中|海|空|火|武|兰|沈|广|济|成|消)"
_LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_LETTERS = _LOWER | frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALNUM = _LETTERS | frozenset(b"0123456789")


TRADITIONAL: Final = dict(
    zip(
        "号码证护驾驶军医师险参账帐户银联电话机传订单业务购验识别态动"
        "网络录车辆发编时间诊历档检体备设终产贷储贴积结缴费团员学执资经办给",
        "號碼證護駕駛軍醫師險參賬帳戶銀聯電話機傳訂單業務購驗識別態動網絡錄車輛發編時間診歷檔檢體備設終產貸儲貼積結繳費團員學執資經辦給",
        strict=True,
    )
)
"""Characters of labels that are written otherwise in Traditional text."""


def _latin(word: str) -> str:
    """A pattern for ``word`` in either case, blanks as blanks, underscores, hyphens or nothing."""
    parts = []
    for character in word:
        if character == " ":
            parts.append("[ _-]{0,2}")
        elif character.isalpha():
            parts.append(f"[{character.upper()}{character.lower()}]")
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def _zh(word: str) -> str:
    """A Chinese label, in Simplified or Traditional characters; Latin letters in it (患者ID) match in either case."""
    return "".join(
        f"[{c.upper()}{c.lower()}]"
        if c.isascii() and c.isalpha()
        else f"(?:{c}|{TRADITIONAL[c]})"
        if c in TRADITIONAL
        else c
        for c in word
    )


def _alternation(words: str, spell: Callable[[str], str]) -> str:
    return "|".join(spell(w) for w in sorted(dict.fromkeys(words.split("|")), key=len, reverse=True))


def zh_pattern(kinds: tuple[str, ...]) -> str:
    """Alternation of the Chinese labels of ``kinds``, longest first."""
    return "(?:" + _alternation("|".join(WORDS[k][0] for k in kinds), _zh) + ")"


def latin_pattern(kinds: tuple[str, ...]) -> str:
    """Alternation of the Latin labels of ``kinds``, longest first, each with an optional ``number``, ``no``, ``#``."""
    words = _alternation("|".join(WORDS[k][1] for k in kinds), _latin)
    return f"(?:{words})(?:[ _-]{{0,2}}(?:{_alternation(_NUMBER_WORDS, _latin)}))?"


_REMARK = "(?:\\(|（|\\[|【)[^()\\[\\]\n\\x000-9]{1,18}(?:\\)|）|\\]|】)"
_SPEECH = (
    "我记得|我记的|记得|好像|应该|大概|可能|就是|还是|我的|你的|您的|他的|她的|那个|这个|我查到|查到|登记|一直|嗯|呃|呢|啊|"
    "on file |on record |I have |we have |should be |I think |I believe |still |currently "
)
"""Words that speech puts between a label and its value: 住院号我记得是, the MRN on file is."""
SEPARATOR = (
    "(?:" + _REMARK + "|[ \t:=#.\"'*|>\\[(_-]|：|\u3000|＝|【|】|（|）|“|”|‘|’|「|是|为|為|\\]|\\)|号码|號碼|字号|字號|"
    "号|號|码|"
    "編號|编号|证号|卡号|如下|→|—|№|"
    "[Ii][Ss][ :]|[Aa][Rr][Ee][ :]|[Nn][Oo][.: #]|[Nn]umber[ :#]|[Ww]as |[Ii][Dd][ :]|of |at |to |"
    "using |with |的|已|改为|换成|登记为|" + _SPEECH + "|" + _FORCES + "字第|&quot;)"
)
"""What may stand between label and value, up to ``MAX_SEPARATORS`` times: bracketed remarks without digits, too."""
MAX_SEPARATORS = 8

FIELD_ENDS = tuple(mark.encode() for mark in "，。；,;\n")
_COMMA, _STOP, _SEMICOLON = FIELD_ENDS[:3]
_MAY_END_SENTENCE = re.compile(rb"[.!?] ").search
_SENTENCE_END = re.compile(rb"([A-Za-z#]*|[0-9]+|[^\x00-\x7f])[.!?] {1,3}(?=[A-Z\"'(])").finditer
_SHORTENED = frozenset(
    b"no nos nr num tel ph acct acc ref ext fax mob lic cert reg pat med rec soc sec dr mr mrs ms st cat ver fig ch pp "
    b"ins pol txn trans conf inv vs dept approx sr jr prof hosp adm disch cont mfr ser mod pt id".split()
)
"""Words whose full stop ends no sentence; nor does that of a single letter."""
_NUMBER_WORD = re.compile(rb"(?:numbers|number|num|nos|no|nr|id|code|#)$")
_KINDS = {
    re.sub("[ _-]", "", word.lower()).encode(): kind
    for kind, columns in reversed(WORDS.items())
    for column in columns
    for word in column.split("|")
}


_SIMPLIFIED: Final = {ord(t): s for s, t in TRADITIONAL.items()}


def kind_of(label: bytes) -> str:
    """The kind of a label that one of the patterns matched."""
    plain = label.lower().translate(None, b" _-")
    if plain not in _KINDS and not plain.isascii():
        plain = plain.decode("utf-8", "surrogatepass").translate(_SIMPLIFIED).encode("utf-8", "surrogatepass")
    return _KINDS.get(plain) or _KINDS[_NUMBER_WORD.sub(b"", plain)]


def stands_alone(data: bytes, start: int, end: int) -> bool:
    """Whether a label is no part of a longer Latin word: ``tel`` in hotel, ``card`` in discard. camelCase is."""
    first, last = data[start], data[end - 1]
    if first < 0x80 and start and data[start - 1] in _ALNUM and not (data[start - 1] > 96 and first < 97):
        return False
    return not (last in _LETTERS and end < len(data) and data[end] in _LOWER)


def _ends_sentence(word: bytes) -> bool:
    """Whether a full stop behind ``word``, before a capital, ends an English sentence, and so the label's field."""
    return word.isdigit() or (len(word) != 1 and word.lower() not in _SHORTENED)


def field_start(data: bytes, floor: int, start: int) -> int:
    """Where the field before ``start`` begins: behind the last of ``FIELD_ENDS`` from ``floor`` on, else there."""
    wide = max(data.rfind(_COMMA, floor, start), data.rfind(_STOP, floor, start), data.rfind(_SEMICOLON, floor, start))
    plain = max(data.rfind(b",", floor, start), data.rfind(b";", floor, start), data.rfind(b"\n", floor, start))
    return max(floor, wide + 3 if wide >= 0 else 0, plain + 1)


class Labels:
    """Looks back for labels with one engine."""

    def __init__(self, find_in: Callable[[bytes], Find]) -> None:
        kinds = tuple(WORDS)
        self._find = find_in((latin_pattern(kinds) + "|" + zh_pattern(kinds)).encode())

    def nearest(self, data: bytes, start: int) -> tuple[str, int] | None:
        """Kind and end of the last label in the field, at most 32 bytes before ``start``."""
        floor = max(0, start - MAX_LABEL_BYTES)
        return self.nearest_from(data, floor, field_start(data, floor, start), start)

    def nearest_from(self, data: bytes, floor: int, first: int, start: int) -> tuple[str, int] | None:
        """As ``nearest``, in the field that begins at ``first``, of which nothing before ``floor`` counts."""
        window = data[floor:start]
        at = first - floor
        if _MAY_END_SENTENCE(window):
            at = max([at, *(match.end() for match in _SENTENCE_END(window, at) if _ends_sentence(match[1]))])
        found = None
        while span := self._find(window, at):
            if stands_alone(data, floor + span[0], floor + span[1]):
                found = span
            at = span[1]
        return None if found is None else (kind_of(window[found[0] : found[1]]), floor + found[1])


__all__ = [
    "field_start",
    "Find",
    "kind_of",
    "Labels",
    "latin_pattern",
    "MAX_LABEL_BYTES",
    "MAX_SEPARATORS",
    "MONEY",
    "OTHER",
    "SEPARATOR",
    "stands_alone",
    "TRADITIONAL",
    "WORDS",
    "zh_pattern",
]
