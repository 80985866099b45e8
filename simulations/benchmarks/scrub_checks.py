"""Whether what was put in an identifier's place is a valid one, and whether the identifier is really gone.

Written from the published rules, apart from the surrogates' own code; mobile numbers are looked up in ``phonenumbers``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from fedward.simulations.benchmarks.scrub_subjects import Reading, Replaced
from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.gold import Sample

LEAST_CHARACTERS = 7
"""Shorter values are in any long text by chance."""
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", re.ASCII)
_NANP = re.compile(r"\+1|1[ .(-]+[2-9][0-9]{2}\b")
_PLATE = re.compile(r"[\u4e00-\u9fff][A-Z][A-Z0-9]{4,6}[\u4e00-\u9fff]?")


def invalid(readings: Sequence[Reading]) -> tuple[int, list[Replaced]]:
    """How many surrogates can be checked, and those that are not valid or equal their original."""
    checked = [one for reading in readings for one in reading.replaced if one.action == "surrogate"]
    checked = [one for one in checked if one.type in _RULES]
    return len(checked), [one for one in checked if not is_valid(one)]


def is_valid(one: Replaced) -> bool:
    """Whether a surrogate follows its type's rules, in the original's form, and is another value."""
    before, after = canonical(one.original), canonical(one.text)
    rule = _same_shape if _is_american(one) else _RULES[one.type]
    return before != after and rule(before, after)


def left_over(samples: Sequence[Sample], readings: Sequence[Reading], types: Sequence[str]) -> list[str]:
    """Gold values of ``types`` that still stand in the output, in any spelling."""
    found = []
    for sample, reading in zip(samples, readings, strict=True):
        output = canonical(reading.text or "")
        values = (sample.value_of(gold) for gold in sample.gold if gold.type in types and gold.spelling != "header")
        found += [value for value in values if len(canonical(value)) >= LEAST_CHARACTERS and canonical(value) in output]
    return found


def canonical(text: str) -> str:
    """Letters and digits in their plain form, lower case; nothing else but @ and the dot of an address."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum() or c in "@.")


def _is_american(one: Replaced) -> bool:
    """A number or plate of North America: only its form is checked."""
    plain = unicodedata.normalize("NFKC", one.original).strip()
    return (one.type == "PHONE" and _NANP.match(plain) is not None) or (one.type == "PLATE" and plain.isascii())


def _is_id(before: str, after: str) -> bool:
    if len(before) != 18:
        return len(after) == len(before) and after.isdigit()
    return numbers.is_resident_id(after)


def _is_card(before: str, after: str) -> bool:
    return (
        after.isdigit()
        and len(after) == len(before)
        and (numbers.luhn_sum(after) == 0) >= (numbers.luhn_sum(before) == 0)
    )


def _is_phone(before: str, after: str) -> bool:
    import phonenumbers

    digits_before, digits_after = (re.sub(r"[^0-9]", "", text) for text in (before, after))
    if len(digits_before) != len(digits_after):
        return False
    if not re.fullmatch(r"(86|0086)?1[3-9][0-9]{9}", digits_before):
        return True  # landlines and foreign numbers: the form alone
    return bool(phonenumbers.is_valid_number(phonenumbers.parse(digits_after[-11:], "CN")))


def _same_shape(before: str, after: str) -> bool:
    def shape(text: str) -> str:
        return re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "0", text.upper()))

    return shape(before) == shape(after)


_RULES: Mapping[str, Callable[[str, str], bool]] = {
    "ID_CN": _is_id,
    "CARD": _is_card,
    "PHONE": _is_phone,
    "EMAIL": lambda before, after: _EMAIL.fullmatch(after) is not None,
    "PLATE": lambda before, after: len(after) == len(before) and _PLATE.fullmatch(after.upper()) is not None,
    "MRN": _same_shape,
    "IBAN": lambda before, after: numbers.is_iban(after.replace(".", "")),
}
