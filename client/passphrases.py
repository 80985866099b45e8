"""A passphrase from a person: typed, or in a file that only he reads; never an argument, never the environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from fedward.common.envelope.recipients import Passphrase


def asked_passphrase(
    is_asked: bool, path: Path | None, *, is_new: bool = False, is_scrypt: bool = False
) -> Passphrase | None:
    """The passphrase that is typed or read; None where neither is asked for.

    Raises:
        ConfigError: both, a file that others may read, or one that is no text.
    """
    from fedward.client.vault_keys import read_private
    from fedward.common.envelope.recipients import SCRYPT, Passphrase, PassphraseCost

    if path is not None and is_asked:
        raise ConfigError("one passphrase is typed or read from a file, not both", hint="Leave one of the two out.")
    if path is not None:
        try:
            text = read_private(path).decode("utf-8-sig").rstrip("\r\n")  # some editors begin with a mark
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: a passphrase file is UTF-8 text") from None
    elif is_asked:
        text = typer.prompt("New passphrase" if is_new else "Passphrase", hide_input=True, confirmation_prompt=is_new)
    elif is_scrypt:
        raise ConfigError("--scrypt is for a passphrase", hint="Add --passphrase, or leave --scrypt out.")
    else:
        return None
    return Passphrase(text=text, cost=SCRYPT if is_scrypt else PassphraseCost())


__all__ = ["asked_passphrase"]
