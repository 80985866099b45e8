"""How configuration is read: frozen, strict models, from TOML or as exact JSON bytes.

TOML can spell ``nan`` and ``inf``, and a bare pydantic ``float`` takes NaN, ``true`` and ``"1"``: hence strict models
that allow no infinities. Unknown keys are refused. Nobody encodes what travelled a second time.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from fedward.common.errors import ConfigError

MAX_CONFIG_BYTES = 4 << 20
"""A plan or recipe is text by people; a longer file is a mistake or an attack."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
SiteId = Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
AUTO: Final = "auto"
"""A number that is found, instead of given."""


def auto_or(low: float, high: float) -> PlainValidator:
    """Takes ``auto`` or a number from ``low`` to ``high``, with one message for both."""

    def check(value: object) -> float | str:
        if value == AUTO and isinstance(value, str):
            return AUTO
        if type(value) in (int, float) and low <= value <= high:  # type: ignore[operator]  # NaN fails
            return float(value)  # type: ignore[arg-type]
        raise ValueError(f'expected "auto" or a number from {low:g} to {high:g}')

    return PlainValidator(check)


class Settings(BaseModel):
    """Base of every part of a configuration: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


Parsed = TypeVar("Parsed", bound=Settings)


def validated(model: type[Parsed], raw: bytes, what: str) -> Parsed:
    """Parse JSON ``raw`` into ``model``; every fault becomes one clear error.

    Raises:
        ConfigError: names the first setting that is wrong, and what was expected.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise ConfigError(f"{what}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt key is also a missing one: name what the person wrote.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    text = first["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    return f"{where}: {text}{tail}" if where else f"{text}{tail}"


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        ConfigError: no such file, not UTF-8, not TOML, or too long.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'cannot be read'}", hint="Check the path.") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, a number or a nesting beyond all measure
        raise ConfigError(f"{path}: not a TOML file: {error}", hint="TOML is UTF-8 text; see docs/plan.md.") from error


def to_json(values: object, what: str) -> bytes:
    """Plain values from TOML as JSON, for strict validation.

    Raises:
        ConfigError: a value that JSON cannot hold (a date, NaN, infinity).
    """
    try:
        return json.dumps(values, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{what}: {_unfit(values) or error}", hint="Use strings, whole numbers, finite numbers and lists."
        ) from error


def _unfit(value: object, path: str = "") -> str:
    """The first setting that JSON cannot hold, by its name."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = (_unfit(inner, f"{path}.{key}" if path else str(key)) for key, inner in items)
        return next(filter(None, found), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is not a finite number"
    return "" if isinstance(value, str | int | float) else f"{path} is a {type(value).__name__}"


def digest_of(raw: bytes) -> bytes:
    """SHA-256 of exact bytes: the digest of a plan."""
    return hashlib.sha256(raw).digest()
