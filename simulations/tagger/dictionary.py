"""The word list that ships: words of jieba (MIT) and THUOCL (MIT), and foreign cities out of GeoNames (CC BY 4.0).

jieba calls many ordinary words names (崇高, 贺词): a word that it tags so keeps that kind only if LAC, asked for the
word alone, agrees; names of the other lists count only so. Not handled here: training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedward.common.desensitize.detectors.lac import Named, load_lac
from fedward.common.desensitize.detectors.lexicon import terms
from fedward.common.desensitize.detectors.rules_zh import surname_length
from fedward.common.desensitize.detectors.surnames import TRANSLITERATION, surnames
from fedward.common.desensitize.detectors.words import MAX_LENGTH, MIN_LENGTH, Kind, Words
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tables import simplified
from fedward.simulations.tagger.public_texts import foreign_cities, lexicon

_PLAIN_LISTS: Final = ("chengyu", "food", "caijing", "car", "law", "IT", "medical", "animal")
_RARE: Final = 20
"""Words of THUOCL that occur less often are left out."""
_MOST: Final = 2000
"""THUOCL counts in another corpus than jieba."""
_LONGEST_WORD: Final = 8
_MAY_BE_PEOPLE: Final = (Kind.PERSON, Kind.FOREIGN, Kind.PERHAPS_PERSON, Kind.OTHER_NAME)
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

    def add_organisations(self, names: Iterable[str]) -> None:
        """Teams and firms that are no ordinary words and no places."""
        for name in names:
            if self.kinds.get(name, Kind.FOREIGN) in (Kind.FOREIGN, Kind.OTHER_NAME, Kind.PERHAPS_PERSON):
                self.kinds[name] = Kind.ORGANISATION


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


def enrich(dictionary: Dictionary, thuocl: Path, cities: Path) -> None:
    """Add the word lists of THUOCL (its folder) and the cities that are in none of the lists before."""
    _add_people(dictionary, thuocl)
    _add_places(dictionary, thuocl)
    _add_cities(dictionary, cities)
    for name in _PLAIN_LISTS:
        words = [
            (word, count)
            for word, count in lexicon(thuocl, name)
            if count >= _RARE and _is_han(word) and 2 <= len(word) <= _LONGEST_WORD and word not in dictionary.kinds
        ]
        for (word, count), found in zip(words, load_lac().names([word for word, _ in words]), strict=True):
            # The law's list holds people of its cases.
            if any(type_ is EntityType.PERSON for _, _, type_ in found) and surname_length(word, 0):
                continue
            dictionary.kinds[word] = Kind.IDIOM if name == "chengyu" else Kind.PLAIN
            dictionary.plain[word] = min(count, _MOST)


def _add_people(dictionary: Dictionary, thuocl: Path) -> None:
    names = [
        word for word, _ in lexicon(thuocl, "lishimingren") if _is_han(word.replace("·", "")) and 2 <= len(word) <= 14
    ]
    for word, found in zip(names, load_lac().names(names), strict=True):
        known = dictionary.kinds.get(word, Kind.PERSON)
        if not _is_whole(word, found, EntityType.PERSON) or known not in _MAY_BE_PEOPLE:
            continue
        surname = surname_length(word, 0)
        native = bool(surname) and surname < len(word) <= 3
        dictionary.kinds[word] = Kind.PERSON if native else Kind.FOREIGN
        (dictionary.people if native else dictionary.foreign).append(word)


def _add_places(dictionary: Dictionary, thuocl: Path) -> None:
    places = [
        word
        for word, count in lexicon(thuocl, "diming")
        if 2 <= len(word) <= _LONGEST_WORD and count >= _RARE and _is_han(word) and word not in dictionary.kinds
    ]
    for word, found in zip(places, load_lac().names(places), strict=True):
        if _is_whole(word, found, EntityType.LOC):
            dictionary.kinds[word] = Kind.PLACE
            dictionary.places.append(word)
        elif _is_whole(word, found, EntityType.ORG):
            dictionary.kinds[word] = Kind.ORGANISATION
            dictionary.organisations.append(word)


def _add_cities(dictionary: Dictionary, path: Path) -> None:
    """A city in whose name LAC sees a place, or that is transliterated."""
    names = [name for name in foreign_cities(path) if name not in dictionary.kinds]
    sounds = frozenset(TRANSLITERATION)
    for name, found in zip(names, load_lac().names(names), strict=True):
        if any(type_ is EntityType.LOC for _, _, type_ in found) or (len(name) >= 3 and sounds.issuperset(name)):
            dictionary.kinds[name] = Kind.PLACE
            dictionary.places.append(name)


def _is_whole(word: str, found: list[Named], type_: EntityType) -> bool:
    return len(found) == 1 and found[0] == (0, len(word), type_)


def _is_han(word: str) -> bool:
    return all("\u4e00" <= c <= "\u9fff" for c in word)


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


__all__ = ["Dictionary", "enrich", "read_dictionary"]
