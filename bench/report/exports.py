"""Sheets as a file: CSV, Markdown, HTML, XLSX. Each shows its boundary once; none computes.

Foreign text stays text: it is cleaned, escaped, and kept from being read as a formula.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from bench.report.foreign import clean
from bench.report.own import GENERATOR
from bench.report.sheet import Alarm, Cell, Live, Sheet, caption, text

FORMULA_STARTS = tuple("=+-@＝＋－＠\t\r\n")
"""What makes a spreadsheet read text as a formula, full-width forms too."""
XLSX_PIP = 'pip install "joulemark[report]"'
FIRST_ROW = 2
"""Of a worksheet, below caption and headings; counted from 0."""
_REFERENCE = re.compile(r"\{([^{}]+)\}")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~])")
_STYLE = """
:root { color-scheme: light dark; --line: #bbb; --ink: #111; --paper: #fff; --band: #f3f3f3;
  --alarm: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --line: #555; --ink: #eee; --paper: #161616; --band: #222; --alarm: #ff8a80; }
}
body { color: var(--ink); background: var(--paper); font: 14px/1.4 system-ui, sans-serif;
  margin: 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .5rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.alarm { color: var(--alarm); font-weight: 600; }
tbody tr:nth-child(even) { background: var(--band); }
ul { padding-left: 1.2rem; max-width: 60rem; }
@media print {
  :root { --line: #999; --ink: #000; --paper: #fff; --band: #fff; }
  body { margin: 0; font-size: 8px; }
  .wide { overflow: visible; }
  tr { break-inside: avoid; }
}
"""


class MissingWriter(RuntimeError):  # noqa: N818 - it is an answer, not a fault
    """A format whose library is not installed: one line with the command that brings it."""


def to_csv(*sheets: Sheet) -> str:
    """Full figures, empty where unknown; caption and notes on lines that begin with #."""
    return "\n".join(map(_csv, sheets))


def to_markdown(*sheets: Sheet) -> str:
    """Tables for a page or a job summary, figures as on the screen."""
    return "\n".join(map(_markdown, sheets))


def _csv(sheet: Sheet) -> str:
    out = io.StringIO()
    out.write(f"# {clean(caption(sheet))}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([defused(column.titled) for column in sheet.columns])
    writer.writerows([_plain(cell) for cell in row] for row in sheet.rows)
    out.writelines(f"# {clean(note)}\n" for note in sheet.notes)
    return out.getvalue()


def _markdown(sheet: Sheet) -> str:
    sides = ["---:" if numeric else ":---" for numeric in numeric(sheet)]
    lines = [
        f"**{_markup(clean(caption(sheet)))}**",
        "",
        _bars([_markup(clean(column.titled)) for column in sheet.columns]),
        _bars(sides),
        *(_bars([*map(_marked, row, shown)]) for row, shown in _pairs(sheet)),
        "",
        *(f"- {_markup(clean(note))}" for note in sheet.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def to_html(*sheets: Sheet) -> str:
    """One file that opens offline and asks nobody for anything; dark mode and print included."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    tables = "\n".join(map(_table, sheets))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="{GENERATOR}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(clean(sheets[0].title))}</title>
<style>{_STYLE}</style>
</head>
<body>
{tables}
</body>
</html>
"""


def _table(sheet: Sheet) -> str:
    numbers = numeric(sheet)
    head = "".join(
        _cell("th", column.titled, is_number)
        for column, is_number in zip(sheet.columns, numbers, strict=True)
    )
    body = "\n".join(
        f"<tr>{''.join(map(_data, row, shown, numbers))}</tr>" for row, shown in _pairs(sheet)
    )
    notes = "\n".join(f"<li>{escape(clean(note))}</li>" for note in sheet.notes)
    return f"""<div class="wide">
<table>
<caption>{escape(clean(caption(sheet)))}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
<ul>
{notes}
</ul>"""


def to_xlsx(*sheets: Sheet) -> bytes:
    """A worksheet each, numbers as numbers and text as text; MissingWriter without XlsxWriter."""
    try:
        import xlsxwriter
    except ImportError as error:
        raise MissingWriter(f"an .xlsx file needs XlsxWriter: {XLSX_PIP}") from error
    out = io.BytesIO()
    asis = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, asis) as book:
        told = {"author": GENERATOR, "created": datetime(2000, 1, 1)}
        book.set_properties(told)  # no moment of writing: the same table is the same file
        for number, sheet in enumerate(sheets, 1):
            page = book.add_worksheet(sheet.name or f"table {number}")
            _fill(book, page, sheet, _resolver(sheets, sheet))
    return out.getvalue()


def _fill(book: Any, page: Any, sheet: Sheet, resolve: Callable[[Live, int], str]) -> None:
    """Caption, headings, rows, notes, from the top."""
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
    page.write_string(0, 0, clean(caption(sheet)), book.add_format({"bold": True}))
    for place, column in enumerate(sheet.columns):
        page.write_string(1, place, clean(column.titled), bold)
        page.set_column(place, place, max(10, min(28, len(column.titled))))
    number = book.add_format({"num_format": "#,##0.####"})
    small = book.add_format({"num_format": "0.00E+00"})
    alarm = book.add_format({"bold": True, "font_color": "#B00020"})
    for line, row in enumerate(sheet.rows, FIRST_ROW):
        for place, cell in enumerate(row):
            if isinstance(cell, bool):
                page.write_string(line, place, "yes" if cell else "no")
            elif isinstance(cell, str):
                look = alarm if isinstance(cell, Alarm) else None
                page.write_string(line, place, clean(cell), look)
            elif isinstance(cell, Live):
                look = small if _tiny(cell) else number
                page.write_formula(line, place, resolve(cell, line), look, float(cell))
            elif cell is not None:
                page.write_number(line, place, cell, small if _tiny(cell) else number)
    page.freeze_panes(FIRST_ROW, 1)
    for line, note in enumerate(sheet.notes, len(sheet.rows) + FIRST_ROW + 1):
        page.write_string(line, 0, clean(note))


def _resolver(sheets: Sequence[Sheet], here: Sheet) -> Callable[[Live, int], str]:
    """What turns a formula's references into addresses: of its own row, or of a named sheet."""
    from xlsxwriter.utility import xl_rowcol_to_cell

    named = {sheet.name: sheet for sheet in sheets if sheet.name is not None}

    def place(sheet: Sheet, key: str) -> int:
        return [column.key for column in sheet.columns].index(key)

    def resolve(cell: Live, line: int) -> str:
        def address(found: re.Match[str]) -> str:
            *away, key = found[1].split(".")
            if not away:
                return str(xl_rowcol_to_cell(line, place(here, key)))
            sheet = named[away[0]]
            row = FIRST_ROW + sheet.row_names.index(away[1])
            return f"{sheet.name}!{xl_rowcol_to_cell(row, place(sheet, key), True, True)}"

        return f"={_REFERENCE.sub(address, cell.formula)}"

    return resolve


def defused(foreign: str) -> str:
    """Text that no spreadsheet takes for a formula, by a ' before what looks like one."""
    starts = foreign.startswith(FORMULA_STARTS) or foreign.lstrip().startswith(FORMULA_STARTS)
    return f"'{clean(foreign)}" if starts else clean(foreign)


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return (
        defused(cell)
        if isinstance(cell, str)
        else repr(cell if isinstance(cell, int) else float(cell))
    )


def texts(sheet: Sheet) -> list[list[str]]:
    """All cells as people read them."""
    return [
        [text(cell, column) for cell, column in zip(row, sheet.columns, strict=True)]
        for row in sheet.rows
    ]


def _pairs(sheet: Sheet) -> Iterator[tuple[tuple[Cell, ...], list[str]]]:
    """Each row with its cells as people read them."""
    yield from zip(sheet.rows, texts(sheet), strict=True)


def _marked(cell: Cell, shown: str) -> str:
    return f"**{_markup(shown)}**" if isinstance(cell, Alarm) else _markup(shown)


def _data(cell: Cell, shown: str, is_number: bool) -> str:
    return _cell("td", shown, is_number, alarm=isinstance(cell, Alarm))


def numeric(sheet: Sheet) -> list[bool]:
    """Which columns hold numbers, to be set to the right."""

    def holds_numbers(place: int) -> bool:
        cells = [row[place] for row in sheet.rows if row[place] is not None]
        return bool(cells) and all(
            isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells
        )

    return [holds_numbers(place) for place in range(len(sheet.columns))]


def _markup(plain: str) -> str:
    return _MARKUP.sub(r"\\\1", plain).replace("&", "&amp;")


def _bars(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(tag: str, inside: str, is_number: bool, *, alarm: bool = False) -> str:
    kind = ' class="alarm"' if alarm else ' class="number"' if is_number else ""
    return f"<{tag}{kind}>{escape(clean(inside))}</{tag}>"


def _tiny(number: float) -> bool:
    return 0 < abs(number) < 1e-3
