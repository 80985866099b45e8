r"""The one alternation of the scan, and the same rules with names for a second look at a hit.

Invariants: no ``\b \w \d \s``, no look-around, no ``(?i)``, no capture groups in the scan; CJK as alternations; every
repeat bounded; no rule crosses a newline. So google-re2 (Latin-1, that is bytes) and the stdlib ``re`` give the same
hits in time linear in the text. Neighbour bytes, calendars and check digits are tested afterwards, on hits only.
Not handled here: e-mail addresses and links, which ``anchors`` finds from their ``@`` and ``://``.
"""

# ruff: noqa: RUF001 - the look-alikes are what is looked for

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from typing import Any, Literal

from fedward.common.desensitize.detectors.labels import (
    MAX_SEPARATORS,
    SEPARATOR,
    Find,
    latin_pattern,
    zh_pattern,
)
from fedward.common.errors import ConfigError

Engine = Literal["re2", "re"]
_MAX_MEMORY_BYTES = 256 << 20
"""Bound of the DFA cache of google-re2; its default of 8 MiB is too small for this many labels."""

CODE_KINDS = (
    *("PHONE", "ID", "SSN", "NATIONAL_ID", "PASSPORT", "LICENCE", "MRN", "HEALTH_PLAN", "CARD", "ACCOUNT", "IBAN"),
    *("TXN", "PLATE", "VIN", "DEVICE", "ORG_ID", "POSTCODE", "DATE"),
)
"""Labels before values that hold a digit within their first characters."""
TEXT_KINDS = ("TAIL", "CODE", "WORD", "HANDLE")
"""Labels before values of any printable characters."""

_SEPARATORS = f"{SEPARATOR}{{0,{MAX_SEPARATORS}}}"
SPOKEN = "(?:零|〇|○|一|二|三|四|五|六|七|八|九|幺|两|壹|贰|叁|肆|伍|陆|柒|捌|玖)"
_CODE_HEAD = f"(?:(?:\\+|\\(\\+?)?(?:[A-Z]{{1,4}} [A-Z]{{0,2}}|[A-Za-z]{{0,8}}[-/]?)[0-9]|{SPOKEN}{{4}})"
_TEXT_HEAD = "[!-~]"
LABELLED = (
    ("zh_code", f"«{zh_pattern(CODE_KINDS)}»{_SEPARATORS}«{_CODE_HEAD}»"),
    ("zh_text", f"«{zh_pattern(TEXT_KINDS)}»{_SEPARATORS}«{_TEXT_HEAD}|{SPOKEN}{{4}}»"),
    ("latin_code", f"«{latin_pattern(CODE_KINDS)}»{_SEPARATORS}«{_CODE_HEAD}»"),
    (
        "latin_text",
        f"«{latin_pattern(TEXT_KINDS)}»(?:[ \"']{{0,3}}(?:[:=]|：){_SEPARATORS}«{_TEXT_HEAD}»|"
        f"{_SEPARATORS}«[A-Za-z_]{{0,10}}[0-9]»)",
    ),
)

_LABELLED_PARTS = (LABELLED[:2], LABELLED[2:])

_DIGIT_ZH = "(?:〇|零|○|一|二|三|四|五|六|七|八|九)"
_MONTH_ZH = "(?:十(?:一|二)?|元|正|一|二|三|四|五|六|七|八|九)"
_DAY_ZH = "(?:(?:二|三)?十(?:一|二|三|四|五|六|七|八|九)?|一|二|三|四|五|六|七|八|九)"
_NUMERAL_ZH = "(?:一|二|三|四|五|六|七|八|九|十|百|零|〇)"
_MONTH_EN = (
    "(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|May|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?|"
    "[Ss]ept?(?:ember)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?|"
    "JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?|AUG(?:UST)?|SEPT?(?:EMBER)?|OCT(?:OBER)?|"
    "NOV(?:EMBER)?|DEC(?:EMBER)?)"
)
_YEAR = "(?:18|19|20)[0-9]{2}"
_ORDINAL = "(?:st|nd|rd|th|ST|ND|RD|TH)?"
DATE_RULES = (
    ("ymd_zh", f"{_YEAR} ?年 ?[0-9]{{1,2}} ?月(?: ?份)?(?: ?[0-9]{{1,2}} ?(?:日|号|號))?"),
    ("yymd_zh", "[0-9]{2} ?年 ?[0-9]{1,2} ?月 ?[0-9]{1,2} ?(?:日|号|號)"),
    ("md_zh", "[0-9]{1,2} ?月 ?[0-9]{1,2} ?(?:日|号|號)"),
    ("ymd", f"{_YEAR} ?[-/.] ?[0-9]{{1,2}} ?[-/.] ?[0-9]{{1,2}}"),
    ("dmy", f"[0-9]{{1,2}} ?[-/.] ?[0-9]{{1,2}} ?[-/.] ?{_YEAR}"),
    ("dmy_short", "[0-9]{1,2}[-/.][0-9]{1,2}[-/.]'?[0-9]{2}"),
    ("ym", f"{_YEAR}[-/.](?:0[1-9]|1[0-2])"),
    ("my", f"(?:0[1-9]|1[0-2])/{_YEAR}"),
    ("day_name_year", f"[0-9]{{1,2}}{_ORDINAL}(?: of)?[ -]{{0,2}}{_MONTH_EN}\\.?,?[ -]{{0,2}}{_YEAR}"),
    ("day_name", f"[0-9]{{1,2}}{_ORDINAL}(?: of)?[ -]{{1,2}}{_MONTH_EN}(?:[ -]'?[0-9]{{2}})?"),
    ("name_day_year", f"{_MONTH_EN}\\.?[ -]{{1,2}}[0-9]{{1,2}}{_ORDINAL}(?:,| |-){{1,2}}{_YEAR}"),
    ("name_year", f"{_MONTH_EN}\\.?(?:,| of)?[ -]{{1,2}}{_YEAR}"),
    ("name_day", f"{_MONTH_EN}\\.? [0-9]{{1,2}}{_ORDINAL}"),
    ("ymd_spoken", f"{_DIGIT_ZH}{{4}}年{_MONTH_ZH}月(?:份)?(?:{_DAY_ZH}(?:日|号|號))?"),
    ("yymd_spoken", f"{_DIGIT_ZH}{{2}}年{_MONTH_ZH}月{_DAY_ZH}(?:日|号|號)"),
    ("md_spoken", f"{_MONTH_ZH}月{_DAY_ZH}(?:日|号|號)"),
    (
        "minguo",
        f"(?:民国|民國) ?(?:[0-9]{{1,3}}|{_NUMERAL_ZH}{{1,6}}) ?年 ?(?:[0-9]{{1,2}}|{_MONTH_ZH}) ?月"
        f"(?: ?(?:[0-9]{{1,2}}|{_DAY_ZH}) ?(?:日|号|號))?",
    ),
)
_OLD = "(?:9[0-9]|1[0-4][0-9])"
_OLD_ZH = "(?:九十(?:一|二|三|四|五|六|七|八|九)?|一百(?:零|〇|一|二|十|三|四|五|六|七|八|九){0,4})"
_OLD_EN = "[Nn]inety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
AGE = (
    f"(?:{_OLD}|{_OLD_ZH}) ?(?:余|多|周|虚)?(?:岁|歲)|"
    f"(?:{_OLD}|{_OLD_EN})[ -]{{0,2}}(?:[Yy]ears?[ -]{{0,2}}(?:[Oo]ld|[Oo]f [Aa]ge)|[Yy]rs?[ -]{{0,2}}old|"
    f"[Yy][Oo]|[Yy]/[Oo]|[Yy]\\.[Oo]|y o )|"
    f'(?:(?:年龄|年齡)(?:为|是|：|[ :="]){{0,4}}|(?:[Aa]ged|[Aa]ge|AGE)(?:[ :="]|：|is |of ){{1,4}})'
    f"(?:{_OLD}|{_OLD_EN})"
)
_HEX = "[0-9A-Fa-f]"
MAC = f"{_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5}}|{_HEX}{{4}}\\.{_HEX}{{4}}\\.{_HEX}{{4}}"
IPV4 = "(?:[0-9]{1,3}\\.){3}[0-9]{1,3}"
IPV6 = (
    f"(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}|"
    f"{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}}::(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}})?|"
    f"::{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}}"
)
_STAR = "(?:\\*|＊|•|●|※)"
_SURNAMES = (
    "欧阳|上官|司马|诸葛|李|王|张|刘|陈|杨|赵|黄|周|吴|徐|孙|胡|朱|高|林|何|郭|马|罗|梁|宋|郑|谢|韩|唐|冯|于|董|萧|程|曹|"
    "袁|邓|许|傅|沈|曾|彭|吕|苏|卢|蒋|蔡|贾|丁|魏|薛|叶|阎|余|潘|杜|戴|夏|钟|汪|田|任|姜|范|方|石|姚|谭|廖|邹|熊|金|陆|郝|"
    "孔|白|崔|康|毛|邱|秦|江|史|顾|侯|邵|孟|龙|万|段|雷|钱|汤|尹|黎|易|常|武|乔|贺|赖|龚|文"
)
MASKED = (
    f"[0-9]{{2,10}}[ -]?(?:{_STAR}{{3,16}}[ -]?|[Xx]{{3,14}}[ -]?|(?:{_STAR}{{4}}[ -]){{1,3}})[0-9]{{1,8}}[Xx]?|"
    f"(?:{_STAR}{{3,16}}|(?:{_STAR}{{2,4}}[ -]){{1,4}}|(?:[Xx]{{2,4}}[ -]){{1,4}}|[Xx]{{4,16}})[0-9]{{3,6}}[Xx]?|"
    f"[A-Za-z]{{1,3}}[0-9]{{0,4}}{_STAR}{{3,12}}[0-9]{{2,8}}|[0-9]{{3,10}}{_STAR}{{4,16}}|"
    f"(?:{_SURNAMES})(?:\\*|＊){{1,2}}(?:[\u00e4-\u00e9][\u0080-\u00bf]{{2}})?"
)
PROVINCES = "京|津|沪|渝|冀|豫|云|辽|黑|湘|皖|鲁|新|苏|浙|赣|鄂|桂|甘|晋|蒙|陕|吉|闽|贵|粤|青|藏|川|宁|琼"
PLATE_SUFFIXES = "学|警|港|澳|挂|领|试|超|使"
NOT_XINJIANG = "更最创刷全重革翻崭从"
"""After these 新 is no province."""
_DOT = "(?:·|•|・|‧|●|[ .-])?"
PLATE = (
    f"(?:{PROVINCES}){_DOT}[A-Za-z]{_DOT}(?:[A-Za-z0-9*]{{4,5}}(?:{PLATE_SUFFIXES})|[A-Za-z0-9*]{{5,6}})|"
    f"WJ ?(?:{PROVINCES}){_DOT}[0-9]{{4,5}}[A-Z]?|(?:军|空|海){_DOT}[A-Z]{_DOT}[0-9]{{5}}|"
    f"使 ?[0-9]{{3}}{_DOT}[0-9]{{3}}"
)
IBAN = "[A-Z]{2}[0-9]{2}(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?"
TOKEN = "[A-Z0-9]{15,34}"  # noqa: S105 - a run of capitals and digits
_TOKEN_HEAD = "[A-Z][A-Z0-9]{14}|[0-9]{1,9}[A-Z][A-Z0-9]{5}"  # noqa: S105
"""How a token begins that is no number."""
PASSPORT = "[A-Z]{1,2}[0-9]{7,8}"
_CODE_WORDS = (
    "(?:验证码|校验码|动态码|动态密码|确认码|[Vv]erification code|[Ss]ecurity code|[Oo]ne[- ]time (?:pass)?code|OTP|"
    "[Pp]asscode|[Ll]ogin code|[Aa]uthentication code|[Aa]ccess code)"
)
CODE_BEFORE = (
    "[0-9]{4,8}(?: ?(?:是|为|（|\\()| is| \\()? ?(?:您|你|[Yy]our|the|本次)?(?:的)? ?(?:[A-Z][A-Za-z]{1,12} )?"
    f"(?:登录|注册|短信|动态|支付|手机|交易){{0,2}}{_CODE_WORDS}"
)
RECORD_BEFORE = "号(?:病历|病案|档案|病人|患者|住院)"
NUMBER_SEPARATOR = "(?:[ ().-]|\u2010|\u2011|\u2013|\u2014|\u2212|\u2009|\u202f|\u3000|（|）)"
NUMBER = f"[0-9](?:{NUMBER_SEPARATOR}{{0,2}}[0-9]){{8,40}}[Xx]?"
_IMAGE_TYPES = ("jpg", "jpeg", "png", "gif", "bmp", "webp", "tif", "tiff", "heic", "dcm")
IMAGE_FILE = "\\.(?:" + "|".join("".join(f"[{c.upper()}{c}]" for c in t) for t in _IMAGE_TYPES) + ")"

_SHAPES = (
    ("code_before", CODE_BEFORE),
    ("record_before", RECORD_BEFORE),
    ("ipv4", IPV4),
    ("age", AGE),
    ("masked", MASKED),
    ("mac", MAC),
    *DATE_RULES,
    ("ipv6", IPV6),
    ("plate", PLATE),
    ("iban", IBAN),
    ("token", TOKEN),
    ("number", NUMBER),
    ("image_file", IMAGE_FILE),
    ("spelt", "(?:\\(|\\[)(?:at|AT|@)(?:\\)|\\])"),
)


def _bytes(pattern: str) -> bytes:
    """UTF-8, but characters below 256 as the byte of that value: so ranges of raw bytes can be written."""
    return b"".join(bytes([ord(c)]) if 0x80 <= ord(c) < 0x100 and c not in "·" else c.encode() for c in pattern)


_NAMED = ("day_name_year", "day_name", "name_day_year", "name_year", "name_day")
_NUMERIC_DATES = ("ymd_zh", "yymd_zh", "md_zh", "ymd", "dmy", "dmy_short", "ym", "my")
_SPOKEN_DATES = ("ymd_spoken", "yymd_spoken", "md_spoken", "minguo")
PARTS = (
    ("token", "age", "code_before", "record_before", "passport"),
    ("plate", "masked", *_NAMED, *_SPOKEN_DATES, "iban", "image_file", "spelt"),
    (*_NUMERIC_DATES, "ipv4", "mac", "ipv6", "number"),
)
"""Shapes of the scan by the part that looks for them."""
_BEGINNINGS = {
    "token": _TOKEN_HEAD,
    "ymd_zh": f"{_YEAR} ?年 ?[0-9]{{1,2}} ?月",
    "ymd": f"{_YEAR} ?[-/.] ?[0-9]{{1,2}} ?[-/.] ?[0-9]",
    "ipv4": "(?:[0-9]{1,3}\\.){3}[0-9]",
    "ipv6": f"(?:{_HEX}{{1,4}}:){{7}}{_HEX}|{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,6}}::|::{_HEX}",
    "number": f"[0-9](?:{NUMBER_SEPARATOR}{{0,2}}[0-9]){{8}}",
}
"""As much of a shape as says where it begins: google-re2 has fewer states to build; the exact rule reads the rest."""
_ANY_SEPARATORS = SEPARATOR.replace("{1,18}", "+") + "*"


def scan_patterns(*, bare_passports: bool, engine: Engine | None) -> tuple[list[bytes], list[bytes]]:
    """The scan in parts: labelled values, and shapes; ``bare_passports``: also passport numbers without a label.

    google-re2 builds its automaton while it reads, and one for everything has a state for every pair of half-read
    rules: on text of a new kind it took eight times as long as on text like that seen before (measured). The parts
    have few states. Counted repeats have many, so google-re2 may find too much: all is read again by the exact rules.
    The stdlib's engine has no automaton and gets them exact.
    """
    labelled = ["|".join(rule.replace("«", "(?:").replace("»", ")") for _, rule in some) for some in _LABELLED_PARTS]
    shapes = dict(_SHAPES) | ({"passport": PASSPORT} if bare_passports else {})
    if is_stdlib(engine):
        return [_bytes("|".join(labelled))], [_bytes("|".join(shapes.values()))]
    labelled = [rules.replace(_SEPARATORS, _ANY_SEPARATORS) for rules in labelled]
    shapes |= _BEGINNINGS
    parts = [[shapes[name] for name in part if name in shapes] for part in PARTS]
    return [_bytes(rules) for rules in labelled], [_bytes("|".join(rules)) for rules in parts]


def part_shapes(engine: Engine | None) -> list[Callable[[bytes, int], re.Match[bytes] | None]]:
    """For each part of ``scan_patterns`` without labels, which of its rules a hit is."""
    if is_stdlib(engine):
        return [SHAPE]
    rules = (*_SHAPES, ("passport", PASSPORT))
    return [
        re.compile(_bytes("|".join(f"(?P<{name}>{rule})" for name, rule in rules if name in part))).match
        for part in (*PARTS[:-1], (*PARTS[-1], "token"))  # which may begin as a number
    ]


PROVINCE_CHARACTERS = frozenset(c.encode() for c in PROVINCES.split("|"))
SHAPE = re.compile(_bytes("|".join(f"(?P<{name}>{rule})" for name, rule in (*_SHAPES, ("passport", PASSPORT))))).match
"""Which rule a hit is, for hits that are no labelled value; the stdlib beats google-re2 on one short match."""
LABELLED_AT = re.compile(_bytes("|".join(rule.replace("«", "(").replace("»", ")") for _, rule in LABELLED))).match
"""A labelled hit; of the groups that took part the first is the label, the last the head of the value."""
PLATE_AT = re.compile(_bytes(PLATE)).match
NUMBER_AT = re.compile(_bytes(NUMBER)).match
SEPARATORS_AT = re.compile(_bytes(_SEPARATORS)).match


def has_re2() -> bool:
    """Whether google-re2 can be imported."""
    try:
        importlib.import_module("re2")
    except ImportError:
        return False
    return True


def is_stdlib(engine: Engine | None) -> bool:
    """Whether the stdlib's ``re`` scans."""
    return engine == "re" or (engine is None and not has_re2())


def finder(pattern: bytes, engine: Engine | None) -> Find:
    """A pattern compiled by an engine; None: google-re2 where installed.

    Raises:
        ConfigError: google-re2 was asked for by name and is not installed.
    """
    if is_stdlib(engine):
        return _spans_of(re.compile(pattern).search)
    if not has_re2():
        raise ConfigError("the engine re2 is not installed", hint="`pip install google-re2`, or leave the engine open.")
    re2: Any = importlib.import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MAX_MEMORY_BYTES
    compiled = re2.compile(pattern, options)
    # The extension type is asked directly where it is there: match objects of the wrapper cost as much again.
    inner: Any = getattr(compiled, "_regexp", None)
    anchor = getattr(getattr(type(inner), "Anchor", None), "UNANCHORED", None)
    return _spans_of(compiled.search) if anchor is None else _spans_of_re2(inner.Match, anchor)


def _spans_of(search: Callable[[bytes, int, int], re.Match[bytes] | None]) -> Find:
    def find(data: bytes, at: int, end: int = sys.maxsize) -> tuple[int, int] | None:
        match = search(data, at, end)
        return None if match is None else match.span()

    return find


def _spans_of_re2(match: Callable[..., list[tuple[int, int]]], anchor: object) -> Find:
    def find(data: bytes, at: int, end: int = -1) -> tuple[int, int] | None:
        span = match(anchor, data, at, end if end >= 0 else len(data))[0]
        return span if span[0] >= 0 else None

    return find


__all__ = [
    "Engine",
    "finder",
    "has_re2",
    "is_stdlib",
    "LABELLED_AT",
    "NOT_XINJIANG",
    "NUMBER_AT",
    "NUMBER_SEPARATOR",
    "part_shapes",
    "PARTS",
    "PLATE_AT",
    "PLATE_SUFFIXES",
    "PROVINCE_CHARACTERS",
    "PROVINCES",
    "scan_patterns",
    "SEPARATORS_AT",
    "SHAPE",
    "SPOKEN",
]
