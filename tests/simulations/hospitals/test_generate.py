from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from fedward.common.errors import ConfigError
from fedward.simulations import hospitals as module
from fedward.simulations.hospitals import Hospital, Note, generate_hospitals, public_notes, write_site
from fedward.simulations.hospitals.checks import luhn_is_valid, resident_birth_date, resident_id_is_valid

RESIDENT_ID = re.compile(r"(?<=身份证)[0-9X]{18}")
CARD = re.compile(r"(?:医保卡|ins\. card )(\d+)")
MOBILE = re.compile(r"(?<=电话)1[3-9]\d{9}(?!\d)")
US_PHONE = re.compile(r"\(\d{3}\) 555-01\d\d")
EMAIL = re.compile(r"[a-z]+\d\d@example\.(?:com|org|net)")
CHINESE_NAME = re.compile(r"(?:【患者】|姓名:)([\u4e00-\u9fff]{2,4})")
ENGLISH_NAME = re.compile(r"(?:#PT |NAME=)([^/;]+?)(?: /|;)")
IDENTIFIERS = (RESIDENT_ID, CARD, MOBILE, US_PHONE, EMAIL)


@pytest.fixture(scope="module")
def sites() -> tuple[Hospital, ...]:
    return generate_hospitals(seed=7, num_sites=4, patients_per_site=150, heldout_patients_per_site=30)


def notes_of(sites: tuple[Hospital, ...]) -> Iterator[Note]:
    for site in sites:
        yield from site.notes
        yield from site.heldout


def by_patient(notes: tuple[Note, ...]) -> dict[str, list[Note]]:
    found: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        found[note.patient_id].append(note)
    return found


def names_in(text: str) -> list[str]:
    return [*CHINESE_NAME.findall(text), *ENGLISH_NAME.findall(text)]


def test_exported_names_exist_and_are_sorted() -> None:
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)


def test_the_same_seed_gives_the_same_hospitals() -> None:
    small = {"num_sites": 2, "patients_per_site": 5, "heldout_patients_per_site": 2}
    assert generate_hospitals(seed=3, **small) == generate_hospitals(seed=3, **small)
    assert generate_hospitals(seed=3, **small) != generate_hospitals(seed=4, **small)


def test_a_site_is_the_same_in_a_federation_of_any_size() -> None:
    three = generate_hospitals(seed=3, num_sites=3, patients_per_site=4)
    assert generate_hospitals(seed=3, num_sites=2, patients_per_site=4) == three[:2]


def test_more_training_patients_leave_the_heldout_notes_alone() -> None:
    (few,) = generate_hospitals(seed=3, num_sites=1, patients_per_site=2)
    (many,) = generate_hospitals(seed=3, num_sites=1, patients_per_site=9)
    assert few.heldout == many.heldout
    assert few.notes == many.notes[: len(few.notes)]


def test_twelve_sites_differ_in_specialty_or_language() -> None:
    sites = generate_hospitals(seed=1, num_sites=12, patients_per_site=1, heldout_patients_per_site=0)
    assert len({(site.specialty, site.language) for site in sites}) == 12
    assert len({site.site_id for site in sites}) == 12


def test_default_sites_alternate_in_language_and_differ_in_specialty(sites: tuple[Hospital, ...]) -> None:
    assert [site.language for site in sites] == ["en", "zh", "en", "zh"]
    assert len({site.specialty for site in sites}) == 4


def test_heldout_patients_are_not_training_patients(sites: tuple[Hospital, ...]) -> None:
    for site in sites:
        training, heldout = by_patient(site.notes), by_patient(site.heldout)
        assert len(training) == 150
        assert len(heldout) == 30
        assert not training.keys() & heldout.keys()


def test_patients_have_one_to_twenty_notes_and_most_have_few(sites: tuple[Hospital, ...]) -> None:
    counts = sorted(len(notes) for site in sites for notes in by_patient(site.notes).values())
    assert counts[0] == 1
    assert counts[-1] <= 20
    assert 3 <= counts[len(counts) // 2] <= 4
    assert counts[-1] >= 3 * counts[len(counts) // 2]


def test_texts_vary(sites: tuple[Hospital, ...]) -> None:
    texts = [note.text for note in notes_of(sites)]
    assert len(set(texts)) > 0.99 * len(texts)


def test_notes_of_a_patient_carry_one_name_and_their_own_record_number(sites: tuple[Hospital, ...]) -> None:
    seen = 0
    for site in sites:
        for patient_id, notes in by_patient(site.notes).items():
            names = {name for note in notes for name in names_in(note.text)}
            assert len(names) == 1
            assert all(patient_id in note.text for note in notes)
            seen += 1
    assert seen == 600


@pytest.mark.parametrize("pattern", IDENTIFIERS, ids=["resident id", "card", "mobile", "US phone", "e-mail"])
def test_every_kind_of_identifier_occurs_and_a_patient_has_one_of_it(
    sites: tuple[Hospital, ...], pattern: re.Pattern[str]
) -> None:
    occurring = 0
    for site in sites:
        for notes in by_patient(site.notes).values():
            numbers = {number for note in notes for number in pattern.findall(note.text)}
            assert len(numbers) <= 1
            occurring += len(numbers)
    assert occurring > 20


def test_resident_ids_are_valid_and_agree_with_birth_date_and_sex(sites: tuple[Hospital, ...]) -> None:
    checked = 0
    for site in sites:
        for notes in by_patient(site.notes).values():
            text = "\n".join(note.text for note in notes)
            for number in RESIDENT_ID.findall(text):
                birth_date = resident_birth_date(number)
                assert resident_id_is_valid(number)
                assert birth_date is not None
                births = re.findall(r"(?:生于|出生:)(\d+)年(\d+)月(\d+)日", text)
                assert all(birth_date == date(*map(int, birth)) for birth in births)
                sexes = re.findall(r"，(男|女)，|性别:(男|女)", text)
                assert {a or b for a, b in sexes} <= {"男" if int(number[16]) % 2 else "女"}
                checked += len(births) + len(sexes)
    assert checked > 50


def test_card_numbers_pass_luhn(sites: tuple[Hospital, ...]) -> None:
    numbers = [number for note in notes_of(sites) for number in CARD.findall(note.text)]
    assert len(numbers) > 50
    assert all(luhn_is_valid(number) for number in numbers)


def test_notes_of_a_patient_are_in_the_order_of_their_dates(sites: tuple[Hospital, ...]) -> None:
    for site in sites:
        for notes in by_patient(site.notes).values():
            days = [date.fromisoformat(note.written_on) for note in notes]
            assert days == sorted(days)
            assert days[-1] - days[0] <= timedelta(days=800)


def test_children_are_treated_in_paediatrics_and_adults_elsewhere(sites: tuple[Hospital, ...]) -> None:
    ages: dict[str, list[int]] = defaultdict(list)
    for site in sites:
        for note in site.notes:
            found = re.search(r"AGE=(\d+)|，(\d+)岁|/ (\d+)[MF]\b", note.text)
            ages[site.specialty] += [int(next(filter(None, found.groups())))] if found else []
    children = ages.pop("paediatrics")
    adults = [age for values in ages.values() for age in values]
    assert 0 <= min(children) < max(children) <= 14
    assert 17 <= min(adults) < max(adults) <= 92


def test_public_texts_hold_no_identifier_of_a_patient(sites: tuple[Hospital, ...]) -> None:
    private: set[str] = set()
    for note in notes_of(sites):
        private.update([note.patient_id, *names_in(note.text)])
        private.update(number for pattern in IDENTIFIERS for number in pattern.findall(note.text))
    public = "\n".join(note.text for note in public_notes(seed=7, count=4000))
    assert len(private) > 1500
    assert not [value for value in private if value in public]


def test_public_texts_are_reproducible_and_come_in_both_languages() -> None:
    notes = list(public_notes(seed=5, count=40))
    assert notes == list(public_notes(seed=5, count=40))
    assert notes != list(public_notes(seed=6, count=40))
    assert {note.language for note in notes} == {"en", "zh"}


def test_written_site_reads_back(tmp_path: Path) -> None:
    site = generate_hospitals(seed=2, num_sites=2, patients_per_site=3, heldout_patients_per_site=2)[1]
    write_site(site, tmp_path / "site")
    for name, notes in (("train", site.notes), ("heldout", site.heldout)):
        lines = (tmp_path / "site" / f"{name}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert [set(row) for row in rows] == [{"patient_id", "text", "label", "language", "date"}] * len(notes)
        assert tuple(Note(written_on=row.pop("date"), **row) for row in rows) == notes
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == ["heldout.jsonl", "train.jsonl"]


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    (site,) = generate_hospitals(seed=2, num_sites=1, patients_per_site=3, heldout_patients_per_site=1)
    write_site(site, tmp_path)
    write_site(replace(site, notes=()), tmp_path)
    assert (tmp_path / "train.jsonl").read_bytes() == b""
    assert (tmp_path / "heldout.jsonl").read_bytes()


@pytest.mark.parametrize(
    "counts", [{"num_sites": 0}, {"patients_per_site": 0}, {"heldout_patients_per_site": -1}], ids=str
)
def test_impossible_counts_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least"):
        generate_hospitals(seed=1, **counts)
