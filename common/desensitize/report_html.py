"""The report as one HTML page without scripts or anything from elsewhere, in English and in Chinese.

Everything from the report is escaped: names of columns come from the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from fedward.common.desensitize.report_words import (
    CANARIES_NOTE_ZH,
    EVIDENCE_ZH,
    ROW_NOTES_ZH,
    ROWS_ZH,
    SAFE_HARBOR_NOTE_ZH,
    STATEMENTS_ZH,
    WARNINGS_ZH,
    Language,
    word,
)

MAX_HANDLES_SHOWN = 40
_NUMERIC = frozenset(
    {"count", "injected", "caught", "recall", "interval", "target", "known", "checked", "witness", "pattern"}
)
_NUMERIC |= {"found", "level", "values"}
"""Columns whose figures stand on the right."""


def render(document: Mapping[str, Any], language: Language, *, other: str = "") -> str:
    """The page.

    Args:
        document: as ``report.build`` makes it.
        other: file name of the page in the other language, for a link.
    """
    page = Template(resources.files(__package__).joinpath("report.html").read_text("utf-8"))
    writer = _Page(document, language)
    link = f'<a href="{escape(other)}">{"English" if language == "zh" else "中文"}</a>' if other else ""
    return page.substitute(
        language="zh-CN" if language == "zh" else "en",
        title=escape(word("title", language)),
        link=link,
        body="\n".join(writer.sections()),
    )


class _Page:
    def __init__(self, document: Mapping[str, Any], language: Language) -> None:
        self._document, self._language = document, language

    def sections(self) -> Iterable[str]:
        """All of them, in order."""
        yield self._summary()
        yield self._warnings()
        yield self._section("by_type", self._by_type())
        yield self._section("canaries", self._canaries())
        yield self._section("over_scrub", self._pairs("measure", self._document["over_scrub"]))
        yield self._section(
            "outcomes", self._pairs("outcome", {**self._document["outcomes"], **self._document["leaks"]})
        )
        yield self._section("validators", self._validators())
        yield self._section("hits", self._rows(("type", "method", "level", "action", "count"), self._document["hits"]))
        if self._document["columns"]:
            yield self._section("columns", self._rows(("column", "action", "values"), self._document["columns"]))
        yield self._section("k_anonymity", self._k_anonymity())
        yield self._section("safe_harbor", self._safe_harbor())
        yield self._section("levels", self._level())
        yield self._section("low_confidence", self._low())
        yield self._section("statements", self._statements())
        yield self._section("provenance", self._provenance())

    def _word(self, key: str) -> str:
        return escape(word(key, self._language))

    def _section(self, key: str, inner: str) -> str:
        return f'<section id="{escape(key)}"><h2>{self._word(key)}</h2>{inner}</section>'

    def _summary(self) -> str:
        document = self._document
        records = document["records"]
        figures = {
            "records": f"{records['read']:,}",
            "written": f"{records['written']:,}",
            "replaced": f"{sum(document['by_type'].values()):,}",
            "changed_share": _percent(document["over_scrub"]["changed_share"]),
            "quarantined_by_leak_check": f"{records['quarantined_by_leak_check']:,}",
            "unreadable": f"{records['unreadable']:,}",
            "unseen": _percent(document["unseen_by_tagger_share"]),
            "gbt": str(document["gbt_42460"]["level"]),
        }
        cells = "".join(
            f"<div><b>{escape(value)}</b><span>{self._word(key)}</span></div>" for key, value in figures.items()
        )
        return f'<div class="figures">{cells}</div>'

    def _warnings(self) -> str:
        found = self._document["warnings"]
        if not found:
            return ""
        items = "".join(f"<li>{escape(self._coded(item, WARNINGS_ZH))}</li>" for item in found)
        return f'<section class="warn"><h2>{self._word("warnings")}</h2><ul>{items}</ul></section>'

    def _coded(self, item: Mapping[str, Any], chinese: Mapping[str, str]) -> str:
        """A sentence that has a code, in the page's language."""
        if self._language == "zh" and item["code"] in chinese:
            return chinese[item["code"]].format(item["value"])
        return str(item["text"])

    def _by_type(self) -> str:
        counts = self._document["by_type"]
        most = max(counts.values(), default=1)
        rows = "".join(
            f'<tr><td>{escape(type_)}</td><td class="n">{count:,}</td>'
            f'<td class="bar"><i style="width:{100 * count / most:.1f}%"></i></td></tr>'
            for type_, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        )
        return self._table(("type", "count", ""), rows)

    def _canaries(self) -> str:
        rows = self._document["canaries"]
        if not rows:
            return f"<p>{self._word('no_canaries')}</p>"
        lines = []
        for row in rows:
            passes = row.get("passes")
            shown = "–" if passes is None else self._word("yes" if passes else "no")
            style = ' class="bad"' if passes is False else ""
            lines.append(
                f"<tr{style}><td>{escape(str(row['type']))}</td><td class=n>{row['injected']:,}</td>"
                f"<td class=n>{row['caught']:,}</td><td class=n>{row['recall']:.4f}</td>"
                f"<td class=n>{row['low']:.4f} – {row['high']:.4f}</td><td class=n>{row['target']}</td>"
                f"<td>{shown}</td></tr>"
            )
        note = CANARIES_NOTE_ZH if self._language == "zh" else self._document["canaries_note"]
        head = ("type", "injected", "caught", "recall", "interval", "target", "passes")
        return self._table(head, "".join(lines)) + f"<p class=note>{escape(note)}</p>"

    def _validators(self) -> str:
        kinds = ("known", "checked", "witness", "pattern")
        rows = "".join(
            f"<tr><td>{escape(type_)}</td>"
            + "".join(f"<td class=n>{found.get(kind, 0):,}</td>" for kind in kinds)
            + "</tr>"
            for type_, found in self._document["validators"].items()
        )
        return self._table(("type", *kinds), rows)

    def _k_anonymity(self) -> str:
        found = self._document["k_anonymity"]
        if not found["measured"]:
            return f"<p>{self._word('not_measured')}: {escape(found['reason'])}</p>"
        shown = {name: found[name] for name in ("classes", "k_min", "share_below_threshold")}
        tips = "".join(f"<li><code>{escape(tip)}</code></li>" for tip in found["suggestions"])
        more = f"<p>{self._word('suggestions')}:</p><ul>{tips}</ul>" if tips else ""
        return self._pairs("measure", {"columns": ", ".join(found["columns"]), **shown}) + more

    def _safe_harbor(self) -> str:
        table = self._document["safe_harbor"]
        lines = []
        for row in table["rows"]:
            what = ROWS_ZH[row["row"]] if self._language == "zh" else row["what"]
            note = {"code": row["note_code"], "value": row["note_value"], "text": row["note"]}
            types = ", ".join(f"{type_} ({action})" for type_, action in row["types"].items())
            style = ' class="bad"' if row["status"] == "not handled" else ""
            lines.append(
                f"<tr{style}><td>{escape(row['row'])}</td><td>{escape(what)}</td><td>{escape(types)}</td>"
                f"<td class=n>{row['found']:,}</td><td class=s>{self._word(row['status'])}</td>"
                f"<td>{escape(self._coded(note, ROW_NOTES_ZH))}</td></tr>"
            )
        closing = SAFE_HARBOR_NOTE_ZH if self._language == "zh" else table["note"]
        claimed = f"<p>{self._word('claimed')}: {self._word('yes' if table['claimed'] else 'no')}</p>"
        body = self._table(("row", "what", "type", "found", "status", "note"), "".join(lines))
        return claimed + body + f"<p class=note>{escape(closing)}</p>"

    def _level(self) -> str:
        found = self._document["gbt_42460"]
        evidence = self._coded({**found, "text": found["evidence"]}, EVIDENCE_ZH)
        return f"<p><b>{found['level']}</b> – {self._word('evidence')}: {escape(evidence)}</p>"

    def _low(self) -> str:
        found = self._document["low_confidence"]
        shown = found["handles"][:MAX_HANDLES_SHOWN]
        more = " …" if len(found["handles"]) > len(shown) else ""
        codes = " ".join(f"<code>{escape(handle)}</code>" for handle in shown)
        return f"<p>{found['items']:,} – {self._word('handles')}</p><p>{codes}{more}</p>"

    def _statements(self) -> str:
        stated: Mapping[str, str] = self._document["statements"]
        texts = [STATEMENTS_ZH.get(key, text) if self._language == "zh" else text for key, text in stated.items()]
        return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"

    def _provenance(self) -> str:
        document = self._document
        key = document["key"]
        shown = {
            "key": f"{key['site_id']} / {key['key_id']}"
            + (f" ({word('one_run', self._language)})" if key["one_run"] else ""),
            "policy": document["policy"]["sha256"],
            "tables": document["tables_sha256"],
            "output": document["output_sha256"] or "–",
            "versions": ", ".join(f"{name} {version}" for name, version in document["versions"].items()),
            "seconds": document["run"]["seconds"],
        }
        settings = {name: value for name, value in document["policy"].items() if name != "sha256"}
        return self._pairs("measure", {**shown, **settings})

    def _pairs(self, name: str, values: Mapping[str, Any]) -> str:
        rows = "".join(
            f"<tr><td>{self._word(key)}</td><td class=v>{escape(_shown(value))}</td></tr>"
            for key, value in values.items()
            if not isinstance(value, dict)
        )
        return self._table((name, "value"), rows)

    def _rows(self, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
        lines = "".join(
            "<tr>"
            + "".join(f"<td{' class=n' * (name in _NUMERIC)}>{escape(_shown(row[name]))}</td>" for name in names)
            + "</tr>"
            for row in rows
        )
        return self._table(names, lines)

    def _table(self, names: Sequence[str], rows: str) -> str:
        head = "".join(f"<th{' class=n' * (name in _NUMERIC)}>{self._word(name)}</th>" for name in names)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)


__all__ = ["render"]
