"""What counts as valid, with one wrong digit beside each right one."""

import pytest

from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import is_valid
from fedward.common.desensitize.surrogates.validity import bin_is_known

T = EntityType


@pytest.mark.parametrize(
    ("type_", "valid", "invalid"),
    [
        (T.ID_CN, "110101199001011237", "110101199001011234"),
        (T.ID_CN, "130224197001011231", "119999197001011231"),
        (T.ID_CN, "110101900101123", "110101901301123"),
        (T.CARD, "4111-1111-1111-1111", "4111-1111-1111-1112"),
        (T.IBAN, "GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 18"),
        (T.VIN, "1HGCM82633A004352", "1HGCM82643A004352"),
        (T.DEVICE, "490154203237518", "490154203237519"),
        (T.ORG_ID, "91350100M000100Y43", "91350100M000100Y44"),
        (T.PHONE, "138-0013-8000", "140-0013-8000"),
        (T.PHONE, "010-62345678", "010-92345678"),
        (T.PHONE, "+1 212 555 0123", "+1 112 555 0123"),
        (T.SSN, "123-45-6789", "666-45-6789"),
        (T.SSN, "001-01-0001", "001-00-0001"),
        (T.PLATE, "京A12345", "京A1234I"),
        (T.IP, "10.0.0.1", "10.0.0.256"),
        (T.IP, "2001:db8::1", "2001:db8:::1"),
        (T.EMAIL, "a@example.com", "a@@example.com"),
        (T.DATE, "2024-02-29", "2023-02-29"),
        (T.AGE, "90+岁", "92岁"),
        (T.POSTCODE, "62700", "6270"),
        (T.PERSON, "张伟", "张伟7"),
        (T.MRN, "ZY-1234567", "住院"),
    ],
)
def test_right_value_is_valid_and_wrong_one_is_not(type_: EntityType, valid: str, invalid: str) -> None:
    assert is_valid(type_, valid)
    assert not is_valid(type_, invalid)


@pytest.mark.parametrize("type_", EntityType)
def test_nothing_is_no_value(type_: EntityType) -> None:
    assert not is_valid(type_, "")


@pytest.mark.parametrize(
    ("number", "known"),
    [
        ("4111111111111111", True),
        ("6222021234567890128", True),
        ("1234567890123456", False),
        ("41111", False),
        ("卡号", False),
    ],
)
def test_issuer_ranges(number: str, known: bool) -> None:
    assert bin_is_known(number) is known
