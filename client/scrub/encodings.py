"""Which encoding a text file is in: never guessed beyond doubt, and never read with replacement characters.

A byte order mark, else strict UTF-8, else strict GB 18030 whose characters are nearly all Chinese, else refused. Big5
only when named: most Big5 text is valid GB 18030, of other characters.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from fedward.client.intake import checked_encoding
from fedward.common.errors import EncodingError

MIN_CJK_SHARE = 0.99
_BLOCK_BYTES = 1 << 20
_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CJK = re.compile("[\u2018-\u201d\u2014\u2026\u00b7\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]+")
_ALONE = re.compile("[A-Za-z][^\x00-\x7f][A-Za-z]")
"""A Chinese character amid a Latin word: what an accented letter of another encoding looks like here."""
_MAX_SHIFTED = 64
_SHIFTED = re.compile(rb"\x1b\$[@AB()*+]|~\{(?:[!-w][!-~]){2,30}~\}")
"""The escape into a set of two bytes (ISO 2022), and two characters or more between HZ's brackets."""
_RUN = re.compile(r"[^\x00-\x7f]+")
_ASCII = re.compile(r"[\x00-\x7f]+")


def encoding_of(path: Path, named: str | None) -> str:
    """The encoding of a file, ``utf-8`` for one with a UTF-8 mark too.

    Raises:
        EncodingError: none fits without doubt, the mark is of UTF-16 or UTF-32, or it is one of ISO 2022 or HZ.
        ConfigError: ``named`` is unknown or cannot be read line by line.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if any(head.startswith(mark) for mark in _WIDE_MARKS):
        raise EncodingError(f"{path.name}: UTF-16 or UTF-32", hint="Convert it: `iconv -f utf-16 -t utf-8`.")
    if named is not None:
        return checked_encoding(named)
    if head.startswith(codecs.BOM_UTF8) or _decodes(path, "utf-8"):
        if _is_shifted(path):
            raise EncodingError(
                f"{path.name}: ISO 2022 or HZ, whose Chinese characters look like ASCII",
                hint="Convert it, for example `iconv -f hz -t utf-8`.",
            )
        return "utf-8"
    if _is_gb18030(path):
        return "gb18030"
    raise EncodingError(
        f"{path.name}: neither UTF-8 nor, without doubt, GB 18030",
        hint="Name the encoding with --encoding, for example big5; a mistaken one would hide identifiers.",
    )


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_shifted(path: Path) -> bool:
    """Whether ASCII bytes stand for other characters in it: no rule would see the names."""
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if _SHIFTED.search(tail + block):
                return True
            tail = block[-_MAX_SHIFTED:]
    return False


def _is_gb18030(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("gb18030")("strict")
    foreign = chinese = alone = num_runs = 0
    try:
        with path.open("rb") as file:
            while True:
                block = file.read(_BLOCK_BYTES)
                whole = decoder.decode(block, final=not block)
                alone += len(_ALONE.findall(whole))
                num_runs += len(_RUN.findall(whole))
                text = _ASCII.sub("", whole)
                rest = len(_CJK.sub("", text))
                foreign += rest
                chinese += len(text) - rest
                if not block:
                    break
    except UnicodeDecodeError:
        return False
    is_chinese = chinese > 0 and chinese >= MIN_CJK_SHARE * (chinese + foreign)
    return is_chinese and 2 * alone <= num_runs


__all__ = ["encoding_of", "MIN_CJK_SHARE"]
