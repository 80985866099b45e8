"""``evaluation.json`` as one HTML page, in English or Chinese: no script, no request, printable.

Invariants: rendered from the report alone; everything from it is escaped; both languages come from one renderer and
two tables of words, so that their numbers are the same. Not handled here: curves (ROC, histograms), which the report
does not carry, and notes, which stay in the language that they were written in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Literal

from fedward.common.evaluation.report import CellRecord, Report, SectionRecord
from fedward.common.evaluation.verdicts import Verdict, worst_first

Language = Literal["en", "zh"]
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": MappingProxyType(
            {
                "title": "Evaluation of an adapter",
                "verdict": "Verdict",
                "blocking": "Sections that block a release",
                "none": "none",
                "worst": "Worst cells",
                "claims": "What the accounts claim",
                "site": "Site",
                "unit": "Unit",
                "epsilon": "ε",
                "delta": "δ",
                "cell": "Metric",
                "estimate": "Estimate",
                "interval": "95 % interval",
                "limits": "Pass / fail limit",
                "counts": "In / out",
                "note": "Note",
                "controls": "Controls",
                "holds": "holds",
                "fails": "does not hold",
                "deviations": "Loosened thresholds",
                "facts": "Provenance",
                "plot": "Estimates with 95 % intervals; dashed: pass limit, solid: fail limit",
                "unit_share": "share (0 to 1)",
                "unit_bits": "bits",
                "unit_forgetting": "nats per token",
                "unmeasured": "not measured",
                "limits_of_it": "A PASS says that these attacks, at these sizes, found nothing. "
                "The guarantee is the accountant's.",
            }
        ),
        "zh": MappingProxyType(
            {
                "title": "适配器评估报告",
                "verdict": "结论",
                "blocking": "阻止发布的部分",
                "none": "无",
                "worst": "最差的指标",
                "claims": "隐私账目的声明",
                "site": "机构",
                "unit": "单位",
                "epsilon": "ε",
                "delta": "δ",
                "cell": "指标",
                "estimate": "估计值",
                "interval": "95 % 区间",
                "limits": "通过 / 失败界限",
                "counts": "成员 / 非成员",
                "note": "备注",
                "controls": "对照",
                "holds": "成立",
                "fails": "不成立",
                "deviations": "放宽的阈值",
                "facts": "来源",
                "plot": "估计值与 95 % 区间；虚线为通过界限，实线为失败界限",
                "unit_share": "比例（0 到 1）",
                "unit_bits": "比特",
                "unit_forgetting": "奈特 / 词元",
                "unmeasured": "未测量",
                "limits_of_it": "“PASS”只说明这些攻击在这些样本量下没有发现问题；保证来自隐私账目。",
            }
        ),
    }
)
_WORST = 3
_ROW, _LEFT, _WIDTH, _RIGHT, _TOP = 22, 250, 420, 40, 8
_SHARES = frozenset({"auc", "accuracy", "tpr", "leak", "recall", "retention"})
_NUMERIC_COLUMNS = range(1, 5)
_STYLE = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;
margin:2rem auto;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}th,td{border-bottom:1px solid #ccc;padding:.25rem .5rem;
text-align:left;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.PASS{color:#176b2c}.WARN{color:#8a5a00}.FAIL{color:#a3131c}.INCONCLUSIVE{color:#4b4b8f}.big{font-size:1.8rem;font-weight:700}
svg{max-width:100%;height:auto}code{overflow-wrap:anywhere}section{break-inside:avoid}
@media print{body{margin:0;max-width:none}}
"""


def render(report: Report, language: Language) -> str:
    """The page."""
    page = _Page(report, WORDS[language])
    tag = "zh-CN" if language == "zh" else "en"
    return "\n".join(
        (
            f'<!DOCTYPE html><html lang="{tag}"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            'img-src data:">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(WORDS[language]['title'])}</title><style>{_STYLE}</style></head><body>",
            *page.parts(),
            "</body></html>",
        )
    )


class _Page:
    def __init__(self, report: Report, words: Mapping[str, str]) -> None:
        self._report, self._words = report, words

    def parts(self) -> Iterator[str]:
        """All of it, in order."""
        words, gate = self._words, self._report.gate
        yield f"<h1>{escape(words['title'])}</h1>"
        yield f'<p class="big {gate.verdict}">{escape(words["verdict"])}: {gate.verdict}</p>'
        yield f"<p>{escape(words['blocking'])}: {escape(', '.join(gate.blocking)) or escape(words['none'])}</p>"
        yield f"<p>{escape(words['limits_of_it'])}</p>"
        yield from self._worst()
        yield from self._claims()
        for section in self._report.sections:
            yield from self._section(section)
        if self._report.deviations:
            yield f"<h2>{escape(words['deviations'])}</h2>{_list(self._report.deviations)}"
        yield from self._facts()

    def _worst(self) -> Iterator[str]:
        cells = [(section.id, cell) for section in self._report.sections for cell in section.cells]
        order = worst_first([Verdict(cell.verdict) for _, cell in cells])[:_WORST]
        yield f"<h2>{escape(self._words['worst'])}</h2>"
        yield self._table([cells[index][1] for index in order], [cells[index][0] for index in order])

    def _claims(self) -> Iterator[str]:
        words = self._words
        if not self._report.claims:
            return
        rows = [
            (site, claim.unit, _number(claim.epsilon) or "–", _number(claim.delta))
            for site, claim in self._report.claims.items()
        ]
        yield f"<h2>{escape(words['claims'])}</h2>"
        yield _rows((words["site"], words["unit"], words["epsilon"], words["delta"]), rows)

    def _section(self, section: SectionRecord) -> Iterator[str]:
        words = self._words
        yield f'<section><h2>{escape(section.id)}: <span class="{section.verdict}">{section.verdict}</span></h2>'
        yield plots(section, words)
        yield self._table(section.cells)
        if section.controls:
            lines = [
                f"{control.name}: {words['holds'] if control.holds else words['fails']} {control.note}"
                for control in section.controls
            ]
            yield f"<h3>{escape(words['controls'])}</h3>{_list(lines)}"
        if section.notes:
            yield _list(section.notes)
        yield "</section>"

    def _table(self, cells: Sequence[CellRecord], where: Sequence[str] = ()) -> str:
        words = self._words
        heads = tuple(words[name] for name in ("cell", "estimate", "interval", "limits", "counts", "verdict", "note"))
        rows = [
            (
                f"{where[index]}: {_name(cell)}" if where else _name(cell),
                _number(cell.estimate) or words["unmeasured"],
                _pair(cell.low, cell.high, " – "),
                _pair(cell.limit_pass, cell.limit_fail),
                f"{cell.n_in} / {cell.n_out}",
                cell.verdict,
                cell.note,
            )
            for index, cell in enumerate(cells)
        ]
        return _rows(heads, rows)

    def _facts(self) -> Iterator[str]:
        report = self._report
        facts = {name: getattr(report, name) for name in ("run_id", "plan_digest", "base_digest", "adapter_digest")}
        facts |= {"suite": report.suite, "created_at": report.created_at, "hardware": report.hardware}
        facts |= {f"ledger {site}": head for site, head in report.ledger_heads.items()}
        facts |= {f"seed {name}": str(seed) for name, seed in report.seeds.items()}
        facts |= {f"version {name}": version for name, version in report.versions.items()}
        lines = "".join(
            f"<tr><th>{escape(k)}</th><td><code>{escape(v)}</code></td></tr>" for k, v in facts.items() if v
        )
        yield f"<h2>{escape(self._words['facts'])}</h2><table>{lines}</table>"


def plots(section: SectionRecord, words: Mapping[str, str]) -> str:
    """A plot for the shares of a section and one for each other metric, of the cells that have an interval."""
    by_axis: dict[str, list[CellRecord]] = {}
    for cell in section.cells:
        if cell.estimate is not None and cell.low is not None and cell.high is not None and cell.low < cell.high:
            by_axis.setdefault("share" if cell.metric in _SHARES else cell.metric, []).append(cell)
    return "".join(_forest(section.id, axis, cells, words) for axis, cells in by_axis.items())


def _forest(section_id: str, axis_name: str, cells: Sequence[CellRecord], words: Mapping[str, str]) -> str:
    """Estimates with their intervals and limits as inline SVG."""
    ends = [x for c in cells for x in (c.estimate, c.low, c.high, c.limit_pass, c.limit_fail) if x is not None]
    low, high = min(0.0, *ends), max(1.0, *ends)  # shares stand on the whole range
    height = _TOP + _ROW * len(cells)

    def at(value: float | None) -> str:
        return f"{_LEFT + _WIDTH * ((value or 0.0) - low) / (high - low):.1f}"

    parts = []
    for index, cell in enumerate(cells):
        y = _TOP + _ROW * index + _ROW // 2
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(_name(cell))}</text>')
        for limit, dash in ((cell.limit_pass, ' stroke-dasharray="3 2"'), (cell.limit_fail, "")):
            if limit is not None:
                parts.append(_line(at(limit), y - 9, at(limit), y + 9, f'stroke="#a3131c"{dash}'))
        parts.append(_line(at(cell.low), y, at(cell.high), y, 'stroke="#1b1b1b" stroke-width="2"'))
        parts.append(f'<circle cx="{at(cell.estimate)}" cy="{y}" r="4" fill="#1b1b1b"/>')
    parts.append(_line(at(low), height, at(high), height, 'stroke="#1b1b1b"'))
    for tick in range(5):
        value = low + (high - low) * tick / 4
        parts.append(f'<text x="{at(value)}" y="{height + 16}" text-anchor="middle">{value:.3g}</text>')
    unit = words.get(f"unit_{axis_name}", axis_name)
    axis = f'<text x="{_LEFT + _WIDTH // 2}" y="{height + 34}" text-anchor="middle">{escape(unit)}</text>'
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height + 40}"'
    box = f'viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height + 40}"'
    label = escape(f"{section_id}: {words['plot']}")
    drawn = "".join(parts)
    return (
        f'<figure><svg {size} {box} role="img" aria-label="{label}" font-size="12">{drawn}{axis}</svg>'
        f"<figcaption>{escape(words['plot'])}</figcaption></figure>"
    )


def _line(x1: str, y1: int, x2: str, y2: int, look: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {look}/>'


def _name(cell: CellRecord) -> str:
    return " · ".join(part for part in (cell.metric, cell.group, cell.score) if part)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _pair(low: float | None, high: float | None, between: str = " / ") -> str:
    return "" if low is None and high is None else f"{_number(low) or '…'}{between}{_number(high) or '…'}"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(_cell("th", column, head) for column, head in enumerate(heads))
    body = "".join(f"<tr>{''.join(_cell('td', *placed) for placed in enumerate(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, column: int, text: str) -> str:
    look = "n" if column in _NUMERIC_COLUMNS else text if text in Verdict.__members__ else ""
    return f'<{tag} class="{look}">{escape(text)}</{tag}>' if look else f"<{tag}>{escape(text)}</{tag}>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


__all__ = ["Language", "plots", "render", "WORDS"]
