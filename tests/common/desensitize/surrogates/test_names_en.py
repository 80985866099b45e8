"""Latin names: one person stays one, in every way to write them."""

import pytest

from fedward.common.desensitize import tables
from fedward.common.desensitize.spans import EntityType
from tests.common.desensitize.surrogates.making import document, replaced

PERSON = EntityType.PERSON
TABLE = tables.read_table("names_en")


def test_one_person_stays_one_with_title_comma_initial_and_case() -> None:
    full, titled, inverted, initial, upper, possessive, alone = replaced(
        PERSON, "John Smith", "Mr. Smith", "Smith, John", "J. Smith", "JOHN SMITH", "John Smith's", "smith"
    )
    given, surname = full.split()
    assert {given, surname}.isdisjoint({"John", "Smith"})
    assert titled == f"Mr. {surname}"
    assert inverted == f"{surname}, {given}"
    assert initial == f"{given[0]}. {surname}"
    assert upper == full.upper()
    assert possessive == f"{full}'s"
    assert alone == surname.lower()


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        ("Dr. Mary-Ann van der Berg", ["Dr.", "-", "van der"]),
        ("Smith Jones, MD", [", MD"]),
        ("Maria de la Cruz", ["de la"]),
        ("Mrs Jane Doe Jr.", ["Mrs", "Jr."]),
        ("Patient John Roe", ["Patient"]),
    ],
)
def test_titles_and_particles_stay(original: str, kept: list[str]) -> None:
    (fresh,) = replaced(PERSON, original)
    assert all(part in fresh for part in kept)
    assert fresh != original


@pytest.mark.parametrize(
    ("name", "gender"), [("Mary", "female"), ("Susan", "female"), ("Robert", "male"), ("Paul", "male")]
)
def test_gender_cue_is_kept(name: str, gender: str) -> None:
    for patient in map(str, range(20)):
        (fresh,) = replaced(PERSON, f"{name} Smith", patient=patient)
        assert fresh.split()[0] in TABLE[gender]


def test_lone_first_name_is_the_given_name_of_the_full_one() -> None:
    full, alone = replaced(PERSON, "Robert Jones", "Robert")
    assert full.split()[0] == alone


def test_pinyin_name_with_the_family_first_is_read_so() -> None:
    full, titled = replaced(PERSON, "Zhang Weiming", "Mr Zhang")
    assert full.split()[0] == titled.split()[1]


def test_accents_and_case_do_not_make_another_person() -> None:
    one, other = replaced(PERSON, "José García", "jose garcia")
    assert one.lower() == other


def test_mixed_name_is_replaced_in_both_scripts() -> None:
    (fresh,) = replaced(PERSON, "张伟（Zhang Wei）")
    assert "（" in fresh
    assert not {"张", "伟", "Zhang", "Wei"} & set(fresh.replace("（", " ").replace("）", " ").split())


@pytest.mark.parametrize(
    "original", ["John 123", "J0hn", "John@Smith", "a b c d e f g h i j", "\u202eJohn", "...", "'"]
)
def test_what_is_no_name_becomes_a_placeholder(original: str) -> None:
    assert document().replace(PERSON, original).action == "placeholder"
