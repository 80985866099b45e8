"""Synthetic persons with every direct identifier that a hospital's notes may carry.

The numbers have the form of real ones, with right check digits, and belong to nobody that the generator knows of.
US phone numbers (555-01xx) and e-mail domains (example.*) are of the ranges reserved for fiction; for mainland mobile
numbers, bank cards and resident identity numbers no such range exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from faker import Faker

from fedward.simulations.hospitals.checks import luhn_check_digit, resident_check_character
from fedward.simulations.hospitals.lexicon import Language
from fedward.simulations.hospitals.seeded import Random

_LOCALES: dict[Language, str] = {"en": "en_US", "zh": "zh_CN"}
_MAIL_DOMAINS = ("example.com", "example.org", "example.net")
_MOBILE_PREFIXES = ("130", "135", "136", "138", "139", "150", "158", "159", "176", "177", "186", "188", "189", "198")
_US_AREAS = ("206", "212", "303", "312", "415", "512", "617", "702", "919")
# County codes of GB/T 2260 with their places.
_COUNTIES = (
    ("110105", "北京市朝阳区"),
    ("110108", "北京市海淀区"),
    ("310104", "上海市徐汇区"),
    ("310115", "上海市浦东新区"),
    ("320106", "江苏省南京市鼓楼区"),
    ("330106", "浙江省杭州市西湖区"),
    ("420106", "湖北省武汉市武昌区"),
    ("440106", "广东省广州市天河区"),
    ("510107", "四川省成都市武侯区"),
    ("610113", "陕西省西安市雁塔区"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """One fictitious person; all of a person's notes are written from this one value."""

    patient_id: str
    """The medical record number."""
    name: str
    is_male: bool
    birth_date: date
    phone: str
    email: str
    address: str
    card: str
    """Number of the insurance or bank card; passes the Luhn test."""
    resident_id: str
    """18 characters of GB 11643 for Chinese patients, empty for others."""


class Registry:
    """Admits the patients of one site.

    No number is given out twice, apart from US phones, of which only 900 are reserved for fiction.

    Args:
        language: of the names, numbers and addresses.
        prefix: of the medical record numbers.
        rng: the site's stream; Faker is seeded from it.
    """

    def __init__(self, *, language: Language, prefix: str, rng: Random) -> None:
        self._language = language
        self._prefix = prefix
        self._rng = rng
        self._faker = Faker(_LOCALES[language])
        self._faker.seed_instance(rng.getrandbits(64))
        self._taken: set[str] = set()

    def doctor(self) -> str:
        """Return the name of a doctor."""
        return self._name(is_male=self._rng.random() < 0.5)

    def admit(self, *, ages: tuple[int, int], today: date) -> Patient:
        """Return a new patient whose age at ``today`` is within ``ages``, in years, both ends included."""
        is_male = self._rng.random() < 0.5
        birth_date = today - timedelta(days=self._rng.randint(ages[0] * 366, ages[1] * 365))
        county, place = self._rng.choice(_COUNTIES)
        is_chinese = self._language == "zh"
        return Patient(
            patient_id=self._fresh(self._record_number),
            name=self._name(is_male=is_male),
            is_male=is_male,
            birth_date=birth_date,
            phone=self._fresh(self._mobile) if is_chinese else self._us_phone(),
            email=self._fresh(self._email),
            address=self._chinese_address(place) if is_chinese else self._us_address(),
            card=self._fresh(self._card),
            resident_id=self._fresh(lambda: self._resident_id(county, birth_date, is_male)) if is_chinese else "",
        )

    def _fresh(self, draw: Callable[[], str]) -> str:
        while (number := draw()) in self._taken:
            pass
        self._taken.add(number)
        return number

    def _digits(self, count: int) -> str:
        return "".join(self._rng.choices("0123456789", k=count))

    def _name(self, *, is_male: bool) -> str:
        faker = self._faker
        given = faker.first_name_male() if is_male else faker.first_name_female()
        return f"{faker.last_name()}{given}" if self._language == "zh" else f"{given} {faker.last_name()}"

    def _record_number(self) -> str:
        return f"{self._prefix}{self._digits(6)}"

    def _mobile(self) -> str:
        return self._rng.choice(_MOBILE_PREFIXES) + self._digits(8)

    def _us_phone(self) -> str:
        return f"({self._rng.choice(_US_AREAS)}) 555-01{self._digits(2)}"

    def _email(self) -> str:
        letters = "".join(self._rng.choices("abcdefghjkmnprstuwxyz", k=self._rng.randint(4, 7)))
        return f"{letters}{self._digits(2)}@{self._rng.choice(_MAIL_DOMAINS)}"

    def _card(self) -> str:
        body = f"6222{self._digits(11)}" if self._language == "zh" else f"9{self._digits(10)}"
        return body + luhn_check_digit(body)

    def _resident_id(self, county: str, birth_date: date, is_male: bool) -> str:
        # The 17th digit is odd for men and even for women (GB 11643-1999, 4.2).
        order = f"{self._digits(2)}{self._rng.choice('13579' if is_male else '02468')}"
        body = f"{county}{birth_date:%Y%m%d}{order}"
        return body + resident_check_character(body)

    def _chinese_address(self, place: str) -> str:
        return f"{place}{self._faker.street_name()}{self._rng.randint(1, 299)}号"

    def _us_address(self) -> str:
        faker = self._faker
        return f"{faker.street_address()}, {faker.city()}, {faker.state_abbr()} {faker.postcode()}".replace("\n", " ")


__all__ = ["Patient", "Registry"]
