"""Addresses in English and other Latin or Greek letters: number, street, unit, town, region, country, postcode.

A street is found by its grammar (``street_anchors``): a number and a name, and one witness: a word that means street
("Main Street", "Rue Cler", "Koskikatu", "ul. Polna"), a verb and preposition that lead to a place ("lives at"), or the
tail of an address behind it. The tail (unit, town, region, country, postcode, over line breaks) then goes with it.

Invariants: pure; every repeat is bounded, so time is linear in the text.
Not handled here: towns and countries alone (LOC), streets without any number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fedward.common.desensitize.detectors.lexicon_en import english_lexicon, name_key
from fedward.common.desensitize.detectors.names_en_grammar import UP
from fedward.common.desensitize.spans import EntityType, Level


class Found(NamedTuple):
    """A hit in characters of the folded text."""

    start: int
    end: int
    type: EntityType
    level: int
    method: str


def _alternatives(words: str) -> str:
    return "|".join(sorted((re.escape(word) for word in words.split()), key=len, reverse=True))


_UP = UP
_NUMBER = r"\d{1,6}(?:[A-Za-z](?![A-Za-z]))?(?:[-/]\d{1,4}[A-Za-z]?)?"
_LINK = _alternatives("""de da do das dos del della dei degli delle di du des la le les el los las et van von der den
ten ter op aan af av zur zum und og och na nad pod of the d' l'""")
_LOWER_TYPE = _alternatives("""utca út útja u. tér tere kapu köz krt. körút sétány sor terrasse allé alle plads vej gade
veien vegen gata gate sok. cad. ulice nábřeží náměstí trg cesta tänav tee mnt pst puiestee str. str straat street
road""")
_LOWER_LEAD = _alternatives("""rue avenue chemin via ul. al. os. pl. calle rua str. r. trg""")
_UNIT_WORD = "(?:[Aa]pt|[Aa]partment|[Ss]uite|Ste|[Uu]nit|[Ff]lat|[Rr]oom|Rm|[Ff]loor|Bldg|Building|[Bb]ox)(?!\\w)"
_NAME = (
    rf"(?!{_UNIT_WORD})(?:{_UP}[\w'\u2019]{{0,30}}\.?(?:-[\w'\u2019]{{1,30}}){{0,4}}|C/"
    r"|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH)(?!\w))"
)
_PART = rf"(?:(?:{_LINK})[ ]?){{0,3}}{_NAME}|(?:{_LOWER_TYPE})(?=[ ,\n?]|$)"
_NAMES = rf"(?:(?:{_LOWER_LEAD})[ ](?:(?:{_LINK})[ ]){{0,2}})?{_NAME}(?:[ -](?:{_PART})){{0,6}}"
_CANDIDATE = re.compile(
    rf"(?<![\w.,$€£#/'\u2019-])(?:(?<!\d[ -])(?P<before>{_NUMBER})[ ](?:(?P<second>{_NUMBER})[ ])?)?"
    rf"(?P<street>{_NAMES})"
    rf"(?:(?:[ ]|,[ ](?!{_NUMBER},?[ ](?:\d|{_UP})))(?P<after>{_NUMBER})(?![\w%]|[.,:/]\d))?\.?"
)
_LOWER = re.compile(
    rf"(?<![\w.,$€£#/-])(?:{_NUMBER} ){{1,2}}(?:[^\W\d_]{{1,30}} ){{1,3}}"
    r"(?:street|avenue|road|boulevard|lane|drive|highway|parkway|terrace|crescent)(?!\w)"
)

_TYPES = re.compile(
    r"(?:street|streets|st|road|rd|avenue|ave|av|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq"
    r"|terrace|ter|tce|highway|hwy|parkway|pkwy|circle|cir|crescent|cres|close|way|trail|trl|row|mews|walk|grove|gardens"
    r"|esplanade|quay|turnpike|tpke|expressway|loop|alley|plaza|broadway|route|rte)\.?",
    re.IGNORECASE,
)
_ENDINGS = re.compile(
    r"(?:[^\W\d_]{2,30}(?:katu|kuja|tie|polku|gatan|gata|gaten|vägen|vagen|vegen|veien|vegur|vei|vej|gade|stræti"
    r"|straeti|braut|weg|gasse|strasse|straße|str|platz|allee|alle|damm|ufer|graben|straat|laan|plein|kade|gracht"
    r"|dreef|singel|stien|stigen|torget|torg|plads|parken|bakken|utca|mäe|puiestee|tänav|prospekt)"
    r"|utca|út|u|tér|kapu|köz|krt|körút|sétány|terrasse|allé|plads|ulice|nábřeží|náměstí|trg|cesta|tänav|sok|cad"
    r"|str|straat|ul)\.?",
    re.IGNORECASE,
)
_LEADERS = re.compile(
    r"(?:rue|avenue|av|ave|boulevard|bd|place|chemin|impasse|allée|allee|quai|cours|route|via|viale|piazza"
    r"|corso|vicolo|largo|calle|avda|avenida|paseo|plaza|camino|carrera|ronda|rua|r|travessa|praça|praca|estrada|alameda|ul|ulica"
    r"|aleja|al|os|pl|jalan|jl|strada|calea|λεωφόρος|οδός|trg|kungsgatan|hoge|lange)\.?",
    re.IGNORECASE,
)
_UNIT = (
    r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Rm|Floor|Fl|Bldg|Building|Lot|Trlr)\.? ?#?[ ]?"
    r"[A-Za-z]?-?\d{1,5}[A-Za-z]?"
    r"|# ?\d{1,5}"
)
_POSTCODE = (
    r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d|\d{5}-\d{3,4}|\d{4}-\d{3}|(?:[A-Z]{1,2}-)?\d{5,6}"
    r"|\d{3} \d{2,3}|\d{4} [A-Z]{2}|(?:[A-Z]{1,2}-)?\d{4}"
)
_STATES = _alternatives("""AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ
NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY PR GU VI ON QC BC AB MB SK NS NB NL PE YT NT NU NSW VIC QLD
ACT TAS""")
_BOX = re.compile(
    r"(?:(?:\d{1,6},? )?(?:P\.? ?O\.? ?|Post Office |p\.?o\.? )[Bb]ox:? #?\d{1,6}|(?i:PSC \d{1,5},? Box \d{1,6})"
    r"|(?i:Unit \d{1,5},? Box \d{1,6})|(?:US(?:S|NS|NV|CGC|NV)) [A-Z]\w{1,30}(?=,?\s{1,2}(?:[AFD]PO))"
    r"|(?i:(?<![a-z])[AFD]PO,? A[AEP],? \d{5}))"
)
_CITY_STATE_ZIP = re.compile(
    rf"(?<![\w'\u2019-]){_UP}[\w'\u2019-]{{1,30}}\.?(?: {_UP}[\w'\u2019-]{{1,30}}){{0,3}}"
    rf",? (?:{_STATES}),? \d{{5}}(?:-\d{{4}})?(?!\w)"
)
_ZIP_LABEL = re.compile(
    rf"(?i:\b(?:zip(?: ?code)?|post ?code|postal code|plz)(?: is)?\s{{0,2}}[:#]?\s{{0,2}})({_POSTCODE})(?!\w)"
)
_CORNER = re.compile(
    rf"(?i:(?:the )?(?:corner|intersection) of )(?:{_NUMBER} )?{_NAMES}(?: {_NUMBER}\.?)? (?:and"
    rf"|&) (?:{_NUMBER} )?{_NAMES}"
    rf"(?: {_NUMBER})?\.?"
)
_CROSSING = re.compile(rf"(?:(?<=[ :\n])|^){_NAMES}(?: {_NUMBER}\.?)? (?:and|&) $")
_NO_NUMBER = re.compile(
    rf"(?<![\w-]){_NAME}(?: {_NAME}){{0,2}} (?:Street|Avenue|Boulevard|Road|Lane|street|avenue|boulevard|road"
    rf"|lane)(?!\w)"
)

_CUE = re.compile(
    r"(?i:(?:\baddress(?:es)?(?: is| are|:|\?)?|\b(?:lives?|living|lived|resid\w+|located|meet(?:ing)?|return"
    r"|send|sent|ship\w*|mail\w*|deliver\w*|drop\w*|taxi|cab|ride|office|house|home|restaurant|shop|store|clinic|enter"
    r"|side|moved?|stay\w*|park\w*|came|went|go|visit)\b[^.?!\n]{0,24}?\b(?:at|on|to|in|of|near|from|off))[:,]?\s{0,3})$"
)
_GAP = re.compile(r"[ \t]{0,3},?[ \t]{0,3}(?:\n[ \t]{0,3}){0,2}(?:(?<=\n)[>|?*]{1,3}[ \t]{0,3})?(?:,[ \t]{0,3})?")
"""Between the parts of an address: a comma, a line break or two, the mark of a quoted line."""
_TAIL_BASE = re.compile(r"(?i:[AFD]PO,? A[AEP],? \d{5}(?!\w)|(?:unit|psc) \d{1,5},? box \d{1,6})")
_TAIL_UNIT = re.compile(rf"(?i:{_UNIT})(?!\w)")
_TAIL_POSTCODE = re.compile(rf"(?:{_POSTCODE})(?![\w-]|[.,/:]\d)")
_TAIL_REGION = re.compile(rf"(?:(?:{_STATES})(?!\w)|[A-Za-z0-9]{{1,4}}(?=,?\s{{1,3}}\d{{4,6}}(?!\w)))")
_PLACE = rf"{_UP}(?:[^\W\d_]|['\u2019.]){{0,30}}(?:-[^\W\d_]{{1,30}}){{0,4}}(?!\w)"
_TAIL_TOWN = re.compile(rf"{_PLACE}(?:[ -](?:(?:{_LINK})[ ])?{_PLACE}){{0,4}}(?: \({_UP}[^()\n]{{1,30}}\))?")
_STATE_AFTER = re.compile(rf",? (?:{_STATES}),? \d{{5}}")
_TOWN_END = re.compile(rf"[ \t]{{0,3}}(?:$|[\n,;?!)]|\.(?:\s|$)|(?:{_STATES})(?!\w)|\d{{4,6}}(?!\w))")
_HAS_DIGIT = re.compile("[0-9]").search
_HAS_CORNER = re.compile("(?:orner|ntersection) of |(?:ORNER|NTERSECTION) OF ").search
_HAS_CAPITAL = re.compile(_UP).search
_LOWER_WORD = re.compile(r"(?<![\w@.])[^\W\d_]{2,}")
_SENTENCE_END = re.compile(r"[^\W\d_]{5}\.$")
_HAS_ANY_DIGIT = re.compile(r"\d").search
_HAS_STATE_ZIP = re.compile(r"[A-Z],? \d{5}").search
_STREET_WORDS = ("street", "avenue", "boulevard", "road", "lane", "drive", "highway", "parkway", "terrace", "crescent")
_BOX_WORDS = ("box", "apo", "fpo", "dpo")
_ZIP_WORDS = ("zip", "post", "plz")
"""One of these is in every hit of the patterns for streets, boxes and postcodes; looking for them costs little."""
_MAX_PARTS = 8
_FIELD = re.compile(r"[^\W\d_][^\n:\d]{0,20}:")


def street_addresses(text: str) -> Iterator[Found]:
    """Every address of ``text``; overlapping ones are united later."""
    if not _HAS_CAPITAL(text):
        text = _capitalised(text)
    for match in _CORNER.finditer(text) if _HAS_CORNER(text) else ():
        yield Found(match.start(), _without_stop(text, match.end()), EntityType.ADDRESS, Level.CHECKED, "en.corner")
    lower = text.lower()
    has_street = any(word in lower for word in _STREET_WORDS)
    for match in _NO_NUMBER.finditer(text) if has_street else ():
        yield Found(match.start(), match.end(), EntityType.ADDRESS, Level.WITNESS, "en.street-name")
    if _HAS_DIGIT(text):
        yield from _numbered(text, lower, has_street=has_street)


def _numbered(text: str, lower: str, *, has_street: bool) -> Iterator[Found]:
    if any(word in lower for word in _BOX_WORDS):
        yield from _boxes(text)
    for match in _LOWER.finditer(text) if has_street else ():
        yield Found(match.start(), _tail(text, match.end())[0], EntityType.ADDRESS, Level.CHECKED, "en.street")
    for match in _CITY_STATE_ZIP.finditer(text) if _HAS_STATE_ZIP(text) else ():
        yield Found(match.start(), match.end(), EntityType.ADDRESS, Level.CHECKED, "en.city-zip")
    if not text.isascii() or any(word in lower for word in _ZIP_WORDS):  # without case, others are these letters too
        for match in _ZIP_LABEL.finditer(text):
            yield Found(match.start(1), match.end(1), EntityType.POSTCODE, Level.WITNESS, "en.zip")
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if _HAS_ANY_DIGIT(text, start, end):
            yield from _with_number(text, start, end)
        start = end + 1


def _with_number(text: str, start: int, end: int) -> Iterator[Found]:
    """Streets of one line, beyond which no candidate reaches."""
    candidate = _CANDIDATE.search(text, start, end)
    while candidate is not None:
        found = _street(text, candidate) if candidate["before"] or candidate["after"] else None
        if found is not None:
            yield found
        # "Address 8422 Old Mill Road": the number of what was no street may begin one.
        retry = found is None and candidate["after"] and candidate["before"] is None
        candidate = _CANDIDATE.search(text, candidate.start("after") if retry else candidate.end(), end)


def _capitalised(text: str) -> str:
    """A text without one capital letter, with capitals on the words that are not ordinary; of equal length."""
    words = english_lexicon().words

    def raised(match: re.Match[str]) -> str:
        upper = match[0][0].upper()
        return match[0] if name_key(match[0]) in words or len(upper) > 1 else upper + match[0][1:]

    return _LOWER_WORD.sub(raised, text)


def _boxes(text: str) -> Iterator[Found]:
    for match in _BOX.finditer(text):
        yield Found(match.start(), _tail(text, match.end())[0], EntityType.ADDRESS, Level.CHECKED, "en.box")


def _street(text: str, match: re.Match[str]) -> Found | None:
    """Weigh one candidate: numbers, type of street, what leads to it, what follows it."""
    words = [word for word in re.split(r"[ ]", match["street"]) if word]
    start, end = match.start(), match.end()
    numbers = sum(match[group] is not None for group in ("before", "second", "after"))
    typed = _is_typed(words, match)
    if not typed and (_ordinary(words) or all(word.isupper() and len(word) < 6 for word in words)):
        return None
    before = text[max(0, start - 60) : start]
    crossing = _CROSSING.search(before)
    if crossing:
        start -= len(crossing[0])
        before = before[: crossing.start()]
    cue = _CUE.search(before) is not None
    tail_end, weight = _tail(text, end)
    if typed:
        level = Level.CHECKED if cue or weight > 1 else Level.WITNESS
    elif _has_witness(match, numbers, weight, cue=cue):
        level = Level.WITNESS
    else:
        return None
    return Found(start, _without_stop(text, tail_end), EntityType.ADDRESS, level, "en.street")


def _has_witness(match: re.Match[str], numbers: int, weight: int, *, cue: bool) -> bool:
    """Whether a name and a number without a word for street are one: by what leads there, or by their tail."""
    before, after = match["before"] or "", match["after"] or ""
    led_to = cue and (numbers > 1 or len(before or after) < 5)
    has_tail = weight > 1 and (numbers > 1 or weight > 2)
    return led_to or has_tail or (numbers > 1 and len(before) > 2)


def _without_stop(text: str, end: int) -> int:
    """``end`` without the full stop of the sentence; that of "15." or "St." stays."""
    return end - 1 if _SENTENCE_END.search(text, max(0, end - 6), end) else end


def _is_typed(words: list[str], match: re.Match[str]) -> bool:
    """Whether one of the words means street; "12 Court" and "Via 3" have no name and are none."""
    if len(words) > 1:
        number_first = match["before"] is not None
        if number_first and any(_TYPES.fullmatch(word) for word in words[1:]):
            return True
        if _LEADERS.fullmatch(words[0]) and (words[0][0].isupper() or words[0].endswith(".")):
            return True
    last = words[-1]
    return bool(_ENDINGS.fullmatch(last)) and (len(words) > 1 or len(last) > 5) and match["after"] is not None


def _ordinary(words: list[str]) -> bool:
    """Whether the candidate is "Figure 3" or "12 Patients": words, and no name among them."""
    lexicon = english_lexicon()
    keys = [name_key(word.strip(".'\u2019")) for word in words]
    return any(key in lexicon.words and not lexicon.is_name(key) for key in keys) or all(
        len(key) < 3 or key in lexicon.words for key in keys
    )


def _tail(text: str, end: int) -> tuple[int, int]:
    """Where the address ends when it begins before ``end``, and how much of a tail it has (0 none, 3 a lot)."""
    weight, after_unit = 0, False
    for _ in range(_MAX_PARTS):
        gap = _GAP.match(text, end)
        at = gap.end() if gap else end
        broken = "\n" in text[end:at] or "," in text[end:at]
        if broken and _FIELD.match(text, at):
            break
        unit = _TAIL_BASE.match(text, at) or _TAIL_UNIT.match(text, at)
        part = unit or _tail_part(text, at, led=broken or weight > 0, after_unit=after_unit)
        if part is None:
            break
        # A unit says more than a town, which may be any name.
        weight, after_unit, end = weight + 1 + (unit is not None), unit is not None, part.end()
    return end, weight


def _tail_part(text: str, at: int, *, led: bool, after_unit: bool) -> re.Match[str] | None:
    """A postcode, a region, a second street, a town; ``led``: a break or another part stands before it."""
    if led:
        part = _TAIL_POSTCODE.match(text, at) or _TAIL_REGION.match(text, at)
        if part is not None:
            return part
    return _more_street(text, at) or (_town(text, at, free=after_unit) if led or after_unit else None)


def _more_street(text: str, at: int) -> re.Match[str] | None:
    """A second part of the street: "14 Crown Street, Mill Crossing"."""
    match = _TAIL_TOWN.match(text, at)
    if match is None or " " not in match[0]:
        return None
    return match if name_key(match[0].rsplit(" ", 1)[1]) in english_lexicon().streets else None


def _town(text: str, at: int, *, free: bool) -> re.Match[str] | None:
    """A town or country that fills its place; ``free``: behind a unit it need not end there."""
    match = _TAIL_TOWN.match(text, at)
    if match is None:
        return None
    lexicon = english_lexicon()
    keys = [name_key(word) for word in re.findall(r"[^\W\d_]+", match[0])]
    if _STATE_AFTER.match(text, match.end()):
        return match
    if all(key in lexicon.words and key not in lexicon.places for key in keys):
        return None
    known = all(key in lexicon.places or key in lexicon.words for key in keys)
    return match if free or known or _TOWN_END.match(text, match.end()) else None


__all__ = ["Found", "street_addresses"]
