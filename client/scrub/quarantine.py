"""The list of the records that were left out: place, reason and a keyed handle, readable by the owner alone.

The text of a record is in it only where a person asked for that; until there is an encrypted role for it (the vault),
the default is that a failing record is gone from the output and stays where it came from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedward.client.scrub.refusals import REASONS
from fedward.common.errors import DataError


def quarantine_path(target: Path) -> Path:
    """Where the list of an output lies."""
    return target.with_name(f"{target.name}.quarantine.jsonl")


def write_quarantine(path: Path, entries: Iterable[tuple[str, list[Any]]]) -> int:
    """Write the list; without entries there is no file, and an old one goes.

    Args:
        entries: file and what ``Quarantined`` holds.

    Returns:
        How many there are.

    Raises:
        DataError: it cannot be written.
    """
    count = 0
    fresh = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for name, (place, reason, detail, handle, text) in entries:
                entry = {"file": name, "place": place, "reason": REASONS.get(reason, reason), "code": reason}
                entry |= {"detail": detail, "handle": handle} | ({} if text is None else {"text": text})
                file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        if count:
            fresh.replace(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be written ({error.strerror})") from None
    finally:
        fresh.unlink(missing_ok=True)
    return count


__all__ = ["quarantine_path", "write_quarantine"]
