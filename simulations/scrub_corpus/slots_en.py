"""People and slots of English documents."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random  # noqa: TID251  # reproducible fiction

from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.scribe import Scribe, mrn_of, put_card, put_email

_RECORDED_ON = datetime.date(2024, 6, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Someone in an English document."""

    first: str
    middle: str
    last: str
    born: datetime.date
    ssn: str
    phone: tuple[str, str, str]
    card: str
    plate: str
    mrn: str
    email: str
    address: str

    @property
    def name(self) -> str:
        """First, middle and last."""
        return " ".join(filter(None, (self.first, self.middle, self.last)))


class EnglishScribe(Scribe):
    """Writes an English document."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng, "en")

    def new_person(self) -> Person:
        """See ``Scribe``."""
        rng = self.rng
        first, last = self.pick(rng.choice(("given_f", "given_m"))), self.pick("family")
        letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
        local = rng.choice(("{0}.{1}", "{0[0]}{1}", "{0}_{1}", "{1}.{0}+news")).format(first, last).lower()
        return Person(
            first=first,
            middle=rng.choice(("", "", "", rng.choice(letters) + ".")),
            last=last,
            born=numbers.birthday(rng),
            ssn=numbers.ssn(rng),
            phone=numbers.nanp(rng),
            card=numbers.card(rng),
            plate="".join(rng.choice(letters) for _ in range(3)) + rng.choice("- ") + numbers.digits(rng, 4),
            mrn=mrn_of(rng),
            email="".join(c for c in local if c.isalnum() or c in "._+") + f"@{self.pick('domains')}",
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
        else:
            raise KeyError(name)

    def _address(self) -> str:
        rng = self.rng
        city, state = rng.choice(self.tables["words"]["cities"])
        unit = rng.choice(
            ("", "", f", Apt {rng.randrange(1, 40)}{rng.choice('ABC')}", f" Suite {rng.randrange(100, 900)}")
        )
        zip_code = numbers.digits(rng, 5, first="123456789") + rng.choice(("", "", f"-{numbers.digits(rng, 4)}"))
        return f"{rng.randrange(10, 9999)} {self.pick('streets')}{unit}, {city}, {state} {zip_code}"


def _put_phone(scribe: EnglishScribe, person: Person) -> None:
    forms = ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "{} {} {}", "+1 {}-{}-{}", "+1 ({}) {}-{}", "1-{}-{}-{}", "+1{}{}{}")
    text = scribe.rng.choices(forms, (25, 30, 10, 6, 10, 8, 6, 5))[0].format(*person.phone)
    start = text.index(person.phone[0])
    scribe.draft.add(text[:start])
    scribe.draft.put("PHONE", text[start:], "country code" if start > 1 else "plain")


def _put_date(scribe: EnglishScribe, day: datetime.date) -> None:
    month, short = day.strftime("%B"), day.strftime("%b")
    y, m, d = day.year, day.month, day.day
    forms = (f"{month} {d}, {y}", f"{d} {month} {y}", f"{m:02d}/{d:02d}/{y}", f"{m}/{d}/{y}", f"{y}-{m:02d}-{d:02d}")
    scribe.draft.put("DATE", scribe.rng.choice((*forms, f"{short} {d}, {y}", f"{d}-{short}-{y}")))


def _put_age(scribe: EnglishScribe, person: Person) -> None:
    age = (_RECORDED_ON - person.born).days // 365
    if age > 89:
        scribe.draft.put("AGE", str(age))
    else:
        scribe.draft.add(str(age))


def _put_ssn(scribe: EnglishScribe, person: Person) -> None:
    form = scribe.rng.choice((person.ssn, person.ssn, person.ssn, person.ssn.replace("-", " ")))
    scribe.draft.put("SSN", form, "spaced" if " " in form else "plain")


_OF_PERSON: Mapping[str, Callable[[EnglishScribe, Person], None]] = {
    "name": lambda scribe, person: scribe.draft.put("PERSON", person.name),
    "first": lambda scribe, person: scribe.draft.put("PERSON", person.first, "first"),
    "last": lambda scribe, person: scribe.draft.put("PERSON", person.last, "last"),
    "lastfirst": lambda scribe, person: scribe.draft.put("PERSON", f"{person.last}, {person.first}", "reversed"),
    "ssn": _put_ssn,
    "phone": _put_phone,
    "card": lambda scribe, person: put_card(scribe, person.card),
    "plate": lambda scribe, person: scribe.draft.put("PLATE", person.plate),
    "mrn": lambda scribe, person: scribe.draft.put("MRN", person.mrn),
    "email": lambda scribe, person: put_email(scribe, person.email),
    "address": lambda scribe, person: scribe.draft.put("ADDRESS", person.address),
    "age": _put_age,
    "dob": lambda scribe, person: _put_date(scribe, person.born),
    "date": lambda scribe, person: _put_date(scribe, _day(scribe)),
    "member": lambda scribe, person: scribe.draft.put("HEALTH_PLAN", "XQ" + numbers.digits(scribe.rng, 9)),
    "passport": lambda scribe, person: scribe.draft.put("PASSPORT", numbers.digits(scribe.rng, 9, first="3456")),
    "licence": lambda scribe, person: scribe.draft.put("LICENCE", numbers.digits(scribe.rng, 10, first="1")),
}
_ORGANISATIONS = {"hospital": "hospitals", "bank": "banks", "company": "companies", "school": "schools"}
_WORDS = {"drug": "drugs", "disease": "diseases", "symptom": "symptoms", "dept": "departments", "relation": "relations"}


def _day(scribe: EnglishScribe) -> datetime.date:
    return datetime.date(2019, 1, 1) + datetime.timedelta(days=scribe.rng.randrange(2000))
