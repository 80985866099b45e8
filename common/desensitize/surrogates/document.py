"""What stands in an identifier's place: the action of its type, the same for the same value in its scope.

Invariants: a result never equals its original, nor an original or known value of the scope (such draws are repeated
and counted); what has not the form of its type becomes a placeholder, never a repaired or partly kept value; nothing
of this module shows plaintext in a repr or an error. A document needs no state of another one, so the output does not
depend on the order or the number of workers. Not handled here: where identifiers stand, and emission.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from fedward.common.desensitize import checksums
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.fpe_column import FPE_TYPES, FpeColumn, FpeOptions
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.ranking import InvalidValueError
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import ages, numbers, persons, phones, places
from fedward.common.desensitize.surrogates.canonical import canonical, compact, plain, refill
from fedward.common.desensitize.surrogates.dates import (
    ImpossibleDateError,
    WrittenDate,
    implies_old_age,
    read_date,
    shift_days,
    write_date,
)
from fedward.common.desensitize.surrogates.draws import Draws, number
from fedward.common.desensitize.surrogates.makers import MAY_BE_ID, NUMBERS, TEXTS, encrypted_part, is_resident_id
from fedward.common.desensitize.surrogates.names_zh import GIVEN, SURNAME
from fedward.common.desensitize.surrogates.placeholders import Language, Placeholders, is_chinese
from fedward.common.desensitize.surrogates.validity import bin_is_known
from fedward.common.desensitize.tables import simplified
from fedward.common.errors import ConfigError, FpeDomainError

MAX_DRAWS = 64
MAX_LENGTH = 2048
"""A longer original is no identifier but a merged span: it becomes a placeholder."""


class Replacement(NamedTuple):
    """What to write. A tuple and no dataclass: dense text has fourteen of them in a kilobyte."""

    text: str
    action: Action
    """What was done. ``generalise`` may leave a year, an age or a city as it is: it is general enough."""
    issue: str | None = None
    """Why it is a placeholder although the policy asks for more; from a closed list, never text of the record."""


class Surrogates:
    """The replacements of one run: policy and keys.

    Args:
        policy: actions, scope, date mode.
        keys: of the site.
        descriptor: of the key, where some type has the action ``fpe``.
        fpe_options: what of a value the encryption keeps.

    Raises:
        ConfigError: ``fpe`` for a type that has no rank order, or without a descriptor.
        DesensitizationError: a descriptor of another key.
    """

    def __init__(
        self,
        policy: DesensitizePolicy,
        keys: ScrubKeys,
        *,
        descriptor: KeyDescriptor | None = None,
        fpe_options: FpeOptions | None = None,
    ) -> None:
        self.policy = policy
        self.keys = keys
        self.actions = {type_: _action(policy, type_) for type_ in EntityType}
        self.columns: dict[EntityType, FpeColumn] = {}
        self.derived: dict[str, bytes] = {}
        for type_ in (type_ for type_, action in self.actions.items() if action is Action.FPE):
            if type_ not in FPE_TYPES:
                raise ConfigError(f"actions.{type_}: no format-preserving encryption for this type")
            if descriptor is None:
                raise ConfigError(f"actions.{type_}: format-preserving encryption needs a key with its descriptor")
            self.columns[type_] = FpeColumn(
                keys=keys,
                descriptor=descriptor,
                type_=type_,
                options=fpe_options or FpeOptions(),
                on_invalid="error",
            )

    def scope_of(self, context: Context) -> tuple[str, str]:
        """Scope and its id; a record without a patient is a scope of its own."""
        if self.policy.scope == "site":
            return "site", self.keys.site_id
        return self.person_of(context) if self.policy.scope == "patient" else ("document", context.document_id)

    def person_of(self, context: Context) -> tuple[str, str]:
        """Whose dates move together."""
        if context.patient_id is None:
            return "document", context.document_id
        return "patient", context.patient_id

    def shift_of(self, context: Context) -> int:
        """Days by which the dates of this patient move."""
        weekday = self.policy.date_mode == "keep_weekday"
        return shift_days(self.keys, *self.person_of(context), keep_weekday=weekday)

    def for_document(self, context: Context, *, language: Language | None = None) -> DocumentSurrogates:
        """The replacements of one record.

        Args:
            context: the record's surroundings.
            language: of its placeholders, where the policy leaves it open; None: by the script of each original.
        """
        return DocumentSurrogates(self, context, language)


class DocumentSurrogates:
    """The replacements of one record. ``announce`` what was found in it, then ``replace`` in the order of the text."""

    def __init__(self, run: Surrogates, context: Context, language: Language | None) -> None:
        self._run = run
        self._context = context
        chosen = run.policy.language
        self._language: Language | None = language if chosen == "auto" else chosen
        self._draws = Draws(run.keys, *run.scope_of(context), run.derived)
        self._done: dict[tuple[EntityType, str], Replacement] = {}
        self._parts: dict[tuple[str, str], str | None] = {}
        self._people = persons.People()
        self._names: dict[str, set[str]] = {SURNAME: set(), GIVEN: set()}
        self._originals: set[str] = set()
        self._placeholders = Placeholders()
        self.num_redraws = 0
        """Draws that hit an original or known value of the scope."""
        if context.known:
            self.announce((type_, value) for type_, values in context.known.items() for value in values)

    def __repr__(self) -> str:
        return f"DocumentSurrogates({len(self._done)} values)"

    def announce(self, originals: Iterable[tuple[EntityType, str]]) -> None:
        """Originals and known values of the scope: no surrogate equals one of them."""
        for type_, text in originals:
            if type_ is EntityType.PERSON:
                for part_type, part in self._people.add(text[:MAX_LENGTH]):
                    self._names[part_type].add(part)
            elif type_ is EntityType.PHONE:
                self._originals.add(phones.canonical_phone(text[:MAX_LENGTH]))
            else:
                self._originals.add(canonical(type_, text[:MAX_LENGTH]))

    def replace(self, type_: EntityType, original: str) -> Replacement:
        """What stands in the place of ``original``; the same for the same original."""
        done = self._done.get((type_, original))
        if done is None:
            done = self._done[type_, original] = self._replace(type_, original)
        return done

    def _replace(self, type_: EntityType, original: str) -> Replacement:
        action = self._run.actions[type_]
        if action is Action.KEEP:
            return Replacement(original, action)
        if action is Action.DROP:
            return Replacement("", action)
        if action is Action.PLACEHOLDER or not original:
            return self._placeholder(type_, original, None)
        if len(original) > MAX_LENGTH:
            return self._placeholder(type_, original, "too_long")
        if type_ is EntityType.DATE:
            return self._date(original, self._run.policy.date_mode if action is Action.SURROGATE else "year_only")
        if action is Action.FPE:
            return self._encrypted(type_, original)
        if action is Action.GENERALISE or type_ is EntityType.AGE:
            return self._generalised(type_, original)
        return self._surrogate(type_, original)

    def _surrogate(self, type_: EntityType, original: str) -> Replacement:
        maker = NUMBERS.get(type_)
        if type_ is EntityType.PERSON:
            text = self._person(original)
        elif type_ is EntityType.PHONE:
            text = self._phone(original)
        elif maker is not None or type_ is EntityType.ID_CN:
            return self._number(type_, original, maker)
        elif type_ in TEXTS:
            text = self._text(type_, original)
        else:
            return self._placeholder(type_, original, "no_surrogate")
        if text is None or text == original:
            return self._placeholder(type_, original, "unreadable")
        return Replacement(text, Action.SURROGATE)

    def _number(self, type_: EntityType, original: str, maker: numbers.Maker | None) -> Replacement:
        value = compact(original).upper()
        name, key = type_.value, value
        if type_ is EntityType.ID_CN or (type_ in MAY_BE_ID and is_resident_id(value)):
            name, key = EntityType.ID_CN.value, numbers.id_key(value)
            try:
                born = self._birth(value)
            except ImpossibleDateError:
                return self._placeholder(type_, original, "impossible_date")
            maker = lambda value, draw: numbers.resident_id(value, born(draw), draw)  # noqa: E731
        elif type_ is EntityType.ACCOUNT and bin_is_known(value) and checksums.luhn_holds(value):
            name, maker = EntityType.CARD.value, numbers.card
        elif type_ is EntityType.DEVICE and len(value) == 12 and numbers.mac(value, bytes(32)) and len(original) > 12:
            maker = numbers.mac
        if maker is None:
            return self._placeholder(type_, original, "no_surrogate")
        fresh = self._drawn(name, key, value, maker)
        text = None if fresh is None else refill(original, value, fresh)
        if text is None:
            return self._placeholder(type_, original, "unreadable")
        return Replacement(text, Action.SURROGATE)

    def _drawn(self, name: str, key: str, value: str, maker: numbers.Maker) -> str | None:
        """Draw until the result is no original of the scope."""
        originals, draw = self._originals, self._draws.draw
        for counter in range(MAX_DRAWS):
            fresh = maker(value, draw(name, key, counter))
            if fresh is None:
                return None
            if fresh != value and fresh not in originals:
                return fresh
            self.num_redraws += 1
        return None

    def _birth(self, value: str) -> Callable[[bytes], datetime.date]:
        """The birth date to write, by date mode; of ``year_only`` a drawn day of the same year."""
        digits = value[6:14] if len(value) == 18 else f"19{value[6:12]}"
        if not (digits.isascii() and digits.isdigit() and len(digits) == 8):
            raise ImpossibleDateError
        try:
            born = datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
            mode = self._run.policy.date_mode
            if mode == "year_only":
                return lambda draw: datetime.date(born.year, 1, 1) + datetime.timedelta(number(draw[16:], 365))
            shifted = born if mode == "keep" else born + self._shift
        except (ValueError, OverflowError):
            raise ImpossibleDateError from None
        if not 1800 <= shifted.year <= 2199 or (len(value) == 15 and not 1900 <= shifted.year <= 1999):
            raise ImpossibleDateError
        return lambda draw: shifted

    @cached_property
    def _shift(self) -> datetime.timedelta:
        return datetime.timedelta(self._run.shift_of(self._context))

    def _phone(self, original: str) -> str | None:
        phone = phones.read_phone(original)
        if phone is None:
            return None
        key = phone.key
        for counter in range(MAX_DRAWS):
            fresh = phones.surrogate_phone(phone, self._draws.draw(EntityType.PHONE.value, key, counter))
            if fresh.key != key and fresh.key not in self._originals:
                return refill(original, phone.digits, fresh.digits)
            self.num_redraws += 1
        return None

    def _text(self, type_: EntityType, original: str) -> str | None:
        key = canonical(type_, original)
        maker = TEXTS[type_]
        for counter in range(MAX_DRAWS):
            fresh = maker(original, self._draws.draw(type_.value, key, counter))
            if fresh is None:
                return None
            made = canonical(type_, fresh)
            if made != key and made not in self._originals:
                return fresh
            self.num_redraws += 1
        return None

    def _person(self, original: str) -> str | None:
        person = persons.read_person(original)
        if person is None:
            return None
        self.announce([(EntityType.PERSON, original)])
        return persons.rewrite(original, person, self._part, self._people)

    def _part(self, type_name: str, part: str, maker: Callable[[bytes], str]) -> str | None:
        """A surname or given name: the same for every mention in the scope."""
        if (type_name, part) not in self._parts:
            self._parts[type_name, part] = self._drawn_part(type_name, part, maker)
        return self._parts[type_name, part]

    def _drawn_part(self, type_name: str, part: str, maker: Callable[[bytes], str]) -> str | None:
        for counter in range(MAX_DRAWS):
            fresh = maker(self._draws.draw(type_name, part, counter))
            made = simplified(fresh).casefold()
            # A scope that holds half of all surnames leaves none over: then only the own one is avoided.
            avoided = self._names[type_name] if counter < MAX_DRAWS // 2 else ()
            if fresh and made != part and made not in avoided:
                return fresh
            self.num_redraws += bool(fresh)
        return None

    def _date(self, original: str, mode: str) -> Replacement:
        if mode == "keep":
            return Replacement(original, Action.KEEP)
        if mode == "placeholder":
            return self._placeholder(EntityType.DATE, original, None)
        recorded = self._context.record_date
        try:
            written = read_date(original, recorded.year if recorded else None)
            if written is None:
                return self._placeholder(EntityType.DATE, original, "unreadable")
            if (
                written.has_year
                and (mode == "year_only" or not written.only_year)
                and implies_old_age(written, recorded)
            ):
                return self._placeholder(EntityType.DATE, original, "age_over_89")
            if written.only_year:
                return Replacement(original, Action.GENERALISE)
            if mode == "year_only":
                return self._year(written, original)
            text = write_date(original, written, written.day + self._shift)
        except (ImpossibleDateError, OverflowError):
            return self._placeholder(EntityType.DATE, original, "impossible_date")
        if plain(text) == plain(original):
            return self._placeholder(EntityType.DATE, original, "fixed_point")
        return Replacement(text, Action.SURROGATE)

    def _year(self, written: WrittenDate, original: str) -> Replacement:
        if not written.has_year:
            return self._placeholder(EntityType.DATE, original, None)
        return Replacement(written.year_text, Action.GENERALISE)

    def _generalised(self, type_: EntityType, original: str) -> Replacement:
        policy = self._run.policy
        to_province = policy.safe_harbor or policy.address == "province"
        if type_ is EntityType.ADDRESS and policy.address == "surrogate" and not policy.safe_harbor:
            return self._surrogate(type_, original)
        if type_ is EntityType.AGE:
            text = ages.generalised_age(original)
        elif type_ is EntityType.ADDRESS:
            text = places.generalised_address(original, to_province=to_province)
        elif type_ is EntityType.POSTCODE:
            text = places.generalised_postcode(original, to_province=to_province)
        elif type_ is EntityType.LOC:
            text = places.generalised_place(original)
        else:
            return self._placeholder(type_, original, "no_generalisation")
        if text is None:
            return self._placeholder(type_, original, "unreadable")
        return Replacement(text, Action.GENERALISE)

    def _encrypted(self, type_: EntityType, original: str) -> Replacement:
        """FF1 of the value within its written form; what is invalid takes ``on_invalid``."""
        column = self._run.columns[type_]
        value, prefix = encrypted_part(type_, original)
        try:
            (fresh,) = column.encrypt([prefix + value])
        except (InvalidValueError, FpeDomainError):
            if self._run.policy.on_invalid == "error":
                raise
            if self._run.policy.on_invalid == "token":
                return Replacement(column.token(canonical(type_, original)), Action.PLACEHOLDER, "fpe_invalid")
            return self._placeholder(type_, original, "fpe_invalid")
        text = refill(original, value, fresh[len(prefix) :]) if len(fresh) == len(prefix + value) else None
        if text is None or _same(type_, text, original):
            return self._placeholder(type_, original, "fixed_point")
        return Replacement(text, Action.FPE)

    def _placeholder(self, type_: EntityType, original: str, issue: str | None) -> Replacement:
        if len(original) > MAX_LENGTH:
            key = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
        elif type_ is EntityType.PERSON:
            key = self._people.key_of(original)
        else:
            key = phones.canonical_phone(original) if type_ is EntityType.PHONE else canonical(type_, original)
        # What is nothing but signs (****) has no canonical form of its own.
        key = key or original
        language = self._language or ("zh" if is_chinese(original) else "en")
        return Replacement(self._placeholders.of(type_, key, language), Action.PLACEHOLDER, issue)


def _action(policy: DesensitizePolicy, type_: EntityType) -> Action:
    """The policy's action; Safe Harbor keeps no place below the state unless the policy says so itself."""
    if policy.safe_harbor and type_ is EntityType.LOC and type_ not in policy.actions:
        return Action.GENERALISE
    action = policy.action_of(type_)
    return Action.PLACEHOLDER if type_ is EntityType.MASKED and action is Action.SURROGATE else action


def _same(type_: EntityType, text: str, original: str) -> bool:
    return canonical(type_, text) == canonical(type_, original)


__all__ = ["DocumentSurrogates", "MAX_DRAWS", "Replacement", "Surrogates"]
