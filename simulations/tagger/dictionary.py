"""The word list that ships: words of jieba's dictionary (MIT), their kinds checked by LAC (Apache-2.0).

jieba calls many ordinary words names (崇高, 贺词): a word that it tags so keeps that kind only if LAC, asked for the
word alone, agrees. Not handled here: training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.desensitize.detectors.characters import simplified
from fedward.common.desensitize.detectors.lac import load_lac
from fedward.common.desensitize.detectors.lexicon import terms
from fedward.common.desensitize.detectors.rules_zh import surname_length
from fedward.common.desensitize.detectors.surnames import surnames
from fedward.common.desensitize.detectors.words import MAX_LENGTH, MIN_LENGTH, Kind, Words
from fedward.common.desensitize.spans import EntityType

_PEOPLE: Final = ("nr", "nrfg")
_NAMES: Final = (*_PEOPLE, "nrt", "ns", "nt", "nz")
_KINDS: Final = {"v": Kind.VERB, "vn": Kind.VERB, "t": Kind.TIME, "m": Kind.TIME, "i": Kind.IDIOM, "l": Kind.IDIOM}
_CHECKED: Final = {
    EntityType.PERSON: Kind.PERSON,
    EntityType.LOC: Kind.PLACE,
    EntityType.ORG: Kind.ORGANISATION,
}


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Words by kind, the frequent ones first.

    Args:
        kinds: of every word.
        people: names of one to four characters with a surname.
        foreign: transliterated names.
        places: as they are.
        organisations: as they are.
        plain: what is no name, with how often it occurs.
    """

    kinds: dict[str, Kind] = field(repr=False)
    people: list[str] = field(repr=False)
    foreign: list[str] = field(repr=False)
    places: list[str] = field(repr=False)
    organisations: list[str] = field(repr=False)
    plain: dict[str, int] = field(repr=False)

    def words(self) -> Words:
        """The table that ships."""
        return Words.of({word: kind for word, kind in self.kinds.items() if MIN_LENGTH <= len(word) <= MAX_LENGTH})


def read_dictionary(path: Path) -> Dictionary:
    """From jieba's ``dict.txt``: word, count and tag a line."""
    rows = sorted(_rows(path), key=lambda row: -row[1])
    asked = [word for word, _, tag in rows if tag in _NAMES and 2 <= len(word) <= 14]
    says: dict[str, EntityType | None] = {}
    for word, found in zip(asked, load_lac().names(asked), strict=True):
        whole = len(found) == 1 and found[0][:2] == (0, len(word))
        says.setdefault(word, found[0][2] if whole else None)
    made = Dictionary(kinds={}, people=[], foreign=[], places=[], organisations=[], plain={})
    for word, count, tag in rows:
        if word not in made.kinds:
            _add(made, word, count, tag, says.get(word))
    return made


def _rows(path: Path) -> Iterator[tuple[str, int, str]]:
    for line in path.read_text("utf-8").splitlines():
        word, count, tag = line.split()
        yield simplified(word), int(count), tag


def _add(made: Dictionary, word: str, count: int, tag: str, says: EntityType | None) -> None:
    kind = _kind(word, tag, says)
    made.kinds[word] = kind
    surname = surname_length(word, 0)
    if kind is Kind.PERSON and surname and surname < len(word) <= 4:
        made.people.append(word)
    elif kind is Kind.FOREIGN:
        made.foreign.append(word)
    elif kind is Kind.PLACE:
        made.places.append(word)
    elif kind is Kind.ORGANISATION:
        made.organisations.append(word)
    elif tag not in (*_NAMES, "x", "eng") and count >= 3 and all("\u4e00" <= c <= "\u9fff" for c in word):
        made.plain[word] = count


def _kind(word: str, tag: str, says: EntityType | None) -> Kind:
    if tag not in _NAMES:
        return _KINDS.get(tag, Kind.PLAIN)
    if word in terms():
        return Kind.PLAIN
    if says is not None:
        return Kind.FOREIGN if tag == "nrt" and says is EntityType.PERSON else _CHECKED[says]
    if tag in _PEOPLE:
        doubtful = word[0] in surnames().common and len(word) in (2, 3)
        return Kind.PERHAPS_PERSON if doubtful else Kind.PLAIN
    return Kind.OTHER_NAME


__all__ = ["Dictionary", "read_dictionary"]
