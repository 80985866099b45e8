"""People and slots of Chinese documents."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random  # noqa: TID251  # reproducible fiction

from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.scribe import Scribe, mrn_of, put_card, put_email, put_neutral
from fedward.simulations.scrub_corpus.spelling import wide

_RECORDED_ON = datetime.date(2024, 6, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Someone in a Chinese document."""

    surname: str
    given: str
    sex: str
    born: datetime.date
    id: str
    phone: str
    landline: tuple[str, str]
    card: str
    plate: str
    mrn: str
    email: str
    address: str

    @property
    def name(self) -> str:
        """Surname and given name."""
        return self.surname + self.given


class ChineseScribe(Scribe):
    """Writes a Chinese document."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng, "zh")

    def new_person(self) -> Person:
        """See ``Scribe``."""
        rng = self.rng
        born = numbers.birthday(rng)
        surname, given = self._name()
        return Person(
            surname=surname,
            given=given,
            sex=rng.choice("男女"),
            born=born,
            id=numbers.resident_id(rng, born),
            phone=numbers.mobile(rng),
            landline=numbers.landline(rng),
            card=numbers.card(rng),
            plate=numbers.plate(rng),
            mrn=mrn_of(rng),
            email=self._email(),
            address=self._address(),
        )

    def slot(self, person: Person, name: str) -> None:
        """See ``Scribe``."""
        if name in _OF_PERSON:
            _OF_PERSON[name](self, person)
        elif name in _ORGANISATIONS:
            self.draft.put("ORG", self.pick(_ORGANISATIONS[name]))
        elif name in _WORDS:
            self.draft.add(self.pick(_WORDS[name]))
        elif name in _PLACES:
            put_neutral(self, self.pick(_PLACES[name]))
        else:
            raise KeyError(name)

    def _name(self) -> tuple[str, str]:
        rng, words = self.rng, self.tables["words"]
        if rng.random() < 0.02:
            first, _, last = self.pick("minority_names").partition("·")
            return first, "·" + last
        surname = self.pick("compound_surnames") if rng.random() < 0.04 else rng.choice(words["surnames"])
        return surname, "".join(rng.choice(words["given_chars"]) for _ in range(rng.choice((1, 2, 2, 2))))

    def _email(self) -> str:
        rng = self.rng
        draw = rng.random()
        local = numbers.mobile(rng) if draw < 0.25 else self.pick("romanised")
        if draw > 0.6:
            local += rng.choice(("", "_", ".")) + numbers.digits(rng, rng.choice((2, 4)))
        return f"{local}@{self.pick('domains')}"

    def _address(self) -> str:
        rng = self.rng
        if rng.random() < 0.2:
            return f"{self.pick('rural')}{self.pick('villages')}{rng.randrange(1, 12)}组{rng.randrange(1, 200)}号"
        text = f"{self.pick('cities')}{self.pick('streets')}{rng.randrange(1, 999)}号"
        if rng.random() < 0.75:
            text += self.pick("estates") if rng.random() < 0.7 else ""
            text += f"{rng.randrange(1, 30)}{rng.choice('栋幢座')}" if rng.random() < 0.7 else ""
            text += (
                rng.choice((f"{rng.randrange(1, 6)}单元", ""))
                + f"{rng.randrange(101, 3205)}{rng.choice(('室', '号', '房'))}"
            )
        return text


# ---------------------------------------------------------------------------------------------------- of a person


def _put_name(scribe: ChineseScribe, person: Person) -> None:
    name, draw = person.name, scribe.rng.random()
    if draw < 0.02 and len(name) == 2:
        scribe.draft.put("PERSON", f"{name[0]} {name[1]}", "spaced")
    elif draw < 0.03 and len(name) == 2:
        scribe.draft.put("PERSON", f"{name[0]}　{name[1]}", "spaced")
    else:
        scribe.draft.put("PERSON", name)


def _put_id(scribe: ChineseScribe, person: Person) -> None:
    rng, value = scribe.rng, person.id
    draw = rng.random()
    if scribe.is_labelled and draw < 0.02:
        scribe.put_number("ID_CN", numbers.wrong_resident_id(rng, person.born), cue="mistyped")
    elif scribe.is_labelled and draw < 0.04:
        scribe.put_number("ID_CN", numbers.old_resident_id(rng, person.born), cue="15 digits")
    elif value.endswith("X") and draw < 0.4:
        scribe.draft.put("ID_CN", value.lower(), "small x")
    else:
        scribe.put_number("ID_CN", value, ((6, 8), (6, 4, 4), (3, 3, 4, 4)))


def _put_phone(scribe: ChineseScribe, person: Person) -> None:
    prefix = scribe.rng.choices(("", "+86", "+86 ", "+86-", "0086", "(+86)", "86-"), (80, 5, 5, 4, 2, 2, 2))[0]
    if prefix:
        scribe.draft.add(prefix)
        scribe.draft.put("PHONE", person.phone, "country code")
    else:
        scribe.put_number("PHONE", person.phone, ((3, 4), (3, 4), (4, 3), (3, 3), (5,)))


def _put_landline(scribe: ChineseScribe, person: Person) -> None:
    code, number = person.landline
    form = scribe.rng.choice(("{}-{}", "{}{}", "{} {}", "({}){}", "（{}）{}", "wide"))
    text = wide(f"{code}-{number}") if form == "wide" else form.format(code, number)
    if text[0] in "(（":
        scribe.draft.add(text[0])
        text = text[1:]
    scribe.draft.put("PHONE", text, "landline")
    if scribe.rng.random() < 0.15:
        put_neutral(scribe, f"转{scribe.rng.randrange(100, 9000)}")


def _put_plate(scribe: ChineseScribe, person: Person) -> None:
    value, draw = person.plate, scribe.rng.random()
    if draw < 0.12:
        scribe.draft.put("PLATE", f"{value[:2]}·{value[2:]}", "dotted")
    elif draw < 0.2:
        scribe.draft.put("PLATE", f"{value[:2]} {value[2:]}", "spaced")
    elif draw < 0.24:
        scribe.draft.put("PLATE", f"{value[:2]}-{value[2:]}", "hyphened")
    elif draw < 0.27:
        scribe.draft.put("PLATE", value[0] + wide(value[1:]), "wide")
    elif draw < 0.29 and scribe.is_labelled:
        scribe.draft.put("PLATE", value.lower(), "small letters")
    else:
        scribe.draft.put("PLATE", value)


def _put_mrn(scribe: ChineseScribe, person: Person) -> None:
    if scribe.rng.random() < 0.03:
        scribe.draft.put("MRN", wide(person.mrn), "wide")
    else:
        scribe.draft.put("MRN", person.mrn)


def _put_age(scribe: ChineseScribe, person: Person) -> None:
    age = (_RECORDED_ON - person.born).days // 365
    if age > 89:
        scribe.draft.put("AGE", str(age))
    else:
        scribe.draft.add(str(age))


def _put_date(scribe: ChineseScribe, day: datetime.date) -> None:
    rng = scribe.rng
    y, m, d = day.year, day.month, day.day
    forms = [f"{y}年{m}月{d}日"] * 5 + [f"{y}-{m:02d}-{d:02d}"] * 3
    forms += [f"{y}/{m}/{d}", f"{y}.{m:02d}.{d:02d}", f"{y}年{m:02d}月{d:02d}日", wide(f"{y}-{m:02d}-{d:02d}")]
    scribe.draft.put("DATE", rng.choice(forms))


def _put_passport(scribe: ChineseScribe, person: Person) -> None:
    scribe.draft.put("PASSPORT", scribe.rng.choice(("E", "G", "EA", "EJ")) + numbers.digits(scribe.rng, 8)[:8])


_OF_PERSON: Mapping[str, Callable[[ChineseScribe, Person], None]] = {
    "name": _put_name,
    "surname": lambda scribe, person: scribe.draft.put("PERSON", person.surname, "surname"),
    "tradname": lambda scribe, person: scribe.draft.put("PERSON", scribe.pick("traditional_names"), "traditional"),
    "id": _put_id,
    "phone": _put_phone,
    "landline": _put_landline,
    "card": lambda scribe, person: put_card(scribe, person.card),
    "plate": _put_plate,
    "mrn": _put_mrn,
    "mrnheader": lambda scribe, person: scribe.draft.put("MRN", person.mrn, "header"),
    "email": lambda scribe, person: put_email(scribe, person.email),
    "address": lambda scribe, person: scribe.draft.put("ADDRESS", person.address),
    "age": _put_age,
    "sex": lambda scribe, person: scribe.draft.add(person.sex),
    "dob": lambda scribe, person: _put_date(scribe, person.born),
    "date": lambda scribe, person: _put_date(scribe, _day(scribe)),
    "insurance": lambda scribe, person: scribe.draft.put("HEALTH_PLAN", numbers.digits(scribe.rng, 10, first="123")),
    "passport": _put_passport,
    "licence": lambda scribe, person: scribe.draft.put("LICENCE", numbers.digits(scribe.rng, 12, first="1234")),
    "tail": lambda scribe, person: scribe.draft.put("SECRET", person.card[-4:], "tail"),
    "handle": lambda scribe, person: put_neutral(scribe, scribe.pick("romanised")),
    "postcode": lambda scribe, person: scribe.draft.put("POSTCODE", numbers.digits(scribe.rng, 6, first="123456")),
}
_ORGANISATIONS = {"hospital": "hospitals", "bank": "banks", "company": "companies", "school": "schools"}
_PLACES = {"city": "cities", "street": "streets", "estate": "estates"}
_WORDS = {
    "drug": "drugs",
    "disease": "diseases",
    "symptom": "symptoms",
    "dept": "departments",
    "relation": "relations",
    "ethnicity": "ethnicities",
    "phonecue": "phonecues",
}


def _day(scribe: ChineseScribe) -> datetime.date:
    return datetime.date(2019, 1, 1) + datetime.timedelta(days=scribe.rng.randrange(2000))
