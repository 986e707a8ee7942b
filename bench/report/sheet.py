"""A table before it has a form: columns with units, raw cells, one boundary for all of it.

Every table of money or energy is a ``Sheet``; the renderers (terminal here, files in ``exports``)
show its boundary once and compute nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.figures import figures
from bench.records.run import Boundary
from bench.report.foreign import clean

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

NONE = "–"
SMALLEST, LARGEST = 1e-3, 1e7
"""Beyond these a number is written with an exponent."""
ALARM = "bold red"
TURNED = 3
"""Up to so many rows are turned on their side where they are too wide."""


class Live(float):
    """A number and the spreadsheet formula that gives it.

    In ``formula`` ``{column}`` is a cell of the same row and ``{sheet.row.column}`` one of the
    sheet and row of those names.
    """

    __slots__ = ("formula",)
    formula: str

    def __new__(cls, number: float, formula: str) -> Live:
        """The number, which is what the formula must give."""
        made = super().__new__(cls, number)
        made.formula = formula
        return made


class Alarm(str):
    """Text that is shown in red where there are colours."""

    __slots__ = ()


Cell = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column; numbers in it are in ``unit``, shown to ``digits`` figures.

    An ``optional`` one is left out on a terminal that is too narrow for all.
    """

    key: str
    heading: str
    unit: str | None = None
    digits: int = 3
    optional: bool = False

    @property
    def titled(self) -> str:
        """Heading with its unit."""
        return self.heading if self.unit is None else f"{self.heading} [{self.unit}]"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: ``boundary`` is where its joules and its money per joule stand.

    ``rows`` are as long as ``columns``; null is unknown. ``notes`` stand below. By ``name`` and
    ``row_names`` formulas of other sheets find its cells.
    """

    title: str
    boundary: Boundary
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    name: str | None = None
    row_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of {self.title} is not as long as its columns")


def text(cell: Cell, column: Column) -> str:
    """A cell for people: cleaned text, yes or no, a count whole, a number to its figures."""
    if cell is None:
        return NONE
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return clean(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    if cell and not SMALLEST <= abs(cell) < LARGEST:
        return f"{cell:.{column.digits - 1}e}"
    return f"-{figures(-cell, column.digits)}" if cell < 0 else figures(cell, column.digits)


def caption(sheet: Sheet) -> str:
    """The title with the table's one boundary."""
    return f"{sheet.title} (boundary: {sheet.boundary})"


def terminal(sheet: Sheet, width: int) -> RenderableType:
    """The table for a terminal, units below the headings; a few rows too wide for it are turned
    on their side, and so become a few columns."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines = _lines(sheet)
    if _width(lines) > width and any(column.optional for column in sheet.columns):
        sheet = _without_optional(sheet)
        lines = _lines(sheet)
    words = [all(isinstance(row[i], str) for row in sheet.rows) for i in range(len(sheet.columns))]
    if _width(lines) > width and len(sheet.rows) <= TURNED:
        lines = list(zip(*lines, strict=True))
        words = [True, *(False for _ in lines[0][1:])]
    notes = [_Words(Text(clean(note))) for note in sheet.notes]
    title = _Words(Text(clean(caption(sheet)), style="bold"))
    alarms = [clean(cell) for row in sheet.rows for cell in row if isinstance(cell, Alarm)]
    if _width(lines) <= width:
        table = Text(_aligned(lines, words), no_wrap=True)
        if alarms:
            table.highlight_words(list(dict.fromkeys(alarms)), ALARM)
        return Group(title, table, *notes)
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for left in words:
        grid.add_column(justify="left" if left else "right", overflow="fold")
    for line in lines:
        grid.add_row(*(Text(cell, style=ALARM if cell in alarms else "") for cell in line))
    return Group(title, grid, *notes)


class _Words:
    """Wrapped at words on a terminal, one line elsewhere."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> Iterator[Text]:
        """The lines of it."""
        if console.is_terminal:
            yield from self._text.wrap(console, console.width)
        else:
            yield self._text


def _lines(sheet: Sheet) -> list[tuple[str, ...]]:
    """Headings, units where there are any, rows."""
    lines = [tuple(column.heading for column in sheet.columns)]
    if any(column.unit for column in sheet.columns):
        lines.append(tuple(column.unit or "" for column in sheet.columns))
    return lines + [
        tuple(text(cell, column) for cell, column in zip(row, sheet.columns, strict=True))
        for row in sheet.rows
    ]


def _widths(lines: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _width(lines: Sequence[tuple[str, ...]]) -> int:
    """What all columns take, two spaces behind each."""
    widths = _widths(lines)
    return sum(widths) + 2 * len(widths)


def _aligned(lines: Sequence[tuple[str, ...]], words: Sequence[bool]) -> str:
    """Columns padded to their widths: what a table does that need not fold, and much faster."""
    widths = _widths(lines)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, words, strict=True)
        ).rstrip()
        for line in lines
    )


def _without_optional(sheet: Sheet) -> Sheet:
    kept = [place for place, column in enumerate(sheet.columns) if not column.optional]
    return replace(
        sheet,
        columns=tuple(sheet.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in sheet.rows),
    )
