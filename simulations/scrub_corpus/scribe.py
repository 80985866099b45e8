"""Fills templates: what stands in braces is drawn, everything else is written as it stands."""

from __future__ import annotations

import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from random import Random  # noqa: TID251  # reproducible fiction
from typing import Any

from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.gold import NEUTRAL, Draft
from fedward.simulations.scrub_corpus.spelling import spelled, wide

_SLOT = re.compile(r"\{(?:([a-z][0-9]?)\.)?([a-z_]+[0-9]?)\}")
FAR_SHARE = 0.04
"""Of labels that stand a few words before their value."""


@cache
def words(language: str) -> Mapping[str, Any]:
    """The tables and templates of a language."""
    return tomllib.loads(resources.files(__package__).joinpath(f"{language}.toml").read_text("utf-8"))


class Scribe(ABC):
    """Writes one document; subclasses know a language.

    Args:
        rng: where every choice comes from.
        language: ``zh`` or ``en``.
    """

    def __init__(self, rng: Random, language: str) -> None:
        self.rng = rng
        self.tables = words(language)
        self.draft = Draft()
        self._people: dict[str, Any] = {}
        self._labelled = ""
        """Name of the label that stands right before, for values that need one."""

    @abstractmethod
    def new_person(self) -> Any:  # noqa: ANN401 - each language has its own
        """Someone who was not in the document yet."""

    @abstractmethod
    def slot(self, person: Any, name: str) -> None:  # noqa: ANN401
        """Write the value of a slot of the language."""

    def person(self, key: str) -> Any:  # noqa: ANN401
        """The person of that letter, the same all through the document."""
        if key not in self._people:
            self._people[key] = self.new_person()
        return self._people[key]

    def forget_others(self) -> None:
        """From now on the patient has other people around."""
        self._people = {key: value for key, value in self._people.items() if key == "p"}

    def fill(self, template: str) -> None:
        """Write ``template``."""
        start = 0
        for match in _SLOT.finditer(template):
            self._plain(template[start : match.start()])
            start = match.end()
            key, name = match.group(1), match.group(2)
            if not self._shared_slot(name):
                self.slot(self.person(key or "p"), name)
        self._plain(template[start:])

    def pick(self, table: str, group: str = "words") -> str:
        """A word of a table."""
        return str(self.rng.choice(self.tables[group][table]))

    def put_number(
        self, type_: str, value: str, shapes: Sequence[Sequence[int]] = (), separators: str = " -", cue: str = ""
    ) -> None:
        """Write a number in some spelling."""
        text, spelling = spelled(self.rng, value, shapes, separators)
        self.draft.put(type_, text, cue or spelling)
        self._labelled = ""

    def label(self, name: str) -> None:
        """Write a label and what joins it to its value."""
        self.draft.add(self.pick(name, "labels"))
        joints = self.tables["joints"]
        self.draft.add(self.rng.choice(joints["far"] if self.rng.random() < FAR_SHARE else joints["near"]))
        self._labelled = name

    @property
    def is_labelled(self) -> bool:
        """Whether a label stands right before."""
        return bool(self._labelled)

    def _plain(self, text: str) -> None:
        if text:
            self.draft.add(text)
            self._labelled = ""

    def _shared_slot(self, name: str) -> bool:
        if name in _DECOYS:
            self.draft.add(_DECOYS[name](self.rng))
        elif name in _SHARED:
            _SHARED[name](self)
        elif name.startswith("l") and name[1:] in self.tables["labels"]:
            self.label(name[1:])
            return True
        else:
            return False
        self._labelled = ""
        return True


# ---------------------------------------------------------------------------------------------------- decoys


def _clock(rng: Random) -> str:
    return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"


def _isbn(rng: Random) -> str:
    body = "978" + rng.choice("713") + numbers.digits(rng, 8)
    check = -sum(int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(body)) % 10
    return f"{body[:3]}-{body[3]}-{body[4:7]}-{body[7:]}-{check}"


def _version(rng: Random) -> str:
    return rng.choice(("v", "", "V")) + ".".join(str(rng.randrange(30)) for _ in range(rng.choice((2, 3, 3, 4))))


_DECOYS: Mapping[str, Callable[[Random], str]] = {
    "two": lambda rng: numbers.digits(rng, 2, first="123456789"),
    "three": lambda rng: numbers.digits(rng, 3, first="123456789"),
    "four": lambda rng: numbers.digits(rng, 4, first="123456789"),
    "serial8": lambda rng: numbers.digits(rng, 8, first="3456789"),
    "long_serial": lambda rng: numbers.digits(rng, 22),
    "barcode": lambda rng: "69" + numbers.digits(rng, 11),
    "amount": lambda rng: f"{rng.randrange(10_000, 90_000_000) / 100:,.2f}",
    "amount_plain": lambda rng: f"{rng.randrange(10_000, 9_000_000) / 100:.2f}",
    "bp": lambda rng: f"{rng.randrange(95, 190)}/{rng.randrange(55, 110)}",
    "clock": _clock,
    "isbn": _isbn,
    "version": _version,
    "bad_id": lambda rng: numbers.wrong_resident_id(rng, numbers.birthday(rng)),
    "bad_card": numbers.wrong_luhn,
    "unallocated": lambda rng: rng.choice(numbers.UNALLOCATED) + numbers.digits(rng, 8),
}


# ---------------------------------------------------------------------------------------------------- shared values


def _put_ip(scribe: Scribe) -> None:
    rng = scribe.rng
    if rng.random() < 0.2:
        parts = [f"{rng.randrange(1, 65536):x}" for _ in range(rng.choice((4, 5)))]
        scribe.draft.put("IP", "2400:" + ":".join(parts[:-1]) + "::" + parts[-1], "v6")
        return
    scribe.draft.put("IP", ".".join(str(rng.randrange(1, 255)) for _ in range(4)))


def _put_account(scribe: Scribe) -> None:
    value = numbers.digits(scribe.rng, scribe.rng.choice((12, 15, 17, 19)), first="123456789")
    scribe.put_number("ACCOUNT", value, ((4, 4, 4),), " ")


def _put_txn(scribe: Scribe) -> None:
    prefix = scribe.rng.choice(("", "TX", "2024", "PAY"))
    scribe.draft.put("TXN", prefix + numbers.digits(scribe.rng, scribe.rng.choice((10, 14, 18))))


def _put_iban(scribe: Scribe) -> None:
    scribe.put_number("IBAN", numbers.iban(scribe.rng), ((4,) * 8,), " ")


def _put_url(scribe: Scribe) -> None:
    host = scribe.rng.choice(("www.yunfan-tech.cn", "portal.mingde-health.org", "blog.lindqvist.io"))
    scribe.draft.put(
        "URL", scribe.rng.choice(("https://", "http://")) + host + scribe.rng.choice(("", "/u/48213", "/a?id=7"))
    )


_SHARED: Mapping[str, Callable[[Scribe], None]] = {
    "ip": _put_ip,
    "account": _put_account,
    "txn": _put_txn,
    "iban": _put_iban,
    "url": _put_url,
    "vin": lambda scribe: scribe.draft.put("VIN", numbers.vin(scribe.rng)),
    "imei": lambda scribe: scribe.draft.put("DEVICE", numbers.imei(scribe.rng)),
    "orgid": lambda scribe: scribe.draft.put("ORG_ID", numbers.organisation_id(scribe.rng)),
    "secret": lambda scribe: scribe.draft.put("SECRET", numbers.digits(scribe.rng, 6)),
    "wechat": lambda scribe: scribe.draft.put("HANDLE", f"wx_{numbers.digits(scribe.rng, 6)}"),
    "qq": lambda scribe: scribe.draft.put("HANDLE", numbers.digits(scribe.rng, 9, first="123456789")),
}


def put_card(scribe: Scribe, value: str) -> None:
    """Write a card number."""
    shape = (4, 6, 5) if len(value) == 15 else (4,) * (len(value) // 4)
    scribe.put_number("CARD", value, (shape,))


def put_email(scribe: Scribe, value: str) -> None:
    """Write an address, now and then with the full-width sign, in capitals or wholly full-width."""
    draw = scribe.rng.random()
    if draw < 0.04:
        scribe.draft.put("EMAIL", value.replace("@", "\uff20"), "wide")
    elif draw < 0.07:
        scribe.draft.put("EMAIL", wide(value), "wide")
    elif draw < 0.10:
        scribe.draft.put("EMAIL", value.upper(), "capitals")
    else:
        scribe.draft.put("EMAIL", value)


def mrn_of(rng: Random) -> str:
    """A record number in some hospital's own form."""
    form = rng.randrange(6)
    if form == 0:
        return "ZY" + numbers.digits(rng, 7)
    if form == 1:
        return "00" + numbers.digits(rng, 6)
    if form == 2:
        return rng.choice("BMH") + numbers.digits(rng, 8, first="123456789")
    if form == 3:
        return f"{numbers.digits(rng, 4, first='123456789')}-{numbers.digits(rng, 5)}"
    if form == 4:
        return numbers.digits(rng, 7, first="123456789")
    return "MZ20" + numbers.digits(rng, 10, first="12")


def put_neutral(scribe: Scribe, value: str) -> None:
    """Write what may be found or not."""
    scribe.draft.put(NEUTRAL, value)
