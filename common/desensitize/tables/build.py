"""Regenerates the tables from installed packages: ``python -m fedward.common.desensitize.tables.build``.

Only facts are taken (numbers that were allotted, names that people and cities bear), never text or code of a package:
phonenumbers (Apache-2.0), python-stdnum (LGPL-2.1-or-later), Faker (MIT), jionlp (Apache-2.0). The lists that we wrote
ourselves (given names, organisations, cards) are left as they are. A table that enters a rank order is versioned: its
old versions stay, for data that was encrypted with them.

Not handled here: reading the tables (``tables``). None of these packages is needed at run time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_TRADITIONAL_NAMES = {"叶": "葉", "万": "萬", "党": "黨", "钟": "鍾"}
"""Where Big5 holds both characters, or a name takes another one than the dictionary's first."""


def cn_mobile() -> dict[str, Any]:
    """Allotted mobile prefixes, prefix-free and ascending: three digits where all hundred blocks are allotted."""
    from phonenumbers.data.region_CN import PHONE_METADATA_CN

    matches = re.compile(str(_pattern(PHONE_METADATA_CN.mobile))).fullmatch
    blocks: list[str] = []
    for prefix in map(str, range(100, 200)):
        five = [f"{prefix}{i:02d}" for i in range(100) if matches(f"{prefix}{i:02d}123456")]
        blocks += [prefix] if len(five) == 100 else five
    return {"source": _source("phonenumbers"), "blocks": blocks}


def phone() -> dict[str, Any]:
    """Area codes of China with the lengths of their numbers, area codes of the NANP, country calling codes."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
    from phonenumbers.data.region_CN import PHONE_METADATA_CN
    from phonenumbers.data.region_US import PHONE_METADATA_US

    fixed = re.compile(str(_pattern(PHONE_METADATA_CN.fixed_line))).fullmatch
    area: dict[str, list[int]] = {}
    for code in [*map(str, (10, *range(20, 30))), *map(str, range(300, 1000))]:
        for length in (7, 8):
            if all(fixed(code + first + "3456789"[: length - 1]) for first in "2345678"):
                area.setdefault(code, []).append(length)
    nanp = re.compile(str(_pattern(PHONE_METADATA_US.fixed_line))).fullmatch
    return {
        "source": _source("phonenumbers"),
        "area": area,
        "nanp": [code for code in map(str, range(201, 1000)) if nanp(code + "5550123")],
        "country": sorted(str(code) for code in COUNTRY_CODE_TO_REGION_CODE),
    }


def cn_regions() -> dict[str, Any]:
    """Codes of counties: all that were ever issued, and those in force, as two-digit ends under each prefecture."""
    names = _region_names()
    counties = [code for code in names if not code.endswith("00")]
    return {
        "source": _source("python-stdnum"),
        "all": _grouped(counties),
        "open": _grouped(code for code in counties if _current(names[code])),
    }


def places() -> dict[str, Any]:
    """Provinces (two-digit code: name) and cities of prefecture level (four-digit code: name)."""
    names = _region_names()
    provinces = {code[:2]: _current(name) for code, name in names.items() if code.endswith("0000")}
    cities = {
        code[:4]: _current(name)
        for code, name in names.items()
        if code.endswith("00") and not code.endswith("0000") and _current(name) and "辖" not in name
    }
    no_city = re.compile("直辖|行政|^林区$|^县$").search
    cities = {code: name for code, name in cities.items() if not no_city(name)}
    return {"source": _source("python-stdnum"), "provinces": provinces, "cities": cities}


def names_en() -> dict[str, Any]:
    """Latin first names by gender and surnames, most frequent first."""
    from faker.providers.person.en_US import Provider
    from faker.providers.person.zh_CN import Provider as Chinese

    male, female = (_by_weight(names) for names in (Provider.first_names_male, Provider.first_names_female))
    both = set(male) & set(female)
    return {
        "source": _source("Faker") + "; Copyright (c) 2012 Daniele Faraglia",
        "male": [name for name in male if name not in both],
        "female": [name for name in female if name not in both],
        "neutral": sorted(both | {"Alex", "Jordan", "Taylor", "Morgan", "Casey", "Riley", "Quinn", "Rowan"}),
        "surnames": _by_weight(Provider.last_names),
        "pinyin_surnames": sorted(set(Chinese.last_romanized_names)),
    }


def hanzi() -> dict[str, Any]:
    """Traditional characters and, aligned, their Simplified ones; and the way back for the characters of names."""
    jionlp = import_module("jionlp")
    folder = Path(str(jionlp.__file__)).parent / "dictionary"
    pairs = _pairs(folder / "tra2sim_char.txt") | {"鍾": "钟"}
    written = {s: t for s, t in _pairs(folder / "sim2tra_char.txt").items() if pairs.get(t) == s}
    written = {s: t for s, t in written.items() if _in_big5(t) and not _in_big5(s)} | _TRADITIONAL_NAMES
    used = sorted(set(_characters_of_names()) & set(written))
    return {
        "source": _source("jionlp"),
        "traditional": "".join(pairs),
        "simplified": "".join(pairs.values()),
        "name_simplified": "".join(used),
        "name_traditional": "".join(written[c] for c in used),
    }


def names_zh() -> dict[str, Any]:
    """Surnames, most frequent first, then the classical ones; the rest of the file is ours and stays."""
    from faker.providers.person.zh_CN import Provider

    own = _read("names_zh")
    frequent = [name for name in _by_weight(Provider.last_names) if len(name) == 1]
    return {**own, "surnames": "".join(dict.fromkeys("".join(frequent) + own["classical_surnames"]))}


TABLES = {
    "cn_mobile.v1": cn_mobile,
    "cn_regions.v1": cn_regions,
    "names_en": names_en,
    "names_zh": names_zh,
    "phone": phone,
    "places": places,
    "hanzi": hanzi,
}


def rendered(table: Mapping[str, Any]) -> str:
    """The file of a table."""
    return json.dumps(table, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n"


def main() -> None:
    """Write every table beside this module."""
    for name, make in TABLES.items():
        (HERE / f"{name}.json").write_text(rendered(make()), "utf-8")


def _pattern(description: Any) -> str:  # noqa: ANN401 - a generated class of phonenumbers
    return str(description.national_number_pattern)


def _pairs(file: Path) -> dict[str, str]:
    pairs = (line.split("\t")[:2] for line in file.read_text("utf-8").splitlines() if "\t" in line)
    return {a: b for a, b in pairs if a != b and len(a) == len(b) == 1 and max(a, b) <= "\uffff"}


def _in_big5(character: str) -> bool:
    """Whether a Traditional text has the character."""
    return bool(character.encode("big5", "ignore"))


def _source(package: str) -> str:
    licences = {"phonenumbers": "Apache-2.0", "python-stdnum": "facts only", "Faker": "MIT", "jionlp": "Apache-2.0"}
    return f"{package} {version(package)} ({licences[package]})"


def _region_names() -> dict[str, str]:
    """Six-digit code to its names, as ``[from-to]name`` joined by commas."""
    import stdnum.cn

    names: dict[str, str] = {}
    province = ""
    for line in (Path(stdnum.cn.__file__).parent / "loc.dat").read_text("utf-8").splitlines():
        if found := re.match(r"(\d\d) province=", line):
            province = found[1]
        elif found := re.match(r'\s+(\d{4}) county="(.*)"', line):
            names[province + found[1]] = found[2]
    return names


def _current(names: str) -> str:
    """The name in force, or nothing."""
    for name in names.split(","):
        if not name.startswith("["):
            return name
        years, name = name[1:].split("]", 1)
        if years.endswith("-"):
            return name
    return ""


def _grouped(codes: Iterable[str]) -> dict[str, str]:
    grouped: dict[str, str] = {}
    for code in sorted(codes):
        grouped[code[:4]] = grouped.get(code[:4], "") + code[4:]
    return grouped


def _by_weight(names: Mapping[str, float]) -> list[str]:
    return sorted(names, key=lambda name: -names[name])


def _characters_of_names() -> str:
    table = _read("names_zh")
    return "".join(value if isinstance(value, str) else "".join(value) for value in table.values())


def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    return data


if __name__ == "__main__":
    main()
