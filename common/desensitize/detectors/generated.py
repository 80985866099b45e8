"""Sentences that we write ourselves, with the names in them marked: what the shipped tagger learns from.

Clinical notes, bank notes and plain news, from our own templates, filled with invented names, with places and
organisations that everyone knows, and, as what is no name, with the terms of the lexicon. Equal seed, equal sentences.
Shares no code or table with what evaluates. Not handled here: real text (``corpora``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np

from fedward.common.desensitize.detectors.corpora import Sentence
from fedward.common.desensitize.detectors.hashing import mixed
from fedward.common.desensitize.detectors.lexicon import term_groups
from fedward.common.desensitize.detectors.surnames import TRANSLITERATION, surnames

_SLOT: Final = re.compile(r"\{(\w+)\}")


class Draws:
    """Numbers that look random and are the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self._pool: list[int] = []

    def below(self, bound: int) -> int:
        """A number in [0, bound)."""
        if not self._pool:
            self._pool = mixed(np.arange(4096, dtype=np.uint32), self._seed, self._count).tolist()
            self._count += 1
        return self._pool.pop() % bound

    def of(self, values: Sequence[str]) -> str:
        """One of ``values``."""
        return values[self.below(len(values))]


@cache
def _tables() -> dict[str, Any]:
    text = resources.files("fedward.common.desensitize.detectors.data").joinpath("sentences.json").read_text("utf-8")
    raw = json.loads(text)
    tables: dict[str, Any] = {
        k: v if k in ("given", "surname_weights", "templates") else v.split() for k, v in raw.items()
    }
    groups = term_groups()
    tables["medical"] = sorted(t for group in ("herbs", "drugs", "findings", "eponyms") for t in groups[group])
    tables["financial"] = sorted(groups["finance"])
    tables["common"], tables["rare"] = sorted(surnames().common), sorted(surnames().rare)
    return tables


def generated(count: int, *, seed: int = 1) -> Iterator[Sentence]:
    """``count`` sentences; other seeds give other ones."""
    maker = Maker(Draws(seed))
    for _ in range(count):
        yield maker.sentence()


class Maker:
    """Fills templates.

    Args:
        draws: what decides.
        people: more names of people; these and the next three are used for one in three.
        foreign: more transliterated ones.
        places: more places.
        organisations: more organisations.
    """

    def __init__(
        self,
        draws: Draws,
        *,
        people: Sequence[str] = (),
        foreign: Sequence[str] = (),
        places: Sequence[str] = (),
        organisations: Sequence[str] = (),
    ) -> None:
        self._draws = draws
        self._tables = _tables()
        self._more = {"P": people, "F": foreign, "L": places, "O": organisations}
        self._slots: dict[str, tuple[str, Callable[[], str]]] = {
            "P": ("PERSON", self._person),
            "S": ("PERSON", self._surname),
            "S1": ("PERSON", self._surname),
            "F": ("PERSON", self._foreign),
            "L": ("LOC", self._place),
            "L2": ("LOC", self._district),
            "A": ("LOC", self._address),
            "C": ("LOC", lambda: str(draws.of(self._tables["countries"]))),
            "O": ("ORG", self._organisation),
            "H": ("ORG", lambda: self._town() + draws.of(self._tables["hospitals"])),
            "B": ("ORG", lambda: str(draws.of(self._tables["banks"]))),
            "M": ("", lambda: str(draws.of(self._tables["medical"]))),
            "M2": ("", lambda: str(draws.of(self._tables["financial"]))),
            "T": ("", lambda: str(draws.of(self._tables["titles"]))),
            "K": ("ORG", self._club),
            "E": ("ORG", lambda: str(draws.of(self._tables["firms"]))),
            "N": ("PERSON", lambda: str(draws.of(self._tables["nick"]))),
            "X": ("", self._sounds),
            "X1": ("LOC", self._sounds),
            "X2": ("ORG", self._sounds),
            "W": ("", lambda: str(draws.of(self._tables["works"]))),
            "J": ("", lambda: str(draws.of(self._tables["jobs"]))),
            "R": ("", lambda: str(draws.of(self._tables["reviews"]))),
            "D": ("", self._date),
            "num": ("", lambda: str(1 + draws.below(200))),
            "age": ("", lambda: str(1 + draws.below(95))),
            "sex": ("", lambda: str(draws.of("男女"))),
            **{name: ("", self._word_of(name)) for name in ("says", "does", "tails")},
        }

    def _word_of(self, table: str) -> Callable[[], str]:
        return lambda: str(self._draws.of(self._tables[table]))

    def sentence(self) -> Sentence:
        """A template, filled."""
        template = self._draws.of(self._tables["templates"])
        text, place = "", 0
        spans: list[tuple[int, int, str]] = []
        for match in _SLOT.finditer(template):
            text += template[place : match.start()]
            value, type_ = self.fill(match.group(1))
            if type_ and spans and spans[-1][1] == len(text) and spans[-1][2] == type_ == "LOC":
                spans[-1] = (spans[-1][0], len(text) + len(value), type_)
            elif type_:
                spans.append((len(text), len(text) + len(value), type_))
            text += value
            place = match.end()
        return Sentence(text + template[place:], tuple(spans))

    def fill(self, slot: str) -> tuple[str, str]:
        """A value for a template's slot, and its type or nothing."""
        type_, made = self._slots[slot]
        more = self._more.get(slot)
        return (self._draws.of(more) if more and self._draws.below(3) == 0 else made()), type_

    def known_places(self) -> frozenset[str]:
        """Provinces, cities and countries, with and without 省 or 市."""
        names = {name for table in ("provinces", "cities", "countries") for name in self._tables[table]}
        return frozenset(names | {name.rstrip("省市") for name in names})

    def known_organisations(self) -> list[str]:
        """Teams and firms."""
        return [*self._tables["clubs"], *self._tables["firms"]]

    def _surname(self) -> str:
        draws = self._draws
        kind = draws.below(20)
        if kind < 9:
            return str(draws.of(self._tables["surname_weights"]))
        if kind < 17:
            return str(draws.of(self._tables["common"]))
        return str(draws.of(self._tables["rare"] if kind < 19 else surnames().compound))

    def _person(self) -> str:
        draws = self._draws
        kind = draws.below(30)
        if kind == 29:
            return str(draws.of(self._tables["minority"]))
        if kind == 28:
            return self._foreign()
        given = "".join(draws.of(self._tables["given"]) for _ in range(1 if draws.below(10) < 3 else 2))
        return self._surname() + given

    def _foreign(self) -> str:
        draws = self._draws
        kind = draws.below(10)
        if kind < 4:
            return str(draws.of(self._tables["foreign"]))
        name = self._sounds()
        return (
            name + "·" + (self._sounds() if draws.below(2) else draws.of(self._tables["foreign"])) if kind < 7 else name
        )

    def _sounds(self) -> str:
        return "".join(self._draws.of(TRANSLITERATION) for _ in range(2 + self._draws.below(3)))

    def _town(self) -> str:
        draws = self._draws
        town = draws.of(self._tables["cities"])
        return str(town + "市" if draws.below(3) == 0 and not town.endswith(("区", "市")) else town)

    def _district(self) -> str:
        draws = self._draws
        head = draws.of(self._tables["given"]) + draws.of(self._tables["org_heads"])
        return str(head + draws.of("县区镇乡村") if draws.below(4) else head + draws.of(("街道", "社区", "路", "街")))

    def _place(self) -> str:
        draws = self._draws
        kind = draws.below(10)
        if kind < 2:
            return str(draws.of(self._tables["provinces"]))
        if kind < 7:
            return self._town()
        if kind < 8:
            return str(draws.of(self._tables["provinces"])) + self._town()
        return self._town() + self._district() if kind == 8 else self._district()

    def _address(self) -> str:
        draws = self._draws
        return f"{self._place()}{self._district()}{1 + draws.below(300)}号" + (
            f"{1 + draws.below(30)}栋" if draws.below(2) else ""
        )

    def _organisation(self) -> str:
        draws = self._draws
        kind = draws.below(10)
        if kind < 3:
            return str(draws.of(self._tables["orgs"]))
        head = "".join(draws.of(self._tables["org_heads"]) for _ in range(2))
        if kind < 6:
            return (self._town() if draws.below(2) else "") + head + draws.of(self._tables["org_kinds"])
        if kind < 9:
            return self._place() + str(draws.of(self._tables["org_public"]))
        return str(draws.of(self._tables["banks"])) + self._town() + draws.of(("分行", "支行", "营业部"))

    def _club(self) -> str:
        """A team that everyone knows, or one that only what stands around it makes a team."""
        draws = self._draws
        return str(draws.of(self._tables["clubs"])) if draws.below(20) < 11 else self._sounds()

    def _date(self) -> str:
        draws = self._draws
        month, day = 1 + draws.below(12), 1 + draws.below(28)
        return str(
            draws.of(
                (
                    f"{month}月{day}日",
                    f"20{10 + draws.below(15)}年{month}月{day}日",
                    "昨天",
                    "近日",
                    "今天",
                    "日前",
                    "上午",
                )
            )
        )


__all__ = ["Draws", "generated", "Maker"]
