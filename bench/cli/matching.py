"""The search for a command's units of work in what it printed. Run as a script of its own, for no
other process can be made to give up a pattern that backtracks for ever; it imports little, to start
at once.
"""

from __future__ import annotations

import heapq
import marshal
import re
import sys
from collections.abc import Iterable, Iterator

LEAST_UNITS, MOST_UNITS = 1e-15, 1e18
LONGEST_LINE = 1 << 16
Chunk = tuple[int, bytes]
Tail = tuple[list[Chunk], bool]
"""The end of one stream in chunks, each with the turn in which it came (the streams take turns),
and whether something before them was forgotten."""

_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")


def number(text: str | None) -> float | None:
    """Units as programs print them: 12, 1.5e6, 1,234,567, 1_000; None for what is no number or
    not within ``LEAST_UNITS`` … ``MOST_UNITS``."""
    text = (text or "").strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if LEAST_UNITS <= value <= MOST_UNITS else None


def newest(pattern: str, tails: Iterable[Tail]) -> float | None:
    """Group 1 of the last match that is a number, in the line that ended last of all streams.

    A line ends at a newline or a carriage return. Of one longer than ``LONGEST_LINE`` bytes only
    the last so many are looked at.
    """
    sought = re.compile(pattern)
    for _, line in heapq.merge(*map(_backwards, tails), key=lambda each: each[0], reverse=True):
        matches = list(sought.finditer(line.decode("utf-8", "surrogateescape")))
        for match in reversed(matches):
            value = number(match[1])
            if value is not None:
                return value
    return None


def _backwards(tail: Tail) -> Iterator[Chunk]:
    """(turn, line) of one stream from its end on; a line whose beginning was forgotten, and that
    is not longer than what is looked at anyway, is none."""
    chunks, cut = tail
    text = b"".join(data for _, data in chunks).replace(b"\r", b"\n")
    chunk, chunk_start, end = len(chunks), len(text), len(text)
    while end >= 0:
        while chunk > 0 and (chunk_start >= end or chunk == len(chunks)):
            chunk -= 1
            chunk_start -= len(chunks[chunk][1])
        start = text.rfind(b"\n", 0, end) + 1
        whole = start > 0 or not cut or end - start > LONGEST_LINE
        if start < end and whole:
            yield chunks[chunk][0], text[max(start, end - LONGEST_LINE) : end]
        end = start - 1


if __name__ == "__main__":
    found = newest(*marshal.load(sys.stdin.buffer))
    print("" if found is None else repr(found))
