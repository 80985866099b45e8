"""A site's desensitisation key in a file, until the vault holds it: readable by its owner alone, with its descriptor.

Not handled here: what is drawn from it (``desensitize.keys``).
"""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
from pathlib import Path

from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import KEY_BYTES, ScrubKeys
from fedward.common.errors import ConfigError

SCHEMA = "fedward.scrub-key/1"
_HINT = "`fedward desensitize key FILE --site NAME` makes one."
_MAX_BYTES = 4096
_NAME = re.compile(r"[!-~]{1,64}")
_YEARS = 10


def write_key(path: Path, *, site_id: str, key_id: str, today: datetime.date) -> KeyDescriptor:
    """Make a new key; an existing file is never replaced, for nobody could restore what it encrypted.

    Raises:
        ConfigError: the file exists or cannot be written, or a name is not one.
    """
    if not _NAME.fullmatch(site_id) or not _NAME.fullmatch(key_id):
        raise ConfigError(
            "site and key id: expected 1 to 64 visible ASCII characters", hint="For example --site ward-1"
        )
    last = today.replace(year=today.year + _YEARS, month=12, day=31)
    descriptor = KeyDescriptor(key_id=key_id, site_id=site_id, created=today.isoformat(), not_after=last.isoformat())
    document = {"schema": SCHEMA, "descriptor": json.loads(descriptor.to_json())}
    document["secret"] = secrets.token_bytes(KEY_BYTES).hex()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Give a new file in a folder of your own.") from None
    return descriptor


def read_key(path: Path) -> tuple[ScrubKeys, KeyDescriptor]:
    """The key in a file.

    Raises:
        ConfigError: no such file, others may read it, or it is no key.
        DesensitizationError: of another version's tables.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path.name}: others may read this key", hint=f"`chmod 600 {path.name}`.")
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror or 'cannot be read'}", hint=_HINT) from None
    found = _parsed(raw)
    if found is None:
        raise ConfigError(f"{path.name}: not a key of this program", hint=_HINT)
    secret, descriptor = found
    keys = ScrubKeys(secret=secret, site_id=descriptor.site_id, key_id=descriptor.key_id)
    descriptor.check(keys)
    return keys, descriptor


def _parsed(raw: bytes) -> tuple[bytes, KeyDescriptor] | None:
    try:
        document = json.loads(raw)
        if set(document) != {"schema", "descriptor", "secret"} or document["schema"] != SCHEMA:
            return None
        secret = bytes.fromhex(document["secret"])
        return (
            (secret, KeyDescriptor.from_json(json.dumps(document["descriptor"]))) if len(secret) == KEY_BYTES else None
        )
    except (ValueError, TypeError, KeyError):
        return None


__all__ = ["read_key", "SCHEMA", "write_key"]
