"""One TOML file → a table that is read key by key, units checked and turned into SI.

Hostile or broken input stops here, as a ``ProfileError`` of one line.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bench.economics.chain import first_day
from bench.records.journal import JsonObject
from bench.records.market import FLAGS, Value

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_TEXT = 500
MAX_DOTS_PER_LINE = 40  # dotted keys nest as well, and cost the parser their square

EXAMPLE = '{ value = 1.0, unit = "…", as_of = "2026-11-22", flag = "G", source = "…" }'
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")


class ProfileError(Exception):
    """A profile that cannot be used: which file, which field, why, what to do. One clear line."""

    def __init__(self, file: str, field: str | None, why: str, cure: str) -> None:
        self.file = printable(file)
        self.field = None if field is None else printable(field)
        self.why = printable(why)
        self.cure = printable(cure)
        where = self.file if self.field is None else f"{self.file}: {self.field}"
        super().__init__(f"{where}: {self.why}; {self.cure}")


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is written in a profile, and what it is inside: ``inside = written·factor``.

    A written number must lie above ``above`` (or on it, if ``closed``) and not exceed ``most``.
    """

    written: str
    inside: str
    factor: float = 1.0
    above: float = 0.0
    closed: bool = False
    most: float = math.inf

    def complaint(self, number: float) -> str | None:
        """What is wrong with a written number, if anything."""
        if not math.isfinite(number * self.factor):
            return f"is {number:g}, not a finite number"
        if number > self.most:
            return f"is {number:g}, more than {self.most:g}"
        if number < self.above or (number == self.above and not self.closed):
            return f"is {number:g}, {'less' if self.closed else 'not more'} than {self.above:g}"
        return None


def printable(text: str) -> str:
    """Text safe for a terminal or a log: other characters escaped, length bounded."""
    shown = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    return "".join(c if _is_plain(c) else f"\\u{ord(c):04x}" for c in shown)


def nearest(name: str, known: Iterable[str]) -> str:
    """A cure for a name that does not exist: the nearest known one and the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:MAX_TEXT], names, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}known: {', '.join(names) or 'none'}"


def read_data(path: Path, file: str) -> dict[str, Any]:
    """What the file holds; ``file`` is how errors name it. Raises ``ProfileError``."""
    text = _text(path, file)
    if any(line.count(".") > MAX_DOTS_PER_LINE for line in text.splitlines()):
        raise ProfileError(
            file, None, f"has a line with over {MAX_DOTS_PER_LINE} dots", "nest less deeply"
        )
    try:
        data = tomllib.loads(text)
        _check_tree(file, data)
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError as error:  # TOMLDecodeError, and numbers beyond Python's own limits
        raise ProfileError(file, None, f"is not TOML: {error}", "fix the syntax there") from None
    return data


class Table:
    """A TOML table whose keys are taken one by one; ``end`` refuses those that nobody took."""

    def __init__(self, file: str, where: str, data: dict[str, Any]) -> None:
        self.file = file
        self._where = where
        self._left = dict(data)
        self._known: list[str] = []

    def text(self, key: str) -> str:
        """A string that is not empty."""
        return self._text(key, self._take(key, 'write it as a string, "…"'))

    def text_or_none(self, key: str) -> str | None:
        """A string, or null where the key is absent."""
        return self.text(key) if self.has(key) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self._take(key, 'write it as a list of strings, ["…"]')
        if not isinstance(found, list):
            raise self.error(key, "is not a list", 'write it as a list of strings, ["…"]')
        return tuple(self._text(key, item) for item in found)

    def table(self, key: str) -> Table:
        """A table within this one."""
        return self._table(key, self._take(key, f"add a table [{self._path(key)}]"))

    def table_or_none(self, key: str) -> Table | None:
        """A table, or null where the key is absent."""
        return self.table(key) if self.has(key) else None

    def tables(self, key: str) -> list[Table]:
        """A list of tables; an absent key is an empty list."""
        found = self._take(key, "") if self.has(key) else []
        if not isinstance(found, list):
            raise self.error(key, "is not a list of tables", f"write [[{self._path(key)}]]")
        return [self._table(f"{key}[{at}]", item) for at, item in enumerate(found)]

    def named_tables(self) -> Iterator[tuple[str, Table]]:
        """Every key that is left, each a table."""
        for key in list(self._left):
            yield key, self.table(key)

    def plain(self, key: str) -> JsonObject:
        """A table of plain JSON values, taken as it stands."""
        found = self._take(key, f"add a table [{self._path(key)}]")
        if not isinstance(found, dict) or not _is_json(found):
            raise self.error(key, "is not a table of plain values", "leave out dates, nan and inf")
        return found

    def value(self, key: str, unit: Unit) -> Value:
        """A dated value, in the unit it has inside."""
        table = self._table(key, self._take(key, f"write {self._path(key)} = {EXAMPLE}"))
        if (written := table.text("unit")) != unit.written:
            raise table.error("unit", f"is {written}, not {unit.written}", "convert the value")
        number = table._number("value", unit)
        low, high = table._range(unit)
        if low is not None and high is not None and not low <= number <= high:
            raise table.error("low", "to high does not hold the value", "order low, value, high")
        value = Value(
            value=number,
            unit=unit.inside,
            as_of=table._date("as_of"),
            source=table.text("source"),
            flag=table._flag("flag"),
            low=low,
            high=high,
        )
        table.end()
        return value

    def value_or_none(self, key: str, unit: Unit) -> Value | None:
        """A dated value, or null where the key is absent."""
        return self.value(key, unit) if self.has(key) else None

    def has(self, key: str) -> bool:
        """Whether the key is there and not yet taken; naming it makes it known."""
        self._known.append(key)
        return key in self._left

    def end(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._left:
            raise self.error(key, "is not a known key", nearest(key, set(self._known)))

    def error(self, key: str | None, why: str, cure: str) -> ProfileError:
        """A ``ProfileError`` about a key of this table."""
        return ProfileError(self.file, self._path(key) if key else self._where or None, why, cure)

    def _path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def _take(self, key: str, cure: str) -> Any:
        if not self.has(key):
            raise self.error(key, "is missing", cure)
        return self._left.pop(key)

    def _text(self, key: str, found: Any) -> str:
        if not isinstance(found, str) or not found.strip():
            raise self.error(key, "is not a text", 'write it in quotes, "…"')
        if len(found) > MAX_TEXT:
            raise self.error(key, "is too long", f"keep it under {MAX_TEXT} characters")
        return found

    def _table(self, key: str, found: Any) -> Table:
        if not isinstance(found, dict):
            raise self.error(key, "is not a table", f"write it as {EXAMPLE}")
        return Table(self.file, self._path(key), found)

    def _number(self, key: str, unit: Unit) -> float:
        found = self._take(key, f"give the number in {unit.written}")
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self.error(key, "is not a number", f"give the number in {unit.written}")
        try:
            number = float(found)
        except OverflowError:
            number = math.inf
        if complaint := unit.complaint(number):
            raise self.error(key, complaint, f"give the true figure in {unit.written}")
        return number * unit.factor

    def _range(self, unit: Unit) -> tuple[float | None, float | None]:
        if not (self.has("low") or self.has("high")):
            return None, None
        return self._number("low", unit), self._number("high", unit)

    def _date(self, key: str) -> str:
        found = self._take(key, 'write the date, "2026-11-22", "2026-11" or "2026"')
        text = found.isoformat() if type(found) is date else found
        if not isinstance(text, str) or not _is_date(text):
            raise self.error(key, "is not a date", 'write "2026-11-22", "2026-11" or "2026"')
        return text

    def _flag(self, key: str) -> str:
        letters = self.text(key)
        if not all(letter in FLAGS for letter in letters.split("/")):
            raise self.error(key, f"is {letters}", f"use letters of {'/'.join(FLAGS)}")
        return letters


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        first_day(text)
    except ValueError:
        return False
    return True


def _text(path: Path, file: str) -> str:
    try:
        if not path.is_file():
            raise ProfileError(file, None, "is not a file", "give the path of a TOML file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ProfileError(file, None, f"cannot be read: {why}", "check the path") from None
    if len(raw) > MAX_BYTES:
        raise ProfileError(file, None, "is larger than 1 MiB", "keep only what a profile needs")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"is not UTF-8 text (byte {error.start})"
        raise ProfileError(file, None, why, "save it as UTF-8") from None


def _check_tree(file: str, data: dict[str, Any]) -> None:
    """Depth and characters of the whole tree, without recursion."""
    todo: list[tuple[str, Any, int]] = [("", data, 1)]
    while todo:
        where, found, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(file)
        if isinstance(found, dict):
            for key, inner in found.items():
                _check_text(file, where or None, key)
                todo.append((f"{where}.{key}" if where else key, inner, depth + 1))
        elif isinstance(found, list):
            todo += [(where, inner, depth + 1) for inner in found]
        elif isinstance(found, str):
            _check_text(file, where, found)


def _check_text(file: str, where: str | None, text: str) -> None:
    if not all(map(_is_plain, text)):
        raise ProfileError(file, where, "holds control characters", "write plain text")


def _too_deep(file: str) -> ProfileError:
    return ProfileError(file, None, f"nests deeper than {MAX_DEPTH}", "nest less deeply")


def _is_plain(character: str) -> bool:
    """Neither control, format (bidi, zero width), surrogate, private nor a line separator."""
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _is_json(found: Any) -> bool:
    if isinstance(found, dict):
        return all(map(_is_json, found.values()))
    if isinstance(found, list):
        return all(map(_is_json, found))
    if isinstance(found, float):
        return math.isfinite(found)
    return isinstance(found, (str, int))
