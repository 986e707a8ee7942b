"""Sheets as files: one boundary each, hostile text stays text, full figures. About 2 s."""

import csv
import html.parser
import io
import re
import sys
import zipfile
from collections.abc import Callable

import pytest
from rich.console import Console

from bench.report.exports import (
    MissingWriter,
    defused,
    to_csv,
    to_html,
    to_markdown,
    to_xlsx,
)
from bench.report.sheet import Column, Sheet, terminal

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "＝1+1",
    "<script>alert(1)</script>",
    "a|b`c*d[e](f)",
    "\x1b[31mred\x1b[0m",
    "safe\u202eevil",
    "&amp;",
]
SHEET = Sheet(
    title="cards | of <b>today</b>",
    boundary="facility",
    columns=(
        Column("card", "=card"),
        Column("joules", "energy/token", "J"),
        Column("batch", "batch"),
        Column("front", "front"),
    ),
    rows=(
        *((name, 0.123456789012345, 16, True) for name in HOSTILE),
        ("plain", None, None, None),
        ("tiny", 1.5e-9, 1, False),
    ),
    notes=("=note", "a <i>note</i>"),
)


def on_terminal(sheet: Sheet) -> str:
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=True).print(terminal(sheet, 200))
    return out.getvalue()


def inside_xlsx(sheet: Sheet) -> str:
    with zipfile.ZipFile(io.BytesIO(to_xlsx(sheet))) as book:
        return "".join(
            book.read(name).decode()
            for name in book.namelist()
            if name == "xl/sharedStrings.xml" or name.startswith("xl/worksheets/")
        )


RENDERERS: dict[str, Callable[[Sheet], str]] = {
    "terminal": on_terminal,
    "csv": to_csv,
    "markdown": to_markdown,
    "html": to_html,
    "xlsx": inside_xlsx,
}


@pytest.mark.parametrize("name", RENDERERS)
def test_the_boundary_stands_there_once(name: str) -> None:
    shown = RENDERERS[name](SHEET)
    assert shown.count("boundary") == 1
    assert shown.count("facility") == 1
    assert "boundary: facility" in shown.replace("\\", "")


@pytest.mark.parametrize("name", RENDERERS)
def test_no_control_or_bidi_character_gets_through(name: str) -> None:
    shown = RENDERERS[name](SHEET)
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown


def test_no_cell_of_the_csv_is_a_formula() -> None:
    lines = [line for line in to_csv(SHEET).splitlines() if not line.startswith("# ")]
    cells = [cell for row in csv.reader(lines) for cell in row]
    assert len(cells) == 4 * (1 + len(SHEET.rows))
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "＝"))]
    assert "'=card" in cells
    assert cells.count("0.123456789012345") == len(HOSTILE)


def test_defusing_leaves_ordinary_text_alone() -> None:
    assert defused("rtx4090") == "rtx4090"
    assert defused("50 % - half") == "50 % - half"
    assert defused("=1") == "'=1"
    assert defused("\t=1") == "' =1"


def test_the_markdown_keeps_its_columns() -> None:
    table = [line for line in to_markdown(SHEET).splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(SHEET.rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}
    assert "<script" not in to_markdown(SHEET).replace("\\<", "")


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and the text of every cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_html_asks_nobody_and_runs_nothing() -> None:
    page = to_html(SHEET)
    found = Tags()
    found.feed(page)
    assert not {"script", "b", "i", "img", "link", "iframe", "a"} & set(found.tags)
    assert not [value for value in found.values if "http" in value]
    policy = next(value for value in found.values if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "<script>alert(1)</script>" in found.text
    assert found.tags.count("tr") == 1 + len(SHEET.rows)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_policy_lets_the_pages_own_style_in() -> None:
    import base64
    import hashlib

    page = to_html(SHEET)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page


def test_the_workbook_holds_numbers_and_text_and_no_formula() -> None:
    inside = inside_xlsx(SHEET)
    assert "<f>" not in inside
    assert "hyperlink" not in inside
    assert "=HYPERLINK(" in inside
    assert "<v>0.123456789012345</v>" in inside
    assert to_xlsx(SHEET) == to_xlsx(SHEET)


def test_a_missing_library_is_one_line_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(MissingWriter, match=r'^an \.xlsx file needs XlsxWriter: pip install "'):
        to_xlsx(SHEET)


def test_an_empty_sheet_is_still_a_table() -> None:
    empty = Sheet("none", "wall", SHEET.columns, ())
    assert to_csv(empty).splitlines()[0] == "# none (boundary: wall)"
    assert "<tbody>" in to_html(empty)
    assert to_markdown(empty).count("|") == 10
    assert to_xlsx(empty)
