"""Watts read and watts fitted over time as lines of text for a terminal; computes no figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

DOTS_WIDE, DOTS_HIGH = 2, 4
BLANK = 0x2800
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each of a braille cell's 4 × 2 dots, from the top (Unicode, U+2800 block)."""
NARROWEST, LOWEST = 24, 4
READ, READ_ASCII, FITTED_ASCII = "○", "o", "."

Points = Sequence[tuple[float, float, float]]


def lines(points: Points, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    """A picture of (s, W read, W fitted) in ``height`` lines of at most ``width`` characters.

    The fit is drawn in braille dots and the readings as circles, or with "." and "o" where
    ``encoding`` lacks those. The last two lines are the time axis and the legend. No line for no
    points, or for a terminal too small to draw in.
    """
    rows = height - 2
    labels = _labels(points, rows) if points and rows >= LOWEST - 2 else []
    margin = max(map(len, labels), default=0) + 2
    columns = width - margin
    if not labels or columns < NARROWEST - margin:
        return []
    plain = not _has(encoding, READ + chr(BLANK + 0xFF) + "│└─")
    canvas = _Canvas(points, columns, rows)
    drawn = canvas.plain() if plain else canvas.braille()
    bar, corner, dash = ("|", "+", "-") if plain else ("│", "└", "─")
    axis = [
        f"{label:>{margin - 2}} {bar}{row}".rstrip()
        for label, row in zip(labels, drawn, strict=True)
    ]
    return [
        *axis,
        f"{'':>{margin - 2}} {corner}{dash * columns}",
        _legend(points, width, margin, plain),
    ]


class _Canvas:
    """Points scaled to a grid of character cells."""

    def __init__(self, points: Points, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._points = points
        self._start_s, self._end_s = points[0][0], points[-1][0]
        self._low_w, self._high_w = _range(points)

    def plain(self) -> list[str]:
        """Readings over fit, one character a cell."""
        cells = [[" "] * self.columns for _ in range(self.rows)]
        for t_s, _, fitted_w in self._points:
            x, y = self._at(t_s, fitted_w, self.columns, self.rows)
            cells[y][x] = FITTED_ASCII
        return self._with_readings(cells, READ_ASCII)

    def braille(self) -> list[str]:
        """The fit as a curve of dots, the readings over it."""
        codes = [[0] * self.columns for _ in range(self.rows)]
        for x, y in self._curve():
            codes[y // DOTS_HIGH][x // DOTS_WIDE] |= BITS[y % DOTS_HIGH][x % DOTS_WIDE]
        cells = [[chr(BLANK + code) if code else " " for code in row] for row in codes]
        return self._with_readings(cells, READ)

    def _with_readings(self, cells: list[list[str]], mark: str) -> list[str]:
        for t_s, read_w, _ in self._points:
            x, y = self._at(t_s, read_w, self.columns, self.rows)
            cells[y][x] = mark
        return ["".join(row) for row in cells]

    def _curve(self) -> list[tuple[int, int]]:
        """The fitted points in dots, joined by straight lines."""
        wide, high = self.columns * DOTS_WIDE, self.rows * DOTS_HIGH
        corners = [self._at(t_s, fitted_w, wide, high) for t_s, _, fitted_w in self._points]
        dots = corners[:1]
        for (x0, y0), (x1, y1) in pairwise(corners):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            dots += [
                (round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps))
                for k in range(1, steps + 1)
            ]
        return dots

    def _at(self, t_s: float, watts: float, wide: int, high: int) -> tuple[int, int]:
        along = (t_s - self._start_s) / max(self._end_s - self._start_s, 1e-9)
        up = (watts - self._low_w) / (self._high_w - self._low_w)
        return round(along * (wide - 1)), round((1 - up) * (high - 1))


def _range(points: Points) -> tuple[float, float]:
    watts = [w for _, read_w, fitted_w in points for w in (read_w, fitted_w)]
    low, high = min(watts), max(watts)
    return (low, high) if high > low else (low - 1, high + 1)


def _labels(points: Points, rows: int) -> list[str]:
    """Watts at the top, the bottom and halfway; nothing beside the other rows."""
    low, high = _range(points)
    shown = {0: high, (rows - 1) // 2: high - (high - low) * ((rows - 1) // 2) / (rows - 1)}
    shown[rows - 1] = low
    return [f"{round(shown[row])} W" if row in shown else "" for row in range(rows)]


def _legend(points: Points, width: int, margin: int, plain: bool) -> str:
    start, end = (f"{t_s:.1f} s" for t_s in (points[0][0], points[-1][0]))
    marks = (READ_ASCII, FITTED_ASCII) if plain else (READ, chr(BLANK + 0x12))
    key = f"{marks[0]} read  {marks[1]} fitted"
    room = max(width - margin - len(start) - len(end), 0)
    middle = (key if len(key) < room else "").center(room)
    return (" " * margin + start + middle + (end if room else "")).rstrip()[:width]


def _has(encoding: str, characters: str) -> bool:
    try:
        characters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
