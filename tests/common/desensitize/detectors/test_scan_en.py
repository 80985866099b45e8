"""English and international spellings of every structured type."""

from __future__ import annotations

import pytest

from tests.common.desensitize.detectors.marked import ENGINES, found

SINGLE = [
    "Call «PHONE (202) 555-0143», please",
    "at «PHONE 202-555-0143» now",
    "at «PHONE 202.555.0143».",
    "«PHONE +1 202 555 0143»",
    "«PHONE +12025550143»",
    "«PHONE 1-202-555-0143»",
    "«PHONE 202-555-0143 ext. 12»",
    "«PHONE 202-555-0143x12»",
    "«PHONE 001-202-555-0143»",
    "Phone: «PHONE 2025550143»",
    "fax «PHONE 202 555 0143»",
    "call «PHONE +44 20 7946 0958».",
    "«PHONE +85291234567»",
    "«PHONE +33 1 23 45 67 89»",
    "Tel: «PHONE 020 7946 0958»",
    "Tel«PHONE 13800138000»",
    "userPhone=«PHONE 13800138000»",
    "write to «EMAIL w_f-1@a-b.co».",
    "<«EMAIL x@y.io»>",
    "«EMAIL wang (at) example (dot) com»",
    "SSN «SSN 123-45-6789»",
    "SSN: «SSN 123456789»",
    "social security number «SSN 123 45 6789»",
    "NHS number «NATIONAL_ID 943 476 5919»",
    "NRIC: «NATIONAL_ID S1234567D»",
    "National Insurance No. «NATIONAL_ID AB 12 34 56 C»",
    "Aadhaar «NATIONAL_ID 1234 5678 9012»",
    "Passport No. «PASSPORT G12345678»",
    "driver's license «LICENCE D1234567»",
    "NPI: «LICENCE 1234567893»",
    "DEA# «LICENCE AB1234563»",
    "MRN: «MRN 12345678»",
    "«MRN MRN12345678»",
    "MRN# «MRN ZY-1234567»",
    "Medical Record Number: «MRN 0012345»",
    "medical_record_no=«MRN A123456»",
    "Chart # «MRN 445566»",
    '"patient_id": "«MRN P0001234»"',
    "<mrn>«MRN 1234567»</mrn>",
    "Member ID: «HEALTH_PLAN XYZ123456789»",
    "Medicare ID: «HEALTH_PLAN 1EG4-TE5-MK73»",
    "card «CARD 4111 1111 1111 1111» was",
    "credit card number: «CARD 4222222222222»",
    "Account No. «ACCOUNT 310076661234567»",
    "acct: «ACCOUNT 1234567890»",
    "«IBAN GB82WEST12345698765432»",
    "IBAN «IBAN GB82 WEST 1234 5698 7654 32» AND MORE",
    "Transaction ID: «TXN 8A7B6C5D4E»",
    "Order #«TXN 123-4567890»",
    "Your OTP is «SECRET 123456»",
    "PIN: «SECRET 1234»",
    "CVV «SECRET 123»",
    "card ending in «SECRET 1234»",
    "password: «SECRET hunter2»",
    "«SECRET 123456» is your verification code",
    "license plate «PLATE 7ABC123»",
    "VIN «VIN 1M8GDM9AXKP042788»",
    "VIN «VIN NR034JUT3NH2E1403»",
    "EIN «NATIONAL_ID 66-2580936»",
    "license plate «PLATE 976 3821»",
    "id cc is «DEVICE cc:7d:ff:03:5a:b5»",
    "the «VIN 1M8GDM9AXKP042788» one",
    "IMEI «DEVICE 490154203237518»",
    "MAC «DEVICE 00:1A:2B:3C:4D:5E»",
    "serial no. «DEVICE AB123456»",
    "from «IP 203.0.113.7»:8080",
    "«IP 2001:db8::1»",
    "«IP 2001:0db8:85a3:0000:0000:8a2e:0370:7334»",
    "follow «HANDLE @john_doe99» now",
    "Skype: «HANDLE live_john»",
    "«MASKED XXX-XX-6789»",
    "«MASKED ****1234»",
    "Postcode: «POSTCODE SW1A 1AA»",
    "(see «URL http://a.b/c(d)»)",
    "«URL www.example.com/x».",
    "![](«IMAGE data:image/png;base64,iVBORw0KGgo=»)",
    "aged «AGE 92»",
    "«AGE 92»-year-old",
    "a «AGE 95» year old man",
    "«AGE ninety-two» years old",
    "«AGE 94» y/o",
    "age: «AGE 91»",
]
DATES = [
    "03/05/2024",
    "3/5/2024",
    "5.3.2024",
    "05-03-2024",
    "3/5/24",
    "March 5, 2024",
    "Mar. 5, 2024",
    "5 March 2024",
    "5th of March, 2024",
    "05-Mar-2024",
    "05MAR2024",
    "March 2024",
    "March 5th",
    "Sept 12",
    "12 September",
    "03/2024",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("marked", SINGLE)
def test_labelled_and_unmistakable_values_are_found(marked: str, engine: str) -> None:
    assert found(marked, "re" if engine == "re" else "re2") == marked


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("form", ["seen {}, and", "({})", "on {}."])
def test_dates_are_found_in_every_written_form(date: str, form: str) -> None:
    marked = form.format(f"«DATE {date}»")
    assert found(marked) == marked


@pytest.mark.parametrize("text", ["2024-03-05T12:30:00Z", "2024-03-05 12:30", "2024-03-05."])
def test_a_time_of_day_or_a_full_stop_is_no_part_of_a_date(text: str) -> None:
    assert found(text) == f"«DATE 2024-03-05»{text[10:]}"


@pytest.mark.parametrize("text", ["DOB: 01.02.90", "date 2024-03"])
def test_a_short_date_counts_beside_its_label(text: str) -> None:
    label, _, date = text.rpartition(" ")
    assert found(text) == f"{label} «DATE {date}»"
