"""The report's files: JSON, and one HTML page for each language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedward.common.atomic import write_atomically
from fedward.common.desensitize.report_html import render
from fedward.common.errors import ConfigError

JSON_NAME = "desensitize_report.json"
PAGES = {"en": "desensitize_report.html", "zh": "desensitize_report.zh.html"}


def write_report(document: Mapping[str, Any], folder: Path) -> None:
    """Write all three.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        raw = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(folder / JSON_NAME, raw.encode())
        write_atomically(folder / PAGES["en"], render(document, "en", other=PAGES["zh"]).encode())
        write_atomically(folder / PAGES["zh"], render(document, "zh", other=PAGES["en"]).encode())
    except OSError as error:
        raise ConfigError(f"--report cannot be written: {error.strerror}", hint="Choose another folder.") from None


__all__ = ["JSON_NAME", "PAGES", "write_report"]
