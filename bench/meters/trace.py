"""Recorded power in a text file (CSV) to seconds and watts; whatever else it holds stops here."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import math
import re
import stat
import zlib
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from bench.energy import Array, Series

LARGEST_BYTES = 64 << 20
LONGEST_LINE = 1 << 20
LARGEST_W, LARGEST_J = 1e9, 1e15
"""More than any device draws, or has drawn since it was built."""
UNIX_S = 1e8
"""Times above this count from 1970: a span of three years, were they relative."""
LATEST_S = 1e11
GZIP = b"\x1f\x8b"
TIMES = {"t", "time", "timestamp", "seconds", "elapsed", "date", "datetime"}
WATTS = "watts"
POWERS = {"watts", "watt", "power", "power_draw", "p", "w"}
SCALES = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "mw": 1e-3,
    "w": 1.0,
    "kw": 1e3,
    "watts": 1.0,
    "j": 1.0,
}


class BadTrace(ValueError):  # noqa: N818 -- the sentence it carries is the error
    """A file that is no recording of power: which, in what line, and what to do; one sentence."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A meter's recording: (s, W); ``wall`` when its times are seconds since 1970 (UTC)."""

    series: Series
    wall: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a file by their plain name, all as long as ``t_s``, which rises; SI units."""

    t_s: Array
    columns: dict[str, Array]


def read_trace(path: Path) -> Trace:
    """A meter's CSV: seconds and watts, in columns named so or, of two columns, the other.

    Comma, semicolon or tab; a header or none; plain or .gz; times relative, since 1970 or ISO
    8601 (without a zone: local time). BadTrace says what is wrong with it.
    """
    table = read_table(path)
    series = Series(table.t_s, table.columns[WATTS])
    return Trace(series, bool(table.t_s[0] > UNIX_S), sha256_of(path))


def read_table(path: Path, known: Collection[str] = ()) -> Table:
    """The time and the ``known`` columns of a CSV; where it has none, its power as ``WATTS``."""
    rows = lines_of(path)
    number, first = next(rows, (1, ""))
    separator = max(",;\t", key=first.count)
    cells = first.split(separator)
    if len(cells) < 2:
        raise _bad(path, number, "has fewer than two columns", "give seconds and watts")
    if _is_number(cells[-1], separator):
        rows, layout = chain([(number, first)], rows), _Layout((0, 1.0), {WATTS: (1, 1.0)})
    else:
        layout = _layout([plain_name(cell) for cell in cells], known)
    if not layout.columns:
        raise _bad(path, number, "names no column of power", "call it watts")
    return _parsed(path, rows, separator, layout)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not blank, read no further than the size limits."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadTrace(f"{path}: not a file; name a recording")
        if found.st_size > LARGEST_BYTES:
            raise _too_large(path)
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            source = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            yield from _lines(path, source)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or "its compression is damaged"
        raise BadTrace(f"{path}: cannot be read: {why}") from error


def sha256_of(path: Path) -> str:
    """The digest of a file as it lies on disk."""
    with path.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def plain_name(cell: str) -> str:
    """A column's name in lower case with underscores: "Power (W)" -> "power_w"."""
    return re.sub(r"[^a-z0-9]+", "_", cell.strip().lower()).strip("_")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where time and the other columns stand, and what their unit is worth in SI."""

    time: tuple[int, float]
    columns: dict[str, tuple[int, float]]


def _layout(names: list[str], known: Collection[str]) -> _Layout:
    parts = [_stem(name) for name in names]
    at = next((k for k, (stem, _) in enumerate(parts) if stem in TIMES), 0)
    others = [k for k in range(len(names)) if k != at]
    columns = {names[k]: (k, parts[k][1]) for k in others if names[k] in known}
    if not columns:
        powers = [k for k in others if parts[k][0] in POWERS] or others[: len(names) == 2]
        columns = {WATTS: (powers[0], parts[powers[0]][1])} if powers else {}
    return _Layout((at, parts[at][1]), columns)


def _stem(name: str) -> tuple[str, float]:
    """A name without its unit, and what the unit is worth in SI: power_mw -> (power, 0.001)."""
    stem, _, unit = name.rpartition("_")
    return (stem, SCALES[unit]) if stem and unit in SCALES else (name, 1.0)


def _parsed(path: Path, rows: Iterator[tuple[int, str]], separator: str, layout: _Layout) -> Table:
    times, values = array("d"), {name: array("d") for name in layout.columns}
    last_s = -math.inf
    for number, line in rows:
        cells = line.split(separator)
        t_s = _time(path, number, _cell(path, number, cells, layout.time[0]), separator)
        t_s *= layout.time[1]
        if not last_s < t_s < LATEST_S:
            raise _bad(path, number, "does not come later in time", "give times that rise")
        last_s = t_s
        times.append(t_s)
        for name, (at, scale) in layout.columns.items():
            text = _cell(path, number, cells, at)
            value = _number(path, number, text, separator) * scale
            if abs(value) > largest(name):
                what = f"holds {text[:40]}, more than {largest(name):g} {_unit(name)}"
                raise _bad(path, number, what, "correct or delete it")
            values[name].append(value)
    if len(times) < 2:
        raise BadTrace(f"{path}: fewer than two rows of numbers; give a recording over time")
    return Table(np.array(times), {name: np.array(column) for name, column in values.items()})


def largest(name: str) -> float:
    """The most, in SI, that a quantity of that name can be."""
    return LARGEST_J if name.endswith("_j") else LARGEST_W


def _unit(name: str) -> str:
    return "J" if name.endswith("_j") else "W"


def _cell(path: Path, number: int, cells: list[str], at: int) -> str:
    if at >= len(cells):
        raise _bad(path, number, f"has only {len(cells)} columns", "complete or delete it")
    return cells[at].strip().strip('"')


def _time(path: Path, number: int, text: str, separator: str) -> float:
    try:
        seconds = _float(text, separator)
    except ValueError:
        seconds = _moment(path, number, text)
    return _finite(path, number, text, seconds)


def _moment(path: Path, number: int, text: str) -> float:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        cure = "give seconds or ISO 8601"
        raise _bad(path, number, f"has no time in {text[:40]!r}", cure) from None


def _number(path: Path, number: int, text: str, separator: str) -> float:
    try:
        value = _float(text, separator)
    except ValueError:
        cure = "give plain numbers"
        raise _bad(path, number, f"has no number in {text[:40]!r}", cure) from None
    return _finite(path, number, text, value)


def _finite(path: Path, number: int, text: str, value: float) -> float:
    if not math.isfinite(value):
        raise _bad(path, number, f"holds {text[:40]}", "delete rows without a reading")
    return value


def _float(text: str, separator: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text if separator == "," else text.replace(",", "."))


def _is_number(text: str, separator: str) -> bool:
    try:
        _float(text.strip().strip('"'), separator)
    except ValueError:
        return False
    return True


def _lines(path: Path, source: BinaryIO) -> Iterator[tuple[int, str]]:
    taken, number = 0, 0
    while raw := source.readline(LONGEST_LINE + 1):
        number, taken = number + 1, taken + len(raw)
        if len(raw) > LONGEST_LINE:
            raise _bad(path, number, "is too long for a row", "give one reading a line")
        if taken > LARGEST_BYTES:
            raise _too_large(path)
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip()
        if text:
            yield number, text


def _too_large(path: Path) -> BadTrace:
    limit = f"holds more than {LARGEST_BYTES >> 20} MiB"
    return BadTrace(f"{path}: {limit}; cut it down to the time around the run")


def _bad(path: Path, number: int, what: str, cure: str) -> BadTrace:
    return BadTrace(f"{path}: line {number} {what}; {cure}")
